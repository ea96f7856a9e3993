//! What `--model`, `--device` and `--embedding` name, opened.

use std::path::Path;
use std::rc::Rc;

use sha2::{Digest, Sha256};

use super::args::Shared;
use super::files;
use super::output::Output;
use crate::embedding::{Embedding, hex};
use crate::event::Event;
use crate::gpu::{self, Chosen};
use crate::mini;
use crate::session::Session;
use crate::source::{Folder, Source};
use crate::{Error, Result};

/// Where the weights of a U-Net are; they stand for the model where its identity is asked.
const UNET: [&str; 2] = ["unet/diffusion_pytorch_model.safetensors", "unet/diffusion_pytorch_model.fp16.safetensors"];
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
    /// Identifies a model.
    pub async fn of(source: &dyn Source) -> Result<Self> {
        let name = source.name();
        let name = match name.as_str() {
            mini::NAME => "mini".to_owned(),
            path => {
                Path::new(path).file_name().map_or_else(|| path.to_owned(), |name| name.to_string_lossy().into_owned())
            }
        };
        Ok(Self { name, hash: unet_hash(source).await? })
    }
}

async fn unet_hash(source: &dyn Source) -> Result<Option<String>> {
    for path in UNET {
        let Some(length) = source.length(path).await? else { continue };
        let mut hash = Sha256::new();
        for start in (0..length).step_by(CHUNK as usize) {
            hash.update(source.read(path, start..length.min(start + CHUNK)).await?);
        }
        return Ok(Some(hex(&hash.finalize())));
    }
    Ok(None)
}

/// The files of the model that was asked for.
///
/// # Errors
/// [`Error::BadFile`] for what is no folder.
pub(super) fn model(shared: &Shared) -> Result<Rc<dyn Source>> {
    let Some(path) = &shared.model else { return Ok(Rc::new(mini::source())) };
    let bad = |reason: &str| Err(Error::BadFile { file: path.display().to_string(), reason: reason.to_owned() });
    match std::fs::metadata(path) {
        Ok(about) if about.is_dir() => Ok(Rc::new(Folder::new(path))),
        Ok(_) => bad("a model is given as a folder in the diffusers layout (unet/, vae/, ...), this is a file"),
        // The name of the model in this program, unless a folder is called so.
        Err(_) if path.as_os_str() == "mini" => Ok(Rc::new(mini::source())),
        Err(error) => bad(&format!("there is no such model folder ({error})")),
    }
}

/// Chooses the device and loads the model onto it.
pub(super) async fn session(shared: &Shared, source: Rc<dyn Source>, out: &mut Output) -> Result<(Session, Chosen)> {
    let chosen = gpu::choose(shared.device)?;
    out.event(&chosen.event())?;
    let mut told = Ok(());
    let session = Session::open(source, &chosen.device, &mut |event| {
        if told.is_ok() {
            told = out.event(&event);
        }
    })
    .await;
    // A reader who went away is no reason for the failure that may have followed.
    let session = session?;
    told?;
    Ok((session, chosen))
}

/// A learned word in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Word {
    /// Its name in prompts.
    pub token: String,
    /// What it was started from, if that is a phrase that the model knows.
    pub init: Option<String>,
    /// SHA-256 of its file.
    pub hash: String,
    /// The hash of the model it was learned on, where the file says so.
    pub model_hash: Option<String>,
}

/// Reads the embeddings named on the command line.
pub(super) fn embeddings(arguments: &[String]) -> Result<Vec<(Embedding, Word, String)>> {
    let read = |argument: &String| {
        let (path, name) = files::file_and_name(argument);
        let (mut embedding, hash) = files::read_embedding(&path)?;
        if let Some(name) = name {
            embedding.token = name.to_owned();
        }
        let word = Word {
            token: embedding.token.clone(),
            init: embedding.metadata.get("init").filter(|init| is_phrase(init)).cloned(),
            hash,
            model_hash: embedding.metadata.get("model-hash").cloned(),
        };
        Ok((embedding, word, path.display().to_string()))
    };
    arguments.iter().map(read).collect()
}

/// Whether a record of where a word started from can stand in a prompt: drawn numbers and other learned words cannot.
fn is_phrase(init: &str) -> bool {
    !init.starts_with("random (")
        && init.chars().all(|c| c.is_alphanumeric() || c.is_whitespace() || "'-,.".contains(c))
}

/// Makes words usable in prompts; warns about those that were learned on another model.
pub(super) fn add_words(
    session: &mut Session,
    embeddings: Vec<(Embedding, Word, String)>,
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

    #[test]
    fn only_phrases_can_stand_in_for_a_word() {
        assert!(is_phrase("apple") && is_phrase("a big teddy-bear"));
        assert!(!is_phrase("random (object)") && !is_phrase("<my-cat>"));
    }

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
