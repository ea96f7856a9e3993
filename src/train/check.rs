//! Which settings a model can be trained with, and what follows from them. (What may be a token in prompts is checked where
//! a tokenizer learns it, by [`check_token`](crate::text::check_token); here, whether files can hold it.)

use super::words::Words;
use super::{MakeCaptions, TrainInput, draws, init, previews, usual};
use crate::base::text::quoted;
use crate::config::{Checkpointing, Init, Span, TrainConfig, WordSettings};
use crate::embedding::{self, Layout, ModelFamily, Refusal};
use crate::model::ModelConfig;
use crate::plan::{Job, MemoryPlan, WeightBytes, remembered};
use crate::setting::Setting;
use crate::text::name;
use crate::text::scan::key;
use crate::text::{ClipTokenizer, Tokenizers};
use crate::{Error, Result};

/// The largest side of pictures in pixels.
const LARGEST: u32 = 2048;
/// More vectors, samples or passes than this, or more steps, are a slip of the finger.
const MOST: u32 = 1_000_000;
const MOST_STEPS: u32 = 100_000_000;
/// Models know no more noise levels.
const MOST_PREVIEW_STEPS: u32 = 1000;

/// Bytes that a training step may hold before blocks are recomputed, where the user leaves that open.
const MOST_REMEMBERED: u64 = 512 << 20;

/// The side in pixels of the pictures that are trained on.
pub fn side(config: &TrainConfig, model: &ModelConfig) -> u32 {
    config.resolution.unwrap_or_else(|| model.resolution())
}

/// What goes through the U-Net in a pass.
fn job(config: &TrainConfig, model: &ModelConfig) -> Job {
    let side = side(config, model);
    Job { height: side, width: side, batch: usual::batch(config, model)[0] }
}

/// Whether a run computes blocks again in the backward pass instead of remembering them.
pub fn recomputes(config: &TrainConfig, model: &ModelConfig) -> bool {
    match config.checkpointing {
        Checkpointing::On => true,
        Checkpointing::Off => false,
        Checkpointing::Auto => remembered(model, job(config, model)) > MOST_REMEMBERED,
    }
}

/// Refuses numbers that are out of range for every model.
///
/// # Errors
/// [`Error::OutOfRange`].
pub fn check_numbers(config: &TrainConfig) -> Result<()> {
    let counts = [
        (Setting::Vectors, config.vectors(), 1, MOST),
        (Setting::SecondVectors, config.second_vectors.unwrap_or(1), 1, MOST),
        (Setting::Steps, config.steps(), 1, MOST_STEPS),
        (Setting::Warmup, config.warmup, 0, MOST_STEPS),
        (Setting::BatchSize, config.batch_size.unwrap_or(1), 1, MOST),
        (Setting::GradientAccumulation, config.gradient_accumulation.unwrap_or(1), 1, MOST),
        (Setting::EvalSize, config.eval_size, 1, MOST),
        (Setting::EarlyStopWindow, config.early_stop_window, 2, MOST_STEPS),
        (Setting::PreviewSteps, config.preview_steps, 1, MOST_PREVIEW_STEPS),
        (Setting::Resolution, config.resolution.unwrap_or(1), 1, LARGEST),
    ];
    if let Some((setting, value, least, most)) = counts.iter().find(|(_, value, a, b)| !(*a..=*b).contains(value)) {
        return refused(*setting, value.to_string(), &format!("at least {least}, and at most {most}"));
    }
    let [batch, passes] = config.batch(ModelFamily::Sd1);
    if batch.checked_mul(passes).is_none_or(|samples| samples > MOST_STEPS) {
        let rule =
            format!("less with {} {batch}: a step would have more than {MOST_STEPS} samples", Setting::BatchSize);
        return refused(Setting::GradientAccumulation, passes.to_string(), &rule);
    }
    let numbers = [
        (Setting::Lr, config.lr.unwrap_or(1.0), Range::AboveZero),
        (Setting::RelativeLr, config.relative_lr.unwrap_or(1.0), Range::AboveZero),
        (Setting::Beta1, config.beta1.unwrap_or(0.0), Range::BelowOne),
        (Setting::Beta2, config.beta2, Range::BelowOne),
        (Setting::Eps, config.eps, Range::AboveZero),
        (Setting::WeightDecay, config.weight_decay, Range::FromZero),
        (Setting::Kappa, config.kappa, Range::FromZero),
        (Setting::SnrGamma, config.snr_gamma.unwrap_or(1.0), Range::AboveZero),
        (Setting::EarlyStopThreshold, config.early_stop_threshold, Range::AboveZero),
        (Setting::ContextWeight, config.context_weight.unwrap_or_default(), Range::FromZero),
        (Setting::CaptionDropout, config.caption_dropout, Range::BelowOne),
        (Setting::Alone, config.alone, Range::Share),
        (Setting::Outside, config.outside, Range::Share),
    ];
    match numbers.iter().find(|(_, value, range)| !range.holds(*value)) {
        Some((setting, value, range)) => refused(*setting, value.to_string(), range.rule()),
        None => check_spans(config).and_then(|()| check_second(config)),
    }
}

