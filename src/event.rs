//! Everything a long job reports, in the order in which it happens.
//!
//! This is the one vocabulary of the command line, of its JSON output (one event per line) and of the page: front ends
//! only render it. Work advances only while somebody asks a job for its next event, so pausing is not asking and
//! cancelling is dropping. Errors end a job as `Err`, never as an event. Big values (pictures, vectors) stay beside the
//! stream, in the job.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use crate::parts::Part;
use crate::setting::{Wording, worded};
pub use crate::train::Quality;
pub use crate::warning::WarningCode;

/// Which pictures a fixed evaluation batch is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum EvaluatedOn {
    /// Those that are trained on.
    Training,
    /// Others of the same thing, held out.
    Unseen,
}

/// A part of a caption that was made from a picture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CaptionPart {
    /// What it is about.
    pub slot: Slot,
    /// What it says.
    pub words: String,
    /// Who says so.
    pub by: Judge,
    /// How sure that is, up to 1. For the pixels, the share of the picture's border that has the colour; for the model, the
    /// probability that what it says fits better than the next best.
    pub sure: f64,
}

/// What a part of a caption is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Slot {
    /// What the picture is made as: a photo, a drawing, a known style.
    Medium,
    /// What is behind the thing.
    Background,
}

/// Who made a part of a caption.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Judge {
    /// It is seen in the pixels.
    Pixels,
    /// The model that is trained with.
    Model,
}

/// Something that happened in a job.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Event {
    /// The device that will do the work, and why it was chosen.
    Device {
        /// `cpu` or `gpu`.
        kind: String,
        /// The adapter or processor.
        name: String,
        /// Why this one.
        reason: String,
    },
    /// Matrix products are made in another precision than f32, and why.
    Precision {
        /// `f16`, with sums in f32; or `f32`, in a run that had another before.
        products: String,
        /// In which way, and why.
        reason: String,
    },
    /// Settings were taken up from a picture.
    TakenUp {
        /// Its file.
        path: String,
        /// The prompt, if none was given by hand.
        #[serde(skip_serializing_if = "Option::is_none")]
        prompt: Option<String>,
        /// The settings, by their names in settings files.
        settings: Map<String, Value>,
        /// What it says, and was given otherwise by hand, which counts.
        given: Vec<String>,
    },
    /// Bytes of files that are being downloaded have arrived.
    Fetch {
        /// The file, as people know it: `owner/name/unet/config.json`.
        file: String,
        /// Which of the files, from 1.
        number: usize,
        /// How many files there are.
        files: usize,
        /// Bytes of all of them that have arrived.
        done: u64,
        /// Bytes of all of them, if known.
        #[serde(skip_serializing_if = "Option::is_none")]
        total: Option<u64>,
        /// Bytes per second, over the last seconds.
        rate: f64,
        /// Seconds left, if they can be estimated.
        #[serde(skip_serializing_if = "Option::is_none")]
        left: Option<f64>,
    },
    /// Weights of a part are being loaded.
    Load {
        /// Which part.
        part: Part,
        /// Tensors loaded so far.
        done: u32,
        /// Tensors in all.
        total: u32,
    },
    /// A picture was prepared and its latents are cached.
    Encode {
        /// Pictures encoded so far.
        done: u32,
        /// Pictures in all.
        total: u32,
        /// The picture's name.
        name: String,
        /// How it was fitted to the model's square: orientation, crop or padding, scaling, alpha.
        prepared: String,
    },
    /// The model looked for the thing in a picture that has no mask.
    Locate {
        /// Pictures looked at so far, with those that have masks.
        done: u32,
        /// Pictures in all.
        total: u32,
        /// The picture's name.
        name: String,
    },
    /// What of the pictures is the thing, of each of them.
    Masks {
        /// How much what is outside counts.
        outside: f64,
        /// The pictures, held back ones last.
        masks: Vec<MaskOf>,
    },
    /// A picture without a caption was looked at, to make one.
    Describe {
        /// Pictures looked at so far.
        done: u32,
        /// Pictures without captions in all.
        total: u32,
        /// The picture's name.
        name: String,
    },
    /// A caption was made from a picture.
    Caption {
        /// The picture's name.
        name: String,
        /// The caption, with `{}` for the word; none if nothing was clear enough to be said.
        #[serde(skip_serializing_if = "Option::is_none")]
        caption: Option<String>,
        /// What it says, part by part.
        parts: Vec<CaptionPart>,
        /// The colours that the thing is put before in turn, each of which its caption then names. None where the picture is learned
        /// from as it is.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        backgrounds: Vec<String>,
    },
    /// Training starts from here, with what was decided where the user left the choice open.
    Plan {
        /// The placeholder token.
        token: String,
        /// Vectors it stands for.
        vectors: u32,
        /// What the vectors start from.
        init: String,
        /// The second word, if two are learned.
        #[serde(skip_serializing_if = "Option::is_none")]
        second: Option<PlannedWord>,
        /// Optimiser steps.
        steps: u32,
        /// The recipe.
        recipe: String,
        /// Peak learning rate.
        lr: f64,
        /// Samples in an optimiser step (batch size times accumulation).
        samples_per_step: u32,
        /// Whether blocks are recomputed in the backward pass to save memory.
        checkpointing: bool,
    },
    /// A run resumes from where it was saved.
    Resumed {
        /// Steps made before.
        step: u32,
        /// Of how many.
        of: u32,
    },
    /// The first gradient, checked: training that cannot work is noticed at once.
    FirstGradient {
        /// Euclidean norm of the gradient of the loss with respect to all rows.
        norm: f64,
    },
    /// One optimiser step is done.
    Step {
        /// Its number, from 1.
        step: u32,
        /// Of how many.
        of: u32,
        /// Mean loss of its samples.
        loss: f64,
        /// Learning rate used.
        lr: f64,
        /// Euclidean norm of the gradient.
        grad_norm: f64,
        /// Mean norm of the rows after the step.
        row_norm: f64,
        /// Seconds it took; where it shared passes, with those beside it.
        secs: f64,
    },
    /// A step whose loss or gradient was not finite; the rows are unchanged.
    Skipped {
        /// Its number.
        step: u32,
        /// What was not finite.
        reason: String,
        /// Steps skipped so far.
        skipped: u32,
    },
    /// Training diverged and continues from earlier, good vectors at a lower rate.
    Rewound {
        /// The step at which that was seen.
        step: u32,
        /// The step after which the vectors were good.
        to: u32,
        /// The peak of the learning rate from now on.
        lr: f64,
        /// What was seen.
        reason: String,
    },
    /// Loss on a fixed evaluation batch: comparable from step to step.
    Evaluation {
        /// Which pictures the batch is made of.
        on: EvaluatedOn,
        /// After how many steps; 0 is before training.
        step: u32,
        /// The loss.
        loss: f64,
        /// The same at step 0.
        initial: f64,
    },
    /// A preview picture is ready in the job.
    Preview {
        /// After how many steps.
        step: u32,
        /// Where it was written, if it was.
        #[serde(skip_serializing_if = "Option::is_none")]
        path: Option<String>,
    },
    /// One denoising step of a generation is done.
    Denoise {
        /// Its number, from 1.
        step: u32,
        /// Of how many.
        of: u32,
        /// Seconds it took.
        secs: f64,
    },
    /// Pictures are ready in the job.
    Pictures {
        /// How many.
        count: u32,
    },
    /// A file was written for the user.
    Saved {
        /// What it is: `embedding`, `checkpoint`, `state`, `sheet`, `picture`, `log`, `loss curve`.
        what: String,
        /// Where it is.
        path: String,
    },
    /// Something the user should know that does not stop the job.
    Warning {
        /// A stable name for programs.
        code: WarningCode,
        /// The sentence for people.
        text: String,
    },
    /// Early stopping decided that the embedding has converged.
    Converged {
        /// After how many steps.
        step: u32,
        /// Variance of the last evaluations relative to all of them.
        ratio: f64,
    },
    /// A word that was learned is tried in scenes, to see what it is worth.
    Trying {
        /// Passes made so far.
        done: u32,
        /// Of how many.
        total: u32,
    },
    /// What a word that was learned is worth.
    Quality(Box<Quality>),
    /// The job is done.
    Done {
        /// Optimiser or denoising steps made.
        steps: u32,
        /// Seconds in all.
        secs: f64,
    },
}

