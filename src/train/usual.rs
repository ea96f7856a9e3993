//! How an embedding is usually learned with a model, where a setting leaves it open.

use super::{Replay, TrainInput};
use crate::base::text::counted;
use crate::config::{Backgrounds, Init, Masks, Recipe, Span, TrainConfig};
use crate::embedding::ModelFamily;
use crate::model::ModelConfig;

/// The settings with the steps, the vectors, the learning rate and the batch that are usual for the model, where they are open: all
/// that a run is made with, and that it is resumed with.
#[must_use]
pub fn decided(config: &TrainConfig, model: &ModelConfig) -> TrainConfig {
    let usual = model.usual_family().training();
    let [size, passes] = batch(config, model);
    let vectors = Some(config.vectors.unwrap_or(usual.vectors));
    let of_first = TrainConfig { vectors, ..config.clone() };
    let second = of_first.second();
    TrainConfig {
        steps: Some(config.steps.unwrap_or(usual.steps)),
        vectors,
        second_vectors: second.map(|word| word.vectors).or(config.second_vectors),
        second_kind: second.map(|word| word.kind).or(config.second_kind),
        lr: config.lr.or_else(|| (!is_relative(config)).then(|| rate(config, model))),
        batch_size: Some(size),
        gradient_accumulation: Some(passes),
        ..config.clone()
    }
}

/// Samples in a forward pass, and passes in a step.
pub fn batch(config: &TrainConfig, model: &ModelConfig) -> [u32; 2] {
    config.batch(model.usual_family())
}

/// Samples of a step.
pub fn samples_per_step(config: &TrainConfig, model: &ModelConfig) -> u32 {
    batch(config, model).iter().product()
}

/// Where masks come from. A style is everywhere in its pictures, so none are looked for there.
pub fn masks(config: &TrainConfig, family: ModelFamily) -> Masks {
    match config.masks.unwrap_or(family.training().masks) {
        Masks::Auto if !config.learns_a_thing() => Masks::Given,
        masks => masks,
    }
}

/// What is behind things that have masks.
pub fn backgrounds(config: &TrainConfig, family: ModelFamily) -> Backgrounds {
    config.backgrounds.unwrap_or(family.training().backgrounds)
}

/// The noise levels that are learned from, of [a thousand](super::draws::TIMESTEPS); none for all.
pub fn timesteps(config: &TrainConfig, family: ModelFamily) -> Option<Span> {
    config.timesteps.or(family.training().timesteps)
}

/// The settings with how much it counts when a word changes what the words behind it mean. What is usual is so for what it was measured
/// with: a thing that is learned alone, by AdamW, from a word or phrase and pictures without captions. A replay that says nothing of
/// scenes is one of a run without that loss.
#[must_use]
pub fn with_context_weight(config: &TrainConfig, input: &TrainInput, family: ModelFamily) -> TrainConfig {
    let is_measured = config.recipe == Recipe::Adamw
        && config.learns_a_thing()
        && matches!(input.inits(config)[..], [Init::Phrase(_)])
        && input.templates.is_none()
        && input.pictures.iter().all(|picture| picture.caption.is_none())
        && input.replay.as_ref().is_none_or(Replay::has_scenes);
    let usual = if is_measured { family.training().context_weight } else { 0.0 };
    TrainConfig { context_weight: Some(config.context_weight.unwrap_or(usual)), ..config.clone() }
}

/// Whether the learning rate of a run is one in usual lengths.
pub fn is_relative(config: &TrainConfig) -> bool {
    config.recipe == Recipe::Adamw && config.lr.is_none() && config.relative_lr.is_some()
}

/// The learning rate after warm-up. One in usual lengths is still to be multiplied by what these are.
pub fn rate(config: &TrainConfig, model: &ModelConfig) -> f64 {
    let relative = config.relative_lr.filter(|_| is_relative(config));
    config.lr.or(relative).unwrap_or_else(|| model.usual_family().rate(config.recipe))
}

