//! Settings one by one: what each is here, and what is noted where it is not.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::field::{self, Field};
use super::like::PictureSettings;
use super::note::{LikeNote, NotDone};
use super::samplers::{self, Spacing};
use crate::base::text::{beginning, one_line};
use crate::config::{EmptyNegative, Pooling, PromptSyntax, SampleConfig, SamplerKind};
use crate::sample::check_numbers;
use crate::setting::Setting;
use crate::text::scan::key;

/// What is shown of a value in a note, in characters, and how many of them.
const SHOWN: usize = 60;
const SHOWN_VALUES: usize = 12;

/// Where settings are gathered.
#[derive(Default)]
pub(super) struct Gathered {
    settings: Map<String, Value>,
    pub notes: Vec<LikeNote>,
    named: Option<(String, samplers::Named)>,
    spacing: Option<String>,
    model: String,
    model_hash: String,
    embeddings: Vec<(String, String)>,
    program: String,
    not_done: Vec<(NotDone, Vec<String>)>,
    others: Vec<String>,
}

impl Gathered {
    pub fn set(&mut self, setting: Setting, value: Value) {
        self.settings.insert(setting.key().to_owned(), value);
    }

    /// Takes up a setting, or notes that it cannot be.
    pub fn take(&mut self, field: Field, key: &str, value: &str) {
        let value = value.trim();
        let taken = match field {
            Field::Steps => self.number(Setting::Steps, value.parse::<u32>().ok()),
            Field::ClipSkip => self.number(Setting::ClipSkip, value.parse::<u32>().ok()),
            Field::Guidance => {
                self.number(Setting::Guidance, value.parse::<f64>().ok().filter(|number| number.is_finite()))
            }
            Field::Seed if value == field::GIVEN_NOISE => {
                self.notes.push(LikeNote::GivenNoise);
                true
            }
            Field::Seed => self.number(Setting::Seed, value.parse::<u64>().ok()),
            Field::Size => {
                let sides = value
                    .split_once('x')
                    .map(|(width, height)| (width.parse::<u32>().ok(), height.parse::<u32>().ok()));
                let (width, height) = sides.unwrap_or_default();
                self.number(Setting::Width, width) && self.number(Setting::Height, height)
            }
            Field::Syntax => self.choice::<PromptSyntax>(Setting::PromptSyntax, value),
            Field::EmptyNegative => self.choice::<EmptyNegative>(Setting::EmptyNegative, value),
            Field::Pooling => self.choice::<Pooling>(Setting::Pooling, value),
            Field::Sampler => {
                self.named = Some((value.to_owned(), samplers::sampler(value)));
                true
            }
            Field::Spacing => {
                self.spacing = Some(value.to_owned());
                true
            }
            Field::Model => {
                value.clone_into(&mut self.model);
                true
            }
            Field::ModelHash => {
                value.clone_into(&mut self.model_hash);
                true
            }
            Field::Embeddings => {
                self.embeddings = embeddings(value);
                true
            }
            Field::Software => {
                self.program = shown(value);
                true
            }
        };
        if !taken {
            self.notes.push(LikeNote::Value { key: key.to_owned(), value: shown(value) });
        }
    }

    /// Takes a number that the setting can have.
    fn number(&mut self, setting: Setting, number: Option<impl serde::Serialize>) -> bool {
        let Some(value) = number.and_then(|number| serde_json::to_value(number).ok()) else { return false };
        let alone = Map::from_iter([(setting.key().to_owned(), value.clone())]);
        let config = serde_json::from_value::<SampleConfig>(Value::Object(alone));
        let can_be = config.is_ok_and(|config| check_numbers(&config).is_ok());
        if can_be {
            self.set(setting, value);
        }
        can_be
    }

    /// Takes one of some names.
    fn choice<T: serde::de::DeserializeOwned>(&mut self, setting: Setting, name: &str) -> bool {
        let can_be = serde_json::from_value::<T>(json!(name)).is_ok();
        if can_be {
            self.set(setting, json!(name));
        }
        can_be
    }

    /// Notes what there is no setting for.
    pub fn pass_over(&mut self, key: &str, value: &str) {
        if key == "Hashes" {
            return self.take_hashes(value);
        }
        let said = format!("{}: {}", shown(key), shown(value));
        match NotDone::of(key) {
            Some(what) => match self.not_done.iter_mut().find(|(other, _)| *other == what) {
                Some((_, all)) => all.push(said),
                None => self.not_done.push((what, vec![said])),
            },
            // Who it was, and which of several pictures: nothing that decides on it.
            None if ["User", "Batch size", "Batch pos", "Civitai resources", "Civitai metadata"].contains(&key) => {}
            None => self.others.push(said),
        }
    }

