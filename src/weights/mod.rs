//! Weights from safetensors files, one tensor at a time, checked against what the configuration asks for.
//!
//! A module asks for its weights by the names that diffusers gives them, so the path of a weight in the file is the path
//! of a field in the code. Whatever is missing, left over or of another shape is collected and reported together.

mod arrival;
mod safetensors;
mod upload;

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::ops::Range;
use std::rc::Rc;

use burn::tensor::{DType, Device, Tensor};
use half::{bf16, f16};

use self::arrival::{Arrival, Ends};
pub use self::safetensors::Header;
use self::upload::Upload;
use crate::event::{Event, Part};
use crate::ops::{Conv2d, Linear, Norm, Weight};
use crate::platform::settle;
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

/// Bytes of weights that may be on their way to the device.
const IN_FLIGHT: usize = 32 << 20;
/// Bytes of a weight that are read at once, about.
const PIECE: u64 = 4 << 20;

/// A weight in a file.
struct Found {
    span: Range<u64>,
    /// The type in the file.
    dtype: Dtype,
    /// The type that it is kept in.
    kept: DType,
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
    arrival: Arrival,
    /// Bytes that were sent since the device was last waited for.
    in_flight: Cell<usize>,
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
                    arrival: Arrival::default(),
                    in_flight: Cell::new(0),
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
    /// [`Error::BadWeights`] with every missing, mis-shaped and left-over weight; [`Error::Gpu`] if some did not arrive.
    pub async fn finish(&self) -> Result<()> {
        self.finish_except(&[]).await
    }

    /// As [`Weights::finish`], where weights whose names begin so are somebody else's.
    pub async fn finish_except(&self, others: &[&str]) -> Result<()> {
        let mut problems = self.file.problems.take();
        {
            let used = self.file.used.borrow();
            let ours = |name: &&String| !used.contains(*name) && !others.iter().any(|other| name.starts_with(other));
            problems.extend(self.file.header.names().filter(ours).map(|name| format!("unused: {name}")));
        }
        if !problems.is_empty() {
            let file = format!("{}/{}", self.file.source.name(), self.file.path);
            return Err(Error::BadWeights { file, problems });
        }
        self.file.arrival.check().await
    }

    /// Where a weight's values are, and their type in the file; none if there is no such weight of these shapes, which is
    /// noted.
    fn find(&self, name: &str, shapes: &[&[usize]]) -> Result<Option<Found>> {
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
        let total = file.header.names().count() as u32;
        let done = total.min(file.used.borrow().len() as u32);
        (file.events.borrow_mut())(Event::Load { part: file.part, done, total });
        let Some(kept) = kept(info.dtype, file.storage) else {
            return Err(Error::BadFile {
                file: format!("{}/{}", file.source.name(), file.path),
                reason: format!("{path} is {:?}; weights can be F16, BF16, F32 or F64", info.dtype),
            });
        };
        Ok(Some(Found { span: file.header.span(info), dtype: info.dtype, kept }))
    }

    /// Values of a weight as they are to be kept.
    async fn read(&self, span: Range<u64>, dtype: Dtype) -> Result<Vec<u8>> {
        Ok(widened(self.file.source.read(&self.file.path, span).await?, dtype, self.file.storage))
    }

    /// A weight on the device, of which the file may say any of `shapes`: sent in pieces of whole rows, each of which
    /// `arrange` may put into another order.
    async fn send<const D: usize>(
        &self,
        name: &str,
        shapes: &[&[usize]],
        shape: [usize; D],
        arrange: impl Fn(&mut [u8], usize),
    ) -> Result<Weight<D>> {
        let Some(Found { span, dtype, kept }) = self.find(name, shapes)? else { return Ok(self.absent()) };
        let (rows, values) = (shape[0], shape.iter().product::<usize>());
        let (row, bytes) = ((span.end - span.start) / rows as u64, values * kept.size());
        // Four rows of halves are a multiple of four bytes, however odd they are.
        let rows_in_piece = (PIECE / row.max(1)).max(1).next_multiple_of(4);
        let mut upload = Upload::new(&self.file.device, bytes, rows as u64 > rows_in_piece);
        let mut ends = self.file.arrival.wants().then(Ends::default);
        let mut from = span.start;
        while from < span.end {
            let to = span.end.min(from + rows_in_piece * row);
            let mut piece = self.read(from..to, dtype).await?;
            arrange(&mut piece, kept.size());
            if let Some(ends) = &mut ends {
                ends.push(&piece, kept.size());
            }
            upload.push(piece, bytes)?;
            from = to;
        }
        let weight = upload.finish(&self.file.device, kept, shape);
        if let Some(ends) = ends {
            self.file.arrival.note(self.path(name), ends, weight.clone());
        }
        // What the device has not taken yet lies in memory, and nothing else holds us back.
        let in_flight = self.file.in_flight.get() + bytes;
        self.file.in_flight.set(if in_flight > IN_FLIGHT { 0 } else { in_flight });
        if in_flight > IN_FLIGHT {
            settle(&weight.f32()).await?;
        }
        Ok(weight)
    }

