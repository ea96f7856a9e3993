//! What in pictures of one thing is the thing: colours, roughness, place and edges, and where a model looks at it, if one was asked.
//!
//! As in GrabCut, two models of colours, of the thing and of what is behind it, and a smooth division of the picture are found in turn from
//! each other, beginning with a guess: where a model's attention is, or else from the place, the thing in the middle and what is behind it
//! at the border. Three things differ. All
//! pictures share a part of their models, since a colour that comes back in all of them is the thing's, and clutter is not. The models know how
//! rough either is, too, each picture for itself. And the division
//! is no minimal cut but the equilibrium of a random walk between pixels that are alike (Grady's random walker with priors, a linear system
//! that is solved by relaxation), which is soft and needs no graph. All of it happens on a grid of at most [`GRID`] pixels a side, about
//! as fine as the latents that a mask is for.
//!
//! Where the border has one colour, none of that is needed: the thing is what cannot be reached from the border by that colour.
//!
//! How sure that is, is found by doing it again from another guess: what only one of them leads to is chance.

use image::imageops::{FilterType, resize, thumbnail};
use image::{GrayImage, Rgb};

mod colours;
mod roughness;

use self::colours::{Bins, Colours, apart, bins, opponent};
use self::roughness::{Between, Roughness, roughness};
use super::Picture;

/// Pixels of the longer side that are looked at.
const GRID: u32 = 96;
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

/// Where a model looks at a thing in a picture.
#[derive(Debug, Clone, PartialEq)]
pub struct AttentionMap {
    /// Rows and columns, each over the whole picture.
    pub side: usize,
    /// Row after row: more where more of the attention is. Only how they differ counts.
    pub values: Vec<f32>,
}

/// Finds the thing in each of some pictures of it. The same pictures in the same order give the same masks on every machine. `attention`
/// has a map for each picture, or is empty.
pub fn find_things(pictures: &[&Picture], attention: &[AttentionMap]) -> Vec<FoundThing> {
    let mut things = Vec::new();
    for (number, together) in pictures.chunks(TOGETHER).enumerate() {
        let maps = attention.iter().skip(number * TOGETHER).map(Some).chain(std::iter::repeat(None));
        let grids: Vec<Grid> = together.iter().zip(maps).map(|(picture, map)| Grid::of(picture, map)).collect();
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
    /// Where a model looks at the thing, if that is known: a number for each pixel.
    attention: Option<Vec<f32>>,
}

impl Grid {
    fn of(picture: &Picture, attention: Option<&AttentionMap>) -> Self {
        let pixels = picture.on_white();
        let (width, height) = pixels.dimensions();
        let long = width.max(height);
        let small = |length: u32| if long > GRID { (length * GRID).div_ceil(long) } else { length };
        let pixels = thumbnail(&*pixels, small(width), small(height));
        let colour = |pixel: &Rgb<u8>| pixel.0.map(|value| f32::from(value) / 255.0);
        let (width, height) = (pixels.width() as usize, pixels.height() as usize);
        Self {
            width,
            height,
            pixels: pixels.pixels().map(colour).collect(),
            attention: attention.map(|map| map.over(width, height)),
        }
    }
}

impl AttentionMap {
    /// A number for each pixel of a grid, between those of the map.
    fn over(&self, width: usize, height: usize) -> Vec<f32> {
        let last = self.side.saturating_sub(1);
        // The two places around a pixel, and how near the second is.
        let place = |at: usize, length: usize| {
            let at = ((at as f32 + 0.5) * self.side as f32 / length as f32 - 0.5).clamp(0.0, last as f32);
            (at as usize, (at as usize + 1).min(last), at.fract())
        };
        let value = |x: usize, y: usize| self.values.get(y * self.side + x).copied().unwrap_or_default();
        let mixed = |x: usize, y: usize| {
            let ((left, right, across), (top, bottom, down)) = (place(x, width), place(y, height));
            let row = |y: usize| value(left, y) * (1.0 - across) + value(right, y) * across;
            row(top) * (1.0 - down) + row(bottom) * down
        };
        (0..height).flat_map(|y| (0..width).map(move |x| mixed(x, y))).collect()
    }
}

/// What was found on a grid.
struct Found {
    /// How much each pixel is the thing, from 0 to 1.
    mask: Vec<f32>,
    /// How sure that is, from 0 to 1.
    confidence: f32,
}

/// How far the thing reaches: the guess that a search begins with, and another to compare it with. By attention it is a little too far: a leaf that
/// is left out at first, because little attention is at it, would count as behind the thing from then on.
const REACHES: [Reach; 2] = [Reach { place: 0.75, attention: -0.2 }, Reach { place: 0.95, attention: -0.42 }];
/// The part of the models that all pictures share.
const SHARED: f32 = 0.5;

#[derive(Clone, Copy)]
struct Reach {
    /// From the middle, of half a side.
    place: f32,
    /// The attention where it ends: 0 is the boundary between much and little of it, which are 1 apart.
    attention: f32,
}

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
    /// For each pixel, the bins of its colour.
    bins: Vec<Bins>,
    /// For each pixel, how rough the picture is there.
    rough: Vec<Between>,
    /// How alike a pixel and the next of its row are, and the next of its column.
    right: Vec<f32>,
    below: Vec<f32>,
    /// How much more attention each pixel has than at the boundary between much and little, which are 1 apart.
    attention: Option<Vec<f32>>,
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
        let rough = roughness(&grid.pixels, width, height);
        let attention = grid.attention.as_deref().map(from_boundary);
        Self { width, height, colours, bins, rough, right, below, attention }
    }

    /// Where the border has one colour, what is not that colour or not connected to the border by it: strictly and leniently taken.
    fn off_plain(&self) -> Option<[Vec<f32>; 2]> {
        const STRICT: f32 = 0.03;
        const LENIENT: f32 = 0.08;
        let ring: Vec<usize> = self
            .place()
            .enumerate()
            .filter(|(at, (_, edge))| *edge > 0.95 || self.is_edge(*at))
            .map(|(at, _)| at)
            .collect();
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

/// Numbers as they lie from the boundary that divides them best into much and little (Otsu's), with the means of these 1 apart.
fn from_boundary(values: &[f32]) -> Vec<f32> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f32::total_cmp);
    let (count, all) = (sorted.len() as f32, sorted.iter().sum::<f32>());
    let (mut below, mut most, mut means) = (0.0, 0.0, [0.0, 1.0]);
    for (i, value) in sorted.iter().enumerate().take(sorted.len().saturating_sub(1)) {
        below += value;
        let few = (i + 1) as f32;
        let [low, high] = [below / few, (all - below) / (count - few)];
        let between = few * (count - few) * (high - low) * (high - low);
        if between > most {
            (most, means) = (between, [low, high]);
        }
    }
    let [low, high] = means;
    values.iter().map(|value| (value - (low + high) / 2.0) / (high - low).max(1e-9)).collect()
}

