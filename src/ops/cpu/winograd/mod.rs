//! Convolutions with windows of 3 x 3 and a stride of 1, with a quarter of the multiplications: Winograd's F(4 x 4, 3 x 3) (Lavin
//! and Gray, "Fast Algorithms for Convolutional Neural Networks", 2015).
//!
//! A tile of 4 x 4 results needs 6 x 6 pixels. Both it and the window are taken as polynomials and evaluated at six points in each
//! direction, 36 in all; at each of them what was a convolution is a product over the channels. The points are 0, infinity, and
//! plus and minus the square roots of 1/2 and 2: with those no number in the transforms is large, and results are nearer to the
//! direct ones than with 1 and 2. The weight is evaluated a block at a time, too, in a core's cache, so that it lies in memory as
//! it is stored.

mod transforms;

use std::cell::RefCell;
use std::ops::Range;

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::product::{DEPTH, LINES, MOST_ROWS, Right, Shuffles, WIDEST, dispatch, panel_width, tile, tile_rows};
use transforms::{both_ways, input, output, window};

/// Pixels of a tile of the result, along each side.
const SIDE: usize = 4;
/// Pixels of the input that it needs.
const REACH: usize = 6;
/// Points of evaluation.
const POINTS: usize = REACH * REACH;
/// Numbers of a window, along each side and in all.
const WINDOW: usize = 3;
const TAPS: usize = WINDOW * WINDOW;
/// Most channels in a block: the evaluated weight then has 576 KiB.
const CHANNELS: usize = 128;
/// Numbers from row to row of the evaluated input: a cache line more than there are.
const ROW: usize = CHANNELS + 16;
/// Numbers between what belongs to one point and to the next, besides what there is: a cache line.
const GAP: usize = 16;
/// Tiles that are computed by a task, if it is not a row of tiles alone that has more.
const TILES_OF_TASK: usize = 128;
/// Fewest, to make more tasks: with fewer, evaluating the weight would show.
const FEWEST_TILES: usize = 32;
/// Tasks for each thread.
const TASKS_OF_THREAD: usize = 4;

/// Most bytes of the evaluated input, if it is not a task's alone that has more: what has more is done in turns.
pub(in crate::ops) const EVALUATED_BYTES: usize = 12 << 20;
/// Bytes of a task's blocks.
pub(in crate::ops) const TASK_BYTES: u64 =
    (size_of::<f32>() * ((TAPS + POINTS) * CHANNELS + POINTS * TILES_OF_TASK) * WIDEST) as u64;

/// A block of the evaluated input: rows of channels, one for each tile, at a point.
type Block = [[f32; ROW]; MOST_ROWS];

/// A feature map, and the tiles of the convolution's result.
#[derive(Clone, Copy)]
pub(super) struct Tiles<'a> {
    /// `[B, height, width, channels]`.
    values: &'a [f32],
    size: [usize; 2],
    channels: usize,
    /// Height and width of the result.
    result: [usize; 2],
    /// Zeros above and to the left.
    padding: [usize; 2],
    /// Rows of tiles in a sample, and tiles in a row.
    grid: [usize; 2],
}

impl<'a> Tiles<'a> {
    /// For `result` pixels of a map of `size` pixels.
    pub(super) fn new(
        values: &'a [f32],
        [size, result]: [[usize; 2]; 2],
        channels: usize,
        padding: [usize; 2],
    ) -> Self {
        Self { values, size, channels, result, padding, grid: result.map(|side| side.div_ceil(SIDE)) }
    }

    /// Whether this is faster than the product of all windows.
    pub(super) fn are_worthwhile(&self, outputs: usize) -> bool {
        /// What evaluating the weight costs more than packing it, in multiplications and additions with it (measured: with two
        /// tiles windows are faster, with four they are not).
        const EVALUATION: usize = 250;
        let batch = self.samples();
        let [pixels, tiles] = [self.result, self.grid].map(|[down, across]| batch * down * across);
        self.channels >= 16 && outputs >= 16 && tiles * POINTS * 5 / 4 + EVALUATION < pixels * TAPS
    }

    fn samples(&self) -> usize {
        self.values.len() / (self.size[0] * self.size[1] * self.channels).max(1)
    }

