//! The processor and the adapters of this machine.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};

use burn::tensor::Device;
use burn::tensor::wgpu::WgpuSetup;
use wgpu::{
    AdapterInfo, Backend, Backends, CooperativeMatrixProperties, CooperativeScalarType, DeviceType,
    ExperimentalFeatures, Features, Limits, MemoryHints,
};

use super::{Chosen, DeviceChoice, Offer, PciAddress, lacking};
use crate::ops::{self, HalfProducts, SoftwareGpu, faults};
use crate::setting::{Setting, named};
use crate::{Error, Result};

/// The graphics APIs that are used, best first. OpenGL is left out: its compute shaders miss limits that we need.
const APIS: [Backend; 3] = [Backend::Vulkan, Backend::Metal, Backend::Dx12];

/// Bytes of the blocks of memory that small buffers share; a larger one gets a block of its own length. In blocks of several
/// sizes of ours, as wgpu would make them, a tenth stays empty.
const SHARED_BLOCK: u64 = 4 << 20;

/// Devices that were started, by adapter: a runtime can be set up once. The lock is also held while adapters are
/// listed, because the Vulkan loader crashes when instances are made on several threads at once.
static STARTED: Mutex<Vec<Started>> = Mutex::new(Vec::new());

/// A device that was started.
#[derive(Debug, Clone)]
pub struct Started {
    key: String,
    device: Device,
    setup: WgpuSetup,
}

impl Started {
    fn new(key: String, device: Device, setup: WgpuSetup) -> Self {
        // In place of cubecl's, which panics on its own thread: that would go unnoticed, and wrong numbers would be
        // read.
        setup.device.on_uncaptured_error(Arc::new(|error| faults::report(&error)));
        let info = setup.adapter.get_info();
        // wgpu's noop device calls itself one, too: it stands for a GPU of hardware.
        if info.device_type == DeviceType::Cpu && info.backend != Backend::Noop {
            let lavapipe = info.name.starts_with("llvmpipe");
            ops::mark_software(&device, if lavapipe { SoftwareGpu::Lavapipe } else { SoftwareGpu::Other });
        }
        Self { key, device, setup }
    }

    /// Opens a device on an adapter.
    fn open(key: String, instance: wgpu::Instance, adapter: wgpu::Adapter) -> Result<Self, String> {
        let features = wanted(adapter.features());
        let descriptor = wgpu::DeviceDescriptor {
            required_features: features,
            required_limits: adapter.limits(),
            experimental_features: promise(features),
            memory_hints: MemoryHints::Manual {
                // Memory of the host is given in blocks of half that length, but no shorter than the shortest.
                suballocated_device_memory_block_size: SHARED_BLOCK..SHARED_BLOCK,
            },
            ..wgpu::DeviceDescriptor::default()
        };
        let opened = quietly(|| at_once(adapter.request_device(&descriptor)));
        let (device, queue) = opened.ok_or("the driver did not answer")?.map_err(|error| error.to_string())?;
        let setup = WgpuSetup { backend: adapter.get_info().backend, instance, adapter, device, queue };
        let device =
            quietly(|| Device::wgpu_options().setup(setup.clone()).init()).map_err(|error| error.to_string())?;
        Ok(Self::new(key, device, setup))
    }

    /// The adapter.
    pub fn info(&self) -> AdapterInfo {
        self.setup.adapter.get_info()
    }

    /// Its limits.
    pub fn limits(&self) -> Limits {
        self.setup.device.limits()
    }

    /// The ways to make products in f16 that the device offers: by its list of shapes, and by the sizes that its subgroups may
    /// have. Whether one is right and fast is another matter.
    pub fn half_products(&self) -> Vec<HalfProducts> {
        let info = self.info();
        let sizes = info.subgroup_min_size..=info.subgroup_max_size;
        let is_for = |way: &HalfProducts| match way {
            HalfProducts::Matrices { subgroup, .. } => sizes.contains(subgroup),
            HalfProducts::Strips => true,
        };
        self.possible_half_products().into_iter().filter(is_for).collect()
    }

