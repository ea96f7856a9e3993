//! From what was typed to files: among the kept embeddings, on this machine, on the web or on the Hugging Face Hub.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::args::{Prediction, Shared};
use super::nearby::{folder_of_part, instead_of, is_of_folder};
use super::outlook::Outlook;
use super::output::{Output, terminal};
use crate::base::bytes::size;
use crate::base::files::file_name;
use crate::checkpoint::{self, Options};
use crate::formats::{Holds, can_hold};
use crate::gpu::tuning::Cache;
use crate::model::OpenedModel;
use crate::schedule::PredictionType;
use crate::shelf::Shelf;
use crate::source::address::{Address, HubAddress};
use crate::source::fetch::{EmbeddingFile, Sources};
use crate::source::model::{self, Precision};
use crate::source::progress::Notice;
use crate::source::settings::Settings;
use crate::source::{Folder, Problem, Source};
use crate::{Error, Result, mini};

/// The embeddings that the user keeps.
pub(super) fn shelf() -> Result<Shelf> {
    Shelf::of_the_user(&|name| std::env::var(name).ok(), std::env::home_dir().as_deref())
}

/// Whether an initializer is an embedding file, or a folder with one, rather than a phrase: a folder that happens to be called as
/// the phrase has none.
pub(super) fn names_an_embedding_file(init: &str) -> bool {
    can_hold(init, Holds::Embedding) || Path::new(init).is_file() || EmbeddingFile::is_in(Path::new(init))
}

/// The folder of what can be fetched or measured again, if there is one.
pub(super) fn cache() -> Option<PathBuf> {
    Settings::from_environment().ok().map(|settings| settings.web)
}

/// Where it is kept how GPUs did in f16.
pub(super) fn findings() -> Cache {
    let say_waiting = || terminal::say("waiting for another pseudoword, which is testing this GPU");
    Cache { folder: cache(), say_waiting }
}

fn sources(shared: &Shared) -> Result<Sources> {
    let mut settings = Settings::from_environment()?;
    settings.offline |= shared.offline;
    Ok(Sources::new(settings))
}

/// Reports what happens while a file is fetched. A reader who went away ends it.
fn forward(out: &mut Output) -> impl FnMut(Notice) -> ControlFlow<()> + '_ {
    |notice| {
        let Some(event) = notice.event() else { return ControlFlow::Continue(()) };
        match out.event(&event) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    }
}

/// The files of the model that is asked for.
///
/// # Errors
/// [`Error::BadFile`] for what is not a model, [`Error::Source`] for what cannot be fetched.
pub(super) async fn model(shared: &Shared, out: &mut Output) -> Result<Rc<dyn Source>> {
    Ok(locate(shared, Wanted::Whole(None), out).await?.0)
}

/// The model that is asked for, to do something with it, with its small files read: that it cannot be done on this
/// machine is found out before the weights are fetched.
///
/// # Errors
/// As for [`model`], and [`Error::TooLittleMemory`].
pub(super) async fn model_for(shared: &Shared, outlook: &Outlook<'_>, out: &mut Output) -> Result<OpenedModel> {
    match locate(shared, Wanted::Whole(Some(outlook)), out).await? {
        // Its small files were read when they alone had been fetched.
        (source, Some(opened)) => Ok(OpenedModel { source, ..*opened }),
        (source, None) => OpenedModel::read(source).await,
    }
}

/// The small files of the model that is asked for: of a repository with a model folder nothing else is fetched. (What a single file is,
/// stands in it.)
///
/// # Errors
/// As for [`model`].
pub(super) async fn described(shared: &Shared, out: &mut Output) -> Result<OpenedModel> {
    match locate(shared, Wanted::Description, out).await? {
        (_, Some(opened)) => Ok(*opened),
        (source, None) => OpenedModel::read(source).await,
    }
}

/// What of a model is wanted.
enum Wanted<'a> {
    /// All of it, perhaps for some work.
    Whole(Option<&'a Outlook<'a>>),
    /// What it is: everything but the weights.
    Description,
}

async fn locate(
    shared: &Shared,
    wanted: Wanted<'_>,
    out: &mut Output,
) -> Result<(Rc<dyn Source>, Option<Box<OpenedModel>>)> {
    let located = match &shared.model {
        None => ModelPlace::folder(mini::source()),
        Some(path) => locate_typed(path, shared, wanted, out).await?,
    };
    match located {
        ModelPlace::Folder(source, opened) => {
            let given = [("--base", shared.base.is_some()), ("--prediction-type", shared.prediction_type.is_some())];
            match given.iter().find(|(_, given)| *given) {
                Some((option, _)) => Err(Error::Usage(format!(
                    "{option} is for a model in a single file; {} is a folder, and has files that state it",
                    source.name()
                ))),
                None => Ok((source, opened)),
            }
        }
        ModelPlace::File(folder, name) => {
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
            Ok((source, None))
        }
    }
}

/// Where a model is.
enum ModelPlace {
    /// A model folder; with its small files, if they have been read already.
    Folder(Rc<dyn Source>, Option<Box<OpenedModel>>),
    /// A folder, and the file in it that is the model.
    File(Rc<dyn Source>, String),
}

impl ModelPlace {
    fn folder(source: impl Source + 'static) -> Self {
        Self::Folder(Rc::new(source), None)
    }
}

