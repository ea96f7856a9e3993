//! The two recipes that move the rows, in f32 on the host: they are a few hundred numbers.

use std::collections::BTreeMap;

use super::state::{Numbers, RunState};
use crate::Result;
use crate::base::math::norm;
use crate::config::{Recipe, TrainConfig};
use crate::text::ClipTextModel;

/// The learning rate over a run, as diffusers' `get_scheduler` has it.
pub mod learning_rate {
    use crate::config::{LrSchedule, TrainConfig};

    /// The rate that the schedule starts from after warm-up.
    pub fn peak(config: &TrainConfig) -> f64 {
        config.lr.unwrap_or(config.recipe.lr())
    }

    /// The rate of step `step`, counted from 0.
    pub fn at(config: &TrainConfig, step: u32) -> f64 {
        let (step, warmup, steps) = (f64::from(step), f64::from(config.warmup), f64::from(config.steps));
        if step < warmup {
            return peak(config) * step / warmup.max(1.0);
        }
        let rest = (steps - warmup).max(1.0);
        let factor = match config.lr_schedule {
            LrSchedule::Constant => 1.0,
            LrSchedule::Linear => ((steps - step) / rest).max(0.0),
            LrSchedule::Cosine => 0.5 * (1.0 + libm::cos(std::f64::consts::PI * (step - warmup) / rest)),
        };
        peak(config) * factor
    }
}

/// The rows and the state of the recipe that moves them.
#[derive(Clone)]
pub(super) struct Optimiser {
    rows: Vec<f32>,
    width: usize,
    steps: i32,
    method: Method,
}

#[derive(Clone)]
enum Method {
    Adamw { m: Vec<f32>, v: Vec<f32>, beta1: f64, beta2: f64, eps: f64, weight_decay: f64 },
    Direction { initial: Vec<f32>, m: Vec<f64>, beta: f64, kappa: f64, scale: f32 },
}

impl Optimiser {
    pub fn new(config: &TrainConfig, mut rows: Vec<f32>, width: usize, text: &ClipTextModel) -> Self {
        let method = match config.recipe {
            Recipe::Adamw => Method::Adamw {
                m: vec![0.0; rows.len()],
                v: vec![0.0; rows.len()],
                beta1: config.beta1.unwrap_or(0.9),
                beta2: config.beta2,
                eps: config.eps,
                weight_decay: config.weight_decay,
            },
            Recipe::Direction => {
                rows.chunks_exact_mut(width).for_each(normalise);
                let scale = text.mean_row_norm() as f32;
                let initial = rows.clone();
                rows.iter_mut().for_each(|value| *value *= scale);
                let m = vec![0.0; rows.len() / width];
                Method::Direction { initial, m, beta: config.beta1.unwrap_or(0.0), kappa: config.kappa, scale }
            }
        };
        Self { rows, width, steps: 0, method }
    }

    /// Times that the rows moved.
    pub fn steps(&self) -> i32 {
        self.steps
    }

    /// All that moves, by name.
    pub fn state(&self) -> BTreeMap<String, Numbers> {
        let mut numbers = BTreeMap::from([("rows".to_owned(), Numbers::F32(self.rows.clone()))]);
        match &self.method {
            Method::Adamw { m, v, .. } => {
                numbers.insert("mean".to_owned(), Numbers::F32(m.clone()));
                numbers.insert("square".to_owned(), Numbers::F32(v.clone()));
            }
            Method::Direction { m, .. } => {
                numbers.insert("square".to_owned(), Numbers::F64(m.clone()));
            }
        }
        numbers
    }

    /// Takes a state of the same recipe and size, in which the rows have moved `steps` times.
    pub fn restore(&mut self, state: &RunState, steps: i32) -> Result<()> {
        let count = self.rows.len();
        self.rows = state.f32s("rows", count)?;
        self.steps = steps;
        match &mut self.method {
            Method::Adamw { m, v, .. } => (*m, *v) = (state.f32s("mean", count)?, state.f32s("square", count)?),
            Method::Direction { m, .. } => *m = state.f64s("square", Some(count / self.width))?,
        }
        Ok(())
    }

    /// `[K, D]`.
    pub fn rows(&self) -> &[f32] {
        &self.rows
    }

    /// Mean Euclidean norm of the rows.
    pub fn mean_norm(&self) -> f64 {
        self.rows.chunks_exact(self.width).map(super::norm).sum::<f64>() / (self.rows.len() / self.width) as f64
    }

    /// Euclidean norm of the longest row.
    pub fn largest_norm(&self) -> f64 {
        self.rows.chunks_exact(self.width).map(super::norm).fold(0.0, f64::max)
    }

    /// Moves the rows against `gradient` `[K, D]`, the gradient of the loss to the rows.
    ///
    /// Gives false, and leaves everything as it was, if a number would come out that is not finite: a finite gradient whose
    /// square overflows is enough.
    #[must_use]
    pub fn step(&mut self, gradient: &[f32], lr: f64) -> bool {
        let before = self.clone();
        self.moved(gradient, lr);
        let finite = self.is_finite();
        if !finite {
            *self = before;
        }
        finite
    }

    fn is_finite(&self) -> bool {
        let finite = |values: &[f32]| values.iter().all(|value| value.is_finite());
        finite(&self.rows)
            && match &self.method {
                Method::Adamw { m, v, .. } => finite(m) && finite(v),
                Method::Direction { m, .. } => m.iter().all(|value| value.is_finite()),
            }
    }

    fn moved(&mut self, gradient: &[f32], lr: f64) {
        self.steps += 1;
        match &mut self.method {
            // torch.optim.AdamW: decoupled decay, then the bias-corrected step, in f32 as there.
            Method::Adamw { m, v, beta1, beta2, eps, weight_decay } => {
                let correction1 = 1.0 - beta1.powi(self.steps);
                let correction2 = (1.0 - beta2.powi(self.steps)).sqrt();
                let decay = (1.0 - lr * *weight_decay) as f32;
                let (size, root) = ((lr / correction1) as f32, correction2 as f32);
                for (((row, &g), m), v) in self.rows.iter_mut().zip(gradient).zip(m).zip(v) {
                    *row *= decay;
                    *m += (g - *m) * (1.0 - *beta1) as f32;
                    *v = *v * *beta2 as f32 + g * g * (1.0 - *beta2) as f32;
                    *row -= size * *m / (v.sqrt() / root + *eps as f32);
                }
            }
            // Direction-only optimisation, arXiv 2512.13672: rows are `scale` times unit vectors u, and the gradient to u
            // is `scale` times that to the row.
            Method::Direction { initial, m, beta, kappa, scale } => {
                let correction = 1.0 - beta.powi(self.steps);
                for (k, row) in self.rows.chunks_exact_mut(self.width).enumerate() {
                    let span = k * self.width..(k + 1) * self.width;
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

fn normalise(row: &mut [f32]) {
    let length = norm(row).max(1e-12) as f32;
    row.iter_mut().for_each(|value| *value /= length);
}
