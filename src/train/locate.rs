//! Where the model itself sees a thing: the maps that [`find_things`](crate::image::find_things) begins with.
//!
//! Noise is removed from a picture under a caption that names the thing by the word that training starts from; where attention to that
//! word is, there is the thing, or what is most like it. The map is coarse; colours, roughness and edges do the rest.

use burn::tensor::Tensor;

use super::dataset::CachedLatents;
use super::learner::Learner;
use super::sample::Sample;
use super::words::Word;
use crate::config::Init;
use crate::image::AttentionMap;
use crate::noise::{Noise, Stream};
use crate::ops::Var;
use crate::text::Prompt;
use crate::{Result, ops};

/// The timesteps, as shares of all: with less noise there is little to be drawn, with more nothing to be seen.
const TIMESTEPS: [f64; 5] = [0.3, 0.4, 0.5, 0.6, 0.7];

/// A caption with the thing in it, and with nothing.
const CAPTION: [&str; 2] = ["a picture of a ", "a picture of a"];

/// Looks for a thing by the words for it.
pub(super) struct Locator {
    noise: Noise,
    words: String,
}

impl Locator {
    /// None where no words are known for the thing. A learned word that training starts from is one, by its token.
    pub fn new(seed: u64, thing: &Word) -> Option<Self> {
        let words = match &thing.init {
            Init::Phrase(phrase) => phrase.clone(),
            Init::Embedding(_) => thing.token.clone(),
            Init::Random => return None,
        };
        Some(Self { noise: Noise::new(seed), words })
    }

    /// Where the model sees the thing in a picture; none if its text encoder sees no words.
    ///
    /// # Errors
    /// Those of the device.
    pub async fn locate(&self, learner: &Learner, view: &CachedLatents) -> Result<Option<AttentionMap>> {
        let model = &learner.model;
        let [with, without] = CAPTION;
        let prompt = learner.tokenizers.prompt(&format!("{with}{}", self.words));
        // The tokens at the end that the other caption does not have.
        let text = |prompt: &Prompt| prompt.tokens().first().text.clone();
        let (own, before) = (text(&prompt), text(&learner.tokenizers.prompt(without)));
        let places = own.start + before.len()..own.end;
        if places.is_empty() {
            return Ok(None);
        }
        let length = prompt.tokens().first().ids.len();
        let marks: Vec<f32> = (0..length).map(|at| f32::from(u8::from(places.contains(&at)))).collect();
        let rows = Var::constant(learner.rows().tensor(&model.device));
        let (all, scale) = (model.config.scheduler.num_train_timesteps as f64, model.config.vae.scaling_factor as f32);
        let (mut sum, mut side): (Vec<f32>, usize) = (Vec::new(), 0);
        for (i, share) in TIMESTEPS.iter().enumerate() {
            let noise = self.noise.draws(i as u64, Stream::Locate).normals(view.mean.len());
            let sample = Sample::of_mean(view, scale, (all * share) as usize, noise);
            let marks = Tensor::<1>::from_floats(marks.as_slice(), &model.device).reshape([1, length]);
            let Some(map) = learner.loss.attended(&[sample], std::slice::from_ref(&prompt), &rows, marks) else {
                return Ok(None);
            };
            side = map.dims()[1];
            let map = ops::read(map).await?;
            if sum.is_empty() {
                sum = vec![0.0; map.len()];
            }
            sum.iter_mut().zip(map).for_each(|(sum, value)| *sum += value);
        }
        Ok(sum.iter().all(|value| value.is_finite()).then_some(AttentionMap { side, values: sum }))
    }
}
