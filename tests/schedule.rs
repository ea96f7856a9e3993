//! Samplers and training schedules against diffusers' (`tests/fixtures/reference/schedulers.py` wrote the numbers).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop there")]

use std::path::PathBuf;

use burn::tensor::{Device, Tensor, TensorData};
use pseudoword::config::SamplerKind;
use pseudoword::schedule::{NoiseSchedule, Sampler, SchedulerConfig};
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

/// Largest deviation from upstream, relative to the largest number expected.
const TOLERANCE: f32 = 1e-5;

/// The name that the fixtures give each sampler, the method and whether Karras's levels are on.
const SAMPLERS: [(&str, SamplerKind, bool); 7] = [
    ("ddim", SamplerKind::Ddim, false),
    ("pndm", SamplerKind::Pndm, false),
    ("euler", SamplerKind::Euler, false),
    ("euler_karras", SamplerKind::Euler, true),
    ("euler_a", SamplerKind::EulerAncestral, false),
    ("dpmpp_2m", SamplerKind::Dpmpp2m, false),
    ("dpmpp_2m_karras", SamplerKind::Dpmpp2m, true),
];

fn fixture(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}; run tests/fixtures/generate.py", path.display()))
}

/// One list of `schedulers.json`, which must not be empty.
fn listing(name: &str) -> Vec<Value> {
    let all: Value = serde_json::from_slice(&fixture("schedulers.json")).unwrap();
    let list = all[name].as_array().unwrap_or_else(|| panic!("schedulers.json has no {name}")).clone();
    assert!(!list.is_empty(), "schedulers.json has no cases of {name}");
    list
}

/// A tensor of the file: its numbers and its shape.
fn numbers(file: &SafeTensors, key: &str) -> (Vec<f32>, Vec<usize>) {
    let view = file.tensor(key).unwrap_or_else(|error| panic!("{key}: {error}"));
    assert_eq!(view.dtype(), Dtype::F32, "{key}");
    let values = view.data().chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap()));
    (values.collect(), view.shape().to_vec())
}

fn tensor(values: &[f32], shape: &[usize]) -> Tensor<4> {
    let shape: [usize; 4] = shape.try_into().unwrap();
    Tensor::from_data(TensorData::new(values.to_vec(), shape), &Device::flex())
}

/// A tensor of rank 4, or the entries of one of rank 5.
fn tensors(file: &SafeTensors, key: &str) -> Vec<Tensor<4>> {
    let (values, shape) = numbers(file, key);
    let shape = &shape[shape.len() - 4..];
    values.chunks_exact(shape.iter().product()).map(|part| tensor(part, shape)).collect()
}

fn floats(tensor: &Tensor<4>) -> Vec<f32> {
    tensor.to_data().try_to_vec().unwrap()
}

/// The deviation from what is expected, relative to its largest number.
fn deviation(actual: &Tensor<4>, expected: &Tensor<4>) -> f32 {
    assert_eq!(actual.dims(), expected.dims());
    let expected = floats(expected);
    let scale = expected.iter().fold(0.0, |most: f32, x| most.max(x.abs()));
    let pairs = floats(actual).into_iter().zip(expected);
    // `max` would pass over a NaN.
    pairs.fold(0.0, |most: f32, (a, b)| if (a - b).is_nan() { f32::NAN } else { most.max((a - b).abs()) }) / scale
}

fn check(worst: &mut f32, actual: &Tensor<4>, expected: &Tensor<4>, what: &str) {
    let deviation = deviation(actual, expected);
    assert!(deviation <= TOLERANCE, "{what} deviates by {deviation:e}");
    *worst = worst.max(deviation);
}

fn config(case: &Value) -> SchedulerConfig {
    SchedulerConfig::from_json(&case["config"].to_string(), "the case's config").unwrap()
}

fn steps(case: &Value) -> usize {
    case["num_inference_steps"].as_u64().unwrap() as usize
}

