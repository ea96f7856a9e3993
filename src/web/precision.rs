//! In which precision the page's GPU makes matrix products: decided as everywhere, and kept in the browser's storage.

use wasm_bindgen::prelude::*;

use super::storage::Folder;
use super::to_js;
use crate::Error;
use crate::base::text::quoted;
use crate::gpu::kept::Keep;
use crate::gpu::precision::{Decision, decide, is_tested};
use crate::gpu::{Chosen, Precision};

/// The browser's storage, if it gives one.
impl Keep for Option<Folder> {
    type Turn = ();

    async fn turn(&self, _path: &str) {}

    async fn get(&self, path: &str) -> Option<Vec<u8>> {
        self.as_ref()?.read(path).await.ok()?
    }

    async fn put(&self, path: &str, bytes: &[u8]) -> Result<(), String> {
        let folder = self.as_ref().ok_or("there is no storage for it")?;
        folder.write(path, bytes).await.map_err(|problem| problem.to_string())
    }
}

/// Decides, by the name of a choice or by default. A user who insists on f16 gets another test where an earlier one
/// failed: the driver may be another by now, which no browser says.
pub(super) async fn decided(chosen: &Chosen, asked: Option<&str>, insists: bool) -> Result<Decision, JsValue> {
    let asked = match asked {
        Some(name) => {
            Precision::of(name).ok_or_else(|| to_js(Error::Usage(format!("there is no precision {}", quoted(name)))))?
        }
        None => Precision::default(),
    };
    let keep = Folder::root().await.ok();
    let earlier = is_tested(chosen, &keep).await;
    let mut decision = decide(chosen, &keep, asked, false).await;
    if insists
        && earlier
        && let Err(Error::Usage(_)) = decision
    {
        decision = decide(chosen, &keep, asked, true).await;
    }
    let none = || to_js(Error::Internal("a browser's device is always a GPU".to_owned()));
    decision.map_err(to_js)?.ok_or_else(none)
}
