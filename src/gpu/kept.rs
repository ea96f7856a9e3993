//! What was found about a GPU, kept from one start to the next: as long as its driver and our kernels are the same.

#![allow(async_fn_in_trait, reason = "the engine runs in one thread: nobody needs these futures to be Send")]

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use wgpu::AdapterInfo;

use crate::base::bytes::sha256;

/// Where small files are kept: a folder on a disk, or a browser's storage.
pub trait Keep {
    /// What ends a turn when it is dropped.
    type Turn;

    /// Waits, though not for ever, until no other process works out what this file will say. Where processes cannot wait for
    /// each other, two may do so at once.
    async fn turn(&self, path: &str) -> Self::Turn;

    /// A file's bytes; none if there is no such file, or it cannot be read.
    async fn get(&self, path: &str) -> Option<Vec<u8>>;

    /// Writes a file; the reason if it cannot be kept.
    async fn put(&self, path: &str, bytes: &[u8]) -> Result<(), String>;
}

/// What depends on a GPU's driver and on our kernels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Key {
    pub adapter: String,
    pub driver: String,
    /// The version of the kernels, from their texts.
    pub kernels: String,
}

impl Key {
    pub fn of(info: &AdapterInfo, kernels: String) -> Self {
        let driver = format!("{} {} ({:?})", info.driver, info.driver_info, info.backend);
        Self { adapter: info.name.clone(), driver, kernels }
    }
}

/// A file that keeps what was found about a GPU.
#[derive(Debug, Serialize, Deserialize)]
struct KeptFile<T> {
    about: String,
    #[serde(flatten)]
    key: Key,
    #[serde(flatten)]
    found: T,
}

/// The path of an adapter's file: that of another driver replaces it.
pub(super) fn path(what: &str, info: &AdapterInfo) -> String {
    let hash = sha256(format!("{:?} {:x} {:x} {}", info.backend, info.vendor, info.device, info.name));
    format!("{what}/{}.json", &hash[..16])
}

/// What a file says; none if it is damaged, or about another driver or other kernels.
pub(super) fn read<T: DeserializeOwned>(key: &Key, bytes: &[u8]) -> Option<T> {
    let kept: KeptFile<T> = serde_json::from_slice(bytes).ok()?;
    (kept.key == *key).then_some(kept.found)
}

/// Such a file.
pub(super) fn write<T: Serialize>(key: &Key, about: &str, found: &T) -> Result<Vec<u8>, String> {
    let kept = KeptFile { about: about.to_owned(), key: key.clone(), found };
    serde_json::to_vec_pretty(&kept).map_err(|error| error.to_string())
}
