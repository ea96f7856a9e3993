//! Weights from safetensors files, one tensor at a time, checked against what the configuration asks for.
//!
//! A module asks for its weights by the names that diffusers gives them, so the path of a weight in the file is the
//! path of a field in the code. Weights that are missing, left over or of another shape are collected and reported
//! together.

mod arrival;
mod delivery;
mod digest;
pub mod files;
mod finite;
pub mod gguf;
mod header;
mod layers;
mod left_over;
mod lengths;
mod opening;
pub mod packed;
mod random;
pub mod repack;
mod safetensors;
pub mod samples;
mod storage;
mod table;
mod upload;
mod values;

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::rc::Rc;

use self::arrival::Arrival;
use self::digest::Digest;
use self::finite::{broken_scales, not_finite};
pub use self::header::Header;
pub use self::left_over::not_used;
pub use self::lengths::WeightBytes;
pub use self::random::Random;
pub use self::storage::{Storage, Stored};
pub use self::table::HostTable;
use self::upload::{JointBuffer, SharedBuffer};
use self::values::{FLOATS, SCALE_BYTES, converted, from_blocks};
use crate::base::eight_bits::BLOCK;
use crate::embedding::safetensors::Entry;
use crate::event::{Event, WarningCode};
use crate::ops::Weight;
use crate::parts::Part;
use crate::source::Source;
use crate::{Error, Result};
use burn::tensor::{Device, Tensor};

/// About how many bytes of a weight are read at a time.
const PIECE: u64 = 4 << 20;

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
    /// What modules ask for, where nothing is read and only their requests are recorded.
    requests: Option<RefCell<BTreeMap<String, WeightRequest>>>,
    /// Weights that were sent before they were asked for ([`Weights::send_in_order`]), each a `Weight<1>` or
    /// `Weight<2>`.
    ahead: RefCell<BTreeMap<String, Box<dyn Any>>>,
    /// Buffers that several weights share, by the names of all of them and what of them it is for; none where they lie apart.
    joints: RefCell<BTreeMap<String, Option<JointBuffer>>>,
    /// What small weights share.
    shared: RefCell<Option<SharedBuffer>>,
    /// The hash of the files, while they are read from the beginning to the end.
    digest: RefCell<Option<Digest>>,
    device: Device,
    storage: Storage,
    part: Part,
    used: RefCell<BTreeSet<String>>,
    problems: RefCell<Vec<String>>,
    /// Weights that have values which are not finite numbers: file and line.
    not_finite: RefCell<Vec<(String, String)>>,
    events: RefCell<&'a mut dyn FnMut(Event)>,
    arrival: Arrival,
    /// Bytes that were sent since the device was last waited for.
    in_flight: Cell<usize>,
}

impl<'a> Weights<'a> {
    /// Opens the weights of one part of a model: one file, or several with an index.
    ///
    /// # Errors
    /// [`Error::ModelPartMissing`] if there are none, [`Error::BadFile`] if a file is not safetensors, or a weight is
    /// in two.
    pub async fn open(
        source: &'a dyn Source,
        part: Part,
        device: &Device,
        storage: Storage,
        events: &'a mut dyn FnMut(Event),
    ) -> Result<Self> {
        let (shards, note) = files::headers(source, part).await?;
        if let Some(note) = note {
            events(Event::warning(WarningCode::Weights, note));
        }
        let numbered = shards.iter().enumerate();
        let places =
            numbered.flat_map(|(number, (_, header))| header.tensors().map(move |entry| (entry.name.clone(), number)));
        let places = places.collect();
        let file = Files {
            source,
            shards,
            places,
            requests: None,
            ahead: RefCell::default(),
            joints: RefCell::default(),
            digest: RefCell::default(),
            device: device.clone(),
            storage,
            part,
            used: RefCell::default(),
            problems: RefCell::default(),
            not_finite: RefCell::default(),
            events: RefCell::new(events),
            arrival: Arrival::default(),
            shared: RefCell::default(),
            in_flight: Cell::new(0),
        };
        Ok(Self { file: Rc::new(file), prefix: String::new() })
    }

