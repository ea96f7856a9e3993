//! What the folder that is given with a single file has, and says.

use std::collections::BTreeMap;

use super::recognise::Family;
use super::{Options, config};
use crate::parts::{Architecture, Part};
use crate::schedule::PredictionType;
use crate::source::{Source, read_text};
use crate::{Error, Result};

/// What the base's files say.
#[derive(Default)]
pub(super) struct BaseStatements {
    pub name: String,
    /// Whether it has a noise schedule.
    pub has_schedule: bool,
    /// What its noise schedule says in so many words; files that say nothing leave it to a default.
    pub prediction: Option<PredictionType>,
    /// What of it asks for zero terminal SNR.
    pub zero_snr: Option<String>,
    /// What its files are called in messages.
    files: BTreeMap<String, String>,
    /// The tokenizers that are its own.
    tokenizers: Vec<Part>,
}

/// The parts of such a model that have a configuration file.
pub(super) fn configured(architecture: Architecture) -> impl Iterator<Item = Part> + Clone {
    let tokenizers = tokenizers(architecture);
    architecture.parts().iter().copied().filter(move |part| !tokenizers.clone().any(|tokenizer| tokenizer == *part))
}

/// Its tokenizers.
pub(super) fn tokenizers(architecture: Architecture) -> impl Iterator<Item = Part> + Clone {
    architecture.text_encoders().iter().map(|(_, tokenizer)| *tokenizer)
}

/// What of the base's configurations and tokenizers there is.
///
/// # Errors
/// [`Error::ModelPartMissing`] if that is nothing; [`Error::BadFile`], about the checkpoint of this name, if the base is of
/// another architecture than its family.
pub(super) async fn base_texts(options: &Options, family: Family, name: &str) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut texts = BTreeMap::new();
    let Some(base) = &options.base else { return Ok(texts) };
    let architecture = family.architecture();
    check_kind(&**base, family, name).await?;
    let taken = || configured(architecture).map(Part::config).chain(tokenizers(architecture).flat_map(Part::small));
    // What a base of SDXL says of empty negative prompts.
    let index = (architecture == Architecture::Sdxl).then_some(Part::MODEL_INDEX);
    for path in taken().chain(index) {
        if let Some(text) = read_text(&**base, path).await? {
            texts.insert(path.to_owned(), text.into_bytes());
        }
    }
    if texts.is_empty() {
        let expected = format!("one of {}", taken().collect::<Vec<_>>().join(", "));
        let part = "configuration or tokenizer".to_owned();
        return Err(Error::ModelPartMissing { model: base.name(), part, expected });
    }
    Ok(texts)
}

/// Refuses a base that has one text encoder where the file has two, and the other way round.
async fn check_kind(base: &dyn Source, family: Family, name: &str) -> Result<()> {
    let [first, second] = [Part::TextEncoder, Part::TextEncoder2].map(Part::config);
    let has_second = base.length(second).await?.is_some();
    let reason = match family.architecture() {
        Architecture::Sd if has_second => "has SDXL's two text encoders: this file has one",
        Architecture::Sdxl if !has_second && base.length(first).await?.is_some() => {
            "has one text encoder: this file has SDXL's two"
        }
        _ => return Ok(()),
    };
    let reason = format!("the base {} {reason}, so they do not belong to one model", base.name());
    Err(Error::BadFile { file: name.to_owned(), reason })
}

impl BaseStatements {
    pub fn of(options: &Options, texts: &BTreeMap<String, Vec<u8>>) -> Self {
        let Some(base) = &options.base else { return Self::default() };
        let (name, schedule) = (base.name(), texts.get(Part::Scheduler.config()));
        let text = schedule.map(|text| String::from_utf8_lossy(text));
        let zero_snr = text.as_deref().and_then(config::without_zero_snr);
        let has = |tokenizer: &Part| tokenizer.found(|path| texts.contains_key(path)).is_some();
        Self {
            has_schedule: text.is_some(),
            prediction: text.as_deref().and_then(config::prediction_of),
            zero_snr: zero_snr.map(|_| format!("the base {name} (rescale_betas_zero_snr)")),
            files: texts.keys().map(|path| (path.clone(), base.origin(path, "").0)).collect(),
            tokenizers: tokenizers(Architecture::Sdxl).filter(has).collect(),
            name,
        }
    }

    /// What to say where the base has not all tokenizers.
    pub fn without_tokenizer(&self, architecture: Architecture) -> Option<String> {
        let missing = tokenizers(architecture).find(|part| !self.tokenizers.contains(part))?;
        let name = &self.name;
        (!self.files.is_empty()).then(|| {
            format!(
                "the base {name} has no {missing} ({}): CLIP's, which is in this program, is used",
                missing.expected()
            )
        })
    }

    /// What a text that stands for a file is called in messages, of a checkpoint of this name.
    pub fn called(&self, path: &str, checkpoint: &str) -> String {
        let is_built_in = |part: Part| tokenizers(Architecture::Sdxl).any(|tokenizer| tokenizer == part);
        match self.files.get(path) {
            _ if Part::of(path).is_some_and(|part| is_built_in(part) && !self.tokenizers.contains(&part)) => {
                match self.name.as_str() {
                    "" => "CLIP's tokenizer in this program".to_owned(),
                    base => format!("CLIP's tokenizer in this program (the base {base} has none)"),
                }
            }
            Some(called) => called.clone(),
            None => format!("{checkpoint} (with the {path} that is usual for it)"),
        }
    }
}
