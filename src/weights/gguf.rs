//! The header of a GGUF file: names, types, shapes and places of its tensors, read without the data that follow it.
//!
//! Source: ggml's `docs/gguf.md` and `src/gguf.cpp`, which `stable-diffusion.cpp` writes its models with. A header has no length of its own,
//! so it is given as much of the file as was read, and says when that is too little. Nothing is believed before it is
//! checked: counts and lengths against bounds, tensors against the file and each other. Types that cannot be computed with
//! are known here, so that a file is named rightly by whoever needs such a tensor.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::text::brief_line;
use crate::embedding::safetensors::Entry;
use crate::embedding::{limits, shown};

/// What every file begins with.
pub const MAGIC: &[u8] = b"GGUF";

/// Blocks of 32 values in eight bits, each behind its scale ([`eight_bits`](crate::base::eight_bits)).
pub const Q8_0: &str = "q8_0";

/// The key of the kind of model that a file says that it holds.
const ARCHITECTURE: &str = "general.architecture";

/// Versions that are read: their headers are the same, and the third may be big-endian, which is not read.
const VERSIONS: std::ops::RangeInclusive<u32> = 2..=3;

/// What tensors begin at a multiple of, unless the file says another number.
const ALIGNMENT: u64 = 32;
const ALIGNMENT_KEY: &str = "general.alignment";
/// The largest that is believed: padding is at most as long.
const LARGEST_ALIGNMENT: u64 = 1 << 16;

/// Longest name of a tensor, in bytes; ggml itself has room for 64, stable-diffusion.cpp for 128.
const NAME: u64 = 1024;

/// Most dimensions of a tensor; ggml itself has four.
const DIMENSIONS: u32 = 8;

/// How deep arrays may lie in arrays; ggml itself has none in others.
const DEPTH: u32 = 4;

/// Types of tensors: number in the file, name, values that are stored together, and their bytes. Those of single numbers are
/// called as safetensors calls them, the others as ggml does.
const TYPES: [(u32, &str, u64, u64); 34] = [
    (0, "F32", 1, 4),
    (1, "F16", 1, 2),
    (2, "q4_0", 32, 18),
    (3, "q4_1", 32, 20),
    (6, "q5_0", 32, 22),
    (7, "q5_1", 32, 24),
    (8, Q8_0, 32, 34),
    (9, "q8_1", 32, 36),
    (10, "q2_K", 256, 84),
    (11, "q3_K", 256, 110),
    (12, "q4_K", 256, 144),
    (13, "q5_K", 256, 176),
    (14, "q6_K", 256, 210),
    (15, "q8_K", 256, 292),
    (16, "iq2_xxs", 256, 66),
    (17, "iq2_xs", 256, 74),
    (18, "iq3_xxs", 256, 98),
    (19, "iq1_s", 256, 50),
    (20, "iq4_nl", 32, 18),
    (21, "iq3_s", 256, 110),
    (22, "iq2_s", 256, 82),
    (23, "iq4_xs", 256, 136),
    (24, "I8", 1, 1),
    (25, "I16", 1, 2),
    (26, "I32", 1, 4),
    (27, "I64", 1, 8),
    (28, "F64", 1, 8),
    (29, "iq1_m", 256, 56),
    (30, "BF16", 1, 2),
    (34, "tq1_0", 256, 54),
    (35, "tq2_0", 256, 66),
    (39, "mxfp4", 32, 17),
    (40, "nvfp4", 64, 36),
    (41, "q1_0", 128, 18),
];

/// Types of values in the metadata: of those of a fixed length, the bytes.
const TEXT_VALUE: u32 = 8;
const ARRAY_VALUE: u32 = 9;
const UINT32_VALUE: u32 = 4;
const FIXED: [(u32, u64); 11] =
    [(0, 1), (1, 1), (2, 2), (3, 2), (4, 4), (5, 4), (6, 4), (7, 1), (10, 8), (11, 8), (12, 8)];

