//! safetensors: the header, and the embeddings that its tensors are.
//!
//! Source: huggingface/safetensors 0.8.0, `src/tensor.rs`. The header is read here and not by that crate because the
//! same name may occur in it twice, and the crate then silently takes the last.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::cursor;
use super::dtype::DType;
use super::layout::{self, Named, Origin, Tensors};
use super::learned::{Container, Reading};
use super::limits;
use super::refusal::{Refusal, brief, counted, shown};

/// Metadata keys of ours begin with this; `format` is upstream's.
pub(super) const PREFIX: &str = "pseudoword.";

/// The metadata key with an embedding's name where the tensor's key is another.
pub(super) const TOKEN: &str = "pseudoword.token";

/// A header that describes its file to the last byte.
#[derive(Debug, Default)]
pub struct Header {
    /// Free text about the file.
    pub metadata: BTreeMap<String, String>,
    /// The tensors, in the order of the header.
    pub tensors: Vec<Entry>,
    /// Where the data begins.
    data: u64,
}

/// A tensor of a header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its key: free text.
    pub name: String,
    /// The type as the file has it.
    pub dtype: String,
    /// Its shape.
    pub shape: Vec<u64>,
    /// First byte and the byte after the last, counted from the beginning of the data.
    pub offsets: [u64; 2],
}

impl Header {
    /// Reads and checks the header of a whole file.
    ///
    /// # Errors
    /// [`Refusal::Cut`], [`Refusal::Damaged`], [`Refusal::Ambiguous`] or [`Refusal::TooMuch`].
    pub fn read(bytes: &[u8]) -> Result<Self, Refusal> {
        let file = bytes.len() as u64;
        let length = cursor::le64(bytes, 0)
            .ok_or_else(|| Refusal::cut(format!("a safetensors file of {file} bytes has no header")))?;
        if length > limits::HEADER {
            return Err(Refusal::too_much("bytes in the safetensors header", length, limits::HEADER));
        }
        let json = cursor::span(bytes, 8, length)
            .ok_or_else(|| Refusal::cut(format!("a header of {length} bytes in a file of {file}")))?;
        Self::parse(json, file - 8 - length)
    }

    /// Checks the text of a header, given how many bytes of data follow it: for files that are not read as a whole.
    ///
    /// # Errors
    /// As for [`Header::read`].
    pub fn parse(json: &[u8], data: u64) -> Result<Self, Refusal> {
        let bad = |reason: String| Refusal::damaged("the safetensors header", reason);
        let mut problem = None;
        let mut deserializer = serde_json::Deserializer::from_slice(json);
        let whole = Whole { problem: &mut problem };
        let read = whole.deserialize(&mut deserializer).and_then(|header| deserializer.end().map(|()| header));
        let mut header = match (read, problem) {
            (_, Some(problem)) => return Err(problem),
            (Ok(header), None) => header,
            (Err(error), None) => return Err(bad(brief(error))),
        };
        header.data = 8 + json.len() as u64;
        header.check(data)?;
        Ok(header)
    }

    /// Where in the file the data begins.
    pub fn data_start(&self) -> u64 {
        self.data
    }

    /// The tensors must follow each other without holes, have the size that their shape needs, and end with the file.
    fn check(&self, data: u64) -> Result<(), Refusal> {
        let mut order: Vec<&Entry> = self.tensors.iter().collect();
        order.sort_by_key(|entry| entry.offsets);
        let mut expected = 0;
        for entry in order {
            let bad = |reason: String| Refusal::damaged(format!("the tensor {}", shown(&entry.name)), reason);
            let [start, end] = entry.offsets;
            if start != expected || end < start {
                return Err(bad(format!("it is at {start}..{end}, and {expected} was expected to be its start")));
            }
            let bits = bits(&entry.dtype).ok_or_else(|| bad(format!("its type {} is unknown", shown(&entry.dtype))))?;
            // Checked even where a zero makes the product small: other readers multiply in another order.
            let nonzero = entry.shape.iter().filter(|&&size| size != 0);
            let needed = nonzero.copied().try_fold(bits, u64::checked_mul);
            let needed = match needed {
                Some(_) if entry.shape.contains(&0) => Some(0),
                needed => needed,
            };
            let shape = &entry.shape;
            let needed = needed
                .filter(|bits| bits % 8 == 0)
                .map(|bits| bits / 8)
                .ok_or_else(|| bad(format!("its shape {shape:?} overflows or does not fill whole bytes")))?;
            if needed != end - start {
                return Err(bad(format!("its shape {shape:?} needs {needed} bytes, it has {}", end - start)));
            }
            expected = end;
        }
        match expected.cmp(&data) {
            std::cmp::Ordering::Equal => Ok(()),
            std::cmp::Ordering::Greater => {
                Err(Refusal::cut(format!("the header describes {expected} bytes of data, there are {data}")))
            }
            std::cmp::Ordering::Less => Err(Refusal::ambiguous(
                "the safetensors file",
                format!("{} follow its last tensor", counted(data - expected, "byte")),
            )),
        }
    }
}

