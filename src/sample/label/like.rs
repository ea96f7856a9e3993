//! What a picture says of how it was made, taken up again: our own texts, and `parameters` in A1111's form.

use serde_json::{Map, Value, json};

use super::field::{self, Field};
use super::gather::{Gathered, is_own, shown};
use super::infotext;
use super::note::LikeNote;
use crate::base::bytes::size;
use crate::config::SampleConfig;
use crate::model::ModelConfig;
use crate::sample::LONGEST_SIDE;
use crate::setting::Setting;
use crate::text::scan::key;
use crate::{Error, Result, image};

/// Longer texts are not settings.
const LONGEST: usize = 1 << 20;
/// Of two hashes so many digits must be there to tell them apart.
const HASH: usize = 8;
/// Of a hash so many digits are shown, as A1111 has them.
const SHOWN_HASH: usize = 12;

/// What a picture says of how it was made.
#[derive(Debug, Clone, PartialEq)]
pub struct PictureSettings {
    /// Whether this program made it, whose pictures can be made again to the bit.
    pub own: bool,
    /// The prompt.
    pub prompt: String,
    /// The settings that it names, as fields of [`SampleConfig`]; the others have their defaults.
    pub settings: Map<String, Value>,
    /// What the model is called; empty if it does not say so.
    pub model: String,
    /// Of an own picture the SHA-256 of the U-Net's weights, of others the beginning of that of the model's file; empty if it does not
    /// say so.
    pub model_hash: String,
    /// The embeddings that were used: their names, and the SHA-256 of their files or its beginning.
    pub embeddings: Vec<(String, String)>,
    /// What is not taken up. What depends on the model and the embeddings at hand is not among it:
    /// [`about_model`](Self::about_model), [`about_embeddings`](Self::about_embeddings).
    pub notes: Vec<LikeNote>,
}

impl PictureSettings {
    /// Reads what a picture's file says; `file` is what to call it.
    ///
    /// # Errors
    /// [`Error::BadFile`] where this is no picture, is damaged, or says nothing that is read.
    pub fn read(bytes: &[u8], file: &str) -> Result<Self> {
        let bad = |reason: String| Error::BadFile { file: file.to_owned(), reason };
        let texts = image::texts_of(bytes).map_err(bad)?;
        Self::of_texts(&texts).map_err(bad)
    }

    /// Whether what a picture says of how it was made is in a form that is read; nothing if it says nothing of it.
    pub fn are_read(bytes: &[u8]) -> Option<bool> {
        Self::are_read_in(&image::texts_of(bytes).ok()?)
    }

    fn are_read_in(texts: &[(String, String)]) -> Option<bool> {
        let read = Self::of_texts(texts).is_ok();
        // A camera's comment stands where other programs have their settings, and is none.
        let object = |(keyword, text): &(String, String)| keyword == field::PARAMETERS && is_object(text);
        (read || is_sheet(texts) || texts.iter().any(object) || program_of(texts).is_some()).then_some(read)
    }

    /// The same of the texts that are in it, by their keywords.
    pub(crate) fn of_texts(texts: &[(String, String)]) -> std::result::Result<Self, String> {
        let get = |keyword| text_of(texts, keyword);
        if let Some((keyword, text)) = texts.iter().find(|(keyword, text)| is_read(keyword) && text.len() > LONGEST) {
            let length = size(text.len() as u64);
            return Err(format!("its text `{keyword}` has {length}, which is far too much for settings"));
        }
        let own = is_own(get(Field::Software.keyword()).unwrap_or_default());
        match (get(field::PROMPT), get(field::PARAMETERS)) {
            _ if is_sheet(texts) => Err("this is a sheet of several pictures: give one picture".to_owned()),
            (Some(prompt), _) if own => Ok(Self::of_own(prompt, texts)),
            (_, Some(parameters)) if is_fooocus(parameters, texts) => Err(not_read("Fooocus")),
            (_, Some(parameters)) => Self::of_parameters(parameters, texts),
            _ => Err(without_settings(texts)),
        }
    }

    /// What our own texts say.
    fn of_own(prompt: &str, texts: &[(String, String)]) -> Self {
        let mut gathered = Gathered::default();
        for (keyword, value) in texts {
            match Field::of_keyword(keyword) {
                Some(field) => gathered.take(field, keyword, value),
                None if keyword == field::NEGATIVE => gathered.set(Setting::NegativePrompt, json!(value)),
                None => {}
            }
        }
        gathered.finished(prompt.to_owned(), true)
    }

