//! What a user should know about a run before it begins: settings without effect beside the others, sentences without
//! room for the embedding, previews that cannot show it. All of it without weights, so that a front end can ask before it
//! loads them; a job reports it too.

use super::previews;
use super::sentences::{Lack, about_sentences, lack};
use super::{MakeCaptions, TrainInput, TrainPicture};
use crate::Result;
use crate::base::text::quoted;
use crate::config::{Backgrounds, Framing, Init, Masks, Recipe, TrainConfig, WordSettings, option_name};
use crate::event::{Event, WarningCode};
use crate::sample::check::{about_prompt, of_two_encoders};
use crate::setting::Setting;
use crate::text::{ClipTokenizer, Tokenizers};

/// What a user should know, given tokenizers that know the new token.
///
/// # Errors
/// [`Error::Usage`] if no sentence has room for the embedding: nothing could be learned.
pub fn concerns(config: &TrainConfig, input: &TrainInput, tokenizers: &Tokenizers) -> Result<Vec<Event>> {
    let mut events = Vec::new();
    events.extend(peak(config));
    let idle =
        idle_settings(config).into_iter().chain(idle_inputs(config, input)).chain(idle_pooling(config, tokenizers));
    events.extend(idle.map(|text| Event::warning(WarningCode::NoEffect, text)));
    events.extend(about_sentences(config, input, tokenizers.first())?);
    events.extend(about_previews(config, tokenizers.first()));
    Ok(events)
}

/// Sentences with one of two words are of no use where there is one word, or nothing to say in place of the other.
fn idle_alone(config: &TrainConfig, start_from_words: &[bool]) -> Option<String> {
    let (alone, given) = (Setting::Alone, config.alone != TrainConfig::default().alone);
    if given && config.second_token.is_none() {
        return Some(format!("{alone} has no effect without {}", Setting::SecondToken));
    }
    let nothing = config.alone > 0.0 && !start_from_words.contains(&true);
    nothing.then(|| {
        format!("{alone} has no effect: neither {} nor {} is a word or phrase", Setting::Init, Setting::SecondInit)
    })
}

/// A warning about a learning rate that is still rising when the run ends.
fn peak(config: &TrainConfig) -> Option<Event> {
    let (warmup, steps) = (config.warmup, config.steps());
    (warmup >= steps).then(|| {
        let text = format!(
            "the learning rate never reaches its peak: {} is {warmup}, and {} is {steps}",
            Setting::Warmup,
            Setting::Steps
        );
        Event::warning(WarningCode::PeakNotReached, text)
    })
}

/// Settings that others make useless.
fn idle_settings(config: &TrainConfig) -> Vec<String> {
    let usual = TrainConfig::default();
    let mut idle = Vec::new();
    let recipe = format!("{} is {}", Setting::Recipe, option_name(&config.recipe));
    let of_the_other: &[(Setting, bool)] = match config.recipe {
        Recipe::Adamw => &[(Setting::Kappa, config.kappa != usual.kappa)],
        Recipe::Direction => &[
            (Setting::RelativeLr, config.relative_lr.is_some()),
            (Setting::HoldNorm, config.hold_norm.is_some()),
            (Setting::Beta2, config.beta2 != usual.beta2),
            (Setting::Eps, config.eps != usual.eps),
            (Setting::WeightDecay, config.weight_decay != usual.weight_decay),
        ],
    };
    let given = of_the_other.iter().filter(|(_, given)| *given);
    idle.extend(given.map(|(setting, _)| format!("{setting} has no effect: {recipe}")));
    for (setting, every, usual) in [
        // Early stopping has its own word on this.
        (Setting::EvalEvery, if config.early_stop { usual.eval_every } else { config.eval_every }, usual.eval_every),
        (Setting::PreviewEvery, config.preview_every, usual.preview_every),
        (Setting::SaveEvery, config.save_every, usual.save_every),
    ] {
        if every > config.steps() && every != usual {
            let steps = config.steps();
            idle.push(format!("{setting} {every} has no effect: the run ends after {steps} steps"));
        }
    }
    if config.recipe == Recipe::Adamw && config.lr.is_some() && config.relative_lr.is_some() {
        idle.push(format!("{} has no effect beside {}", Setting::RelativeLr, Setting::Lr));
    }
    if let Some(span) = config.hold_norm.filter(|span| config.recipe == Recipe::Adamw && span.from >= config.steps()) {
        let steps = config.steps();
        idle.push(format!("{} {span} has no effect: the run ends after {steps} steps", Setting::HoldNorm));
    }
    idle.extend(idle_stopping(config, &usual));
    let of_previews = [
        (Setting::PreviewSteps, config.preview_steps != usual.preview_steps),
        (Setting::PreviewPrompt, config.preview_prompt.is_some()),
        (Setting::PromptSyntax, config.prompt_syntax != usual.prompt_syntax),
    ];
    let given = of_previews.into_iter().filter(|(_, given)| *given && config.preview_every == 0);
    idle.extend(given.map(|(name, _)| format!("{name} has no effect: {} 0 makes no previews", Setting::PreviewEvery)));
    idle
}

