//! Which settings a model can be trained with, and what follows from them.

use super::init;
use super::loss::tape_bytes;
use crate::config::{Checkpointing, Init, TrainConfig};
use crate::model::ModelConfig;
use crate::text::ClipTokenizer;
use crate::{Error, Result};

/// The side in pixels that pictures are trained at.
pub(super) fn side(config: &TrainConfig, model: &ModelConfig) -> u32 {
    config.resolution.unwrap_or_else(|| model.resolution())
}

/// Whether a run computes blocks again in the backward pass instead of remembering them.
pub fn recomputes(config: &TrainConfig, model: &ModelConfig) -> bool {
    match config.checkpointing {
        Checkpointing::On => true,
        Checkpointing::Off => false,
        Checkpointing::Auto => tape_bytes(model, side(config, model), config.batch_size) > 512 << 20,
    }
}

/// Refuses settings that do not make sense for a model, given its configuration and its tokenizer with the embeddings that
/// are known already. Needs no weights, so a front end can ask before it loads them; a job asks for those that do not.
///
/// # Errors
/// [`Error::Usage`], [`Error::InitialiserTooLong`].
pub fn check(config: &TrainConfig, init: &Init, model: &ModelConfig, tokenizer: &ClipTokenizer) -> Result<()> {
    let usage = |text: String| Err(Error::Usage(text));
    let counts = [
        ("--vectors", config.vectors),
        ("--steps", config.steps),
        ("--batch-size", config.batch_size),
        ("--gradient-accumulation", config.gradient_accumulation),
        ("--eval-size", config.eval_size),
    ];
    if let Some((name, _)) = counts.iter().find(|(_, value)| *value == 0) {
        return usage(format!("{name} 0: it must be at least 1"));
    }
    let rates = [
        ("--lr", config.lr.unwrap_or(1.0), 0.0, f64::MAX),
        ("--beta1", config.beta1.unwrap_or(0.0), -f64::MIN_POSITIVE, 1.0),
        ("--beta2", config.beta2, -f64::MIN_POSITIVE, 1.0),
        ("--eps", config.eps, 0.0, f64::MAX),
        ("--weight-decay", config.weight_decay, -f64::MIN_POSITIVE, f64::MAX),
        ("--kappa", config.kappa, -f64::MIN_POSITIVE, f64::MAX),
        ("--snr-gamma", config.snr_gamma.unwrap_or(1.0), 0.0, f64::MAX),
    ];
    if let Some((name, value, above, below)) =
        rates.iter().find(|(_, value, above, below)| !(value > above && value < below))
    {
        let range = match (*above == 0.0, *below == 1.0) {
            (_, true) => "from 0 up to, but not, 1",
            (true, _) => "above 0",
            (false, _) => "from 0",
        };
        return usage(format!("{name} {value}: it must be a number {range}"));
    }
    let (side, step) = (side(config, model), model.size_step());
    if side == 0 || side % step != 0 || side > 2048 {
        return usage(format!("--resolution {side}: it must be a multiple of {step} up to 2048 for this model"));
    }
    match init {
        Init::Phrase(phrase) => init::phrase_ids(phrase, config.vectors as usize, tokenizer).map(drop),
        Init::Embedding(_) | Init::Random => Ok(()),
    }
}
