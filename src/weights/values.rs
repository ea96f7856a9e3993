//! Values as they lie in a file, and as they are kept.

use half::{bf16, f16};

use super::Stored;
use crate::base::eight_bits::{BLOCK, quantised, widened};

/// Bytes of a block's scale.
pub(super) const SCALE_BYTES: usize = size_of::<f16>();

/// The types that weights can have in a file, those in eight bits aside.
pub(super) const FLOATS: [&str; 4] = ["F16", "BF16", "F32", "F64"];

/// Each output's `[Cin, taps]` as `[taps, Cin]`, in place: the largest weights are convolutions.
pub(super) fn channels_last(bytes: &mut [u8], size: usize, inputs: usize, taps: usize) {
    let mut filter = vec![0; inputs * taps * size];
    for place in bytes.chunks_exact_mut(filter.len()) {
        filter.copy_from_slice(place);
        for (i, value) in filter.chunks_exact(size).enumerate() {
            let (channel, tap) = (i / taps, i % taps);
            place[(tap * inputs + channel) * size..][..size].copy_from_slice(value);
        }
    }
}

/// Values of a type in a file in the form in which they are stored, those of a block behind its scale; none if one of them would
/// be beyond f16.
pub(super) fn converted(bytes: Vec<u8>, dtype: &str, stored: Stored) -> Option<Vec<u8>> {
    fn map<const N: usize>(bytes: &[u8], f: impl Fn([u8; N]) -> f32) -> Vec<u8> {
        let mut values = Vec::with_capacity(bytes.len() / N * 4);
        bytes.as_chunks::<N>().0.iter().for_each(|value| values.extend(f(*value).to_le_bytes()));
        values
    }
    let full = match (dtype, stored) {
        ("F16", Stored::F16) => return Some(bytes),
        ("F16", _) => map::<2>(&bytes, |b| f16::from_le_bytes(b).to_f32()),
        ("BF16", _) => map::<2>(&bytes, |b| bf16::from_le_bytes(b).to_f32()),
        ("F64", _) => map::<8>(&bytes, |b| f64::from_le_bytes(b) as f32),
        _ => bytes,
    };
    match stored {
        Stored::F32 => Some(full),
        Stored::F16 => narrowed(&full),
        Stored::Q8 => {
            let mut bytes = Vec::with_capacity(Stored::Q8.bytes_of(full.len() as u64 / 4) as usize);
            for block in blocks(&full) {
                let (scale, numbers) = block?;
                bytes.extend(scale.to_le_bytes());
                bytes.extend(numbers.map(|number| number as u8));
            }
            Some(bytes)
        }
    }
}

/// Values in f32 in eight bits, and the scales of the blocks in f16; none if one of them would be beyond f16.
pub(super) fn in_eight_bits(wide: &[u8]) -> Option<[Vec<u8>; 2]> {
    let values = wide.len() / size_of::<f32>();
    let (mut numbers, mut scales) = (Vec::with_capacity(values), Vec::with_capacity(2 * values / BLOCK));
    for block in blocks(wide) {
        let (scale, block) = block?;
        scales.extend(scale.to_le_bytes());
        numbers.extend(block.map(|number| number as u8));
    }
    Some([numbers, scales])
}

/// What [`in_eight_bits`] made stands for, in f32.
pub(super) fn from_eight_bits(numbers: &[u8], scales: &[u8]) -> Vec<u8> {
    let blocks = numbers.as_chunks::<BLOCK>().0.iter().zip(scales.as_chunks::<2>().0);
    let wide = |(block, scale): (&[u8; BLOCK], &[u8; 2])| {
        widened(f16::from_le_bytes(*scale), block.map(|number| number as i8))
    };
    blocks.flat_map(wide).flat_map(f32::to_le_bytes).collect()
}

/// Values in eight bits with these scales in the form in which they are stored, those of a block behind its scale; none if one
/// would be beyond f16.
pub(super) fn from_blocks(numbers: &[u8], scales: &[u8], stored: Stored) -> Option<Vec<u8>> {
    if stored != Stored::Q8 {
        return converted(from_eight_bits(numbers, scales), "F32", stored);
    }
    let blocks = scales.as_chunks::<SCALE_BYTES>().0.iter().zip(numbers.as_chunks::<BLOCK>().0);
    Some(blocks.flat_map(|(scale, numbers)| scale.iter().chain(numbers).copied()).collect())
}

/// Values in f32 as blocks in eight bits, none in place of one that cannot be.
fn blocks(wide: &[u8]) -> impl Iterator<Item = Option<(f16, [i8; BLOCK])>> {
    wide.as_chunks::<{ BLOCK * size_of::<f32>() }>().0.iter().map(|block| {
        let mut values = [0.0; BLOCK];
        let bytes = block.as_chunks::<{ size_of::<f32>() }>().0;
        values.iter_mut().zip(bytes).for_each(|(value, bytes)| *value = f32::from_le_bytes(*bytes));
        quantised(&values)
    })
}

