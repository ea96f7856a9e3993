//! What was typed, found: among the kept words, on this machine, on the web or on the Hugging Face Hub.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::args::{Prediction, Shared};
use super::open as opening;
use super::open::Planned;
use super::output::Output;
use crate::base::bytes::{sha256, size};
use crate::base::files::{self, file_name};
use crate::checkpoint::{self, Options};
use crate::embedding::{self, FileEmbedding, NamedBy, Reading};
use crate::formats::{Holds, can_hold};
use crate::model::ModelConfig;
use crate::schedule::PredictionType;
use crate::shelf::Shelf;
use crate::source::address::{Address, HubAddress};
use crate::source::fetch::{EmbeddingFile, Sources};
use crate::source::model::Precision;
use crate::source::progress::Notice;
use crate::source::settings::Settings;
use crate::source::{Folder, Problem, Source};
use crate::{Error, Result, mini};

/// The user's own words.
pub(super) fn shelf() -> Result<Shelf> {
    Shelf::of_the_user(&|name| std::env::var(name).ok(), std::env::home_dir().as_deref())
}

/// The folder of what can be had again, if there is one.
pub(super) fn cache() -> Option<PathBuf> {
    Settings::from_environment().ok().map(|settings| settings.web)
}

fn sources(shared: &Shared) -> Result<Sources> {
    let mut settings = Settings::from_environment()?;
    settings.offline |= shared.offline;
    Ok(Sources::new(settings))
}

/// Tells what happens on the way to a file. A reader who went away ends it.
fn tell(out: &mut Output) -> impl FnMut(Notice) -> ControlFlow<()> + '_ {
    |notice| {
        let Some(event) = notice.event() else { return ControlFlow::Continue(()) };
        match out.event(&event) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    }
}

/// The model that is asked for.
///
/// # Errors
/// [`Error::BadFile`] for what is no model, [`Error::Source`] for what cannot be fetched.
pub(super) async fn model(shared: &Shared, out: &mut Output) -> Result<Rc<dyn Source>> {
    found(shared, None, out).await
}

/// The model that is asked for, to do something with it: that it cannot be done on this machine is found out before the
/// weights are fetched.
///
/// # Errors
/// As for [`model`], and [`Error::TooLittleMemory`].
pub(super) async fn model_for(shared: &Shared, planned: Planned<'_>, out: &mut Output) -> Result<Rc<dyn Source>> {
    found(shared, Some(planned), out).await
}

async fn found(shared: &Shared, planned: Option<Planned<'_>>, out: &mut Output) -> Result<Rc<dyn Source>> {
    let source = match &shared.model {
        None => Found::Folder(Rc::new(mini::source())),
        Some(path) => find_model(path, shared, planned, out).await?,
    };
    match source {
        Found::Folder(source) => {
            let given = [("--base", shared.base.is_some()), ("--prediction-type", shared.prediction_type.is_some())];
            match given.iter().find(|(_, given)| *given) {
                Some((option, _)) => Err(Error::Usage(format!(
                    "{option} is for a model in a single file; {} is a folder, and has files that state it",
                    source.name()
                ))),
                None => Ok(source),
            }
        }
        Found::File(folder, name) => {
            let base = match &shared.base {
                Some(path) => Some(base(path, shared, out).await?),
                None => None,
            };
            let prediction = shared.prediction_type.map(|prediction| match prediction {
                Prediction::Epsilon => PredictionType::Epsilon,
                Prediction::VPrediction => PredictionType::VPrediction,
            });
            let mut notes = Vec::new();
            let options = Options { base, prediction };
            let source = checkpoint::open(folder, &name, &options, &mut |note| notes.push(note)).await?;
            notes.iter().try_for_each(|note| out.event(note))?;
            Ok(source)
        }
    }
}

/// A model folder, or a folder and the file in it that is the model.
enum Found {
    Folder(Rc<dyn Source>),
    File(Rc<dyn Source>, String),
}