/// Compares the plan: whole timesteps exactly, fractional ones and the first sigma to what f32 logarithms can give.
fn check_plan(sampler: &Sampler, case: &Value) {
    let expected: Vec<f64> = case["timesteps"].as_array().unwrap().iter().map(|t| t.as_f64().unwrap()).collect();
    let same = sampler.timesteps().iter().zip(&expected).all(|(a, b)| (f64::from(*a) - b).abs() < 5e-4);
    let actual = sampler.timesteps();
    assert!(same && actual.len() == expected.len(), "{case}: {actual:?}");
    let sigma = case["init_noise_sigma"].as_f64().unwrap();
    assert!((f64::from(sampler.init_noise_sigma()) / sigma - 1.0).abs() < 1e-6, "{case}");
}

/// Feeds the recorded model outputs to a sampler, from upstream's sample at each step or from its own.
fn follow(name: &str, kind: SamplerKind, karras: bool, own: bool) -> (usize, f32) {
    let bytes = fixture("schedulers.safetensors");
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let outputs = tensors(&file, "shared.model_output");
    let noise = tensors(&file, "shared.noise");
    let (mut cases, mut worst) = (0, 0.0);
    for case in listing("sampling") {
        let id = case["case"].as_str().unwrap();
        if id.split('-').next() != Some(name) {
            continue;
        }
        cases += 1;
        let mut sampler = Sampler::new(kind, karras, &config(&case), steps(&case)).unwrap();
        check_plan(&sampler, &case);
        let (scaled, samples) = (tensors(&file, &format!("{id}.scaled")), tensors(&file, &format!("{id}.samples")));
        assert_eq!(samples.len(), sampler.timesteps().len(), "{id}");
        let start = tensors(&file, "shared.sample").remove(0) * sampler.init_noise_sigma();
        let mut sample = start;
        for index in 0..samples.len() {
            let what = format!("{id}, step {index}");
            let input = sampler.scale_model_input(sample.clone(), index);
            check(&mut worst, &input, &scaled[index], &format!("{what}: scaled input"));
            let fresh = sampler.needs_noise().then(|| noise[index].clone());
            let stepped = sampler.step(outputs[index].clone(), index, sample, fresh);
            check(&mut worst, &stepped.prev_sample, &samples[index], &what);
            sample = if own { stepped.prev_sample } else { samples[index].clone() };
        }
    }
    (cases, worst)
}

#[test]
fn every_sampler_follows_upstream() {
    for (name, kind, karras) in SAMPLERS {
        let (cases, fed) = follow(name, kind, karras, false);
        let (_, free) = follow(name, kind, karras, true);
        assert!(cases > 0, "the fixtures have no case of {name}");
        println!("{name}: {cases} cases, largest deviation {fed:.1e} step by step, {free:.1e} running freely");
    }
    let known =
        |case: &Value| SAMPLERS.iter().any(|(name, ..)| case["case"].as_str().unwrap().split('-').next() == Some(name));
    assert!(listing("sampling").iter().all(known), "a sampler of the fixtures is not tested");
}

/// The scheduler file of a model that says neither the spacing nor, for some classes, the last step.
fn shipped() -> Value {
    serde_json::from_slice(&fixture("tiny-sd1/scheduler/scheduler_config.json")).unwrap()
}

#[test]
fn timesteps_are_upstreams_for_any_number_of_steps() {
    for case in listing("timesteps") {
        let (_, kind, karras) = *SAMPLERS.iter().find(|(name, ..)| case["sampler"] == *name).unwrap();
        let mut file = shipped();
        file["timestep_spacing"] = case["timestep_spacing"].clone();
        let config = SchedulerConfig::from_json(&file.to_string(), "s").unwrap();
        check_plan(&Sampler::new(kind, karras, &config, steps(&case)).unwrap(), &case);
    }
}