/// What only models with two text encoders have a use for.
fn idle_pooling(config: &TrainConfig, tokenizers: &Tokenizers) -> Option<String> {
    let given = config.pooling != TrainConfig::default().pooling;
    (given && tokenizers.count() == 1).then(|| of_two_encoders(Setting::Pooling))
}

/// Settings of early stopping, and what it makes useless.
fn idle_stopping(config: &TrainConfig, usual: &TrainConfig) -> Vec<String> {
    let stop = Setting::EarlyStop;
    let (window, steps) = (config.early_stop_window, config.steps());
    if config.early_stop {
        let every = config.eval_every != usual.eval_every && config.eval_every != 1;
        let every = every.then(|| format!("{} has no effect: {stop} evaluates after every step", Setting::EvalEvery));
        // One evaluation is made before the first step.
        let never = (u64::from(window) > u64::from(steps) + 1).then(|| {
            let (name, steps_name) = (Setting::EarlyStopWindow, Setting::Steps);
            format!(
                "{stop} cannot stop the run: it looks at {window} evaluations, and a run of {steps} steps has {}: \
                 give a smaller {name}, or more {steps_name}",
                u64::from(steps) + 1
            )
        });
        return every.into_iter().chain(never).collect();
    }
    let given = [
        (Setting::EarlyStopWindow, window != usual.early_stop_window),
        (Setting::EarlyStopThreshold, config.early_stop_threshold != usual.early_stop_threshold),
    ];
    let given = given.into_iter().filter(|(_, given)| *given);
    given.map(|(setting, _)| format!("{setting} has no effect without {stop}")).collect()
}

