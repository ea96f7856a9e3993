//! What a part of a model is, in whatever files: a hash of samples of its weights, in the order of their names and in
//! half precision. The same weights give the same hash from a folder and from a single file, in one file or several, in
//! single precision and in half; training of any kind leaves no weight alone and gives another.
//!
//! Of weights in eight bits it is their values and scales, as they are stored. What they were made of cannot be told from them, nor they
//! from it, so such models have hashes of their own: the same for the same weights in eight bits, in a folder and in a GGUF file.

use std::collections::BTreeMap;

use half::f16;
use sha2::{Digest, Sha256};

use super::packed::ROUNDED;
use super::{Header, files, packed};
use crate::Result;
use crate::base::bytes::hex;
use crate::embedding::dtype::DType;
use crate::parts::Part;
use crate::source::Source;

/// Numbers of a weight that are looked at.
const SAMPLE: u64 = 64;

/// The hash, after what samples were rounded to: `f16:…`. bfloat16 keeps fewer digits than half precision does,
/// so what it was made from cannot be told from it: such weights have hashes of their own, `bf16:…`. So have models of which so
/// many weights are in eight bits, `q8-282:…`: programs differ in which they are; and, if their file says so, models whose weights were
/// and are floats again, `q8-as-f16:…`: what they were before they were rounded has another hash of the kind `f16`. None for types
/// that no weights have, which loading refuses.
///
/// # Errors
/// Those of reading headers and weights.
pub async fn of(source: &dyn Source, part: Part) -> Result<Option<String>> {
    let (mut weights, mut rounded) = (BTreeMap::new(), false);
    for path in files::find(source, part).await?.unwrap_or_default() {
        let header = Header::read(source, &path, source.length(&path).await?.unwrap_or(0)).await?;
        rounded |= packed::was_packed(&header);
        for entry in header.tensors() {
            let kind = match dtype_of(&entry.dtype) {
                Some(dtype) => Kind::Numbers(dtype),
                None if packed::span_of_scales(&header, entry).is_some() => Kind::Blocks,
                None => return Ok(None),
            };
            weights.insert(entry.name.clone(), (path.clone(), header.span(entry), kind));
        }
    }
    let (mut hash, mut brain, mut in_blocks) = (Sha256::new(), false, 0);
    for (name, (path, span, kind)) in &weights {
        let size = match kind {
            Kind::Numbers(dtype) => dtype.size() as u64,
            Kind::Blocks => 1,
        };
        let bytes = source.read(path, span.start..span.end.min(span.start + SAMPLE * size)).await?;
        hash.update(name);
        hash.update([0]);
        match kind {
            Kind::Numbers(dtype) => {
                brain |= *dtype == DType::Bf16;
                let numbers = bytes.chunks_exact(dtype.size()).filter_map(|number| dtype.value(number));
                numbers.for_each(|number| hash.update(f16::from_f32(number).to_le_bytes()));
            }
            Kind::Blocks => {
                in_blocks += 1;
                hash.update(bytes);
            }
        }
    }
    let kind = match in_blocks {
        0 if rounded => format!("{ROUNDED}-as-f16"),
        0 if brain => "bf16".to_owned(),
        0 => "f16".to_owned(),
        count => format!("{ROUNDED}-{count}"),
    };
    let digest = hex(&hash.finalize()[..16]);
    Ok((!weights.is_empty()).then(|| format!("{kind}:{digest}")))
}

/// What a weight's bytes are.
enum Kind {
    Numbers(DType),
    /// Values in eight bits; their scales are a tensor of their own.
    Blocks,
}

/// A type of numbers; none for others.
fn dtype_of(name: &str) -> Option<DType> {
    Some(match name {
        "F32" => DType::F32,
        "F16" => DType::F16,
        "BF16" => DType::Bf16,
        "F64" => DType::F64,
        _ => return None,
    })
}

