//! The weight files that a single file stands for: each a header, and ranges of the real file.
//!
//! What a GGUF file has in blocks of eight bits becomes values and scales beside each other (`docs/Q8.md`), where the part can have
//! it so; a vector, or a matrix that is turned over, is widened.

use std::collections::BTreeMap;
use std::ops::Range;

use serde_json::json;

use super::blocks::{View, bytes_of};
use super::names::{Blocks, Meaning, meaning};
use super::statement::is_mark;
use crate::Result;
use crate::base::text::brief_line;
use crate::embedding::safetensors::Entry;
use crate::parts::{Part, Precision};
use crate::source::Source;
use crate::weights::{Header, gguf, packed};

/// A weight file that does not exist.
pub(super) struct PartFile {
    header: Vec<u8>,
    /// What follows the header, in order and without gaps.
    stretches: Vec<Stretch>,
    pub length: u64,
    /// What its weights are called in the real file.
    pub names: BTreeMap<String, String>,
}

/// A weight, or the scales of one.
struct Stretch {
    /// Where it begins behind the header, and its length.
    at: u64,
    length: u64,
    /// Where it is in the real file.
    place: Range<u64>,
    /// What of it is wanted, where it is in blocks there.
    view: Option<View>,
    /// Rows and columns that it has there, and the bytes of a value, where it is wanted the other way round.
    turned: Option<[usize; 3]>,
}

/// A weight of a part, as the real file has it.
struct Found {
    part: Part,
    entry: Entry,
    turned: bool,
}

/// The weight files that a file stands for, by their paths, and the names in it that are unknown here.
pub(super) fn parts(header: &Header) -> Result<(BTreeMap<String, PartFile>, Vec<String>), String> {
    let blocks = Blocks::count(&header.tensors().map(|entry| entry.name.as_str()).collect::<Vec<_>>());
    let mut found: BTreeMap<String, BTreeMap<String, Found>> = BTreeMap::new();
    let mut unknown = Vec::new();
    let mut add = |part: Part, name: String, entry: Entry, turned: bool| {
        if header.is_gguf() && !["q8_0", "F16", "BF16", "F32"].contains(&entry.dtype.as_str()) {
            return Err(gguf::refusal(&entry));
        }
        let paths = part.weights(Precision::Full).ok_or_else(|| format!("{name} cannot be a weight of the {part}"))?;
        match found.entry(paths.whole).or_default().insert(name.clone(), Found { part, entry, turned }) {
            None => Ok(()),
            Some(_) => Err(format!("two of its weights are both {name} of the {part}")),
        }
    };
    for entry in header.tensors() {
        match meaning(&entry.name, blocks) {
            _ if is_mark(&entry.name) => {}
            Meaning::One(part, name) => add(part, name, entry.clone(), false)?,
            Meaning::Turned(part, name) => add(part, name, entry.clone(), true)?,
            Meaning::Three(part, names) => {
                let rows = entry.shape.first().copied().unwrap_or(0);
                if rows % 3 != 0 {
                    return Err(format!("{} has {rows} rows, which is not a multiple of three", entry.name));
                }
                let [start, end] = entry.offsets;
                let third = (end - start) / 3;
                for (number, name) in (0u64..).zip(names) {
                    let shape = std::iter::once(rows / 3).chain(entry.shape.iter().skip(1).copied()).collect();
                    let offsets = [start + number * third, start + (number + 1) * third];
                    add(part, name, Entry { shape, offsets, ..entry.clone() }, false)?;
                }
            }
            Meaning::NotNeeded => {}
            Meaning::Unknown => unknown.push(entry.name.clone()),
        }
    }
    let file = |(path, weights)| Ok::<_, String>((path, PartFile::new(&weights, header)?));
    Ok((found.into_iter().map(file).collect::<Result<_, _>>()?, unknown))
}

impl Found {
    /// Whether it is in blocks in the real file.
    fn is_in_blocks(&self) -> bool {
        self.entry.dtype == gguf::Q8_0
    }

    /// Its shape as diffusers has it.
    fn shape(&self, name: &str) -> Vec<u64> {
        match self.entry.shape.as_slice() {
            // diffusers keeps these four as the linear layers that they are.
            [rows, columns, 1, 1] if name.contains(".mid_block.attentions.") => vec![*rows, *columns],
            [rows, columns] if self.turned => vec![*columns, *rows],
            shape => shape.to_vec(),
        }
    }

    /// Rows, columns and bytes of a value, where it has to be turned.
    fn turned(&self, size: u64) -> Result<Option<[usize; 3]>, String> {
        let Entry { name, shape, dtype, .. } = &self.entry;
        if !self.turned {
            return Ok(None);
        }
        let [rows, columns] = shape[..] else {
            return Err(format!("{} is not a matrix: it is {dtype} {shape:?}", brief_line(name)));
        };
        let [rows, columns, size] = [rows, columns, size].map(usize::try_from);
        Ok(rows.and_then(|rows| Ok([rows, columns?, size?])).ok())
    }

