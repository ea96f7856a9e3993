//! What in pictures of one thing is the thing, found without a model: colours, place and edges.
//!
//! As in GrabCut, two models of colours, of the thing and of what is behind it, and a smooth division of the picture are found in turn from
//! each other, beginning with a guess from the place: the thing is in the middle, what is behind it at the border. Two things differ. All
//! pictures share a part of their models, since a colour that comes back in all of them is the thing's, and clutter is not. And the division
//! is no minimal cut but the equilibrium of a random walk between pixels that are alike (Grady's random walker with priors, a linear system
//! that is solved by relaxation), which is soft and needs no graph. All of it happens on a grid of at most [`GRID`] pixels a side, about
//! as fine as the latents that a mask is for.
//!
//! Where the border has one colour, none of that is needed: the thing is what cannot be reached from the border by that colour.
//!
//! How sure that is, is found by doing it again from another guess: what only one of them leads to is chance.

use image::imageops::{FilterType, resize, thumbnail};
use image::{GrayImage, Rgb};

use super::Picture;

/// Pixels of the longer side that are looked at.
const GRID: u32 = 96;
/// Bins of the colour models for brightness and for the two differences of colour.
const BINS: [usize; 3] = [10, 20, 20];
/// Turns of models and division.
const TURNS: usize = 6;
/// Sweeps of the relaxation in each turn.
const SWEEPS: usize = 40;

/// Pictures that are looked at together: more cost memory, and say no more of what is common to them.
const TOGETHER: usize = 16;

/// What was found in a picture.
pub struct FoundThing {
    /// White where the thing is, as large as the picture.
    pub mask: GrayImage,
    /// How sure that is, from 0 to 1.
    pub confidence: f32,
}

/// Finds the thing in each of some pictures of it. The same pictures in the same order give the same masks on every machine.
pub fn find_things(pictures: &[&Picture]) -> Vec<FoundThing> {
    let mut things = Vec::new();
    for together in pictures.chunks(TOGETHER) {
        let grids: Vec<Grid> = together.iter().map(|picture| Grid::of(picture)).collect();
        for ((picture, grid), Found { mask, confidence }) in together.iter().zip(&grids).zip(segment(&grids)) {
            // Soft at the edge only.
            let grey = |value: &f32| ((4.0 * (value - 0.5) + 0.5).clamp(0.0, 1.0) * 255.0 + 0.5) as u8;
            let small = GrayImage::from_raw(grid.width as u32, grid.height as u32, mask.iter().map(grey).collect());
            let (width, height) = picture.pixels.dimensions();
            let mask = resize(&small.unwrap_or_default(), width, height, FilterType::Triangle);
            things.push(FoundThing { mask, confidence });
        }
    }
    things
}

/// A picture on the grid: `[r, g, b]` from 0 to 1, row after row.
struct Grid {
    width: usize,
    height: usize,
    pixels: Vec<[f32; 3]>,
}

impl Grid {
    fn of(picture: &Picture) -> Self {
        let pixels = picture.on_white();
        let (width, height) = pixels.dimensions();
        let long = width.max(height);
        let small = |length: u32| if long > GRID { (length * GRID).div_ceil(long) } else { length };
        let pixels = thumbnail(&*pixels, small(width), small(height));
        let colour = |pixel: &Rgb<u8>| pixel.0.map(|value| f32::from(value) / 255.0);
        Self {
            width: pixels.width() as usize,
            height: pixels.height() as usize,
            pixels: pixels.pixels().map(colour).collect(),
        }
    }
}

/// What was found on a grid.
struct Found {
    /// How much each pixel is the thing, from 0 to 1.
    mask: Vec<f32>,
    /// How sure that is, from 0 to 1.
    confidence: f32,
}

/// How far the thing reaches from the middle, of half a side: the guess that a search begins with, and another to compare it with.
const REACHES: [f32; 2] = [0.75, 0.95];
/// The part of the models that all pictures share.
const SHARED: f32 = 0.5;

/// The same on grids.
fn segment(grids: &[Grid]) -> Vec<Found> {
    let scenes: Vec<Scene> = grids.iter().map(Scene::new).collect();
    let [first, second] = REACHES.map(|reach| search(&scenes, reach));
    let found = scenes.iter().zip(first).zip(second).map(|((scene, mask), other)| {
        let by_colour = scene.off_plain().map(|[strict, lenient]| (overlap(&strict, &lenient), strict));
        let (agreed, mask) = by_colour
            .filter(|(alike, strict)| *alike > 0.8 && scene.plausible(strict) > 0.5)
            .unwrap_or_else(|| (overlap(&mask, &other), mask));
        Found { confidence: agreed * scene.plausible(&mask), mask }
    });
    found.collect()
}