/// A header that describes its file.
#[derive(Debug)]
pub struct Gguf {
    /// The tensors, in the order of the header; their shapes as in PyTorch, the inner axis last.
    pub tensors: Vec<Entry>,
    /// The texts that the file says about itself, as far as they are short.
    pub metadata: BTreeMap<String, String>,
    /// Where in the file the data begin.
    pub data: u64,
}

/// Why a header is not read further.
enum Stop {
    /// It goes on behind the bytes that there are.
    More,
    /// It is refused for this reason.
    Refused(String),
}

impl From<String> for Stop {
    fn from(reason: String) -> Self {
        Stop::Refused(reason)
    }
}

/// Checks the header of a file of `length` bytes that begins with these `bytes`; none where more of them are needed.
///
/// # Errors
/// What is wrong with it, as a sentence that goes on after the file's name.
pub fn parse(bytes: &[u8], length: u64) -> Result<Option<Gguf>, String> {
    let mut input = Input { bytes, at: 0 };
    match read(&mut input) {
        Ok(gguf) => {
            check(&gguf, length)?;
            Ok(Some(gguf.whole))
        }
        Err(Stop::Refused(reason)) => Err(reason),
        Err(Stop::More) if bytes.len() as u64 >= length => {
            Err(format!("the file is cut off: its header goes on after its {length} bytes; download or copy it again"))
        }
        Err(Stop::More) if bytes.len() as u64 >= limits::HEADER => {
            Err(format!("the header is longer than {} bytes, which no image model's is", limits::HEADER))
        }
        Err(Stop::More) => Ok(None),
    }
}

/// What was read, before it was held against the file.
struct Unchecked {
    whole: Gguf,
    alignment: u64,
}

/// Bytes from the beginning of a file.
struct Input<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Input<'a> {
    fn take(&mut self, count: u64) -> Result<&'a [u8], Stop> {
        let end = usize::try_from(count).ok().and_then(|count| self.at.checked_add(count)).ok_or(Stop::More)?;
        let taken = self.bytes.get(self.at..end).ok_or(Stop::More)?;
        self.at = end;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Stop> {
        self.take(N as u64)?.try_into().map_err(|_| Stop::More)
    }

    fn u32(&mut self) -> Result<u32, Stop> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, Stop> {
        self.array().map(u64::from_le_bytes)
    }

    /// A count of something, up to a bound.
    fn count(&mut self, what: &str, most: u64) -> Result<u64, Stop> {
        let count = self.u64()?;
        if count > most {
            return Err(format!("the header counts {count} {what}, where at most {most} are accepted").into());
        }
        Ok(count)
    }

    /// The bytes of a text of at most so many.
    fn text(&mut self, what: &str, most: u64) -> Result<&'a [u8], Stop> {
        let length = self.count(&format!("bytes in {what}"), most)?;
        self.take(length)
    }

    /// A name or a key, which is UTF-8.
    fn name(&mut self, what: &str, most: u64) -> Result<String, Stop> {
        let bytes = self.text(what, most)?;
        let bad = || format!("{what} is not UTF-8 text; download or copy the file again");
        Ok(std::str::from_utf8(bytes).map_err(|_| bad())?.to_owned())
    }
}

fn read(input: &mut Input<'_>) -> Result<Unchecked, Stop> {
    if input.array::<4>()? != MAGIC {
        return Err("not a GGUF file".to_owned().into());
    }
    check_version(input.u32()?)?;
    let tensor_count = input.count("tensors", limits::TENSORS as u64)?;
    let key_count = input.count("metadata keys", limits::TENSORS as u64)?;
    let (metadata, alignment) = read_metadata(input, key_count)?;
    // Not reserved: the count is believed only as far as there are tensors.
    let (mut tensors, mut names) = (Vec::new(), BTreeSet::new());
    for _ in 0..tensor_count {
        let entry = read_tensor(input)?;
        if !names.insert(entry.name.clone()) {
            return Err(
                format!("the tensor {} is in it twice; get the file from another source", shown(&entry.name)).into()
            );
        }
        tensors.push(entry);
    }
    let data = (input.at as u64).next_multiple_of(alignment);
    Ok(Unchecked { whole: Gguf { tensors, metadata, data }, alignment })
}

