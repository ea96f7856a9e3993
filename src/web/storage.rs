//! The browser's own file system (OPFS): files that stay between visits, and that only this page can see.

use js_sys::{Array, Uint8Array};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    DomException, File, FileSystemDirectoryHandle, FileSystemFileHandle, FileSystemGetDirectoryOptions,
    FileSystemGetFileOptions, FileSystemHandle, FileSystemHandleKind, FileSystemReadWriteOptions,
    FileSystemRemoveOptions, FileSystemSyncAccessHandle, StorageEstimate, WorkerGlobalScope,
};

use super::message;
use super::run::{RunStates, Slots};
use crate::base::bytes::size;
use crate::source::download::PartialFile;
use crate::source::{LocalFuture, Problem};

/// A folder.
#[derive(Clone)]
pub(super) struct Folder(FileSystemDirectoryHandle);

/// What to do when no more can be written.
const FULL: &str = "delete a stored model, or make room on the disk";

/// An error that the storage gave.
pub(super) fn failed(error: &JsValue) -> Problem {
    match error.dyn_ref::<DomException>().map(DomException::name).as_deref() {
        Some("QuotaExceededError") => Problem::Storage { reason: format!("it is full: {FULL}"), full: true },
        Some("NoModificationAllowedError") => {
            let reason = "another tab is writing the same file: close that tab, or wait for it".to_owned();
            Problem::Storage { reason, full: false }
        }
        _ => Problem::Storage { reason: message(error), full: false },
    }
}

fn is_absent(error: &JsValue) -> bool {
    error.dyn_ref::<DomException>().is_some_and(|error| error.name() == "NotFoundError")
}

/// Bytes that the browser would still let us keep; none if it does not say.
pub(super) async fn free() -> Option<u64> {
    let scope: WorkerGlobalScope = js_sys::global().unchecked_into();
    let estimate = JsFuture::from(scope.navigator().storage().estimate().ok()?).await.ok()?;
    let estimate: StorageEstimate = estimate.unchecked_into();
    Some((estimate.get_quota()? - estimate.get_usage()?).max(0.0) as u64)
}

/// Too little room: how many bytes are needed, how many are free, and what to do.
pub(super) fn full(needed: u64, free: u64) -> Problem {
    let [needed, free] = [needed, free].map(size);
    let reason = format!("{needed} more are needed but the browser allows only {free}: {FULL}");
    Problem::Storage { reason, full: true }
}

impl Folder {
    /// The page's own folder.
    pub async fn root() -> Result<Self, Problem> {
        let scope: WorkerGlobalScope = js_sys::global().unchecked_into();
        let root = JsFuture::from(scope.navigator().storage().get_directory()).await.map_err(|error| {
            let reason = format!("this browser gives none ({}); a private window often has none", message(&error));
            Problem::Storage { reason, full: false }
        })?;
        Ok(Self(root.unchecked_into()))
    }

    /// A folder below, made if need be; `path` has slashes.
    pub async fn folder(&self, path: &str) -> Result<Self, Problem> {
        let options = FileSystemGetDirectoryOptions::new();
        options.set_create(true);
        let mut here = self.0.clone();
        for name in path.split('/').filter(|name| !name.is_empty()) {
            let next = JsFuture::from(here.get_directory_handle_with_options(name, &options)).await;
            here = next.map_err(|error| failed(&error))?.unchecked_into();
        }
        Ok(Self(here))
    }

    /// A folder right below, if there is one of this name.
    pub async fn known(&self, name: &str) -> Result<Option<Self>, Problem> {
        match JsFuture::from(self.0.get_directory_handle(name)).await {
            Ok(handle) => Ok(Some(Self(handle.unchecked_into()))),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(failed(&error)),
        }
    }

    async fn handle(&self, path: &str, create: bool) -> Result<Option<FileSystemFileHandle>, Problem> {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let folder = self.folder(folder).await?;
        let options = FileSystemGetFileOptions::new();
        options.set_create(create);
        match JsFuture::from(folder.0.get_file_handle_with_options(name, &options)).await {
            Ok(handle) => Ok(Some(handle.unchecked_into())),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(failed(&error)),
        }
    }

    /// A file, to be read in pieces; none if there is no such file.
    pub async fn file(&self, path: &str) -> Result<Option<File>, Problem> {
        let Some(handle) = self.handle(path, false).await? else { return Ok(None) };
        let file = JsFuture::from(handle.get_file()).await.map_err(|error| failed(&error))?;
        Ok(Some(file.unchecked_into()))
    }

    /// A small file, whole.
    pub async fn read(&self, path: &str) -> Result<Option<Vec<u8>>, Problem> {
        let Some(file) = self.file(path).await? else { return Ok(None) };
        let bytes = JsFuture::from(file.array_buffer()).await.map_err(|error| failed(&error))?;
        Ok(Some(Uint8Array::new(&bytes).to_vec()))
    }

