//! The two recipes that move the rows, in f32 on the host: they are a few hundred numbers.

use std::ops::Range;

use super::state::{Numbers, RunState};
use super::usual;
use crate::Result;
use crate::base::math::norm;
use crate::config::{LrSchedule, Recipe, Span, TrainConfig};
use crate::text::{Rows, TextEncoder};

/// The learning rate of step `step`, counted from 0, as diffusers' `get_scheduler` has it; `peak` is that after warm-up
/// ([`usual::rate`](super::usual::rate)).
pub(super) fn learning_rate(config: &TrainConfig, peak: f64, step: u32) -> f64 {
    let (step, warmup, steps) = (f64::from(step), f64::from(config.warmup), f64::from(config.steps()));
    if step < warmup {
        return peak * step / warmup.max(1.0);
    }
    let rest = (steps - warmup).max(1.0);
    let factor = match config.lr_schedule {
        LrSchedule::Constant => 1.0,
        LrSchedule::Linear => ((steps - step) / rest).max(0.0),
        LrSchedule::Cosine => 0.5 * (1.0 + libm::cos(std::f64::consts::PI * (step - warmup) / rest)),
    };
    peak * factor
}

/// The rows, in each the vectors for all text encoders side by side, and the state of the recipe that moves them.
#[derive(Clone)]
pub(super) struct Optimiser {
    rows: Vec<f32>,
    /// Where each vector is.
    places: Vec<Place>,
    steps: i32,
    recipe: RecipeState,
    hold: Option<Hold>,
    /// What rates are counted in: of a rate in usual lengths that of the first text encoder, else 1.
    unit: f64,
    /// What a rate is multiplied by for each text encoder, of the first 1.
    rates: Vec<f64>,
}

/// Where a vector is among the numbers, and which encoder it is for.
#[derive(Clone)]
struct Place {
    encoder: usize,
    span: Range<usize>,
}

/// How long vectors are held at one length (CoRe, AAAI 2025): their directions go on moving, and they cannot outgrow the
/// other words of a prompt in the meantime.
#[derive(Clone)]
struct Hold {
    /// After which step each length is taken, and after which it is held for the last time.
    span: Span,
    /// The length of each vector; none before they are taken.
    lengths: Vec<f64>,
}

#[derive(Clone)]
enum RecipeState {
    Adamw {
        m: Vec<f32>,
        v: Vec<f32>,
        beta1: f64,
        beta2: f64,
        eps: f64,
        weight_decay: f64,
    },
    /// `m` and `scales` have one number for each vector.
    Direction {
        initial: Vec<f32>,
        m: Vec<f64>,
        beta: f64,
        kappa: f64,
        scales: Vec<f32>,
    },
}

impl Optimiser {
    /// `rows` are what the embedding starts from, with the columns of all text encoders side by side.
    pub fn new(config: &TrainConfig, rows: Rows, encoders: &[TextEncoder]) -> Self {
        let (mut places, mut start) = (Vec::new(), 0);
        for _ in 0..rows.count() {
            for (encoder, width) in encoders.iter().map(TextEncoder::width).enumerate() {
                places.push(Place { encoder, span: start..start + width });
                start += width;
            }
        }
        let mut rows = rows.values;
        let recipe = match config.recipe {
            Recipe::Adamw => RecipeState::Adamw {
                m: vec![0.0; rows.len()],
                v: vec![0.0; rows.len()],
                beta1: config.beta1.unwrap_or(0.9),
                beta2: config.beta2,
                eps: config.eps,
                weight_decay: config.weight_decay,
            },
            Recipe::Direction => {
                places.iter().for_each(|place| normalise(&mut rows[place.span.clone()]));
                let initial = rows.clone();
                let norms: Vec<f32> = encoders.iter().map(|encoder| encoder.model.mean_row_norm() as f32).collect();
                let scales: Vec<f32> = places.iter().map(|place| norms[place.encoder]).collect();
                for (place, scale) in places.iter().zip(&scales) {
                    rows[place.span.clone()].iter_mut().for_each(|value| *value *= scale);
                }
                let m = vec![0.0; places.len()];
                RecipeState::Direction { initial, m, beta: config.beta1.unwrap_or(0.0), kappa: config.kappa, scales }
            }
        };
        let sizes = encoders.iter().map(|encoder| if usual::is_relative(config) { usual_size(encoder) } else { 1.0 });
        let sizes: Vec<f64> = sizes.collect();
        let unit = sizes.first().copied().unwrap_or(1.0);
        let rates = sizes.iter().map(|size| size / unit).collect();
        let span = config.hold_norm.filter(|_| config.recipe == Recipe::Adamw);
        let mut optimiser = Self {
            rows,
            places,
            steps: 0,
            recipe,
            hold: span.map(|span| Hold { span, lengths: Vec::new() }),
            unit,
            rates,
        };
        optimiser.hold_lengths();
        optimiser
    }

