//! Which settings can be.

use super::init;
use crate::config::TrainConfig;
use crate::model::ModelConfig;
use crate::text::ClipTokenizer;
use crate::{Error, Result};

/// The side in pixels that pictures are trained at.
pub(super) fn side(config: &TrainConfig, model: &ModelConfig) -> u32 {
    config.resolution.unwrap_or_else(|| model.resolution())
}

/// Refuses settings that cannot be, given a model's configuration and its tokenizer with the words that are known before.
/// Needs no weights, so a front end can ask before it loads them; a job asks again.
///
/// # Errors
/// [`Error::Usage`], [`Error::InitialiserTooLong`].
pub fn check(config: &TrainConfig, model: &ModelConfig, tokenizer: &ClipTokenizer) -> Result<()> {
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
    init::ids(config, tokenizer).map(|_ids| ())
}