    /// Channels in a block: even parts, so that the last one is no remainder.
    fn block(&self) -> usize {
        self.channels.div_ceil(self.channels.div_ceil(CHANNELS)).next_multiple_of(16).min(CHANNELS)
    }

    fn blocks(&self) -> usize {
        self.channels.div_ceil(self.block())
    }

    /// The channels of a block.
    fn steps(&self, block: usize) -> Range<usize> {
        let start = block * self.block();
        start..self.channels.min(start + self.block())
    }

    /// Some channels of the pixels that a tile needs; none where they lie outside.
    #[inline(always)]
    fn pixels(&self, tile: usize, steps: Range<usize>) -> [[Option<&'a [f32]>; REACH]; REACH] {
        let [down, across] = self.grid;
        let (sample, y, x) = (tile / (down * across), tile / across % down, tile % across);
        let inside = |place: usize, padding: usize, side: usize| place.checked_sub(padding).filter(|at| *at < side);
        std::array::from_fn(|i| {
            let y = inside(SIDE * y + i, self.padding[0], self.size[0]);
            std::array::from_fn(|j| {
                let (y, x) = (y?, inside(SIDE * x + j, self.padding[1], self.size[1])?);
                let start = ((sample * self.size[0] + y) * self.size[1] + x) * self.channels;
                Some(&self.values[start..][steps.clone()])
            })
        })
    }
}

/// Rows of tiles whose results one task after the other computes, some columns each.
struct Span {
    first_tile: usize,
    tiles: usize,
    pixels: usize,
}

/// Adds the convolution of a map with a window, each of whose nine taps is a weight, to `out` `[B, H', W', outputs]`.
pub(super) fn add_convolution(tiles: Tiles<'_>, taps: [Right<'_>; TAPS], mut out: &mut [f32], outputs: usize) {
    let spans = spans(tiles, outputs, rayon::current_num_threads());
    let evaluated_of = |span: &Span| span.tiles.div_ceil(MOST_ROWS) * tiles.blocks() * POINTS;
    let most = EVALUATED_BYTES / size_of::<Block>();
    let mut evaluated = EVALUATED.take();
    let mut rest = spans.as_slice();
    while !rest.is_empty() {
        let mut count = 0;
        let fits = |span: &&Span| {
            count += evaluated_of(span);
            count <= most
        };
        let now = rest.iter().take_while(fits).count().max(1);
        let (now, later) = rest.split_at(now);
        rest = later;
        let needed = now.iter().map(evaluated_of).sum();
        if evaluated.len() < needed {
            evaluated.resize(needed, [[0.0; ROW]; MOST_ROWS]);
        }
        let mut tasks = Vec::new();
        let mut blocks = evaluated.as_mut_slice();
        let mut evaluations = Vec::new();
        for span in now {
            let (own, others) = blocks.split_at_mut(evaluated_of(span));
            blocks = others;
            for (i, block) in own.chunks_exact_mut(tiles.blocks() * POINTS).enumerate() {
                let first = span.first_tile + i * MOST_ROWS;
                let count = MOST_ROWS.min(span.first_tile + span.tiles - first);
                evaluations.push(Evaluation { tiles, first, count, block });
            }
        }
        evaluations.into_par_iter().for_each(dispatch);
        let mut blocks = evaluated.as_slice();
        for span in now {
            let (own, others) = blocks.split_at(evaluated_of(span));
            blocks = others;
            let (pixels, after) = out.split_at_mut(span.pixels * outputs);
            out = after;
            let mut parts: Vec<Vec<&mut [f32]>> = Vec::new();
            parts.resize_with(outputs.div_ceil(WIDEST), || Vec::with_capacity(span.pixels));
            for pixel in pixels.chunks_exact_mut(outputs) {
                for (part, piece) in parts.iter_mut().zip(pixel.chunks_mut(WIDEST)) {
                    part.push(piece);
                }
            }
            let task = |(i, out)| Task { tiles, taps, span, blocks: own, first_column: i * WIDEST, out };
            tasks.extend(parts.into_iter().enumerate().map(task));
        }
        tasks.into_par_iter().for_each(dispatch);
    }
    EVALUATED.set(evaluated);
}

thread_local! {
    /// Kept from one convolution to the next, since a core that gets new memory from the system waits for it longer than for
    /// the products.
    static EVALUATED: RefCell<Vec<Block>> = const { RefCell::new(Vec::new()) };
    static ROOM: RefCell<Room> = const { RefCell::new(Room { taps: Vec::new(), weight: Vec::new(), sums: Vec::new() }) };
}

