//! What a run was started with, by name: a run resumes with the same inputs or not at all.

use std::collections::BTreeMap;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{TrainInput, TrainPicture};
use crate::base::bytes::hex;
use crate::config::{Init, Recipe, TrainConfig};
use crate::model::Model;
use crate::parts::Architecture;
use crate::setting::Setting;
use crate::text::Rows;

/// Settings that may change before a run resumes: they decide what is shown, looked at and saved, and what happens in trouble that is still to come.
const FREE: [&str; 8] = [
    "preview-every",
    "preview-steps",
    "preview-prompt",
    "prompt-syntax",
    "save-every",
    "on-divergence",
    "quality",
    "keep",
];

/// The name of a replay's hash.
const REPLAY: &str = "the file of choices (--replay)";

/// The name of what stands for captions that are made: those themselves are in the state.
const MADE_CAPTIONS: &str = "captions that are made from the pictures";

/// What a run was started with.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Inputs {
    /// The settings as text, by the names that the user gave them: read as numbers they might come back off by one
    /// digit.
    config: BTreeMap<String, String>,
    /// Hashes of everything else, by what to call it.
    hashes: BTreeMap<String, String>,
}

impl Inputs {
    pub fn of(config: &TrainConfig, model: &Model, known: &Rows, input: &TrainInput) -> Self {
        let config = settings(config);
        let mut hashes = BTreeMap::from([
            (format!("the model {}", model.name), model.fingerprint.clone()),
            ("the other words".to_owned(), hash([bytemuck::cast_slice(&known.values)])),
        ]);
        if let Some(templates) = &input.templates {
            hashes.insert("the captions".to_owned(), hash(templates.iter().flat_map(|text| [text.as_bytes(), b"\n"])));
        }
        if input.makes_captions() {
            hashes.insert(MADE_CAPTIONS.to_owned(), "made".to_owned());
        }
        if let Some(replay) = &input.replay {
            hashes.insert(REPLAY.to_owned(), replay.hash.clone());
        }
        if let Some(Init::Embedding(init)) = &input.init {
            hashes.insert(
                "the word it starts from".to_owned(),
                hash(init.encoders.iter().map(|vectors| bytemuck::cast_slice(&vectors.rows))),
            );
        }
        if let Some(Init::Embedding(init)) = &input.second_init {
            hashes.insert(
                "the word that the second starts from".to_owned(),
                hash(init.encoders.iter().map(|vectors| bytemuck::cast_slice(&vectors.rows))),
            );
        }
        for (set, pictures) in [("picture", &input.pictures), ("unseen picture", &input.unseen)] {
            // Their order decides which is drawn.
            for (i, TrainPicture { picture, caption, mask }) in pictures.iter().enumerate() {
                let name = format!("{set} {}, {}", i + 1, picture.name);
                let caption = caption.as_deref().unwrap_or_default();
                // As it is shown to the model.
                let pixels = picture.on_white();
                let parts = [&size(pixels.dimensions()), pixels.as_raw().as_slice(), caption.as_bytes()];
                hashes.insert(name.clone(), hash(parts));
                // Only where there is one: states of runs without it stay what they were.
                if let Some(mask) = mask {
                    let hash = hash([&size(mask.dimensions()), mask.as_raw().as_slice()]);
                    hashes.insert(format!("the mask of {name}"), hash);
                }
            }
        }
        Self { config, hashes }
    }

    /// A setting as text.
    fn setting(&self, name: &str) -> &str {
        self.config.get(name).map_or("null", String::as_str)
    }

    /// Whether these settings have as many samples in a pass, and passes in a step.
    pub fn has_batch_of(&self, config: &TrainConfig) -> bool {
        let given = settings(config);
        ["batch-size", "gradient-accumulation"].iter().all(|name| given.get(*name) == self.config.get(*name))
    }

    /// Whether the run was begun by a version that had masks.
    pub fn knows_masks(&self) -> bool {
        self.config.contains_key(Setting::Outside.key())
    }

