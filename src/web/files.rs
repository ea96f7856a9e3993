//! A model's files as the browser has them (stored, or chosen from the disk), read in pieces where they lie.

use std::collections::BTreeMap;
use std::ops::Range;

use js_sys::{Array, Object, Uint8Array};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::Blob;

use super::message;
use crate::formats::{Holds, can_hold};
use crate::parts::Part;
use crate::source::{LocalFuture, Source, names_in};
use crate::{Error, Result};

/// Files that the browser reads for us.
pub(super) struct Files {
    name: String,
    files: BTreeMap<String, Blob>,
}

impl Files {
    /// Takes an object of `path: Blob`.
    pub fn new(name: String, files: &Object) -> Self {
        let pairs = Object::entries(files);
        let files = pairs.iter().filter_map(|entry| {
            let pair = Array::from(&entry);
            Some((pair.get(0).as_string()?, pair.get(1).dyn_into().ok()?))
        });
        Self { name, files: files.collect() }
    }

    /// The model in one file, if these are that, perhaps with configurations beside it: its path, and whether it has some.
    pub fn single(&self) -> Option<(String, bool)> {
        let mut weights = self.files.keys().filter(|path| can_hold(path, Holds::Model));
        let path = weights.next().filter(|path| weights.next().is_none() && !path.contains('/'))?;
        Some((path.clone(), self.files.contains_key(Part::Unet.config())))
    }
}

impl Source for Files {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn length<'a>(&'a self, path: &'a str) -> LocalFuture<'a, Result<Option<u64>>> {
        Box::pin(async move { Ok(self.files.get(path).map(|file| file.size() as u64)) })
    }

    fn read<'a>(&'a self, path: &'a str, range: Range<u64>) -> LocalFuture<'a, Result<Vec<u8>>> {
        Box::pin(async move {
            let bad = |reason: String| Error::BadFile { file: format!("{}/{path}", self.name), reason };
            let file = self.files.get(path).ok_or_else(|| bad("it is not there".to_owned()))?;
            let unread = |error: JsValue| bad(format!("the browser cannot read it: {}", message(&error)));
            let piece = file.slice_with_f64_and_f64(range.start as f64, range.end as f64).map_err(unread)?;
            let bytes = Uint8Array::new(&JsFuture::from(piece.array_buffer()).await.map_err(unread)?);
            if u64::from(bytes.length()) != range.end - range.start {
                return Err(bad("it ends early".to_owned()));
            }
            Ok(bytes.to_vec())
        })
    }

    fn names<'a>(&'a self, folder: &'a str) -> LocalFuture<'a, Result<Vec<String>>> {
        Box::pin(async move { Ok(names_in(folder, self.files.keys().map(String::as_str))) })
    }
}
