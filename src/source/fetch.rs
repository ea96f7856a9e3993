//! From what the user typed to verified files on this machine: the one place that native front ends ask.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::address::{Address, HubAddress};
use super::cache::Cache;
use super::concept::{self, Concept};
use super::download::download;
use super::folder::{length_of, read_from};
use super::http::{Http, Timeouts, check_room};
use super::hub::{self, Listing, RemoteFile, file_url};
use super::link::Link;
use super::model::{self, ModelFiles, Precision};
use super::part::{FilePart, Lock};
use super::progress::{Meter, Notice, Report};
use super::retry::{Patience, notify};
use super::settings::Settings;
use super::transport::Transport;
use super::{LocalFuture, Problem, Source, web};
use crate::Result;
use crate::embedding::{NAMES_FILE, first_of, second_of};
use crate::event::WarningCode;

/// Fetches files, from the Hub, the web or this machine.
pub struct Sources {
    settings: Settings,
    cache: Cache,
    /// Made when it is first needed: local files need no certificates.
    transport: OnceCell<Box<dyn Transport>>,
    patience: Patience,
}

/// A file with an embedding, on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmbeddingFile {
    /// Where it is.
    pub path: PathBuf,
    /// The file beside it with the vectors for SDXL's other text encoder, if their names are those of diffusers' first and second.
    pub other: Option<PathBuf>,
    /// The text beside it with the names of what is in Replicate's file.
    pub names: Option<String>,
    /// Where it is from, in a form that can be typed again; without tokens.
    pub origin: String,
    /// Its name there. Its ending is for people; the format is recognised by the content.
    pub name: String,
    /// The content of `token_identifier.txt` beside it. The file's own name for the word comes first.
    pub token: Option<String>,
    /// The content of `type_of_concept.txt` beside it: `object` or `style`.
    pub kind: Option<String>,
    /// Addresses of the pictures that it was learned from.
    pub pictures: Vec<String>,
}

/// Files on this machine under the names that a model's files have: a [`Source`].
#[derive(Debug, Clone)]
pub struct LocalFiles {
    name: String,
    files: BTreeMap<String, PathBuf>,
}

impl Sources {
    /// Over the system's network.
    pub fn new(settings: Settings) -> Self {
        let cache = Cache::new(&settings.hub, settings.links);
        Self { settings, cache, transport: OnceCell::new(), patience: Patience::default() }
    }

    /// Over another network.
    pub fn with_transport(settings: Settings, transport: Box<dyn Transport>, patience: Patience) -> Self {
        Self { transport: OnceCell::from(transport), patience, ..Self::new(settings) }
    }

    /// The settings in use.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Parses what was typed: a path, an address or a repository.
    ///
    /// # Errors
    /// [`Problem::BadAddress`] or [`Problem::NoSuchFile`].
    pub fn address(&self, typed: &str) -> Result<Address, Problem> {
        Address::parse(typed, &self.settings.endpoint, &|path| path.exists())
    }