    /// Stands in for a weight that a problem was noted for: [`Weights::finish`] will not let it be used.
    fn absent<const D: usize>(&self) -> Weight<D> {
        Weight::new(Tensor::zeros([1; D], &self.file.device))
    }

    /// A vector or a table.
    pub async fn tensor<const D: usize>(&self, name: &str, shape: [usize; D]) -> Result<Weight<D>> {
        self.send(name, &[&shape], shape, |_, _| ()).await
    }

    /// A table that stays on the host, f16 or f32: `[rows, width]`.
    pub async fn host_table(&self, name: &str, rows: usize, width: usize) -> Result<HostTable> {
        Ok(match self.find(name, &[&[rows, width]])? {
            Some(Found { span, dtype, kept }) => {
                HostTable { bytes: self.read(span, dtype).await?, half: kept == DType::F16, width }
            }
            None => HostTable { bytes: Vec::new(), half: false, width },
        })
    }

    /// A linear layer: `weight` `[out, in]` (or a 1x1 convolution's `[out, in, 1, 1]`), `bias` `[out]`.
    pub async fn linear(&self, name: &str, inputs: usize, outputs: usize, bias: bool) -> Result<Linear> {
        let layer = self.at(name);
        let shapes: [&[usize]; 2] = [&[outputs, inputs], &[outputs, inputs, 1, 1]];
        let weight = layer.send("weight", &shapes, [outputs, inputs], |_, _| ()).await?;
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
        let taps = kernel * kernel;
        let arrange = |rows: &mut [u8], size: usize| channels_last(rows, size, inputs, taps);
        let shape = [outputs, inputs, kernel, kernel];
        let weight = layer.send("weight", &[&shape], [outputs, taps * inputs], arrange).await?;
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

/// Each output's `[Cin, taps]` as `[taps, Cin]`, in place: the largest weights are convolutions.
fn channels_last(bytes: &mut [u8], size: usize, inputs: usize, taps: usize) {
    let mut filter = vec![0; inputs * taps * size];
    for place in bytes.chunks_exact_mut(filter.len()) {
        filter.copy_from_slice(place);
        for (i, value) in filter.chunks_exact(size).enumerate() {
            let (channel, tap) = (i / taps, i % taps);
            place[(tap * inputs + channel) * size..][..size].copy_from_slice(value);
        }
    }
}

/// In which type values of one in the file are kept; none if they are not floats.
fn kept(dtype: Dtype, storage: Storage) -> Option<DType> {
    match (dtype, storage) {
        (Dtype::F16, Storage::AsFile) => Some(DType::F16),
        (Dtype::F16 | Dtype::BF16 | Dtype::F32 | Dtype::F64, _) => Some(DType::F32),
        _ => None,
    }
}

/// Values in the type that they are [`kept`] in.
fn widened(bytes: Vec<u8>, dtype: Dtype, storage: Storage) -> Vec<u8> {
    fn map<const N: usize>(bytes: &[u8], f: impl Fn([u8; N]) -> f32) -> Vec<u8> {
        bytes.as_chunks::<N>().0.iter().flat_map(|value| f(*value).to_le_bytes()).collect()
    }
    match (dtype, storage) {
        (Dtype::F16, Storage::F32) => map::<2>(&bytes, |b| f16::from_le_bytes(b).to_f32()),
        (Dtype::BF16, _) => map::<2>(&bytes, |b| bf16::from_le_bytes(b).to_f32()),
        (Dtype::F64, _) => map::<8>(&bytes, |b| f64::from_le_bytes(b) as f32),
        _ => bytes,
    }
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