    /// Writes a small file. This is not atomic: its reader must be able to tell half a file from a whole one. A file
    /// that could not be written whole is removed.
    pub async fn write(&self, path: &str, bytes: &[u8]) -> Result<(), Problem> {
        let mut file = Writable::open(self, path).await?;
        let written = file.truncate().and_then(|()| file.append(bytes)).and_then(|()| file.flush());
        let Err(problem) = written else { return Ok(()) };
        drop(file);
        self.remove(path).await?;
        let needed = bytes.len() as u64;
        Err(free().await.filter(|free| *free < needed).map_or(problem, |free| full(needed, free)))
    }

    /// Removes a file or a folder with all that is in it; it need not exist.
    pub async fn remove(&self, path: &str) -> Result<(), Problem> {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let folder = self.folder(folder).await?;
        let options = FileSystemRemoveOptions::new();
        options.set_recursive(true);
        match JsFuture::from(folder.0.remove_entry_with_options(name, &options)).await {
            Err(error) if !is_absent(&error) => Err(failed(&error)),
            _ => Ok(()),
        }
    }

    /// Names in a folder: those of files, and those of folders.
    pub async fn names(&self) -> Result<(Vec<String>, Vec<String>), Problem> {
        let (mut files, mut folders) = (Vec::new(), Vec::new());
        let entries = self.0.values();
        loop {
            let step = JsFuture::from(entries.next().map_err(|error| failed(&error))?).await;
            let step: js_sys::IteratorNext = step.map_err(|error| failed(&error))?.unchecked_into();
            if step.done() {
                files.sort();
                folders.sort();
                return Ok((files, folders));
            }
            let handle: FileSystemHandle = step.value().unchecked_into();
            match handle.kind() {
                FileSystemHandleKind::Directory => folders.push(handle.name()),
                _ => files.push(handle.name()),
            }
        }
    }

    /// Bytes of everything in a folder.
    pub async fn bytes(&self) -> Result<u64, Problem> {
        let (files, folders) = self.names().await?;
        let mut sum = 0;
        for name in files {
            sum += self.file(&name).await?.map_or(0, |file| file.size() as u64);
        }
        for name in folders {
            sum += Box::pin(self.folder(&name).await?.bytes()).await?;
        }
        Ok(sum)
    }
}

/// A file that is open for writing; until it is closed, nothing else can open it.
pub(super) struct Writable {
    handle: FileSystemSyncAccessHandle,
    length: u64,
}

impl Writable {
    pub async fn open(folder: &Folder, path: &str) -> Result<Self, Problem> {
        let absent = || Problem::Storage { reason: format!("{path} cannot be made"), full: false };
        let handle = folder.handle(path, true).await?.ok_or_else(absent)?;
        let handle = JsFuture::from(handle.create_sync_access_handle()).await.map_err(|error| failed(&error))?;
        let handle: FileSystemSyncAccessHandle = handle.unchecked_into();
        let length = handle.get_size().map_err(|error| failed(&error))? as u64;
        Ok(Self { handle, length })
    }

    fn truncate(&mut self) -> Result<(), Problem> {
        self.length = 0;
        self.handle.truncate_with_u32(0).map_err(|error| failed(&error))
    }

    /// Ends it at a length that it has, or has more than.
    pub fn end_at(&mut self, length: u64) -> Result<(), Problem> {
        self.length = length;
        self.handle.truncate_with_f64(length as f64).map_err(|error| failed(&error))
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), Problem> {
        self.write_at(self.length, bytes)
    }

    pub fn write_at(&mut self, place: u64, bytes: &[u8]) -> Result<(), Problem> {
        let options = FileSystemReadWriteOptions::new();
        options.set_at(place as f64);
        let written = self.handle.write_with_u8_array_and_options(bytes, &options).map_err(|error| failed(&error))?;
        // Chromium answers with the number of its error instead of throwing one.
        if written as usize != bytes.len() {
            let reason = format!("it is full, {} were to be written: {FULL}", size(bytes.len() as u64));
            return Err(Problem::Storage { reason, full: true });
        }
        self.length = self.length.max(place + bytes.len() as u64);
        Ok(())
    }

    fn read(&self, start: u64, most: usize) -> Result<Vec<u8>, Problem> {
        let mut bytes = vec![0; most.min(self.length.saturating_sub(start) as usize)];
        let options = FileSystemReadWriteOptions::new();
        options.set_at(start as f64);
        let read = self.handle.read_with_u8_array_and_options(&mut bytes, &options).map_err(|error| failed(&error))?;
        bytes.truncate(read as usize);
        Ok(bytes)
    }

    pub fn flush(&self) -> Result<(), Problem> {
        self.handle.flush().map_err(|error| failed(&error))
    }
}

impl Drop for Writable {
    fn drop(&mut self) {
        self.handle.close();
    }
}

/// A file that grows in the storage, with its entity tag beside it.
pub(super) struct StoredPart {
    file: Writable,
    tag: Writable,
    validator: Option<String>,
}

impl StoredPart {
    pub async fn open(folder: &Folder, path: &str) -> Result<Self, Problem> {
        let file = Writable::open(folder, path).await?;
        let tag = Writable::open(folder, &format!("{path}.etag")).await?;
        let validator = String::from_utf8(tag.read(0, 1024)?).ok().filter(|tag| !tag.is_empty());
        Ok(Self { file, tag, validator })
    }
}