    /// The same and those that are made for subgroups of other sizes: too slow to be offered, but no less right.
    pub fn possible_half_products(&self) -> Vec<HalfProducts> {
        let (features, info) = (self.setup.device.features(), self.info());
        let has_matrices = features.contains(EXPERIMENTAL | Features::SUBGROUP);
        let shapes = if has_matrices { self.setup.adapter.cooperative_matrix_properties() } else { Vec::new() };
        let is_possible = |way: &HalfProducts| {
            let is_listed = match way {
                HalfProducts::Matrices { shape, .. } => shapes.iter().any(|listed| is_square(listed, *shape)),
                HalfProducts::Strips => true,
            };
            is_listed && features.contains(Features::SHADER_F16) && way.is_right_with(info.subgroup_max_size)
        };
        HalfProducts::ALL.into_iter().filter(is_possible).collect()
    }

    /// The device below Burn's, for tests that make it fail.
    pub fn raw(&self) -> &wgpu::Device {
        &self.setup.device
    }
}

/// Whether these matrices are of this many rows, columns and steps, in f16 with sums in f32.
fn is_square(listed: &CooperativeMatrixProperties, shape: u32) -> bool {
    [listed.m_size, listed.n_size, listed.k_size] == [shape; 3]
        && listed.ab_type == CooperativeScalarType::F16
        && listed.cr_type == CooperativeScalarType::F32
}

/// What was started for a device that was chosen; none for the processor.
pub fn started(chosen: &Chosen) -> Option<Started> {
    let started = STARTED.lock().unwrap_or_else(PoisonError::into_inner);
    started.iter().find(|started| started.device == chosen.device).cloned()
}

/// What the device that was chosen offers for products in f16; none for the processor.
pub fn offer(chosen: &Chosen) -> Option<Offer> {
    let started = started(chosen)?;
    Some(Offer { info: started.info(), ways: started.half_products() })
}

/// Keeps a device that was started in another way.
#[cfg(feature = "native")]
pub(super) fn keep(key: String, device: Device, setup: WgpuSetup) {
    STARTED.lock().unwrap_or_else(PoisonError::into_inner).push(Started::new(key, device, setup));
}

/// The name under which a device is kept that was started.
#[cfg(feature = "native")]
pub(super) fn key_of(device: &Device) -> Option<String> {
    let started = STARTED.lock().unwrap_or_else(PoisonError::into_inner);
    started.iter().find(|started| started.device == *device).map(|started| started.key.clone())
}

/// How many submissions a device has had by now, one of nothing that is made in order to ask included; none for the
/// processor.
pub fn submissions(device: &Device) -> Option<u64> {
    let started = STARTED.lock().unwrap_or_else(PoisonError::into_inner);
    let started = started.iter().find(|started| started.device == *device)?;
    // wgpu counts them and says the number here only.
    let index = format!("{:?}", started.setup.queue.submit([]));
    index.chars().filter(char::is_ascii_digit).collect::<String>().parse().ok()
}

/// Starts the adapter of a lost or full device again. Everything on the old device is gone. The processor has nothing to start: what
/// failed on it is forgotten.
///
/// # Errors
/// [`Error::NoGpu`] if the driver does not give another.
pub fn restart(lost: &Chosen) -> Result<Chosen> {
    let gone = |reason: String| Error::NoGpu { reason: format!("{} did not come back: {reason}", lost.name) };
    if lost.kind == "cpu" {
        faults::forgive();
        return Ok(lost.clone());
    }
    let old = started(lost).ok_or_else(|| gone("it was never started".to_owned()))?;
    let WgpuSetup { instance, adapter, device, .. } = old.setup;
    // One that is only full is not gone, and what holds something of it may be there for long.
    device.destroy();
    let started = Started::open(old.key, instance, adapter).map_err(gone)?;
    let device = started.device.clone();
    faults::forgive();
    let mut all = STARTED.lock().unwrap_or_else(PoisonError::into_inner);
    all.retain(|started| started.device != lost.device);
    all.push(started);
    Ok(Chosen { device, reason: "restarted".to_owned(), ..lost.clone() })
}