    fn link(&self, patience: Patience) -> Result<Link<'_>, Problem> {
        let transport = match self.transport.get() {
            Some(transport) => transport,
            None => {
                let http = Http::new(Timeouts::default(), self.settings.roots.as_deref())?;
                self.transport.get_or_init(|| Box::new(http))
            }
        };
        let token = self.settings.token.as_ref();
        Ok(Link { transport: &**transport, endpoint: &self.settings.endpoint, token, patience })
    }

    /// The files of a repository: from the Hub, or what is here of them if it is offline or cannot be reached.
    ///
    /// # Errors
    /// A [`Problem`] of the Hub's, or [`Problem::Offline`].
    pub async fn list(&self, at: &HubAddress, report: &mut Report<'_>) -> Result<Listing, Problem> {
        let here = self.cache.listing(at)?;
        if self.settings.offline {
            return here.ok_or_else(|| Problem::Offline { what: at.to_string() });
        }
        // With a copy at hand, one attempt is enough.
        let patience = if here.is_some() { Patience { again: 0, ..self.patience } } else { self.patience };
        match (hub::list(&self.link(patience)?, at, report).await, here) {
            (Ok(listing), _) => {
                // Files can be used from a cache that cannot be written.
                if let Err(problem) = self.cache.remember(&listing) {
                    notify(report, Notice::Warning { code: WarningCode::Cache, text: problem.to_string() })?;
                }
                Ok(listing)
            }
            (Err(problem), Some(here)) if problem.is_absence() => {
                notify(
                    report,
                    Notice::Warning { code: WarningCode::KeptCopy, text: format!("{problem}; using the cached copy") },
                )?;
                Ok(here)
            }
            (Err(problem), _) => Err(problem),
        }
    }

    /// Fetches files of a repository; those that are cached cost nothing.
    ///
    /// # Errors
    /// The first [`Problem`]; files that were complete before it stay.
    pub async fn bring(
        &self,
        listing: &Listing,
        files: &[RemoteFile],
        report: &mut Report<'_>,
    ) -> Result<Vec<PathBuf>, Problem> {
        let mut places: Vec<Option<PathBuf>> = Vec::with_capacity(files.len());
        for file in files {
            places.push(self.cache.find(listing, file, self.settings.verify)?);
        }
        let missing: Vec<&RemoteFile> =
            files.iter().zip(&places).filter(|(_, place)| place.is_none()).map(|(file, _)| file).collect();
        if let Some(file) = missing.first().filter(|_| listing.local || self.settings.offline) {
            return Err(Problem::Offline { what: listing.name(file) });
        }
        let bytes = missing.iter().map(|file| file.size).sum();
        let there: u64 = missing.iter().map(|file| part_length(&self.cache.blob(&listing.repo, file))).sum();
        check_room(self.cache.root(), u64::saturating_sub(bytes, there))?;
        let mut meter = Meter::new(missing.len(), Some(bytes));
        let mut all = Vec::with_capacity(files.len());
        for (file, place) in files.iter().zip(places) {
            all.push(match place {
                Some(place) => place,
                None => self.fetch(listing, file, &mut meter, report).await?,
            });
        }
        Ok(all)
    }

    async fn fetch(
        &self,
        listing: &Listing,
        file: &RemoteFile,
        meter: &mut Meter,
        report: &mut Report<'_>,
    ) -> Result<PathBuf, Problem> {
        let name = listing.name(file);
        let _lock = Lock::take(&self.cache.lock(&listing.repo, file), &name, report)?;
        // The process that held the lock may have fetched it.
        if let Some(place) = self.cache.find(listing, file, self.settings.verify)? {
            return Ok(place);
        }
        let mut part = FilePart::open(&self.cache.blob(&listing.repo, file))?;
        let request = listing.request(file, &self.settings.endpoint);
        download(&self.link(self.patience)?, &request, &mut part, meter, report).await?;
        self.cache.link(listing, file)
    }

    /// The embedding file that was typed: a file, an address, or a repository. A folder on this machine is searched
    /// like a repository.
    ///
    /// # Errors
    /// A [`Problem`] that says what was found instead.
    pub async fn embedding(&self, typed: &str, report: &mut Report<'_>) -> Result<EmbeddingFile, Problem> {
        match self.address(typed)? {
            Address::Path(path) => EmbeddingFile::here(&path, typed),
            Address::Url(url) => {
                let link = if self.settings.offline { None } else { Some(self.link(self.patience)?) };
                let path = web::bring(link.as_ref(), &self.settings.web, &url, concept::LONGEST, report).await?;
                let name = file_name(&path);
                Ok(EmbeddingFile::plain(path, url.without_secrets().to_string(), name))
            }
            Address::Hub(at) => self.embedding_on_the_hub(&at, report).await,
        }
    }

    async fn embedding_on_the_hub(&self, at: &HubAddress, report: &mut Report<'_>) -> Result<EmbeddingFile, Problem> {
        let listing = self.list(at, report).await?;
        let found = concept::choose(&listing, at.path.as_deref())?;
        let Concept { embedding, second, names, token, kind, pictures, .. } = &found;
        let beside = [second, names, token, kind];
        let files: Vec<RemoteFile> = std::iter::once(embedding).chain(beside.into_iter().flatten()).cloned().collect();
        let mut places = self.bring(&listing, &files, report).await?.into_iter();
        let path = places.next().unwrap_or_default();
        let [other, names, token, kind] = beside.map(|file| file.as_ref().and_then(|_| places.next()));
        let names = names.and_then(|place| std::fs::read_to_string(place).ok());
        let [token, kind] = [token, kind].map(|place| {
            let text = std::fs::read_to_string(place?).ok()?;
            concept::token(&text).map(str::to_owned)
        });
        let address = |file: &RemoteFile| {
            file_url(&self.settings.endpoint, &listing.repo, &listing.commit, &file.path).to_string()
        };
        let pictures = pictures.iter().map(address).collect();
        let origin = HubAddress { path: Some(embedding.path.clone()), ..at.clone() }.to_string();
        Ok(EmbeddingFile { path, other, names, origin, name: embedding.name().to_owned(), token, kind, pictures })
    }

    /// The files of a model in a repository, chosen but not fetched: to look at their sizes, or at the configurations
    /// first (`bring(&listing, &files.configs, ..)`).
    ///
    /// # Errors
    /// A [`Problem`] that says what was found instead.
    pub async fn plan(
        &self,
        at: &HubAddress,
        precision: Precision,
        report: &mut Report<'_>,
    ) -> Result<(Listing, ModelFiles), Problem> {
        let listing = self.list(at, report).await?;
        let files = model::choose(&listing, at.path.as_deref(), precision)?;
        if let Some(text) = files.note.clone() {
            notify(report, Notice::Warning { code: WarningCode::Precision, text })?;
        }
        Ok((listing, files))
    }

    /// Fetches files of a model, as a source that has only them: two precisions side by side in the cache do
    /// not get mixed up.
    ///
    /// # Errors
    /// As for [`Sources::bring`].
    pub async fn locate(
        &self,
        at: &HubAddress,
        listing: &Listing,
        files: &[RemoteFile],
        report: &mut Report<'_>,
    ) -> Result<LocalFiles, Problem> {
        let places = self.bring(listing, files, report).await?;
        let prefix = at.path.as_ref().map_or_else(String::new, |path| format!("{}/", path.trim_end_matches('/')));
        let name = |file: &RemoteFile| file.path.strip_prefix(&prefix).unwrap_or(&file.path).to_owned();
        Ok(LocalFiles {
            name: HubAddress { revision: super::address::MAIN.to_owned(), ..at.clone() }.to_string(),
            files: files.iter().map(name).zip(places).collect(),
        })
    }
}

