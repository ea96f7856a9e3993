//! What was found, opened: the model on a device, and words for it.

use std::path::Path;
use std::rc::Rc;

use sha2::{Digest, Sha256};

use super::args::{Shared, WeightStorage};
use super::find;
use super::output::Output;
use crate::base::bytes::{hex, size};
use crate::embedding::{Embedding, Refusal};
use crate::event::{Event, Part};
use crate::gpu::tuning::{self, Tuning};
use crate::gpu::{self, Chosen};
use crate::mini;
use crate::model::{Loading, ModelConfig, usual_storage, usual_storage_of};
use crate::parts::FileLength;
use crate::plan::{Machine, MemoryPlan, WeightBytes};
use crate::session::Session;
use crate::source::Source;
use crate::source::fetch::EmbeddingFile;
use crate::weights::{Storage, files as weight_files};
use crate::{Error, Result};

/// Needs below this are not told.
const WORTH_SAYING: u64 = 512 << 20;
/// Bytes that are hashed at a time.
const CHUNK: u64 = 16 << 20;

/// A model as files and labels name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ModelId {
    /// The folder's name without its path, which is nobody's business.
    pub name: String,
    /// SHA-256 of the U-Net's weights.
    pub hash: Option<String>,
}

impl ModelId {
    /// Identifies a model by its files, which are read for that.
    pub async fn of(source: &dyn Source) -> Result<Self> {
        Ok(Self { hash: unet_hash(source).await?, ..Self::named(source) })
    }

    /// Names a model that is not loaded yet.
    pub fn named(source: &dyn Source) -> Self {
        let name = source.name();
        let name = match name.as_str() {
            mini::NAME => "mini".to_owned(),
            path => {
                Path::new(path).file_name().map_or_else(|| path.to_owned(), |name| name.to_string_lossy().into_owned())
            }
        };
        Self { name, hash: None }
    }
}

async fn unet_hash(source: &dyn Source) -> Result<Option<String>> {
    let Some(paths) = weight_files::find(source, Part::Unet).await? else { return Ok(None) };
    let mut hash = Sha256::new();
    for path in paths {
        let length = source.length(&path).await?.unwrap_or(0);
        for start in (0..length).step_by(CHUNK as usize) {
            hash.update(source.read(&path, start..length.min(start + CHUNK)).await?);
        }
    }
    Ok(Some(hex(&hash.finalize())))
}

/// A plan for what is to be done with a model, given its weights as they will be kept, and whether the processor computes.
pub(super) type Planned<'a> = &'a dyn Fn(&ModelConfig, WeightBytes, bool) -> MemoryPlan;

/// Before a model's weights are fetched: says what the work will take of the memory, judged by their lengths; nothing where
/// that is not worth a word.
///
/// # Errors
/// [`Error::TooLittleMemory`] if the work cannot be done however the weights are kept, [`Error::NoGpu`] if there is no device
/// to do it.
pub(super) fn outlook(
    shared: &Shared,
    config: &ModelConfig,
    lengths: &[FileLength],
    planned: Planned<'_>,
) -> Result<Option<String>> {
    let chosen = gpu::choose(shared.device)?;
    let bytes = lengths.iter().map(|file| file.bytes).sum();
    let storage = asked(shared.weights).unwrap_or_else(|| usual_storage_of(bytes, chosen.kind == "gpu"));
    let plan = planned(config, WeightBytes::at_least(lengths, storage), chosen.kind == "cpu");
    let machine = machine(&chosen);
    plan.check(&machine)?;
    let free = machine.free.map_or_else(String::new, |free| format!("; {} are free", size(free)));
    Ok((plan.peak() > WORTH_SAYING).then(|| format!("using it takes {}{free}", plan.sentence())))
}

/// How weights are to be kept, if the user says so.
fn asked(weights: WeightStorage) -> Option<Storage> {
    match weights {
        WeightStorage::Auto => None,
        WeightStorage::File => Some(Storage::AsFile),
        WeightStorage::F16 => Some(Storage::F16),
        WeightStorage::F32 => Some(Storage::F32),
    }
}

/// Chooses the device, says how much memory the work will need, and loads the model.
///
/// # Errors
/// [`Error::TooLittleMemory`] before anything is loaded, if the work cannot be done.
pub(super) async fn session(
    shared: &Shared,
    source: Rc<dyn Source>,
    planned: Planned<'_>,
    loading: Loading,
    out: &mut Output,
) -> Result<(Session, Chosen)> {
    let chosen = gpu::choose(shared.device)?;
    out.event(&chosen.event())?;
    Ok((on_device(&chosen, source, shared.weights, planned, loading, out).await?, chosen))
}

/// Says how much memory the work will need, and loads the model onto a device; how its weights are kept is for `weights` to
/// say.
///
/// # Errors
/// [`Error::TooLittleMemory`] before anything is loaded, if the work cannot be done.
pub(super) async fn on_device(
    chosen: &Chosen,
    source: Rc<dyn Source>,
    weights: WeightStorage,
    planned: Planned<'_>,
    loading: Loading,
    out: &mut Output,
) -> Result<Session> {
    let storage = match asked(weights) {
        Some(storage) => storage,
        None => usual_storage(&*source, chosen.kind == "gpu").await?,
    };
    let config = ModelConfig::read(&*source).await?;
    let plan = planned(&config, WeightBytes::read(&*source, storage).await?, chosen.kind == "cpu");
    // For what fits into any machine the sentence would be noise.
    if plan.peak() > WORTH_SAYING {
        out.message(&format!("this will need {}", plan.sentence()));
    }
    if let Some(tight) = plan.check(&machine(chosen))? {
        out.event(&Event::warning("memory", tight))?;
    }
    tune(chosen, out).await?;
    let mut told = Ok(());
    let loading = Loading { storage: Some(storage), ..loading };
    let session = Session::load(source, &chosen.device, loading, &mut |event| {
        if told.is_ok() {
            told = out.event(&event);
        }
    })
    .await;
    // A reader who went away is no reason for the failure that may have followed.
    let session = session?;
    told?;
    Ok(session)
}