fn check_version(version: u32) -> Result<(), String> {
    if VERSIONS.contains(&version) {
        return Ok(());
    }
    let (first, last) = (VERSIONS.start(), VERSIONS.end());
    let what = if (1..=*last).contains(&version.swap_bytes()) {
        "a big-endian GGUF file, which is not read".to_owned()
    } else {
        format!("a GGUF file of version {version}, where {first} and {last} are read")
    };
    Err(format!("{what}: save it again as version {last}, or get the .safetensors of the same model"))
}

/// The short texts of the metadata, and what tensors begin at a multiple of.
fn read_metadata(input: &mut Input<'_>, count: u64) -> Result<(BTreeMap<String, String>, u64), Stop> {
    let (mut texts, mut alignment, mut keys) = (BTreeMap::new(), ALIGNMENT, BTreeSet::new());
    for _ in 0..count {
        let key = input.name("a metadata key", limits::TEXT as u64)?;
        let kind = input.u32()?;
        if !keys.insert(key.clone()) {
            return Err(
                format!("the metadata key {} is in it twice; get the file from another source", shown(&key)).into()
            );
        }
        if key == ALIGNMENT_KEY {
            if kind != UINT32_VALUE {
                return Err(format!("{ALIGNMENT_KEY} is no number of 32 bits").into());
            }
            alignment = u64::from(input.u32()?);
            if !alignment.is_power_of_two() || alignment > LARGEST_ALIGNMENT {
                return Err(format!(
                    "{ALIGNMENT_KEY} is {alignment}, and not a power of two up to {LARGEST_ALIGNMENT}"
                )
                .into());
            }
        } else if kind == TEXT_VALUE {
            let text = input.text("a text of the metadata", limits::HEADER)?;
            if let Ok(text) = std::str::from_utf8(text)
                && text.len() <= limits::FACT
            {
                texts.insert(key, text.to_owned());
            }
        } else {
            skip(input, kind, DEPTH).map_err(|stop| match stop {
                Stop::More => Stop::More,
                Stop::Refused(reason) => Stop::Refused(format!("the metadata key {}: {reason}", shown(&key))),
            })?;
        }
    }
    Ok((texts, alignment))
}

/// Passes over a value of the metadata.
fn skip(input: &mut Input<'_>, kind: u32, depth: u32) -> Result<(), Stop> {
    let fixed = |kind: u32| FIXED.iter().find(|(known, _)| *known == kind).map(|(_, bytes)| *bytes);
    match (kind, fixed(kind)) {
        (_, Some(bytes)) => input.take(bytes).map(|_| ()),
        (TEXT_VALUE, _) => input.text("a text of the metadata", limits::HEADER).map(|_| ()),
        (ARRAY_VALUE, _) if depth > 0 => {
            let inner = input.u32()?;
            let count = input.count("values in an array of the metadata", limits::HEADER)?;
            if let Some(bytes) = fixed(inner) {
                return input.take(count * bytes).map(|_| ());
            }
            // Each of these takes bytes of the header, so the loop ends with them.
            (0..count).try_for_each(|_| skip(input, inner, depth - 1))
        }
        (ARRAY_VALUE, _) => Err("its arrays lie too deep in each other".to_owned().into()),
        (kind, _) => Err(format!("its value is of type {kind}, which no GGUF has").into()),
    }
}