impl EmbeddingFile {
    /// The file on this machine for which `typed` was typed, with what lies beside it; or that in a folder.
    ///
    /// # Errors
    /// A [`Problem`] that says what was found in a folder instead.
    pub fn here(path: &Path, typed: &str) -> Result<Self, Problem> {
        if path.is_dir() {
            return embedding_in_folder(path);
        }
        let file = Self::plain(path.to_owned(), typed.to_owned(), file_name(path));
        Ok(Self { other: Self::other(path), names: Self::names(path), ..file })
    }

    /// Whether a folder on this machine has a file that is called as programs call those with embeddings.
    pub fn is_in(folder: &Path) -> bool {
        concept::NAMES.iter().any(|name| folder.join(name).is_file())
    }

    fn plain(path: PathBuf, origin: String, name: String) -> Self {
        Self { path, other: None, names: None, origin, name, token: None, kind: None, pictures: Vec::new() }
    }

    /// The file beside one that is named as the second of two, or else as the first.
    fn other(path: &Path) -> Option<PathBuf> {
        let name = path.file_name()?.to_str()?;
        let others = [second_of(name), first_of(name)].into_iter().flatten().map(|name| path.with_file_name(name));
        // Anything may be called so, a model of gigabytes too.
        let small = |other: &PathBuf| {
            std::fs::metadata(other).is_ok_and(|about| about.is_file() && about.len() <= concept::LONGEST_SECOND)
        };
        others.into_iter().find(small)
    }