    /// What the rates of the run's settings are counted in.
    pub fn unit(&self) -> f64 {
        self.unit
    }

    /// Times that the rows moved.
    pub fn steps(&self) -> i32 {
        self.steps
    }

    /// Writes all numbers that move into a state, under names that begin with `prefix`.
    pub fn save(&self, prefix: &str, state: &mut RunState) {
        let mut put = |name: &str, numbers| state.put_numbers(format!("{prefix}{name}"), numbers);
        put("rows", Numbers::F32(self.rows.clone()));
        match &self.recipe {
            RecipeState::Adamw { m, v, .. } => {
                put("mean", Numbers::F32(m.clone()));
                put("square", Numbers::F32(v.clone()));
            }
            RecipeState::Direction { m, .. } => put("square", Numbers::F64(m.clone())),
        }
        if let Some(hold) = self.hold.as_ref().filter(|hold| !hold.lengths.is_empty()) {
            put("held", Numbers::F64(hold.lengths.clone()));
        }
    }

    /// Reads back what [`save`](Self::save) wrote for the same recipe and size, when the rows had moved `steps` times.
    pub fn restore(&mut self, prefix: &str, steps: i32, state: &RunState) -> Result<()> {
        let count = self.rows.len();
        let f32s = |name: &str| state.f32s(&format!("{prefix}{name}"), count);
        self.rows = f32s("rows")?;
        self.steps = steps;
        match &mut self.recipe {
            RecipeState::Adamw { m, v, .. } => (*m, *v) = (f32s("mean")?, f32s("square")?),
            RecipeState::Direction { m, .. } => {
                *m = state.f64s(&format!("{prefix}square"), Some(self.places.len()))?;
            }
        }
        if let Some(Hold { span, lengths }) = &mut self.hold {
            let taken = i64::from(steps) >= i64::from(span.from);
            *lengths = if taken { state.f64s(&format!("{prefix}held"), Some(self.places.len()))? } else { Vec::new() };
        }
        Ok(())
    }

    /// All numbers of the rows, `[K, D]`.
    pub fn rows(&self) -> &[f32] {
        &self.rows
    }

    /// Moves one number.
    #[cfg(test)]
    pub fn nudge(&mut self, at: usize, by: f32) {
        self.rows[at] += by;
    }

    /// Euclidean norms of the vectors, each with the number of its text encoder.
    pub fn norms(&self) -> impl Iterator<Item = (usize, f64)> {
        self.places.iter().map(|place| (place.encoder, norm(&self.rows[place.span.clone()])))
    }

    /// Mean Euclidean norm of the vectors.
    pub fn mean_norm(&self) -> f64 {
        self.norms().map(|(_, norm)| norm).sum::<f64>() / self.places.len() as f64
    }

    /// Moves the rows against `gradient`, the gradient of the loss to [`rows`](Self::rows).
    ///
    /// Gives false, and leaves everything as it was, if a number would come out that is not finite: a finite gradient
    /// whose square overflows is enough.
    #[must_use]
    pub fn step(&mut self, gradient: &[f32], lr: f64) -> bool {
        let before = self.clone();
        self.moved(gradient, lr);
        self.hold_lengths();
        let finite = self.is_finite();
        if !finite {
            *self = before;
        }
        finite
    }