/// Has products made as is fastest on the chosen device; says what was measured for that, and what went wrong.
async fn tune(chosen: &Chosen, out: &mut Output) -> Result<()> {
    match tuning::tune(chosen, find::cache().as_deref(), false).await {
        Some(tuning @ Tuning::Measured { .. }) => {
            out.message(&format!("matrix products are made {}", tuning.sentence()))
        }
        Some(tuning @ Tuning::Failed(_)) => {
            let text = format!("matrix products are made {}", tuning.sentence());
            out.event(&Event::warning("tuning", text))?;
        }
        _ => {}
    }
    Ok(())
}

/// What the chosen device has to give, as far as that is known.
fn machine(chosen: &Chosen) -> Machine {
    if chosen.kind == "cpu" {
        return Machine::processor();
    }
    let adapter = gpu::adapters().into_iter().find(|adapter| adapter.info.name == chosen.name);
    let limits = adapter.as_ref().map(|adapter| &adapter.limits);
    let largest_buffer = limits.map(|limits| limits.max_buffer_size.min(limits.max_storage_buffer_binding_size));
    // What shares the processor's memory has no more than that; what other GPUs have free nobody tells.
    let free = adapter.as_ref().filter(|adapter| adapter.shares_memory()).and(Machine::processor().free);
    Machine { free, largest_buffer }
}

/// A learned word in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Word {
    /// Its name in prompts.
    pub token: String,
    /// SHA-256 of its file.
    pub hash: String,
    /// The hash of the model it was learned on, where the file says so.
    pub model_hash: Option<String>,
}

/// Their tokens and the hashes of their files, for labels.
pub(super) fn hashes(words: &[Word]) -> Vec<(String, String)> {
    words.iter().map(|word| (word.token.clone(), word.hash.clone())).collect()
}

/// A word that was read, what is remembered of it, and its file's name for messages.
pub(super) type Read = (Embedding, Word, String);

/// Reads the embeddings named on the command line.
pub(super) async fn embeddings(arguments: &[String], shared: &Shared, out: &mut Output) -> Result<Vec<Read>> {
    let mut words = Vec::new();
    for argument in arguments {
        let (source, name) = find::source_and_name(argument);
        words.push(read(&find::word(source, shared, out).await?, name, out)?);
    }
    Ok(words)
}

/// Reads the kept words that stand in the texts, except those whose names are `given` to others.
pub(super) fn kept_words(texts: &[&str], given: &[Read], out: &mut Output) -> Result<Vec<Read>> {
    // Without a place for them there are none.
    let Ok(shelf) = find::shelf() else { return Ok(Vec::new()) };
    let mut words: Vec<Read> = Vec::new();
    for text in texts {
        for kept in shelf.named_in(text)? {
            let name = kept.token.clone();
            let taken = |(word, ..): &Read| word.token.to_lowercase() == name.to_lowercase();
            if !given.iter().chain(&words).any(taken) {
                words.push(read(&find::stored_file(kept), Some(&name), out)?);
            }
        }
    }
    Ok(words)
}

/// Reads one word; `name` renames it, or says which one of several it is.
fn read(file: &EmbeddingFile, name: Option<&str>, out: &mut Output) -> Result<Read> {
    let bad = |refusal: Refusal| Error::BadFile { file: file.origin.clone(), reason: refusal.to_string() };
    let opened = find::open(file)?;
    let learned = opened.reading.choose(name).map_err(bad)?;
    let token = name.or_else(|| find::token(&learned, file)).map(str::to_owned);
    for note in &learned.notes {
        out.event(&Event::warning("embedding-file", format!("{}: {note}", file.origin)))?;
    }
    let embedding = learned.into_embedding(token.as_deref()).map_err(bad)?;
    let word = Word {
        token: embedding.token.clone(),
        hash: opened.hash,
        model_hash: embedding.metadata.get("model-hash").cloned(),
    };
    Ok((embedding, word, file.origin.clone()))
}

/// Makes words usable in prompts; warns about those that were learned on another model.
pub(super) fn add_words(
    session: &mut Session,
    embeddings: Vec<Read>,
    model: &ModelId,
    out: &mut Output,
) -> Result<Vec<Word>> {
    let mut words = Vec::new();
    for (embedding, word, file) in embeddings {
        session.add_embedding(embedding, &file)?;
        if word.model_hash.is_some() && word.model_hash != model.hash {
            let (token, model) = (&word.token, &model.name);
            let text = format!("{token} was learned on another model than {model}: it may mean something else here");
            out.event(&Event::warning("other-model", text))?;
        }
        words.push(word);
    }
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Folder;

    #[test]
    fn the_model_in_the_program_is_known_by_name_and_hash() {
        let id = pollster::block_on(ModelId::of(&mini::source())).unwrap();
        assert_eq!(id.name, "mini");
        assert_eq!(id.hash.unwrap().len(), 64);
        let folder = Folder::new("somewhere/secret/model");
        let id = pollster::block_on(ModelId::of(&folder)).unwrap();
        assert_eq!(id, ModelId { name: "model".to_owned(), hash: None });
    }
}