/// A task's blocks.
#[derive(Default)]
struct Room {
    taps: Vec<f32>,
    weight: Vec<f32>,
    sums: Vec<f32>,
}

fn spans(tiles: Tiles<'_>, outputs: usize, threads: usize) -> Vec<Span> {
    let ([down, across], [height, width]) = (tiles.grid, tiles.result);
    let rows = tiles.samples() * down;
    let wanted = (TASKS_OF_THREAD * threads).div_ceil(outputs.div_ceil(WIDEST));
    let most = (rows * across).div_ceil(wanted).clamp(FEWEST_TILES, TILES_OF_TASK);
    let rows_of_span = rows.div_ceil((rows * across).div_ceil(most)).min((most / across).max(1));
    let pixels_of = |row: usize| SIDE.min(height - row % down * SIDE) * width;
    let span = |first: usize| {
        let rows = first..rows.min(first + rows_of_span);
        Span { first_tile: first * across, tiles: rows.len() * across, pixels: rows.map(pixels_of).sum() }
    };
    (0..rows).step_by(rows_of_span).map(span).collect()
}

/// Evaluates some tiles of the input.
struct Evaluation<'a, 'b> {
    tiles: Tiles<'a>,
    first: usize,
    count: usize,
    /// For each block of channels and each point.
    block: &'b mut [Block],
}

impl WithSimd for Evaluation<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        for (i, points) in self.block.chunks_exact_mut(POINTS).enumerate() {
            let points: &mut [Block; POINTS] = points.try_into().expect("as many as there are points");
            for row in 0..self.count {
                let steps = self.tiles.steps(i);
                let length = steps.len();
                let pixels = self.tiles.pixels(self.first + row, steps);
                for start in (0..length).step_by(S::F32_LANES) {
                    let end = length.min(start + S::F32_LANES);
                    let mut lines = [[simd.splat_f32s(0.0); REACH]; REACH];
                    for (line, pixels) in lines.iter_mut().zip(&pixels) {
                        for (value, pixel) in line.iter_mut().zip(pixels) {
                            if let Some(pixel) = pixel {
                                *value = loaded(simd, &pixel[start..end]);
                            }
                        }
                    }
                    let values = both_ways!(simd, lines, REACH, input, REACH);
                    for (block, value) in points.iter_mut().zip(values.as_flattened()) {
                        S::as_mut_simd_f32s(&mut block[row][start..]).0[0] = *value;
                    }
                }
            }
        }
    }
}

/// Some columns of a span's results.
struct Task<'a, 'b> {
    tiles: Tiles<'a>,
    taps: [Right<'a>; TAPS],
    span: &'a Span,
    blocks: &'a [Block],
    first_column: usize,
    out: Vec<&'b mut [f32]>,
}

impl WithSimd for Task<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let mut room = ROOM.take();
        let Room { taps, weight, sums } = &mut room;
        let wanted = self.out[0].len();
        let point = self.span.tiles * WIDEST + GAP;
        sums.clear();
        sums.resize(POINTS * point, 0.0);
        let mut lines = [[0.0; DEPTH]; LINES];
        let shuffles = Shuffles::new();
        for block in 0..self.tiles.blocks() {
            let steps = self.tiles.steps(block);
            let size = steps.len() * WIDEST;
            let lanes = panel_width::<S>();
            taps.resize(TAPS * size, 0.0);
            weight.resize(POINTS * (size + GAP), 0.0);
            let columns = self.first_column..self.first_column + wanted;
            for (right, panels) in self.taps.iter().zip(taps.chunks_exact_mut(size)) {
                right.pack(shuffles, steps.clone(), columns.clone(), lanes, &mut lines, panels);
            }
            evaluate_weight(simd, taps, weight, size);
            let blocks = self.blocks.chunks_exact(self.tiles.blocks() * POINTS);
            for (i, blocks) in blocks.enumerate() {
                let rows = MOST_ROWS.min(self.span.tiles - i * MOST_ROWS);
                let blocks = &blocks[block * POINTS..][..POINTS];
                let points = sums.chunks_exact_mut(point).zip(weight.chunks_exact(size + GAP));
                for (left, (sums, weight)) in blocks.iter().zip(points) {
                    let mut out: [&mut [f32]; MOST_ROWS] = Default::default();
                    let sums = sums[i * MOST_ROWS * WIDEST..].chunks_exact_mut(WIDEST);
                    for (out, sums) in out.iter_mut().zip(sums) {
                        *out = sums;
                    }
                    let panels = weight[..size].chunks_exact(lanes * steps.len()).take(wanted.div_ceil(lanes));
                    for (left, out) in left.chunks(tile_rows::<S>()).zip(out[..rows].chunks_mut(tile_rows::<S>())) {
                        for (i, panel) in panels.clone().enumerate() {
                            tile(simd, left, panel, out, i * lanes);
                        }
                    }
                }
            }
        }
        self.add_results(simd, sums, point);
        ROOM.set(room);
    }
}