/// Settings and sentences that the pictures and their captions make useless.
fn idle_inputs(config: &TrainConfig, input: &TrainInput) -> Vec<String> {
    let usual = TrainConfig::default();
    let mut idle = Vec::new();
    let pictures = || input.pictures.iter().chain(&input.unseen);
    let captioned = !input.pictures.is_empty() && pictures().all(|picture| picture.caption.is_some());
    if captioned && input.templates.is_some() {
        idle.push("the sentences of the template have no effect: every picture has a caption of its own".to_owned());
    }
    if input.make_captions == MakeCaptions::Always && input.makes_captions() && input.templates.is_some() {
        idle.push(
            "captions are made: the sentences of the template count only for pictures of which nothing is clear"
                .to_owned(),
        );
    }
    let previewed = config.preview_every > 0 && config.preview_prompt.is_none();
    if config.kind != usual.kind && (captioned || input.templates.is_some()) && !previewed {
        let (kind, sentences) = (Setting::Kind, if captioned { "captions" } else { "sentences of the template" });
        let name = config.kind.name();
        idle.push(format!("{kind} {name} chooses no sentences: the {sentences} are used as they are"));
    }
    let square = |picture: &TrainPicture| picture.picture.pixels.width() == picture.picture.pixels.height();
    if config.framing != usual.framing && !input.pictures.is_empty() && pictures().all(square) {
        let framing = match config.framing {
            Framing::Crop => "crop",
            Framing::Fit => "fit",
        };
        idle.push(format!("{} {framing} has no effect: every picture is square", Setting::Framing));
    }
    let starts_from_words = input.inits(config).iter().map(|init| matches!(init, Init::Phrase(_))).collect::<Vec<_>>();
    let counts_context = config.context_weight.is_some_and(|weight| weight > 0.0);
    if counts_context && !starts_from_words.contains(&true) {
        let (weight, init) = (Setting::ContextWeight, Setting::Init);
        idle.push(format!("{weight} has no effect: there is nothing to compare with, as {init} is no word or phrase"));
    } else if counts_context && let Some(at) = starts_from_words.iter().position(|starts| !starts) {
        let (weight, init) = (Setting::ContextWeight, WordSettings::OF_EACH[at].init);
        let token = quoted(config.tokens()[at]);
        idle.push(format!(
            "{weight} has no effect on {token}: there is nothing to compare it with, as {init} is no word or phrase"
        ));
    }
    if input.replay.is_some() {
        let drawn = [
            (Setting::Timesteps, config.timesteps.is_some()),
            (Setting::TimestepDistribution, config.timestep_distribution != usual.timestep_distribution),
            (Setting::CaptionDropout, config.caption_dropout != usual.caption_dropout),
            (Setting::Alone, config.alone != usual.alone),
        ];
        let given = drawn.into_iter().filter(|(_, given)| *given);
        idle.extend(given.map(|(setting, _)| {
            format!("{setting} has no effect: every choice is that of the file ({})", Setting::Replay)
        }));
    }
    idle.extend(idle_alone(config, &starts_from_words));
    if config.masks == Some(Masks::Auto) && !config.learns_a_thing() {
        idle.push(format!(
            "{} auto has no effect: a style is everywhere in its pictures, only a thing is looked for",
            Setting::Masks
        ));
    }
    if config.masks == Some(Masks::Off) && config.backgrounds == Some(Backgrounds::Plain) {
        idle.push(format!("{} plain has no effect without masks, which say what the thing is", Setting::Backgrounds));
    }
    if input.pictures.is_empty() && config.early_stop {
        idle.push(format!("{} has no effect: without pictures there is no evaluation", Setting::EarlyStop));
    }
    idle
}

