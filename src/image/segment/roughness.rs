//! How rough pictures are at each place: in a photo the thing is in focus and what is behind it is not, or the thing is smooth and what is behind
//! it has a pattern.

/// Classes of roughness, from what is flat; each but the first few is twice as rough as the one before.
const CLASSES: usize = 8;
/// The deviation that the second class has: about what rounding to a byte makes.
const LEAST: f32 = 1.0 / 512.0;
/// The side of the squares that are looked at.
const SIDE: usize = 3;
/// The share of pixels of any class that is taken for granted in what was counted.
const FLOOR: f32 = 0.02;

/// The classes that a pixel is between, and how much it is in each.
pub(super) type Between = [(usize, f32); 2];

/// For each pixel of a picture: the deviation of colour in the smoothest of the four squares that it is a corner of, because the others may
/// have an edge in them.
pub(super) fn roughness(pixels: &[[f32; 3]], width: usize, height: usize) -> Vec<Between> {
    let [columns, rows] = [width, height].map(|length| length.saturating_sub(SIDE - 1).max(1));
    let variances: Vec<f32> = (0..columns * rows)
        .map(|square| {
            let (left, top) = (square % columns, square / columns);
            variance(pixels, width, left..(left + SIDE).min(width), top..(top + SIDE).min(height))
        })
        .collect();
    // The squares that begin at a pixel and end at it.
    let around = |at: usize, squares: usize| [at.saturating_sub(SIDE - 1).min(squares - 1), at.min(squares - 1)];
    let smoothest = |x: usize, y: usize| {
        let [left, right] = around(x, columns);
        let of = |y: usize| f32::min(variances[y * columns + left], variances[y * columns + right]);
        let [above, below] = around(y, rows);
        f32::min(of(above), of(below))
    };
    (0..height).flat_map(|y| (0..width).map(move |x| (x, y))).map(|(x, y)| between(smoothest(x, y))).collect()
}

/// The variance of the colours in a square, of all three numbers together.
fn variance(pixels: &[[f32; 3]], width: usize, columns: std::ops::Range<usize>, rows: std::ops::Range<usize>) -> f32 {
    let count = (columns.len() * rows.len()) as f32;
    // From the first pixel on, so that what is flat has no variance at all, whatever its colour.
    let first = pixels[rows.start * width + columns.start];
    let (mut sums, mut squares) = ([0.0f32; 3], 0.0f32);
    for y in rows {
        for pixel in &pixels[y * width + columns.start..y * width + columns.end] {
            for ((sum, value), first) in sums.iter_mut().zip(pixel).zip(first) {
                let off = value - first;
                *sum += off;
                squares += off * off;
            }
        }
    }
    let of_means: f32 = sums.iter().map(|sum| sum * sum).sum();
    ((squares - of_means / count) / count).max(0.0)
}

fn between(variance: f32) -> Between {
    let doublings = libm::log2f(libm::sqrtf(variance) / LEAST + 1.0);
    let place = doublings.min((CLASSES - 1) as f32);
    let class = (place as usize).min(CLASSES - 2);
    let part = place - class as f32;
    [(class, 1.0 - part), (class + 1, part)]
}

/// How many pixels of each class there are, in all 1.
pub(super) struct Roughness([f32; CLASSES]);

impl Roughness {
    /// Of some pixels, each by its weight.
    pub fn of(pixels: &[Between], weights: impl Iterator<Item = f32>) -> Self {
        let mut counts = [0.0; CLASSES];
        for (between, weight) in pixels.iter().zip(weights) {
            for (class, part) in between {
                counts[*class] += weight * part;
            }
        }
        let sum: f32 = counts.iter().sum();
        Self(counts.map(|count| count / sum.max(1e-6)))
    }

    pub fn at(&self, between: &Between) -> f32 {
        between.iter().map(|(class, part)| self.0[*class] * part).sum::<f32>() + FLOOR
    }
}
