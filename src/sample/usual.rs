//! How pictures are usually made with a model, where a setting leaves it open.

use crate::config::{SampleConfig, SamplerKind};
use crate::model::ModelConfig;
use crate::schedule::Sampler;

/// The settings with the steps, the guidance and the sampler that are usual for the model, where they are open.
#[must_use]
pub fn with_usual(config: &SampleConfig, model: &ModelConfig) -> SampleConfig {
    let usual = model.usual_family().sampling();
    SampleConfig {
        steps: Some(config.steps.unwrap_or(usual.steps)),
        guidance: Some(config.guidance.unwrap_or(usual.guidance)),
        sampler: Some(config.sampler.unwrap_or_else(|| own_sampler(model).unwrap_or(usual.sampler))),
        ..config.clone()
    }
}

/// The sampler that the model's files name, where there is it and it can do what else they say.
fn own_sampler(model: &ModelConfig) -> Option<SamplerKind> {
    let named = SamplerKind::of_class(model.scheduler.class_name.as_deref()?)?;
    Sampler::new(named, false, &model.scheduler, 1).is_ok().then_some(named)
}

/// What of the settings was open and is as usual for the model, in words; nothing if nothing was open.
pub fn usual_in_words(config: &SampleConfig, model: &ModelConfig) -> Option<String> {
    let decided = with_usual(config, model);
    let steps = config.steps.is_none().then(|| format!("{} steps", decided.steps()));
    let guidance = config.guidance.is_none().then(|| format!("guidance {}", decided.guidance()));
    let sampler = config.sampler.is_none().then(|| format!("sampler {}", decided.sampler().label()));
    let open: Vec<String> = [guidance, steps, sampler].into_iter().flatten().collect();
    (!open.is_empty()).then(|| format!("{}: {}", open.join(", "), model.usual_for()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::sizes;
    use crate::checkpoint::Family;

    fn mini() -> ModelConfig {
        pollster::block_on(ModelConfig::read(&crate::mini::source())).unwrap()
    }

    fn usual(model: &ModelConfig) -> (f64, u32, SamplerKind) {
        let config = with_usual(&SampleConfig::default(), model);
        (config.guidance(), config.steps(), config.sampler())
    }

    #[test]
    fn every_family_has_its_own() {
        assert_eq!(usual(&mini()), (4.0, 25, SamplerKind::Ddim));
        assert_eq!(usual(&sizes(Family::Sd1).unwrap()), (7.5, 30, SamplerKind::Pndm));
        assert_eq!(usual(&sizes(Family::Sd2).unwrap()), (7.5, 30, SamplerKind::Ddim));
        assert_eq!(usual(&sizes(Family::Sdxl).unwrap()), (5.0, 30, SamplerKind::Euler));
    }

    #[test]
    fn what_was_asked_for_stays() {
        let asked = SampleConfig { steps: Some(7), sampler: Some(SamplerKind::Dpmpp2m), ..SampleConfig::default() };
        let config = with_usual(&asked, &sizes(Family::Sdxl).unwrap());
        assert_eq!((config.guidance(), config.steps(), config.sampler()), (5.0, 7, SamplerKind::Dpmpp2m));
        let all = SampleConfig { guidance: Some(1.0), ..asked };
        assert_eq!(usual_in_words(&all, &mini()), None);
    }

    #[test]
    fn the_files_name_the_sampler_where_it_is_there_and_can_be_used() {
        let mut model = sizes(Family::Sd1).unwrap();
        let mut named = |class: &str, skip_prk_steps| {
            model.scheduler.class_name = Some(class.to_owned());
            model.scheduler.skip_prk_steps = Some(skip_prk_steps);
            usual(&model).2
        };
        assert_eq!(named("EulerAncestralDiscreteScheduler", true), SamplerKind::EulerAncestral);
        assert_eq!(named("DPMSolverMultistepScheduler", true), SamplerKind::Dpmpp2m);
        assert_eq!(named("DDIMScheduler", true), SamplerKind::Ddim);
        assert_eq!(named("HeunDiscreteScheduler", true), SamplerKind::Pndm);
        model.scheduler.class_name = None;
        assert_eq!(usual(&model).2, SamplerKind::Pndm);
    }

    #[test]
    fn it_is_said_which_family_they_are_usual_for() {
        let mut model = sizes(Family::Sd1).unwrap();
        let said = |model: &ModelConfig| usual_in_words(&SampleConfig::default(), model).unwrap();
        assert_eq!(said(&model), "guidance 7.5, 30 steps, sampler PNDM: usual for Stable Diffusion 1.x");
        model.text_encoders[0].hidden_size = 32;
        assert!(said(&model).ends_with("usual for Stable Diffusion 1.x (this model's own family is unknown)"));
    }
}