/// Warnings about previews that do not show the embedding, and about whatever else their prompt may not mean.
fn about_previews(config: &TrainConfig, tokenizer: &ClipTokenizer) -> Vec<Event> {
    if config.preview_every == 0 {
        return Vec::new();
    }
    let prompt = previews::prompt(config);
    let syntax = config.prompt_syntax;
    let mut events = about_prompt("preview prompt", &prompt, syntax, tokenizer, &[]);
    let (learned, named) = (tokenizer.read(&prompt, syntax).words, tokenizer.named_in(&prompt, syntax));
    if let Some(Lack { why, .. }) = lack(config, &learned, &named) {
        let text = format!(
            "the prompt of the previews {why}, so they cannot show what is learned: {shown}",
            shown = quoted(&prompt)
        );
        events.push(Event::warning(WarningCode::PreviewWithoutEmbedding, text));
    }
    events
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Pooling, Span};
    use crate::image::Picture;
    use crate::model::OpenedModel;
    use std::rc::Rc;

    fn tokenizers(config: &TrainConfig) -> Tokenizers {
        let opened = pollster::block_on(OpenedModel::read(Rc::new(crate::mini::source()))).unwrap();
        let mut tokenizers = opened.tokenizers;
        for word in config.words() {
            tokenizers.add_word(word.token, word.vectors as usize).unwrap();
        }
        tokenizers
    }

    /// Settings for two words that start from these.
    fn two_words(init: Option<&str>, second_init: Option<&str>) -> TrainConfig {
        let [init, second_init] = [init, second_init].map(|init| init.map(str::to_owned));
        TrainConfig { init, second_token: Some("<ink>".to_owned()), second_init, ..usual() }
    }

    fn picture(size: (u32, u32), caption: Option<&str>) -> TrainPicture {
        let pixels = image::RgbImage::new(size.0, size.1);
        let picture = Picture::new("zubi.png", pixels);
        TrainPicture { picture, caption: caption.map(str::to_owned), mask: None }
    }

    fn usual() -> TrainConfig {
        // As the mini model decides.
        let (steps, vectors) = (Some(600), Some(4));
        TrainConfig { token: "<zubi>".to_owned(), steps, vectors, ..TrainConfig::default() }
    }

    fn input(caption: Option<&str>) -> TrainInput {
        TrainInput { pictures: vec![picture((4, 3), caption)], ..TrainInput::default() }
    }

    /// Codes and sentences.
    fn said(config: &TrainConfig, input: &TrainInput) -> Vec<(WarningCode, String)> {
        let events = concerns(config, input, &tokenizers(config)).unwrap();
        let events = events.into_iter().map(|event| match event {
            Event::Warning { code, text } => (code, text),
            other => panic!("{other:?}"),
        });
        events.collect()
    }

    #[test]
    fn usual_settings_are_not_remarked_on() {
        for config in [
            usual(),
            TrainConfig { steps: Some(3), relative_lr: Some(0.5), ..usual() },
            TrainConfig { init: Some("cat".to_owned()), context_weight: Some(0.1), ..usual() },
            TrainConfig { hold_norm: Some(Span { from: 120, to: 180 }), caption_dropout: 0.1, ..usual() },
            TrainConfig { recipe: Recipe::Direction, lr: Some(0.2), beta1: Some(0.5), kappa: 0.1, ..usual() },
            TrainConfig { early_stop: true, early_stop_window: 20, ..usual() },
            TrainConfig { preview_prompt: Some("a <zubi> in the sun".to_owned()), ..usual() },
            TrainConfig { kind: crate::config::Kind::Style, framing: Framing::Fit, warmup: 599, ..usual() },
        ] {
            assert_eq!(said(&config, &input(None)), [], "{config:?}");
        }
        assert_eq!(said(&usual(), &input(Some("a {} on a table"))), []);
    }

    #[test]
    fn settings_that_defeat_each_other_are_named() {
        use WarningCode::{NoEffect, PeakNotReached, PreviewWithoutEmbedding};
        let kind = crate::config::Kind::Style;
        let hill = Some("a photo of a hill".to_owned());
        let hold_norm = Some(Span { from: 120, to: 180 });
        let relative_lr = Some(0.5);
        let cases = [
            (TrainConfig { warmup: 10, steps: Some(2), ..usual() }, PeakNotReached, Setting::Warmup),
            (TrainConfig { warmup: 2, steps: Some(2), ..usual() }, PeakNotReached, Setting::Warmup),
            (TrainConfig { kappa: 0.1, ..usual() }, NoEffect, Setting::Kappa),
            (TrainConfig { recipe: Recipe::Direction, eps: 1e-6, ..usual() }, NoEffect, Setting::Eps),
            (TrainConfig { recipe: Recipe::Direction, beta2: 0.9, ..usual() }, NoEffect, Setting::Beta2),
            (TrainConfig { recipe: Recipe::Direction, weight_decay: 0.1, ..usual() }, NoEffect, Setting::WeightDecay),
            (TrainConfig { recipe: Recipe::Direction, hold_norm, ..usual() }, NoEffect, Setting::HoldNorm),
            (TrainConfig { steps: Some(120), hold_norm, ..usual() }, NoEffect, Setting::HoldNorm),
            (TrainConfig { recipe: Recipe::Direction, relative_lr, ..usual() }, NoEffect, Setting::RelativeLr),
            (TrainConfig { lr: Some(0.01), relative_lr, ..usual() }, NoEffect, Setting::RelativeLr),
            (TrainConfig { context_weight: Some(0.1), ..usual() }, NoEffect, Setting::ContextWeight),
            (TrainConfig { context_weight: Some(0.1), ..two_words(Some("cat"), None) }, NoEffect, Setting::SecondInit),
            (TrainConfig { context_weight: Some(0.1), ..two_words(None, Some("drawing")) }, NoEffect, Setting::Init),
            (TrainConfig { eval_every: 601, ..usual() }, NoEffect, Setting::EvalEvery),
            (TrainConfig { save_every: 700, ..usual() }, NoEffect, Setting::SaveEvery),
            (TrainConfig { preview_every: 700, ..usual() }, NoEffect, Setting::PreviewEvery),
            (TrainConfig { early_stop: true, steps: Some(300), ..usual() }, NoEffect, Setting::EarlyStop),
            (TrainConfig { early_stop_window: 20, ..usual() }, NoEffect, Setting::EarlyStopWindow),
            (TrainConfig { early_stop_threshold: 0.2, ..usual() }, NoEffect, Setting::EarlyStopThreshold),
            (TrainConfig { preview_every: 0, preview_steps: 9, ..usual() }, NoEffect, Setting::PreviewSteps),
            (
                TrainConfig { preview_every: 0, preview_prompt: hill.clone(), ..usual() },
                NoEffect,
                Setting::PreviewPrompt,
            ),
        ];
        for (config, code, setting) in cases {
            let said = said(&config, &input(None));
            assert!(matches!(&said[..], [(c, text)] if *c == code && text.contains(&setting.to_string())), "{said:?}");
        }
        let hill = said(&TrainConfig { preview_prompt: hill, ..usual() }, &input(None));
        assert!(matches!(&hill[..], [(PreviewWithoutEmbedding, text)] if text.contains("<zubi>")), "{hill:?}");
        let styled = TrainConfig { kind, preview_every: 0, ..usual() };
        assert!(said(&styled, &input(Some("a {}")))[0].1.starts_with(&Setting::Kind.to_string()));
        let both = TrainInput { templates: Some(vec!["a {}".to_owned()]), ..input(Some("my {}")) };
        assert!(said(&usual(), &both)[0].1.contains("template"));
        let square = TrainInput { pictures: vec![picture((3, 3), None)], ..TrainInput::default() };
        let fit = said(&TrainConfig { framing: Framing::Fit, ..usual() }, &square);
        assert!(fit[0].1.contains("every picture is square"), "{fit:?}");
    }

    #[test]
    fn pooling_is_for_models_with_two_text_encoders() {
        let pooled = TrainConfig { pooling: Pooling::Diffusers, ..usual() };
        let said = said(&pooled, &input(Some("a {}")));
        assert!(matches!(&said[..], [(WarningCode::NoEffect, text)] if text.contains("two text encoders")), "{said:?}");
        let each = tokenizers(&pooled).into_each();
        let two = Tokenizers::new([each.clone(), each].concat());
        assert_eq!(concerns(&pooled, &input(Some("a {}")), &two).unwrap(), []);
    }

    #[test]
    fn a_sentence_without_room_is_named_and_where_none_has_room_the_run_is_refused() {
        let long = format!("{}and a {{}}", "a cat and ".repeat(30));
        let mut some = input(Some("a {} here"));
        some.pictures.push(picture((4, 3), Some(&long)));
        let said = said(&usual(), &some);
        let [(WarningCode::CaptionWithoutEmbedding, text)] = &said[..] else { panic!("{said:?}") };
        assert!(text.contains("zubi.png") && text.contains("no room for <zubi>"), "{text}");
        let mut unseen = input(Some("a {} here"));
        unseen.unseen.push(picture((4, 3), Some(&long)));
        let blind = self::tests::said(&usual(), &unseen);
        let [(WarningCode::CaptionWithoutEmbedding, text)] = &blind[..] else { panic!("{blind:?}") };
        assert!(text.contains("the loss on its picture says nothing"), "{text}");
        let refused = |config: &TrainConfig, input: &TrainInput| {
            concerns(config, input, &tokenizers(config)).unwrap_err().to_string()
        };
        let text = refused(&usual(), &input(Some(&long)));
        assert!(text.contains("no caption has room for <zubi>") && text.contains("nearer"), "{text}");
        // "a photo of a" and its like are the shortest beginnings.
        let text = refused(&TrainConfig { vectors: Some(72), ..usual() }, &input(None));
        assert!(text.contains("at most 71"), "{text}");
        let fits = TrainConfig { vectors: Some(60), preview_every: 0, ..usual() };
        assert_eq!(concerns(&fits, &input(None), &tokenizers(&fits)).unwrap(), []);
    }

    #[test]
    fn what_a_caption_names_that_nobody_knows_is_said() {
        let weighted = said(&usual(), &input(Some("a ({}:1.2) on a hill")));
        assert!(
            matches!(&weighted[..], [(WarningCode::PromptSyntax, text)] if text.contains("zubi.png")),
            "{weighted:?}"
        );
        let said = said(&usual(), &input(Some("a {} beside <nobody>")));
        assert!(matches!(&said[..], [(WarningCode::UnknownEmbedding, text)] if text.contains("<nobody>")), "{said:?}");
    }
}