/// The one experimental feature that kernels use.
const EXPERIMENTAL: Features = Features::EXPERIMENTAL_COOPERATIVE_MATRIX;

/// Which of an adapter's features a device is asked for: all that are not experimental (mesh shaders, ray queries and others that
/// current drivers have), and that one. Buffers that are mapped would lie in the wrong memory.
fn wanted(features: Features) -> Features {
    let plain = features - Features::all_experimental_mask() - Features::MAPPABLE_PRIMARY_BUFFERS;
    plain | (features & EXPERIMENTAL)
}

/// The promise that wgpu wants for experimental features.
fn promise(features: Features) -> ExperimentalFeatures {
    if !features.intersects(Features::all_experimental_mask()) {
        return ExperimentalFeatures::disabled();
    }
    #[allow(unsafe_code, reason = "the adapter has the feature, and only kernels that passed the self-test use it")]
    unsafe {
        ExperimentalFeatures::enabled()
    }
}

/// One adapter of this machine, as one graphics API offers it.
#[derive(Debug, Clone)]
pub struct Adapter {
    /// Name, type, driver.
    pub info: AdapterInfo,
    /// Its limits.
    pub limits: Limits,
    /// Its optional features.
    pub features: Features,
    /// The shapes of its cooperative matrices.
    pub matrices: Vec<CooperativeMatrixProperties>,
    /// Why the engine cannot run on it, if it cannot.
    pub lacking: Option<String>,
    /// Tells it from others.
    key: String,
    instance: wgpu::Instance,
    raw: wgpu::Adapter,
}

impl Adapter {
    /// Whether this is a software GPU: one that computes on the processor.
    pub fn is_software(&self) -> bool {
        self.info.device_type == DeviceType::Cpu
    }

    /// Whether it computes in the processor's memory.
    pub fn shares_memory(&self) -> bool {
        matches!(self.info.device_type, DeviceType::Cpu | DeviceType::IntegratedGpu)
    }

    /// Its address on the PCI bus; none for what is not on one, or where the driver does not say.
    pub fn address(&self) -> Option<PciAddress> {
        self.info.device_pci_bus_id.parse().ok()
    }

    /// The type in words.
    pub fn type_name(&self) -> &'static str {
        match self.info.device_type {
            DeviceType::DiscreteGpu => "discrete GPU",
            DeviceType::IntegratedGpu => "integrated GPU",
            DeviceType::VirtualGpu => "virtual GPU",
            DeviceType::Cpu => "software",
            DeviceType::Other => "GPU of unknown type",
        }
    }

    fn rank(&self) -> usize {
        let order = [
            DeviceType::DiscreteGpu,
            DeviceType::IntegratedGpu,
            DeviceType::VirtualGpu,
            DeviceType::Other,
            DeviceType::Cpu,
        ];
        order.iter().position(|device_type| *device_type == self.info.device_type).unwrap_or(order.len())
    }

    /// Starts the runtime on this adapter, or finds it started.
    fn start(&self) -> Result<Device, String> {
        let mut started = STARTED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(started) = started.iter().find(|started| started.key == self.key) {
            return Ok(started.device.clone());
        }
        let opened = Started::open(self.key.clone(), self.instance.clone(), self.raw.clone())?;
        let device = opened.device.clone();
        started.push(opened);
        Ok(device)
    }
}

/// The processor: Burn's pure-Rust `flex` device with our own kernels.
pub fn cpu() -> Device {
    Device::flex()
}

/// All adapters of this machine, the best first.
pub fn adapters() -> Vec<Adapter> {
    static INSTANCE: OnceLock<wgpu::Instance> = OnceLock::new();
    let _alone = STARTED.lock().unwrap_or_else(PoisonError::into_inner);
    let instance = INSTANCE.get_or_init(|| {
        wgpu::Instance::new(wgpu::InstanceDescriptor {
            backends: Backends::PRIMARY,
            ..wgpu::InstanceDescriptor::new_without_display_handle()
        })
    });
    quietly(|| listed(instance))
}

