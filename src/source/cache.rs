//! The Hugging Face cache on disk, as Python's `huggingface_hub` lays it out, so that both find each other's files.
//!
//! ```text
//! hub/models--owner--name/refs/main                     the commit that a revision was at
//!                        /blobs/<sha256 or git id>      contents
//!                        /snapshots/<commit>/unet/...   links to them (or the files, where there are no links)
//! hub/.locks/models--owner--name/<sha256>.lock          held while a blob is fetched
//! ```
//!
//! Ours alone are `blobs/<id>.part` and `.part.tag`: a download that can be resumed. (`file_download.py` @ee0a451.)

use std::fs;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::Problem;
use super::address::{HubAddress, Repo, is_safe_path};
use super::hub::{Listing, RemoteFile, is_hash};
use crate::base::bytes::hex;
use crate::base::files::{folder_of, make_folder, remove, sync_folder, write_with_folder};

/// Marks a folder that backups may leave out (bford.info/cachedir).
const CACHE_TAG: &[u8] =
    b"Signature: 8a477f597d28d172789f06886806bc55\n# This folder is a cache of Hugging Face Hub files.\n";
/// More files than this in a snapshot are ignored.
const MOST: usize = 100_000;

/// A folder in the layout of Python's cache.
#[derive(Debug, Clone)]
pub struct Cache {
    root: PathBuf,
    links: bool,
}

impl Cache {
    /// The cache in a folder, which need not exist. `links` is false where files are to be moved instead of linked.
    pub fn new(root: impl Into<PathBuf>, links: bool) -> Self {
        Self { root: root.into(), links }
    }

    /// Its folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn folder_name(repo: &Repo) -> String {
        format!("{}--{}", repo.kind.plural(), repo.id.replace('/', "--"))
    }

    fn folder(&self, repo: &Repo) -> PathBuf {
        self.root.join(Self::folder_name(repo))
    }

    /// Where the content of a file is, or will be.
    pub(super) fn blob(&self, repo: &Repo, file: &RemoteFile) -> PathBuf {
        self.folder(repo).join("blobs").join(&file.blob)
    }

    /// The lock of a content.
    pub(super) fn lock(&self, repo: &Repo, file: &RemoteFile) -> PathBuf {
        self.root.join(".locks").join(Self::folder_name(repo)).join(format!("{}.lock", file.blob))
    }

    /// Where a file of a commit is, or will be.
    pub fn pointer(&self, repo: &Repo, commit: &str, path: &str) -> PathBuf {
        self.folder(repo).join("snapshots").join(commit).join(path)
    }

    /// The commit that a revision was at when the Hub was last asked.
    pub fn commit(&self, repo: &Repo, revision: &str) -> Option<String> {
        if is_hash(revision, 40) {
            let known = self.folder(repo).join("snapshots").join(revision).is_dir();
            return known.then(|| revision.to_owned());
        }
        let commit = fs::read_to_string(self.folder(repo).join("refs").join(revision)).ok()?;
        let commit = commit.trim();
        is_hash(commit, 40).then(|| commit.to_owned())
    }

    /// Notes the commit that a revision is at.
    pub(super) fn remember(&self, listing: &Listing) -> Result<(), Problem> {
        if listing.revision == listing.commit
            || self.commit(&listing.repo, &listing.revision).as_ref() == Some(&listing.commit)
        {
            return Ok(());
        }
        let tag = self.root.join("CACHEDIR.TAG");
        if !tag.exists() {
            write_with_folder(&tag, CACHE_TAG)?;
        }
        let revision = self.folder(&listing.repo).join("refs").join(&listing.revision);
        Ok(write_with_folder(&revision, listing.commit.as_bytes())?)
    }

    /// The cached files of the commit that a revision was at, no matter which program fetched them. None if there are
    /// none.
    ///
    /// # Errors
    /// [`Problem::Read`] if a folder of the cache cannot be read.
    pub fn listing(&self, at: &HubAddress) -> Result<Option<Listing>, Problem> {
        let Some(commit) = self.commit(&at.repo, &at.revision) else { return Ok(None) };
        let root = self.folder(&at.repo).join("snapshots").join(&commit);
        let mut files = Vec::new();
        let mut folders = vec![String::new()];
        while let Some(folder) = folders.pop() {
            let path = root.join(&folder);
            let failed = |source| Problem::Read { path: path.clone(), source };
            let entries = match fs::read_dir(&path) {
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                entries => entries.map_err(failed)?,
            };
            for entry in entries {
                let entry = entry.map_err(failed)?;
                let Some(name) = entry.file_name().to_str().map(|name| format!("{folder}{name}")) else { continue };
                // Follows the link to the content; a link to nothing is not a file.
                let Ok(about) = fs::metadata(entry.path()) else { continue };
                if about.is_dir() && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    folders.push(format!("{name}/"));
                } else if about.is_file() && is_safe_path(&name) && files.len() < MOST {
                    let blob = blob_name(&entry.path());
                    let sha256 = blob.clone().filter(|blob| is_hash(blob, 64));
                    files.push(RemoteFile { path: name, size: about.len(), blob: blob.unwrap_or_default(), sha256 });
                }
            }
        }
        files.sort_by(|a, b| a.path.cmp(&b.path));
        let found = !files.is_empty();
        let listing = || Listing { repo: at.repo.clone(), revision: at.revision.clone(), commit, files, local: true };
        Ok(found.then(listing))
    }

    /// The file, if it is here with the length (and, with `hash`, the SHA-256) that the listing states. Links it if
    /// only its content is here.
    pub(super) fn find(&self, listing: &Listing, file: &RemoteFile, hash: bool) -> Result<Option<PathBuf>, Problem> {
        let pointer = self.pointer(&listing.repo, &listing.commit, &file.path);
        if is_whole(&pointer, file, hash)? {
            return Ok(Some(pointer));
        }
        if !file.blob.is_empty() && is_whole(&self.blob(&listing.repo, file), file, hash)? {
            return self.link(listing, file).map(Some);
        }
        Ok(None)
    }

    /// Gives a content that is here its name.
    pub(super) fn link(&self, listing: &Listing, file: &RemoteFile) -> Result<PathBuf, Problem> {
        let pointer = self.pointer(&listing.repo, &listing.commit, &file.path);
        let blob = self.blob(&listing.repo, file);
        make_folder(folder_of(&pointer))?;
        // A damaged file, or a link to another content.
        remove(&pointer)?;
        let up = "../".repeat(file.path.split('/').count() + 1);
        if self.links && symlink(&format!("{up}blobs/{}", file.blob), &pointer) {
            sync_folder(folder_of(&pointer)).map_err(|source| Problem::Write { path: pointer.clone(), source })?;
            return Ok(pointer);
        }
        // As Python does: without links the content is moved.
        match fs::rename(&blob, &pointer) {
            Err(source) if !pointer.is_file() => Err(Problem::Write { path: pointer, source }),
            _ => Ok(pointer),
        }
    }
}

