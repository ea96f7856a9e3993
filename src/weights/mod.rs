//! Weights from safetensors files, one tensor at a time, checked against what the configuration asks for.
//!
//! A module asks for its weights by the names that diffusers gives them, so the path of a weight in the file is the path
//! of a field in the code. Whatever is missing, left over or of another shape is collected and reported together.

pub mod files;
mod random;
mod safetensors;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use burn::tensor::{Bytes, DType, Device, Tensor, TensorData};
use half::{bf16, f16};

pub use self::random::Random;
pub use self::safetensors::Header;
use crate::embedding::safetensors::Entry;
use crate::event::{Event, Part};
use crate::ops::{Conv2d, Linear, Norm, Weight};
use crate::source::Source;
use crate::{Error, Result};

/// How weights are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Storage {
    /// As in the file: f16 stays f16 and is widened for the moment of its use.
    #[default]
    AsFile,
    /// Everything as f32: twice the memory, no conversions. Pays for small models.
    F32,
    /// Matrices and tables as f16: half the memory of a file in f32. Vectors stay as they are, and so does a weight with
    /// values that f16 does not have.
    F16,
}

impl Storage {
    /// How one weight is kept.
    fn of(self, weight: &Entry) -> Self {
        match self {
            Storage::F16 if weight.shape.len() < 2 => Storage::AsFile,
            storage => storage,
        }
    }
}

/// Bytes of a weight as it will be kept, and whether that is in half precision.
pub fn stored_bytes(weight: &Entry, storage: Storage) -> (u64, bool) {
    let numbers: u64 = weight.shape.iter().product();
    let half = match (weight.dtype.as_str(), storage.of(weight)) {
        ("F16", storage) => storage != Storage::F32,
        (_, storage) => storage == Storage::F16,
    };
    (numbers * if half { 2 } else { 4 }, half)
}

/// The weights of one part of a model, at some path. Cheap to clone: all clones share its files.
#[derive(Clone)]
pub struct Weights<'a> {
    file: Rc<Files<'a>>,
    prefix: String,
}

struct Files<'a> {
    source: &'a dyn Source,
    /// Paths and headers.
    shards: Vec<(String, Header)>,
    /// In which shard each weight is.
    places: BTreeMap<String, usize>,
    /// What was asked for, where nothing is read and only that is wanted.
    asked: Option<RefCell<BTreeMap<String, Vec<usize>>>>,
    device: Device,
    storage: Storage,
    part: Part,
    used: RefCell<BTreeSet<String>>,
    problems: RefCell<Vec<String>>,
    events: RefCell<&'a mut dyn FnMut(Event)>,
}

impl<'a> Weights<'a> {
    /// Opens the weights of one part of a model: one file, or several with an index.
    ///
    /// # Errors
    /// [`Error::ModelPartMissing`] if there are none, [`Error::BadFile`] if a file is not safetensors, or a weight is in two.
    pub async fn open(
        source: &'a dyn Source,
        part: Part,
        device: &Device,
        storage: Storage,
        events: &'a mut dyn FnMut(Event),
    ) -> Result<Self> {
        let (mut shards, mut places) = (Vec::new(), BTreeMap::new());
        for (number, path) in files::expect(source, part).await?.into_iter().enumerate() {
            let header = Header::read(source, &path, source.length(&path).await?.unwrap_or(0)).await?;
            for entry in header.tensors() {
                if places.insert(entry.name.clone(), number).is_some() {
                    let reason = format!("{} is in another file of the {part}, too", entry.name);
                    return Err(Error::BadFile { file: format!("{}/{path}", source.name()), reason });
                }
            }
            shards.push((path, header));
        }
        let file = Files {
            source,
            shards,
            places,
            asked: None,
            device: device.clone(),
            storage,
            part,
            used: RefCell::default(),
            problems: RefCell::default(),
            events: RefCell::new(events),
        };
        Ok(Self { file: Rc::new(file), prefix: String::new() })
    }

    /// Weights that are not there: whatever is asked for is written down, to be told by [`Weights::asked`].
    pub fn listing(source: &'a dyn Source, part: Part, device: &Device, events: &'a mut dyn FnMut(Event)) -> Self {
        let file = Files {
            source,
            shards: Vec::new(),
            places: BTreeMap::new(),
            asked: Some(RefCell::default()),
            device: device.clone(),
            storage: Storage::AsFile,
            part,
            used: RefCell::default(),
            problems: RefCell::default(),
            events: RefCell::new(events),
        };
        Self { file: Rc::new(file), prefix: String::new() }
    }

    /// Names and shapes of what was asked of [`Weights::listing`].
    pub fn asked(&self) -> BTreeMap<String, Vec<usize>> {
        self.file.asked.as_ref().map(RefCell::take).unwrap_or_default()
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
        self.file.places.contains_key(&self.path(name))
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
        for name in self.file.places.keys().filter(ours) {
            problems.push(format!("unused: {name}"));
        }
        match problems.is_empty() {
            true => Ok(()),
            false => {
                let paths: Vec<&str> = self.file.shards.iter().map(|(path, _)| path.as_str()).collect();
                Err(Error::BadWeights { file: format!("{}/{}", self.file.source.name(), paths.join(", ")), problems })
            }
        }
    }