    /// Takes the length of each vector, or brings it back to that.
    fn hold_lengths(&mut self) {
        let steps = i64::from(self.steps);
        let Some(Hold { span, lengths }) = &mut self.hold else { return };
        if !(i64::from(span.from)..=i64::from(span.to)).contains(&steps) {
            return;
        }
        if lengths.is_empty() {
            *lengths = self.places.iter().map(|place| norm(&self.rows[place.span.clone()])).collect();
            return;
        }
        for (place, length) in self.places.iter().zip(lengths) {
            let row = &mut self.rows[place.span.clone()];
            let factor = (*length / norm(row)) as f32;
            row.iter_mut().for_each(|value| *value *= factor);
        }
    }

    fn is_finite(&self) -> bool {
        let finite = |values: &[f32]| values.iter().all(|value| value.is_finite());
        finite(&self.rows)
            && match &self.recipe {
                RecipeState::Adamw { m, v, .. } => finite(m) && finite(v),
                RecipeState::Direction { m, .. } => m.iter().all(|value| value.is_finite()),
            }
    }

    fn moved(&mut self, gradient: &[f32], lr: f64) {
        self.steps += 1;
        match &mut self.recipe {
            // torch.optim.AdamW: decoupled decay, then the bias-corrected step, in f32 as there.
            RecipeState::Adamw { m, v, beta1, beta2, eps, weight_decay } => {
                let correction1 = 1.0 - beta1.powi(self.steps);
                let correction2 = (1.0 - beta2.powi(self.steps)).sqrt();
                for place in &self.places {
                    let lr = lr * self.rates[place.encoder];
                    let decay = (1.0 - lr * *weight_decay) as f32;
                    let (size, root) = ((lr / correction1) as f32, correction2 as f32);
                    let span = || place.span.clone();
                    let moments = m[span()].iter_mut().zip(&mut v[span()]);
                    for ((row, &g), (m, v)) in self.rows[span()].iter_mut().zip(&gradient[span()]).zip(moments) {
                        *row *= decay;
                        *m += (g - *m) * (1.0 - *beta1) as f32;
                        *v = *v * *beta2 as f32 + g * g * (1.0 - *beta2) as f32;
                        *row -= size * *m / (v.sqrt() / root + *eps as f32);
                    }
                }
            }
            // Direction-only optimisation, arXiv 2512.13672: rows are `scale` times unit vectors u, and the gradient to
            // u is `scale` times that to the row.
            RecipeState::Direction { initial, m, beta, kappa, scales } => {
                let correction = 1.0 - beta.powi(self.steps);
                for (k, (place, scale)) in self.places.iter().zip(scales.iter()).enumerate() {
                    let span = place.span.clone();
                    let row = &mut self.rows[span.clone()];
                    let u: Vec<f64> = row.iter().map(|value| f64::from(*value / *scale)).collect();
                    let mut g: Vec<f64> = gradient[span.clone()]
                        .iter()
                        .zip(&initial[span])
                        .map(|(g, start)| f64::from(*g) * f64::from(*scale) - *kappa * f64::from(*start))
                        .collect();
                    let along: f64 = g.iter().zip(&u).map(|(g, u)| g * u).sum();
                    g.iter_mut().zip(&u).for_each(|(g, u)| *g -= along * u);
                    let square: f64 = g.iter().map(|g| g * g).sum();
                    m[k] = *beta * m[k] + (1.0 - *beta) * square;
                    let size = lr / ((m[k] / correction).sqrt() + 1e-8);
                    let moved: Vec<f64> = u.iter().zip(&g).map(|(u, g)| u - size * g).collect();
                    let length = moved.iter().map(|value| value * value).sum::<f64>().sqrt();
                    for (row, value) in row.iter_mut().zip(moved) {
                        *row = (value / length) as f32 * *scale;
                    }
                }
            }
        }
    }
}

/// How large a number in a row of a text encoder's vocabulary usually is: the median length of the rows over the root of
/// their width. AdamW moves every number by about its rate, so a rate in this unit turns a vector as far in every model.
fn usual_size(encoder: &TextEncoder) -> f64 {
    encoder.model.median_row_norm() / (encoder.width() as f64).sqrt()
}