    /// Whether the run was begun by a version that could put things before plain backgrounds, and in which it was up to the model which
    /// timesteps are learned from.
    pub fn knows_backgrounds(&self) -> bool {
        self.config.contains_key(Setting::Backgrounds.key())
    }

    /// A setting that is a number; none where it was open.
    pub fn number<T: FromStr>(&self, name: &str) -> Option<T> {
        self.setting(name).parse().ok()
    }

    /// How much the context loss counted. Of versions that did not have it, it did not.
    pub fn context_weight(&self) -> Option<f64> {
        let key = Setting::ContextWeight.key();
        if self.config.contains_key(key) { self.number(key) } else { Some(0.0) }
    }

    /// Whether captions are made from the pictures.
    pub fn makes_captions(&self) -> bool {
        self.hashes.contains_key(MADE_CAPTIONS)
    }

    /// The steps that were configured.
    pub fn steps(&self) -> u32 {
        self.number("steps").unwrap_or_default()
    }

    /// The learning rate that the run was begun with. Older versions left it open in their states, and had one for every model with
    /// one text encoder and one for those with two.
    pub fn rate(&self, recipe: Recipe, architecture: Architecture) -> f64 {
        let older = match (recipe, architecture) {
            (Recipe::Adamw, Architecture::Sd) => 1e-2,
            (Recipe::Adamw, Architecture::Sdxl) => 1e-3,
            (Recipe::Direction, Architecture::Sd) => 1e-1,
            (Recipe::Direction, Architecture::Sdxl) => 4e-2,
        };
        self.number("lr").unwrap_or(older)
    }

    /// A line for every difference to what a run resumes with that has made some steps, with a model of an architecture.
    pub fn changes(&self, now: &Inputs, made: u32, architecture: Architecture) -> Vec<String> {
        let mut changes = Vec::new();
        let usual = settings(&TrainConfig::default());
        for (name, now_is) in &now.config {
            let was = self.setting(name);
            // Where there was no such setting yet, a run was made as its usual value has it now.
            let is_new = !self.config.contains_key(name) && usual.get(name) == Some(now_is);
            let is_same_rate = || {
                let recipe = serde_json::from_str(self.setting("recipe")).unwrap_or_default();
                name == "lr" && was == "null" && now.number("lr") == Some(self.rate(recipe, architecture))
            };
            // What was not said by older versions, [`as_begun`](super::RunState::as_begun) says for them.
            let is_older = || {
                let later = [Setting::Masks, Setting::Backgrounds, Setting::Timesteps].map(Setting::key);
                !self.knows_backgrounds() && was == "null" && later.contains(&name.as_str())
            };
            let is_without_context =
                || name == Setting::ContextWeight.key() && now.context_weight() == self.context_weight();
            if was == now_is || is_new || is_same_rate() || is_older() || is_without_context() {
                continue;
            }
            // An older version's state may have names that are not settings any more.
            let named = Setting::of(name).map_or_else(|| format!("`{name}`"), |setting| setting.to_string());
            let mut change = format!("{named} was {was}, it is {now_is}");
            if name == "steps" {
                // At a constant rate the steps made so far are those of a longer run too.
                if self.setting("lr-schedule") != "\"constant\"" {
                    change.push_str(&format!(
                        " (the learning rate was planned for that many; only with {} constant can it change)",
                        Setting::LrSchedule
                    ));
                } else if now.steps() >= made {
                    continue;
                } else {
                    change.push_str(&format!(", and {made} are made"));
                }
            }
            changes.push(change);
        }
        // States of older versions have the names too, so what people read is made of them here.
        let shown = |name: &str| {
            if name == REPLAY { format!("the file of choices ({})", Setting::Replay) } else { name.to_owned() }
        };
        for (name, hash) in &self.hashes {
            match now.hashes.get(name) {
                None => changes.push(format!("missing: {}", shown(name))),
                Some(now) if now != hash => changes.push(format!("changed: {}{}", shown(name), why(name))),
                Some(_) => {}
            }
        }
        let new = now.hashes.keys().filter(|name| !self.hashes.contains_key(*name));
        changes.extend(new.map(|name| format!("new: {}", shown(name))));
        changes
    }
}