impl Event {
    /// The event with settings named as a front end names them.
    #[must_use]
    pub fn worded(&self, wording: Wording<'_>) -> Event {
        let mut event = self.clone();
        match &mut event {
            Event::Device { reason: text, .. } | Event::Rewound { reason: text, .. } | Event::Warning { text, .. } => {
                *text = worded(text, wording);
            }
            Event::Quality(quality) => {
                quality.advice = quality.advice.as_ref().map(|advice| worded(advice, wording));
            }
            _ => {}
        }
        event
    }

    /// A warning with a stable code.
    pub fn warning(code: WarningCode, text: impl Into<String>) -> Self {
        Event::Warning { code, text: text.into() }
    }
}

/// What of a picture is the thing.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MaskOf {
    /// The picture's name.
    pub name: String,
    /// Where that is known from.
    pub origin: MaskOrigin,
    /// How much of the picture it is, from 0 to 1; none without a mask.
    pub share: Option<f64>,
    /// How sure that is, from 0 to 1, where it was looked for.
    pub confidence: Option<f64>,
}

/// A word that is learned.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct PlannedWord {
    /// The placeholder token.
    pub token: String,
    /// Vectors it stands for.
    pub vectors: u32,
    /// What the vectors start from.
    pub init: String,
}

/// Where a mask is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum MaskOrigin {
    /// It was given with the picture.
    Given,
    /// The picture is transparent around it.
    Transparency,
    /// The program found it.
    Found,
    /// The program looked for it and is not sure, so all of the picture counts.
    Unsure,
    /// There is none: all of the picture counts.
    None,
}
