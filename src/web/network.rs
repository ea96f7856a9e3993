//! The browser's network: `fetch`, as the [`Transport`] over which everything is downloaded.
//!
//! The browser follows redirections itself, and does not tell a page why a connection failed. Headers that would make
//! it ask the other server for permission first (`If-Range`) are left out across origins: where a hash is known it
//! guards what is put together, and elsewhere the entity tag of the answer does.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use js_sys::{Array, Function, Promise, Reflect, Uint8Array};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    AbortController, ReadableStreamDefaultReader, Request, RequestCache, RequestCredentials, RequestInit,
    WorkerGlobalScope,
};

use super::message;
use crate::source::LocalFuture;
use crate::source::transport::{Body, Broken, Fault, Headers, Response, Transport};
use crate::source::url::Url;

/// How long nothing may come before a connection counts as broken.
const STALL: Duration = Duration::from_secs(60);

/// The network of the Worker.
pub(super) struct Fetch;

fn scope() -> WorkerGlobalScope {
    js_sys::global().unchecked_into()
}

/// Where the page is from: `https://example.org`.
fn origin() -> String {
    Reflect::get(&js_sys::global(), &"origin".into()).ok().and_then(|value| value.as_string()).unwrap_or_default()
}

/// Ends a request in which nothing happens.
struct Watch {
    controller: AbortController,
    timer: Rc<RefCell<Option<i32>>>,
}

impl Watch {
    fn new() -> Result<Self, JsValue> {
        Ok(Self { controller: AbortController::new()?, timer: Rc::default() })
    }

    /// Something happened.
    fn wind(&self) {
        self.stop();
        let controller = self.controller.clone();
        let abort = Closure::once_into_js(move || controller.abort());
        let time = STALL.as_millis() as i32;
        let timer =
            scope().set_timeout_with_callback_and_timeout_and_arguments_0(abort.unchecked_ref::<Function>(), time);
        *self.timer.borrow_mut() = timer.ok();
    }

    fn stop(&self) {
        if let Some(timer) = self.timer.borrow_mut().take() {
            scope().clear_timeout_with_handle(timer);
        }
    }

    fn reason(&self, error: &JsValue) -> String {
        if self.controller.signal().aborted() {
            format!("nothing arrived for {} s", STALL.as_secs())
        } else {
            message(error)
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop();
        // A body that is no longer read is not fetched to its end.
        self.controller.abort();
    }
}

impl Transport for Fetch {
    fn get<'a>(
        &'a self,
        url: &'a Url,
        headers: &'a [(&'static str, String)],
    ) -> LocalFuture<'a, Result<Response, Broken>> {
        Box::pin(async move {
            let own = url.origin() == origin();
            let refused = |error: JsValue| Broken { fault: Fault::Refused, reason: message(&error) };
            let watch = Watch::new().map_err(refused)?;
            let request = request(url, headers, own, &watch).map_err(refused)?;
            watch.wind();
            let answer = JsFuture::from(scope().fetch_with_request(&request)).await.map_err(|error| {
                let hint = if own { "" } else { "; perhaps that server does not let web pages read its files (CORS)" };
                let reason = format!("{}{hint}", watch.reason(&error));
                Broken { fault: Fault::Unreachable, reason }
            })?;
            let answer: web_sys::Response = answer.unchecked_into();
            let headers = Headers::new(seen(&answer));
            let reader = answer.body().map(|stream| ReadableStreamDefaultReader::new(&stream)).transpose();
            let reader = reader.map_err(|error| Broken { fault: Fault::Cut, reason: message(&error) })?;
            Ok(Response { status: answer.status(), headers, body: Box::new(BodyStream { reader, watch }) })
        })
    }

    fn sleep(&self, time: Duration) -> LocalFuture<'_, ()> {
        Box::pin(async move {
            let promise = Promise::new(&mut |resolve, _| {
                let time = i32::try_from(time.as_millis()).unwrap_or(i32::MAX);
                // Without timers there is no way to wait: better now than never.
                if scope().set_timeout_with_callback_and_timeout_and_arguments_0(&resolve, time).is_err() {
                    let _ignored = resolve.call0(&JsValue::NULL);
                }
            });
            let _ignored = JsFuture::from(promise).await;
        })
    }
}

fn request(url: &Url, headers: &[(&'static str, String)], own: bool, watch: &Watch) -> Result<Request, JsValue> {
    let init = RequestInit::new();
    init.set_credentials(RequestCredentials::Omit);
    // What is kept is kept by us, and ranges of two versions must not be mixed by a cache in between.
    init.set_cache(RequestCache::NoStore);
    init.set_signal(Some(&watch.controller.signal()));
    let given = web_sys::Headers::new()?;
    for (name, value) in headers {
        // The browser asks for compression as it likes.
        if *name != "accept-encoding" && (own || *name != "if-range") {
            given.set(name, value)?;
        }
    }
    init.set_headers(&given);
    Request::new_with_str_and_init(&url.to_string(), &init)
}

/// The headers that a page may see. Where the browser has decompressed the body, those that describe it compressed are
/// left out.
fn seen(answer: &web_sys::Response) -> Vec<(String, String)> {
    let mut headers = Vec::new();
    for entry in js_sys::try_iter(&answer.headers()).ok().flatten().into_iter().flatten().flatten() {
        let pair = Array::from(&entry);
        if let (Some(name), Some(value)) = (pair.get(0).as_string(), pair.get(1).as_string()) {
            headers.push((name, value));
        }
    }
    let value = |name: &str| headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let packed = value("content-encoding").is_some_and(|encoding| encoding != "identity");
    // Across origins the encoding is hidden, but only text is compressed in transfer.
    let text = value("content-type").is_some_and(|kind| kind.starts_with("text/") || kind.contains("json"));
    if packed || text {
        headers.retain(|(name, _)| name != "content-encoding" && name != "content-length");
    }
    headers
}

struct BodyStream {
    reader: Option<ReadableStreamDefaultReader>,
    watch: Watch,
}

impl Body for BodyStream {
    fn chunk(&mut self) -> LocalFuture<'_, Result<Option<Vec<u8>>, Broken>> {
        Box::pin(async move {
            let Some(reader) = &self.reader else { return Ok(None) };
            self.watch.wind();
            let read = JsFuture::from(reader.read()).await;
            self.watch.stop();
            let read = read.map_err(|error| Broken { fault: Fault::Cut, reason: self.watch.reason(&error) })?;
            let value = Reflect::get(&read, &"value".into()).unwrap_or_default();
            Ok(value.dyn_into::<Uint8Array>().ok().map(|bytes| bytes.to_vec()))
        })
    }
}