/// What of the settings was open and is as usual for the model, in words; nothing if nothing was open.
pub fn in_words(config: &TrainConfig, input: &TrainInput, model: &ModelConfig) -> Option<String> {
    let now = with_context_weight(&decided(config, model), input, model.usual_family());
    let steps = config.steps.is_none().then(|| counted(u64::from(now.steps()), "step"));
    let vectors = config.vectors.is_none().then(|| counted(u64::from(now.vectors()), "vector"));
    let lr = (config.lr.is_none() && !is_relative(config)).then(|| format!("learning rate {}", rate(&now, model)));
    let span = timesteps(&now, model.usual_family()).filter(|_| config.timesteps.is_none());
    let timesteps = span.map(|Span { from, to }| format!("timesteps {from}..{to}"));
    let family = model.usual_family();
    let finds = config.masks.is_none() && masks(config, family) == Masks::Auto;
    let puts = config.backgrounds.is_none() && backgrounds(config, family) == Backgrounds::Plain;
    let [finds, puts] =
        [(finds, "masks auto"), (puts, "backgrounds plain")].map(|(is, what)| is.then(|| what.to_owned()));
    let weight = now.context_weight.filter(|weight| config.context_weight.is_none() && *weight > 0.0);
    let context = weight.map(|weight| format!("context weight {weight}"));
    let open: Vec<String> = [steps, vectors, lr, timesteps, finds, puts, context].into_iter().flatten().collect();
    (!open.is_empty()).then(|| format!("{}: {}", open.join(", "), model.usual_for()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::sizes;
    use crate::checkpoint::Family;
    use crate::config::Kind;
    use crate::embedding::Embedding;
    use crate::image::Picture;
    use crate::train::TrainPicture;

    /// The mini model, Stable Diffusion 1.x and 2.x, and SDXL.
    fn models() -> [ModelConfig; 4] {
        let mini = pollster::block_on(ModelConfig::read(&crate::mini::source())).unwrap();
        let [sd1, sd2, sdxl] = [Family::Sd1, Family::Sd2, Family::Sdxl].map(|family| sizes(family).unwrap());
        [mini, sd1, sd2, sdxl]
    }

    #[test]
    fn a_step_has_four_samples_however_they_come_until_a_setting_says_otherwise() {
        let [mini, sd1, _, sdxl] = models();
        for (size, passes, of_one, of_two) in [
            (None, None, [4, 1], [1, 4]),
            (Some(2), None, [2, 1], [2, 1]),
            (None, Some(3), [4, 3], [1, 3]),
            (Some(2), Some(3), [2, 3], [2, 3]),
        ] {
            let config = TrainConfig { batch_size: size, gradient_accumulation: passes, ..TrainConfig::default() };
            assert_eq!([&mini, &sd1, &sdxl].map(|model| batch(&config, model)), [of_one, of_one, of_two]);
            assert_eq!(batch(&decided(&config, &sdxl), &sd1), of_two);
        }
    }

    #[test]
    fn the_rate_is_that_of_the_recipe_and_the_family_until_a_setting_says_otherwise() {
        let rates = |recipe, lr| {
            let config = TrainConfig { recipe, lr, ..TrainConfig::default() };
            models().map(|model| rate(&config, &model))
        };
        assert_eq!(rates(Recipe::Adamw, None), [1e-2, 4e-3, 4e-3, 1e-3]);
        assert_eq!(rates(Recipe::Direction, None), [1e-1, 4e-2, 4e-2, 4e-2]);
        assert_eq!(rates(Recipe::Adamw, Some(0.5)), [0.5; 4]);
        let [mini, ..] = models();
        let relative = TrainConfig { relative_lr: Some(0.5), ..TrainConfig::default() };
        assert!(is_relative(&relative) && rate(&relative, &mini) == 0.5);
        // Decided again, it is what it was.
        let once = decided(&relative, &mini);
        assert!(is_relative(&once) && decided(&once, &mini) == once);
        let both = TrainConfig { lr: Some(0.1), ..relative.clone() };
        let direction = TrainConfig { recipe: Recipe::Direction, ..relative };
        assert!(!is_relative(&both) && rate(&both, &mini) == 0.1);
        assert!(!is_relative(&direction) && rate(&direction, &mini) == 0.1);
    }

    #[test]
    fn steps_and_vectors_are_those_of_the_family_until_a_setting_says_otherwise() {
        let of = |config: &TrainConfig| {
            models().map(|model| decided(config, &model)).map(|config| (config.steps(), config.vectors()))
        };
        assert_eq!(of(&TrainConfig::default()), [(600, 4), (500, 4), (500, 4), (400, 2)]);
        let asked = TrainConfig { steps: Some(9), vectors: Some(1), ..TrainConfig::default() };
        assert_eq!(of(&asked), [(9, 1); 4]);
    }

    #[test]
    fn what_is_usual_is_said_with_the_family_and_nothing_where_all_was_asked_for() {
        let [mini, mut sd1, ..] = models();
        let said = |config: &TrainConfig, model: &ModelConfig| in_words(config, &TrainInput::default(), model);
        let open = TrainConfig { init: Some("apple".to_owned()), ..TrainConfig::default() };
        let of_mini = said(&open, &mini).unwrap();
        assert_eq!(
            of_mini,
            "600 steps, 4 vectors, learning rate 0.01, timesteps 400..1000, masks auto, backgrounds plain, \
             context weight 0.1: usual for pseudoword's mini model"
        );
        let some = TrainConfig { steps: Some(9), lr: Some(0.1), ..open.clone() };
        assert_eq!(said(&some, &sd1).unwrap(), "4 vectors: usual for Stable Diffusion 1.x");
        assert_eq!(said(&TrainConfig { vectors: Some(1), ..some }, &sd1), None);
        sd1.text_encoders[0].hidden_size = 32;
        assert!(said(&open, &sd1).unwrap().contains("4 vectors") && said(&open, &sd1).unwrap().contains("unknown"));
    }

    #[test]
    fn the_context_counts_where_that_was_measured() {
        let usual = TrainConfig { init: Some("apple".to_owned()), ..TrainConfig::default() };
        let weight = |config: &TrainConfig, input: &TrainInput, family| {
            with_context_weight(config, input, family).context_weight.unwrap()
        };
        let bare = TrainInput::default();
        assert_eq!(weight(&usual, &bare, ModelFamily::Mini), 0.1);
        assert_eq!(weight(&usual, &bare, ModelFamily::Sd1), 0.0);
        for other in [
            TrainConfig { init: None, ..usual.clone() },
            TrainConfig { kind: Kind::Style, ..usual.clone() },
            TrainConfig { recipe: Recipe::Direction, ..usual.clone() },
            TrainConfig {
                second_token: Some("<ink>".to_owned()),
                second_init: Some("flat".to_owned()),
                ..usual.clone()
            },
            TrainConfig { context_weight: Some(0.0), ..usual.clone() },
        ] {
            assert_eq!(weight(&other, &bare, ModelFamily::Mini), 0.0, "{other:?}");
            let asked = TrainConfig { context_weight: Some(0.3), ..other };
            assert_eq!(weight(&asked, &bare, ModelFamily::Mini), 0.3);
        }
        let file = Embedding::new("<mug>", 1, vec![1.0]);
        let picture = Picture::new("p.png", image::RgbImage::new(1, 1));
        let captioned = TrainPicture { picture, caption: Some("a {}".to_owned()), mask: None };
        for other in [
            TrainInput { init: Some(Init::Embedding(file)), ..bare.clone() },
            TrainInput { templates: Some(vec!["my {}".to_owned()]), ..bare.clone() },
            TrainInput { pictures: vec![captioned], ..bare.clone() },
        ] {
            assert_eq!(weight(&usual, &other, ModelFamily::Mini), 0.0);
        }
    }
}