impl Task<'_, '_> {
    /// Makes pixels of what there is at the points.
    #[inline(always)]
    fn add_results<S: Simd>(&mut self, simd: S, sums: &[f32], point: usize) {
        let ([down, across], [height, width]) = (self.tiles.grid, self.tiles.result);
        let row_of = |tile: usize| {
            let row = tile / across;
            (row / down * height + row % down * SIDE, row % down * SIDE)
        };
        let (first_line, _) = row_of(self.span.first_tile);
        for i in 0..self.span.tiles {
            let tile = self.span.first_tile + i;
            let ((line, y), x) = (row_of(tile), tile % across * SIDE);
            for start in (0..self.out[0].len()).step_by(S::F32_LANES) {
                let mut lines = [[simd.splat_f32s(0.0); REACH]; REACH];
                let mut place = i * WIDEST + start;
                for line in &mut lines {
                    for value in line {
                        *value = S::as_simd_f32s(&sums[place..]).0[0];
                        place += point;
                    }
                }
                let values = both_ways!(simd, lines, REACH, output, SIDE);
                for (dy, values) in values.into_iter().enumerate().take(height - y) {
                    for (dx, value) in values.into_iter().enumerate().take(width - x) {
                        let out = &mut self.out[(line - first_line + dy) * width + x + dx][start..];
                        if let [vector, ..] = S::as_mut_simd_f32s(out).0 {
                            *vector = simd.add_f32s(*vector, value);
                        } else {
                            let before = simd.partial_load_f32s(out);
                            simd.partial_store_f32s(out, simd.add_f32s(before, value));
                        }
                    }
                }
            }
        }
    }
}

/// Evaluates a block of the weight: `size` numbers of each tap.
#[inline(always)]
fn evaluate_weight<S: Simd>(simd: S, taps: &[f32], weight: &mut [f32], size: usize) {
    for start in (0..size).step_by(S::F32_LANES) {
        let mut lines = [[simd.splat_f32s(0.0); WINDOW]; WINDOW];
        for (value, tap) in lines.as_flattened_mut().iter_mut().zip(taps.chunks_exact(size)) {
            *value = S::as_simd_f32s(&tap[start..]).0[0];
        }
        let values = both_ways!(simd, lines, WINDOW, window, REACH);
        for (weight, value) in weight.chunks_exact_mut(size + GAP).zip(values.as_flattened()) {
            S::as_mut_simd_f32s(&mut weight[start..]).0[0] = *value;
        }
    }
}

/// Some numbers, and zeros where a vector has more.
#[inline(always)]
fn loaded<S: Simd>(simd: S, values: &[f32]) -> S::f32s {
    match S::as_simd_f32s(values).0 {
        [vector, ..] => *vector,
        [] => simd.partial_load_f32s(values),
    }
}

#[cfg(test)]
mod tests {
    use half::f16;

    use super::super::product::{FrozenValues, Order, tests::with_every_width};
    use super::*;
    use crate::noise::{Noise, Stream};

    fn normals(count: usize, seed: u64) -> Vec<f32> {
        Noise::new(seed).draws(0, Stream::Init).normals(count)
    }

