//! What a part of a model is, in whatever files: a hash of samples of its weights, in the order of their names and in
//! half precision. The same weights give the same hash from a folder and from a single file, in one file or several, in
//! single precision and in half; training of any kind leaves no weight alone and gives another.

use std::collections::BTreeMap;

use half::f16;
use sha2::{Digest, Sha256};

use super::{Header, files, packed};
use crate::Result;
use crate::base::bytes::hex;
use crate::embedding::dtype::DType;
use crate::parts::Part;
use crate::source::Source;

/// Numbers of a weight that are looked at.
const SAMPLE: u64 = 64;

/// The hash, after the type that samples were rounded to: `f16:…`. bfloat16 keeps fewer digits than half precision does,
/// so what it was made from cannot be told from it: such weights have hashes of their own, `bf16:…`, and so have those in
/// eight bits, `q8:…`, of their numbers and scales. None for types that no weights have, which loading refuses.
///
/// # Errors
/// Those of reading headers and weights.
pub async fn of(source: &dyn Source, part: Part) -> Result<Option<String>> {
    let mut weights = BTreeMap::new();
    for path in files::find(source, part).await?.unwrap_or_default() {
        let header = Header::read(source, &path, source.length(&path).await?.unwrap_or(0)).await?;
        for entry in header.tensors() {
            let in_eight_bits = packed::span_of_scales(&header, entry).is_some();
            weights.insert(entry.name.clone(), (path.clone(), header.span(entry), entry.dtype.clone(), in_eight_bits));
        }
    }
    let (mut hash, mut brain, mut packed) = (Sha256::new(), false, false);
    for (name, (path, span, dtype, in_eight_bits)) in &weights {
        if *in_eight_bits {
            packed = true;
            hash.update(name);
            hash.update([0]);
            hash.update(source.read(path, span.start..span.end.min(span.start + SAMPLE)).await?);
            continue;
        }
        let dtype = match dtype.as_str() {
            "F32" => DType::F32,
            "F16" => DType::F16,
            "BF16" => DType::Bf16,
            "F64" => DType::F64,
            _ => return Ok(None),
        };
        brain |= dtype == DType::Bf16;
        let end = span.end.min(span.start + SAMPLE * dtype.size() as u64);
        let bytes = source.read(path, span.start..end).await?;
        let numbers = bytes.chunks_exact(dtype.size()).filter_map(|number| dtype.value(number));
        hash.update(name);
        hash.update([0]);
        numbers.for_each(|number| hash.update(f16::from_f32(number).to_le_bytes()));
    }
    let digest = hex(&hash.finalize()[..16]);
    let kind = if packed {
        "q8"
    } else if brain {
        "bf16"
    } else {
        "f16"
    };
    Ok((!weights.is_empty()).then(|| format!("{kind}:{digest}")))
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

    /// Numbers and scales both count; what they were made of cannot be told from them.
    #[test]
    fn weights_in_eight_bits_are_known_by_hashes_of_their_own() {
        let of = |scale: f32, first: u8, version: &str| {
            let header = serde_json::json!({
                "__metadata__": {version: "1"},
                "a": {"dtype": "I8", "shape": [1, 32], "data_offsets": [2, 34]},
                "a.scales": {"dtype": "F16", "shape": [1, 1], "data_offsets": [0, 2]},
            });
            let header = header.to_string();
            let numbers = [&f16::from_f32(scale).to_le_bytes()[..], &[first; 32]].concat();
            let bytes = [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &numbers].concat();
            let mut memory = Memory::new("m");
            memory.insert("unet/diffusion_pytorch_model.safetensors", bytes);
            pollster::block_on(super::of(&memory, Part::Unet)).unwrap()
        };
        let one = of(0.5, 3, packed::VERSION_KEY).unwrap();
        assert!(one.starts_with("q8:"), "{one}");
        assert_eq!(of(0.5, 3, packed::VERSION_KEY).unwrap(), one);
        for other in [of(0.25, 3, packed::VERSION_KEY), of(0.5, 4, packed::VERSION_KEY)].map(Option::unwrap) {
            assert_eq!(same(&one, &other), Some(false));
        }
        assert_eq!(same(&one, &one.replace("q8:", "f16:")), None);
        assert_eq!(of(0.5, 3, "another"), None, "bytes are no weights");
    }
}
