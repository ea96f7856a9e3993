//! Embedding files, read and made usable in prompts.

use std::path::{Path, PathBuf};

use super::learned_on::{self, UsedModel, Verdict};
use crate::base::bytes::sha256;
use crate::base::files::{self, file_name};
use crate::cli::args::Shared;
use crate::cli::load::ModelId;
use crate::cli::locate;
use crate::cli::output::Output;
use crate::cli::wording::{quoted, refused, renamed};
use crate::embedding::{self, Embedding, Encoder, FileEmbedding, NamedBy, Note, Reading, Refusal, Vectors};
use crate::event::{Event, WarningCode};
use crate::model::OpenedModel;
use crate::session::Session;
use crate::shelf::NamedEmbedding;
use crate::source::fetch::EmbeddingFile;
use crate::text::{ClipTokenizer, Tokenizers, aliases, check_token, likeness, scan};
use crate::{Error, Result};

/// Widths of SDXL's vectors.
const SDXL_WIDTHS: [usize; 2] = [768, 1280];

/// What an embedding file holds.
pub(in crate::cli) struct Contents {
    /// The embeddings.
    pub reading: Reading,
    /// The bytes of the file.
    pub bytes: Vec<u8>,
    /// Their SHA-256, in hexadecimal; of two files that belong together, that of both.
    pub hash: String,
    /// The other of two files that belong together.
    pub other: Option<PathBuf>,
}

/// Reads an embedding file, and the one beside it where the two are one embedding.
///
/// # Errors
/// [`Error::BadFile`] with the reader's reason.
pub(in crate::cli) fn read(file: &EmbeddingFile) -> Result<Contents> {
    let bytes = files::read(&file.path)?;
    let bad = |refusal: Refusal| Error::BadFile { file: file.origin.clone(), reason: refusal.to_string() };
    let mut reading = embedding::read(&bytes, &file.name).map_err(bad)?;
    if let Some(names) = &file.names {
        reading = embedding::named(reading, names).map_err(bad)?;
    }
    // Another file may happen to be called so; one by diffusers is a part of what is asked for.
    let by_diffusers = file.name.starts_with("learned_embeds");
    let alone = reading.embeddings().iter().all(|word| word.encoders.len() == 1);
    let Some(other) = file.other.as_deref().filter(|_| alone) else {
        if let Some(first) = embedding::first_of(&file.name).filter(|_| alone && by_diffusers) {
            reading = reading.with_note(&Note::WithoutFirst(first));
        }
        return Ok(Contents { reading, hash: sha256(&bytes), bytes, other: None });
    };
    let (more, name) = (files::read(other)?, file_name(other));
    let is_first = is_first_of(other, &file.name);
    let joined = embedding::read(&more, &name).and_then(|more| {
        if is_first { embedding::join(more, &reading) } else { embedding::join(reading.clone(), &more) }
    });
    let fits = |both: &Reading| by_diffusers || !is_first || both.embeddings()[0].widths() == SDXL_WIDTHS;
    match joined {
        Ok(both) if fits(&both) => {
            let in_order = if is_first { [&more[..], &bytes] } else { [&bytes[..], &more] };
            Ok(Contents { reading: both, hash: sha256(in_order.concat()), bytes, other: Some(other.to_owned()) })
        }
        Err(Refusal::NotAPair { reason }) if by_diffusers => {
            let note = Note::NotTheOther { name, reason };
            Ok(Contents { reading: reading.with_note(&note), hash: sha256(&bytes), bytes, other: None })
        }
        Err(refusal) if by_diffusers => {
            Err(Error::BadFile { file: other.display().to_string(), reason: refusal.to_string() })
        }
        _ => Ok(Contents { reading, hash: sha256(&bytes), bytes, other: None }),
    }
}

/// Whether one of two files is the first and that called `name` the second.
pub(in crate::cli) fn is_first_of(other: &Path, name: &str) -> bool {
    embedding::first_of(name).is_some_and(|first| first == file_name(other))
}

/// What an embedding is called: by its file's content, else by the repository, else by the file's name.
pub(in crate::cli) fn token_of<'a>(learned: &'a FileEmbedding, file: &'a EmbeddingFile) -> Option<&'a str> {
    let own = learned.token.as_deref();
    match learned.named_by {
        NamedBy::Key | NamedBy::Field => own,
        NamedBy::FileName | NamedBy::Nobody => file.token.as_deref().or(own),
    }
}

