//! A model in one `.safetensors` or `.gguf` file, in the layout in which Stable Diffusion was published, as a diffusers folder.
//!
//! Both layouts hold the same numbers under other names, and no weight has to be computed with: where OpenCLIP keeps
//! three projections in one matrix they lie one after the other, and one matrix of SDXL's is turned over. So a [`Checkpoint`] is a [`Source`] whose weight files
//! consist of a header of its own and ranges of the file, and the rest of the program sees a folder. Only the header is
//! read until a weight is asked for. Configurations and tokenizer, which such a file lacks, are those of its family, or
//! come from a folder that is given with it.

mod base;
mod blocks;
mod config;
mod names;
mod numbers;
mod part_file;
mod recognise;
mod statement;
mod tokenizer;

use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;

use self::base::{BaseStatements, base_texts, configured, tokenizers};
use self::names::AVERAGES;
use self::numbers::Numbers;
use self::part_file::{PartFile, parts, slice};
pub use self::recognise::Family;
pub(crate) use self::recognise::PLAYGROUND;
pub use self::statement::beside;
use self::statement::{Said, Statements};
pub use self::tokenizer::vocabulary_files;
use crate::event::{Event, WarningCode};
use crate::parts::Part;
use crate::schedule::PredictionType;
use crate::setting::Setting;
use crate::source::{LocalFuture, Source};
use crate::unet::UnetConfig;
use crate::weights::{Header, not_used};
use crate::{Error, Result};

/// What to do about things that the file does not say.
#[derive(Clone, Default)]
pub struct Options {
    /// A model folder whose configuration and tokenizer are taken, where it has them.
    pub base: Option<Rc<dyn Source>>,
    /// What the U-Net predicts; none: what the file says, or what is usual for its family.
    pub prediction: Option<PredictionType>,
}

/// Opens a model in one file as the folder that it stands for. Decisions that may be wrong are reported to `events`.
///
/// # Errors
/// Those of [`Checkpoint::open`].
pub async fn open(
    file: Rc<dyn Source>,
    path: &str,
    options: &Options,
    events: &mut dyn FnMut(Event),
) -> Result<Rc<dyn Source>> {
    let checkpoint = Checkpoint::open(file, path, options).await?;
    for note in checkpoint.notes() {
        events(Event::warning(WarningCode::Checkpoint, format!("{}: {note}", checkpoint.name())));
    }
    Ok(Rc::new(checkpoint))
}

/// A model in one file.
pub struct Checkpoint {
    file: Rc<dyn Source>,
    path: String,
    name: String,
    family: Family,
    notes: Vec<String>,
    texts: BTreeMap<String, Vec<u8>>,
    /// What the files of `texts` are called in messages.
    called: BTreeMap<String, String>,
    parts: BTreeMap<String, PartFile>,
}

impl Checkpoint {
    /// Reads the header of `path` in `file`, and decides what it is.
    ///
    /// # Errors
    /// [`Error::BadFile`] for a file that is not such a checkpoint, naming what it is; [`Error::ModelPartMissing`] if
    /// neither the base nor this program has a file that it needs.
    pub async fn open(file: Rc<dyn Source>, path: &str, options: &Options) -> Result<Self> {
        let name = match file.name() {
            folder if folder.is_empty() => path.to_owned(),
            folder => format!("{}/{path}", folder.trim_end_matches('/')),
        };
        let bad = |reason: String| Error::BadFile { file: name.clone(), reason };
        let Some(length) = file.length(path).await? else { return Err(bad("there is no such file".to_owned())) };
        let header = Header::of_single_file(&*file, path, length).await?;
        let family = recognise::recognise(&header).map_err(|what| bad(format!("this is {what}")))?;
        let Statements { prediction: said, side, zero_snr, mut notes } =
            Statements::read(&*file, path, &header, family).await;
        let from_base = base_texts(options, family, &name).await?;
        let base = BaseStatements::of(options, &from_base);
        notes.extend(base.without_tokenizer(family.architecture()));
        let given = options.prediction.or(said.first().map(|said| said.what));
        notes.extend(disagreement(options.prediction, &said, &base));
        let prediction = match given {
            None if base.has_schedule => base.prediction,
            None => usual(&*file, path, &header, family, &mut notes).await?,
            given => given,
        };
        let mut texts = texts(&name, family, (given, prediction), side.as_ref().map(|side| side.what), from_base)?;
        let numbers = Numbers::read(&*file, path, &header, &texts).await?;
        notes.extend(numbers.notes);
        if let Some(by) = zero_snr.or(numbers.zero_snr).or(base.zero_snr.clone()) {
            notes.extend(obey_zero_snr(&mut texts, &by, base.zero_snr.is_some()));
        }
        notes.extend(averages(&header));
        let called = texts.keys().map(|path| (path.clone(), base.called(path, &name))).collect();
        notes.extend(other_side(side, &texts, &base));
        let (parts, unknown) = parts(&header).map_err(bad)?;
        notes.extend(not_used(&unknown));
        Ok(Self { file, path: path.to_owned(), name, family, notes, texts, called, parts })
    }