fn listed(instance: &wgpu::Instance) -> Vec<Adapter> {
    let mut found = Vec::new();
    for backend in APIS {
        let adapters = at_once(instance.enumerate_adapters(backend.into())).unwrap_or_default();
        for (index, raw) in adapters.into_iter().enumerate() {
            let (info, limits, features) = (raw.get_info(), raw.limits(), raw.features());
            let (lacking, matrices) = (lacking(&limits), raw.cooperative_matrix_properties());
            let (key, instance) = (format!("{backend:?} {index}"), instance.clone());
            found.push(Adapter { info, limits, features, matrices, lacking, key, instance, raw });
        }
    }
    found.sort_by_key(Adapter::rank);
    found
}

/// Decides which device does the work, and makes it ready.
///
/// # Errors
/// [`Error::NoGpu`] if a GPU was asked for and none can run the engine.
pub fn choose(choice: DeviceChoice) -> Result<Chosen> {
    match choice {
        DeviceChoice::Cpu => Ok(processor("as requested".to_owned())),
        DeviceChoice::Gpu => gpu(&adapters()),
        DeviceChoice::Numbered(number) => {
            let adapters = adapters();
            one(number, adapters.get(number as usize), &adapters)
        }
        DeviceChoice::At(address) => {
            let adapters = adapters();
            one(address, adapters.iter().find(|adapter| adapter.address() == Some(address)), &adapters)
        }
        DeviceChoice::Auto => Ok(automatic(&adapters())),
    }
}

fn processor(reason: String) -> Chosen {
    Chosen { device: cpu(), kind: "cpu", name: processor_name(), reason }
}

fn automatic(adapters: &[Adapter]) -> Chosen {
    let Some(best) = adapters.first() else {
        return processor("no GPU was found".to_owned());
    };
    let mut reason = None;
    for adapter in adapters.iter().filter(|adapter| !adapter.is_software()) {
        let name = adapter.info.name.clone();
        let trouble = match &adapter.lacking {
            Some(missing) => format!("the GPU {name} cannot run the engine: {missing}"),
            None => match adapter.start() {
                Ok(device) => {
                    return Chosen { device, kind: "gpu", name, reason: format!("a {}", adapter.type_name()) };
                }
                Err(trouble) => format!("the GPU {name} could not be started: {trouble}"),
            },
        };
        reason.get_or_insert(trouble);
    }
    let software =
        || format!("the only GPU is a software renderer ({}), slower than running on the CPU", best.info.name);
    processor(reason.unwrap_or_else(software))
}

/// The adapter that is called so, if there is one.
fn one(called: impl std::fmt::Display, adapter: Option<&Adapter>, all: &[Adapter]) -> Result<Chosen> {
    if let Some(adapter) = adapter {
        return gpu(std::slice::from_ref(adapter));
    }
    let named = all.iter().enumerate().map(|(number, adapter)| {
        let address = adapter.address().map_or_else(String::new, |address| format!(" or gpu:{address}"));
        format!("gpu:{number}{address} ({})", adapter.info.name)
    });
    let there = named.collect::<Vec<_>>().join(", ");
    let there = if there.is_empty() { "no GPU was found".to_owned() } else { format!("this machine has {there}") };
    Err(Error::NoGpu { reason: format!("there is no gpu:{called}: {there}; or use {} cpu", Setting::Device) })
}

fn gpu(adapters: &[Adapter]) -> Result<Chosen> {
    let mut reason = None;
    for adapter in adapters {
        let name = adapter.info.name.clone();
        let trouble = match &adapter.lacking {
            Some(missing) => format!("{name} cannot run the engine: {missing}"),
            None => match adapter.start() {
                Ok(device) => {
                    let reason = if adapter.is_software() {
                        concat!("as requested (software renderer, slower than ", named!(device), " cpu)")
                    } else {
                        "as requested"
                    };
                    return Ok(Chosen { device, kind: "gpu", name, reason: reason.to_owned() });
                }
                Err(trouble) => format!("{name} could not be started: {trouble}"),
            },
        };
        reason.get_or_insert(trouble);
    }
    let none = "none was found. Install the graphics driver (on Linux one with Vulkan, such as mesa-vulkan-drivers)";
    let reason = reason.unwrap_or_else(|| none.to_owned());
    Err(Error::NoGpu { reason: format!("{reason}; or use {} cpu", Setting::Device) })
}

