//! Weights from safetensors files, one tensor at a time, checked against what the configuration asks for.
//!
//! A module asks for its weights by the names that diffusers gives them, so the path of a weight in the file is the path
//! of a field in the code. Whatever is missing, left over or of another shape is collected and reported together.

mod safetensors;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use burn::tensor::{Bytes, DType, Device, Tensor, TensorData};
use half::{bf16, f16};

pub use self::safetensors::Header;
use crate::event::{Event, Part};
use crate::ops::{Conv2d, Linear, Norm, Weight};
use crate::source::Source;
use crate::{Error, Result};
use ::safetensors::Dtype;

/// How weights are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Storage {
    /// As in the file: f16 stays f16 and is widened for the moment of its use.
    #[default]
    AsFile,
    /// Everything as f32: twice the memory, no conversions. Pays for small models.
    F32,
}

/// The weights of one part of a model, at some path. Cheap to clone: all clones share one file.
#[derive(Clone)]
pub struct Weights<'a> {
    file: Rc<File<'a>>,
    prefix: String,
}

struct File<'a> {
    source: &'a dyn Source,
    path: String,
    header: Header,
    device: Device,
    storage: Storage,
    part: Part,
    used: RefCell<BTreeSet<String>>,
    problems: RefCell<Vec<String>>,
    events: RefCell<&'a mut dyn FnMut(Event)>,
}

impl<'a> Weights<'a> {
    /// Opens the first of `candidates` that exists, for one part of the model.
    ///
    /// # Errors
    /// [`Error::ModelPartMissing`] if none exists, [`Error::BadFile`] if it is not safetensors.
    pub async fn open(
        source: &'a dyn Source,
        part: Part,
        candidates: &[&str],
        device: &Device,
        storage: Storage,
        events: &'a mut dyn FnMut(Event),
    ) -> Result<Self> {
        for path in candidates {
            if let Some(length) = source.length(path).await? {
                let header = Header::read(source, path, length).await?;
                let file = File {
                    source,
                    path: (*path).to_owned(),
                    header,
                    device: device.clone(),
                    storage,
                    part,
                    used: RefCell::default(),
                    problems: RefCell::default(),
                    events: RefCell::new(events),
                };
                return Ok(Self { file: Rc::new(file), prefix: String::new() });
            }
        }
        Err(Error::ModelPartMissing {
            model: source.name(),
            part: format!("{part} weights"),
            expected: candidates.join(" or "),
        })
    }

    /// The same weights, one name further down.
    pub fn at(&self, name: impl std::fmt::Display) -> Self {
        Self { file: self.file.clone(), prefix: self.path(&name.to_string()) }
    }

    fn path(&self, name: &str) -> String {
        if self.prefix.is_empty() { name.to_owned() } else { format!("{}.{name}", self.prefix) }
    }

    /// Whether a weight of this name exists here.
    pub fn has(&self, name: &str) -> bool {
        self.file.header.get(&self.path(name)).is_some()
    }

    /// Marks weights here as known and not needed.
    pub fn ignore(&self, name: &str) {
        self.file.used.borrow_mut().insert(self.path(name));
    }

    /// The device that the weights go to.
    pub fn device(&self) -> &Device {
        &self.file.device
    }

    /// Ends the loading of this part.
    ///
    /// # Errors
    /// [`Error::BadWeights`] with every missing, mis-shaped and left-over weight.
    pub fn finish(&self) -> Result<()> {
        self.finish_except(&[])
    }

    /// As [`Weights::finish`], where weights whose names begin so are somebody else's.
    pub fn finish_except(&self, others: &[&str]) -> Result<()> {
        let used = self.file.used.borrow();
        let mut problems = self.file.problems.take();
        let ours = |name: &&String| !used.contains(*name) && !others.iter().any(|other| name.starts_with(other));
        for name in self.file.header.names().filter(ours) {
            problems.push(format!("unused: {name}"));
        }
        match problems.is_empty() {
            true => Ok(()),
            false => {
                Err(Error::BadWeights { file: format!("{}/{}", self.file.source.name(), self.file.path), problems })
            }
        }
    }

    /// Raw little-endian values of a weight, with its type; none if there is no such weight of that shape, which is noted.
    async fn values(&self, name: &str, shapes: &[&[usize]]) -> Result<Option<(Vec<u8>, DType)>> {
        let path = self.path(name);
        let file = &self.file;
        let Some(info) = file.header.get(&path) else {
            file.problems.borrow_mut().push(format!("missing: {path} {:?}", shapes[0]));
            return Ok(None);
        };
        file.used.borrow_mut().insert(path.clone());
        if !shapes.contains(&info.shape.as_slice()) {
            let problem = format!("shape: {path} is {:?}, the configuration asks for {:?}", info.shape, shapes[0]);
            file.problems.borrow_mut().push(problem);
            return Ok(None);
        }
        let bytes = file.source.read(&file.path, file.header.span(info)).await?;
        let done = file.used.borrow().len() as u32;
        let total = file.header.names().count() as u32;
        (file.events.borrow_mut())(Event::Load { part: file.part, done, total });
        widened(bytes, info.dtype, file.storage).map(Some).ok_or_else(|| Error::BadFile {
            file: format!("{}/{}", file.source.name(), file.path),
            reason: format!("{path} is {:?}; weights can be F16, BF16, F32 or F64", info.dtype),
        })
    }

    fn upload<const D: usize>(&self, bytes: Vec<u8>, dtype: DType, shape: [usize; D]) -> Weight<D> {
        let data = TensorData::from_bytes(Bytes::from_bytes_vec(bytes), shape, dtype);
        Weight::new(Tensor::from_data(data, (&self.file.device, dtype)))
    }

