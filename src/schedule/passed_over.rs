//! What a `scheduler_config.json` asks a sampler for and does not get here, in sentences.
//!
//! Files list every argument of the class that wrote them, nearly always with its default; only another value, and only
//! for a sampler whose class in diffusers would take it, is worth a sentence.

use serde_json::{Map, Value};

use super::config::{PredictionType, SchedulerConfig};
use super::training::NoiseSchedule;
use crate::config::SamplerKind;

/// Values of fields that some of our samplers' classes have in diffusers, and that do nothing here.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct PassedOver(Map<String, Value>);

/// A field, the values with which nothing is different (absent and `null` are among them), and where it counts.
type Field = (&'static str, &'static [&'static str], Counts);

/// With which sampler, and when, a field would make a difference.
type Counts = fn(SamplerKind, &SchedulerConfig) -> bool;

const FIELDS: &[Field] = &[
    ("use_exponential_sigmas", &["false"], |kind, _| takes_sigmas(kind)),
    ("use_beta_sigmas", &["false"], |kind, _| takes_sigmas(kind)),
    // Only Karras's spacing asks for them, of what is here.
    ("sigma_min", &[], |kind, config| takes_sigmas(kind) && config.use_karras_sigmas),
    ("sigma_max", &[], |kind, config| takes_sigmas(kind) && config.use_karras_sigmas),
    ("final_sigmas_type", &["\"zero\""], |kind, _| takes_sigmas(kind)),
    ("interpolation_type", &["\"linear\""], |kind, _| kind == SamplerKind::Euler),
    ("timestep_type", &["\"discrete\""], |kind, config| {
        kind == SamplerKind::Euler && config.prediction_type == PredictionType::VPrediction
    }),
    ("use_lu_lambdas", &["false"], |kind, _| kind == SamplerKind::Dpmpp2m),
    ("use_flow_sigmas", &["false"], |kind, _| kind == SamplerKind::Dpmpp2m),
    ("solver_order", &["2"], |kind, _| kind == SamplerKind::Dpmpp2m),
    // diffusers takes the names of other classes for its own defaults.
    ("algorithm_type", &["\"dpmsolver++\"", "\"deis\""], |kind, _| kind == SamplerKind::Dpmpp2m),
    ("solver_type", &["\"midpoint\"", "\"logrho\"", "\"bh1\"", "\"bh2\""], |kind, _| kind == SamplerKind::Dpmpp2m),
    ("lambda_min_clipped", &["\"-Infinity\""], |kind, config| kind == SamplerKind::Dpmpp2m && config.clips_lambda()),
];

/// Classes of models that were distilled for a sampler of their own, which makes pictures in a few steps.
const DISTILLED: [&str; 2] = ["LCMScheduler", "TCDScheduler"];

/// Whether a sampler's class in diffusers has the fields about noise levels.
fn takes_sigmas(kind: SamplerKind) -> bool {
    matches!(kind, SamplerKind::Euler | SamplerKind::Dpmpp2m)
}

impl PassedOver {
    /// Those of a file's fields.
    pub fn of(fields: &Map<String, Value>) -> Self {
        let given = FIELDS.iter().filter_map(|(name, ..)| Some(((*name).to_owned(), fields.get(*name)?.clone())));
        Self(given.filter(|(_, value)| !value.is_null()).collect())
    }
}

impl SchedulerConfig {
    /// Whether a sampler has Karras's noise levels because the file asks for them.
    pub fn asks_for_karras(&self, kind: SamplerKind) -> bool {
        // diffusers' ancestral sampler has no such argument, and does without.
        self.use_karras_sigmas && takes_sigmas(kind)
    }

    /// What the file asks this sampler for, and does not get: a sentence for each.
    pub fn not_obeyed(&self, kind: SamplerKind) -> Vec<String> {
        let mut sentences = Vec::new();
        if let Some(class) = self.class_name.as_deref().filter(|class| DISTILLED.contains(class)) {
            sentences.push(format!(
                "the model was made for the sampler {class}, which is not here: with the sampler {} its pictures may come \
                 out wrong",
                kind.name()
            ));
        }
        if self.rescale_betas_zero_snr && kind == SamplerKind::Pndm {
            sentences.push(format!(
                "the model's noise schedule leaves nothing of the signal (rescale_betas_zero_snr), which the sampler {} does not do, \
                 nor does it in diffusers: choose another sampler for this model",
                kind.name()
            ));
        }
        for (name, usual, counts) in FIELDS {
            let Some(value) = self.others.0.get(*name) else { continue };
            if !usual.contains(&value.to_string().as_str()) && counts(kind, self) {
                sentences.push(format!(
                    "the model's scheduler_config.json has {name} {value}, which the sampler {} does not do here: pictures \
                     differ from those of diffusers",
                    kind.name()
                ));
            }
        }
        sentences
    }

    /// Whether `lambda_min_clipped` lies above the noisiest timestep's, so that it would leave some out.
    fn clips_lambda(&self) -> bool {
        let least = self.others.0.get("lambda_min_clipped").and_then(Value::as_f64);
        let noisiest = NoiseSchedule::new(self).sigmas().last().copied().map(f64::from);
        least.zip(noisiest).is_some_and(|(least, sigma)| least > -libm::log(sigma))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(kind: SamplerKind, fields: &str) -> String {
        let text = format!(r#"{{"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"{fields}}}"#);
        SchedulerConfig::from_json(&text, "test").expect("readable").not_obeyed(kind).join("\n")
    }

    #[test]
    fn what_a_sampler_would_do_in_diffusers_and_does_not_do_here_is_said_of_that_sampler_only() {
        use SamplerKind::{Ddim, Dpmpp2m, Euler, EulerAncestral, Pndm};
        for (fields, kinds) in [
            (r#", "use_exponential_sigmas": true"#, &[Euler, Dpmpp2m][..]),
            (r#", "use_beta_sigmas": true"#, &[Euler, Dpmpp2m]),
            (r#", "final_sigmas_type": "sigma_min""#, &[Euler, Dpmpp2m]),
            (r#", "use_karras_sigmas": true, "sigma_max": 10.0"#, &[Euler, Dpmpp2m]),
            (r#", "interpolation_type": "log_linear""#, &[Euler]),
            (r#", "timestep_type": "continuous", "prediction_type": "v_prediction""#, &[Euler]),
            (r#", "solver_order": 3"#, &[Dpmpp2m]),
            (r#", "algorithm_type": "sde-dpmsolver++""#, &[Dpmpp2m]),
            (r#", "solver_type": "heun""#, &[Dpmpp2m]),
            (r#", "use_lu_lambdas": true"#, &[Dpmpp2m]),
            (r#", "lambda_min_clipped": -2.0"#, &[Dpmpp2m]),
            (r#", "rescale_betas_zero_snr": true, "prediction_type": "v_prediction""#, &[Pndm]),
            (r#", "_class_name": "LCMScheduler""#, &[Ddim, Dpmpp2m, Euler, EulerAncestral, Pndm]),
        ] {
            for kind in SamplerKind::ALL {
                let text = said(kind, fields);
                assert_eq!(!text.is_empty(), kinds.contains(&kind), "{fields} {kind:?}: {text}");
            }
        }
    }

    /// As the classes of diffusers 0.42.1 write themselves.
    #[test]
    fn defaults_are_not_worth_a_word() {
        for fields in [
            r#", "solver_order": 2.0, "algorithm_type": "dpmsolver++", "solver_type": "midpoint", "use_karras_sigmas": false,
                "use_exponential_sigmas": false, "use_beta_sigmas": false, "use_lu_lambdas": false, "use_flow_sigmas": false,
                "final_sigmas_type": "zero", "lambda_min_clipped": -Infinity, "variance_type": null, "euler_at_final": false,
                "lower_order_final": true, "flow_shift": 1.0, "sample_max_value": 1.0, "dynamic_thresholding_ratio": 0.995"#,
            r#", "interpolation_type": "linear", "sigma_min": null, "sigma_max": null, "timestep_type": "discrete""#,
            r#", "algorithm_type": "deis", "solver_type": "logrho", "solver_order": 2"#,
            r#", "predict_x0": true, "solver_type": "bh2", "disable_corrector": [], "solver_p": null"#,
            r#", "lambda_min_clipped": -5.1, "clip_sample": null, "thresholding": null, "use_karras_sigmas": null"#,
        ] {
            for kind in SamplerKind::ALL {
                assert_eq!(said(kind, fields), "", "{kind:?}");
            }
        }
    }
}
