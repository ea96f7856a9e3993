//! Weights that a file has in eight bits: `docs/Q8.md` describes the layout.

use std::ops::Range;

use super::Header;
use crate::base::eight_bits::BLOCK;
use crate::base::text::brief_line;
use crate::embedding::safetensors::Entry;
use crate::embedding::shown;

/// The key of the layout's version in a file's metadata.
pub const VERSION_KEY: &str = "pseudoword.q8";
/// The version that is read and written.
pub const VERSION: &str = "1";
/// The key in a file's metadata that says that its weights are floats now and were in eight bits, which left them rounded.
pub const ROUNDED_KEY: &str = "pseudoword.rounded";
/// What it says.
pub const ROUNDED: &str = "q8";
/// The type of values in eight bits.
pub const TYPE: &str = "I8";

/// What the scales of a weight are called.
pub fn scales_of(name: &str) -> String {
    format!("{name}.scales")
}

/// The shape of a weight's scales: where the weight is `[out, in, ..]`, they are `[out, .., in / 32]`; none for what is never
/// in blocks.
pub fn shape_of_scales(shape: &[u64]) -> Option<Vec<u64>> {
    let (inputs, taps) = (shape.get(1)?, shape.get(2..)?);
    let blocks = inputs.is_multiple_of(BLOCK as u64) && *inputs > 0;
    blocks.then(|| [&shape[..1], taps, &[inputs / BLOCK as u64]].concat())
}

/// Whether a tensor is the scales of another.
pub fn is_scales(header: &Header, name: &str) -> bool {
    let whose = name.strip_suffix(".scales").and_then(|whose| header.get(whose));
    is_packed(header) && whose.is_some_and(|entry| entry.dtype == TYPE)
}

/// Whether a tensor is a weight in eight bits by what lies beside it, whatever its file says or has lost.
pub fn seems_packed(header: &Header, entry: &Entry) -> bool {
    let scales = scales_of(&entry.name);
    header.tensors().any(|other| other.name == scales)
}

/// Whether the weights of a file were in eight bits before they were written as floats.
pub fn was_packed(header: &Header) -> bool {
    header.metadata().contains_key(ROUNDED_KEY)
}

/// Whether a file is in this layout, whichever version.
fn is_packed(header: &Header) -> bool {
    header.metadata().contains_key(VERSION_KEY)
}

/// Checks the weights in eight bits of a file in this layout. In other files there are none.
///
/// # Errors
/// Which weight is not as the layout asks for, or that the layout is another.
pub fn check(header: &Header) -> Result<(), String> {
    let Some(version) = header.metadata().get(VERSION_KEY) else { return Ok(()) };
    if version != VERSION {
        return Err(format!("its weights in eight bits have layout {}; this program reads {VERSION}", shown(version)));
    }
    for entry in header.tensors().filter(|entry| entry.dtype == TYPE) {
        let (name, shape) = (brief_line(&entry.name), &entry.shape);
        let Some(expected) = shape_of_scales(shape) else {
            return Err(format!("{name} is {shape:?} in eight bits, which is not in blocks of {BLOCK}"));
        };
        match header.get(&scales_of(&entry.name)) {
            None => return Err(format!("{name} is in eight bits and has no scales ({})", scales_of(&name))),
            Some(scales) if scales.dtype != "F16" || scales.shape != expected => {
                let Entry { name, dtype, shape, .. } = scales;
                return Err(format!("{} is {dtype} {shape:?} and not F16 {expected:?}", brief_line(name)));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// Where the scales of a weight are; none if it is not in eight bits, or not in this layout.
pub fn span_of_scales(header: &Header, entry: &Entry) -> Option<Range<u64>> {
    let packed = entry.dtype == TYPE && is_packed(header);
    packed.then(|| header.get(&scales_of(&entry.name))).flatten().map(|scales| header.span(scales))
}