    /// The convolution by the definition, in f64: `weight(tap, channel, output)`.
    fn plain(tiles: Tiles<'_>, outputs: usize, weight: impl Fn(usize, usize, usize) -> f32) -> Vec<f64> {
        let Tiles { values, size: [height, width], channels, result, padding, .. } = tiles;
        let mut out = Vec::new();
        for sample in 0..tiles.samples() {
            for place in 0..result[0] * result[1] {
                let mut sums = vec![0.0; outputs];
                for tap in 0..TAPS {
                    let (y, x) = (place / result[1] + tap / WINDOW, place % result[1] + tap % WINDOW);
                    let [Some(y), Some(x)] = [y.checked_sub(padding[0]), x.checked_sub(padding[1])] else { continue };
                    if y >= height || x >= width {
                        continue;
                    }
                    let pixel = &values[((sample * height + y) * width + x) * channels..][..channels];
                    for (output, sum) in sums.iter_mut().enumerate() {
                        let products = pixel.iter().enumerate();
                        *sum += products
                            .map(|(channel, value)| f64::from(*value) * f64::from(weight(tap, channel, output)))
                            .sum::<f64>();
                    }
                }
                out.extend(sums);
            }
        }
        out
    }

    /// Sizes that end within a tile, a block of tiles, a block of channels, a vector; padding on no side, one or all.
    #[test]
    fn convolutions_of_every_size_are_those_of_the_definition() {
        let cases = [
            (1, [4, 4], [1, 1], [4, 4], 16, 16),
            (2, [8, 8], [1, 1], [8, 8], 48, 40),
            (1, [9, 7], [1, 1], [9, 7], 17, 33),
            (1, [3, 30], [0, 0], [1, 28], 130, 5),
            (3, [5, 6], [0, 1], [4, 6], 129, 70),
            (1, [6, 6], [2, 2], [8, 8], 31, 64),
            (1, [13, 140], [1, 1], [13, 140], 3, 2),
        ];
        for (batch, size, padding, result, channels, outputs) in cases {
            let values = normals(batch * size[0] * size[1] * channels, 1);
            let tiles = Tiles::new(&values, [size, result], channels, padding);
            let weight: Vec<f16> = normals(TAPS * channels * outputs, 2).into_iter().map(f16::from_f32).collect();
            let starts: [_; TAPS] =
                std::array::from_fn(|tap| move |step: usize| (step * TAPS + TAPS - 1 - tap) * outputs);
            for by_columns in [true, false] {
                let taps = std::array::from_fn(|tap| Right {
                    stored: FrozenValues::Half(&weight),
                    order: if by_columns {
                        Order::Columns { first: tap * channels, apart: TAPS * channels }
                    } else {
                        Order::Steps(&starts[tap])
                    },
                    inner: channels,
                });
                let want = plain(tiles, outputs, |tap, channel, output| {
                    let place = if by_columns {
                        (output * TAPS + tap) * channels + channel
                    } else {
                        starts[tap](channel) + output
                    };
                    weight[place].to_f32()
                });
                let largest = want.iter().fold(0.0f64, |largest, value| largest.max(value.abs()));
                let before = normals(want.len(), 3);
                with_every_width(|| {
                    let mut out = before.clone();
                    add_convolution(tiles, taps, &mut out, outputs);
                    for (i, (out, want)) in out.iter().zip(&want).enumerate() {
                        let error = (f64::from(*out) - f64::from(before[i]) - want).abs();
                        let name = format!("{batch} x {size:?} x {channels} to {result:?} x {outputs}, {by_columns}");
                        assert!(error < 1e-5 * largest, "{name}: {i}: {out}, not {want}");
                    }
                });
            }
        }
    }

    #[test]
    fn spans_hold_every_tile_once() {
        for (batch, side, outputs) in [(1, 4, 16), (2, 32, 320), (1, 29, 70), (1, 513, 128), (3, 8, 1280)] {
            let values = vec![0.0; batch * side * side * 16];
            let tiles = Tiles::new(&values, [[side; 2]; 2], 16, [1, 1]);
            for threads in [1, 2, 16, 128] {
                let spans = spans(tiles, outputs, threads);
                let mut next = 0;
                for span in &spans {
                    assert_eq!(span.first_tile, next, "one after the other");
                    assert!(span.tiles <= TILES_OF_TASK.max(tiles.grid[1]), "{} tiles", span.tiles);
                    next += span.tiles;
                }
                assert_eq!(next, batch * tiles.grid[0] * tiles.grid[1]);
                assert_eq!(spans.iter().map(|span| span.pixels).sum::<usize>(), batch * side * side);
            }
        }
    }
}
