//! What a model's output says about the sample that it was computed from.
//!
//! A noisy sample is `alpha * clean + sigma * noise`, and the output is the noise or the velocity; either way the clean
//! sample and the noise are each a weighted sum of the sample and the output. The two fractions of every sampler.

use burn::tensor::Tensor;

use super::config::PredictionType;
use crate::ops::Blend;

/// What one step gives.
#[derive(Debug, Clone)]
pub struct Stepped {
    /// The sample at the next noise level.
    pub prev_sample: Tensor<4>,
    /// The clean sample that this model call predicts.
    pub denoised: Blend<4>,
}

/// The weights of a sum of a sample and a model output.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Mix {
    /// Weight of the sample.
    pub sample: f64,
    /// Weight of the model output.
    pub output: f64,
}

impl Mix {
    /// The sum.
    pub fn apply(self, sample: &Tensor<4>, output: &Tensor<4>) -> Blend<4> {
        self.of(sample, Blend::of(output, 1.0))
    }

    /// The sum with an output that is one itself.
    pub fn of(self, sample: &Tensor<4>, output: Blend<4>) -> Blend<4> {
        let outputs = output.times(self.output);
        if self.sample == 0.0 { outputs } else { Blend::of(sample, self.sample).plus(outputs) }
    }
}

impl PredictionType {
    /// As people call it.
    pub fn label(self) -> &'static str {
        match self {
            PredictionType::Epsilon => "the noise (epsilon)",
            PredictionType::VPrediction => "the velocity (v-prediction)",
        }
    }

    /// How the clean sample follows from a sample with these amplitudes.
    pub(super) fn denoised(self, alpha: f64, sigma: f64) -> Mix {
        match self {
            PredictionType::Epsilon => Mix { sample: 1.0 / alpha, output: -sigma / alpha },
            PredictionType::VPrediction => Mix { sample: alpha, output: -sigma },
        }
    }

    /// How the noise follows from a sample with these amplitudes.
    pub(super) fn noise(self, alpha: f64, sigma: f64) -> Mix {
        match self {
            PredictionType::Epsilon => Mix { sample: 0.0, output: 1.0 },
            PredictionType::VPrediction => Mix { sample: sigma, output: alpha },
        }
    }
}