    /// What family of models it is of.
    pub fn family(&self) -> Family {
        self.family
    }

    /// What was decided without being sure, in sentences.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }
}

/// Configuration and tokenizer of a family's published model, as files by their paths.
///
/// # Errors
/// [`Error::ModelPartMissing`] for a family whose sizes are not known.
pub fn family_files(family: Family) -> Result<Vec<(String, Vec<u8>)>> {
    let prediction = if family == Family::Sd2 { PredictionType::VPrediction } else { PredictionType::Epsilon };
    let texts = config::files(family, prediction, None).ok_or_else(|| Error::ModelPartMissing {
        model: format!("{family:?}"),
        part: "configuration".to_owned(),
        expected: "a model folder".to_owned(),
    })?;
    let tokenizers = tokenizer::built_in(family)?;
    let texts = texts.into_iter().map(|(path, text)| (path.to_owned(), text.into_bytes()));
    Ok(texts.chain(tokenizers.into_iter().flatten()).collect())
}

/// The same of a model that is as deep as Stable Diffusion 1.5 and an eighth as wide, with one head of attention where
/// that has eight: its heads are as wide.
///
/// # Errors
/// None in a whole program.
pub fn narrow_files() -> Result<Vec<(String, Vec<u8>)>> {
    let narrowed = |(path, bytes): (String, Vec<u8>)| match config::narrowed(&path, &bytes) {
        Some(text) => (path, text.into_bytes()),
        None => (path, bytes),
    };
    Ok(family_files(Family::Sd1)?.into_iter().map(narrowed).collect())
}

/// What to say where the user, the file and the base do not agree on what the U-Net predicts.
fn disagreement(asked: Option<PredictionType>, said: &[Said<PredictionType>], base: &BaseStatements) -> Option<String> {
    let own = said.first();
    let other = base.prediction.map(|what| Said { what, by: format!("the base {}", base.name) });
    match (asked, own, other) {
        (Some(asked), own, other) => {
            let against = own.or(other.as_ref()).filter(|said| said.what != asked)?;
            Some(format!(
                "{} says that it predicts {}, but {} counts, which says {}",
                against.by,
                against.what.label(),
                Setting::PredictionType,
                asked.label()
            ))
        }
        (None, Some(own), Some(other)) if own.what != other.what => Some(format!(
            "{} says that it predicts {}, {} says {}: what the file says counts; {} changes it",
            own.by,
            own.what.label(),
            other.by,
            other.what.label(),
            Setting::PredictionType
        )),
        _ => None,
    }
}

/// What to say where the base was trained on pictures of another size than the file.
fn other_side(side: Option<Said<u64>>, texts: &BTreeMap<String, Vec<u8>>, base: &BaseStatements) -> Option<String> {
    let Said { what: side, by } = side?;
    let text = |part: Part| texts.get(part.config()).map(|text| String::from_utf8_lossy(text));
    let sides = UnetConfig::from_json(&text(Part::Unet)?, "").ok()?.sample_size?.sides();
    let pixels = config::pixels_per_latent(&text(Part::Vae)?)?;
    let [height, width] = sides.map(|latents| latents as u64 * pixels);
    (height != side || width != side).then(|| {
        format!(
            "{by} says that it was trained on {side} x {side} pixels, the base {} says {height} x {width}, which counts; {} and \
             {} change it",
            base.name,
            Setting::Width,
            Setting::Height
        )
    })
}

/// What is usual for a family, as diffusers decides: 2.x predicts the velocity unless the file has the step count of
/// the published base model. None where a configuration file will say.
async fn usual(
    file: &dyn Source,
    path: &str,
    header: &Header,
    family: Family,
    notes: &mut Vec<String>,
) -> Result<Option<PredictionType>> {
    /// Steps that `stable-diffusion-2-base` was trained for.
    const BASE_STEPS: i64 = 875_000;
    match family {
        Family::Sd1 | Family::Sdxl => Ok(Some(PredictionType::Epsilon)),
        Family::Other(_) => Ok(None),
        Family::Sd2 => {
            let steps = match header
                .get("global_step")
                .filter(|entry| entry.dtype == "I64" && entry.offsets[1] - entry.offsets[0] == 8)
            {
                Some(entry) => file.read(path, header.span(entry)).await?.try_into().ok().map(i64::from_le_bytes),
                None => None,
            };
            if steps == Some(BASE_STEPS) {
                return Ok(Some(PredictionType::Epsilon));
            }
            notes.push(format!(
                "files of Stable Diffusion 2.x do not say what they predict: this one is assumed to predict the velocity \
                 at 768 pixels, as most do; if pictures come out as noise, set {} epsilon",
                Setting::PredictionType
            ));
            Ok(Some(PredictionType::VPrediction))
        }
    }
}

