//! Damage that a JPEG's codes do not show: from one MCU on, all levels are off by the same amount.
//!
//! A block's level is stored as the difference to that of the block before it, so a few wrong bits shift all that follow.
//! In the picture that is a step: along the upper edge of the rest of one row of MCUs, then along the lower edge of its
//! beginning, a jump of one height. Nothing that is photographed ends like that.

use image::DynamicImage;

use super::{Doubt, MOST_LOST};

/// Jumps below these are not seen, of brightness and of the two differences of colour, in levels of 255.
const LEAST: [f32; 3] = [5.0, 5.0, 5.0];
/// Fewer MCUs than this in a line prove nothing.
const FEWEST: usize = 12;

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
    let steps = (0..kinds).flat_map(|kind| edges.steps(kind).map(move |(at, jump)| (at, jump.abs(), kind)));
    let (at, _, kind) = steps.max_by(|one, other| one.1.total_cmp(&other.1))?;
    let place = at / edges.wide * across + at % edges.wide;
    let from = place as f64 / total as f64;
    let what = if kind == 0 { "brightness" } else { "colour" };
    (1.0 - from > MOST_LOST).then_some(Doubt::Seam { what, from })
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

    /// The MCUs at which a step may begin, with its height.
    fn steps(&self, kind: usize) -> impl Iterator<Item = (usize, f32)> {
        // How many edges up to each jump up, and down.
        let least = LEAST[kind] * 2.0 / 3.0;
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
            if most * 10 < (end - at) * 7 {
                return None;
            }
            self.step(at, end, kind).map(|height| (at, height))
        })
    }

    /// Whether there is a step whose edges are from `at` up to `end`, and how high.
    fn step(&self, at: usize, end: usize, kind: usize) -> Option<f32> {
        let median = |from: usize, to: usize| {
            let mut jumps: Vec<f32> = self.jumps[from..to].iter().map(|jump| jump[kind]).collect();
            let middle = jumps.len() / 2;
            if jumps.is_empty() { None } else { Some(*jumps.select_nth_unstable_by(middle, f32::total_cmp).1) }
        };
        let height = median(at, end)?;
        let near = |jump: f32| (jump - height).abs() < 0.35 * height.abs() + 2.0;
        let alike = self.jumps[at..end].iter().filter(|jump| near(jump[kind])).count();
        // Nothing is seen of a step in the first row but its second part.
        let full = end - at == self.wide || end == self.jumps.len() || at == self.wide;
        let row = at - at % self.wide;
        let turn = (row + self.wide).min(end);
        let margin = (self.wide / 16).max(3);
        let straight = turn - at < margin || end - turn < margin;
        let wanted = if straight || !full { 90 } else { 72 };
        if height.abs() < LEAST[kind] || alike * 100 < (end - at) * wanted {
            return None;
        }
        if straight {
            // A horizon is as straight, or the bar of a film: only where the picture goes on below as it was above is it damage.
            let sides: Vec<_> = (at..end).filter(|&at| near(self.jumps[at][kind])).map(|at| self.sides[at]).collect();
            return (full && height.abs() > 1.5 * LEAST[kind] && continues(&sides, kind)).then_some(height);
        }
        let parts = [median(at, turn), median(turn, end)].map(|part| part.unwrap_or(height));
        let rests = [median(row, at), median(end, (row + 2 * self.wide).min(self.jumps.len()).max(end))];
        let step = parts.iter().all(|part| (part - height).abs() < 0.3 * height.abs());
        (step && rests.into_iter().flatten().all(|rest| rest.abs() < 0.5 * height.abs())).then_some(height)
    }
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
    above.min(below) > 25.0 && product(0, 1) > 0.95 * (above * below).sqrt()
}
