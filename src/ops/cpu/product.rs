//! Products of rows with a frozen weight, which is read as it is stored.
//!
//! Every weight of a full-size model is used once in a pass, and 1.7 GB of halves are what a pass must read at least.
//! So halves, and values in eight bits, never lie in memory as f32: a block of the weight at a time is widened into the
//! order in which the innermost loop reads it, and stays in a core's own cache while all rows are multiplied with it.
//! The rows come in blocks, too: of a matrix, or of a feature map's windows ([`super::conv2d`]), which then need not be
//! unfolded as a whole either.
//!
//! The scheme is that of Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication" (2008), except that
//! the left factor's blocks stay row by row: broadcasting a value costs the same from there, and copying rows is cheap.

use std::ops::Range;

use half::f16;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use crate::base::eight_bits::BLOCK;

/// Steps of the inner axis in a block: a panel of this many steps fills half of a 32 KiB first-level cache.
const DEPTH: usize = 256;
/// Most columns in a block: 256 KiB of f32 in the second-level cache.
const COLUMNS: usize = 256;
/// Fewest columns that a task is given to make more tasks: with fewer, filling the left block would show.
const FEWEST_COLUMNS: usize = 64;
/// Rows of the left factor's block: 96 KiB. A multiple of [`TILE`].
const ROWS: usize = 96;
/// Most rows of a task: more would leave too few tasks, fewer would pack the weight too often.
const ROWS_OF_TASK: usize = 768;
/// Rows of the innermost tile: with two vectors of columns it needs 12 of the 16 registers that AVX2 has.
const TILE: usize = 6;
/// Tasks for each thread, so that all end at about the same time.
const TASKS_OF_THREAD: usize = 4;
/// Multiplications below which a second thread is not worth waking.
const WORTH_A_TASK: usize = 64 * 1024;
/// What columns of a task are a multiple of: two of the widest vectors.
const WIDEST: usize = 32;

/// Bytes of the blocks of both factors that a task holds, and a line of the weight; rounded up, as an allocator does.
pub(in crate::ops) const PACKED_BYTES: u64 =
    (((COLUMNS + ROWS + 1) * DEPTH * size_of::<f32>()) as u64).next_power_of_two();

/// The left factor: rows that can be read in parts.
pub(super) trait LeftRows: Sync {
    /// Writes the values of a row at some steps of the inner axis; `part` is as long as `steps`.
    fn fill(&self, row: usize, steps: Range<usize>, part: &mut [f32]);
}

/// The rows of a matrix, `inner` values each.
pub(super) struct Matrix<'a> {
    pub values: &'a [f32],
    pub inner: usize,
}

impl LeftRows for Matrix<'_> {
    fn fill(&self, row: usize, steps: Range<usize>, part: &mut [f32]) {
        part.copy_from_slice(&self.values[row * self.inner..][steps]);
    }
}