    /// Raw little-endian values of a weight, with its type; none if there is no such weight of that shape, which is noted.
    async fn values(&self, name: &str, shapes: &[&[usize]]) -> Result<Option<(Vec<u8>, DType)>> {
        let path = self.path(name);
        let file = &self.file;
        if let Some(asked) = &file.asked {
            asked.borrow_mut().insert(path, shapes[0].to_vec());
            return Ok(None);
        }
        let shard = file.places.get(&path).and_then(|number| file.shards.get(*number));
        let Some((shard, header, info)) = shard.and_then(|(shard, header)| Some((shard, header, header.get(&path)?)))
        else {
            file.problems.borrow_mut().push(format!("missing: {path} {:?}", shapes[0]));
            return Ok(None);
        };
        file.used.borrow_mut().insert(path.clone());
        let fits = |shape: &[usize]| shape.iter().map(|size| *size as u64).eq(info.shape.iter().copied());
        if !shapes.iter().any(|shape| fits(shape)) {
            let problem = format!("shape: {path} is {:?}, the configuration asks for {:?}", info.shape, shapes[0]);
            file.problems.borrow_mut().push(problem);
            return Ok(None);
        }
        let bytes = file.source.read(shard, header.span(info)).await?;
        let done = file.used.borrow().len() as u32;
        (file.events.borrow_mut())(Event::Load { part: file.part, done, total: file.places.len() as u32 });
        stored(bytes, &info.dtype, file.storage.of(info)).map(Some).ok_or_else(|| Error::BadFile {
            file: format!("{}/{shard}", file.source.name()),
            reason: format!("{path} is {}; weights can be F16, BF16, F32 or F64", info.dtype),
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
fn stored(bytes: Vec<u8>, dtype: &str, storage: Storage) -> Option<(Vec<u8>, DType)> {
    fn map<const N: usize>(bytes: &[u8], f: impl Fn([u8; N]) -> f32) -> Vec<u8> {
        let mut values = Vec::with_capacity(bytes.len() / N * 4);
        bytes.as_chunks::<N>().0.iter().for_each(|value| values.extend(f(*value).to_le_bytes()));
        values
    }
    let (bytes, kept) = match (dtype, storage) {
        ("F16", Storage::AsFile | Storage::F16) => (bytes, DType::F16),
        ("F16", Storage::F32) => (map::<2>(&bytes, |b| f16::from_le_bytes(b).to_f32()), DType::F32),
        ("F32", _) => (bytes, DType::F32),
        ("BF16", _) => (map::<2>(&bytes, |b| bf16::from_le_bytes(b).to_f32()), DType::F32),
        ("F64", _) => (map::<8>(&bytes, |b| f64::from_le_bytes(b) as f32), DType::F32),
        _ => return None,
    };
    Some(match (kept, storage) {
        (DType::F32, Storage::F16) => match narrowed(&bytes) {
            Some(half) => (half, DType::F16),
            None => (bytes, DType::F32),
        },
        _ => (bytes, kept),
    })
}

/// f32 values as f16; none if one of them would become infinite.
fn narrowed(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut half = Vec::with_capacity(bytes.len() / 2);
    for value in bytes.as_chunks::<4>().0 {
        let value = f32::from_le_bytes(*value);
        let narrow = f16::from_f32(value);
        if narrow.is_infinite() && value.is_finite() {
            return None;
        }
        half.extend(narrow.to_le_bytes());
    }
    Some(half)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|value| value.to_le_bytes()).collect()
    }

    #[test]
    fn values_are_kept_as_asked() {
        let half: Vec<u8> = [1.5f32, -2.0].iter().flat_map(|value| f16::from_f32(*value).to_le_bytes()).collect();
        let wide = bytes(&[1.5, -2.0]);
        let brain: Vec<u8> = [1.5f32, -2.0].iter().flat_map(|value| bf16::from_f32(*value).to_le_bytes()).collect();
        for (given, dtype, storage, expected, kept) in [
            (&half, "F16", Storage::AsFile, &half, DType::F16),
            (&half, "F16", Storage::F32, &wide, DType::F32),
            (&half, "F16", Storage::F16, &half, DType::F16),
            (&wide, "F32", Storage::AsFile, &wide, DType::F32),
            (&wide, "F32", Storage::F16, &half, DType::F16),
            (&brain, "BF16", Storage::AsFile, &wide, DType::F32),
            (&brain, "BF16", Storage::F16, &half, DType::F16),
        ] {
            let (got, dtype_kept) = stored(given.clone(), dtype, storage).unwrap();
            assert_eq!((&got, dtype_kept), (expected, kept), "{dtype} {storage:?}");
        }
        assert!(stored(vec![0; 4], "I32", Storage::AsFile).is_none());
    }

    #[test]
    fn a_weight_that_f16_cannot_hold_stays_wide() {
        let wide = bytes(&[1.0, 70_000.0]);
        assert_eq!(stored(wide.clone(), "F32", Storage::F16).unwrap(), (wide, DType::F32));
        // What is broken in the file is left for the checks that follow to find.
        assert_eq!(stored(bytes(&[f32::INFINITY]), "F32", Storage::F16).unwrap().1, DType::F16);
    }
}
