//! What is usual for a model's architecture, where a setting leaves it open.

use crate::config::{Masks, TrainConfig};
use crate::parts::Architecture;

/// Samples in a forward pass, and passes in a step.
pub fn batch(config: &TrainConfig, architecture: Architecture) -> [u32; 2] {
    config.batch(architecture == Architecture::Sdxl)
}

/// Samples of a step.
pub fn samples_per_step(config: &TrainConfig, architecture: Architecture) -> u32 {
    batch(config, architecture).iter().product()
}

/// Settings that say how many samples there are.
pub fn with_batch(config: &TrainConfig, architecture: Architecture) -> TrainConfig {
    let [size, passes] = batch(config, architecture);
    TrainConfig { batch_size: Some(size), gradient_accumulation: Some(passes), ..config.clone() }
}

/// Where masks come from.
pub fn masks(config: &TrainConfig) -> Masks {
    config.masks.unwrap_or(Masks::Given)
}

/// The learning rate after warm-up.
pub fn rate(config: &TrainConfig, architecture: Architecture) -> f64 {
    config.lr.unwrap_or_else(|| match architecture {
        Architecture::Sd => config.recipe.lr(),
        Architecture::Sdxl => config.recipe.lr_of_two_encoders(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Recipe;

    #[test]
    fn a_step_has_four_samples_however_they_come_until_a_setting_says_otherwise() {
        for (size, passes, of_one, of_two) in [
            (None, None, [4, 1], [1, 4]),
            (Some(2), None, [2, 1], [2, 1]),
            (None, Some(3), [4, 3], [1, 3]),
            (Some(2), Some(3), [2, 3], [2, 3]),
        ] {
            let config = TrainConfig { batch_size: size, gradient_accumulation: passes, ..TrainConfig::default() };
            assert_eq!([Architecture::Sd, Architecture::Sdxl].map(|of| batch(&config, of)), [of_one, of_two]);
            let said = with_batch(&config, Architecture::Sdxl);
            assert_eq!(batch(&said, Architecture::Sd), of_two);
        }
    }

    #[test]
    fn the_rate_is_that_of_the_recipe_and_the_architecture_until_a_setting_says_otherwise() {
        let rate = |recipe, lr, architecture| rate(&TrainConfig { recipe, lr, ..TrainConfig::default() }, architecture);
        for (recipe, of_one, of_two) in [(Recipe::Adamw, 1e-2, 1e-3), (Recipe::Direction, 1e-1, 4e-2)] {
            assert_eq!(rate(recipe, None, Architecture::Sd), of_one);
            assert_eq!(rate(recipe, None, Architecture::Sdxl), of_two);
            assert_eq!(rate(recipe, Some(0.5), Architecture::Sdxl), 0.5);
        }
    }
}
