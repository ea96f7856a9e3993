//! The second carrier: the low halves of pixels in two blocks, left and right of the picture that is seen.
//!
//! Source: `image_embedding.py`, `extract_image_data_embed`, `crop_black`, `xor_block`, `lcg`.

use std::io::{self, Cursor, Read};
use std::ops::Range;

use png::{Decoder, Limits, Transformations};

use super::super::limits;
use super::super::recognise::Mistaken;
use super::super::refusal::{Refusal, brief};

/// Two blocks of equal size in a picture, `[rows, columns, 3]` of half bytes each, which are still scrambled.
#[derive(Debug)]
pub(super) struct Blocks {
    picture: Picture,
    rows: Range<usize>,
    columns: usize,
    /// Where the block with the low halves of bytes begins, and where that with the high halves.
    low: usize,
    high: usize,
}

/// Decodes a picture and finds the blocks; none if it has none.
pub(super) fn blocks(bytes: &[u8], width: u32, height: u32) -> Result<Option<Blocks>, Refusal> {
    let pixels = u64::from(width).saturating_mul(u64::from(height));
    // At least one byte per pixel would be decoded: too much, so decoding is not even started.
    if pixels > limits::PIXELS as u64 {
        return Err(Refusal::Mistaken(Mistaken::PlainPicture));
    }
    let damaged = |error: png::DecodingError| Refusal::damaged("the PNG", brief(error));
    let mut decoder = Decoder::new_with_limits(Cursor::new(bytes), Limits { bytes: limits::PIXELS });
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    decoder.set_transformations(Transformations::EXPAND | Transformations::STRIP_16);
    let mut reader = decoder.read_info().map_err(damaged)?;
    let Some(size) = reader.output_buffer_size().filter(|&size| size <= limits::PIXELS) else {
        return Err(Refusal::Mistaken(Mistaken::PlainPicture));
    };
    let mut buffer = vec![0; size];
    let frame = reader.next_frame(&mut buffer).map_err(damaged)?;
    reader.finish().map_err(damaged)?;
    let picture = Picture {
        bytes: buffer,
        line: frame.line_size,
        samples: frame.color_type.samples(),
        width: width as usize,
        height: height as usize,
    };
    Ok(picture.blocks())
}

/// Decoded pixels of 8 bits a sample.
#[derive(Debug)]
struct Picture {
    bytes: Vec<u8>,
    line: usize,
    /// 1 grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha.
    samples: usize,
    width: usize,
    height: usize,
}

impl Picture {
    /// A pixel's red, green and blue. Alpha is dropped, as Pillow's `convert("RGB")` does.
    fn rgb(&self, x: usize, y: usize) -> [u8; 3] {
        let at = y * self.line + x * self.samples;
        match self.bytes.get(at..at + self.samples) {
            Some([grey] | [grey, _]) => [*grey; 3],
            Some([red, green, blue, ..]) => [*red, *green, *blue],
            _ => [0; 3],
        }
    }

    /// Finds the blocks as A1111 does: black borders are cut off, then all columns whose low halves are zero counted.
    fn blocks(self) -> Option<Blocks> {
        let lit = |x: usize, y: usize| self.rgb(x, y).iter().all(|&sample| sample > 0);
        let mut columns = vec![false; self.width];
        let mut rows = vec![false; self.height];
        for (y, row) in rows.iter_mut().enumerate() {
            for (x, column) in columns.iter_mut().enumerate() {
                if lit(x, y) {
                    (*row, *column) = (true, true);
                }
            }
        }
        let ends = |lit: &[bool]| Some((lit.iter().position(|&on| on)?, lit.iter().rposition(|&on| on)? + 1));
        let ((left, right), (top, bottom)) = (ends(&columns)?, ends(&rows)?);
        let empty = |x: &usize| (top..bottom).all(|y| self.rgb(*x, y).iter().all(|sample| sample & 0x0f == 0));
        let first = (left..right).find(empty)?;
        let last = (left..right).rfind(empty)?;
        // One empty column, or blocks of different widths: only a picture.
        if first == last || first - left != right - (last + 1) || first == left {
            return None;
        }
        Some(Blocks { rows: top..bottom, columns: first - left, low: left, high: last + 1, picture: self })
    }
}

impl Blocks {
    /// The bytes that both blocks together are, unscrambled.
    pub fn bytes(self) -> impl Read {
        let line = self.columns * 3;
        let places = (0..self.rows.len() * line).map(move |index| {
            let (y, x, sample) = (self.rows.start + index / line, index % line / 3, index % 3);
            let half = |block: usize| self.picture.rgb(block + x, y).get(sample).map_or(0, |sample| sample & 0x0f);
            (half(self.low), half(self.high))
        });
        Bytes(places.zip(scrambling()).map(|((low, high), key)| (high ^ key) << 4 | (low ^ key)))
    }
}

/// What half bytes are scrambled with: a linear congruential generator, the same for every picture.
fn scrambling() -> impl Iterator<Item = u8> {
    generator().map(|value| value & 0x0f)
}

fn generator() -> impl Iterator<Item = u8> {
    let step = |state: &u32| Some(state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223));
    std::iter::successors(step(&0), step).map(|state| (state % 255) as u8)
}

/// An iterator of bytes as a stream.
struct Bytes<I>(I);

impl<I: Iterator<Item = u8>> Read for Bytes<I> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut count = 0;
        for (place, byte) in into.iter_mut().zip(&mut self.0) {
            *place = byte;
            count += 1;
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::generator;

    #[test]
    fn the_generator_gives_a1111s_numbers() {
        let first: Vec<u8> = generator().take(10).collect();
        assert_eq!(first, [253, 242, 127, 44, 157, 27, 239, 133, 38, 79]);
        let sum: u64 = generator().skip(100).take(100_000).map(u64::from).sum();
        assert_eq!(sum, 12_731_374);
    }
}
