//! Previews, clipping, reuse and impossible plans; the steps themselves are compared in `tests/schedule.rs`.

use burn::tensor::Device;

use super::*;
use crate::error::Kind;
use crate::parts::Architecture;

fn config(extra: &str) -> SchedulerConfig {
    let text = format!(r#"{{"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"{extra}}}"#);
    SchedulerConfig::from_json(&text, "s").unwrap()
}

fn tensor(values: [f32; 4]) -> Tensor<4> {
    Tensor::<1>::from_floats(values, &Device::flex()).reshape([1, 1, 2, 2])
}

fn assert_close(actual: &Tensor<4>, expected: [f32; 4], tolerance: f32, what: &str) {
    let actual: Vec<f32> = actual.to_data().try_to_vec().unwrap();
    let close = actual.iter().zip(expected).all(|(a, b)| (a - b).abs() <= tolerance);
    assert!(close, "{what}: {actual:?} instead of {expected:?}");
}

/// Feeds the same outputs, ever weaker, and returns the samples and the predicted clean samples.
fn walk(mut sampler: Sampler) -> Vec<Stepped> {
    sampler.begin();
    let mut sample = tensor([1.2, -0.4, 0.3, -2.0]);
    let mut steps = Vec::new();
    for index in 0..sampler.timesteps().len() {
        let output = tensor([0.5, -0.3, 0.1, 0.9]) * (1.0 - 0.3 * index as f32);
        let stepped = sampler.step(output, index, sample, None);
        sample = stepped.prev_sample.clone();
        steps.push(stepped);
    }
    steps
}

#[test]
fn the_preview_of_a_perfect_model_is_the_clean_sample() {
    let (clean, noise) = ([0.9, -1.3, 0.2, 2.1], [-0.5, 0.8, 1.7, -0.1]);
    for (kind, prediction) in SamplerKind::ALL.iter().flat_map(|kind| [(*kind, "epsilon"), (*kind, "v_prediction")]) {
        let config = config(&format!(r#", "prediction_type": "{prediction}", "timestep_spacing": "leading""#))
            .corrected_for(Architecture::Sd);
        for karras in [false, true] {
            let Ok(mut sampler) = Sampler::new(kind, karras, &config, 10) else { continue };
            let what = format!("{kind:?}, {prediction}, karras {karras}");
            let t = sampler.timesteps()[0] as usize;
            let schedule = NoiseSchedule::new(&config);
            let whole = |values: Vec<f32>| tensor(values.try_into().unwrap());
            let noisy = whole(schedule.add_noise(&clean, &noise, t));
            let output = whole(schedule.target(&clean, &noise, t));
            let (alpha, _) = schedule.alpha_sigma(t);
            let unscaled = matches!(kind, SamplerKind::Euler | SamplerKind::EulerAncestral);
            let sample = if unscaled { noisy.clone() / alpha } else { noisy.clone() };

            let input = sampler.scale_model_input(sample.clone(), 0);
            let noisy: Vec<f32> = noisy.to_data().try_to_vec().unwrap();
            assert_close(&input, noisy.try_into().unwrap(), 1e-5, &what);
            let stepped = sampler.step(output, 0, sample, Some(tensor(noise)));
            assert_close(&stepped.denoised.value(), clean, 2e-5, &what);
        }
    }
}

/// Numbers of diffusers 0.42.1: `DDIMScheduler(..., clip_sample=True, clip_sample_range=0.7)`, 4 steps.
#[test]
fn ddim_clips_what_the_config_says() {
    let clipped = |prediction: &str| {
        let extra = format!(r#", "clip_sample_range": 0.7, "prediction_type": "{prediction}""#);
        walk(Sampler::new(SamplerKind::Ddim, false, &config(&extra), 4).unwrap())
    };
    let steps = clipped("epsilon");
    assert_close(&steps[0].denoised.value(), [0.7, -0.458_001_85, 0.7, -0.7], 2e-6, "clipped sample");
    assert_close(&steps[0].prev_sample, [0.793_314_6, -0.495_965_36, 0.453_04, 0.397_646_5], 2e-6, "epsilon");
    assert_close(&steps[3].prev_sample, [0.7, -0.668_894_1, 0.7, -0.067_323_38], 2e-6, "epsilon, last");
    let steps = clipped("v_prediction");
    assert_close(&steps[0].prev_sample, [0.986_701_1, -0.287_689_4, 0.254_402_37, -1.839_418_2], 2e-6, "v");
    assert_close(&steps[3].prev_sample, [0.530_052_24, -0.084_412_52, 0.149_814, -0.7], 2e-6, "v, last");
}

/// Numbers of diffusers 0.42.1: `PNDMScheduler(..., skip_prk_steps=True, set_alpha_to_one=True)`, 2 steps.
#[test]
fn a_sampler_can_be_used_again() {
    let mut sampler = Sampler::new(SamplerKind::Pndm, false, &config(r#", "set_alpha_to_one": true"#), 2).unwrap();
    let abandoned = tensor([3.0, 1.0, -2.0, 0.5]);
    sampler.step(abandoned.clone(), 0, abandoned.clone(), None);
    sampler.step(abandoned.clone(), 1, abandoned, None);
    let steps = walk(sampler);
    assert_close(&steps[1].prev_sample, [1.606_730_5, -0.355_553_98, 0.435_436_87, -5.018_181], 1e-5, "repeated");
    assert_close(&steps[2].prev_sample, [1.605_955_5, -0.354_830_18, 0.435_330_42, -5.022_94], 1e-5, "last");
}

#[test]
fn a_batch_knows_nothing_of_one_that_was_abandoned() {
    let config = config(r#", "timestep_spacing": "leading""#);
    let values = |stepped: Vec<Stepped>| -> Vec<Vec<f32>> {
        stepped.iter().map(|stepped| stepped.prev_sample.to_data().try_to_vec().unwrap()).collect()
    };
    for kind in SamplerKind::ALL.into_iter().filter(|kind| !kind.needs_noise()) {
        let new = || Sampler::new(kind, false, &config, 4).unwrap();
        for calls in 1..4 {
            let mut used = new();
            for index in 0..calls {
                used.step(tensor([3.0, 1.0, -2.0, 0.5]), index, tensor([9.0; 4]), None);
            }
            assert_eq!(values(walk(used)), values(walk(new())), "{kind:?} after {calls} calls");
        }
    }
}

#[test]
fn impossible_plans_are_usage_errors_and_the_rest_is_finite() {
    let refused = |kind, karras, extra: &str, steps| {
        Sampler::new(kind, karras, &config(extra), steps).is_err_and(|error| error.kind() == Kind::Usage)
    };
    for kind in SamplerKind::ALL {
        assert!(refused(kind, false, "", 0) && refused(kind, false, "", 1001), "{kind:?}");
        assert!(refused(kind, false, r#", "steps_offset": 1, "timestep_spacing": "leading""#, 1000), "{kind:?}");
        let spacings = ["leading", "trailing", "linspace"];
        let cases =
            spacings.map(|spacing| [1, 2, 61, 999].map(|steps| [false, true].map(|zero| (spacing, steps, zero))));
        for (spacing, steps, zero) in cases.concat().concat() {
            let terminal = format!(r#""rescale_betas_zero_snr": {zero}, "prediction_type": "v_prediction""#);
            let config = config(&format!(r#", "timestep_spacing": "{spacing}", {terminal}"#));
            let mut sampler = Sampler::new(kind, false, &config, steps).unwrap();
            let calls = if kind == SamplerKind::Pndm && steps > 1 { steps + 1 } else { steps };
            assert_eq!(sampler.timesteps().len(), calls, "{kind:?} {spacing} {steps}");
            assert!(sampler.timesteps().iter().all(|t| (0.0..1000.0).contains(t)), "{kind:?} {spacing} {steps}");
            let mut sample = tensor([1.0; 4]);
            for index in 0..calls {
                let still = sample.zeros_like();
                sample = sampler.step(still.clone(), index, sample, Some(still)).prev_sample;
            }
            let last: Vec<f32> = sample.to_data().try_to_vec().unwrap();
            assert!(last.iter().all(|x| x.is_finite()), "{kind:?} {spacing} {steps}: {last:?}");
        }
    }
    assert!(refused(SamplerKind::Ddim, true, "", 10) && refused(SamplerKind::Pndm, true, "", 10));
    assert!(refused(SamplerKind::Pndm, false, r#", "skip_prk_steps": false"#, 10));
    assert!(refused(SamplerKind::Dpmpp2m, false, "", 1000));
    let euler = |kind| Sampler::new(kind, true, &config(""), 10).unwrap();
    let (plain, ancestral) = (euler(SamplerKind::Euler), euler(SamplerKind::EulerAncestral));
    assert_eq!(plain.timesteps(), ancestral.timesteps());
}
