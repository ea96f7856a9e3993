//! Reads a `scheduler_config.json` and refuses what is not implemented.

use super::config::{PredictionType, SchedulerConfig};
use super::passed_over::PassedOver;
use super::training::NoiseSchedule;
use crate::base::json::read_fields;
use crate::error::{Error, Result};

/// More training timesteps than any model has; keeps a hostile file from asking for gigabytes.
const MOST_TRAIN_TIMESTEPS: usize = 100_000;

impl SchedulerConfig {
    /// Reads and checks the text of a `scheduler_config.json`; `file_name` is for messages.
    ///
    /// # Errors
    /// [`Error::BadConfig`] if it is not such a file, or asks for something that is not implemented.
    pub fn from_json(text: &str, file_name: &str) -> Result<Self> {
        let bad = |reason: String| Error::BadConfig { file: file_name.to_owned(), reason };
        let (mut config, fields) = read_fields::<Self>(text).map_err(bad)?;
        config.others = PassedOver::of(&fields);
        config.check().map_err(bad)?;
        Ok(config)
    }

    /// Says what is wrong, if anything.
    fn check(&self) -> Result<(), String> {
        let class = self.class_name.as_deref().unwrap_or_default();
        if class.starts_with("FlowMatch") || class.starts_with("EDM") {
            return Err(format!("the noise schedule {class} is not of Stable Diffusion's kind, and is not supported"));
        }
        if self.rescale_betas_zero_snr && self.prediction_type == PredictionType::Epsilon {
            return Err(
                "rescale_betas_zero_snr (zero terminal SNR) needs prediction_type v_prediction: where nothing is left \
                of the signal, the noise says nothing about it"
                    .to_owned(),
            );
        }
        if self.thresholding {
            return Err("thresholding is for models of pixels and is not supported".to_owned());
        }
        let train = self.num_train_timesteps;
        if !(1..=MOST_TRAIN_TIMESTEPS).contains(&train) {
            return Err(format!("num_train_timesteps is {train}, expected 1 to {MOST_TRAIN_TIMESTEPS}"));
        }
        match &self.trained_betas {
            Some(betas) if betas.len() != train => {
                return Err(format!("trained_betas has {} values for {train} timesteps", betas.len()));
            }
            Some(betas) if !betas.iter().all(|beta| *beta > 0.0 && *beta < 1.0) => {
                return Err("trained_betas has values outside of 0 to 1".to_owned());
            }
            None if !(0.0 < self.beta_start && self.beta_start <= self.beta_end && self.beta_end < 1.0) => {
                let (start, end) = (self.beta_start, self.beta_end);
                return Err(format!("beta_start {start} and beta_end {end} do not rise between 0 and 1"));
            }
            _ => {}
        }
        let table = NoiseSchedule::new(self);
        let (first, last) = (table.alphas_cumprod()[0], table.alphas_cumprod()[train - 1]);
        if first == 1.0 || (last == 0.0 && !self.rescale_betas_zero_snr) {
            return Err("the betas add no noise at first, or leave no signal at last".to_owned());
        }
        if self.steps_offset >= train {
            return Err(format!("steps_offset is {}, but there are {train} timesteps", self.steps_offset));
        }
        if self.clip_sample_range.is_nan() || self.clip_sample_range <= 0.0 {
            return Err(format!("clip_sample_range is {}, expected a positive number", self.clip_sample_range));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::config::BetaSchedule;
    use super::*;
    use crate::parts::Architecture;

    #[test]
    fn reads_the_file_of_stable_diffusion() {
        let text = r#"{"_class_name": "PNDMScheduler", "_diffusers_version": "0.6.0", "beta_end": 0.012,
            "beta_schedule": "scaled_linear", "beta_start": 0.00085, "num_train_timesteps": 1000,
            "set_alpha_to_one": false, "skip_prk_steps": true, "steps_offset": 1, "trained_betas": null,
            "clip_sample": false}"#;
        let config = SchedulerConfig::from_json(text, "scheduler_config.json").unwrap();
        let expected = SchedulerConfig {
            class_name: Some("PNDMScheduler".to_owned()),
            beta_start: 0.00085,
            beta_end: 0.012,
            beta_schedule: BetaSchedule::ScaledLinear,
            set_alpha_to_one: Some(false),
            skip_prk_steps: Some(true),
            steps_offset: 1,
            clip_sample: Some(false),
            ..SchedulerConfig::default()
        };
        assert_eq!(config, expected);
        assert_eq!(SchedulerConfig::from_json("{}", "s").unwrap(), SchedulerConfig::default());
        let corrected = |config: &SchedulerConfig, architecture| {
            let corrected = config.clone().corrected_for(architecture);
            (corrected.steps_offset, corrected.clip_sample)
        };
        let (silent, clips) =
            (SchedulerConfig::default(), SchedulerConfig { clip_sample: Some(true), ..SchedulerConfig::default() });
        assert_eq!(corrected(&silent, Architecture::Sd), (1, Some(false)));
        assert_eq!(corrected(&clips, Architecture::Sd), (1, Some(false)));
        // Upstream's pipeline obeys files of SDXL.
        assert_eq!(corrected(&silent, Architecture::Sdxl), (0, Some(false)));
        assert_eq!(corrected(&clips, Architecture::Sdxl), (0, Some(true)));
        assert_eq!(corrected(&config, Architecture::Sdxl), (1, Some(false)));
    }

    #[test]
    fn refuses_what_it_cannot_do_and_names_it() {
        let cases = [
            (r#"{"prediction_type": "sample"}"#, "sample"),
            (r#"{"beta_schedule": "squaredcos_cap_v2"}"#, "squaredcos_cap_v2"),
            (r#"{"timestep_spacing": "odd"}"#, "odd"),
            (r#"{"rescale_betas_zero_snr": true}"#, "rescale_betas_zero_snr"),
            (r#"{"thresholding": true}"#, "thresholding"),
            (r#"{"num_train_timesteps": 0}"#, "num_train_timesteps"),
            (r#"{"num_train_timesteps": 4000000000}"#, "num_train_timesteps"),
            (r#"{"trained_betas": [0.1, 0.2]}"#, "trained_betas has 2"),
            (r#"{"trained_betas": [0.1, 1.2], "num_train_timesteps": 2}"#, "outside"),
            (r#"{"beta_start": 0.5, "beta_end": 0.1}"#, "beta_start"),
            (r#"{"beta_start": 1e-20}"#, "no noise"),
            (r#"{"beta_end": 0.99}"#, "no signal"),
            (r#"{"steps_offset": -1}"#, "-1"),
            (r#"{"steps_offset": 1000}"#, "steps_offset"),
            (r#"{"clip_sample_range": 0}"#, "clip_sample_range"),
            (r#"{"_class_name": "FlowMatchEulerDiscreteScheduler"}"#, "FlowMatchEuler"),
            ("{", "EOF"),
        ];
        for (text, part) in cases {
            match SchedulerConfig::from_json(text, "the_file.json") {
                Err(Error::BadConfig { file, reason }) => {
                    assert_eq!(file, "the_file.json");
                    assert!(reason.contains(part), "{text}: {reason}");
                }
                other => panic!("{text}: {other:?}"),
            }
        }
    }

    #[test]
    fn what_python_writes_for_dpm_solver_is_read() {
        let text =
            r#"{"lambda_min_clipped": -Infinity, "beta_end": 0.012, "trained_betas": null, "variance_type": NaN}"#;
        assert_eq!(SchedulerConfig::from_json(text, "test").expect("readable").beta_end, 0.012);
        assert!(SchedulerConfig::from_json(r#"{"beta_end": Infinity}"#, "test").is_err(), "where a number is needed");
    }
}
