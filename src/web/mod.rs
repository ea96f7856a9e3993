//! The engine for a browser: what a Worker can call. Events are plain objects, vectors are typed arrays, pictures are
//! PNGs.
//!
//! JavaScript pumps: a job works only while its `next()` is awaited, so pausing is not calling it.
//!
//! www/worker.js calls the methods of [`Engine`], [`Library`], [`Storage`], [`Tools`] and of the jobs by their names, so a new one
//! can be called from the page as it is. Only what needs more than a call has an entry there.

mod concept;
mod eight_bits;
mod embeddings;
mod engine;
mod facts;
mod files;
mod foretold;
mod form;
mod generation;
mod library;
mod like;
mod lock;
mod network;
mod pictures;
mod precision;
mod record;
mod run;
mod storage;
mod tools;
mod training;
mod wording;

pub use engine::Engine;
pub use form::choices;
pub use generation::Generation;
pub use library::{Library, Plan};
pub use storage::Storage;
pub use tools::Tools;
pub use training::Training;
pub use wording::name_settings;

use image::RgbImage;
use serde::Serialize;
use wasm_bindgen::prelude::*;

use crate::Error;
use crate::event::Event;
use crate::image::encode_png;

/// Panics become console errors with a message instead of `unreachable`, and the message is left in the Worker's
/// `enginePanic`: the trap that follows carries no message.
#[wasm_bindgen(start)]
pub fn start() {
    std::panic::set_hook(Box::new(|panic| {
        console_error_panic_hook::hook(panic);
        let text = panic.payload_as_str().unwrap_or("a broken invariant").into();
        let _lost = js_sys::Reflect::set(&js_sys::global(), &"enginePanic".into(), &text);
    }));
}

/// The browser's own message for an error.
fn message(error: &JsValue) -> String {
    let message = js_sys::Reflect::get(error, &"message".into()).ok().and_then(|message| message.as_string());
    message.unwrap_or_else(|| format!("{error:?}"))
}

fn problem(problem: crate::source::Problem) -> JsValue {
    to_js(Error::Source(problem))
}

/// An error for JavaScript: what it is, as `code` and `parts` ([`Told`](crate::error::Told)) where it has them, and in English with the
/// page's names of settings. Those after which the device cannot be used any more are called `GpuError`.
fn to_js(error: Error) -> JsValue {
    let thrown = js_sys::Error::new(&match &error {
        // The page adds its own advice to these, where the engine can be started again.
        Error::GpuLost { reason, .. } => format!("the graphics device was lost ({reason})"),
        Error::GpuMemory { reason } => format!("the graphics device's memory is full ({reason})"),
        error => error.worded(&wording::label),
    });
    if let Some(told) = error.told(&wording::label) {
        let set = |key: &str, value: JsValue| js_sys::Reflect::set(&thrown, &key.into(), &value);
        let _always = (set("code", told.code.into()), set("parts", plain(&told.parts).unwrap_or_default()));
    }
    if matches!(error, Error::Gpu { .. } | Error::GpuLost { .. } | Error::GpuMemory { .. }) {
        thrown.set_name("GpuError");
    }
    thrown.into()
}

fn plain(value: &impl Serialize) -> Result<JsValue, JsValue> {
    // The default would make Maps of the tagged variants; pages expect objects.
    Ok(value.serialize(&serde_wasm_bindgen::Serializer::json_compatible())?)
}

/// A job's next event; `undefined` when everything is done.
fn next(event: crate::Result<Option<Event>>) -> Result<JsValue, JsValue> {
    match event.map_err(to_js)? {
        Some(event) => plain(&event.worded(&wording::label)),
        None => Ok(JsValue::UNDEFINED),
    }
}

/// A picture as a PNG file with its settings.
fn png(picture: &RgbImage, text: &[(String, String)]) -> Result<Vec<u8>, JsValue> {
    encode_png(picture, text).map_err(to_js)
}