/// Refuses settings of a second word without one, and two words of one name.
fn check_second(config: &TrainConfig) -> Result<()> {
    let WordSettings { token: name, init, vectors, kind } = WordSettings::OF_EACH[1];
    let Some(second) = &config.second_token else {
        let given = [
            (init, config.second_init.is_some()),
            (vectors, config.second_vectors.is_some()),
            (kind, config.second_kind.is_some()),
        ];
        return match given.iter().find(|(_, given)| *given) {
            Some((setting, _)) => Err(Error::Usage(format!(
                "{setting} is of a second word, and there is none: give {name}, or leave it out"
            ))),
            None => Ok(()),
        };
    };
    if key(second) == key(&config.token) {
        let text = format!(
            "{name} is {}, and so is {}: each of two words needs a name of its own (capitals make no difference)",
            quoted(second),
            Setting::Token
        );
        return Err(Error::Usage(text));
    }
    Ok(())
}

/// Refuses pictures that nothing would say of which of two words is which: those without a sentence, for two words of one kind.
fn check_apart(config: &TrainConfig, input: &TrainInput) -> Result<()> {
    let Some(second) = config.second().filter(|second| second.kind == config.kind) else { return Ok(()) };
    let bare = input.pictures.iter().chain(&input.unseen).find(|picture| picture.caption.is_none());
    let told = input.replay.is_some() || (input.templates.is_some() && input.make_captions != MakeCaptions::Always);
    match bare {
        Some(picture) if !told => Err(Error::Usage(format!(
            "{} and {} are both {}, and nothing says which is which in {}: write a caption for each picture that has both words where they \
             stand, or give another {}",
            config.token,
            second.token,
            config.kind.label(),
            picture.picture.name,
            Setting::SecondKind
        ))),
        _ => Ok(()),
    }
}

/// Refuses spans in which there is nothing.
fn check_spans(config: &TrainConfig) -> Result<()> {
    let spans =
        [(Setting::Timesteps, config.timesteps, draws::TIMESTEPS), (Setting::HoldNorm, config.hold_norm, MOST_STEPS)];
    for (setting, span, most) in spans {
        if let Some(span @ Span { from, to }) = span
            && (from >= to || to > most)
        {
            let rule = format!("two numbers from 0 to {most}, the first below the second");
            return refused(setting, span.to_string(), &rule);
        }
    }
    Ok(())
}

fn refused<T>(setting: Setting, given: String, rule: &str) -> Result<T> {
    Err(Error::OutOfRange { setting, given, rule: rule.to_owned() })
}