async fn find_model(path: &Path, shared: &Shared, planned: Option<Planned<'_>>, out: &mut Output) -> Result<Found> {
    let bad = |reason: &str| Err(Error::BadFile { file: path.display().to_string(), reason: reason.to_owned() });
    match std::fs::metadata(path) {
        Ok(about) if about.is_dir() => return Ok(Found::Folder(Rc::new(Folder::new(path)))),
        Ok(_) => {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            return Ok(Found::File(Rc::new(Folder::new(folder)), file_name(path)));
        }
        // The name of the model in this program, unless a folder is called so.
        Err(_) if path.as_os_str() == "mini" => return Ok(Found::Folder(Rc::new(mini::source()))),
        Err(_) => {}
    }
    let Some(typed) = path.to_str() else { return bad("there is no such model") };
    let sources = sources(shared)?;
    match sources.address(typed)? {
        Address::Path(path) => Ok(Found::Folder(Rc::new(Folder::new(path)))),
        Address::Url(_) => {
            bad("a model is not fetched from an address: give a folder, a file, or a repository such as owner/name")
        }
        Address::Hub(at) if at.path.as_deref().is_some_and(|path| can_hold(path, Holds::Model)) => {
            let listing = sources.list(&at, &mut tell(out)).await?;
            let path = at.path.clone().unwrap_or_default();
            let Some(file) = listing.get(&path).cloned() else {
                let text = format!("has no file {path}");
                return Err(Problem::Unfit { repo: at.repo.to_string(), reason: text }.into());
            };
            out.message(&format!("{at}: {}; what is here already is not fetched again", size(file.size)));
            let whole = HubAddress { path: None, ..at };
            Ok(Found::File(Rc::new(sources.locate(&whole, &listing, &[file], &mut tell(out)).await?), path))
        }
        Address::Hub(at) => {
            // Weights are kept in f16 anyway: the smaller files are as good.
            let (listing, chosen) = sources.plan(&at, Precision::Half, &mut tell(out)).await?;
            // A model that cannot be run should cost a few kilobytes to find out, not gigabytes.
            let configs = sources.locate(&at, &listing, &chosen.configs, &mut tell(out)).await?;
            let config = ModelConfig::read(&configs).await?;
            let outlook = match planned {
                Some(planned) => opening::outlook(shared, &config, &chosen.lengths(), planned)?,
                None => None,
            };
            out.message(&format!(
                "{at}: {} in total; files that are here already are not fetched again{}",
                size(chosen.bytes()),
                outlook.map_or_else(String::new, |outlook| format!(". {outlook}"))
            ));
            let files: Vec<_> = chosen.all().cloned().collect();
            Ok(Found::Folder(Rc::new(sources.locate(&at, &listing, &files, &mut tell(out)).await?)))
        }
    }
}

/// The folder that a single file's configuration and tokenizer come from; of a repository only those are fetched.
async fn base(path: &Path, shared: &Shared, out: &mut Output) -> Result<Rc<dyn Source>> {
    let bad = |reason: &str| Err(Error::BadFile { file: path.display().to_string(), reason: reason.to_owned() });
    if path.is_dir() {
        return Ok(Rc::new(Folder::new(path)));
    }
    let sources = sources(shared)?;
    match path.to_str().map(|typed| sources.address(typed)).transpose()? {
        Some(Address::Hub(at)) => {
            let (listing, chosen) = sources.plan(&at, Precision::Half, &mut tell(out)).await?;
            Ok(Rc::new(sources.locate(&at, &listing, &chosen.configs, &mut tell(out)).await?))
        }
        _ => bad("--base takes a model folder or a repository such as owner/name"),
    }
}

/// The file of a word: a kept word's name, a file, a folder, an address or a repository.
///
/// # Errors
/// [`Error::Source`] with what was found instead.
pub(super) async fn word(typed: &str, shared: &Shared, out: &mut Output) -> Result<EmbeddingFile> {
    if !Path::new(typed).exists()
        && let Ok(shelf) = shelf()
        && let Some(kept) = shelf.get(typed)?
    {
        return Ok(stored_file(kept));
    }
    Ok(sources(shared)?.embedding(typed, &mut tell(out)).await?)
}

/// The file of a kept word.
pub(super) fn stored_file(kept: crate::shelf::StoredEmbedding) -> EmbeddingFile {
    EmbeddingFile {
        name: file_name(&kept.path),
        origin: kept.path.display().to_string(),
        path: kept.path,
        token: Some(kept.token),
        kind: None,
        pictures: Vec::new(),
    }
}

/// What a file of words holds.
pub(super) struct Opened {
    /// The words.
    pub reading: Reading,
    /// The bytes of the file.
    pub bytes: Vec<u8>,
    /// Their SHA-256, in hexadecimal.
    pub hash: String,
}

/// Reads the file of a word.
///
/// # Errors
/// [`Error::BadFile`] with the reader's reason.
pub(super) fn open(file: &EmbeddingFile) -> Result<Opened> {
    let bytes = files::read(&file.path)?;
    let reading = embedding::read(&bytes, &file.name)
        .map_err(|refusal| Error::BadFile { file: file.origin.clone(), reason: refusal.to_string() })?;
    let hash = sha256(&bytes);
    Ok(Opened { reading, bytes, hash })
}

/// What a word is to be called: what its file says, else what the repository says, else what the file is called.
pub(super) fn token<'a>(word: &'a FileEmbedding, file: &'a EmbeddingFile) -> Option<&'a str> {
    let own = word.token.as_deref();
    match word.named_by {
        NamedBy::Key | NamedBy::Field => own,
        NamedBy::FileName | NamedBy::Nobody => file.token.as_deref().or(own),
    }
}

/// `SOURCE=NAME` taken apart.
pub(super) fn source_and_name(argument: &str) -> (&str, Option<&str>) {
    crate::source::address::split_name(argument, &|path: &Path| path.exists())
}