/// What a file is called without its ending, where no name was typed that stands in its place.
pub(in crate::cli) fn stem_of<'a>(file: &'a EmbeddingFile, typed: Option<&str>) -> Option<&'a str> {
    let stem = Path::new(&file.name).file_stem().and_then(|stem| stem.to_str());
    stem.filter(|_| typed.is_none())
}

/// An embedding that was given on the command line or is kept by name, to be made usable in prompts.
#[derive(Clone)]
pub(in crate::cli) struct EmbeddingArgument {
    pub embedding: Embedding,
    /// SHA-256 of its file.
    pub hash: String,
    /// Where its file is on this machine, and the other of two that belong together.
    places: Vec<PathBuf>,
    /// The file's name for messages.
    pub file: String,
    /// What was typed for it, without a name.
    source: String,
    /// Whether a name was typed for it.
    named: bool,
    /// What its file is called without the ending, if prompts may call it so.
    stem: Option<String>,
}

impl EmbeddingArgument {
    /// This and another as one embedding for SDXL, if they are the two files of one, in any order.
    fn with(&self, other: &Self) -> Option<Self> {
        let only = |given: &'_ Self| match &given.embedding.encoders[..] {
            [vectors] => Some(vectors.clone()),
            _ => None,
        };
        let (one, two) = (only(self)?, only(other)?);
        let (first, second, l, g) =
            if one.width < two.width { (self, other, one, two) } else { (other, self, two, one) };
        let same_name = scan::key(&first.embedding.token) == scan::key(&second.embedding.token);
        let [name, other_name] = [first, second].map(|given| given.places.first().map(|path| file_name(path)));
        let named_so = || name.and_then(|name| embedding::second_of(&name)) == other_name;
        let belong = [l.width, g.width] == SDXL_WIDTHS || named_so();
        if !same_name || !belong || l.count() != g.count() {
            return None;
        }
        let encoders = vec![Vectors { encoder: Encoder::ClipL, ..l }, Vectors { encoder: Encoder::ClipG, ..g }];
        Some(Self {
            embedding: Embedding { encoders, ..first.embedding.clone() },
            hash: sha256([&first.hash, &second.hash].map(String::as_bytes).concat()),
            places: first.places.iter().chain(&second.places).cloned().collect(),
            file: format!("{} and {}", first.file, second.file),
            source: first.source.clone(),
            named: first.named || second.named,
            stem: first.stem.clone(),
        })
    }

    /// Whether this is what another is already, given by the other of its two files.
    fn is_half_of(&self, other: &Self) -> bool {
        let ([own, ..], [_, beside]) = (&self.places[..], &other.places[..]) else { return false };
        let same_name = scan::key(&self.embedding.token) == scan::key(&other.embedding.token);
        is_same_file(own, beside) && (same_name || !self.named)
    }

    /// What in a text was probably meant for this embedding, although it is not its name: the name of its file, or
    /// something like its token.
    pub fn meant_in(&self, text: &str) -> Option<String> {
        let stem = Path::new(&self.file).file_stem().map(|stem| stem.to_string_lossy().into_owned())?;
        if let Some((_, at)) = scan::occurrences(text, &[stem.as_str()]).next() {
            return Some(text[at].to_owned());
        }
        let words = text.split(|c: char| c.is_whitespace() || ",;:()[]".contains(c));
        let mut words = words.map(|word| word.trim_end_matches(['.', '!', '?']));
        words.find(|word| likeness::alike(word, &self.embedding.token)).map(str::to_owned)
    }

    /// What finds it in prompts, if a text says the name of its file, which is not enough where that is an ordinary word.
    pub fn with_prefix(&self, text: &str) -> Option<String> {
        let stem = self.stem.as_deref().filter(|stem| aliases::is_name(stem) && scan::key(stem) == scan::key(text))?;
        Some(aliases::prefixed(stem))
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
            other.hash == embedding.hash
                && scan::key(&other.embedding.token) == scan::key(&embedding.embedding.token)
                && !embedding.is_half_of(other)
        };
        if let Some(other) = given.iter().find(twice) {
            let (token, again) = (&embedding.embedding.token, &embedding.source);
            let text =
                format!("the embedding {token} was given twice, as {} and as {again}: leave one out", other.source);
            return Err(Error::Usage(text));
        }
        given.push(embedding);
    }
    Ok(together(given))
}

