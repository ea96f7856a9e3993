//! What is learned, and how: the model, the rows of the new word, and what moves them. No events are made here.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use burn::tensor::Tensor;

use super::context::{self, Context};
use super::dataset::Dataset;
use super::draws::RandomChoices;
use super::loss::DiffusionLoss;
use super::optimiser::Optimiser;
use super::sample::Sample;
use super::state::RunState;
use crate::model::Model;
use crate::ops::{Var, backward};
use crate::text::{Prompt, Rows, TextEncoder, Tokenizers};
use crate::{Result, ops};

/// Rows of embeddings and what moves them.
pub(super) struct Learner {
    pub model: Rc<Model>,
    /// They know the new token.
    pub tokenizers: Tokenizers,
    /// Embeddings that were known before; they may occur in captions and in the preview prompt.
    pub known: Rows,
    /// What the new rows started from, in words.
    pub init_note: String,
    pub optimiser: Optimiser,
    pub choices: RandomChoices,
    /// The pictures; none until they are encoded.
    pub dataset: Dataset,
    pub loss: DiffusionLoss,
    /// What keeps the rest of a prompt alive.
    pub context: Option<Context>,
    /// The new token.
    pub token: String,
    /// Samples in a forward pass.
    pub batch_size: usize,
    pub prompts: PromptCache,
    /// How long the rows of each text encoder's own words usually are; none until they are [measured](Self::begin).
    pub usual_lengths: Vec<f64>,
}

/// Captions that were tokenised: those of a run are few, and each step asks for some of them again.
#[derive(Default)]
pub(super) struct PromptCache(RefCell<HashMap<String, Prompt>>);

impl PromptCache {
    fn get(&self, caption: &str, tokenizers: &Tokenizers) -> Prompt {
        let mut known = self.0.borrow_mut();
        if let Some(prompt) = known.get(caption) {
            return prompt.clone();
        }
        let prompt = tokenizers.prompt(caption);
        known.insert(caption.to_owned(), prompt.clone());
        prompt
    }
}

impl Learner {
    /// Takes the encoded pictures, before the first step.
    pub fn begin(&mut self, dataset: Dataset) {
        self.dataset = dataset;
        let encoders = self.model.text_encoders.iter();
        self.usual_lengths = encoders.map(|encoder| encoder.model.median_row_norm()).collect();
    }

    /// Rows of the new word, for each text encoder.
    pub fn apart(&self, rows: &[f32]) -> Vec<Rows> {
        let rows = Rows { values: rows.to_vec(), width: self.known.width };
        rows.apart(self.model.text_encoders.iter().map(TextEncoder::width))
    }

    /// The rows of all embeddings, the new one last.
    pub fn rows(&self) -> Rows {
        let mut rows = self.known.clone();
        rows.values.extend(self.optimiser.rows());
        rows
    }

    /// How many times as long as those of the model's own words the longest of the new rows is.
    pub fn relative_length(&self) -> f64 {
        self.optimiser.norms().map(|(encoder, norm)| norm / self.usual_lengths[encoder]).fold(0.0, f64::max)
    }

    /// The samples of a step, counted from 0.
    pub fn samples(&self, step: u32) -> Result<Vec<Sample>> {
        self.choices.samples(u64::from(step), &self.dataset)
    }

    /// Whether a caption of the samples holds the new token, with room for all of its vectors.
    pub fn holds_token(&self, samples: &[Sample], token: &str) -> bool {
        let holds = |sample: &Sample| {
            let prompt = self.prompts.get(&sample.caption, &self.tokenizers);
            prompt.tokens().words.iter().any(|word| word == token)
        };
        samples.iter().any(holds)
    }

    /// The loss of samples, `[1]`.
    fn loss(&self, samples: &[Sample], rows: &Var<2>) -> Var<1> {
        let prompts: Vec<Prompt> =
            samples.iter().map(|sample| self.prompts.get(&sample.caption, &self.tokenizers)).collect();
        self.loss.of(samples, &prompts, rows)
    }

    /// Mean loss of the samples.
    pub async fn evaluate(&self, samples: &[Sample]) -> Result<f64> {
        let rows = Var::constant(self.rows().tensor(&self.model.device));
        let (mut sum, mut count) = (0.0, 0);
        for samples in samples.chunks(self.batch_size) {
            let loss = self.loss(samples, &rows).into_value();
            sum += f64::from(ops::read(loss).await?[0]) * samples.len() as f64;
            count += samples.len();
        }
        Ok(sum / count as f64)
    }

    /// The gradient to all rows of what a word does to the rest of a prompt, weighted.
    fn context_gradient(&self, samples: &[Sample]) -> Option<Tensor<2>> {
        let context = self.context.as_ref()?;
        let captions = context.captions(samples, &self.token).into_iter();
        let pairs: Vec<[Prompt; 2]> =
            captions.map(|pair| pair.map(|text| self.prompts.get(&text, &self.tokenizers))).collect();
        let rows = Var::leaf(self.rows().tensor(&self.model.device));
        let loss = context::loss(&self.model, &pairs, &rows, self.loss.recomputes())?;
        let weight = Tensor::ones([1], &self.model.device) * context.weight;
        backward(&loss, weight).take(&rows)
    }

    /// Mean loss of the samples, and the gradient to the new rows of that and of what else counts.
    pub async fn gradient(&self, samples: &[Sample]) -> Result<(f64, Vec<f32>)> {
        let passes = samples.chunks(self.batch_size);
        let share = 1.0 / passes.len() as f64;
        let known = self.known.count();
        let (mut total, mut sum) = (0.0, vec![0.0; self.optimiser.rows().len()]);
        for samples in passes {
            let rows = Var::leaf(self.rows().tensor(&self.model.device));
            let loss = self.loss(samples, &rows);
            let mut gradients = backward(&loss, Tensor::ones([1], &self.model.device));
            let all = rows.dims()[0];
            // The loss travels with the gradient: one reading a pass.
            // What else counts comes when the memory of the loss's own gradient is free again.
            let gradient = match (gradients.take(&rows), self.context_gradient(samples)) {
                (Some(gradient), Some(other)) => Some(gradient + other),
                (gradient, other) => gradient.or(other),
            };
            let values = match gradient {
                Some(gradient) => {
                    let new = gradient.narrow(0, known, all - known).reshape([sum.len()]);
                    ops::read(Tensor::cat(vec![loss.into_value(), new], 0)).await?
                }
                None => ops::read(loss.into_value()).await?,
            };
            total += f64::from(values[0]) * share;
            for (sum, value) in sum.iter_mut().zip(&values[1..]) {
                *sum += value * share as f32;
            }
        }
        Ok((total, sum))
    }

    /// Writes itself into a state.
    pub fn save(&self, state: &mut RunState) {
        self.optimiser.save("", state);
        state.put("optimiser_steps", &self.optimiser.steps());
    }

    /// Reads itself back.
    pub fn restore(&mut self, state: &RunState) -> Result<()> {
        self.optimiser.restore("", state.get("optimiser_steps")?, state)
    }
}