/// Whether two hashes, of different kinds, are of models that eight bits may have rounded otherwise.
pub fn are_rounded_otherwise(one: &str, other: &str) -> bool {
    let rounded = |hash: &str| hash.starts_with(ROUNDED);
    let known = |hash: &str| rounded(hash) || hash.starts_with("f16:") || hash.starts_with("bf16:");
    same(one, other).is_none() && (rounded(one) || rounded(other)) && known(one) && known(other)
}

/// Whether two hashes are of the same weights; none if they are of different kinds.
pub fn same(one: &str, other: &str) -> Option<bool> {
    let kind = |hash: &str| hash.split_once(':').map(|(kind, _)| kind.to_owned());
    (kind(one)? == kind(other)?).then(|| one == other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Memory;

    /// A tensor: name, type and numbers.
    type Tensor<'a> = (&'a str, &'a str, &'a [f32]);

    /// Of a U-Net in one file.
    fn of(path: &str, tensors: &[Tensor<'_>]) -> String {
        let mut memory = Memory::new("m");
        let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
        for (name, dtype, values) in tensors {
            let begin = data.len();
            for value in *values {
                match *dtype {
                    "F32" => data.extend(value.to_le_bytes()),
                    "F16" => data.extend(f16::from_f32(*value).to_le_bytes()),
                    _ => data.extend(half::bf16::from_f32(*value).to_le_bytes()),
                }
            }
            let about =
                serde_json::json!({"dtype": dtype, "shape": [values.len()], "data_offsets": [begin, data.len()]});
            header.insert((*name).to_owned(), about);
        }
        let header = serde_json::Value::Object(header).to_string();
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.into_bytes());
        bytes.extend(data);
        memory.insert(format!("unet/{path}"), bytes);
        pollster::block_on(super::of(&memory, Part::Unet)).unwrap().unwrap()
    }

    #[test]
    fn the_same_weights_are_known_in_any_file() {
        let whole = "diffusion_pytorch_model.safetensors";
        let (a, b): (&[f32], &[f32]) = (&[0.1, 2.0], &[3.0]);
        let plain = of(whole, &[("a", "F32", a), ("b", "F32", b)]);
        assert_eq!(of(whole, &[("b", "F16", b), ("a", "F32", a)]), plain);
        assert_eq!(of("diffusion_pytorch_model.fp16.safetensors", &[("a", "F16", a), ("b", "F16", b)]), plain);
        assert_ne!(of(whole, &[("a", "F32", &[0.1, 2.01]), ("b", "F32", b)]), plain);
        assert!(plain.starts_with("f16:"));
        assert!(of(whole, &[("a", "BF16", a), ("b", "BF16", b)]).starts_with("bf16:"));
    }

    /// A weight in eight bits, stored as `docs/Q8.md` has it.
    fn packed(values: [u8; 32], scale: f32) -> String {
        let mut memory = Memory::new("m");
        let header = r#"{"__metadata__":{"pseudoword.q8":"1"},"a":{"dtype":"I8","shape":[1,32],"data_offsets":[2,34]},"a.scales":{"dtype":"F16","shape":[1,1],"data_offsets":[0,2]}}"#;
        let bytes =
            [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &f16::from_f32(scale).to_le_bytes(), &values];
        memory.insert("unet/diffusion_pytorch_model.safetensors", bytes.concat());
        pollster::block_on(super::of(&memory, Part::Unet)).unwrap().unwrap()
    }

    #[test]
    fn weights_in_eight_bits_are_known_by_values_and_scales_and_have_a_kind_of_their_own() {
        let hash = packed([7; 32], 0.5);
        assert!(hash.starts_with("q8-1:"), "{hash}");
        assert_eq!(same(&hash, &packed([7; 32], 0.5)), Some(true));
        assert_eq!(same(&hash, &packed([7; 32], 0.25)), Some(false));
        let mut other = [7; 32];
        other[31] = 8;
        assert_eq!(same(&hash, &packed(other, 0.5)), Some(false));
        // What they were made of, and another number of weights in eight bits.
        let plain = of("diffusion_pytorch_model.safetensors", &[("a", "F32", &[3.5; 32])]);
        assert_eq!((same(&hash, &plain), same(&hash, &hash.replace("q8-1", "q8-2"))), (None, None));
    }
}