    /// What A1111's text says.
    fn of_parameters(parameters: &str, texts: &[(String, String)]) -> std::result::Result<Self, String> {
        let infotext::Infotext { prompt, negative, fields } = infotext::read(parameters);
        if fields.is_empty() {
            let form = if is_object(parameters) {
                "a form that is not read"
            } else {
                "no line of settings (Steps: 20, Sampler: ...)"
            };
            return Err(format!("its text `parameters` has {form}"));
        }
        let mut gathered = Gathered::default();
        if !negative.is_empty() {
            gathered.set(Setting::NegativePrompt, json!(negative));
        }
        for (key, value) in &fields {
            match Field::of_key(key) {
                Some(field) => gathered.take(field, key, value),
                None => gathered.pass_over(key, value),
            }
        }
        if is_workflow(texts) {
            gathered.notes.push(LikeNote::Workflow);
        }
        Ok(gathered.finished(prompt, false))
    }

    /// A configuration with what the picture says in the place of what was not given by hand.
    pub fn applied_to(&self, config: &SampleConfig, is_given: &dyn Fn(Setting) -> bool) -> SampleConfig {
        let Ok(Value::Object(mut fields)) = serde_json::to_value(config) else { return config.clone() };
        for (name, value) in &self.settings {
            if Setting::of(name).is_some_and(|setting| is_taken_up(setting, is_given)) {
                fields.insert(name.clone(), value.clone());
            }
        }
        serde_json::from_value(Value::Object(fields)).unwrap_or_else(|_| config.clone())
    }

    /// A configuration that the picture's settings were [applied to](Self::applied_to), with what this model can have in the place
    /// of what it cannot and was not given by hand; and what is to be said of that.
    pub fn fitted(
        &self,
        config: &SampleConfig,
        model: &ModelConfig,
        is_given: &dyn Fn(Setting) -> bool,
    ) -> (SampleConfig, Vec<LikeNote>) {
        let (mut fitted, mut notes) = (config.clone(), Vec::new());
        let says = |setting: Setting| !is_given(setting) && self.settings.contains_key(setting.key());
        let step = model.size_step();
        let nearest =
            |side: Option<u32>, setting: Setting| {
                let most = LONGEST_SIDE / step * step;
                side.map(|side| {
                    if says(setting) { (side.saturating_add(step / 2) / step * step).clamp(step, most) } else { side }
                })
            };
        (fitted.width, fitted.height) =
            (nearest(config.width, Setting::Width), nearest(config.height, Setting::Height));
        if (fitted.width, fitted.height) != (config.width, config.height) {
            let size = |config: &SampleConfig| {
                let [height, width] = model.picture_size();
                format!("{}x{}", config.width.unwrap_or(width), config.height.unwrap_or(height))
            };
            notes.push(LikeNote::Fitted { key: "Size".to_owned(), value: size(config), used: size(&fitted) });
        }
        if says(Setting::ClipSkip) && model.clip_layers().is_some_and(|layers| config.clip_skip as usize > layers) {
            fitted.clip_skip = SampleConfig::default().clip_skip;
            let (value, used) = (config.clip_skip.to_string(), fitted.clip_skip.to_string());
            notes.push(LikeNote::Fitted { key: "Clip skip".to_owned(), value, used });
        }
        (fitted, notes)
    }

    /// What is to be said about the model, by what it is called and the SHA-256 of its U-Net's weights.
    pub fn about_model(&self, name: &str, hash: Option<&str>) -> Option<LikeNote> {
        let same = match hash {
            Some(hash) if self.own && !self.model_hash.is_empty() => is_same(hash, &self.model_hash),
            _ => stem(name) == stem(&self.model),
        };
        let says_nothing = self.model.is_empty() && self.model_hash.is_empty();
        (!same && !says_nothing).then(|| {
            let digits = brief(&self.model_hash);
            let model = match (self.model.as_str(), digits) {
                (name, "") => name.to_owned(),
                ("", digits) => digits.to_owned(),
                (name, digits) => format!("{} {digits}", shown(name)),
            };
            let used = hash.filter(|_| self.own).map_or_else(String::new, |hash| format!(" {}", brief(hash)));
            LikeNote::Model { model, used: format!("{name}{used}") }
        })
    }

    /// What is to be said about the embeddings, by their names and the SHA-256 of their files.
    pub fn about_embeddings(&self, at_hand: &[(String, String)]) -> Vec<LikeNote> {
        let about = |(token, hash): &(String, String)| {
            let named = at_hand.iter().find(|(other, _)| key(other) == key(token));
            let (token, digits) = (shown(token), brief(hash).to_owned());
            match named {
                Some((_, other)) if hash.is_empty() || is_same(other, hash) => None,
                Some((_, other)) => {
                    Some(LikeNote::OtherEmbedding { token, hash: digits, used: brief(other).to_owned() })
                }
                None => Some(match at_hand.iter().find(|(_, other)| is_same(other, hash)) {
                    Some((used, _)) => LikeNote::RenamedEmbedding { token, used: used.clone() },
                    None => LikeNote::NoEmbedding { token, hash: digits },
                }),
            }
        };
        self.embeddings.iter().filter_map(about).collect()
    }
}