/// Intersection over union of two divisions.
fn overlap(one: &[f32], other: &[f32]) -> f32 {
    let (mut both, mut any) = (0, 0);
    for (a, b) in one.iter().zip(other) {
        both += usize::from(*a > 0.5 && *b > 0.5);
        any += usize::from(*a > 0.5 || *b > 0.5);
    }
    if any == 0 { 0.0 } else { both as f32 / any as f32 }
}

/// A picture with all that does not change while its thing is looked for.
struct Scene {
    width: usize,
    height: usize,
    colours: Vec<[f32; 3]>,
    /// For each pixel, the bins that its colour falls into with what falls into each.
    bins: Vec<[(u16, f32); 8]>,
    /// How alike a pixel and the next of its row are, and the next of its column.
    right: Vec<f32>,
    below: Vec<f32>,
}

impl Scene {
    fn new(grid: &Grid) -> Self {
        let (width, height) = (grid.width, grid.height);
        let colours: Vec<[f32; 3]> = grid.pixels.iter().map(|rgb| opponent(*rgb)).collect();
        let apart = |a: usize, b: usize| apart(&colours[a], &colours[b]);
        let (mut right, mut below) = (vec![0.0; width * height], vec![0.0; width * height]);
        let (mut sum, mut count) = (0.0, 0.0);
        for y in 0..height {
            for x in 0..width {
                let at = y * width + x;
                if x + 1 < width {
                    right[at] = apart(at, at + 1);
                    sum += right[at];
                    count += 1.0;
                }
                if y + 1 < height {
                    below[at] = apart(at, at + width);
                    sum += below[at];
                    count += 1.0;
                }
            }
        }
        let usual: f32 = (sum / f32::max(count, 1.0)).max(1e-5);
        for edge in right.iter_mut().chain(&mut below) {
            *edge = libm::expf(-*edge / usual) + 0.01;
        }
        for y in 0..height {
            right[y * width + width - 1] = 0.0;
        }
        below[(height - 1) * width..].fill(0.0);
        let bins = colours.iter().map(|colour| bins(*colour)).collect();
        Self { width, height, colours, bins, right, below }
    }

    /// Where the border has one colour, what is not that colour or not connected to the border by it: strictly and leniently taken.
    fn off_plain(&self) -> Option<[Vec<f32>; 2]> {
        const STRICT: f32 = 0.03;
        const LENIENT: f32 = 0.08;
        let ring: Vec<usize> =
            self.place().enumerate().filter(|(_, (_, edge))| *edge > 0.95).map(|(at, _)| at).collect();
        let middle = |axis: usize| {
            let mut values: Vec<f32> = ring.iter().map(|at| self.colours[*at][axis]).collect();
            values.sort_by(f32::total_cmp);
            values[values.len() / 2]
        };
        let plain = [middle(0), middle(1), middle(2)];
        let away = |at: usize| libm::sqrtf(apart(&self.colours[at], &plain));
        let of_it = ring.iter().filter(|at| away(**at) < STRICT).count();
        if of_it * 5 < ring.len() * 4 {
            return None;
        }
        let found = [STRICT, LENIENT].map(|most| {
            let behind: Vec<bool> = (0..self.colours.len()).map(|at| away(at) < most).collect();
            let mut mask = vec![1.0; behind.len()];
            for piece in self.pieces(&behind).iter().filter(|piece| piece.iter().any(|at| self.is_edge(*at))) {
                piece.iter().for_each(|at| mask[*at] = 0.0);
            }
            self.tidy(&mut mask);
            mask
        });
        Some(found)
    }

    /// Whether a pixel is one of the outermost.
    fn is_edge(&self, at: usize) -> bool {
        let (x, y) = (at % self.width, at / self.width);
        x == 0 || y == 0 || x + 1 == self.width || y + 1 == self.height
    }

