//! From pixels and windows to what they are at the points, and back, in one direction; and the same in both.

use std::f32::consts::{FRAC_1_SQRT_2, SQRT_2};

use pulp::Simd;

use super::{REACH, SIDE, WINDOW};

/// Transforms rows of `$from` values, and then the columns of that, by a function that makes `$to` of so many. No function of
/// functions: what one is given is compiled without the vectors of its caller.
macro_rules! both_ways {
    ($simd:ident, $lines:ident, $from:ident, $transformed:ident, $to:ident) => {{
        let mut rows = [[$simd.splat_f32s(0.0); $to]; $from];
        for (row, line) in rows.iter_mut().zip($lines) {
            *row = $transformed($simd, line);
        }
        let mut all = [[$simd.splat_f32s(0.0); $to]; $to];
        for x in 0..$to {
            let mut column = [$simd.splat_f32s(0.0); $from];
            for (value, row) in column.iter_mut().zip(&rows) {
                *value = row[x];
            }
            for (row, value) in all.iter_mut().zip($transformed($simd, column)) {
                row[x] = value;
            }
        }
        all
    }};
}

pub(super) use both_ways;

/// Six pixels at the points 0, plus and minus the root of 1/2, plus and minus the root of 2, infinity.
#[inline(always)]
pub(super) fn input<S: Simd>(simd: S, d: [S::f32s; REACH]) -> [S::f32s; REACH] {
    let (small, large) = (plus(simd, d[4], -2.0, d[2]), plus(simd, d[4], -0.5, d[2]));
    let (odd_small, odd_large) = (plus(simd, d[3], -2.0, d[1]), plus(simd, d[3], -0.5, d[1]));
    [
        plus(simd, simd.add_f32s(d[0], d[4]), -2.5, d[2]),
        plus(simd, small, FRAC_1_SQRT_2, odd_small),
        plus(simd, small, -FRAC_1_SQRT_2, odd_small),
        plus(simd, large, SQRT_2, odd_large),
        plus(simd, large, -SQRT_2, odd_large),
        plus(simd, simd.add_f32s(d[1], d[5]), -2.5, d[3]),
    ]
}

/// Three numbers of a window at the points, divided by what the polynomials of the input have there.
#[inline(always)]
pub(super) fn window<S: Simd>(simd: S, g: [S::f32s; WINDOW]) -> [S::f32s; REACH] {
    const SMALL: f32 = -2.0 / 3.0;
    const LARGE: f32 = 1.0 / 6.0;
    let small = times(simd, SMALL, plus(simd, g[0], 0.5, g[2]));
    let large = times(simd, LARGE, plus(simd, g[0], 2.0, g[2]));
    [
        g[0],
        plus(simd, small, SMALL * FRAC_1_SQRT_2, g[1]),
        plus(simd, small, -SMALL * FRAC_1_SQRT_2, g[1]),
        plus(simd, large, LARGE * SQRT_2, g[1]),
        plus(simd, large, -LARGE * SQRT_2, g[1]),
        g[2],
    ]
}

/// Four pixels of what there is at the points.
#[inline(always)]
pub(super) fn output<S: Simd>(simd: S, m: [S::f32s; REACH]) -> [S::f32s; SIDE] {
    let (even_small, odd_small) = (simd.add_f32s(m[1], m[2]), simd.sub_f32s(m[1], m[2]));
    let (even_large, odd_large) = (simd.add_f32s(m[3], m[4]), simd.sub_f32s(m[3], m[4]));
    [
        simd.add_f32s(m[0], simd.add_f32s(even_small, even_large)),
        plus(simd, times(simd, SQRT_2, odd_large), FRAC_1_SQRT_2, odd_small),
        plus(simd, times(simd, 2.0, even_large), 0.5, even_small),
        plus(simd, plus(simd, m[5], 2.0 * SQRT_2, odd_large), 0.5 * FRAC_1_SQRT_2, odd_small),
    ]
}

/// `sum + factor * value`.
#[inline(always)]
fn plus<S: Simd>(simd: S, sum: S::f32s, factor: f32, value: S::f32s) -> S::f32s {
    simd.mul_add_e_f32s(simd.splat_f32s(factor), value, sum)
}

#[inline(always)]
fn times<S: Simd>(simd: S, factor: f32, value: S::f32s) -> S::f32s {
    simd.mul_f32s(simd.splat_f32s(factor), value)
}