/// Whether a setting is taken up beside those that were given by hand. A spacing belongs to its sampler: with another one that was
/// given, it is gone.
pub fn is_taken_up(setting: Setting, is_given: &dyn Fn(Setting) -> bool) -> bool {
    let is_replaced = setting == Setting::Karras && is_given(Setting::Sampler);
    !is_given(setting) && !is_replaced
}

/// Whether a text is read.
fn is_read(keyword: &str) -> bool {
    [field::PARAMETERS, field::PROMPT, field::NEGATIVE].contains(&keyword) || Field::of_keyword(keyword).is_some()
}

/// The text of a keyword.
fn text_of<'a>(texts: &'a [(String, String)], keyword: &str) -> Option<&'a str> {
    texts.iter().find(|(key, _)| key == keyword).map(|(_, text)| text.as_str())
}

/// Whether `parameters` are not A1111's but a JSON object, as some programs write there.
fn is_object(parameters: &str) -> bool {
    parameters.trim_start().starts_with('{')
}

/// Whether this is one of our sheets of pictures.
fn is_sheet(texts: &[(String, String)]) -> bool {
    let has = |keyword| text_of(texts, keyword).is_some();
    let own = text_of(texts, Field::Software.keyword()).is_some_and(is_own);
    own && has(field::PROMPT) && !has(field::PARAMETERS) && !has(Field::Size.keyword())
}

/// Whether ComfyUI wrote a workflow into the texts.
fn is_workflow(texts: &[(String, String)]) -> bool {
    let holds = |keyword: &str, part: &str| texts.iter().any(|(key, text)| key == keyword && text.contains(part));
    holds("workflow", "\"nodes\"") || holds(field::PROMPT, "\"class_type\"")
}

/// The program that wrote what is there in a form that is not read.
fn program_of(texts: &[(String, String)]) -> Option<&'static str> {
    let has = |keywords: &[&str]| texts.iter().any(|(keyword, _)| keywords.contains(&keyword.as_str()));
    let software = text_of(texts, Field::Software.keyword()).unwrap_or_default();
    match () {
        () if is_workflow(texts) => Some("ComfyUI (a workflow)"),
        () if has(&["invokeai_metadata", "invokeai_graph", "sd-metadata", "dream"]) => Some("InvokeAI"),
        () if software.contains("NovelAI") => Some("NovelAI"),
        () if has(&["fooocus_scheme"]) => Some("Fooocus"),
        () => None,
    }
}

/// Why nothing was found.
fn without_settings(texts: &[(String, String)]) -> String {
    match program_of(texts) {
        Some(program) => not_read(program),
        None => {
            "it has no settings: it was not made by a program that writes them into pictures, or they were removed, as \
                 many websites and programs do"
                .to_owned()
        }
    }
}

fn not_read(program: &str) -> String {
    format!(
        "its settings are in the form of {program}, which is not read: what is read is this program's own and A1111's"
    )
}

/// Whether Fooocus wrote `parameters` in a form of its own: JSON, with the name of the form beside it in a PNG and the version in it
/// otherwise. (It can write A1111's, too.)
fn is_fooocus(parameters: &str, texts: &[(String, String)]) -> bool {
    let Ok(fields) = serde_json::from_str::<Map<String, Value>>(parameters) else { return false };
    let version = fields.get("version").and_then(Value::as_str).unwrap_or_default();
    fields.get("metadata_scheme").is_some_and(|scheme| scheme == "fooocus")
        || version.starts_with("Fooocus")
        || texts.iter().any(|(keyword, _)| keyword == "fooocus_scheme")
}

/// Whether two hashes are of the same, one of which may be only the beginning.
fn is_same(one: &str, other: &str) -> bool {
    let length = one.len().min(other.len());
    length >= HASH && one.as_bytes()[..length].eq_ignore_ascii_case(&other.as_bytes()[..length])
}

fn brief(hash: &str) -> &str {
    hash.get(..SHOWN_HASH).unwrap_or(hash)
}

/// What is the same of all ways to write a model's name.
fn stem(model: &str) -> String {
    let name = model.rsplit(['/', '\\']).next().unwrap_or_default().to_lowercase();
    let stem = [".safetensors", ".ckpt", ".gguf"].iter().find_map(|ending| name.strip_suffix(ending)).unwrap_or(&name);
    stem.chars().filter(|c| c.is_alphanumeric()).collect()
}

#[cfg(test)]
mod tests;