    /// Hashes by names as an extension for Civitai writes them, where A1111 itself has said nothing.
    fn take_hashes(&mut self, value: &str) {
        let Ok(hashes) = serde_json::from_str::<BTreeMap<String, String>>(value) else {
            return self.others.push(format!("Hashes: {}", shown(value)));
        };
        for (name, hash) in hashes {
            match name.split_once(':') {
                Some(("embed", token)) if !self.embeddings.iter().any(|(other, _)| key(other) == key(token)) => {
                    self.embeddings.push((token.to_owned(), hash));
                }
                Some(("embed", _)) => {}
                None if name == "model" => {
                    if self.model_hash.is_empty() {
                        self.model_hash = hash;
                    }
                }
                Some(("lora" | "lyco", _)) => self.pass_over("Lora hashes", &name),
                _ => self.pass_over(if name == "vae" { "VAE hash" } else { &name }, &hash),
            }
        }
    }

    /// How much a second pass changes is no start from a picture.
    fn join_second_pass(&mut self) {
        let place = |of| self.not_done.iter().position(|(what, _)| *what == of);
        if let (Some(second), Some(from)) = (place(NotDone::HiresFix), place(NotDone::FromPicture))
            && self.not_done[from].1.iter().all(|said| said.starts_with("Denoising strength"))
        {
            let said = std::mem::take(&mut self.not_done[from].1);
            self.not_done[second].1.extend(said);
            self.not_done.remove(from);
        }
    }

    /// Decides on the sampler and its spacing, and puts the notes together.
    pub fn finished(mut self, prompt: String, own: bool) -> PictureSettings {
        let own = own || is_own(&self.program);
        if !own {
            self.notes.insert(0, LikeNote::OtherProgram { program: std::mem::take(&mut self.program) });
        }
        let sampler = self.named.as_ref().map_or(SamplerKind::default(), |(_, named)| named.sampler);
        let mut karras = false;
        if let Some((name, named)) = self.named.take() {
            karras = named.karras;
            self.set(Setting::Sampler, json!(sampler));
            if !named.is_it {
                self.notes.push(LikeNote::Sampler { name: shown(&name), used: sampler });
            }
        }
        match self.spacing.as_deref().map(|name| samplers::spacing(name, sampler)) {
            Some(Spacing::Karras) => karras = true,
            Some(Spacing::Other) => {
                let name = shown(self.spacing.as_deref().unwrap_or_default());
                self.notes.push(LikeNote::Spacing { name });
            }
            Some(Spacing::Usual) | None => {}
        }
        if karras && sampler.takes_karras() {
            self.set(Setting::Karras, json!(true));
        } else if karras {
            self.notes.push(LikeNote::Spacing { name: "Karras".to_owned() });
        }
        self.join_second_pass();
        for (what, said) in std::mem::take(&mut self.not_done) {
            self.notes.push(LikeNote::NotDone { what, said: listed(said) });
        }
        if !self.others.is_empty() {
            self.notes.push(LikeNote::Others { said: listed(std::mem::take(&mut self.others)) });
        }
        let Self { settings, notes, model, model_hash, embeddings, .. } = self;
        PictureSettings { own, prompt, settings, model, model_hash, embeddings, notes }
    }
}

/// Whether this program is one.
pub(super) fn is_own(software: &str) -> bool {
    software.starts_with(concat!(env!("CARGO_PKG_NAME"), " "))
}

/// The embeddings of a value, ours (`name hash` on each line) or A1111's (`name: hash` with commas between).
fn embeddings(value: &str) -> Vec<(String, String)> {
    let ours = value.lines().map(|line| line.rsplit_once(' '));
    let is_hash = |hash: &str| hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
    let ours: Option<Vec<_>> = ours.map(|pair| pair.filter(|(name, hash)| is_hash(hash) && !name.is_empty())).collect();
    let pairs =
        ours.unwrap_or_else(|| value.split(", ").map(|pair| pair.rsplit_once(':').unwrap_or((pair, ""))).collect());
    let trimmed = |(name, hash): (&str, &str)| (name.trim().to_owned(), hash.trim().to_owned());
    pairs.into_iter().map(trimmed).filter(|(name, _)| !name.is_empty()).collect()
}

/// A value as notes show it.
pub(super) fn shown(text: &str) -> String {
    one_line(&beginning(text, SHOWN)).into_owned()
}

/// What is said of several, no more than a line takes.
fn listed(mut said: Vec<String>) -> String {
    let more = said.len().saturating_sub(SHOWN_VALUES);
    said.truncate(SHOWN_VALUES);
    if more > 0 {
        said.push(format!("and {more} more"));
    }
    said.join(", ")
}