/// A tensor; its place is counted from where the data begin.
fn read_tensor(input: &mut Input<'_>) -> Result<Entry, Stop> {
    let name = input.name("the name of a tensor", NAME)?;
    let bad = |reason: String| Stop::Refused(format!("the tensor {}: {reason}", shown(&name)));
    let dimensions = input.u32()?;
    if dimensions > DIMENSIONS {
        return Err(bad(format!("it has {dimensions} dimensions, where at most {DIMENSIONS} are accepted")));
    }
    let mut shape = (0..dimensions).map(|_| input.u64()).collect::<Result<Vec<u64>, Stop>>()?;
    let (kind, start) = (input.u32()?, input.u64()?);
    let Some((_, dtype, together, bytes)) = TYPES.iter().find(|(number, ..)| *number == kind) else {
        return Err(bad(format!(
            "it is of type {kind}, which is not known here: get the file in q8_0 or f16, or the .safetensors of the same model"
        )));
    };
    let row = shape.first().copied().unwrap_or(1);
    if !row.is_multiple_of(*together) {
        return Err(bad(format!("it has rows of {row} values, which are not whole blocks of {together} ({dtype})")));
    }
    // Checked even where a zero makes the product small: other readers multiply in another order.
    let nonzero = shape.iter().filter(|&&size| size != 0);
    let values = nonzero.copied().try_fold(1, u64::checked_mul).filter(|values| *values <= u64::MAX / bytes);
    let Some(values) = values else { return Err(bad(format!("its shape {shape:?} overflows"))) };
    let length = if shape.contains(&0) { 0 } else { values / together * bytes };
    let Some(end) = start.checked_add(length) else { return Err(bad(format!("it is at byte {start} of the data"))) };
    shape.reverse();
    Ok(Entry { name, dtype: (*dtype).to_owned(), shape, offsets: [start, end] })
}

/// The tensors must lie one after the other, each at the next multiple of the alignment, and nothing else in the file.
fn check(Unchecked { whole, alignment }: &Unchecked, length: u64) -> Result<(), String> {
    let mut order: Vec<&Entry> = whole.tensors.iter().collect();
    order.sort_by_key(|entry| entry.offsets);
    let (mut expected, mut end) = (0, 0);
    for entry in order {
        let start = entry.offsets[0];
        if start != expected {
            let name = shown(&entry.name);
            return Err(format!(
                "the tensor {name} begins at byte {start} of the data, where {expected} was expected; download or copy the file again"
            ));
        }
        end = entry.offsets[1];
        expected = end.checked_next_multiple_of(*alignment).ok_or_else(|| format!("its data have {end} bytes"))?;
    }
    let there = length.saturating_sub(whole.data);
    if end > there {
        return Err(format!(
            "the file is cut off: the header describes {end} bytes of data, there are {there}; download or copy it again"
        ));
    }
    if there > expected {
        return Err(format!("{} bytes follow its last tensor; get the file from another source", there - expected));
    }
    Ok(())
}

/// What to say of a tensor that is needed and of a type that cannot be computed with.
pub fn refusal(entry: &Entry) -> String {
    let Entry { name, dtype, .. } = entry;
    // Of single numbers, in ggml's words, too.
    let dtype = if dtype.starts_with(char::is_uppercase) { dtype.to_lowercase() } else { dtype.clone() };
    format!(
        "{} is {dtype}: of GGUF files, q8_0, f16, bf16 and f32 are read; get the file in q8_0 or f16, or the .safetensors of the \
         same model",
        brief_line(name)
    )
}

/// What a file is that says that it is another kind of model; none if it says nothing of the kind.
pub fn other_kind(metadata: &BTreeMap<String, String>) -> Option<String> {
    let architecture = metadata.get(ARCHITECTURE)?;
    // What ComfyUI-GGUF calls U-Nets of the models that can be run, and what a program may call a whole one.
    let ours = ["sd1", "sd2", "sdxl", "sd", "stable-diffusion", "diffusion"];
    (!ours.contains(&architecture.as_str())).then(|| {
        format!(
            "a GGUF file of another kind of model ({}): only Stable Diffusion 1.x, 2.x and SDXL can be run",
            shown(architecture)
        )
    })
}

#[cfg(test)]
mod tests;
