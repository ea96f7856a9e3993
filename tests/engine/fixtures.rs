//! Reading fixtures, choosing devices, comparing.

use std::path::PathBuf;
use std::rc::Rc;
use std::sync::{Mutex, MutexGuard};

use burn::tensor::{Device, Tensor};
use pseudoword::layout;
use pseudoword::session::Session;
use pseudoword::source::Folder;
use pseudoword::weights::Storage;
use safetensors::{Dtype, SafeTensors};

/// A place to run, and how far it may be from the reference, relative to the largest value of the result.
#[derive(Clone)]
pub struct Place {
    pub name: &'static str,
    pub device: Device,
    pub tolerance: f64,
}

/// One thread owns the GPU: tests that use it take turns.
static TURN: Mutex<()> = Mutex::new(());

/// Runs a test on every device; fails, rather than skips, where there is no wgpu adapter at all.
pub fn on_every_device(test: impl Fn(&Place)) {
    test(&cpu());
    pseudoword::ops::with_reference(|| test(&Place { name: "cpu, compositions", ..cpu() }));
    let (place, _turn) = gpu();
    test(&place);
}

pub fn cpu() -> Place {
    Place { name: "cpu", device: pseudoword::gpu::cpu(), tolerance: 1e-4 }
}

pub fn gpu() -> (Place, MutexGuard<'static, ()>) {
    let turn = TURN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let chosen = pseudoword::gpu::choose(pseudoword::gpu::DeviceChoice::Gpu)
        .expect("a wgpu adapter is needed for the tests: install mesa-vulkan-drivers");
    (Place { name: "gpu", device: chosen.device, tolerance: 1e-3 }, turn)
}

pub fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// A model's folder. "bundled" is the one in the program, in eight bits, and "mini" what it was made of, in f16, which PyTorch
/// computes with.
pub fn model_path(name: &str) -> PathBuf {
    match name {
        "bundled" => PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("models/mini"),
        "mini" => path("mini-f16"),
        name => path(name),
    }
}

pub fn open(name: &str, place: &Place, storage: Option<Storage>) -> Session {
    let source = Rc::new(Folder::new(model_path(name)));
    pollster::block_on(Session::open_with(source, &place.device, storage, &mut |_| ())).expect("the model loads")
}

/// A fixture file in memory.
pub struct Fixture(Vec<u8>);

impl Fixture {
    pub fn read(name: &str) -> Self {
        let path = path(name);
        Self(std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
    }

    fn view<R>(&self, name: &str, with: impl FnOnce(safetensors::tensor::TensorView<'_>) -> R) -> R {
        let tensors = SafeTensors::deserialize(&self.0).expect("a safetensors fixture");
        with(tensors.tensor(name).unwrap_or_else(|_| panic!("the fixture has no {name}")))
    }

    pub fn has(&self, name: &str) -> bool {
        SafeTensors::deserialize(&self.0).expect("a safetensors fixture").tensor(name).is_ok()
    }

    pub fn shape(&self, name: &str) -> Vec<usize> {
        self.view(name, |view| view.shape().to_vec())
    }

    pub fn floats(&self, name: &str) -> Vec<f32> {
        self.view(name, |view| {
            assert_eq!(view.dtype(), Dtype::F32, "{name}");
            view.data().as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
        })
    }

    pub fn ints(&self, name: &str) -> Vec<i64> {
        self.view(name, |view| {
            assert_eq!(view.dtype(), Dtype::I64, "{name}");
            view.data().as_chunks::<8>().0.iter().map(|b| i64::from_le_bytes(*b)).collect()
        })
    }

    pub fn metadata(&self, key: &str) -> String {
        let (_, header) = SafeTensors::read_metadata(&self.0).expect("a safetensors fixture");
        header.metadata().as_ref().and_then(|map| map.get(key).cloned()).expect("the metadata key")
    }

    /// A tensor in the file's own layout.
    pub fn tensor<const D: usize>(&self, name: &str, device: &Device) -> Tensor<D> {
        let shape: [usize; D] = self.shape(name).try_into().expect("the rank");
        Tensor::<1>::from_floats(self.floats(name).as_slice(), device).reshape(shape)
    }

    /// A feature map `[n, c, h, w]` as the engine has it, `[n, h, w, c]`.
    pub fn map(&self, name: &str, device: &Device) -> Tensor<4> {
        let shape: [usize; 4] = self.shape(name).try_into().expect("rank four");
        layout::channels_last(&self.floats(name), shape, device)
    }
}

pub fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    pollster::block_on(pseudoword::ops::read(tensor)).expect("readable")
}

/// A feature map's values in the file's layout.
pub fn map_values(tensor: Tensor<4>) -> Vec<f32> {
    let dims = tensor.dims();
    layout::channels_first(&values(tensor), dims)
}

/// Largest difference relative to the largest expected value.
pub fn deviation(got: &[f32], want: &[f32]) -> f64 {
    assert_eq!(got.len(), want.len(), "number of values");
    let scale = want.iter().fold(0.0f64, |most, value| most.max(f64::from(value.abs())));
    assert!(scale > 0.0, "an expectation of zeros proves nothing");
    let worst = got
        .iter()
        .zip(want)
        .map(|(a, b)| f64::from((a - b).abs()))
        .fold(0.0, |a: f64, b| if b.is_nan() { f64::INFINITY } else { a.max(b) });
    worst / scale
}

#[track_caller]
pub fn assert_close(got: &[f32], want: &[f32], place: &Place, what: &str) {
    let deviation = deviation(got, want);
    println!("{:18} {what:40} {deviation:.1e}", place.name);
    assert!(deviation <= place.tolerance, "{what} on {}: off by {deviation:.2e} of its scale", place.name);
}

pub fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}