    /// What of it stands in a file of weights: of blocks the scales first, so that the file can be read from its beginning to its
    /// end.
    fn views(&self, name: &str) -> Vec<Stored> {
        let (shape, dtype) = (self.shape(name), self.entry.dtype.clone());
        let whole =
            |dtype: &str, view| Stored { name: name.to_owned(), dtype: dtype.to_owned(), shape: shape.clone(), view };
        // ggml's blocks lie along the last axis, those of a convolution here along the second. An autoencoder has none.
        let may_stay = shape.len() == 2 && !self.turned && self.part != Part::Vae;
        let scales = packed::shape_of_scales(&shape).filter(|_| may_stay);
        match scales {
            _ if !self.is_in_blocks() => vec![whole(&dtype, None)],
            None => vec![whole("F32", Some(View::Widened))],
            Some(scales) => vec![
                Stored { shape: scales, name: packed::scales_of(name), ..whole("F16", Some(View::Scales)) },
                whole(packed::TYPE, Some(View::Values)),
            ],
        }
    }
}

/// A tensor in the file of a part.
struct Stored {
    name: String,
    dtype: String,
    shape: Vec<u64>,
    view: Option<View>,
}

impl PartFile {
    /// A file of these weights, which are ranges of the one that `header` is of.
    fn new(weights: &BTreeMap<String, Found>, header: &Header) -> Result<Self, String> {
        let (mut object, mut stretches, mut end) = (serde_json::Map::new(), Vec::new(), 0);
        let mut names = BTreeMap::new();
        for (name, found) in weights {
            let (entry, place) = (&found.entry, header.span(&found.entry));
            for Stored { name, dtype, shape, view } in found.views(name) {
                let there = place.end - place.start;
                let length = view.map_or(there, |view| bytes_of(view, there));
                let values = shape.iter().product::<u64>().max(1);
                let turned = found.turned(length / values)?;
                let about = json!({"dtype": dtype, "shape": shape, "data_offsets": [end, end + length]});
                if object.insert(name.clone(), about).is_some()
                    || view.is_some() && weights.contains_key(&packed::scales_of(&name))
                {
                    return Err(format!("two of its weights are both {}", brief_line(&name)));
                }
                stretches.push(Stretch { at: end, length, place: place.clone(), view, turned });
                end += length;
            }
            let sides = if found.turned { " with rows for columns" } else { "" };
            names.insert(name.clone(), format!("{}{}{sides}", header.wrapper(), entry.name));
        }
        if stretches.iter().any(|stretch| stretch.view == Some(View::Values)) {
            object.insert("__metadata__".to_owned(), json!({packed::VERSION_KEY: packed::VERSION}));
        }
        let text = serde_json::Value::Object(object).to_string();
        let mut head = (text.len() as u64).to_le_bytes().to_vec();
        head.extend(text.bytes());
        let length = head.len() as u64 + end;
        Ok(Self { header: head, stretches, length, names })
    }

    /// A range of it, with what is behind the header from `path` in `file`; none if it has no such bytes.
    pub async fn read(&self, file: &dyn Source, path: &str, range: Range<u64>) -> Result<Option<Vec<u8>>> {
        if range.start > range.end || range.end > self.length {
            return Ok(None);
        }
        let head = self.header.len() as u64;
        let Some(mut bytes) = slice(&self.header, range.start.min(head)..range.end.min(head)) else { return Ok(None) };
        let wanted = range.start.max(head) - head..range.end.max(head) - head;
        for stretch in &self.stretches {
            let end = stretch.at + stretch.length;
            let (from, to) = (wanted.start.max(stretch.at), wanted.end.min(end));
            if from < to {
                let more = stretch.read(file, path, from - stretch.at..to - stretch.at).await?;
                // Nearly always the range is one weight, and its bytes are passed on as they are.
                if bytes.is_empty() { bytes = more } else { bytes.extend(more) }
            }
        }
        Ok(Some(bytes))
    }
}

impl Stretch {
    /// A range of it.
    async fn read(&self, file: &dyn Source, path: &str, range: Range<u64>) -> Result<Vec<u8>> {
        let Some(sizes) = self.turned else { return self.straight(file, path, range).await };
        // One value of each row is a range of bytes that nobody could ask for one by one, and the matrix is small.
        let whole = self.straight(file, path, 0..self.length).await?;
        Ok(slice(&turned(&whole, sizes), range).unwrap_or_default())
    }

    /// The same of it as it lies in the real file.
    async fn straight(&self, file: &dyn Source, path: &str, range: Range<u64>) -> Result<Vec<u8>> {
        match self.view {
            None => file.read(path, self.place.start + range.start..self.place.start + range.end).await,
            Some(view) => view.read(file, path, self.place.start, range).await,
        }
    }
}