    /// Reads nothing, and records what modules ask for: see [`Weights::requests`].
    pub fn listing(source: &'a dyn Source, part: Part, device: &Device, events: &'a mut dyn FnMut(Event)) -> Self {
        let file = Files {
            source,
            shards: Vec::new(),
            places: BTreeMap::new(),
            requests: Some(RefCell::default()),
            ahead: RefCell::default(),
            joints: RefCell::default(),
            digest: RefCell::default(),
            device: device.clone(),
            storage: Storage::AsFile,
            part,
            used: RefCell::default(),
            problems: RefCell::default(),
            not_finite: RefCell::default(),
            events: RefCell::new(events),
            arrival: Arrival::default(),
            shared: RefCell::default(),
            in_flight: Cell::new(0),
        };
        Self { file: Rc::new(file), prefix: String::new() }
    }

    /// What was asked of [`Weights::listing`], by name.
    pub fn requests(&self) -> BTreeMap<String, WeightRequest> {
        self.file.requests.as_ref().map(RefCell::take).unwrap_or_default()
    }

    /// Sends weights that will be asked for, in the order in which they lie in the files, and gives the SHA-256 of the
    /// files, one after the other: each byte is read once. Modules get them from memory afterwards.
    ///
    /// # Errors
    /// Those of reading, and of a device that was lost.
    pub async fn send_in_order(&self, requests: &BTreeMap<String, WeightRequest>) -> Result<String> {
        let file = &self.file;
        *file.digest.borrow_mut() = Some(Digest::default());
        let (total, mut done) = (file.places.len() as u32, 0);
        for (shard, header) in &file.shards {
            let mut entries: Vec<&Entry> = header.tensors().collect();
            entries.sort_by_key(|entry| entry.offsets);
            for entry in entries {
                let request = requests.get(&entry.name).filter(|request| request.fits(entry));
                // What does not fit is noted when it is asked for.
                let Some(location) = file.location(shard, header, entry).filter(|_| request.is_some()) else {
                    continue;
                };
                let Some(request) = request else { continue };
                let sent: Box<dyn Any> = match request.shape[..] {
                    [length] => Box::new(self.deliver(&entry.name, &location, request.layout([length])).await?),
                    [rows, columns] => {
                        Box::new(self.deliver(&entry.name, &location, request.layout([rows, columns])).await?)
                    }
                    _ => continue,
                };
                file.ahead.borrow_mut().insert(entry.name.clone(), sent);
                done += 1;
                (file.events.borrow_mut())(Event::Load { part: file.part, done, total });
            }
            let length = file.source.length(shard).await?.unwrap_or(0);
            file.catch_up(shard, length).await?;
            if let Some(digest) = &mut *file.digest.borrow_mut() {
                digest.next_file();
            }
        }
        Ok(file.digest.take().map(Digest::finish).unwrap_or_default())
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

    /// Where a weight is; none if there is no such weight of these shapes, which is noted.
    fn find(&self, name: &str, shapes: &[&[usize]]) -> Result<Option<Location<'_>>> {
        let path = self.path(name);
        let file = &self.file;
        let shard = file.places.get(&path).and_then(|number| file.shards.get(*number));
        let Some((shard, header, info)) = shard.and_then(|(shard, header)| Some((shard, header, header.get(&path)?)))
        else {
            file.problems.borrow_mut().push(format!("missing: {path} {:?}", shapes[0]));
            return Ok(None);
        };
        file.used.borrow_mut().insert(path.clone());
        if !shapes.iter().any(|shape| is_shape(info, shape)) {
            file.note_misshapen(shard, info, shapes[0]);
            return Ok(None);
        }
        if !file.ahead.borrow().contains_key(&path) {
            let total = file.places.len() as u32;
            let done = total.min(file.used.borrow().len() as u32);
            (file.events.borrow_mut())(Event::Load { part: file.part, done, total });
        }
        let location = file.location(shard, header, info).ok_or_else(|| Error::BadFile {
            file: file.source.origin(shard, &path).0,
            reason: format!("{path} is {}; weights can be F16, BF16, F32 or F64", info.dtype),
        })?;
        if location.scales.is_some() {
            file.used.borrow_mut().insert(packed::scales_of(&path));
        }
        Ok(Some(location))
    }

