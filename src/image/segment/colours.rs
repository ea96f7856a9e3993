//! Models of which colours a thing has, and which are behind it.

/// Bins of the colour models for brightness and for the two differences of colour.
const BINS: [usize; 3] = [10, 20, 20];

/// The bins that a colour falls into, with what falls into each.
pub(super) type Bins = [(u16, f32); 8];

/// Brightness and two differences of colour, the first from 0 to 1, the others around 0.
pub(super) fn opponent([r, g, b]: [f32; 3]) -> [f32; 3] {
    let y = 0.299 * r + 0.587 * g + 0.114 * b;
    [y, 0.713 * (r - y), 0.564 * (b - y)]
}

/// How far two colours are apart, squared.
pub(super) fn apart(one: &[f32; 3], other: &[f32; 3]) -> f32 {
    let far = |i: usize| one[i] - other[i];
    far(0) * far(0) + 2.0 * (far(1) * far(1) + far(2) * far(2))
}

/// The eight bins around a colour.
pub(super) fn bins([y, red, blue]: [f32; 3]) -> Bins {
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
pub(super) struct Colours(Vec<f32>);

impl Colours {
    /// Of some pixels, each by its weight.
    pub fn of(pixels: &[Bins], weights: impl Iterator<Item = f32>) -> Self {
        let mut counts = vec![0.0; BINS.iter().product()];
        for (bins, weight) in pixels.iter().zip(weights) {
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
    pub fn mean<'a>(all: impl Iterator<Item = &'a Colours>) -> Self {
        let mut mean = vec![0.0; BINS.iter().product()];
        for one in all {
            mean.iter_mut().zip(&one.0).for_each(|(sum, value)| *sum += value);
        }
        let mut mean = Self(mean);
        mean.scale();
        mean
    }

    pub fn at(&self, bins: &Bins) -> f32 {
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