/// Bits of a number of a type that the format has.
fn bits(dtype: &str) -> Option<u64> {
    Some(match dtype {
        "F4" => 4,
        "F6_E2M3" | "F6_E3M2" => 6,
        "BOOL" | "U8" | "I8" | "F8_E5M2" | "F8_E4M3" | "F8_E8M0" | "F8_E4M3FNUZ" | "F8_E5M2FNUZ" => 8,
        "U16" | "I16" | "F16" | "BF16" => 16,
        "U32" | "I32" | "F32" => 32,
        "U64" | "I64" | "F64" | "C64" => 64,
        _ => return None,
    })
}

/// Reads the embeddings of a file. `stem` is its name without folder and extension.
///
/// # Errors
/// Any [`Refusal`] but those about choosing and writing.
pub fn read(bytes: &[u8], stem: &str) -> Result<Reading, Refusal> {
    let header = Header::read(bytes)?;
    let dtype = |name: &str| match name {
        "F32" => Ok(DType::F32),
        "F16" => Ok(DType::F16),
        "BF16" => Ok(DType::Bf16),
        "F64" => Ok(DType::F64),
        other => Err(other.to_owned()),
    };
    let named = header.tensors.iter().map(|entry| Named {
        key: Cow::Borrowed(entry.name.as_str()),
        shape: entry.shape.clone(),
        dtype: dtype(&entry.dtype),
    });
    let tensors = File { bytes, header: &header, named: named.collect() };
    let origin = Origin {
        container: Container::Safetensors,
        stem,
        metadata: facts(&header.metadata),
        token: header.metadata.get(TOKEN).filter(|token| token.len() <= limits::FACT).cloned(),
    };
    layout::words(&tensors, &origin)
}

/// What the metadata say about an embedding: our own keys, and what kohya and others call the same.
fn facts(metadata: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    const THEIRS: &[(&str, &str)] = &[
        ("ss_steps", "steps"),
        ("ss_sd_model_name", "base-model"),
        ("ss_new_sd_model_hash", "checkpoint-hash"),
        ("ss_sd_model_hash", "checkpoint-hash"),
    ];
    let mut facts: BTreeMap<String, String> = metadata
        .iter()
        .filter(|(key, _)| *key != TOKEN)
        .filter(|(key, value)| key.len() <= limits::FACT && value.len() <= limits::FACT)
        .filter_map(|(key, value)| Some((key.strip_prefix(PREFIX)?.to_owned(), value.clone())))
        .take(limits::FACTS)
        .collect();
    for (theirs, ours) in THEIRS {
        let filled = |value: &&String| !value.is_empty() && value.len() <= limits::FACT && *value != "None";
        if let Some(value) = metadata.get(*theirs).filter(filled) {
            facts.entry((*ours).to_owned()).or_insert_with(|| value.clone());
        }
    }
    facts
}

/// The tensors of a file in memory.
struct File<'a> {
    bytes: &'a [u8],
    header: &'a Header,
    named: Vec<Named<'a>>,
}

impl Tensors for File<'_> {
    fn named(&self) -> &[Named<'_>] {
        &self.named
    }

    fn values(&self, index: usize) -> Result<Vec<f32>, Refusal> {
        let outside = || Refusal::damaged("the safetensors file", "a tensor is outside of it");
        let entry = self.header.tensors.get(index).ok_or_else(outside)?;
        let Some(Named { dtype: Ok(dtype), .. }) = self.named.get(index) else { return Err(outside()) };
        let [start, end] = entry.offsets;
        let at = self.header.data.checked_add(start).ok_or_else(outside)?;
        let data = cursor::span(self.bytes, at, end.saturating_sub(start)).ok_or_else(outside)?;
        data.chunks_exact(dtype.size()).map(|bytes| dtype.value(bytes).ok_or_else(outside)).collect()
    }
}