/// The model in the program, where there is one.
#[cfg(feature = "native")]
const BUILT_IN: Option<&str> = Some(crate::mini::NAME);
#[cfg(not(feature = "native"))]
const BUILT_IN: Option<&str> = None;

/// Why an input has changed that no user can change.
fn why(name: &str) -> &'static str {
    if BUILT_IN.is_some_and(|built_in| name.strip_prefix("the model ") == Some(built_in)) {
        ": an update of this program brought another; the version that began the run can finish it"
    } else {
        ""
    }
}

/// Settings that may not change, as text.
fn settings(config: &TrainConfig) -> BTreeMap<String, String> {
    match serde_json::to_value(config) {
        Ok(Value::Object(fields)) => {
            let bound = fields.into_iter().filter(|(key, _)| !FREE.contains(&key.as_str()));
            bound.map(|(key, value)| (key, value.to_string())).collect()
        }
        _ => BTreeMap::new(),
    }
}

fn size((width, height): (u32, u32)) -> Vec<u8> {
    [width.to_le_bytes(), height.to_le_bytes()].concat()
}

/// The SHA-256 of some parts, one after the other, in hexadecimal.
pub(super) fn hash<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    hex(&hash.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changed_is_named() {
        let inputs = |steps: u32, hash: &str, name: &str| Inputs {
            config: BTreeMap::from([("steps".to_owned(), steps.to_string()), ("seed".to_owned(), "0".to_owned())]),
            hashes: BTreeMap::from([(name.to_owned(), hash.to_owned())]),
        };
        assert!(
            inputs(9, "a", "picture 1, x.png")
                .changes(&inputs(9, "a", "picture 1, x.png"), 3, Architecture::Sd)
                .is_empty()
        );
        let changes =
            inputs(9, "a", "picture 1, x.png").changes(&inputs(10, "b", "picture 1, x.png"), 3, Architecture::Sd);
        assert!(
            changes[0].starts_with(&format!("{} was 9, it is 10 (the learning rate was planned", Setting::Steps)),
            "{changes:?}"
        );
        assert_eq!(changes[1..], ["changed: picture 1, x.png"]);
        let changes =
            inputs(9, "a", "picture 1, x.png").changes(&inputs(9, "a", "picture 1, y.png"), 3, Architecture::Sd);
        assert_eq!(changes, ["missing: picture 1, x.png", "new: picture 1, y.png"]);
    }

    #[test]
    fn a_setting_that_older_versions_did_not_have_was_as_usual() {
        let inputs = |pooling: Option<&str>| Inputs {
            config: pooling.map(|pooling| ("pooling".to_owned(), format!("\"{pooling}\""))).into_iter().collect(),
            hashes: BTreeMap::new(),
        };
        assert!(inputs(None).changes(&inputs(Some("end")), 3, Architecture::Sd).is_empty());
        assert_eq!(inputs(None).changes(&inputs(Some("diffusers")), 3, Architecture::Sd).len(), 1);
        assert_eq!(inputs(Some("diffusers")).changes(&inputs(Some("end")), 3, Architecture::Sd).len(), 1);
    }

    #[test]
    fn at_a_constant_rate_a_run_can_be_made_longer_but_not_shorter_than_it_is() {
        let inputs = |steps: u32| Inputs {
            config: BTreeMap::from([
                ("steps".to_owned(), steps.to_string()),
                ("lr-schedule".to_owned(), "\"constant\"".to_owned()),
            ]),
            hashes: BTreeMap::new(),
        };
        assert!(inputs(9).changes(&inputs(20), 9, Architecture::Sd).is_empty());
        assert!(inputs(9).changes(&inputs(7), 5, Architecture::Sd).is_empty());
        assert_eq!(
            inputs(9).changes(&inputs(7), 8, Architecture::Sd),
            [format!("{} was 9, it is 7, and 8 are made", Setting::Steps)]
        );
    }
}