    /// The names beside Replicate's file.
    fn names(path: &Path) -> Option<String> {
        let ours = path.extension()?.eq_ignore_ascii_case("pti");
        let place = path.with_file_name(NAMES_FILE);
        let short = || std::fs::metadata(&place).is_ok_and(|about| about.len() <= concept::SMALL);
        (ours && short()).then(|| std::fs::read_to_string(&place).ok()).flatten()
    }
}

impl Source for LocalFiles {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn length<'a>(&'a self, path: &'a str) -> LocalFuture<'a, Result<Option<u64>>> {
        Box::pin(async move { self.files.get(path).map_or(Ok(None), |place| length_of(place)) })
    }

    fn read<'a>(&'a self, path: &'a str, range: Range<u64>) -> LocalFuture<'a, Result<Vec<u8>>> {
        Box::pin(async move {
            let place = self
                .files
                .get(path)
                .ok_or_else(|| crate::Error::Internal(format!("{path} is not in {}", self.name)))?;
            read_from(place, range)
        })
    }

    fn place(&self, path: &str) -> Option<PathBuf> {
        self.files.get(path).cloned()
    }

    fn names<'a>(&'a self, folder: &'a str) -> LocalFuture<'a, Result<Vec<String>>> {
        Box::pin(async move { Ok(super::names_in(folder, self.files.keys().map(String::as_str))) })
    }
}

/// Bytes of a file that an earlier run left.
fn part_length(place: &Path) -> u64 {
    let mut name = place.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    std::fs::metadata(place.with_file_name(name)).map_or(0, |about| about.len())
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// A clone of a repository of the concepts library, or just a folder with one embedding.
fn embedding_in_folder(folder: &Path) -> Result<EmbeddingFile, Problem> {
    let failed = |source| Problem::Read { path: folder.to_owned(), source };
    let mut files = Vec::new();
    for place in [folder.to_owned(), folder.join("concept_images")] {
        if place != folder && !place.is_dir() {
            continue;
        }
        for entry in std::fs::read_dir(&place).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let Ok(about) = std::fs::metadata(entry.path()) else { continue };
            let Some(name) = entry.file_name().to_str().map(str::to_owned) else { continue };
            let path = if place == folder { name } else { format!("concept_images/{name}") };
            if about.is_file() {
                files.push(RemoteFile { path, size: about.len(), blob: String::new(), sha256: None });
            }
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let repo = super::address::Repo { kind: super::address::RepoKind::Model, id: folder.display().to_string() };
    let listing = Listing { repo, revision: String::new(), commit: String::new(), files, local: false };
    let concept = concept::choose(&listing, None)?;
    let path = folder.join(&concept.embedding.path);
    let text = |file: &Option<RemoteFile>| {
        let text = std::fs::read_to_string(folder.join(&file.as_ref()?.path)).ok()?;
        concept::token(&text).map(str::to_owned)
    };
    Ok(EmbeddingFile {
        other: concept.second.map(|file| folder.join(file.path)),
        names: EmbeddingFile::names(&path),
        origin: path.display().to_string(),
        name: concept.embedding.name().to_owned(),
        token: text(&concept.token),
        kind: text(&concept.kind),
        pictures: concept.pictures.iter().map(|file| folder.join(&file.path).display().to_string()).collect(),
        path,
    })
}