/// What each pixel of a scene is before its colour and roughness are looked at: the probability that it is the thing.
fn guess(scene: &Scene, reach: Reach) -> Vec<f32> {
    /// How much attention counts, and how much the place beside it.
    const ATTENTION: f32 = 6.0;
    const PLACE: f32 = 0.2;
    let near = |(round, edge): (f32, f32)| if edge > 0.93 { 0.02 } else { sigmoid(6.0 * (reach.place - round)) };
    let Some(attention) = &scene.attention else { return scene.place().map(near).collect() };
    let looked_at = |(place, attention): ((f32, f32), &f32)| {
        let place = log_odds(near(place).clamp(0.02, 0.98));
        sigmoid(ATTENTION * (attention - reach.attention) + PLACE * place).clamp(0.02, 0.98)
    };
    scene.place().zip(attention).map(looked_at).collect()
}

/// Divides all scenes, beginning with a guess of how far their thing reaches.
fn search(scenes: &[Scene], reach: Reach) -> Vec<Vec<f32>> {
    /// How much roughness counts beside colour, which counts 1.
    const ROUGHNESS: f32 = 1.5;
    /// How much a pixel says of the thing, and of what is behind it: what is not decided says little of either.
    const PARTS: [fn(f32) -> f32; 2] = [|m| m * m, |m| (1.0 - m) * (1.0 - m)];
    let prior: Vec<Vec<f32>> = scenes.iter().map(|scene| guess(scene, reach)).collect();
    let mut masks = prior.clone();
    for turn in 0..TURNS {
        let [things, behinds] = PARTS.map(|part| -> Vec<Colours> {
            let of =
                scenes.iter().zip(&masks).map(|(scene, mask)| Colours::of(&scene.bins, mask.iter().map(|m| part(*m))));
            of.collect()
        });
        let (all_things, all_behinds) = (Colours::mean(things.iter()), Colours::mean(behinds.iter()));
        let shared = if scenes.len() > 1 { SHARED } else { 0.0 };
        for (i, scene) in scenes.iter().enumerate() {
            // Place says less and less, and attention always the same.
            let trust = if scene.attention.is_some() { 0.6 } else { 0.5 - 0.3 * turn as f32 / TURNS as f32 };
            let [thing, behind] = PARTS.map(|part| Roughness::of(&scene.rough, masks[i].iter().map(|m| part(*m))));
            let evidence: Vec<f32> = scene
                .bins
                .iter()
                .zip(&scene.rough)
                .zip(&prior[i])
                .map(|((bins, rough), prior)| {
                    let mixed =
                        |own: &Colours, all: &Colours| (1.0 - shared) * own.at(bins) + shared * all.at(bins) + 2e-5;
                    let colour = libm::logf(mixed(&things[i], &all_things) / mixed(&behinds[i], &all_behinds));
                    let roughness = libm::logf(thing.at(rough) / behind.at(rough));
                    sigmoid(colour + ROUGHNESS * roughness + trust * log_odds(*prior))
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

fn log_odds(probability: f32) -> f32 {
    libm::logf(probability / (1.0 - probability))
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + libm::expf(-x))
}
