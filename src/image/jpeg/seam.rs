//! Damage that a JPEG's codes do not show: from one MCU on, all levels are off by the same amount.
//!
//! A block's level is stored as the difference to that of the block before it, so a few wrong bits shift all that follow.
//! In the picture that is a step: along the upper edge of the rest of one row of MCUs, then along the lower edge of its
//! beginning, a jump of one height. Things that are photographed do not end like that. Where the damage begins with a row,
//! or the rest of its row is not seen, only a straight edge across the whole width is left, and that can be in the picture
//! itself: a caption's half-transparent bar looks the same. So the two are told apart, and said in different words.
//!
//! The bare numbers below were not derived. They were tried on the scenes that the tests draw (`tests/image`): the files
//! that are whole there must raise nothing, in any sampling, and a shift by 20 levels must be seen. Smaller shifts, and
//! those in pictures without quiet places, go unseen.

use std::ops::Range;

use image::DynamicImage;

use super::{Doubt, MOST_LOST};

/// Jumps below these are not seen, of brightness and of the two differences of colour, in levels of 255.
const LEAST: [f32; 3] = [5.0, 5.0, 5.0];
/// Fewer MCUs than this in a line prove nothing.
const FEWEST: usize = 12;
/// An edge counts towards a step if it jumps by this part of the least jump, before the step's height is known.
const CANDIDATE: f32 = 2.0 / 3.0;
/// So many percent of the edges must do so for a closer look.
const CANDIDATES: usize = 70;
/// How far the jump of an edge may be from the step's height: a part of that, and some levels for what is in the picture.
const NEAR: (f32, f32) = (0.35, 2.0);
/// So many percent of the edges must be near the height: where the step is seen in two rows, and where in one only.
const ALIKE: (usize, usize) = (72, 90);
/// A straight edge must be so many times as high as the least jump.
const STRAIGHT: f32 = 1.5;
/// How far the heights of the two parts of a step may differ, as a part of its height.
const PARTS: f32 = 0.3;
/// The edges before and behind a step must jump by less than this part of its height.
const REST: f32 = 0.5;
/// A part of a row below so many MCUs, or this fraction of its width, is not told from none.
const MARGIN: (usize, usize) = (3, 16);
/// Where the levels along an edge vary by less than this (their variance), nothing shows whether they go on below it.
const VARIED: f32 = 25.0;
/// The correlation of the levels above and below an edge in one thing.
const CORRELATED: f32 = 0.95;

/// A jump that levels off by the same amount would make.
struct Step {
    /// The MCU at which it begins.
    at: usize,
    height: f32,
    straight: bool,
}

/// Brightness, blue less brightness, red less brightness.
type Levels = [f32; 3];

/// The jumps along the upper edges of all MCUs.
struct Edges {
    wide: usize,
    /// For each MCU in reading order, how much the level jumps, beyond what the picture does above and below the edge.
    jumps: Vec<Levels>,
    /// For each, the levels above and below the edge.
    sides: Vec<[Levels; 2]>,
}

/// Looks for a step in a picture whose MCUs are of this size, with restart markers after so many of them.
pub(super) fn find(image: &DynamicImage, unit: (usize, usize), restart: usize) -> Option<Doubt> {
    let (width, height) = (image.width() as usize, image.height() as usize);
    let (across, total) = (width.div_ceil(unit.0), width.div_ceil(unit.0) * height.div_ceil(unit.1));
    // A restart marker puts the level right.
    if restart > 0 && (restart as f64) <= MOST_LOST * total as f64 {
        return None;
    }
    let edges = Edges::new(image, unit)?;
    let kinds = if image.color().has_color() { 3 } else { 1 };
    let steps = (0..kinds).flat_map(|kind| edges.steps(kind).map(move |step| (step, kind)));
    let (step, kind) = steps.max_by(|(one, _), (other, _)| one.height.abs().total_cmp(&other.height.abs()))?;
    let place = step.at / edges.wide * across + step.at % edges.wide;
    let from = place as f64 / total as f64;
    let what = if kind == 0 { "brightness" } else { "colour" };
    (1.0 - from > MOST_LOST).then_some(Doubt::Seam { what, from, straight: step.straight })
}

impl Edges {
    fn new(image: &DynamicImage, (across, down): (usize, usize)) -> Option<Self> {
        let (width, height) = (image.width() as usize, image.height() as usize);
        let (wide, high) = (width / across, height / down);
        if wide < FEWEST || high < 3 || image.color().bytes_per_pixel() == 4 {
            return None;
        }
        let (bytes, channels) = (image.as_bytes(), usize::from(image.color().channel_count()));
        // The mean of two rows of pixels, as wide as an MCU.
        let level = |column: usize, y: usize| {
            let mut sums = [0u32; 3];
            for y in [y, y + 1] {
                let start = (y * width + column * across) * channels;
                for pixel in bytes[start..start + across * channels].chunks_exact(channels) {
                    sums.iter_mut().enumerate().for_each(|(at, sum)| *sum += u32::from(pixel[at.min(channels - 1)]));
                }
            }
            let [red, green, blue] = sums.map(|sum| sum as f32 / (2 * across) as f32);
            let brightness = (red + 2.0 * green + blue) / 4.0;
            [brightness, blue - brightness, red - brightness]
        };
        let rows = if height >= high * down + 4 { high + 1 } else { high };
        let (mut jumps, mut sides) = (vec![[0.0; 3]; wide], vec![[[0.0; 3]; 2]; wide]);
        for y in (1..rows).map(|row| row * down) {
            for column in 0..wide {
                let [far, above, below, beyond] = [y - 4, y - 2, y, y + 2].map(|y| level(column, y));
                let slope = |kind: usize| (above[kind] - far[kind] + beyond[kind] - below[kind]) / 2.0;
                jumps.push(std::array::from_fn(|kind| below[kind] - above[kind] - slope(kind)));
                sides.push([above, below]);
            }
        }
        Some(Self { wide, jumps, sides })
    }

