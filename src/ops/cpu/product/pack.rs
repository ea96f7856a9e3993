//! The right factor of a product: a frozen weight, read as it is stored and put in the order of the innermost loop.

use std::ops::Range;

use half::f16;

use super::shuffle::Shuffles;
use super::tile::DEPTH;
use crate::base::eight_bits::BLOCK;

/// Columns that are put side by side at a time.
pub(in crate::ops::cpu) const LINES: usize = 8;

/// Room for the values of a few columns: a block of each.
pub(in crate::ops::cpu) type Lines = [[f32; DEPTH]; LINES];

/// The numbers of a weight.
#[derive(Clone, Copy)]
pub(in crate::ops::cpu) enum FrozenValues<'a> {
    Half(&'a [f16]),
    Single(&'a [f32]),
    /// A scale for each [`BLOCK`] of the values.
    EightBits {
        values: &'a [i8],
        scales: &'a [f16],
    },
}

impl FrozenValues<'_> {
    /// The numbers from a place on, as f32.
    #[inline(always)]
    pub(super) fn widen(self, shuffles: Shuffles, from: usize, wide: &mut [f32]) {
        match self {
            FrozenValues::Half(halves) => shuffles.widen(&halves[from..from + wide.len()], wide),
            FrozenValues::Single(values) => wide.copy_from_slice(&values[from..from + wide.len()]),
            FrozenValues::EightBits { values, scales } => {
                let (mut at, mut rest) = (from, wide);
                while !rest.is_empty() {
                    // Up to the end of a block: what is read may begin and end within one.
                    let (now, later) = rest.split_at_mut((BLOCK - at % BLOCK).min(rest.len()));
                    let scale = widened(scales[at / BLOCK]);
                    for (wide, value) in now.iter_mut().zip(&values[at..]) {
                        *wide = scale * f32::from(*value);
                    }
                    at += now.len();
                    rest = later;
                }
            }
        }
    }
}

/// A half as f32, without jumps, so that the compiler makes vectors of it in the middle of other work.
#[inline(always)]
pub(super) fn widened(half: f16) -> f32 {
    /// The exponents' biases differ by this.
    const BIAS: u32 = 112 << 23;
    /// The smallest normal half.
    const SMALLEST: u32 = 113 << 23;
    let bits = u32::from(half.to_bits());
    let magnitude = (bits & 0x7fff) << 13;
    let below = (f32::from_bits(magnitude + SMALLEST) - f32::from_bits(SMALLEST)).to_bits();
    let normal = magnitude + BIAS;
    let not_finite = normal + BIAS;
    let magnitude = match magnitude >> 23 {
        0 => below,
        0x1f => not_finite,
        _ => normal,
    };
    f32::from_bits(magnitude | (bits & 0x8000) << 16)
}

/// The right factor: a frozen weight, and how it lies.
#[derive(Clone, Copy)]
pub(in crate::ops::cpu) struct Right<'a> {
    pub stored: FrozenValues<'a>,
    pub order: Order<'a>,
    /// Length of the inner axis.
    pub inner: usize,
}

/// How the right factor lies.
#[derive(Clone, Copy)]
pub(in crate::ops::cpu) enum Order<'a> {
    /// The values of a column lie together: those of the first column from a place on, those of others so much further.
    Columns { first: usize, apart: usize },
    /// The values of a step of the inner axis, for all columns, lie together, from the place that this gives.
    Steps(&'a (dyn Fn(usize) -> usize + Sync)),
}

impl Right<'_> {
    /// Puts a block of at most [`DEPTH`] steps into panels of `lanes` columns, a multiple of eight where the processor has
    /// vectors: a panel has, for each step, its columns' values. What lies in a panel beyond the last column is left as it is,
    /// and the result for it is not used.
    #[inline(always)]
    pub(in crate::ops::cpu) fn pack(
        self,
        shuffles: Shuffles,
        steps: Range<usize>,
        columns: Range<usize>,
        lanes: usize,
        lines: &mut Lines,
        panels: &mut [f32],
    ) {
        let panel = lanes * steps.len();
        let together = LINES.min(lanes);
        match self.order {
            Order::Columns { first, apart } => {
                for (from, panel) in columns.clone().step_by(lanes).zip(panels.chunks_exact_mut(panel)) {
                    let to = columns.end.min(from + lanes);
                    for column in (from..to).step_by(together) {
                        let count = together.min(to - column);
                        for (i, line) in lines[..count].iter_mut().enumerate() {
                            let place = first + (column + i) * apart + steps.start;
                            self.stored.widen(shuffles, place, &mut line[..steps.len()]);
                        }
                        shuffles.side_by_side(&lines[..together], steps.len(), &mut panel[column - from..], lanes);
                    }
                }
            }
            Order::Steps(start) => {
                for (first, panel) in columns.clone().step_by(lanes).zip(panels.chunks_exact_mut(panel)) {
                    let count = lanes.min(columns.end - first);
                    for (step, values) in steps.clone().zip(panel.chunks_exact_mut(lanes)) {
                        self.stored.widen(shuffles, start(step) + first, &mut values[..count]);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_half_is_the_same_number() {
        let halves: Vec<f16> = (0..=u16::MAX).map(f16::from_bits).collect();
        let mut by_vectors = vec![0.0; halves.len()];
        Shuffles::new().widen(&halves, &mut by_vectors);
        for (half, by_vectors) in halves.into_iter().zip(by_vectors) {
            for wide in [widened(half), by_vectors] {
                let want = half.to_f32();
                assert!(wide.to_bits() == want.to_bits() || (wide.is_nan() && want.is_nan()), "{half}: {wide}");
            }
        }
    }
}
