//! What a run gives: the embeddings of its words, and a file of its choices.

use super::init;
use super::words::Word;
use super::{Quality, TrainJob, replay, side, usual};
use crate::config::option_name;
use crate::embedding::{Embedding, Encoder, Vectors};
use crate::parts::Architecture;
use crate::text::Rows;

/// The word that an embedding was learned together with.
const BESIDE: &str = "learned-with";

impl TrainJob {
    /// The embedding as it is now or, once it was tried, the state of it that is the result. Of two words, the first
    /// ([`embeddings`](Self::embeddings) has both).
    pub fn embedding(&self) -> Embedding {
        // There is a first word, whatever the settings.
        self.embeddings().swap_remove(0)
    }

    /// The embeddings of all words that are learned, as [`embedding`](Self::embedding): each can be used without the others.
    pub fn embeddings(&self) -> Vec<Embedding> {
        let learner = &self.learner;
        let result = self.judging.result(self.step());
        let step = result.map_or(self.step(), |(step, _)| step);
        let rows = result.map_or(learner.optimiser.rows(), |(_, rows)| rows);
        let apart = learner.words.apart(rows, learner.known.width);
        learner.words.iter().zip(apart).map(|(word, rows)| self.embedding_of(word, rows, step)).collect()
    }

    /// One of the embeddings, with its rows after a step.
    fn embedding_of(&self, word: &Word, rows: &[f32], step: u32) -> Embedding {
        let (config, model) = (&self.config, &self.learner.model);
        let beside = self.learner.words.iter().find(|other| other.token != word.token);
        let metadata = [
            ("base-model", Some(model.name.clone())),
            ("model-hash", model.unet_hash.clone()),
            ("unet-samples", model.unet_samples.clone()),
            ("init", Some(init::note(word))),
            ("steps", Some(step.to_string())),
            ("recipe", Some(option_name(&config.recipe))),
            ("kind", Some(option_name(&word.kind))),
            ("lr", Some(self.peak_rate().to_string())),
            ("seed", Some(config.seed.to_string())),
            ("version", Some(env!("CARGO_PKG_VERSION").to_owned())),
            ("quality", self.quality().and_then(Quality::in_short)),
            (BESIDE, beside.map(|other| other.token.clone())),
        ];
        let encoders: &[Encoder] = match model.config.architecture {
            Architecture::Sd => &[Encoder::Unnamed],
            Architecture::Sdxl => &[Encoder::ClipL, Encoder::ClipG],
        };
        let vectors =
            |(Rows { values, width }, encoder): (Rows, &Encoder)| Vectors { encoder: *encoder, width, rows: values };
        Embedding {
            metadata: metadata.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect(),
            encoders: self.learner.apart(rows).into_iter().zip(encoders).map(vectors).collect(),
            token: word.token.clone(),
        }
    }

    /// Every random choice made so far, if they were to be kept.
    pub fn record(&self) -> Option<Vec<u8>> {
        let (steps, model) = (self.record.as_ref()?, &self.learner.model.config);
        Some(replay::write(steps, &self.learner.words.tokens(), model, side(&self.config, model)))
    }

    /// The learning rate after warm-up.
    pub(super) fn peak_rate(&self) -> f64 {
        usual::rate(&self.config, &self.learner.model.config) * self.learner.optimiser.unit()
    }
}