    /// How far each pixel is from the middle, 1 at the middle of each side.
    fn place(&self) -> impl Iterator<Item = (f32, f32)> + '_ {
        let middle = |length: usize| length as f32 / 2.0;
        (0..self.height).flat_map(move |y| {
            (0..self.width).map(move |x| {
                let across = (x as f32 + 0.5) / middle(self.width) - 1.0;
                let down = (y as f32 + 0.5) / middle(self.height) - 1.0;
                (libm::sqrtf(across * across + down * down), across.abs().max(down.abs()))
            })
        })
    }

    /// The division from unary evidence by a random walk, beginning with the last one.
    fn relax(&self, evidence: &[f32], mask: &mut [f32]) {
        const PULL: f32 = 0.15;
        let width = self.width;
        for _ in 0..SWEEPS {
            for y in 0..self.height {
                for x in 0..width {
                    let at = y * width + x;
                    let (mut sum, mut weight) = (PULL * evidence[at], PULL);
                    let mut add = |edge: f32, other: usize| {
                        sum += edge * mask[other];
                        weight += edge;
                    };
                    if x > 0 {
                        add(self.right[at - 1], at - 1);
                    }
                    if x + 1 < width {
                        add(self.right[at], at + 1);
                    }
                    if y > 0 {
                        add(self.below[at - width], at - width);
                    }
                    if y + 1 < self.height {
                        add(self.below[at], at + width);
                    }
                    mask[at] = sum / weight;
                }
            }
        }
    }

    /// Leaves one piece, the largest towards the middle, with those that are nearly as large, and without holes.
    fn tidy(&self, mask: &mut [f32]) {
        let thing: Vec<bool> = mask.iter().map(|value| *value > 0.5).collect();
        let pieces = self.pieces(&thing);
        let places: Vec<f32> = self.place().map(|(_, edge)| 1.2 - edge).collect();
        let weight = |piece: &Vec<usize>| piece.iter().map(|at| places[*at]).sum::<f32>();
        let most = pieces.iter().map(weight).fold(0.0, f32::max);
        for piece in pieces.iter().filter(|piece| weight(piece) < 0.25 * most) {
            piece.iter().for_each(|at| mask[*at] = mask[*at].min(0.2));
        }
        let behind: Vec<bool> = mask.iter().map(|value| *value <= 0.5).collect();
        let total = self.width * self.height;
        for piece in self.pieces(&behind) {
            let open = piece.iter().any(|at| self.is_edge(*at));
            if !open && piece.len() < total / 3 {
                piece.iter().for_each(|at| mask[*at] = 0.8);
            }
        }
    }

    /// The connected pieces of some pixels.
    fn pieces(&self, of: &[bool]) -> Vec<Vec<usize>> {
        let mut seen = vec![false; of.len()];
        let mut pieces = Vec::new();
        for start in 0..of.len() {
            if seen[start] || !of[start] {
                continue;
            }
            seen[start] = true;
            let (mut piece, mut next) = (vec![start], 0);
            while let Some(at) = piece.get(next).copied() {
                next += 1;
                let (x, y) = (at % self.width, at / self.width);
                let around = [
                    (x > 0).then(|| at - 1),
                    (x + 1 < self.width).then(|| at + 1),
                    (y > 0).then(|| at - self.width),
                    (y + 1 < self.height).then(|| at + self.width),
                ];
                for other in around.into_iter().flatten() {
                    if of[other] && !seen[other] {
                        seen[other] = true;
                        piece.push(other);
                    }
                }
            }
            pieces.push(piece);
        }
        pieces
    }

    /// Whether a division is like one of a thing: neither next to nothing nor all, with an end within the picture, and decided.
    fn plausible(&self, mask: &[f32]) -> f32 {
        let share = mask.iter().filter(|value| **value > 0.5).count() as f32 / mask.len() as f32;
        let size = ((share - 0.02) / 0.04).clamp(0.0, 1.0) * ((0.93 - share) / 0.08).clamp(0.0, 1.0);
        let (mut ring, mut on) = (0.0f32, 0.0);
        for ((_, edge), value) in self.place().zip(mask) {
            if edge > 0.95 {
                ring += 1.0;
                on += f32::from(u8::from(*value > 0.5));
            }
        }
        let open = ((0.6 - on / ring.max(1.0)) / 0.3).clamp(0.0, 1.0);
        let decided = mask.iter().map(|value| (2.0 * value - 1.0).abs()).sum::<f32>() / mask.len() as f32;
        size * open * (decided / 0.6).min(1.0)
    }
}

/// Brightness and two differences of colour, the first from 0 to 1, the others around 0.
fn opponent([r, g, b]: [f32; 3]) -> [f32; 3] {
    let y = 0.299 * r + 0.587 * g + 0.114 * b;
    [y, 0.713 * (r - y), 0.564 * (b - y)]
}

/// How far two colours are apart, squared.
fn apart(one: &[f32; 3], other: &[f32; 3]) -> f32 {
    let far = |i: usize| one[i] - other[i];
    far(0) * far(0) + 2.0 * (far(1) * far(1) + far(2) * far(2))
}