/// The numbers of a weight.
#[derive(Clone, Copy)]
pub(super) enum FrozenValues<'a> {
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
    fn widen(self, from: usize, wide: &mut [f32]) {
        match self {
            FrozenValues::Half(halves) => {
                for (wide, half) in wide.iter_mut().zip(&halves[from..]) {
                    *wide = widened(*half);
                }
            }
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

/// A half as f32, without jumps, so that the compiler makes vectors of it in the middle of other work. (The processor's
/// own instruction is available only in separate functions, eight values a call.)
#[inline(always)]
fn widened(half: f16) -> f32 {
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
pub(super) struct Right<'a> {
    pub stored: FrozenValues<'a>,
    pub order: Order<'a>,
    /// Length of the inner axis.
    pub inner: usize,
}

/// How the right factor lies.
#[derive(Clone, Copy)]
pub(super) enum Order<'a> {
    /// The values of a column lie together, one column after the other.
    Columns,
    /// The values of a step of the inner axis, for all columns, lie together, from the place that this gives.
    Steps(&'a (dyn Fn(usize) -> usize + Sync)),
}

impl Right<'_> {
    /// Puts a block into panels of `lanes` columns: a panel has, for each step, its columns' values. What lies in a
    /// panel beyond the last column is left as it is, and the result for it is not used.
    #[inline(always)]
    fn pack(self, steps: Range<usize>, columns: Range<usize>, lanes: usize, line: &mut [f32], panels: &mut [f32]) {
        let panel = lanes * steps.len();
        match self.order {
            Order::Columns => {
                let line = &mut line[..steps.len()];
                for (i, column) in columns.enumerate() {
                    self.stored.widen(column * self.inner + steps.start, line);
                    let panel = &mut panels[i / lanes * panel..][..panel];
                    for (step, value) in panel.chunks_exact_mut(lanes).zip(&*line) {
                        step[i % lanes] = *value;
                    }
                }
            }
            Order::Steps(start) => {
                for (first, panel) in columns.clone().step_by(lanes).zip(panels.chunks_exact_mut(panel)) {
                    let count = lanes.min(columns.end - first);
                    for (step, values) in steps.clone().zip(panel.chunks_exact_mut(lanes)) {
                        self.stored.widen(start(step) + first, &mut values[..count]);
                    }
                }
            }
        }
    }
}

/// Adds the product of the left factor's rows and the right factor's columns to `out`: a slice for each row, all as
/// long as there are columns.
pub(super) fn add_product(left: &impl LeftRows, right: Right<'_>, out: Vec<&mut [f32]>) {
    let (rows, columns) = (out.len(), out.first().map_or(0, |row| row.len()));
    if columns == 0 || right.inner == 0 {
        return;
    }
    let [rows_of_task, columns_of_task] = shares([rows, columns, right.inner], rayon::current_num_threads());
    let mut tasks = Vec::new();
    let mut out = out.into_iter();
    for first_row in (0..rows).step_by(rows_of_task) {
        let mut parts: Vec<Vec<&mut [f32]>> = Vec::new();
        parts.resize_with(columns.div_ceil(columns_of_task), || Vec::with_capacity(rows_of_task.min(rows)));
        for row in out.by_ref().take(rows_of_task) {
            for (part, piece) in parts.iter_mut().zip(row.chunks_mut(columns_of_task)) {
                part.push(piece);
            }
        }
        let task = |(i, out)| Task { left, right, first_row, first_column: i * columns_of_task, out };
        tasks.extend(parts.into_iter().enumerate().map(task));
    }
    if tasks.len() == 1 {
        tasks.into_iter().for_each(run);
    } else {
        tasks.into_par_iter().for_each(run);
    }
}

fn run<L: LeftRows>(task: Task<'_, '_, L>) {
    pulp::Arch::new().dispatch(task);
}

/// The rows and columns of a task.
fn shares([rows, columns, inner]: [usize; 3], threads: usize) -> [usize; 2] {
    if threads == 1 || rows * columns * inner < WORTH_A_TASK {
        return [rows, columns.min(COLUMNS)];
    }
    let wanted = TASKS_OF_THREAD * threads;
    let mut down = rows.div_ceil(ROWS_OF_TASK);
    let across = wanted.div_ceil(down).clamp(columns.div_ceil(COLUMNS), columns.div_ceil(FEWEST_COLUMNS));
    if down * across < wanted {
        down = wanted.div_ceil(across).min(rows.div_ceil(ROWS)).max(down);
    }
    let share = columns.div_ceil(across).next_multiple_of(WIDEST);
    [rows.div_ceil(down).next_multiple_of(TILE), share]
}

/// A block of the result.
struct Task<'a, 'b, L> {
    left: &'a L,
    right: Right<'a>,
    first_row: usize,
    first_column: usize,
    out: Vec<&'b mut [f32]>,
}

impl<L: LeftRows> WithSimd for Task<'_, '_, L> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let columns = self.out.first().map_or(0, |row| row.len());
        let lanes = 2 * S::F32_LANES;
        let depth = DEPTH.min(self.right.inner);
        let mut line = vec![0.0; depth];
        let mut panels = vec![0.0; columns.next_multiple_of(lanes) * depth];
        let mut block = vec![0.0; ROWS.min(self.out.len()) * depth];
        for start in (0..self.right.inner).step_by(depth) {
            let steps = start..self.right.inner.min(start + depth);
            let depth = steps.len();
            let columns = self.first_column..self.first_column + columns;
            self.right.pack(steps.clone(), columns, lanes, &mut line, &mut panels);
            for (i, out) in self.out.chunks_mut(ROWS).enumerate() {
                let first = self.first_row + i * ROWS;
                let block = &mut block[..out.len() * depth];
                for (row, part) in block.chunks_exact_mut(depth).enumerate() {
                    self.left.fill(first + row, steps.clone(), part);
                }
                for (i, panel) in panels.chunks_exact(lanes * depth).take(out[0].len().div_ceil(lanes)).enumerate() {
                    for (out, left) in out.chunks_mut(TILE).zip(block.chunks(TILE * depth)) {
                        tile(simd, left, panel, out, i * lanes);
                    }
                }
            }
        }
    }
}

/// Adds the product of up to [`TILE`] rows with a panel.
#[inline(always)]
fn tile<S: Simd>(simd: S, left: &[f32], panel: &[f32], out: &mut [&mut [f32]], column: usize) {
    match out.len() {
        6 => rows::<S, 6>(simd, left, panel, out, column),
        5 => rows::<S, 5>(simd, left, panel, out, column),
        4 => rows::<S, 4>(simd, left, panel, out, column),
        3 => rows::<S, 3>(simd, left, panel, out, column),
        2 => rows::<S, 2>(simd, left, panel, out, column),
        _ => rows::<S, 1>(simd, left, panel, out, column),
    }
}