impl PartialFile for StoredPart {
    fn length(&self) -> u64 {
        self.file.length
    }

    fn validator(&self) -> Option<&str> {
        self.validator.as_deref()
    }

    fn restart<'a>(&'a mut self, validator: Option<&'a str>) -> LocalFuture<'a, Result<(), Problem>> {
        Box::pin(async move {
            // First the bytes, then what says whose they are: a tag without bytes does no harm.
            self.file.truncate()?;
            self.tag.truncate()?;
            self.tag.append(validator.unwrap_or_default().as_bytes())?;
            self.validator = validator.map(str::to_owned);
            self.tag.flush()
        })
    }

    fn append<'a>(&'a mut self, bytes: &'a [u8]) -> LocalFuture<'a, Result<(), Problem>> {
        Box::pin(async move { self.file.append(bytes) })
    }

    fn read(&mut self, start: u64, most: usize) -> LocalFuture<'_, Result<Vec<u8>, Problem>> {
        Box::pin(async move { self.file.read(start, most) })
    }

    /// The file has its name already: what makes it count is the record of the model, which is written last.
    fn publish(&mut self) -> LocalFuture<'_, Result<(), Problem>> {
        Box::pin(async move { self.file.flush() })
    }
}

/// A file in memory, for embeddings, which are small.
#[derive(Default)]
pub(super) struct MemoryPart {
    pub bytes: Vec<u8>,
    validator: Option<String>,
}

impl PartialFile for MemoryPart {
    fn length(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn validator(&self) -> Option<&str> {
        self.validator.as_deref()
    }

    fn restart<'a>(&'a mut self, validator: Option<&'a str>) -> LocalFuture<'a, Result<(), Problem>> {
        Box::pin(async move {
            self.bytes.clear();
            self.validator = validator.map(str::to_owned);
            Ok(())
        })
    }

    fn append<'a>(&'a mut self, bytes: &'a [u8]) -> LocalFuture<'a, Result<(), Problem>> {
        Box::pin(async move {
            self.bytes.extend_from_slice(bytes);
            Ok(())
        })
    }

    fn read(&mut self, start: u64, most: usize) -> LocalFuture<'_, Result<Vec<u8>, Problem>> {
        Box::pin(async move {
            let rest = self.bytes.get(start as usize..).unwrap_or_default();
            Ok(rest[..most.min(rest.len())].to_vec())
        })
    }

    fn publish(&mut self) -> LocalFuture<'_, Result<(), Problem>> {
        Box::pin(async { Ok(()) })
    }
}

/// Small files that the page keeps: embeddings, and a run that can be resumed.
#[wasm_bindgen]
pub struct Storage {
    root: Folder,
    run: RunStates,
}

#[wasm_bindgen]
impl Storage {
    /// Opens the storage of this page.
    pub async fn open() -> Result<Storage, JsValue> {
        let root = Folder::root().await.map_err(super::problem)?;
        let root = root.folder("kept").await.map_err(super::problem)?;
        Ok(Storage { run: RunStates::new(Slots::of(root.clone())), root })
    }

    /// A file's bytes; nothing if there is none.
    pub async fn get(&self, path: String) -> Result<Option<Vec<u8>>, JsValue> {
        self.root.read(&path).await.map_err(super::problem)
    }

    /// Writes a file.
    pub async fn put(&self, path: String, bytes: Vec<u8>) -> Result<(), JsValue> {
        self.root.write(&path, &bytes).await.map_err(super::problem)
    }

    /// Removes a file or a folder.
    pub async fn remove(&self, path: String) -> Result<(), JsValue> {
        self.root.remove(&path).await.map_err(super::problem)
    }

    /// Saves the state of the run, beside the newest one that is whole.
    #[wasm_bindgen(js_name = saveState)]
    pub async fn save_state(&self, state: Vec<u8>) -> Result<(), JsValue> {
        self.run.write(&state).await.map_err(super::problem)
    }

    /// The newest whole state of the run: `{step, steps, state, warning?}`, or `{unusable}` if there are only damaged
    /// ones; nothing if there are none.
    #[wasm_bindgen(js_name = savedState)]
    pub async fn saved_state(&self) -> Result<JsValue, JsValue> {
        super::run::found(self.run.newest().await.map_err(super::problem)?)
    }

    /// Forgets the run, with its pictures.
    #[wasm_bindgen(js_name = forgetRun)]
    pub async fn forget_run(&self) -> Result<(), JsValue> {
        self.run.forget();
        self.root.remove("run").await.map_err(super::problem)
    }

    /// Names of the files in a folder, sorted.
    pub async fn list(&self, path: String) -> Result<Array, JsValue> {
        let folder = self.root.folder(&path).await.map_err(super::problem)?;
        let (files, _) = folder.names().await.map_err(super::problem)?;
        Ok(files.into_iter().map(JsValue::from).collect())
    }
}
