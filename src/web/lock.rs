//! What one tab of the page does at a time: the browser's own locks, which go with the tab, too.

use std::time::Duration;

use js_sys::{Array, Function, Object, Promise, Reflect};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

use super::library::{key, tell};
use super::message;
use super::network::Fetch;
use crate::event::{Event, WarningCode};
use crate::source::Problem;
use crate::source::transport::Transport;

/// How long it takes to see that another tab is done with a model.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

#[wasm_bindgen]
extern "C" {
    /// Calls `work` with the lock, or with `null`; until what that gives is settled, nobody else has it.
    #[wasm_bindgen(catch, js_namespace = ["navigator", "locks"])]
    fn request(name: &str, options: &Object, work: &Function) -> Result<Promise, JsValue>;
}

/// A lock that is held until this is dropped.
pub(super) struct Lock(Function);

impl Lock {
    /// Takes a lock; none if another has it.
    pub async fn take(name: &str) -> Result<Option<Self>, Problem> {
        let failed = |error: JsValue| Problem::Storage { reason: message(&error), full: false };
        let (mut release, mut grant) = (Function::default(), Function::default());
        let held = Promise::new(&mut |resolve, _| release = resolve);
        let granted = Promise::new(&mut |resolve, _| grant = resolve);
        let work = Closure::once_into_js(move |lock: JsValue| {
            if lock.is_null() {
                return lock;
            }
            // A promise takes any value.
            let _settled = grant.call1(&JsValue::NULL, &JsValue::TRUE);
            held.into()
        });
        let options = Object::new();
        // An ordinary object takes any property.
        let _set = Reflect::set(&options, &"ifAvailable".into(), &JsValue::TRUE);
        let request = request(name, &options, work.unchecked_ref()).map_err(failed)?;
        let first = Promise::race(&Array::of2(&granted, &request));
        let is_ours = JsFuture::from(first).await.map_err(failed)?.is_truthy();
        Ok(is_ours.then_some(Self(release)))
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let _settled = self.0.call0(&JsValue::NULL);
    }
}

/// The right to change what is stored of a model, until it is dropped.
///
/// # Errors
/// [`Problem::OtherTab`] where another tab of the page has it.
pub(super) async fn alone(name: &str) -> Result<Lock, Problem> {
    alone_with(name, &key(name)).await
}

/// The same where the model's folder is known.
pub(super) async fn alone_with(name: &str, folder: &str) -> Result<Lock, Problem> {
    let lock = Lock::take(&format!("pseudoword-model-{folder}")).await?;
    lock.ok_or_else(|| Problem::OtherTab { model: name.to_owned() })
}

/// The same as soon as no other tab has it; meanwhile that is told.
pub(super) async fn wait(name: &str, listener: &Function) -> Result<Lock, Problem> {
    loop {
        let other = match alone(name).await {
            Err(problem @ Problem::OtherTab { .. }) => problem,
            taken => return taken,
        };
        if tell(listener, &Event::warning(WarningCode::Waiting, other.to_string())).is_break() {
            return Err(Problem::Interrupted);
        }
        Fetch.sleep(LOOK_AGAIN).await;
    }
}
