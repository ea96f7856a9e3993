//! The weights of a part in another form, as one safetensors file: `docs/Q8.md` describes the one in eight bits.

use std::collections::BTreeSet;
use std::ops::Range;

use serde_json::{Map, Value, json};

use super::finite::{broken_scales, not_finite};
use super::values::{FLOATS, SCALE_BYTES, channels_last, converted, from_eight_bits, in_eight_bits};
use super::{PIECE, Storage, Stored, files, packed};
use crate::base::eight_bits::BLOCK;
use crate::embedding::safetensors::Entry;
use crate::event::{Event, Part};
use crate::source::Source;
use crate::{Error, Result};

/// The file beside a model's parts by which whoever only sees names knows that its weights are in eight bits.
pub const NOTE: &str = "pseudoword.json";

/// What is in it.
pub fn note() -> String {
    json!({packed::VERSION_KEY: packed::VERSION}).to_string()
}

/// The small files of a model that are there, which a folder of it has as they are.
///
/// # Errors
/// Those of looking for them.
pub async fn small_files(source: &dyn Source) -> Result<Vec<String>> {
    let mut there = Vec::new();
    for path in Part::ALL.into_iter().flat_map(Part::small).chain([Part::MODEL_INDEX]) {
        if source.length(path).await?.is_some() && !there.iter().any(|known| known == path) {
            there.push(path.to_owned());
        }
    }
    Ok(there)
}

/// Where bytes of the new file go: their place in it, and they.
pub type Sink<'a> = &'a mut dyn FnMut(u64, &[u8]) -> Result<()>;

/// A file that is to be written.
pub struct Repacked<'a> {
    source: &'a dyn Source,
    part: Part,
    tensors: Vec<Repacking>,
    /// Its length, and the text.
    header: Vec<u8>,
    /// Of the whole file, in bytes.
    pub length: u64,
}

/// A weight, where it is and where it goes.
struct Repacking {
    name: String,
    shard: String,
    span: Range<u64>,
    scales: Option<Range<u64>>,
    dtype: String,
    shape: Vec<u64>,
    /// How it will be stored; none if it stays as it is.
    stored: Option<Stored>,
    /// Where its values begin in the new file, and its scales.
    places: [u64; 2],
}

/// Writes a part's weights, kept in this way, and gives the length of the file. It may be begun again: a weight that cannot
/// be kept so is found when it is read, and stays as it is.
///
/// # Errors
/// Those of reading and of writing; [`Error::WeightsNotFinite`] for values that nothing can be computed with.
pub async fn repack(
    source: &dyn Source,
    part: Part,
    storage: Storage,
    sink: Sink<'_>,
    events: &mut dyn FnMut(Event),
) -> Result<u64> {
    let mut left = BTreeSet::new();
    loop {
        let repacked = Repacked::plan(source, part, storage, &left).await?;
        match repacked.write(sink, events).await? {
            unable if unable.is_empty() => return Ok(repacked.length),
            unable => left.extend(unable),
        }
    }
}

impl<'a> Repacked<'a> {
    /// Reads headers, and lays out the new file. Weights that are `left` stay as they are.
    ///
    /// # Errors
    /// As for [`super::Weights::open`].
    pub async fn plan(
        source: &'a dyn Source,
        part: Part,
        storage: Storage,
        left: &BTreeSet<String>,
    ) -> Result<Repacked<'a>> {
        let (mut tensors, mut object, mut at, mut twice) = (Vec::new(), Map::new(), 0, None);
        let mut add = |name: String, dtype: &str, shape: &[u64], bytes: u64| {
            let place = at;
            at += bytes;
            if object.contains_key(&name) {
                twice = Some(name.clone());
            }
            object.insert(name, json!({"dtype": dtype, "shape": shape, "data_offsets": [place, at]}));
            place
        };
        let (mut is_packed, mut was_packed) = (false, false);
        for (path, header) in files::headers(source, part).await?.0 {
            was_packed |= packed::was_packed(&header);
            for entry in header.tensors().filter(|entry| !packed::is_scales(&header, &entry.name)) {
                let Entry { name, dtype, shape, .. } = entry;
                let (span, scales) = (header.span(entry), packed::span_of_scales(&header, entry));
                if dtype == packed::TYPE && scales.is_none() {
                    if packed::seems_packed(&header, entry) {
                        let (file, name) = source.origin(&path, name);
                        let reason = format!(
                            "{name} is in eight bits, and what says how they are to be read is not in the file: get it again"
                        );
                        return Err(Error::BadFile { file, reason });
                    }
                    // No weight of a model: beside others in eight bits it would be taken for one that has lost its scales.
                    continue;
                }
                let stored = stored(part, entry, scales.is_some(), storage).filter(|_| !left.contains(name));
                was_packed |= scales.is_some() && stored.is_some();
                let in_blocks = stored == Some(Stored::Q8) || (stored.is_none() && scales.is_some());
                let count = shape.iter().product::<u64>();
                // Scales first, so that whoever reads the file in its order has them when the values come.
                let scales_of = packed::shape_of_scales(shape).filter(|_| in_blocks);
                let scales_at = scales_of.map_or(0, |shape| {
                    is_packed = true;
                    add(packed::scales_of(name), "F16", &shape, count / BLOCK as u64 * SCALE_BYTES as u64)
                });
                let place = match stored {
                    Some(Stored::Q8) => add(name.clone(), packed::TYPE, shape, count),
                    Some(stored) => add(name.clone(), &stored.name().to_uppercase(), shape, stored.bytes_of(count)),
                    None => add(name.clone(), dtype, shape, span.end - span.start),
                };
                tensors.push(Repacking {
                    name: name.clone(),
                    shard: path.clone(),
                    span,
                    scales,
                    dtype: dtype.clone(),
                    shape: shape.clone(),
                    stored,
                    places: [place, scales_at],
                });
            }
        }
        if let Some(name) = twice {
            let file = format!("{}/{}", source.name(), part.folder());
            let reason = format!("{name} is what the scales of another of its weights would be called in eight bits");
            return Err(Error::BadFile { file, reason });
        }
        let mut metadata = Map::from_iter([("format".to_owned(), Value::from("pt"))]);
        if is_packed {
            metadata.insert(packed::VERSION_KEY.to_owned(), Value::from(packed::VERSION));
        }
        if was_packed {
            metadata.insert(packed::ROUNDED_KEY.to_owned(), Value::from(packed::ROUNDED));
        }
        object.insert("__metadata__".to_owned(), Value::Object(metadata));
        let mut text = Value::Object(object).to_string();
        // As Python's library does: values begin at a multiple of eight.
        text += &" ".repeat(text.len().next_multiple_of(8) - text.len());
        let header = [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat();
        let begin = header.len() as u64;
        tensors.iter_mut().flat_map(|tensor| &mut tensor.places).for_each(|place| *place += begin);
        Ok(Self { source, part, tensors, length: begin + at, header })
    }