    /// What may be steps.
    fn steps(&self, kind: usize) -> impl Iterator<Item = Step> {
        // How many edges up to each jump up, and down.
        let least = LEAST[kind] * CANDIDATE;
        let mut counts = vec![(0usize, 0usize)];
        for jump in &self.jumps {
            let (up, down) = counts[counts.len() - 1];
            counts.push((up + usize::from(jump[kind] > least), down + usize::from(jump[kind] < -least)));
        }
        // The edges that show the step are fewer than a row has where the damage itself covers some.
        let lengths = [self.wide, self.wide * 3 / 4, self.wide / 2].map(|length| length.max(FEWEST));
        let places = (self.wide..self.jumps.len()).flat_map(move |at| lengths.map(|length| (at, at + length)));
        places.filter_map(move |(at, end)| {
            let end = if end - at == self.wide { end.min(self.jumps.len()) } else { end };
            if end > self.jumps.len() || end - at < FEWEST.max(self.wide / 2) {
                return None;
            }
            let most = (counts[end].0 - counts[at].0).max(counts[end].1 - counts[at].1);
            if most * 100 < (end - at) * CANDIDATES {
                return None;
            }
            self.step(at, end, kind)
        })
    }

    /// The middle one of the jumps from one MCU up to another; `None` of none.
    fn median(&self, from: usize, to: usize, kind: usize) -> Option<f32> {
        let mut jumps: Vec<f32> = self.jumps[from..to].iter().map(|jump| jump[kind]).collect();
        let middle = jumps.len() / 2;
        if jumps.is_empty() { None } else { Some(*jumps.select_nth_unstable_by(middle, f32::total_cmp).1) }
    }

    /// The step whose edges are from `at` up to `end`, if there is one.
    fn step(&self, at: usize, end: usize, kind: usize) -> Option<Step> {
        let height = self.median(at, end, kind)?;
        let alike = self.jumps[at..end].iter().filter(|jump| near(jump[kind], height)).count();
        // Nothing is seen of a step in the first row but its second part.
        let full = end - at == self.wide || end == self.jumps.len() || at == self.wide;
        let turn = (at - at % self.wide + self.wide).min(end);
        let margin = (self.wide / MARGIN.1).max(MARGIN.0);
        let straight = turn - at < margin || end - turn < margin;
        let wanted = if straight || !full { ALIKE.1 } else { ALIKE.0 };
        if height.abs() < LEAST[kind] || alike * 100 < (end - at) * wanted {
            return None;
        }
        let damage = if straight {
            full && self.goes_on(at..end, kind, height)
        } else {
            self.turns(at..end, turn, kind, height)
        };
        damage.then_some(Step { at, height, straight })
    }

    /// Whether the picture goes on below a straight edge as it was above: a horizon is as straight, or the bar of a film.
    fn goes_on(&self, edges: Range<usize>, kind: usize, height: f32) -> bool {
        let sides: Vec<_> = edges.filter(|&at| near(self.jumps[at][kind], height)).map(|at| self.sides[at]).collect();
        height.abs() > STRAIGHT * LEAST[kind] && continues(&sides, kind)
    }

    /// Whether edges jump by the same height before and behind the end of a row, and those around them do not.
    fn turns(&self, edges: Range<usize>, turn: usize, kind: usize, height: f32) -> bool {
        let row = edges.start - edges.start % self.wide;
        let parts = [self.median(edges.start, turn, kind), self.median(turn, edges.end, kind)];
        let after = (row + 2 * self.wide).min(self.jumps.len()).max(edges.end);
        let rests = [self.median(row, edges.start, kind), self.median(edges.end, after, kind)];
        parts.into_iter().flatten().all(|part| (part - height).abs() < PARTS * height.abs())
            && rests.into_iter().flatten().all(|rest| rest.abs() < REST * height.abs())
    }
}

/// Whether the jump of an edge can be that of a step.
fn near(jump: f32, height: f32) -> bool {
    (jump - height).abs() < NEAR.0 * height.abs() + NEAR.1
}

/// Whether the levels below some edges follow those above, as in the midst of a thing.
fn continues(sides: &[[Levels; 2]], kind: usize) -> bool {
    let count = sides.len() as f32;
    let mean = |side: usize| sides.iter().map(|levels| levels[side][kind]).sum::<f32>() / count;
    let means = [mean(0), mean(1)];
    let product = |one: usize, other: usize| {
        let product = |levels: &[Levels; 2]| (levels[one][kind] - means[one]) * (levels[other][kind] - means[other]);
        sides.iter().map(product).sum::<f32>() / count
    };
    let (above, below) = (product(0, 0), product(1, 1));
    above.min(below) > VARIED && product(0, 1) > CORRELATED * (above * below).sqrt()
}
