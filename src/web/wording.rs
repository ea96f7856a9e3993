//! The engine's sentences in the page's words: a setting is called what its label says.

use std::cell::RefCell;
use std::collections::BTreeMap;

use wasm_bindgen::prelude::*;

use crate::setting::Setting;

thread_local! {
    /// The labels of the page, by keys: they are in index.html and nowhere else.
    static LABELS: RefCell<BTreeMap<&'static str, String>> = const { RefCell::new(BTreeMap::new()) };
}

/// Tells the engine what the page calls its settings: an object of labels by keys. Throws what is not a setting.
#[wasm_bindgen(js_name = nameSettings)]
pub fn name_settings(labels: JsValue) -> Result<(), JsValue> {
    let labels: BTreeMap<String, String> = serde_wasm_bindgen::from_value(labels)?;
    let named = labels.into_iter().map(|(key, label)| match Setting::of(&key) {
        Some(setting) => Ok((setting.key(), label)),
        None => Err(js_sys::Error::new(&format!("the page labels {key:?}, which is not a setting")).into()),
    });
    let named = named.collect::<Result<_, JsValue>>()?;
    LABELS.with_borrow_mut(|labels| *labels = named);
    Ok(())
}

/// What the page calls a setting, as quoted text; none if it does not offer it.
pub(super) fn label(setting: Setting) -> Option<String> {
    LABELS.with_borrow(|labels| labels.get(setting.key()).map(|label| format!("\u{201c}{label}\u{201d}")))
}