/// A matrix of values of `size` bytes, with its columns as rows.
fn turned(matrix: &[u8], [rows, columns, size]: [usize; 3]) -> Vec<u8> {
    let mut out = Vec::with_capacity(matrix.len());
    for column in 0..columns {
        for row in 0..rows {
            let at = (row * columns + column) * size;
            out.extend_from_slice(matrix.get(at..at + size).unwrap_or_default());
        }
    }
    out
}

/// A part of bytes in memory; none if it is not all there.
pub(super) fn slice(bytes: &[u8], range: Range<u64>) -> Option<Vec<u8>> {
    Some(bytes.get(usize::try_from(range.start).ok()?..usize::try_from(range.end).ok()?)?.to_vec())
}

#[cfg(test)]
mod tests {
    use safetensors::{Dtype, tensor::TensorView};

    use super::*;
    use crate::source::Memory;

    #[test]
    fn a_weight_is_called_as_in_the_file_and_that_it_is_turned_is_said() {
        const OWN: &str = "conditioner.embedders.1.model.text_projection";
        let values = [0; 24];
        let view = TensorView::new(Dtype::F32, vec![2, 3], &values).unwrap();
        let mut memory = Memory::new("m");
        memory.insert("m.safetensors", safetensors::serialize([(OWN, view)], None).unwrap());
        let length = pollster::block_on(memory.length("m.safetensors")).unwrap().unwrap();
        let header = pollster::block_on(Header::read(&memory, "m.safetensors", length)).unwrap();
        let (parts, _) = parts(&header).unwrap();
        let names = &parts["text_encoder_2/model.safetensors"].names;
        assert_eq!(names["text_projection.weight"], format!("{OWN} with rows for columns"));
    }

    #[test]
    fn blocks_stay_where_they_can_and_are_widened_elsewhere() {
        let (text, file) = ("conditioner.embedders.1.model", "model.gguf");
        let names = [
            format!("{text}.text_projection"),
            format!("{text}.transformer.resblocks.0.mlp.c_fc.weight"),
            format!("{text}.ln_final.weight"),
            "first_stage_model.encoder.mid.attn_1.q.weight".to_owned(),
        ];
        let mut bytes = Vec::new();
        let tensors = names.iter().enumerate().map(|(number, name)| {
            let shape = if name.contains("ln_final") { vec![64] } else { vec![2, 64] };
            let start = bytes.len() as u64;
            for block in 0..shape.iter().product::<u64>() / 32 {
                bytes.extend(half::f16::from_f32(0.5 + number as f32).to_le_bytes());
                bytes.extend((0..32).map(|value| value + 32 * block as u8));
            }
            Entry { name: name.clone(), dtype: gguf::Q8_0.to_owned(), shape, offsets: [start, bytes.len() as u64] }
        });
        let tensors = tensors.collect();
        let header = Header::of_gguf(gguf::Gguf { tensors, metadata: BTreeMap::new(), data: 0 }).unwrap();
        let mut memory = Memory::new("m");
        memory.insert(file, bytes);
        let (parts, unknown) = parts(&header).unwrap();
        assert_eq!(unknown, [""; 0]);
        let read = |part: &str, name: &str| {
            let part = &parts[part];
            let bytes = pollster::block_on(part.read(&memory, file, 0..part.length)).unwrap().unwrap();
            let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
            let view = tensors.tensor(name).unwrap();
            (view.dtype(), view.shape().to_vec(), view.data().to_vec())
        };
        let floats = |bytes: Vec<u8>| -> Vec<f32> {
            bytes.as_chunks().0.iter().map(|value| f32::from_le_bytes(*value)).collect()
        };
        let second = "text_encoder_2/model.safetensors";
        let (dtype, shape, bytes) = read(second, "text_projection.weight");
        assert_eq!((dtype, shape), (Dtype::F32, vec![64, 2]));
        let turned: Vec<f32> = (0..128).map(|i| 0.5 * f32::from((i / 2 + 64 * (i % 2)) as u8 as i8)).collect();
        assert_eq!(floats(bytes), turned);
        let layer = "text_model.encoder.layers.0.mlp.fc1.weight";
        assert_eq!(read(second, layer), (Dtype::I8, vec![2, 64], (0..128).collect()));
        let scales = half::f16::from_f32(1.5).to_le_bytes().repeat(4);
        assert_eq!(read(second, &packed::scales_of(layer)), (Dtype::F16, vec![2, 2], scales));
        let (dtype, shape, bytes) = read(second, "text_model.final_layer_norm.weight");
        assert_eq!((dtype, shape, floats(bytes)[3]), (Dtype::F32, vec![64], 7.5));
        let (dtype, shape, _) =
            read("vae/diffusion_pytorch_model.safetensors", "encoder.mid_block.attentions.0.to_q.weight");
        assert_eq!((dtype, shape), (Dtype::F32, vec![2, 64]));
    }
}
