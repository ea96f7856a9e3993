//! Embedding files, read and made usable in prompts.

use std::path::Path;

use super::learned_on::{self, UsedModel, Verdict};
use crate::base::bytes::sha256;
use crate::base::files;
use crate::cli::args::Shared;
use crate::cli::load::ModelId;
use crate::cli::locate;
use crate::cli::output::Output;
use crate::cli::wording::{quoted, refused, renamed};
use crate::embedding::{self, Embedding, FileEmbedding, NamedBy, Reading, Refusal};
use crate::event::{Event, WarningCode};
use crate::model::OpenedModel;
use crate::session::Session;
use crate::shelf::NamedEmbedding;
use crate::source::fetch::EmbeddingFile;
use crate::text::{ClipTokenizer, Tokenizers, check_token, foreign, scan};
use crate::{Error, Result};

/// What an embedding file holds.
pub(in crate::cli) struct Contents {
    /// The embeddings.
    pub reading: Reading,
    /// The bytes of the file.
    pub bytes: Vec<u8>,
    /// Their SHA-256, in hexadecimal.
    pub hash: String,
}

/// Reads an embedding file.
///
/// # Errors
/// [`Error::BadFile`] with the reader's reason.
pub(in crate::cli) fn read(file: &EmbeddingFile) -> Result<Contents> {
    let bytes = files::read(&file.path)?;
    let reading = embedding::read(&bytes, &file.name)
        .map_err(|refusal| Error::BadFile { file: file.origin.clone(), reason: refusal.to_string() })?;
    let hash = sha256(&bytes);
    Ok(Contents { reading, bytes, hash })
}

/// What an embedding is called: by its file's content, else by the repository, else by the file's name.
pub(in crate::cli) fn token_of<'a>(learned: &'a FileEmbedding, file: &'a EmbeddingFile) -> Option<&'a str> {
    let own = learned.token.as_deref();
    match learned.named_by {
        NamedBy::Key | NamedBy::Field => own,
        NamedBy::FileName | NamedBy::Nobody => file.token.as_deref().or(own),
    }
}

/// An embedding that was given on the command line or is kept by name, to be made usable in prompts.
#[derive(Clone)]
pub(in crate::cli) struct EmbeddingArgument {
    pub embedding: Embedding,
    /// SHA-256 of its file.
    hash: String,
    /// The file's name for messages.
    pub file: String,
    /// What was typed for it, without a name.
    source: String,
}

impl EmbeddingArgument {
    /// What in a text was probably meant for this embedding, although it is not its name: the name of its file, or
    /// something like its token.
    pub fn meant_in(&self, text: &str) -> Option<String> {
        let stem = Path::new(&self.file).file_stem().map(|stem| stem.to_string_lossy().into_owned())?;
        if let Some((_, at)) = scan::occurrences(text, &[stem.as_str()]).next() {
            return Some(text[at].to_owned());
        }
        let words = text.split(|c: char| c.is_whitespace() || ",;:()[]".contains(c));
        let mut words = words.map(|word| word.trim_end_matches(['.', '!', '?']));
        words.find(|word| foreign::alike(word, &self.embedding.token)).map(str::to_owned)
    }

    /// The refusal of its name, with what to type to give it another.
    pub fn renamed(&self, error: Error) -> Error {
        renamed(error, "-e", &self.source)
    }
}

/// An embedding that prompts can use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) struct ActiveEmbedding {
    /// Its name in prompts.
    pub token: String,
    /// SHA-256 of its file.
    pub hash: String,
}

/// The tokens and the hashes of the files, for labels.
pub(in crate::cli) fn hashes(in_use: &[ActiveEmbedding]) -> Vec<(String, String)> {
    in_use.iter().map(|embedding| (embedding.token.clone(), embedding.hash.clone())).collect()
}

/// Reads the embeddings named on the command line.
pub(in crate::cli) async fn given(
    arguments: &[String],
    shared: &Shared,
    out: &mut Output,
) -> Result<Vec<EmbeddingArgument>> {
    let mut given = Vec::new();
    for argument in arguments {
        let (source, name) = locate::source_and_name(argument);
        let embedding = choose(&locate::embedding(source, shared, out).await?, source, name, out)?;
        check_token(&embedding.embedding.token).map_err(|error| embedding.renamed(error))?;
        let twice = |other: &&EmbeddingArgument| {
            other.hash == embedding.hash && scan::key(&other.embedding.token) == scan::key(&embedding.embedding.token)
        };
        if let Some(other) = given.iter().find(twice) {
            let (token, again) = (&embedding.embedding.token, &embedding.source);
            let text =
                format!("the embedding {token} was given twice, as {} and as {again}: leave one out", other.source);
            return Err(Error::Usage(text));
        }
        given.push(embedding);
    }
    Ok(given)
}