#[test]
fn what_a_file_does_not_say_is_each_classs_own_default() {
    let kinds = [
        ("DDIMScheduler", SamplerKind::Ddim),
        ("PNDMScheduler", SamplerKind::Pndm),
        ("EulerDiscreteScheduler", SamplerKind::Euler),
        ("EulerAncestralDiscreteScheduler", SamplerKind::EulerAncestral),
        ("DPMSolverMultistepScheduler", SamplerKind::Dpmpp2m),
    ];
    let silent = SchedulerConfig::from_json(&shipped().to_string(), "s").unwrap();
    assert_eq!(silent.timestep_spacing, None, "the shipped file says the spacing, so this tests nothing");
    for case in listing("conversions") {
        let (_, kind) = *kinds.iter().find(|(class, _)| case["class"] == *class).unwrap();
        let spoken = config(&case);
        assert!(spoken.timestep_spacing.is_some());
        for steps in [1, 2, 25] {
            let timesteps = |config| Sampler::new(kind, false, config, steps).unwrap().timesteps().to_vec();
            assert_eq!(timesteps(&silent), timesteps(&spoken), "{kind:?}");
        }
    }
}

#[test]
fn training_equals_upstream() {
    let bytes = fixture("schedulers.safetensors");
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let view = file.tensor("train.timestep").unwrap();
    let t = view.data().chunks_exact(8).map(|bytes| i64::from_le_bytes(bytes.try_into().unwrap()) as usize);
    let t: Vec<usize> = t.collect();
    let ((latents, shape), (noise, _)) = (numbers(&file, "train.latents"), numbers(&file, "train.noise"));
    let samples = || {
        let each = latents.len() / t.len();
        latents.chunks_exact(each).zip(noise.chunks_exact(each)).zip(t.iter().copied())
    };
    let noised_by = |schedule: &NoiseSchedule| {
        let of = |((latents, noise), t)| schedule.add_noise(latents, noise, t);
        tensor(&samples().flat_map(of).collect::<Vec<f32>>(), &shape)
    };
    let target_by = |schedule: &NoiseSchedule| {
        let of = |((latents, noise), t)| schedule.target(latents, noise, t);
        tensor(&samples().flat_map(of).collect::<Vec<f32>>(), &shape)
    };
    let mut worst = 0.0;
    for case in listing("training") {
        let id = case["case"].as_str().unwrap();
        let expected = |key: &str| numbers(&file, &format!("{id}.{key}")).0;
        let epsilon = NoiseSchedule::new(&config(&case));
        assert_eq!(epsilon.alphas_cumprod(), expected("alphas_cumprod"), "{id}: not equal bit by bit");

        let mut file_of_v = case["config"].clone();
        file_of_v["prediction_type"] = "v_prediction".into();
        let velocity = NoiseSchedule::new(&SchedulerConfig::from_json(&file_of_v.to_string(), "s").unwrap());
        let noisy = tensors(&file, &format!("{id}.noisy")).remove(0);
        check(&mut worst, &noised_by(&epsilon), &noisy, id);
        assert_eq!(floats(&target_by(&epsilon)), noise);
        let target = tensors(&file, &format!("{id}.velocity")).remove(0);
        check(&mut worst, &target_by(&velocity), &target, id);

        let close = |a: f64, b: f32| (a / f64::from(b) - 1.0).abs() < 2e-6;
        assert!(t.iter().zip(expected("snr")).all(|(t, snr)| close(epsilon.snr(*t), snr)), "{id}: snr");
        let gamma = case["snr_gamma"].as_f64();
        for (schedule, key) in [(&epsilon, "weight_epsilon"), (&velocity, "weight_v_prediction")] {
            let weights = schedule.loss_weights(&t, gamma);
            assert!(weights.iter().zip(expected(key)).all(|(a, b)| close(f64::from(*a), b)), "{id}: {key}");
            assert_eq!(schedule.loss_weights(&t, None), vec![1.0; t.len()]);
        }
    }
    println!("training: largest deviation {worst:.1e}");
}
