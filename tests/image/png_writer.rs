//! A PNG encoder for tests (W3C PNG, 3rd edition): any colour type and depth, interlaced or not, any filter.

use std::io::Write;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use image::RgbImage;

use crate::made::png_chunk;

/// How a picture is written.
#[derive(Debug, Clone)]
pub struct Png {
    /// 0 grey, 2 RGB, 3 palette, 4 grey and alpha, 6 RGB and alpha.
    pub colour: u8,
    pub depth: u8,
    pub interlaced: bool,
    /// The filter of all rows; 5 for each in turn.
    pub filter: u8,
    /// A transparent colour, or transparent entries of the palette.
    pub transparent: bool,
    /// Chunks before the data.
    pub chunks: Vec<Vec<u8>>,
    /// Bytes in each chunk of data.
    pub piece: usize,
}

impl Png {
    pub fn new(colour: u8, depth: u8) -> Self {
        Self { colour, depth, interlaced: false, filter: 5, transparent: false, chunks: Vec::new(), piece: usize::MAX }
    }

    pub fn encode(&self, picture: &RgbImage) -> Vec<u8> {
        let (width, height) = picture.dimensions();
        let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
        let header = [self.depth, self.colour, 0, 0, self.interlaced.into()];
        file.extend(png_chunk(b"IHDR", &[&width.to_be_bytes()[..], &height.to_be_bytes(), &header].concat()));
        self.chunks.iter().for_each(|chunk| file.extend(chunk));
        if self.colour == 3 {
            let palette: Vec<u8> =
                (0..1u32 << self.depth).flat_map(|at| [at * 7, at * 50, 255 - at].map(|v| v as u8)).collect();
            file.extend(png_chunk(b"PLTE", &palette));
        }
        if self.transparent {
            let body: &[u8] = match self.colour {
                0 => &[0, 1],
                2 => &[0, 10, 0, 20, 0, 30],
                _ => &[0, 100],
            };
            file.extend(png_chunk(b"tRNS", body));
        }
        let mut raw = Vec::new();
        let passes: &[[usize; 4]] = if self.interlaced {
            &[[0, 0, 8, 8], [4, 0, 8, 8], [0, 4, 4, 8], [2, 0, 4, 4], [0, 2, 2, 4], [1, 0, 2, 2], [0, 1, 1, 2]]
        } else {
            &[[0, 0, 1, 1]]
        };
        for &[left, top, across, down] in passes {
            let columns: Vec<u32> = (left as u32..width).step_by(across).collect();
            let mut above = Vec::new();
            for (number, y) in (top as u32..height).step_by(down).enumerate().filter(|_| !columns.is_empty()) {
                let row = self.row(picture, &columns, y);
                let filter = if self.filter == 5 { (number % 5) as u8 } else { self.filter };
                raw.push(filter);
                raw.extend(self.filtered(filter, &row, &above));
                above = row;
            }
        }
        let mut packer = ZlibEncoder::new(Vec::new(), Compression::default());
        packer.write_all(&raw).unwrap();
        for piece in packer.finish().unwrap().chunks(self.piece) {
            file.extend(png_chunk(b"IDAT", piece));
        }
        file.extend(png_chunk(b"IEND", &[]));
        file
    }

    /// The samples of a row, packed.
    fn row(&self, picture: &RgbImage, columns: &[u32], y: u32) -> Vec<u8> {
        let mut bits = String::new();
        for &x in columns {
            let [r, g, b] = picture.get_pixel(x, y).0;
            let alpha = (x * 5 + y * 3) as u8;
            let samples = match self.colour {
                0 => vec![g],
                2 => vec![r, g, b],
                3 => vec![g >> (8 - self.depth)],
                4 => vec![g, alpha],
                _ => vec![r, g, b, alpha],
            };
            for sample in samples {
                let sample = u32::from(sample);
                let value = match (self.colour, self.depth) {
                    (3, _) => sample,
                    // Not the same byte twice, so that it is seen which is used, and how it is rounded.
                    (_, 16) => sample << 8 | (sample ^ 0x5a),
                    (_, depth) => sample >> (8 - depth),
                };
                bits += &format!("{value:0width$b}", width = usize::from(self.depth));
            }
        }
        let byte = |bits: &[u8]| {
            let bits = std::str::from_utf8(bits).unwrap();
            u8::from_str_radix(&format!("{bits:0<8}"), 2).unwrap()
        };
        bits.as_bytes().chunks(8).map(byte).collect()
    }

    fn filtered(&self, filter: u8, row: &[u8], above: &[u8]) -> Vec<u8> {
        let channels = [1, 0, 3, 1, 2, 0, 4][usize::from(self.colour)];
        let back = (channels * usize::from(self.depth)).div_ceil(8);
        let get = |row: &[u8], at: Option<usize>| at.and_then(|at| row.get(at)).map_or(0, |&byte| i32::from(byte));
        let guess = |at: usize| {
            let (a, b, c) = (get(row, at.checked_sub(back)), get(above, Some(at)), get(above, at.checked_sub(back)));
            match filter {
                0 => 0,
                1 => a,
                2 => b,
                3 => (a + b) / 2,
                _ => [a, b, c].into_iter().min_by_key(|&value| (a + b - c - value).abs()).unwrap(),
            }
        };
        row.iter().enumerate().map(|(at, &byte)| byte.wrapping_sub(guess(at) as u8)).collect()
    }
}