/// Reads the kept embeddings whose names stand in the texts, except those that are `given` already, and those whose
/// names the model has.
pub(in crate::cli) fn kept_in(
    texts: &[&str],
    given: &[EmbeddingArgument],
    model: &ClipTokenizer,
    out: &mut Output,
) -> Result<Vec<EmbeddingArgument>> {
    // Without a folder for them there are none.
    let Ok(shelf) = locate::shelf() else { return Ok(Vec::new()) };
    let mut found: Vec<EmbeddingArgument> = Vec::new();
    for NamedEmbedding { embedding: kept, others } in shelf.named_in(texts)? {
        let name = kept.token.clone();
        if given.iter().any(|other| scan::key(&other.embedding.token) == scan::key(&name)) {
            continue;
        }
        if let Err(error) = model.check_word(&name) {
            // It may be here under another name.
            if given.iter().any(|other| other.source == name) {
                continue;
            }
            let text = format!("the kept embedding {name} is not used: {}", renamed(error, "-e", &name));
            out.event(&Event::warning(WarningCode::KeptEmbedding, text))?;
            continue;
        }
        if let Some(other) = others.first() {
            let text = format!(
                "{name} and {} are one name in prompts, which have no case: {name} is used; \
                 `pseudoword embeddings remove {}` leaves one of them",
                others.join(", "),
                quoted(other)
            );
            out.event(&Event::warning(WarningCode::KeptEmbedding, text))?;
        }
        found.push(choose(&locate::stored_file(kept), &name, Some(&name), out)?);
    }
    Ok(found)
}

/// Reads one embedding, for which `source` was typed; `name` renames it, or says which one of several it is.
fn choose(file: &EmbeddingFile, source: &str, name: Option<&str>, out: &mut Output) -> Result<EmbeddingArgument> {
    let bad = |refusal: Refusal| refused(&refusal, &file.origin, source, |typed| format!("-e {typed}"));
    let Contents { reading, hash, .. } = read(file)?;
    let learned = reading.choose(name).map_err(bad)?;
    let token = name.or_else(|| token_of(&learned, file)).map(str::to_owned);
    for note in &learned.notes {
        out.event(&Event::warning(WarningCode::EmbeddingFile, format!("{}: {note}", file.origin)))?;
    }
    let embedding = learned.into_embedding(token.as_deref()).map_err(bad)?;
    Ok(EmbeddingArgument { embedding, hash, file: file.origin.clone(), source: source.to_owned() })
}

/// The tokenizers of a model with some embeddings: what is wrong with one is found out before the model is loaded.
///
/// # Errors
/// Those of [`Session::add_embedding`].
pub(in crate::cli) fn tokenizers(given: &[EmbeddingArgument], opened: &OpenedModel) -> Result<Tokenizers> {
    let (mut tokenizers, width) = (opened.tokenizers.clone(), opened.config.word_width());
    for argument in given {
        let EmbeddingArgument { embedding, file, .. } = argument;
        if embedding.width() != width {
            return Err(Error::wrong_width(file, embedding.width(), width));
        }
        let added = tokenizers.add_word(&embedding.token, embedding.vectors());
        added.map_err(|error| argument.renamed(error))?;
    }
    Ok(tokenizers)
}

/// Makes embeddings usable in prompts; warns about those that were learned on a different model.
pub(in crate::cli) async fn add_to(
    session: &mut Session,
    given: &[EmbeddingArgument],
    model: &ModelId,
    out: &mut Output,
) -> Result<Vec<ActiveEmbedding>> {
    let mut in_use = Vec::new();
    for argument in given {
        let EmbeddingArgument { embedding, hash, file, .. } = argument;
        let token = embedding.token.clone();
        session.add_embedding(embedding.clone(), file).map_err(|error| argument.renamed(error))?;
        if learned_on::compare(&embedding.metadata, &UsedModel::of(session.model()), out).await? == Verdict::Other {
            let named = embedding.metadata.get("base-model").filter(|name| **name != model.name);
            let named = named.map_or_else(String::new, |name| format!(" ({name})"));
            let text = format!(
                "{token} was learned on a different model{named} from {}: it may mean something else here",
                model.name
            );
            out.event(&Event::warning(WarningCode::OtherModel, text))?;
        }
        in_use.push(ActiveEmbedding { token, hash: hash.clone() });
    }
    Ok(in_use)
}