/// Refuses a side of pictures that a model cannot work at.
///
/// # Errors
/// [`Error::OutOfRange`].
pub fn check_side(config: &TrainConfig, model: &ModelConfig) -> Result<()> {
    let (side, step) = (side(config, model), model.size_step());
    if side == 0 || side % step != 0 || side > LARGEST {
        let rule = format!("a multiple of {step} up to {LARGEST} for this model");
        return refused(Setting::Resolution, side.to_string(), &rule);
    }
    Ok(())
}

/// How many stretches the prompt of a run's previews has, for tokenizers that may not know the run's token yet.
pub fn preview_stretches(config: &TrainConfig, tokenizers: &Tokenizers) -> usize {
    let mut tokenizers = tokenizers.clone();
    // What cannot be added is refused elsewhere, and known is as good.
    for word in config.words() {
        let _refused = tokenizers.add_word(word.token, word.vectors as usize);
    }
    tokenizers.read(&previews::prompt(config), config.prompt_syntax).chunks()
}

/// How much memory a run will need of a model with these weights, on the processor or on a GPU; `stretches` are those of the
/// previews' prompt ([`preview_stretches`]).
///
/// # Errors
/// Those of [`check_side`].
pub fn memory_plan(
    config: &TrainConfig,
    model: &ModelConfig,
    weights: WeightBytes,
    stretches: usize,
    on_cpu: bool,
) -> Result<MemoryPlan> {
    check_side(config, model)?;
    let job = job(config, model);
    let previews = (config.preview_every > 0).then(|| Job::preview(model));
    let plan = MemoryPlan::training(model, weights, job, recomputes(config, model), previews, on_cpu);
    Ok(plan.with_preview_stretches(model, stretches))
}

/// Refuses settings that do not make sense for a model, given its configuration and its tokenizer with the embeddings
/// that are known already. Needs no weights, so a front end can ask before it loads them; a job asks for those that do
/// not.
///
/// # Errors
/// [`Error::OutOfRange`], [`Error::Usage`], [`Error::BadToken`] for one that files cannot hold,
/// [`Error::InitializerTooLong`], [`Error::WrongWidth`].
pub fn check(config: &TrainConfig, input: &TrainInput, model: &ModelConfig, tokenizer: &ClipTokenizer) -> Result<()> {
    check_numbers(config)?;
    config.tokens().into_iter().try_for_each(file_can_hold)?;
    check_side(config, model)?;
    check_apart(config, input)?;
    Words::new(config, input).iter().try_for_each(|word| match &word.init {
        Init::Phrase(phrase) => init::phrase_ids(phrase, word, tokenizer).map(drop),
        Init::Embedding(embedding) => {
            model.check_embedding(embedding, &embedding.token)?;
            let mut encoders = model.text_encoders.iter().enumerate();
            encoders.try_for_each(|(i, text)| init::vectors_for(embedding, i, text.hidden_size, word).map(drop))
        }
        Init::Random => Ok(()),
    })
}

/// Refuses a token that the file of the run cannot hold: what is learned would be lost. Needs nothing of a model, so it is
/// asked before one is fetched, too.
///
/// # Errors
/// [`Error::BadToken`].
pub fn file_can_hold(token: &str) -> Result<()> {
    embedding::check_name(token, Layout::Safetensors).map_err(|refusal| {
        let reason = match refusal {
            Refusal::Unwritable { reason, .. } => reason,
            other => other.to_string(),
        };
        name::refused(token, &reason)
    })
}

/// What a number must be, which is never infinite.
#[derive(Clone, Copy)]
enum Range {
    AboveZero,
    FromZero,
    BelowOne,
    Share,
}

impl Range {
    fn holds(self, value: f64) -> bool {
        value.is_finite()
            && match self {
                Range::AboveZero => value > 0.0,
                Range::FromZero => value >= 0.0,
                Range::BelowOne => (0.0..1.0).contains(&value),
                Range::Share => (0.0..=1.0).contains(&value),
            }
    }

