//! Weights that a GGUF file has in eight bits (`q8_0`), where each scale stands before its 32 values: the values, the scales, or
//! what they stand for, as if they lay on their own.

use std::ops::Range;

use half::f16;

use crate::Result;
use crate::base::eight_bits::{BLOCK, BLOCK_BYTES, widened};
use crate::source::Source;

/// Blocks that are read at a time.
const PIECE: u64 = 1 << 16;

/// What of blocks is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum View {
    /// Their values, a byte each.
    Values,
    /// Their scales in f16.
    Scales,
    /// What the values stand for, in f32, which has all of it exactly.
    Widened,
}

/// Bytes of what is wanted of so many bytes of blocks.
pub(super) fn bytes_of(view: View, bytes: u64) -> u64 {
    bytes / BLOCK_BYTES as u64 * view.bytes_of_block()
}

impl View {
    fn bytes_of_block(self) -> u64 {
        match self {
            View::Values => BLOCK as u64,
            View::Scales => size_of::<f16>() as u64,
            View::Widened => (BLOCK * size_of::<f32>()) as u64,
        }
    }

    /// A range of bytes of what is wanted of blocks, which begin at `start` in the file `path`.
    ///
    /// # Errors
    /// Those of reading the file.
    pub async fn read(self, file: &dyn Source, path: &str, start: u64, range: Range<u64>) -> Result<Vec<u8>> {
        let each = self.bytes_of_block();
        let blocks = range.start / each..range.end.div_ceil(each);
        let mut wanted = Vec::with_capacity(usize::try_from((blocks.end - blocks.start) * each).unwrap_or(0));
        let mut from = blocks.start;
        while from < blocks.end {
            let to = blocks.end.min(from + PIECE);
            let place = [from, to].map(|block| start + block * BLOCK_BYTES as u64);
            let bytes = file.read(path, place[0]..place[1]).await?;
            bytes.as_chunks::<BLOCK_BYTES>().0.iter().for_each(|block| self.push(block, &mut wanted));
            from = to;
        }
        // What was asked for may begin and end within a block.
        let before = (range.start - blocks.start * each) as usize;
        wanted.truncate(before + (range.end - range.start) as usize);
        wanted.drain(..before);
        Ok(wanted)
    }

    fn push(self, [low, high, values @ ..]: &[u8; BLOCK_BYTES], wanted: &mut Vec<u8>) {
        match self {
            View::Values => wanted.extend_from_slice(values),
            View::Scales => wanted.extend([*low, *high]),
            View::Widened => {
                let wide = widened(f16::from_le_bytes([*low, *high]), values.map(|value| value as i8));
                wanted.extend(wide.into_iter().flat_map(f32::to_le_bytes));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Memory;

    #[test]
    fn any_range_of_blocks_is_what_it_would_be_on_its_own() {
        let scales: Vec<f16> = (1..=5).map(|number| f16::from_f32(number as f32 / 8.0)).collect();
        let (mut file, mut alone) = (vec![7; 3], [Vec::new(), Vec::new(), Vec::new()]);
        for (number, scale) in scales.iter().enumerate() {
            let values: [i8; BLOCK] = std::array::from_fn(|i| (number * 41 + i * 7) as u8 as i8);
            file.extend(scale.to_le_bytes());
            file.extend(values.map(|value| value as u8));
            alone[0].extend(values.map(|value| value as u8));
            alone[1].extend(scale.to_le_bytes());
            alone[2].extend(values.iter().flat_map(|value| (scale.to_f32() * f32::from(*value)).to_le_bytes()));
        }
        let mut memory = Memory::new("m");
        memory.insert("x", file);
        for (view, alone) in [View::Values, View::Scales, View::Widened].into_iter().zip(alone) {
            assert_eq!(bytes_of(view, 5 * BLOCK_BYTES as u64), alone.len() as u64);
            for (from, to) in
                [(0, alone.len()), (1, 2), (3, 9), (0, 0), (alone.len() - 1, alone.len()), (2, alone.len() - 3)]
            {
                let read = pollster::block_on(view.read(&memory, "x", 3, from as u64..to as u64)).unwrap();
                assert_eq!(read, alone[from..to], "{view:?} {from}..{to}");
            }
        }
    }
}
