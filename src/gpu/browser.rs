//! The GPU of a browser tab, or a polite refusal.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use burn::tensor::Device;
use js_sys::{Object, Promise, Reflect};
use serde::{Deserialize, Serialize};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use wgpu::{AdapterInfo, Features, PowerPreference};

use super::kept::{self, Keep, Key};
use super::{Chosen, Offer, lacking};
use crate::ops::{self, HalfProducts, SoftwareGpu, faults};
use crate::{Error, Result};

thread_local! {
    /// The runtime can be set up only once; later calls get the same one.
    static READY: RefCell<Option<(Chosen, Offer)>> = const { RefCell::new(None) };
    /// Whether it was tested: in general, and with weights in eight bits.
    static TESTED: Cell<[bool; 2]> = const { Cell::new([false; 2]) };
}

/// Asks the browser for its GPU and makes it ready for tensors. To be awaited before any tensor is made.
///
/// # Errors
/// [`Error::NoGpu`] if there is none, or none that the engine can run on.
pub async fn browser() -> Result<Chosen> {
    if let Some((chosen, _)) = READY.with_borrow(Clone::clone) {
        return Ok(chosen);
    }
    let no_gpu = |reason: String| Error::NoGpu { reason };
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor {
        backends: wgpu::Backends::BROWSER_WEBGPU,
        ..wgpu::InstanceDescriptor::new_without_display_handle()
    });
    let options = wgpu::RequestAdapterOptions {
        power_preference: PowerPreference::HighPerformance,
        ..wgpu::RequestAdapterOptions::default()
    };
    let adapter = instance.request_adapter(&options).await.map_err(|error| {
        no_gpu(format!(
            "this browser offers no WebGPU adapter ({error}); try a current Chrome, Edge, Firefox or Safari"
        ))
    })?;
    if let Some(missing) = lacking(&adapter.limits()) {
        return Err(no_gpu(format!("this browser's GPU cannot run the engine: {missing}")));
    }
    let info = described(adapter.get_info()).await;
    let name = if info.name.is_empty() { "the browser's GPU".to_owned() } else { info.name.clone() };
    let (device, setup) = Device::wgpu_options()
        .init_with_setup_async()
        .await
        .map_err(|error| no_gpu(format!("the browser's GPU could not be started: {error}")))?;
    // The default is a panic, which ends the tab's worker.
    setup.device.on_uncaptured_error(Arc::new(|error| faults::report(&error)));
    let reason = if info.device_type == wgpu::DeviceType::Cpu {
        ops::mark_software(&device, SoftwareGpu::Other);
        "the browser offers only a software GPU, which is slow"
    } else {
        "the browser's GPU"
    };
    let chosen = Chosen { device, kind: "gpu", name, reason: reason.to_owned() };
    // Browsers have no cooperative matrices.
    let has_f16 = setup.device.features().contains(Features::SHADER_F16);
    let offer = Offer { info, ways: if has_f16 { vec![HalfProducts::Strips] } else { Vec::new() } };
    READY.set(Some((chosen.clone(), offer)));
    Ok(chosen)
}

/// What the device offers for products in f16.
pub fn offer(chosen: &Chosen) -> Option<Offer> {
    READY.with_borrow(|ready| {
        ready.as_ref().filter(|(ready, _)| ready.device == chosen.device).map(|(_, offer)| offer.clone())
    })
}

/// What is known of an adapter, with what wgpu leaves out: who made it and which kind it is, which browsers say instead of its name;
/// and the browser, which is its driver's compiler in part.
async fn described(info: AdapterInfo) -> AdapterInfo {
    let navigator = of(&js_sys::global(), "navigator");
    let text = |value: &JsValue, name: &str| of(value, name).as_string().filter(|text| !text.is_empty());
    let said = adapter_info(&of(&navigator, "gpu")).await;
    let parts = ["vendor", "architecture"].into_iter().filter_map(|name| text(&said, name));
    let name = if info.name.is_empty() { parts.collect::<Vec<_>>().join(" ") } else { info.name };
    AdapterInfo { name, driver: text(&navigator, "userAgent").unwrap_or_default(), ..info }
}

/// The browser's own description of the adapter that wgpu got; nothing where there is none.
async fn adapter_info(gpu: &JsValue) -> JsValue {
    let options = Object::new();
    let _fresh = Reflect::set(&options, &"powerPreference".into(), &"high-performance".into());
    let asked = of(gpu, "requestAdapter").dyn_into::<js_sys::Function>().and_then(|ask| ask.call1(gpu, &options));
    let Ok(Ok(promise)) = asked.map(|asked| asked.dyn_into::<Promise>()) else { return JsValue::UNDEFINED };
    JsFuture::from(promise).await.map_or(JsValue::UNDEFINED, |adapter| of(&adapter, "info"))
}

/// A property of a JavaScript value; undefined if it has none of this name.
fn of(value: &JsValue, name: &str) -> JsValue {
    Reflect::get(value, &name.into()).unwrap_or(JsValue::UNDEFINED)
}

/// The sources that this was built from: tools/web/build says so. Without that nobody could tell another program's tests from these.
const BUILD: Option<&str> = option_env!("PSEUDOWORD_BUILD");
/// Milliseconds after which a device is tested again: of drivers no browser says when they become others.
const TRUSTED: f64 = 7.0 * 24.0 * 3600.0 * 1000.0;

/// That a device passed its self-test.
#[derive(Serialize, Deserialize)]
struct Passed {
    /// When, in milliseconds since 1970.
    passed: f64,
}

/// Tests the device the first time that it is asked about, before anything large is loaded: a browser only logs a
/// kernel that its compiler refuses. What passed is kept for some days, for the same adapter, browser and program; what failed
/// is tested at every start.
///
/// # Errors
/// [`Error::Gpu`] if it computes wrong values.
pub async fn tested(chosen: &Chosen, keep: &impl Keep) -> Result<()> {
    passes(chosen, keep, false).await
}

/// The same with weights in eight bits, before a model that has some is loaded: it is a few kernels more to compile, of which
/// other models have no use.
///
/// # Errors
/// As for [`tested`].
pub async fn tested_in_eight_bits(chosen: &Chosen, keep: &impl Keep) -> Result<()> {
    passes(chosen, keep, true).await
}

async fn passes(chosen: &Chosen, keep: &impl Keep, in_eight_bits: bool) -> Result<()> {
    let (which, name) = if in_eight_bits { (1, "self-test-q8") } else { (0, "self-test") };
    if TESTED.get()[which] {
        return Ok(());
    }
    let about = offer(chosen).zip(BUILD);
    let about = about.map(|(Offer { info, .. }, build)| (Key::of(&info, build.to_owned()), kept::path(name, &info)));
    let now = js_sys::Date::now();
    let known = match &about {
        Some((key, path)) => keep.get(path).await.and_then(|bytes| kept::read::<Passed>(key, &bytes)),
        None => None,
    };
    // A clock that was set back makes nothing last.
    if !known.is_some_and(|Passed { passed }| (0.0..TRUSTED).contains(&(now - passed))) {
        if in_eight_bits {
            ops::self_test_in_eight_bits(&chosen.device).await?;
        } else {
            ops::self_test(&chosen.device).await?;
        }
        let said = "when this GPU passed its self-test; without this file it is tested again";
        if let Some((key, path)) = &about
            && let Ok(bytes) = kept::write(key, said, &Passed { passed: now })
        {
            // What cannot be kept is tested again at the next start.
            let _kept = keep.put(path, &bytes).await;
        }
    }
    let mut tested = TESTED.get();
    tested[which] = true;
    TESTED.set(tested);
    Ok(())
}
