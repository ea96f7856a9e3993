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

mod pack;
mod shuffle;
mod tile;

use std::ops::Range;

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

pub(super) use pack::{FrozenValues, LINES, Order, Right};
pub(super) use shuffle::Shuffles;
pub(super) use tile::{DEPTH, MOST_ROWS, STRIDE, WIDEST, dispatch, panel_width, tile, tile_rows};

/// Most columns in a block: 256 KiB of f32 in the second-level cache.
const COLUMNS: usize = 256;
/// Fewest columns that a task is given to make more tasks: with fewer, filling the left block would show.
const FEWEST_COLUMNS: usize = 64;
/// Fewest rows that a task is given to make more tasks: with fewer, packing the weight would show.
const FEWEST_ROWS: usize = 96;
/// Most rows of a task: more would leave too few tasks, fewer would pack the weight too often.
const ROWS_OF_TASK: usize = 768;
/// Tasks for each thread, so that all end at about the same time.
const TASKS_OF_THREAD: usize = 4;
/// Multiplications below which a second thread is not worth waking.
const WORTH_A_TASK: usize = 64 * 1024;

/// Bytes of the blocks of both factors that a task holds, and of a few lines of the weight.
pub(super) const TASK_BYTES: u64 = ((COLUMNS + MOST_ROWS + LINES) * STRIDE * size_of::<f32>()) as u64;

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
        tasks.into_iter().for_each(dispatch);
    } else {
        tasks.into_par_iter().for_each(dispatch);
    }
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
        down = wanted.div_ceil(across).min(rows.div_ceil(FEWEST_ROWS)).max(down);
    }
    let share = columns.div_ceil(across).next_multiple_of(WIDEST);
    [rows.div_ceil(down).next_multiple_of(MOST_ROWS), share]
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
        let (lanes, tile_rows) = (panel_width::<S>(), tile_rows::<S>());
        let depth = DEPTH.min(self.right.inner);
        let shuffles = Shuffles::new();
        let mut lines = [[0.0; DEPTH]; LINES];
        let mut panels = vec![0.0; columns.next_multiple_of(lanes) * depth];
        let mut block = [[0.0; STRIDE]; MOST_ROWS];
        for start in (0..self.right.inner).step_by(depth) {
            let steps = start..self.right.inner.min(start + depth);
            let columns = self.first_column..self.first_column + columns;
            self.right.pack(shuffles, steps.clone(), columns.clone(), lanes, &mut lines, &mut panels);
            let panels = panels.chunks_exact(lanes * steps.len()).take(columns.len().div_ceil(lanes));
            for (i, out) in self.out.chunks_mut(tile_rows).enumerate() {
                let first = self.first_row + i * tile_rows;
                for (row, part) in block[..out.len()].iter_mut().enumerate() {
                    self.left.fill(first + row, steps.clone(), &mut part[..steps.len()]);
                }
                for (number, panel) in panels.clone().enumerate() {
                    tile(simd, &block, panel, out, number * lanes);
                }
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use half::f16;

    use super::*;
    use crate::base::eight_bits::BLOCK;

    /// The widest vectors that tasks may use now: by number, from all that the processor has down to none.
    static WIDTH: AtomicUsize = AtomicUsize::new(0);

    /// Does a test's work with each width of vectors that the processor has, one after the other.
    pub(in crate::ops::cpu) fn with_every_width(work: impl Fn()) {
        static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
        let _guard = ONE_AT_A_TIME.lock();
        for width in 0..3 {
            WIDTH.store(width, Ordering::SeqCst);
            work();
        }
        WIDTH.store(0, Ordering::SeqCst);
    }

    pub(super) fn dispatch(work: impl WithSimd<Output = ()>) {
        match WIDTH.load(Ordering::SeqCst) {
            0 => pulp::Arch::new().dispatch(work),
            #[cfg(target_arch = "x86_64")]
            1 => match pulp::x86::V3::try_new() {
                Some(simd) => Simd::vectorize(simd, work),
                None => Simd::vectorize(pulp::Scalar, work),
            },
            _ => Simd::vectorize(pulp::Scalar, work),
        }
    }

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
                for order in [Order::Columns { first: 0, apart: inner }, Order::Steps(&row)] {
                    let by_columns = matches!(order, Order::Columns { .. });
                    let place = |step, column| if by_columns { column * inner + step } else { step * columns + column };
                    let want = plain([rows, columns, inner], &left, |step, column| right[place(step, column)]);
                    let before = values(rows * columns, 3);
                    with_every_width(|| {
                        let mut out = before.clone();
                        let matrix = Matrix { values: &left, inner };
                        add_product(&matrix, Right { stored, order, inner }, out.chunks_mut(columns).collect());
                        for (i, (out, want)) in out.iter().zip(&want).enumerate() {
                            let error = (f64::from(*out) - want - f64::from(before[i])).abs();
                            let size = format!("{rows} x {columns} x {inner}, by columns: {by_columns}");
                            assert!(error < 1e-6 * inner as f64 + 1e-5, "{size}: {i}: {out} {want}");
                        }
                    });
                }
            }
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
                    let possible = rows.div_ceil(FEWEST_ROWS) * columns.div_ceil(FEWEST_COLUMNS);
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
