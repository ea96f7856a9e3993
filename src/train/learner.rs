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
use super::words::Words;
use crate::model::Model;
use crate::ops::{Var, backward};
use crate::text::{Prompt, Rows, TextEncoder, Tokenizers};
use crate::{Result, ops};

/// Rows of embeddings and what moves them.
pub(super) struct Learner {
    pub model: Rc<Model>,
    /// They know the new tokens.
    pub tokenizers: Tokenizers,
    /// Embeddings that were known before; they may occur in captions and in the preview prompt.
    pub known: Rows,
    pub optimiser: Optimiser,
    pub choices: RandomChoices,
    /// The pictures; none until they are encoded.
    pub dataset: Dataset,
    pub loss: DiffusionLoss,
    /// What keeps the rest of a prompt alive.
    pub context: Option<Context>,
    /// The new words, whose rows are one behind the other.
    pub words: Words,
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

    /// Some of the new rows, for each text encoder.
    pub fn apart(&self, rows: &[f32]) -> Vec<Rows> {
        let rows = Rows { values: rows.to_vec(), width: self.known.width };
        rows.apart(self.model.text_encoders.iter().map(TextEncoder::width))
    }

    /// The rows of all embeddings, the new ones last.
    pub fn rows(&self) -> Rows {
        let mut rows = self.known.clone();
        rows.values.extend(self.optimiser.rows());
        rows
    }

    /// How many times as long as those of the model's own words the longest of the new rows is.
    pub fn relative_length(&self) -> f64 {
        self.optimiser.norms().map(|(encoder, norm)| norm / self.usual_lengths[encoder]).fold(0.0, f64::max)
    }

    /// Whose rows hold the longest of the new vectors, as the end of "a vector": nothing where there is one word.
    pub fn whose(&self) -> String {
        let times = |(encoder, norm): (usize, f64)| norm / self.usual_lengths[encoder];
        let all: Vec<f64> = self.optimiser.norms().map(times).collect();
        let longest = (0..all.len()).max_by(|a, b| all[*a].total_cmp(&all[*b])).unwrap_or_default();
        let row = longest / self.model.text_encoders.len().max(1);
        let mut ends = self.words.iter().scan(0, |end, word| {
            *end += word.vectors;
            Some((*end, &word.token))
        });
        let of = ends.find(|(end, _)| row < *end).filter(|_| self.words.len() > 1);
        of.map(|(_, token)| format!(" of {token}")).unwrap_or_default()
    }

    /// The samples of a step, counted from 0.
    pub fn samples(&self, step: u32) -> Result<Vec<Sample>> {
        self.choices.samples(u64::from(step), &self.dataset)
    }

    /// The captions of samples.
    pub fn prompts_of(&self, samples: &[Sample]) -> Vec<Prompt> {
        samples.iter().map(|sample| self.prompts.get(&sample.caption, &self.tokenizers)).collect()
    }

    /// Which of the new tokens the captions of the samples hold, with room for all of their vectors.
    pub fn held(&self, samples: &[Sample]) -> Vec<bool> {
        let prompts = self.prompts_of(samples);
        let named = |token: &str| prompts.iter().any(|prompt| prompt.tokens().words.iter().any(|word| word == token));
        self.words.tokens().into_iter().map(named).collect()
    }

