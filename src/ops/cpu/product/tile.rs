//! The innermost loops: a few rows of the left factor times two vectors of columns, with all sums in registers.

use pulp::{Simd, WithSimd};

/// Most steps of the inner axis in a block.
pub(in crate::ops::cpu) const DEPTH: usize = 256;
/// Most rows of a tile.
pub(in crate::ops::cpu) const MOST_ROWS: usize = 12;
/// Numbers from the beginning of a row of the left block to the next one's: a cache line more than a row has, or all rows would
/// want the same few places of the first-level cache.
pub(in crate::ops::cpu) const STRIDE: usize = DEPTH + 16;
/// Columns in a multiple of which work is divided: two of the widest vectors.
pub(in crate::ops::cpu) const WIDEST: usize = 32;

/// Runs work with the widest vectors that this processor has.
pub(in crate::ops::cpu) fn dispatch(work: impl WithSimd<Output = ()>) {
    #[cfg(test)]
    return super::tests::dispatch(work);
    #[cfg(not(test))]
    pulp::Arch::new().dispatch(work);
}

/// Columns of a panel.
#[inline(always)]
pub(in crate::ops::cpu) const fn panel_width<S: Simd>() -> usize {
    2 * S::F32_LANES
}

/// Rows of a tile: with two vectors of columns it fills the registers that there are, 32 with the vectors of AVX-512 and NEON
/// and 16 with AVX2's.
#[inline(always)]
pub(in crate::ops::cpu) const fn tile_rows<S: Simd>() -> usize {
    if matches!(S::F32_LANES, 4 | 16) { MOST_ROWS } else { MOST_ROWS / 2 }
}

/// Adds the product of rows, at most [`MOST_ROWS`], with a panel: for each step of the inner axis, [`panel_width`] columns' values.
/// `column` is where the panel's columns begin in the rows of `out`, which may end within them.
#[inline(always)]
pub(in crate::ops::cpu) fn tile<S: Simd, const W: usize>(
    simd: S,
    left: &[[f32; W]],
    panel: &[f32],
    out: &mut [&mut [f32]],
    column: usize,
) {
    macro_rules! by_rows {
        ($($count:literal)*) => {
            match out.len() {
                $($count => rows::<S, $count, W>(simd, left, panel, out, column),)*
                _ => rows::<S, 1, W>(simd, left, panel, out, column),
            }
        };
    }
    if tile_rows::<S>() == MOST_ROWS { by_rows!(12 11 10 9 8 7 6 5 4 3 2) } else { by_rows!(6 5 4 3 2) }
}

/// The same for a number of rows that the compiler knows.
#[inline(always)]
fn rows<S: Simd, const R: usize, const W: usize>(
    simd: S,
    left: &[[f32; W]],
    panel: &[f32],
    out: &mut [&mut [f32]],
    column: usize,
) {
    let (panel, _) = S::as_simd_f32s(panel);
    let (panel, _) = panel.as_chunks::<2>();
    let left: &[[f32; W]; R] = left[..R].as_array().expect("as many rows");
    let mut sums = [[simd.splat_f32s(0.0); 2]; R];
    // The bound is known, so that no index is looked at in the loop.
    for (step, &[low, high]) in panel.iter().enumerate().take(W) {
        for row in 0..R {
            let value = simd.splat_f32s(left[row][step]);
            sums[row][0] = simd.mul_add_e_f32s(value, low, sums[row][0]);
            sums[row][1] = simd.mul_add_e_f32s(value, high, sums[row][1]);
        }
    }
    for (out, sums) in out.iter_mut().zip(sums) {
        let out = &mut out[column..];
        let (vectors, _) = S::as_mut_simd_f32s(out);
        if let [low, high, ..] = vectors {
            *low = simd.add_f32s(*low, sums[0]);
            *high = simd.add_f32s(*high, sums[1]);
            continue;
        }
        // The last columns do not fill a panel.
        let (low, high) = out.split_at_mut(S::F32_LANES.min(out.len()));
        for (out, sum) in [low, high].into_iter().zip(sums) {
            let before = simd.partial_load_f32s(out);
            simd.partial_store_f32s(out, simd.add_f32s(before, sum));
        }
    }
}