async fn locate_typed(path: &Path, shared: &Shared, wanted: Wanted<'_>, out: &mut Output) -> Result<ModelPlace> {
    let bad = |reason: &str| Err(Error::BadFile { file: path.display().to_string(), reason: reason.to_owned() });
    match std::fs::metadata(path) {
        Ok(about) if about.is_dir() => {
            return match instead_of(path) {
                Some(instead) => bad(&instead),
                None => Ok(ModelPlace::folder(Folder::new(path))),
            };
        }
        Ok(_) => {
            if let Some(folder) = folder_of_part(path) {
                return bad(&format!("this is a file of the model folder {}: give the folder", folder.display()));
            }
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            return Ok(ModelPlace::File(Rc::new(Folder::new(folder)), file_name(path)));
        }
        // The name of the model in this program, unless a folder is called so.
        Err(_) if path.as_os_str() == "mini" => return Ok(ModelPlace::folder(mini::source())),
        Err(_) => {}
    }
    let Some(typed) = path.to_str() else { return bad("there is no such model") };
    let sources = sources(shared)?;
    match sources.address(typed)? {
        Address::Path(path) => Ok(ModelPlace::folder(Folder::new(path))),
        Address::Url(_) => {
            bad("a model is not fetched from an address: give a folder, a file, or a repository such as owner/name")
        }
        Address::Hub(at)
            if at.path.as_deref().is_some_and(|path| can_hold(path, Holds::Model) || is_of_folder(path)) =>
        {
            let listing = sources.list(&at, &mut forward(out)).await?;
            let path = at.path.clone().unwrap_or_default();
            let unfit = |reason: String| Err(Problem::Unfit { repo: at.repo.to_string(), reason }.into());
            let file = model::single(&listing, &path)?.clone();
            if is_of_folder(&path) {
                return unfit(format!("has {path} as a file of a model folder: give {} without it", at.repo));
            }
            out.message(&format!("{at}: {}; what is here already is not fetched again", size(file.size)));
            let described = checkpoint::beside(&path).into_iter().filter_map(|path| listing.get(&path).cloned());
            let files: Vec<_> = std::iter::once(file).chain(described).collect();
            let whole = HubAddress { path: None, ..at };
            Ok(ModelPlace::File(Rc::new(sources.locate(&whole, &listing, &files, &mut forward(out)).await?), path))
        }
        Address::Hub(at) => {
            // Weights are kept in f16 anyway: the smaller files are as good.
            let (listing, chosen) = sources.plan(&at, Precision::Half, &mut forward(out)).await?;
            // A model that cannot be run should cost a few kilobytes to find out, not gigabytes.
            let configs = sources.locate(&at, &listing, &chosen.configs, &mut forward(out)).await?;
            let configs: Rc<dyn Source> = Rc::new(configs);
            let opened = OpenedModel::read(configs.clone()).await?;
            let sentence = match wanted {
                Wanted::Description => return Ok(ModelPlace::Folder(configs, Some(Box::new(opened)))),
                Wanted::Whole(Some(outlook)) => outlook.before_fetching(&opened.config, &chosen.lengths())?,
                Wanted::Whole(None) => None,
            };
            out.message(&format!(
                "{at}: {} in total; files that are here already are not fetched again{}",
                size(chosen.bytes()),
                sentence.map_or_else(String::new, |sentence| format!(". {sentence}"))
            ));
            let files: Vec<_> = chosen.all().cloned().collect();
            let source = Rc::new(sources.locate(&at, &listing, &files, &mut forward(out)).await?);
            Ok(ModelPlace::Folder(source, Some(Box::new(opened))))
        }
    }
}

/// The folder that a single file's configuration and tokenizer come from; of a repository only those are fetched.
async fn base(path: &Path, shared: &Shared, out: &mut Output) -> Result<Rc<dyn Source>> {
    let bad = |reason: &str| Err(Error::BadFile { file: path.display().to_string(), reason: reason.to_owned() });
    if path.is_dir() {
        return Ok(Rc::new(Folder::new(path)));
    }
    if let Some(folder) = folder_of_part(path).filter(|_| path.is_file()) {
        return bad(&format!("this is a file of the model folder {}: give the folder", folder.display()));
    }
    let sources = sources(shared)?;
    match path.to_str().map(|typed| sources.address(typed)).transpose()? {
        Some(Address::Hub(at)) => {
            let (listing, chosen) = sources.plan(&at, Precision::Half, &mut forward(out)).await?;
            Ok(Rc::new(sources.locate(&at, &listing, &chosen.configs, &mut forward(out)).await?))
        }
        _ => bad("--base takes a model folder or a repository such as owner/name"),
    }
}

/// The file of an embedding: the name of a kept one, a file, a folder, an address or a repository.
///
/// # Errors
/// [`Error::Source`] with what was found instead.
pub(super) async fn embedding(typed: &str, shared: &Shared, out: &mut Output) -> Result<EmbeddingFile> {
    if !Path::new(typed).exists()
        && let Ok(shelf) = shelf()
        && let Some(kept) = shelf.get(typed)?
    {
        return Ok(stored_file(kept));
    }
    Ok(sources(shared)?.embedding(typed, &mut forward(out)).await?)
}

/// The file of a kept embedding.
pub(super) fn stored_file(kept: crate::shelf::StoredEmbedding) -> EmbeddingFile {
    EmbeddingFile {
        name: file_name(&kept.path),
        origin: kept.path.display().to_string(),
        path: kept.path,
        other: None,
        names: None,
        token: Some(kept.token),
        kind: None,
        pictures: Vec::new(),
    }
}

/// `SOURCE=NAME` taken apart.
pub(super) fn source_and_name(argument: &str) -> (&str, Option<&str>) {
    crate::source::address::split_name(argument, &|path: &Path| path.exists())
}