/// The JSON object of a header. What is wrong beyond JSON is put into `problem`, since serde only carries text.
struct Whole<'p> {
    problem: &'p mut Option<Refusal>,
}

impl<'de> DeserializeSeed<'de> for Whole<'_> {
    type Value = Header;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Header, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Whole<'_> {
    type Value = Header;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
        let mut header = Header::default();
        let mut names = BTreeSet::new();
        let mut described = false;
        while let Some(name) = map.next_key::<String>()? {
            if name == "__metadata__" {
                header.metadata = map.next_value::<Option<Texts>>()?.map(|texts| texts.0).unwrap_or_default();
                if std::mem::replace(&mut described, true) {
                    let twice = Refusal::ambiguous("the safetensors header", "it has two __metadata__");
                    return stop(self.problem, twice);
                }
                continue;
            }
            if header.tensors.len() == limits::TENSORS {
                let limit = limits::TENSORS as u64;
                return stop(self.problem, Refusal::too_much("tensors in the safetensors header", limit + 1, limit));
            }
            if name.len() > limits::TEXT {
                let (found, limit) = (name.len() as u64, limits::TEXT as u64);
                return stop(self.problem, Refusal::too_much("bytes in the name of a tensor", found, limit));
            }
            let (dtype, shape, offsets) = map.next_value::<Description>()?.0;
            if !names.insert(name.clone()) {
                let twice = format!("the tensor {} is in it twice", shown(&name));
                return stop(self.problem, Refusal::ambiguous("the safetensors header", twice));
            }
            header.tensors.push(Entry { name, dtype, shape, offsets });
        }
        Ok(header)
    }
}

fn stop<T, E: Error>(problem: &mut Option<Refusal>, refusal: Refusal) -> Result<T, E> {
    *problem = Some(refusal);
    Err(E::custom("refused"))
}

/// `__metadata__`: text to text, each key once.
struct Texts(BTreeMap<String, String>);

impl<'de> serde::Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Map;
        impl<'de> Visitor<'de> for Map {
            type Value = Texts;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of texts")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Texts, A::Error> {
                let mut texts = BTreeMap::new();
                while let Some((key, value)) = map.next_entry::<String, String>()? {
                    if texts.len() == limits::TENSORS || texts.insert(key, value).is_some() {
                        return Err(A::Error::custom("a key of __metadata__ appears twice, or there are too many"));
                    }
                }
                Ok(Texts(texts))
            }
        }
        deserializer.deserialize_map(Map)
    }
}

/// Type, shape and offsets of a tensor; fields that are not known are skipped.
struct Description((String, Vec<u64>, [u64; 2]));

impl<'de> serde::Deserialize<'de> for Description {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Map;
        impl<'de> Visitor<'de> for Map {
            type Value = Description;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with dtype, shape and data_offsets")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Description, A::Error> {
                let (mut dtype, mut shape, mut offsets) = (None, None, None);
                while let Some(key) = map.next_key::<Cow<'de, str>>()? {
                    let twice = match key.as_ref() {
                        "dtype" => dtype.replace(map.next_value::<String>()?).is_some(),
                        "shape" => shape.replace(map.next_value::<Sizes>()?.0).is_some(),
                        "data_offsets" => offsets.replace(map.next_value::<[u64; 2]>()?).is_some(),
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                            false
                        }
                    };
                    if twice {
                        return Err(A::Error::custom(format!("a tensor has the field {key} twice")));
                    }
                }
                let missing = |field| A::Error::missing_field(field);
                let dtype = dtype.ok_or_else(|| missing("dtype"))?;
                let shape = shape.ok_or_else(|| missing("shape"))?;
                Ok(Description((dtype, shape, offsets.ok_or_else(|| missing("data_offsets"))?)))
            }
        }
        deserializer.deserialize_map(Map)
    }
}

/// A shape, of a sane number of dimensions.
struct Sizes(Vec<u64>);

impl<'de> serde::Deserialize<'de> for Sizes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Seq;
        impl<'de> Visitor<'de> for Seq {
            type Value = Sizes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of sizes")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Sizes, A::Error> {
                let mut sizes = Vec::new();
                while let Some(size) = seq.next_element::<u64>()? {
                    if sizes.len() == 16 {
                        return Err(A::Error::custom("a shape has more than 16 dimensions"));
                    }
                    sizes.push(size);
                }
                Ok(Sizes(sizes))
            }
        }
        deserializer.deserialize_seq(Seq)
    }
}