/// Embeddings of which diffusers' two files were given, each as one.
fn together(given: Vec<EmbeddingArgument>) -> Vec<EmbeddingArgument> {
    let mut whole: Vec<EmbeddingArgument> = Vec::new();
    for (i, argument) in given.iter().enumerate() {
        // One was found beside the other: of two without a name of their own the first is used.
        let used = |(j, other): (usize, &EmbeddingArgument)| {
            argument.is_half_of(other) && (j < i || j > i && !other.is_half_of(argument))
        };
        if given.iter().enumerate().any(used) {
            continue;
        }
        let argument = argument.clone();
        match whole.iter_mut().find_map(|other| Some((other.with(&argument)?, other))) {
            Some((both, place)) => *place = both,
            None => whole.push(argument),
        }
    }
    whole
}

fn is_same_file(one: &Path, other: &Path) -> bool {
    std::fs::canonicalize(one).ok().zip(std::fs::canonicalize(other).ok()).is_some_and(|(one, other)| one == other)
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
    // Another name of a kept one counts where it is not a name of what is given, nor of the model's.
    let is_free = |name: &str, alone: bool| {
        let wanted = scan::key(name);
        let is_same = |other: &str| scan::key(other) == wanted;
        let is_given = |other: &EmbeddingArgument| {
            let token = &other.embedding.token;
            is_same(token) || aliases::inside(token).is_some_and(is_same) || other.stem.as_deref().is_some_and(is_same)
        };
        let is_own = model.words().any(|(token, _)| is_same(token));
        !(given.iter().any(is_given) || is_own || alone && model.is_ordinary(name))
    };
    for NamedEmbedding { embedding: kept, others, stem } in shelf.named_in(texts, &is_free)? {
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
        let stem = stem.filter(|stem| is_free(stem, false));
        found.push(EmbeddingArgument { stem, ..choose(&locate::stored_file(kept), &name, Some(&name), out)? });
    }
    Ok(found)
}

/// Reads one embedding, for which `source` was typed; `name` renames it, or says which one of several it is.
fn choose(file: &EmbeddingFile, source: &str, name: Option<&str>, out: &mut Output) -> Result<EmbeddingArgument> {
    let bad = |refusal: Refusal| refused(&refusal, &file.origin, source, |typed| format!("-e {typed}"));
    let Contents { reading, hash, other, .. } = read(file)?;
    let learned = reading.choose(name).map_err(bad)?;
    let token = name.or_else(|| token_of(&learned, file)).map(str::to_owned);
    for note in &learned.notes {
        out.event(&Event::warning(WarningCode::EmbeddingFile, format!("{}: {note}", file.origin)))?;
    }
    let embedding = learned.into_embedding(token.as_deref()).map_err(bad)?;
    let places = std::iter::once(file.path.clone()).chain(other).collect();
    let stem = stem_of(file, name).map(str::to_owned);
    let (file, source, named) = (file.origin.clone(), source.to_owned(), name.is_some());
    Ok(EmbeddingArgument { embedding, hash, places, file, source, named, stem })
}

/// The tokenizers of a model with some embeddings: what is wrong with one is found out before the model is loaded.
///
/// # Errors
/// Those of [`Session::add_embedding`].
pub(in crate::cli) fn tokenizers(given: &[EmbeddingArgument], opened: &OpenedModel) -> Result<Tokenizers> {
    let mut tokenizers = opened.tokenizers.clone();
    for argument in given {
        let EmbeddingArgument { embedding, file, .. } = argument;
        opened.config.check_embedding(embedding, file)?;
        let added = tokenizers.add_word(&embedding.token, embedding.vectors());
        added.map_err(|error| argument.renamed(error))?;
        argument.stem.iter().for_each(|stem| tokenizers.call_by_file(&embedding.token, stem));
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
        argument.stem.iter().for_each(|stem| session.call_by_file(&token, stem));
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