/// What to say where the U-Net's weights are there once more.
fn averages(header: &Header) -> Option<String> {
    header.tensors().any(|entry| entry.name.starts_with(AVERAGES)).then(|| {
        "it also holds averages of the U-Net's weights over the training (EMA, model_ema), which are not used: the plain \
         weights are"
            .to_owned()
    })
}

/// Configurations and tokenizer: the base's where it has them, which are given, else those of the family.
fn texts(
    name: &str,
    family: Family,
    (given, prediction): (Option<PredictionType>, Option<PredictionType>),
    side: Option<u64>,
    mut texts: BTreeMap<String, Vec<u8>>,
) -> Result<BTreeMap<String, Vec<u8>>> {
    let scheduler = Part::Scheduler.config();
    if let Some(text) = texts.get(scheduler) {
        let mut text = String::from_utf8_lossy(text).into_owned();
        // Until it is known what is predicted, and what the numbers in the file say (`obey_zero_snr`).
        text = config::without_zero_snr(&text).unwrap_or(text);
        // What the user or the file says comes before what a base's schedule says.
        if let Some(prediction) = given {
            text = config::with_prediction(&text, prediction);
        }
        texts.insert(scheduler.to_owned(), text.into_bytes());
    }
    let built_in = config::files(family, prediction.unwrap_or(PredictionType::Epsilon), side);
    for (path, text) in built_in.into_iter().flatten() {
        texts.entry(path.to_owned()).or_insert_with(|| text.into_bytes());
    }
    if let Some(missing) = configured(family.architecture()).map(Part::config).find(|path| !texts.contains_key(*path)) {
        return Err(Error::BadFile {
            file: name.to_owned(),
            reason: format!(
                "this is a checkpoint of unusual sizes, which cannot be run without {missing}: that comes with {}, the \
                 diffusers folder that it belongs to",
                Setting::Base
            ),
        });
    }
    for (tokenizer, files) in tokenizers(family.architecture()).zip(tokenizer::built_in(family)?) {
        if tokenizer.found(|path| texts.contains_key(path)).is_none() {
            // None of its files is to be read with those of another.
            texts.retain(|path, _| Part::of(path) != Some(tokenizer));
            texts.extend(files);
        }
    }
    Ok(texts)
}

/// Makes the noise schedule end without any signal, as something says that the model was trained; what to say where that
/// cannot be. A base that asks for it has its own spacing of timesteps.
fn obey_zero_snr(texts: &mut BTreeMap<String, Vec<u8>>, by: &str, of_base: bool) -> Option<String> {
    let scheduler = texts.get_mut(Part::Scheduler.config())?;
    let text = String::from_utf8_lossy(scheduler).into_owned();
    if config::prediction_of(&text) != Some(PredictionType::VPrediction) {
        return Some(statement::zero_snr_of_noise(by));
    }
    *scheduler = config::with_zero_snr(&text, !of_base).into_bytes();
    None
}

impl Source for Checkpoint {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn single_file(&self) -> Option<(&dyn Source, &str)> {
        Some((&*self.file, &self.path))
    }

    fn origin(&self, path: &str, weight: &str) -> (String, String) {
        let name = self.parts.get(path).and_then(|part| part.names.get(weight));
        (self.called.get(path).unwrap_or(&self.name).clone(), name.map_or(weight, String::as_str).to_owned())
    }

    fn length<'a>(&'a self, path: &'a str) -> LocalFuture<'a, Result<Option<u64>>> {
        Box::pin(async move {
            let text = self.texts.get(path).map(|text| text.len() as u64);
            Ok(text.or_else(|| Some(self.parts.get(path)?.length)))
        })
    }

    fn read<'a>(&'a self, path: &'a str, range: Range<u64>) -> LocalFuture<'a, Result<Vec<u8>>> {
        Box::pin(async move {
            let outside = || Error::Internal(format!("{path} has no bytes {range:?}"));
            if let Some(text) = self.texts.get(path) {
                return slice(text, range.clone()).ok_or_else(outside);
            }
            let part = self.parts.get(path).ok_or_else(outside)?;
            part.read(&*self.file, &self.path, range.clone()).await?.ok_or_else(outside)
        })
    }
}