fn normalise(row: &mut [f32]) {
    let length = norm(row).max(1e-12) as f32;
    row.iter_mut().for_each(|value| *value /= length);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    /// Two vectors of different lengths, moved by AdamW.
    fn held(from: u32, to: u32) -> Optimiser {
        let places = [0..2, 2..4].map(|span| Place { encoder: 0, span }).into();
        let (m, v) = (vec![0.0; 4], vec![0.0; 4]);
        let recipe = RecipeState::Adamw { m, v, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.0 };
        let hold = Some(Hold { span: Span { from, to }, lengths: Vec::new() });
        let mut optimiser =
            Optimiser { rows: vec![0.3, 0.4, -0.6, 0.8], places, steps: 0, recipe, hold, unit: 1.0, rates: vec![1.0] };
        optimiser.hold_lengths();
        optimiser
    }

    /// The lengths after each step, and how far each turned.
    fn lengths(optimiser: &mut Optimiser, steps: usize) -> Vec<[f64; 2]> {
        let step = |_| {
            assert!(optimiser.step(&[-0.3, 0.1, 0.2, -0.4], 0.05));
            let norms: Vec<f64> = optimiser.norms().map(|(_, norm)| norm).collect();
            [norms[0], norms[1]]
        };
        (0..steps).map(step).collect()
    }

    fn near(a: [f64; 2], b: [f64; 2]) -> bool {
        a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-6)
    }

    #[test]
    fn each_vector_keeps_its_length_between_two_steps_and_only_there() {
        let free = lengths(&mut held(100, 101), 8);
        let mut optimiser = held(2, 5);
        let found = lengths(&mut optimiser, 8);
        assert_eq!(found[..2], free[..2]);
        assert!(found[2..5].iter().all(|lengths| near(*lengths, found[1])), "{found:?}");
        assert!(!near(found[5], found[1]) && !near(free[2], free[1]));
        // Their directions go on moving.
        let mut turning = held(0, 9);
        let before = turning.rows.clone();
        assert!(lengths(&mut turning, 9).iter().all(|lengths| near(*lengths, [0.5, 1.0])));
        assert!(turning.rows.iter().zip(&before).all(|(a, b)| (a - b).abs() > 0.01), "{:?}", turning.rows);
    }

    #[test]
    fn a_rate_in_usual_lengths_is_another_for_each_text_encoder() {
        let moved = |lr: f64, rates: [f64; 2]| {
            let mut optimiser = held(100, 101);
            optimiser.places[1].encoder = 1;
            optimiser.rates = rates.into();
            let before = optimiser.rows.clone();
            assert!(optimiser.step(&[-0.3, 0.1, 0.2, -0.4], lr));
            let by = |(after, before): (&f32, &f32)| f64::from((after - before).abs());
            let moved: Vec<f64> = optimiser.rows.iter().zip(&before).map(by).collect();
            moved
        };
        let near = |moved: Vec<f64>, expected: [f64; 4]| {
            assert!(moved.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{moved:?}");
        };
        // AdamW's first step is as long as the rate, in every number.
        near(moved(0.05, [1.0, 1.0]), [0.05; 4]);
        near(moved(0.01, [1.0, 2.0]), [0.01, 0.01, 0.02, 0.02]);
    }

    #[test]
    fn the_lengths_that_are_held_are_part_of_the_state() {
        for made in 0..6 {
            let mut whole = held(2, 4);
            lengths(&mut whole, made);
            let mut state = RunState::new(0, 9, Arc::default());
            whole.save("good_", &mut state);
            let mut rest = held(2, 4);
            // Lengths of another moment, as after a rewind.
            lengths(&mut rest, 3);
            rest.restore("good_", whole.steps(), &state).unwrap();
            assert_eq!(lengths(&mut rest, 4), lengths(&mut whole, 4), "after {made} steps");
            assert_eq!(rest.rows, whole.rows);
        }
    }
}