/// Runs `work` with standard error discarded, where that is needed.
///
/// Mesa's Vulkan drivers ask the desktop which GPU it prefers, and where there is no desktop at all (a container, a
/// remote shell) the library below them prints `error: XDG_RUNTIME_DIR is invalid` for every adapter.
fn quietly<T>(work: impl FnOnce() -> T) -> T {
    #[cfg(unix)]
    if std::env::var_os("XDG_RUNTIME_DIR").is_none()
        && let Ok(nowhere) = std::fs::OpenOptions::new().write(true).open("/dev/null")
        && let Ok(before) = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stderr(), 3)
        && rustix::stdio::dup2_stderr(&nowhere).is_ok()
    {
        let done = work();
        // It pointed there a moment ago, so it can again.
        let _restored = rustix::stdio::dup2_stderr(&before);
        return done;
    }
    work()
}

/// The processor's name and its number of threads.
pub fn processor_name() -> String {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let described = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = described.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    let model = model.map_or("processor", |(_, name)| name.trim());
    format!("{model}, {threads} {}", if threads == 1 { "thread" } else { "threads" })
}

/// The result of a future that is ready at once, as wgpu's are natively.
pub(super) fn at_once<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_adapters_auto_takes_the_processor_and_gpu_says_what_to_do() {
        let chosen = automatic(&[]);
        assert_eq!((chosen.kind, chosen.reason.as_str()), ("cpu", "no GPU was found"));
        let error = gpu(&[]).unwrap_err();
        assert_eq!(error.kind(), crate::error::Kind::Gpu);
        assert!(
            error.to_string().contains("mesa-vulkan-drivers")
                && error.to_string().contains(concat!(named!(device), " cpu")),
            "{error}"
        );
    }

    #[test]
    fn a_gpu_that_is_not_there_is_answered_with_those_that_are() {
        let error = one(3, None, &[]).unwrap_err().to_string();
        assert!(error.contains("no gpu:3: no GPU was found"), "{error}");
        let all = adapters();
        for (number, adapter) in all.iter().enumerate() {
            let error = one("ff:1f.7", None, &all).unwrap_err().to_string();
            assert!(error.contains(&format!("gpu:{number}")) && error.contains(&adapter.info.name), "{error}");
            let chosen = choose(DeviceChoice::Numbered(number as u32));
            assert!(chosen.is_err() || chosen.is_ok_and(|chosen| chosen.name == adapter.info.name));
        }
        choose(DeviceChoice::Numbered(all.len() as u32)).unwrap_err();
    }

    #[test]
    fn a_device_is_asked_for_without_experimental_features_that_nothing_uses() {
        let plain = Features::SHADER_F16 | Features::SUBGROUP;
        let unused =
            Features::EXPERIMENTAL_RAY_QUERY | Features::EXPERIMENTAL_MESH_SHADER | Features::MAPPABLE_PRIMARY_BUFFERS;
        assert_eq!(wanted(plain | unused), plain);
        assert_eq!(wanted(plain | unused | EXPERIMENTAL), plain | EXPERIMENTAL);
    }

    #[test]
    fn asking_again_gives_the_same_device() {
        let chosen = choose(DeviceChoice::Cpu).unwrap();
        assert_eq!((chosen.kind, chosen.reason.as_str()), ("cpu", "as requested"));
        let Ok(first) = choose(DeviceChoice::Gpu) else {
            eprintln!("skipped: no adapter on this machine");
            return;
        };
        assert_eq!(choose(DeviceChoice::Gpu).unwrap().device, first.device);
    }
}
