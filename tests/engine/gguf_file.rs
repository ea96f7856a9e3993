//! GGUF files as tests need them: written by a few lines of their own, which know nothing of the reader.

use half::f16;
use safetensors::{Dtype, SafeTensors};

/// A tensor: name, shape as in PyTorch, ggml's number of its type, and its bytes.
pub type Tensor = (String, Vec<usize>, u32, Vec<u8>);

pub const F32: u32 = 0;
pub const F16: u32 = 1;
pub const Q8_0: u32 = 8;

/// A file of these tensors, without metadata.
pub fn written(tensors: &[Tensor]) -> Vec<u8> {
    let mut file = [b"GGUF\x03\0\0\0", &(tensors.len() as u64).to_le_bytes()[..], &[0; 8]].concat();
    let mut data = Vec::new();
    for (name, shape, kind, bytes) in tensors {
        file.extend((name.len() as u64).to_le_bytes());
        file.extend(name.as_bytes());
        file.extend((shape.len() as u32).to_le_bytes());
        shape.iter().rev().for_each(|size| file.extend((*size as u64).to_le_bytes()));
        file.extend(kind.to_le_bytes());
        file.extend((data.len() as u64).to_le_bytes());
        data.extend(bytes);
        data.resize(data.len().next_multiple_of(32), 0);
    }
    file.resize(file.len().next_multiple_of(32), 0);
    [file, data].concat()
}

/// The tensors of a safetensors file; with `eight_bits`, those in q8_0 that stable-diffusion.cpp would have so.
pub fn tensors(safetensors: &[u8], eight_bits: bool) -> Vec<Tensor> {
    let file = SafeTensors::deserialize(safetensors).unwrap();
    let tensors = file.iter().map(|(name, view)| {
        let (shape, bytes) = (view.shape().to_vec(), view.data());
        let kind = if view.dtype() == Dtype::F16 { F16 } else { F32 };
        if eight_bits && becomes_q8_0(name, &shape) {
            (name.to_owned(), shape, Q8_0, in_blocks(&wide(kind, bytes)))
        } else {
            (name.to_owned(), shape, kind, bytes.to_vec())
        }
    });
    tensors.collect()
}

/// `ModelLoader::tensor_should_be_converted`.
pub fn becomes_q8_0(name: &str, shape: &[usize]) -> bool {
    let left = ["time_embed.", "label_emb.", "embedding", "pos_embed"];
    shape.last().is_some_and(|row| row % 32 == 0)
        && !name.ends_with(".bias")
        && !left.iter().any(|part| name.contains(part))
}

/// Values in f32.
pub fn wide(kind: u32, bytes: &[u8]) -> Vec<f32> {
    match kind {
        F16 => bytes.chunks(2).map(|value| f16::from_le_bytes([value[0], value[1]]).to_f32()).collect(),
        F32 => bytes.chunks(4).map(|value| f32::from_le_bytes(value.try_into().unwrap())).collect(),
        _ => {
            let of_block = |block: &[u8]| {
                let scale = f16::from_le_bytes([block[0], block[1]]).to_f32();
                block[2..].iter().map(|value| scale * f32::from(*value as i8)).collect::<Vec<f32>>()
            };
            bytes.chunks(34).flat_map(of_block).collect()
        }
    }
}

/// `quantize_row_q8_0_ref`.
pub fn in_blocks(values: &[f32]) -> Vec<u8> {
    let block = |values: &[f32]| {
        let scale = values.iter().fold(0.0f32, |most, value| most.max(value.abs())) / 127.0;
        let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
        let mut bytes = f16::from_f32(scale).to_le_bytes().to_vec();
        bytes.extend(values.iter().map(|value| (value * inverse).round() as i8 as u8));
        bytes
    };
    values.chunks(32).flat_map(block).collect()
}