    /// A weight on the device, of which the file may say any of `shapes`.
    async fn send<const D: usize>(&self, name: &str, shapes: &[&[usize]], layout: Layout<'_, D>) -> Result<Weight<D>> {
        let path = self.path(name);
        if let Some(requests) = &self.file.requests {
            let shapes = shapes.iter().map(|shape| shape.to_vec()).collect();
            let Layout { shape, filter, joint } = layout;
            let request = WeightRequest { shapes, shape: shape.to_vec(), filter, joint: joint.cloned() };
            requests.borrow_mut().insert(path, request);
            return Ok(self.absent());
        }
        let Some(location) = self.find(name, shapes)? else { return Ok(self.absent()) };
        let ahead = self.file.ahead.borrow_mut().remove(&path);
        match ahead.and_then(|weight| weight.downcast::<Weight<D>>().ok()) {
            Some(weight) => Ok(*weight),
            None => self.deliver(&path, &location, layout).await,
        }
    }

    /// Stands in for a weight that a problem was noted for: [`Weights::finish`] will not let it be used.
    fn absent<const D: usize>(&self) -> Weight<D> {
        Weight::new(Tensor::zeros([1; D], &self.file.device))
    }

    /// A vector or a table.
    pub async fn tensor<const D: usize>(&self, name: &str, shape: [usize; D]) -> Result<Weight<D>> {
        self.send(name, &[&shape], Layout { shape, filter: None, joint: None }).await
    }

    /// A table that stays on the host: `[rows, width]`.
    pub async fn host_table(&self, name: &str, rows: usize, width: usize) -> Result<HostTable> {
        let none = || HostTable::filling(0, Stored::F32, width).whole();
        if let Some(requests) = &self.file.requests {
            // An empty shape, so that the table, which stays on the host, is not sent in order with the others.
            let request =
                WeightRequest { shapes: vec![vec![rows, width]], shape: Vec::new(), filter: None, joint: None };
            requests.borrow_mut().insert(self.path(name), request);
            return Ok(none());
        }
        let Some(location) = self.find(name, &[&[rows, width]])? else {
            return Ok(none());
        };
        let Location { shard, span, dtype, storage, .. } = &location;
        let scales = self.file.scales(&location).await?;
        'how: for storage in [*storage, Storage::AsFile] {
            let mut broken = broken_scales(scales.as_deref());
            let stored = Stored::of(dtype, storage);
            let mut table = HostTable::filling(rows, stored, width);
            let mut from = span.start;
            while from < span.end {
                // A multiple of every type's size, and of a block's.
                let to = span.end.min(from + PIECE);
                let piece = self.file.source.read(shard, from..to).await?;
                broken += not_finite(&piece, dtype);
                let piece = match &scales {
                    Some(scales) => {
                        let blocks = [from, to].map(|place| (place - span.start) as usize / BLOCK * SCALE_BYTES);
                        from_blocks(&piece, &scales[blocks[0]..blocks[1]], stored)
                    }
                    None => converted(piece, dtype, stored),
                };
                let Some(piece) = piece else { continue 'how };
                table.push(&piece);
                from = to;
            }
            self.file.note_broken(&self.path(name), &location, broken);
            return Ok(table.whole());
        }
        Err(Error::Internal(format!("{name} cannot be kept as it is")))
    }
}