    fn rule(self) -> &'static str {
        match self {
            Range::AboveZero => "a number above 0",
            Range::FromZero => "a number from 0",
            Range::BelowOne => "a number from 0 up to, but not including, 1",
            Range::Share => "a number from 0 to 1",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::rc::Rc;

    use crate::checkpoint::{Family, family_files};
    use crate::embedding::Embedding;
    use crate::model::OpenedModel;
    use crate::source::Memory;

    fn config(family: Family) -> ModelConfig {
        let mut memory = Memory::new("m");
        for (path, bytes) in family_files(family).unwrap() {
            memory.insert(path, bytes);
        }
        pollster::block_on(ModelConfig::read(&memory)).unwrap()
    }

    #[test]
    fn blocks_are_recomputed_where_the_step_would_hold_more_than_half_a_gigabyte() {
        let mini = pollster::block_on(ModelConfig::read(&crate::mini::source())).unwrap();
        let (sd1, sd2) = (config(Family::Sd1), config(Family::Sd2));
        // Everything remembered, as the memory plan has it: about 279, 281, 562, 1029 and 2314 MiB.
        for (model, resolution, batch_size, expected) in [
            (&mini, 64, 1, false),
            (&mini, 64, 64, false),
            (&sd1, 256, 1, false),
            (&sd1, 256, 2, true),
            (&sd1, 512, 1, true),
            (&sd2, 768, 1, true),
        ] {
            let batch_size = Some(batch_size);
            let config = TrainConfig { resolution: Some(resolution), batch_size, ..TrainConfig::default() };
            assert_eq!(recomputes(&config, model), expected, "{resolution} pixels, {batch_size:?} samples");
        }
        let asked = |checkpointing| recomputes(&TrainConfig { checkpointing, ..TrainConfig::default() }, &sd1);
        assert!(asked(Checkpointing::On) && !asked(Checkpointing::Off));
    }

    #[test]
    fn an_embedding_that_cannot_be_the_start_is_refused_before_there_are_weights() {
        let opened = pollster::block_on(OpenedModel::read(Rc::new(crate::mini::source()))).unwrap();
        let width = opened.config.text().hidden_size;
        let refused = |vectors: u32, width: usize, count: usize| {
            let init = Init::Embedding(Embedding::new("<cat>", width, vec![0.5; width * count]));
            let config = TrainConfig { vectors: Some(vectors), token: "<new>".to_owned(), ..TrainConfig::default() };
            let input = TrainInput { init: Some(init), ..TrainInput::default() };
            check(&config, &input, &opened.config, opened.tokenizers.first()).err().map(|error| error.to_string())
        };
        assert_eq!((refused(2, width, 1), refused(2, width, 2)), (None, None));
        let more = refused(2, width, 3).unwrap();
        assert!(more.contains("\"<cat>\" has 3 vectors"), "{more}");
        let other = refused(2, 768, 1).unwrap();
        assert!(other.contains("768 wide"), "{other}");
    }

    #[test]
    fn tokens_that_files_cannot_hold_are_refused() {
        for token in ["__metadata__", "emb_params", "clip_l", "text_model.x", "bundle_emb.cat", "lora_te_cat"] {
            let refused = file_can_hold(token).unwrap_err().to_string();
            assert!(refused.contains("; choose another, such as \"<my-"), "{refused}");
        }
        file_can_hold("<cat>").unwrap();
    }

    /// Every number that can be set, with values that it cannot have and the ends of what it can.
    #[test]
    fn numbers_out_of_range_are_refused() {
        const BIG: u32 = u32::MAX;
        /// A setting, how to set it, and what it cannot and can be.
        type Numbers<T> = (Setting, fn(&mut TrainConfig, T), &'static [T], &'static [T]);
        let counts: [Numbers<u32>; 8] = [
            (Setting::Vectors, |c, v| c.vectors = Some(v), &[0, BIG], &[1]),
            (Setting::Steps, |c, v| c.steps = Some(v), &[0, BIG], &[1, MOST_STEPS]),
            (Setting::Warmup, |c, v| c.warmup = v, &[BIG], &[0]),
            (Setting::BatchSize, |c, v| c.batch_size = Some(v), &[0, BIG], &[1]),
            (Setting::GradientAccumulation, |c, v| c.gradient_accumulation = Some(v), &[0, BIG], &[1]),
            (Setting::EvalSize, |c, v| c.eval_size = v, &[0, BIG], &[1]),
            (Setting::EarlyStopWindow, |c, v| c.early_stop_window = v, &[0, 1, BIG], &[2]),
            (Setting::Resolution, |c, v| c.resolution = Some(v), &[0, 4096, BIG], &[64, LARGEST]),
        ];
        let numbers: [Numbers<f64>; 12] = [
            (Setting::Lr, |c, v| c.lr = Some(v), &[0.0, -1.0], &[1e-9, 1.0]),
            (Setting::RelativeLr, |c, v| c.relative_lr = Some(v), &[0.0, -1.0], &[1e-9, 1.0]),
            (Setting::Beta1, |c, v| c.beta1 = Some(v), &[1.0, -0.1], &[0.0, 0.999]),
            (Setting::Beta2, |c, v| c.beta2 = v, &[1.0, -0.1], &[0.0, 0.999]),
            (Setting::Eps, |c, v| c.eps = v, &[0.0, -1e-8], &[1e-8]),
            (Setting::WeightDecay, |c, v| c.weight_decay = v, &[-1e-9], &[0.0, 1.0]),
            (Setting::Kappa, |c, v| c.kappa = v, &[-1e-9], &[0.0, 1.0]),
            (Setting::SnrGamma, |c, v| c.snr_gamma = Some(v), &[0.0, -1.0], &[5.0]),
            (Setting::EarlyStopThreshold, |c, v| c.early_stop_threshold = v, &[0.0, -1.0], &[0.15]),
            (Setting::ContextWeight, |c, v| c.context_weight = Some(v), &[-1e-9], &[0.0, 1.0]),
            (Setting::CaptionDropout, |c, v| c.caption_dropout = v, &[1.0, -0.1], &[0.0, 0.1]),
            (Setting::Outside, |c, v| c.outside = v, &[-0.1, 1.1], &[0.0, 0.1, 1.0]),
        ];
        let verdict = |setting: Setting, config: &TrainConfig| match check_numbers(config) {
            Err(Error::OutOfRange { setting: named, .. }) => assert_eq!(named, setting),
            other => panic!("{setting}: {other:?}"),
        };
        for (setting, set, bad, good) in counts {
            for value in bad {
                let mut config = TrainConfig::default();
                set(&mut config, *value);
                verdict(setting, &config);
            }
            for value in good {
                let mut config = TrainConfig::default();
                set(&mut config, *value);
                check_numbers(&config).unwrap();
            }
        }
        // Each may be, but not their product, which would not fit into a number.
        let many = Some(65536);
        let both = TrainConfig { batch_size: many, gradient_accumulation: many, ..TrainConfig::default() };
        verdict(Setting::GradientAccumulation, &both);
        for (setting, set) in [
            (Setting::Timesteps, (|c, v| c.timesteps = Some(v)) as fn(&mut TrainConfig, Span)),
            (Setting::HoldNorm, |c, v| c.hold_norm = Some(v)),
        ] {
            let with = |from, to| {
                let mut config = TrainConfig::default();
                set(&mut config, Span { from, to });
                config
            };
            for (from, to) in [(0, 0), (9, 9), (9, 8), (0, BIG)] {
                verdict(setting, &with(from, to));
            }
            for (from, to) in [(0, 1), (999, 1000)] {
                check_numbers(&with(from, to)).unwrap();
            }
        }
        for (setting, set, bad, good) in numbers {
            for value in bad.iter().chain(&[f64::NAN, f64::INFINITY, f64::NEG_INFINITY]) {
                let mut config = TrainConfig::default();
                set(&mut config, *value);
                verdict(setting, &config);
            }
            for value in good {
                let mut config = TrainConfig::default();
                set(&mut config, *value);
                check_numbers(&config).unwrap();
            }
        }
    }
}