    /// The loss of samples, `[1]`.
    fn loss(&self, samples: &[Sample], rows: &Var<2>) -> Var<1> {
        self.loss.of(samples, &self.prompts_of(samples), rows)
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
    pub fn context_gradient(&self, samples: &[Sample]) -> Option<Tensor<2>> {
        let context = self.context.as_ref()?;
        let captions = context.captions(samples, &self.words).into_iter();
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Kind, TrainConfig};
    use crate::image::Picture;
    use crate::session::Session;
    use crate::train::words::tests::fox_and_ink;
    use crate::train::{TrainInput, TrainJob, TrainPicture};
    use pollster::block_on;

    /// A run of two words of one picture each, with captions, after its pictures are encoded.
    fn begun(config: &TrainConfig, captions: &[&str]) -> TrainJob {
        let (device, mut quiet) = (crate::gpu::cpu(), |_| ());
        let session = block_on(Session::open(Rc::new(crate::mini::source()), &device, &mut quiet)).unwrap();
        let picture = |caption: &&str| {
            let pixels =
                image::RgbImage::from_fn(64, 64, |x, y| image::Rgb([(3 * x) as u8, (2 * y) as u8, (x + y) as u8]));
            TrainPicture { picture: Picture::new("p.png", pixels), caption: Some((*caption).to_owned()), mask: None }
        };
        let input = TrainInput { pictures: captions.iter().map(picture).collect(), ..TrainInput::default() };
        let config = TrainConfig { steps: Some(9), preview_every: 0, eval_every: 0, eval_size: 1, ..config.clone() };
        let mut job = session.train(&config, input).unwrap();
        while job.learner.dataset.pictures.is_empty() {
            block_on(job.next()).unwrap().unwrap();
        }
        job
    }

    fn norm(values: &[f32]) -> f64 {
        crate::base::math::norm(values)
    }

    #[test]
    fn the_gradient_of_both_words_is_the_slope() {
        let mut job = begun(&fox_and_ink(Kind::Object), &["a {} in {2} style"]);
        let samples = job.learner.samples(0).unwrap();
        let (_, gradient) = block_on(job.learner.gradient(&samples)).unwrap();
        let width = job.learner.known.width;
        assert_eq!(gradient.len(), 3 * width);
        let scale = gradient.iter().fold(0.0f32, |most, value| most.max(value.abs()));
        // The largest of each of the three rows, where rounding matters least.
        for row in 0..3 {
            let at = (row * width..(row + 1) * width).max_by(|a, b| gradient[*a].abs().total_cmp(&gradient[*b].abs()));
            let at = at.unwrap();
            const STEP: f32 = 1e-2;
            let mut loss = |by: f32| {
                job.learner.optimiser.nudge(at, by);
                let loss = block_on(job.learner.evaluate(&samples)).unwrap();
                job.learner.optimiser.nudge(at, -by);
                loss
            };
            let slope = (loss(STEP) - loss(-STEP)) / f64::from(2.0 * STEP);
            let off = (slope - f64::from(gradient[at])).abs();
            assert!(off < 0.02 * f64::from(scale) + 2e-5, "{at}: {slope}, {}", gradient[at]);
        }
    }

    #[test]
    fn a_caption_with_one_word_leaves_the_other_alone() {
        let job = begun(&fox_and_ink(Kind::Object), &["a {}, {2} style"]);
        for (caption, moved) in [
            ("a <fox> in noto style", [true, false]),
            ("a bear in <ink> style", [false, true]),
            ("a <fox>, <ink> style", [true; 2]),
        ] {
            let mut samples = job.learner.samples(0).unwrap();
            samples.iter_mut().for_each(|sample| sample.caption = caption.to_owned());
            let (_, gradient) = block_on(job.learner.gradient(&samples)).unwrap();
            assert_eq!(job.learner.held(&samples), moved, "{caption}");
            let own = job.learner.words.apart(&gradient, job.learner.known.width);
            let found: Vec<bool> = own.iter().map(|own| norm(own) > 0.0).collect();
            assert_eq!(found, moved, "{caption}");
        }
    }

    #[test]
    fn each_word_keeps_the_rest_of_its_own_scenes_alive() {
        let config = TrainConfig { context_weight: Some(0.5), ..fox_and_ink(Kind::Object) };
        let mut job = begun(&config, &["a {}, {2} style"]);
        (0..3 * job.learner.known.width).for_each(|at| job.learner.optimiser.nudge(at, 0.1 * (at % 7) as f32));
        let of = |scene: &str| {
            let mut samples = job.learner.samples(0).unwrap();
            samples.iter_mut().for_each(|sample| sample.scene = Some(scene.to_owned()));
            let gradient = job.learner.context_gradient(&samples).unwrap();
            let values = block_on(ops::read(gradient)).unwrap();
            job.learner
                .words
                .apart(&values, job.learner.known.width)
                .into_iter()
                .map(|own| norm(own) > 0.0)
                .collect::<Vec<_>>()
        };
        assert_eq!(of("a {} on a red background"), [true, false]);
        assert_eq!(of("{2} style, a bear on a red background"), [false, true]);
        let drawn: Vec<String> =
            (0..20).flat_map(|step| job.learner.samples(step).unwrap()).filter_map(|sample| sample.scene).collect();
        assert!(drawn.iter().any(|scene| scene.contains("{2}")) && drawn.iter().any(|scene| scene.contains("{}")));
    }

    #[test]
    fn the_word_with_the_longest_vector_is_named_where_there_are_two() {
        let mut job = begun(&fox_and_ink(Kind::Object), &["a {}, {2} style"]);
        let width = job.learner.known.width;
        for (row, named) in [(0, " of <fox>"), (1, " of <fox>"), (2, " of <ink>")] {
            job.learner.optimiser.nudge(row * width, 50.0 + row as f32);
            assert_eq!(job.learner.whose(), named);
        }
        let one =
            TrainConfig { second_token: None, second_init: None, second_vectors: None, ..fox_and_ink(Kind::Object) };
        assert_eq!(begun(&one, &["a {}"]).learner.whose(), "");
    }

    #[test]
    fn some_sentences_have_one_word_and_what_the_other_starts_from() {
        let config = TrainConfig { alone: 0.5, ..fox_and_ink(Kind::Object) };
        let job = begun(&config, &["a {}, {2} style"]);
        let captions = |job: &TrainJob| -> Vec<String> {
            (0..25).flat_map(|step| job.learner.samples(step).unwrap()).map(|sample| sample.caption).collect()
        };
        let all = captions(&job);
        let share = |text: &str| all.iter().filter(|caption| *caption == text).count() as f64 / all.len() as f64;
        assert!((share("a <fox>, <ink> style") - 0.5).abs() < 0.15, "{all:?}");
        let alone = [share("a <fox>, flat style"), share("a cat, <ink> style")];
        assert!(alone.iter().all(|share| (share - 0.25).abs() < 0.13), "{alone:?}");
        let never = begun(&TrainConfig { alone: 0.0, ..config.clone() }, &["a {}, {2} style"]);
        assert!(captions(&never).iter().all(|caption| caption == "a <fox>, <ink> style"));
        let bare =
            begun(&TrainConfig { caption_dropout: 0.999, alone: 0.0, ..config }, &["a {}, {2} style", "a {2} hat"]);
        let bare: std::collections::BTreeSet<String> = captions(&bare).into_iter().collect();
        assert!(bare.contains("<fox> <ink>") && bare.contains("<ink>"), "{bare:?}");
    }
}