impl Files<'_> {
    /// Where a weight is, and how it is to be kept; none if it is of a type that no weights have.
    fn location<'b>(&self, shard: &'b str, header: &Header, entry: &'b Entry) -> Option<Location<'b>> {
        let scales = packed::span_of_scales(header, entry);
        if scales.is_none() && !FLOATS.contains(&entry.dtype.as_str()) {
            return None;
        }
        let storage = self.storage.of(self.part, entry);
        Some(Location { shard, span: header.span(entry), dtype: &entry.dtype, scales, storage })
    }

    /// The scales of a weight that the file has in eight bits, whole: a sixteenth of its values.
    async fn scales(&self, location: &Location<'_>) -> Result<Option<Vec<u8>>> {
        Ok(match &location.scales {
            Some(span) => Some(self.read(location.shard, span.clone()).await?),
            None => None,
        })
    }

    /// Bytes of one of the files; where their hash is wanted, what lies before them is read for it.
    async fn read(&self, shard: &str, range: Range<u64>) -> Result<Vec<u8>> {
        self.catch_up(shard, range.start).await?;
        let bytes = self.source.read(shard, range.clone()).await?;
        if let Some(digest) = &mut *self.digest.borrow_mut() {
            digest.take(range.start, &bytes);
        }
        Ok(bytes)
    }

    /// Reads for the hash what no module reads of a file, up to `to`.
    async fn catch_up(&self, shard: &str, to: u64) -> Result<()> {
        let at = || self.digest.borrow().as_ref().map(Digest::at).filter(|at| *at < to);
        while let Some(from) = at() {
            let bytes = self.source.read(shard, from..to.min(from + PIECE)).await?;
            if let Some(digest) = &mut *self.digest.borrow_mut() {
                digest.take(from, &bytes);
            }
        }
        Ok(())
    }
}

/// A weight that a module asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WeightRequest {
    /// The shapes that the file may have it in, the usual one first.
    pub shapes: Vec<Vec<usize>>,
    /// Its shape on the device; none for what does not go there.
    shape: Vec<usize>,
    filter: Option<Filter>,
    joint: Option<Joint>,
}

/// How a weight lies on the device.
#[derive(Clone, Copy)]
struct Layout<'a, const D: usize> {
    shape: [usize; D],
    /// Of a convolution.
    filter: Option<Filter>,
    /// Which others it lies beside, if it does.
    joint: Option<&'a Joint>,
}

/// One of several weights with rows of the same length that lie one after the other in one buffer.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Joint {
    /// What all of them are called.
    whole: String,
    /// Its rows among those of all.
    rows: Range<usize>,
    /// The rows of all.
    total: usize,
}

impl WeightRequest {
    fn layout<const D: usize>(&self, shape: [usize; D]) -> Layout<'_, D> {
        Layout { shape, filter: self.filter, joint: self.joint.as_ref() }
    }

    fn fits(&self, entry: &Entry) -> bool {
        self.shapes.iter().any(|shape| is_shape(entry, shape))
    }
}

/// Of a convolution's weight: for each output, `[inputs, taps]` in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Filter {
    inputs: usize,
    taps: usize,
}

/// Whether the file has a weight in this shape.
fn is_shape(entry: &Entry, shape: &[usize]) -> bool {
    shape.iter().map(|size| *size as u64).eq(entry.shape.iter().copied())
}

/// A weight in a file.
struct Location<'a> {
    shard: &'a str,
    span: Range<u64>,
    /// The type in the file: one of [`FLOATS`], or [`packed::TYPE`].
    dtype: &'a str,
    /// Where the scales are of values in eight bits.
    scales: Option<Range<u64>>,
    /// How it is to be kept.
    storage: Storage,
}

impl Location<'_> {
    /// Bytes of a value in the file.
    fn value_bytes(&self) -> u64 {
        match self.dtype {
            packed::TYPE => 1,
            "F16" | "BF16" => 2,
            "F64" => 8,
            _ => 4,
        }
    }
}
