//! What is usual for each family of models, where a setting leaves it open: the one place of these numbers. `docs/DEFAULTS.md` has
//! them in a table, with what others take.
//!
//! Sources: diffusers (`StableDiffusionPipeline`, `StableDiffusionXLPipeline`, the README of its example of Textual Inversion), InvokeAI
//! (`paramsSlice.ts`), invoke-training (`sd_textual_inversion_gnome_1x8gb.yaml`), Eden (`edenartlab/sd-lora-trainer`,
//! `train_configs/ti_SDXL.json`) and DTI (`kunheek/dti`, `exps/ours_sdxl.py`). The mini model's were measured
//! (`benches/README.md`); those of the other families were not measured here.

use super::{Backgrounds, Masks, Recipe, SamplerKind, Span};
use crate::embedding::ModelFamily;

/// What the mini model learns words from: below it are the noise levels where a picture is nearly there, and only fine things
/// are left to be learned.
const MINI_TIMESTEPS: Span = Span { from: 400, to: 1000 };

/// What keeps the mini model's words from drowning the rest of a prompt; at three times as much they mean less themselves.
const MINI_CONTEXT_WEIGHT: f64 = 0.1;

/// How pictures are usually made with a model of a family.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct UsualSampling {
    /// How closely the prompt is followed: that of diffusers' pipelines (A1111 has 7 for all, InvokeAI 7.5).
    pub guidance: f64,
    /// Denoising steps: InvokeAI's, between A1111's 20 and diffusers' 50.
    pub steps: u32,
    /// The sampling method where the model's files name none that there is: that in the files of the model that the family is named
    /// after.
    pub sampler: SamplerKind,
}

/// How an embedding is usually learned with a model of a family.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct UsualTraining {
    /// Optimiser steps, of four samples each.
    pub steps: u32,
    /// Vectors of an embedding.
    pub vectors: u32,
    /// Samples in a forward pass, and passes in a step: one after the other where each takes a gigabyte.
    pub batch: [u32; 2],
    /// The noise levels that are learned from, of a thousand; none for all.
    pub timesteps: Option<Span>,
    /// Where the masks of things come from.
    pub masks: Masks,
    /// What is behind things that have masks.
    pub backgrounds: Backgrounds,
    /// Whether captions are made for pictures that have none.
    pub makes_captions: bool,
    /// How much it counts when a word changes what the words behind it mean, where that was measured
    /// ([`with_context_weight`](crate::train::usual::with_context_weight)).
    pub context_weight: f64,
}

impl ModelFamily {
    /// How pictures are usually made.
    pub const fn sampling(self) -> UsualSampling {
        let (guidance, steps, sampler) = match self {
            ModelFamily::Mini => (4.0, 25, SamplerKind::Ddim),
            ModelFamily::Sd1 => (7.5, 30, SamplerKind::Pndm),
            ModelFamily::Sd2 => (7.5, 30, SamplerKind::Ddim),
            ModelFamily::Sdxl => (5.0, 30, SamplerKind::Euler),
        };
        UsualSampling { guidance, steps, sampler }
    }

    /// How embeddings are usually learned.
    ///
    /// For Stable Diffusion 1.x and 2.x as many samples as in invoke-training's configuration (2,000 steps of one), and its four
    /// vectors; for SDXL the steps of Eden and DTI (400 of four), and two vectors, as Replicate's and diffusers' trainers have them.
    pub const fn training(self) -> UsualTraining {
        let (steps, vectors, batch) = match self {
            ModelFamily::Mini => (600, 4, [4, 1]),
            ModelFamily::Sd1 | ModelFamily::Sd2 => (500, 4, [4, 1]),
            ModelFamily::Sdxl => (400, 2, [1, 4]),
        };
        let (timesteps, masks, backgrounds) = match self {
            ModelFamily::Mini => (Some(MINI_TIMESTEPS), Masks::Auto, Backgrounds::Plain),
            ModelFamily::Sd1 | ModelFamily::Sd2 | ModelFamily::Sdxl => (None, Masks::Given, Backgrounds::Kept),
        };
        let makes_captions = matches!(self, ModelFamily::Mini);
        let context_weight = if matches!(self, ModelFamily::Mini) { MINI_CONTEXT_WEIGHT } else { 0.0 };
        UsualTraining { steps, vectors, batch, timesteps, masks, backgrounds, makes_captions, context_weight }
    }

    /// The peak learning rate; of [`Recipe::Direction`] the tangent of the angle of each step.
    ///
    /// AdamW: for Stable Diffusion 1.x and 2.x invoke-training's, which falls along a cosine as ours does (its mean is the constant rate
    /// of diffusers' example); for SDXL Eden's. Direction: that of its authors' experiments with SDXL, and an angle means the same
    /// for all.
    pub const fn rate(self, recipe: Recipe) -> f64 {
        match (recipe, self) {
            (Recipe::Adamw, ModelFamily::Mini) => 1e-2,
            (Recipe::Adamw, ModelFamily::Sd1 | ModelFamily::Sd2) => 4e-3,
            (Recipe::Adamw, ModelFamily::Sdxl) => 1e-3,
            (Recipe::Direction, ModelFamily::Mini) => 1e-1,
            (Recipe::Direction, ModelFamily::Sd1 | ModelFamily::Sd2 | ModelFamily::Sdxl) => 4e-2,
        }
    }

    /// As it is called where there is little room.
    pub const fn short(self) -> &'static str {
        match self {
            ModelFamily::Mini => "mini",
            ModelFamily::Sd1 => "SD 1.x",
            ModelFamily::Sd2 => "SD 2.x",
            ModelFamily::Sdxl => "SDXL",
        }
    }
}

/// What is usual for each family, in words: `4 for mini, 7.5 for SD 1.x and SD 2.x, 5 for SDXL`.
pub fn of_each(usual: impl Fn(ModelFamily) -> String) -> String {
    let mut all: Vec<(String, Vec<&str>)> = Vec::new();
    for family in ModelFamily::ALL {
        let value = usual(family);
        match all.iter_mut().find(|(other, _)| *other == value) {
            Some((_, families)) => families.push(family.short()),
            None => all.push((value, vec![family.short()])),
        }
    }
    let each = all.into_iter().map(|(value, families)| format!("{value} for {}", families.join(" and ")));
    each.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_usual_is_said_once_for_families_that_share_it() {
        let guidance = of_each(|family| family.sampling().guidance.to_string());
        assert_eq!(guidance, "4 for mini, 7.5 for SD 1.x and SD 2.x, 5 for SDXL");
    }

    #[test]
    fn the_mini_model_has_the_values_that_were_measured_on_it() {
        let (sampling, training) = (ModelFamily::Mini.sampling(), ModelFamily::Mini.training());
        assert_eq!(sampling, UsualSampling { guidance: 4.0, steps: 25, sampler: SamplerKind::Ddim });
        let expected = UsualTraining {
            steps: 600,
            vectors: 4,
            batch: [4, 1],
            timesteps: Some(Span { from: 400, to: 1000 }),
            masks: Masks::Auto,
            backgrounds: Backgrounds::Plain,
            makes_captions: true,
            context_weight: 0.1,
        };
        assert_eq!(training, expected);
        assert_eq!([Recipe::Adamw, Recipe::Direction].map(|recipe| ModelFamily::Mini.rate(recipe)), [1e-2, 1e-1]);
    }

    #[test]
    fn every_family_has_four_samples_a_step() {
        assert!(ModelFamily::ALL.iter().all(|family| family.training().batch.iter().product::<u32>() == 4));
    }
}