    /// Stands in for a weight that a problem was noted for: [`Weights::finish`] will not let it be used.
    fn absent<const D: usize>(&self) -> Weight<D> {
        Weight::new(Tensor::zeros([1; D], &self.file.device))
    }

    /// A vector or a table.
    pub async fn tensor<const D: usize>(&self, name: &str, shape: [usize; D]) -> Result<Weight<D>> {
        Ok(match self.values(name, &[&shape]).await? {
            Some((bytes, dtype)) => self.upload(bytes, dtype, shape),
            None => self.absent(),
        })
    }

    /// A table that stays on the host, f16 or f32: `[rows, width]`.
    pub async fn host_table(&self, name: &str, rows: usize, width: usize) -> Result<HostTable> {
        Ok(match self.values(name, &[&[rows, width]]).await? {
            Some((bytes, dtype)) => HostTable { bytes, half: dtype == DType::F16, width },
            None => HostTable { bytes: Vec::new(), half: false, width },
        })
    }

    /// A linear layer: `weight` `[out, in]` (or a 1x1 convolution's `[out, in, 1, 1]`), `bias` `[out]`.
    pub async fn linear(&self, name: &str, inputs: usize, outputs: usize, bias: bool) -> Result<Linear> {
        let layer = self.at(name);
        let weight = match layer.values("weight", &[&[outputs, inputs], &[outputs, inputs, 1, 1]]).await? {
            Some((bytes, dtype)) => layer.upload(bytes, dtype, [outputs, inputs]),
            None => layer.absent(),
        };
        let bias = if bias { Some(layer.tensor("bias", [outputs]).await?) } else { None };
        Ok(Linear { weight, bias })
    }

    /// A square convolution with a bias. `padding` is top, left, bottom, right.
    pub async fn conv2d(
        &self,
        name: &str,
        [inputs, outputs]: [usize; 2],
        kernel: usize,
        stride: usize,
        padding: [usize; 4],
    ) -> Result<Conv2d> {
        let layer = self.at(name);
        let weight = match layer.values("weight", &[&[outputs, inputs, kernel, kernel]]).await? {
            Some((bytes, dtype)) => {
                let bytes = channels_last(&bytes, dtype.size(), inputs, kernel * kernel);
                layer.upload(bytes, dtype, [outputs, kernel * kernel * inputs])
            }
            None => layer.absent(),
        };
        let bias = Some(layer.tensor("bias", [outputs]).await?);
        Ok(Conv2d { weight, bias, kernel: [kernel; 2], stride, padding })
    }

    /// A normalisation over `channels`.
    pub async fn norm(&self, name: &str, channels: usize, groups: usize, eps: f64) -> Result<Norm> {
        let layer = self.at(name);
        let (weight, bias) = (layer.tensor("weight", [channels]).await?, layer.tensor("bias", [channels]).await?);
        Ok(Norm { weight, bias, eps, groups })
    }
}

/// Each output's `[Cin, taps]` as `[taps, Cin]`.
fn channels_last(bytes: &[u8], size: usize, inputs: usize, taps: usize) -> Vec<u8> {
    let mut out = vec![0; bytes.len()];
    let filter = inputs * taps * size;
    for (from, to) in bytes.chunks_exact(filter).zip(out.chunks_exact_mut(filter)) {
        for (i, value) in from.chunks_exact(size).enumerate() {
            let (channel, tap) = (i / taps, i % taps);
            to[(tap * inputs + channel) * size..][..size].copy_from_slice(value);
        }
    }
    out
}

/// Values in a type that weights are kept in; none for types that are not floats.
fn widened(bytes: Vec<u8>, dtype: Dtype, storage: Storage) -> Option<(Vec<u8>, DType)> {
    fn map<const N: usize>(bytes: &[u8], f: impl Fn([u8; N]) -> f32) -> Vec<u8> {
        bytes.as_chunks::<N>().0.iter().flat_map(|value| f(*value).to_le_bytes()).collect()
    }
    Some(match (dtype, storage) {
        (Dtype::F32, _) => (bytes, DType::F32),
        (Dtype::F16, Storage::AsFile) => (bytes, DType::F16),
        (Dtype::F16, Storage::F32) => (map::<2>(&bytes, |b| f16::from_le_bytes(b).to_f32()), DType::F32),
        (Dtype::BF16, _) => (map::<2>(&bytes, |b| bf16::from_le_bytes(b).to_f32()), DType::F32),
        (Dtype::F64, _) => (map::<8>(&bytes, |b| f64::from_le_bytes(b) as f32), DType::F32),
        _ => return None,
    })
}

/// A table of rows on the host, as the file has them: the token embeddings, of which a prompt needs a few.
#[derive(Debug, Clone)]
pub struct HostTable {
    bytes: Vec<u8>,
    half: bool,
    width: usize,
}

impl HostTable {
    /// Values in a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.bytes.len() / (self.width * if self.half { 2 } else { 4 })
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// A row in f32; zeros beyond the end.
    pub fn row(&self, index: usize) -> Vec<f32> {
        let size = self.width * if self.half { 2 } else { 4 };
        let Some(bytes) = self.bytes.get(index * size..(index + 1) * size) else { return vec![0.0; self.width] };
        match self.half {
            true => bytes.as_chunks::<2>().0.iter().map(|b| f16::from_le_bytes(*b).to_f32()).collect(),
            false => bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
        }
    }
}
