//! What a JPEG's frame header says (T.81, B.2.2): components, and how their blocks lie in the picture.

use super::Refusal::{self, Damaged, Variant};
use super::be16;

/// A component: brightness, a colour.
#[derive(Debug)]
pub(super) struct Component {
    pub id: u8,
    /// Blocks of it in an MCU, across and down.
    pub sampling: (usize, usize),
    /// The place of its quantisation table.
    pub quanta: usize,
    /// Blocks in a row of MCUs.
    pub stride: usize,
    /// Blocks in a scan of this component alone, across and down.
    pub alone: (usize, usize),
    /// The first coefficient of each block, as far as it is known.
    pub levels: Vec<i32>,
    /// Which coefficients of each block are not zero; kept for progressive files, where the next scan depends on it.
    pub nonzero: Vec<u64>,
    /// The lowest bit of each coefficient that is known, 255 for none.
    pub known: [u8; 64],
}

/// The frame of a picture.
#[derive(Debug)]
pub(super) struct Frame {
    pub progressive: bool,
    pub size: (usize, usize),
    /// MCUs across and down.
    pub mcus: (usize, usize),
    /// An MCU's width and height in pixels.
    pub mcu: (usize, usize),
    pub components: Vec<Component>,
}

impl Frame {
    /// Reads a frame header of the kind that `marker` names.
    pub(super) fn parse(marker: u8, body: &[u8]) -> Result<Self, Refusal> {
        let process = match marker {
            0xc0..=0xc2 => Ok(marker == 0xc2),
            0xc3 => Err("lossless JPEG"),
            0xc5..=0xc7 | 0xcd..=0xcf => Err("hierarchical JPEG"),
            _ => Err("arithmetic coding"),
        };
        let progressive = process.map_err(Variant)?;
        let [precision, _, _, _, _, count, list @ ..] = body else { return Err(HEADER) };
        if *precision != 8 {
            return Err(Variant("other than 8 bits a channel"));
        }
        let (Some(height), Some(width)) = (be16(body, 1), be16(body, 3)) else { return Err(HEADER) };
        let list = list.get(..3 * usize::from(*count)).ok_or(HEADER)?;
        if !matches!(count, 1 | 3 | 4) {
            return Err(Variant("neither 1, 3 nor 4 components"));
        }
        let mut most = (0, 0);
        for part in list.chunks(3) {
            let (across, down) = (usize::from(part[1] >> 4), usize::from(part[1] & 15));
            if !(1..=4).contains(&across) || !(1..=4).contains(&down) || part[2] > 3 {
                return Err(HEADER);
            }
            most = (most.0.max(across), most.1.max(down));
        }
        let mcus = (width.div_ceil(8 * most.0), height.div_ceil(8 * most.1));
        let component = |part: &[u8]| {
            let sampling = (usize::from(part[1] >> 4), usize::from(part[1] & 15));
            let stride = mcus.0 * sampling.0;
            let blocks = stride * mcus.1 * sampling.1;
            Component {
                id: part[0],
                sampling,
                quanta: usize::from(part[2]),
                stride,
                alone: ((width * sampling.0).div_ceil(8 * most.0), (height * sampling.1).div_ceil(8 * most.1)),
                levels: vec![0; blocks],
                nonzero: vec![0; if progressive { blocks } else { 0 }],
                known: [255; 64],
            }
        };
        Ok(Self {
            progressive,
            size: (width, height),
            mcus,
            mcu: (8 * most.0, 8 * most.1),
            components: list.chunks(3).map(component).collect(),
        })
    }
}

/// What is wrong with a header that cannot be.
pub(super) const HEADER: Refusal = Damaged("one of its headers makes no sense");