/// f32 values as f16; none if one of them would become infinite.
fn narrowed(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut half = Vec::with_capacity(bytes.len() / 2);
    for value in bytes.as_chunks::<4>().0 {
        let value = f32::from_le_bytes(*value);
        let narrow = f16::from_f32(value);
        if narrow.is_infinite() && value.is_finite() {
            return None;
        }
        half.extend(narrow.to_le_bytes());
    }
    Some(half)
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use burn::tensor::DType;

    use super::*;
    use crate::parts::Part;
    use crate::source::Memory;
    use crate::weights::{Storage, Weights};

    fn bytes(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|value| value.to_le_bytes()).collect()
    }

    #[test]
    fn values_are_kept_as_asked() {
        let half: Vec<u8> = [1.5f32, -2.0].iter().flat_map(|value| f16::from_f32(*value).to_le_bytes()).collect();
        let wide = bytes(&[1.5, -2.0]);
        let brain: Vec<u8> = [1.5f32, -2.0].iter().flat_map(|value| bf16::from_f32(*value).to_le_bytes()).collect();
        for (given, dtype, storage, expected, kept) in [
            (&half, "F16", Storage::AsFile, &half, Stored::F16),
            (&half, "F16", Storage::F32, &wide, Stored::F32),
            (&half, "F16", Storage::F16, &half, Stored::F16),
            (&wide, "F32", Storage::AsFile, &wide, Stored::F32),
            (&wide, "F32", Storage::F16, &half, Stored::F16),
            (&brain, "BF16", Storage::AsFile, &wide, Stored::F32),
            (&brain, "BF16", Storage::F16, &half, Stored::F16),
        ] {
            let stored = Stored::of(dtype, storage);
            let got = converted(given.clone(), dtype, stored).unwrap();
            assert_eq!((&got, stored), (expected, kept), "{dtype} {storage:?}");
        }
    }

    #[test]
    fn eight_bits_are_the_same_beside_their_scales_and_behind_them() {
        let numbers: Vec<f32> = (0..3 * BLOCK).map(|i| ((i * 37 % 64) as f32 - 31.0) / 8.0).collect();
        let wide = bytes(&numbers);
        let [values, scales] = in_eight_bits(&wide).unwrap();
        let apart = from_eight_bits(&values, &scales);
        let interleaved = converted(wide, "F32", Stored::Q8).unwrap();
        assert_eq!(interleaved.len() as u64, Stored::Q8.bytes_of(numbers.len() as u64));
        assert_eq!(bytes(&Stored::Q8.widen(&interleaved)), apart);
        let near = apart.as_chunks::<4>().0.iter().map(|value| f32::from_le_bytes(*value));
        // Half of the scale of a block whose largest value is 4.
        assert!(near.zip(&numbers).all(|(got, want)| (got - want).abs() <= 0.5 * 4.0 / 127.0 + 1e-3));
        assert_eq!(in_eight_bits(&bytes(&[70_000.0; BLOCK])), None);
        assert_eq!(converted(bytes(&[70_000.0; BLOCK]), "F32", Stored::Q8), None);
    }

    #[test]
    fn f16_is_refused_what_it_cannot_hold() {
        assert_eq!(converted(bytes(&[1.0, 70_000.0]), "F32", Stored::F16), None);
        // What is broken in the file is left for the checks that follow to find.
        assert!(converted(bytes(&[f32::INFINITY]), "F32", Stored::F16).is_some());
    }

    /// A file that is kept in half precision has one weight that it cannot hold: that one stays as it is.
    #[test]
    fn a_weight_that_f16_cannot_hold_stays_wide() {
        let header = br#"{"fits":{"dtype":"F32","shape":[5,2],"data_offsets":[0,40]},"large":{"dtype":"F32","shape":[5,2],"data_offsets":[40,80]}}"#;
        let mut numbers: Vec<f32> = (0..20).map(|i| i as f32 / 4.0).collect();
        numbers[17] = 70_000.0;
        let file = [&(header.len() as u64).to_le_bytes()[..], header, &bytes(&numbers)].concat();
        let mut source = Memory::new("m");
        source.insert("unet/diffusion_pytorch_model.safetensors", file);
        let source = Rc::new(source);
        let (device, mut quiet) = (crate::gpu::cpu(), |_| ());
        let read = async {
            let weights = Weights::open(&*source, Part::Unet, &device, Storage::F16, &mut quiet).await?;
            let fits = weights.tensor("fits", [5, 2]).await?;
            let large = weights.tensor("large", [5, 2]).await?;
            weights.finish().await?;
            let values = crate::ops::read(large.f32()).await?;
            crate::Result::<_, crate::Error>::Ok((fits.dtype(), large.dtype(), values))
        };
        let (fits, large, values) = pollster::block_on(read).unwrap();
        assert_eq!((fits, large), (DType::F16, DType::F32));
        assert_eq!(values, numbers[10..]);
    }
}