/// The eight bins around a colour.
fn bins([y, red, blue]: [f32; 3]) -> [(u16, f32); 8] {
    let place = |value: f32, bins: usize| {
        let at = (value.clamp(0.0, 1.0) * (bins - 1) as f32).min((bins - 1) as f32 - 1e-3);
        (at as usize, at.fract())
    };
    let axes = [place(y, BINS[0]), place(red + 0.5, BINS[1]), place(blue + 0.5, BINS[2])];
    std::array::from_fn(|corner| {
        let (mut index, mut weight) = (0, 1.0);
        for (axis, (at, part)) in axes.iter().enumerate() {
            let upper = corner >> axis & 1;
            index = index * BINS[axis] + at + upper;
            weight *= if upper == 1 { *part } else { 1.0 - part };
        }
        (index as u16, weight)
    })
}

/// How often colours are there, in all 1.
#[derive(Clone)]
struct Colours(Vec<f32>);

impl Colours {
    /// Of a scene, each pixel by its weight.
    fn of(scene: &Scene, weights: impl Iterator<Item = f32>) -> Self {
        let mut counts = vec![0.0; BINS.iter().product()];
        for (bins, weight) in scene.bins.iter().zip(weights) {
            for (bin, part) in bins {
                counts[usize::from(*bin)] += weight * part;
            }
        }
        let mut colours = Self(blurred(&counts));
        colours.scale();
        colours
    }

    fn scale(&mut self) {
        let sum: f32 = self.0.iter().sum();
        self.0.iter_mut().for_each(|value| *value /= sum.max(1e-6));
    }

    /// The mean of some.
    fn mean<'a>(all: impl Iterator<Item = &'a Colours>) -> Self {
        let mut mean = vec![0.0; BINS.iter().product()];
        for one in all {
            mean.iter_mut().zip(&one.0).for_each(|(sum, value)| *sum += value);
        }
        let mut mean = Self(mean);
        mean.scale();
        mean
    }

    fn at(&self, bins: &[(u16, f32); 8]) -> f32 {
        bins.iter().map(|(bin, part)| self.0[usize::from(*bin)] * part).sum()
    }
}

/// Counts, each spread over its neighbours.
fn blurred(counts: &[f32]) -> Vec<f32> {
    let mut counts = counts.to_vec();
    let steps = [BINS[1] * BINS[2], BINS[2], 1];
    for (axis, step) in steps.into_iter().enumerate() {
        let before = counts.clone();
        for (at, value) in counts.iter_mut().enumerate() {
            let place = at / step % BINS[axis];
            let low = if place > 0 { before[at - step] } else { before[at] };
            let high = if place + 1 < BINS[axis] { before[at + step] } else { before[at] };
            *value = 0.25 * low + 0.5 * before[at] + 0.25 * high;
        }
    }
    counts
}

/// Divides all scenes, beginning with a guess of how far their thing reaches.
fn search(scenes: &[Scene], reach: f32) -> Vec<Vec<f32>> {
    let begin = |scene: &Scene| {
        let near = |(round, edge): (f32, f32)| if edge > 0.93 { 0.02 } else { sigmoid(6.0 * (reach - round)) };
        scene.place().map(near).collect::<Vec<f32>>()
    };
    let prior: Vec<Vec<f32>> = scenes.iter().map(begin).collect();
    let mut masks = prior.clone();
    for turn in 0..TURNS {
        let models = |part: &dyn Fn(f32) -> f32| -> Vec<Colours> {
            let of = scenes.iter().zip(&masks).map(|(scene, mask)| Colours::of(scene, mask.iter().map(|m| part(*m))));
            of.collect()
        };
        let (things, behinds) = (models(&|m| m * m), models(&|m| (1.0 - m) * (1.0 - m)));
        let (all_things, all_behinds) = (Colours::mean(things.iter()), Colours::mean(behinds.iter()));
        let shared = if scenes.len() > 1 { SHARED } else { 0.0 };
        // Place says less and less.
        let trust = 0.5 - 0.3 * turn as f32 / TURNS as f32;
        for (i, scene) in scenes.iter().enumerate() {
            let evidence: Vec<f32> = scene
                .bins
                .iter()
                .zip(&prior[i])
                .map(|(bins, prior)| {
                    let mixed =
                        |own: &Colours, all: &Colours| (1.0 - shared) * own.at(bins) + shared * all.at(bins) + 2e-5;
                    let colour = libm::logf(mixed(&things[i], &all_things) / mixed(&behinds[i], &all_behinds));
                    let place = libm::logf(prior / (1.0 - prior));
                    sigmoid(1.5 * colour + trust * place)
                })
                .collect();
            masks[i].copy_from_slice(&evidence);
            scene.relax(&evidence, &mut masks[i]);
            if turn > 0 {
                scene.tidy(&mut masks[i]);
            }
        }
    }
    masks
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + libm::expf(-x))
}