/// Whether a file has the stated length and, where `hash` asks for it, the stated SHA-256.
fn is_whole(path: &Path, file: &RemoteFile, hash: bool) -> Result<bool, Problem> {
    match fs::metadata(path) {
        Ok(about) if about.is_file() && about.len() == file.size => {}
        _ => return Ok(false),
    }
    match &file.sha256 {
        Some(expected) if hash => Ok(sha256_of(path)? == *expected),
        _ => Ok(true),
    }
}

/// The SHA-256 of a file, lower-case hexadecimal.
pub(super) fn sha256_of(path: &Path) -> Result<String, Problem> {
    let failed = |source| Problem::Read { path: path.to_owned(), source };
    let mut file = fs::File::open(path).map_err(failed)?;
    let (mut hash, mut bytes) = (Sha256::new(), vec![0; 1 << 20]);
    loop {
        match file.read(&mut bytes).map_err(failed)? {
            0 => return Ok(hex(&hash.finalize())),
            count => hash.update(&bytes[..count]),
        }
    }
}

/// What the cache calls the content that a pointer leads to.
fn blob_name(pointer: &Path) -> Option<String> {
    let target = fs::read_link(pointer).ok()?;
    let name = target.file_name()?.to_str()?;
    (is_hash(name, 64) || is_hash(name, 40)).then(|| name.to_owned())
}

#[cfg(unix)]
fn symlink(target: &str, pointer: &Path) -> bool {
    let made = std::os::unix::fs::symlink(target, pointer);
    // Another process made the same link in the meantime.
    made.is_ok() || fs::read_link(pointer).is_ok_and(|there| there == Path::new(target))
}

#[cfg(windows)]
fn symlink(target: &str, pointer: &Path) -> bool {
    std::os::windows::fs::symlink_file(target.replace('/', "\\"), pointer).is_ok()
}

#[cfg(not(any(unix, windows)))]
fn symlink(_target: &str, _pointer: &Path) -> bool {
    false
}
