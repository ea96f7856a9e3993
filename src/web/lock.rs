//! What one tab of the page does at a time: the browser's own locks, which go with the tab, too.

use js_sys::{Array, Function, Object, Promise, Reflect};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

use super::message;
use crate::source::Problem;

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
