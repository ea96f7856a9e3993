//! The noise of training: mixes latents with noise and gives what the U-Net should predict.
//!
//! Input: the latents of a sample, noise of the same shape and a timestep, on the host, where all of them come from. Output: the
//! noisy sample `alpha * latents + sigma * noise`, the target, and the weights of the losses. DDPM (arXiv 2006.11239); upstream
//! `scheduling_ddpm.py` (`add_noise`, `get_velocity`) and `training_utils.py` (`compute_snr`).

use super::config::{BetaSchedule, PredictionType, SchedulerConfig};

/// How much of a noisy sample is signal and how much is noise, at each timestep of training.
#[derive(Debug, Clone)]
pub struct NoiseSchedule {
    alphas_cumprod: Vec<f32>,
    prediction_type: PredictionType,
}

impl NoiseSchedule {
    /// Computes the schedule, with the roundings of PyTorch: betas, alphas and the table are f32, the running product
    /// is f64 (ATen's accumulator for f32 on the CPU). With PyTorch on an x86 CPU the table is equal bit by bit.
    pub fn new(config: &SchedulerConfig) -> Self {
        let betas = match &config.trained_betas {
            Some(betas) => betas.clone(),
            None => betas(config),
        };
        let mut alphas_cumprod = products(betas.iter().map(|beta| 1.0 - beta));
        if config.rescale_betas_zero_snr {
            alphas_cumprod = with_zero_terminal_snr(&alphas_cumprod);
        }
        Self { alphas_cumprod, prediction_type: config.prediction_type }
    }

    /// The share of the signal's variance that is left at each timestep.
    pub fn alphas_cumprod(&self) -> &[f32] {
        &self.alphas_cumprod
    }

    /// The amplitudes of the latents and of the noise at timestep `t`.
    ///
    /// # Panics
    /// If `t` is not a timestep of training; so do the other functions here.
    pub fn alpha_sigma(&self, t: usize) -> (f32, f32) {
        let alpha_cumprod = self.alphas_cumprod[t];
        (alpha_cumprod.sqrt(), (1.0 - alpha_cumprod).sqrt())
    }

    /// The signal-to-noise ratio at timestep `t`.
    pub fn snr(&self, t: usize) -> f64 {
        let alpha_cumprod = f64::from(self.alphas_cumprod[t]);
        alpha_cumprod / (1.0 - alpha_cumprod)
    }

    /// Mixes the `latents` of a sample with `noise`, as much as the timestep says.
    pub fn add_noise(&self, latents: &[f32], noise: &[f32], t: usize) -> Vec<f32> {
        let (alpha, sigma) = self.alpha_sigma(t);
        latents.iter().zip(noise).map(|(latent, noise)| latent * alpha + noise * sigma).collect()
    }

    /// What the U-Net should answer for the sample that [`add_noise`](Self::add_noise) gives.
    pub fn target(&self, latents: &[f32], noise: &[f32], t: usize) -> Vec<f32> {
        match self.prediction_type {
            PredictionType::Epsilon => noise.to_vec(),
            PredictionType::VPrediction => {
                let (alpha, sigma) = self.alpha_sigma(t);
                latents.iter().zip(noise).map(|(latent, noise)| noise * alpha - latent * sigma).collect()
            }
        }
    }

    /// The weight of each sample's loss: min-SNR with `snr_gamma` (arXiv 2303.09556, in the form of diffusers'
    /// `train_text_to_image.py`), else 1.
    pub fn loss_weights(&self, t: &[usize], snr_gamma: Option<f64>) -> Vec<f32> {
        let Some(gamma) = snr_gamma else {
            return vec![1.0; t.len()];
        };
        let weight = |t: &usize| {
            let snr = self.snr(*t);
            let divisor = match self.prediction_type {
                PredictionType::Epsilon => snr,
                PredictionType::VPrediction => snr + 1.0,
            };
            (snr.min(gamma) / divisor) as f32
        };
        t.iter().map(weight).collect()
    }

    /// One entry of the table, for the samplers' arithmetic.
    pub(super) fn alpha_cumprod(&self, t: usize) -> f64 {
        f64::from(self.alphas_cumprod[t])
    }

    /// The noise level of each timestep where the signal is not scaled down: sigma / alpha, in f32 as upstream, which takes a
    /// little signal for none.
    pub(super) fn sigmas(&self) -> Vec<f32> {
        const LEAST: f32 = 1.0 / (1 << 24) as f32;
        let sigma = |alpha_cumprod: f32| ((1.0 - alpha_cumprod) / alpha_cumprod).sqrt();
        self.alphas_cumprod.iter().map(|alpha_cumprod| sigma(alpha_cumprod.max(LEAST))).collect()
    }
}

/// `torch.cumprod` of f32 values.
fn products(alphas: impl Iterator<Item = f32>) -> Vec<f32> {
    let mut product = 1.0;
    let next = |alpha| {
        product *= f64::from(alpha);
        product as f32
    };
    alphas.map(next).collect()
}

/// The schedule shifted and stretched so that nothing is left of the signal at last (arXiv 2305.08891, algorithm 1; upstream
/// `rescale_zero_terminal_snr`, with its way through the betas and its roundings).
fn with_zero_terminal_snr(alphas_cumprod: &[f32]) -> Vec<f32> {
    let roots: Vec<f32> = alphas_cumprod.iter().map(|alpha| alpha.sqrt()).collect();
    let (Some(first), Some(last)) = (roots.first(), roots.last()) else { return Vec::new() };
    let stretch = first / (first - last);
    let squares: Vec<f32> = roots.iter().map(|root| (root - last) * stretch).map(|root| root * root).collect();
    let ratios = squares.windows(2).map(|pair| pair[1] / pair[0]);
    products(squares.iter().take(1).copied().chain(ratios).map(|alpha| 1.0 - (1.0 - alpha)))
}

/// The betas of `beta_schedule`.
fn betas(config: &SchedulerConfig) -> Vec<f32> {
    let (start, end, steps) = (config.beta_start, config.beta_end, config.num_train_timesteps);
    match config.beta_schedule {
        BetaSchedule::Linear => linspace(start, end, steps),
        BetaSchedule::ScaledLinear => {
            linspace(start.sqrt(), end.sqrt(), steps).into_iter().map(|root| root * root).collect()
        }
    }
}

/// `torch.linspace` in f32: the first half counts up from the start, the second half down from the end, each with a
/// fused multiply-add. A product of f32 values is exact in f64, so one rounding at the end is what fusing means.
fn linspace(start: f64, end: f64, steps: usize) -> Vec<f32> {
    let (start, end) = (start as f32, end as f32);
    if steps == 1 {
        return vec![start];
    }
    let step = f64::from((end - start) / (steps - 1) as f32);
    let at = |i: usize| {
        if i < steps / 2 {
            (f64::from(start) + step * i as f64) as f32
        } else {
            (f64::from(end) - step * (steps - 1 - i) as f64) as f32
        }
    };
    (0..steps).map(at).collect()
}