    /// Writes the file; gives the names of weights that cannot be kept so, with any of which it is not whole.
    ///
    /// # Errors
    /// As for [`repack`].
    pub async fn write(&self, sink: Sink<'_>, events: &mut dyn FnMut(Event)) -> Result<Vec<String>> {
        sink(0, &self.header)?;
        let (mut broken, mut unable, total) = (Vec::new(), Vec::new(), self.tensors.len() as u32);
        for (i, tensor) in self.tensors.iter().enumerate() {
            match tensor.write(self.source, sink).await? {
                None => unable.push(tensor.name.clone()),
                Some(0) => {}
                Some(count) => {
                    let (file, name) = self.source.origin(&tensor.shard, &tensor.name);
                    broken.push((file, format!("{name}: {count} of {}", tensor.shape.iter().product::<u64>())));
                }
            }
            events(Event::Load { part: self.part, done: 1 + i as u32, total });
        }
        if broken.is_empty() {
            return Ok(unable);
        }
        let (files, weights): (BTreeSet<String>, Vec<String>) = broken.into_iter().unzip();
        let file = files.into_iter().collect::<Vec<_>>().join(", ");
        Err(Error::WeightsNotFinite { file, weights })
    }
}

/// How a weight will be stored; none if it stays as it is.
fn stored(part: Part, entry: &Entry, in_blocks: bool, storage: Storage) -> Option<Stored> {
    let dtype = entry.dtype.as_str();
    if !in_blocks && !FLOATS.contains(&dtype) {
        return None;
    }
    match storage.of(part, entry) {
        Storage::Q8 => (!in_blocks).then_some(Stored::Q8),
        Storage::F16 => (dtype != "F16").then_some(Stored::F16),
        Storage::AsFile | Storage::F32 => None,
    }
}

impl Repacking {
    /// Writes it; gives how many of its values are not finite numbers, or none if it cannot be stored so.
    async fn write(&self, source: &dyn Source, sink: Sink<'_>) -> Result<Option<usize>> {
        let Self { shard, span, dtype, shape, stored, .. } = self;
        let scales = match &self.scales {
            Some(scales) => Some(source.read(shard, scales.clone()).await?),
            None => None,
        };
        let mut broken = broken_scales(scales.as_deref());
        let [mut at, mut scales_at] = self.places;
        if let (Some(scales), None) = (&scales, stored) {
            sink(scales_at, scales)?;
        }
        let rows = shape.first().copied().unwrap_or(1).max(1);
        let row = ((span.end - span.start) / rows).max(1);
        let step = row * (PIECE / row).max(1);
        let [inputs, taps] = [shape.get(1).copied().unwrap_or(1), shape.iter().skip(2).product()].map(|n| n as usize);
        let mut from = span.start;
        while from < span.end {
            let to = span.end.min(from + step);
            let mut piece = source.read(shard, from..to).await?;
            broken += not_finite(&piece, dtype);
            let blocks = [from, to].map(|place| (place - span.start) as usize / BLOCK * SCALE_BYTES);
            from = to;
            let Some(stored) = stored else {
                sink(at, &piece)?;
                at += piece.len() as u64;
                continue;
            };
            let numbers = match (&scales, stored) {
                (Some(scales), _) => {
                    channels_last(&mut piece, 1, inputs, taps);
                    let mut wide = from_eight_bits(&piece, &scales[blocks[0]..blocks[1]]);
                    channels_last(&mut wide, size_of::<f32>(), taps, inputs);
                    converted(wide, "F32", *stored)
                }
                (None, Stored::Q8) => {
                    let Some(mut wide) = converted(piece, dtype, Stored::F32) else { return Ok(None) };
                    channels_last(&mut wide, size_of::<f32>(), inputs, taps);
                    let Some([mut numbers, scales]) = in_eight_bits(&wide) else { return Ok(None) };
                    channels_last(&mut numbers, 1, taps, inputs);
                    sink(scales_at, &scales)?;
                    scales_at += scales.len() as u64;
                    Some(numbers)
                }
                (None, stored) => converted(piece, dtype, *stored),
            };
            let Some(numbers) = numbers else { return Ok(None) };
            sink(at, &numbers)?;
            at += numbers.len() as u64;
        }
        Ok(Some(broken))
    }
}