/// The same for a number of rows; `column` is the first of the panel's.
#[inline(always)]
fn rows<S: Simd, const R: usize>(simd: S, left: &[f32], panel: &[f32], out: &mut [&mut [f32]], column: usize) {
    let (panel, _) = S::as_simd_f32s(panel);
    let (panel, _) = panel.as_chunks::<2>();
    let depth = panel.len();
    // Slices of the loop's length, by a loop that the compiler unrolls: it then sees that no index is out of bounds.
    let mut left_rows: [&[f32]; R] = [&left[..depth]; R];
    for (row, values) in left_rows.iter_mut().enumerate() {
        *values = &left[row * depth..][..depth];
    }
    let mut sums = [[simd.splat_f32s(0.0); 2]; R];
    for step in 0..depth {
        let [low, high] = panel[step];
        for row in 0..R {
            let value = simd.splat_f32s(left_rows[row][step]);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn values(count: usize, seed: usize) -> Vec<f32> {
        (0..count).map(|i| ((i * 7919 + seed * 104_729) % 199) as f32 / 64.0 - 1.5).collect()
    }

    /// By the definition, in f64.
    fn plain([rows, columns, inner]: [usize; 3], left: &[f32], right: impl Fn(usize, usize) -> f32) -> Vec<f64> {
        let value = |row: usize, column: usize| -> f64 {
            (0..inner).map(|step| f64::from(left[row * inner + step]) * f64::from(right(step, column))).sum()
        };
        (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column))).map(|(r, c)| value(r, c)).collect()
    }

    #[test]
    fn products_of_every_size_are_those_of_the_definition() {
        // Around every size of a block, down to single rows, columns and steps.
        let sizes = [
            [1, 1, 1],
            [5, 17, 3],
            [6, 16, 256],
            [7, 33, 257],
            [96, 64, 40],
            [97, 300, 513],
            [200, 31, 9],
            [800, 65, 12],
            [2, 600, 700],
        ];
        for [rows, columns, inner] in sizes {
            let left = values(rows * inner, 1);
            // Numbers that a half has, too.
            let right = values(columns * inner, 2);
            let halves: Vec<f16> = right.iter().map(|value| f16::from_f32(*value)).collect();
            // Blocks that begin and end anywhere in a row.
            let numbers: Vec<i8> = right.iter().map(|value| (value * 64.0) as i8).collect();
            let scale = |block: usize| f16::from_f32((1 + block % 7) as f32 / 256.0);
            let scales: Vec<f16> = (0..right.len().div_ceil(BLOCK)).map(scale).collect();
            let wide = |(i, number): (usize, &i8)| scales[i / BLOCK].to_f32() * f32::from(*number);
            let blocks: Vec<f32> = numbers.iter().enumerate().map(wide).collect();
            let row = |step: usize| step * columns;
            let in_blocks = FrozenValues::EightBits { values: &numbers, scales: &scales };
            let all =
                [(FrozenValues::Single(&right), &right), (FrozenValues::Half(&halves), &right), (in_blocks, &blocks)];
            for (stored, right) in all {
                for order in [Order::Columns, Order::Steps(&row)] {
                    let by_columns = matches!(order, Order::Columns);
                    let place = |step, column| if by_columns { column * inner + step } else { step * columns + column };
                    let want = plain([rows, columns, inner], &left, |step, column| right[place(step, column)]);
                    let before = values(rows * columns, 3);
                    let mut out = before.clone();
                    let matrix = Matrix { values: &left, inner };
                    add_product(&matrix, Right { stored, order, inner }, out.chunks_mut(columns).collect());
                    for (i, (out, want)) in out.iter().zip(&want).enumerate() {
                        let error = (f64::from(*out) - want - f64::from(before[i])).abs();
                        let size = format!("{rows} x {columns} x {inner}, by columns: {by_columns}");
                        assert!(error < 1e-6 * inner as f64 + 1e-5, "{size}: {i}: {out} {want}");
                    }
                }
            }
        }
    }

    #[test]
    fn every_half_is_the_same_number() {
        for half in (0..=u16::MAX).map(f16::from_bits) {
            let (wide, want) = (widened(half), half.to_f32());
            assert!(wide.to_bits() == want.to_bits() || (wide.is_nan() && want.is_nan()), "{half}: {wide}");
        }
    }

    #[test]
    fn tasks_are_many_enough_and_large_enough() {
        for threads in [1, 2, 3, 8, 16, 64] {
            for rows in [1, 16, 77, 256, 1024, 4096, 65536] {
                for columns in [3, 64, 320, 1280, 10240] {
                    let [down, across] = shares([rows, columns, 320], threads);
                    assert!(down > 0 && across > 0 && across <= COLUMNS, "{rows} x {columns}: {down} x {across}");
                    let tasks = rows.div_ceil(down) * columns.div_ceil(across);
                    let possible = rows.div_ceil(ROWS) * columns.div_ceil(FEWEST_COLUMNS);
                    let worthwhile = rows * columns * 320 >= WORTH_A_TASK;
                    assert!(
                        threads == 1 || !worthwhile || tasks >= threads.min(possible / 2),
                        "{rows} x {columns} for {threads}: {tasks} tasks"
                    );
                }
            }
        }
    }
}
