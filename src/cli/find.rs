//! What was typed, found: among the kept words, on this machine, on the web or on the Hugging Face Hub.

use std::ops::ControlFlow;
use std::path::Path;
use std::rc::Rc;

use sha2::{Digest, Sha256};

use super::args::Shared;
use super::files;
use super::output::Output;
use crate::embedding::{self, Learned, NamedBy, Reading, hex};
use crate::model::ModelConfig;
use crate::shelf::Shelf;
use crate::source::address::Address;
use crate::source::fetch::{Sources, WordFile};
use crate::source::model::Precision;
use crate::source::progress::Notice;
use crate::source::settings::Settings;
use crate::source::{Folder, Source};
use crate::{Error, Result, mini};

/// The user's own words.
pub(super) fn shelf() -> Result<Shelf> {
    Shelf::of_the_user(&|name| std::env::var(name).ok(), std::env::home_dir().as_deref())
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
/// [`Error::BadFile`] for what is no model folder, [`Error::Source`] for what cannot be fetched.
pub(super) async fn model(shared: &Shared, out: &mut Output) -> Result<Rc<dyn Source>> {
    let Some(path) = &shared.model else { return Ok(Rc::new(mini::source())) };
    let bad = |reason: &str| Err(Error::BadFile { file: path.display().to_string(), reason: reason.to_owned() });
    match std::fs::metadata(path) {
        Ok(about) if about.is_dir() => return Ok(Rc::new(Folder::new(path))),
        Ok(_) => return bad("a model is given as a folder in the diffusers layout (unet/, vae/, ...), this is a file"),
        // The name of the model in this program, unless a folder is called so.
        Err(_) if path.as_os_str() == "mini" => return Ok(Rc::new(mini::source())),
        Err(_) => {}
    }
    let Some(typed) = path.to_str() else { return bad("there is no such model folder") };
    let sources = sources(shared)?;
    match sources.address(typed)? {
        Address::Path(path) => Ok(Rc::new(Folder::new(path))),
        Address::Url(_) => bad("a model is several files: give a folder, or a repository such as owner/name"),
        Address::Hub(at) => {
            // Weights are kept in f16 anyway: the smaller files are as good.
            let (listing, chosen) = sources.plan(&at, Precision::Half, &mut tell(out)).await?;
            // A model that cannot be run should cost a few kilobytes to find out, not gigabytes.
            let configs = sources.locate(&at, &listing, &chosen.configs, &mut tell(out)).await?;
            ModelConfig::read(&configs).await?;
            out.say(&format!(
                "{at}: {:.0} MB in all; what is here already is not fetched again",
                chosen.bytes() as f64 / 1e6
            ));
            let files: Vec<_> = chosen.all().cloned().collect();
            Ok(Rc::new(sources.locate(&at, &listing, &files, &mut tell(out)).await?))
        }
    }
}

/// The file of a word: a kept word's name, a file, a folder, an address or a repository.
///
/// # Errors
/// [`Error::Source`] with what was found instead.
pub(super) async fn word(typed: &str, shared: &Shared, out: &mut Output) -> Result<WordFile> {
    if !Path::new(typed).exists()
        && let Ok(shelf) = shelf()
        && let Some(kept) = shelf.get(typed)?
    {
        return Ok(kept_file(kept));
    }
    Ok(sources(shared)?.word(typed, &mut tell(out)).await?)
}

/// The file of a kept word.
pub(super) fn kept_file(kept: crate::shelf::Kept) -> WordFile {
    WordFile {
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
pub(super) fn open(file: &WordFile) -> Result<Opened> {
    let bytes = files::read(&file.path)?;
    let reading = embedding::read(&bytes, &file.name)
        .map_err(|refusal| Error::BadFile { file: file.origin.clone(), reason: refusal.to_string() })?;
    let hash = hex(&Sha256::digest(&bytes));
    Ok(Opened { reading, bytes, hash })
}

/// What a word is to be called: what its file says, else what the repository says, else what the file is called.
pub(super) fn token<'a>(word: &'a Learned, file: &'a WordFile) -> Option<&'a str> {
    let own = word.token.as_deref();
    match word.named_by {
        NamedBy::Key | NamedBy::Field => own,
        NamedBy::FileName | NamedBy::Nobody => file.token.as_deref().or(own),
    }
}

/// A path's last part.
pub(super) fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// `SOURCE=NAME` taken apart.
pub(super) fn source_and_name(argument: &str) -> (&str, Option<&str>) {
    crate::source::address::split_name(argument, &|path: &Path| path.exists())
}
