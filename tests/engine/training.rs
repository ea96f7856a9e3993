//! Whole training runs against a PyTorch loop that makes the same choices.

use pseudoword::config::{LrSchedule, Recipe, TrainConfig};
use pseudoword::event::Event;
use pseudoword::train::{Replay, TrainInput, TrainJob};

use crate::fixtures::{Fixture, Place, cosine, cpu, gpu, open, path};

fn replayed(place: &Place, model: &str, replay: &str, steps: u32, batch_size: u32) -> TrainJob {
    let session = open(model, place, None);
    let bytes = std::fs::read(path(replay)).expect("the replay");
    let input = TrainInput { replay: Some(Replay::read(&bytes, replay).expect("a replay")), ..TrainInput::default() };
    let config = TrainConfig {
        token: "<thing>".to_owned(),
        init: Some("ball apple".to_owned()),
        vectors: Some(2),
        steps: Some(steps),
        batch_size: Some(batch_size),
        lr: Some(5e-3),
        lr_schedule: LrSchedule::Constant,
        preview_every: 0,
        ..TrainConfig::default()
    };
    session.train(&config, input).expect("a job")
}

/// Runs a job and gives the losses.
pub fn losses(job: &mut TrainJob) -> Vec<f64> {
    let mut losses = Vec::new();
    pollster::block_on(async {
        while let Some(event) = job.next().await.expect("no error") {
            if let Event::Step { loss, .. } = event {
                losses.push(loss);
            }
        }
    });
    losses
}

fn follows(place: &Place, model: &str, [replay, trajectory]: [&str; 2], steps: u32, batch: u32) {
    let fixture = Fixture::read(trajectory);
    let mut job = replayed(place, model, replay, steps, batch);
    assert_eq!(job.embedding().rows(), fixture.floats("init_rows"), "the initial rows");
    let losses = losses(&mut job);
    let want = fixture.floats("losses");
    assert_eq!(losses.len(), want.len());
    let worst = losses.iter().zip(&want).map(|(a, b)| (a / f64::from(*b) - 1.0).abs()).fold(0.0, f64::max);
    let cosine = cosine(job.embedding().rows(), &fixture.floats("rows"));
    println!(
        "{} over {steps} steps: losses within {worst:.1e}, cosine of the rows 1 - {:.1e}",
        place.name,
        1.0 - cosine
    );
    assert!(worst <= 1e-3, "losses are off by {worst} on {}", place.name);
    assert!(cosine >= 0.9999, "rows have cosine {cosine} on {}", place.name);
}

#[test]
fn a_hundred_steps_follow_pytorch_on_the_cpu() {
    follows(&cpu(), "mini", ["replay-100.safetensors", "trajectory.safetensors"], 100, 2);
}

/// Fewer steps here: on a software GPU a hundred would take a quarter of an hour.
#[test]
fn three_steps_follow_pytorch_on_the_gpu() {
    let (place, _turn) = gpu();
    follows(&place, "mini", ["replay-3.safetensors", "trajectory-3.safetensors"], 3, 1);
}

#[test]
fn three_steps_follow_pytorch() {
    follows(&cpu(), "mini", ["replay-3.safetensors", "trajectory-3.safetensors"], 3, 1);
}

/// AdamW does not see how long a gradient is, so lengths are compared, too.
#[test]
fn three_steps_with_masks_follow_pytorch() {
    let files @ [replay, trajectory] = ["replay-3-masked.safetensors", "trajectory-3-masked.safetensors"];
    follows(&cpu(), "mini", files, 3, 2);
    let grads = Fixture::read(trajectory).floats("grads");
    let mut job = replayed(&cpu(), "mini", replay, 3, 2);
    let mut norms = Vec::new();
    pollster::block_on(async {
        while let Some(event) = job.next().await.expect("no error") {
            if let Event::Step { grad_norm, .. } = event {
                norms.push(grad_norm);
            }
        }
    });
    for (norm, grad) in norms.iter().zip(grads.chunks(grads.len() / 3)) {
        let want = grad.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
        assert!((norm / want - 1.0).abs() < 1e-3, "a gradient is {norm} long, PyTorch's is {want}");
    }
}

/// PyTorch has the numbers that the eight bits stand for.
#[test]
fn three_steps_on_the_model_in_the_program_follow_pytorch() {
    follows(&cpu(), "bundled", ["replay-3.safetensors", "trajectory-3-q8.safetensors"], 3, 1);
}

fn small(config: TrainConfig) -> TrainConfig {
    TrainConfig {
        token: "<peach>".to_owned(),
        init: Some("apple".to_owned()),
        batch_size: Some(2),
        preview_every: 0,
        eval_every: 0,
        eval_size: 4,
        ..config
    }
}

/// The example's pictures.
pub(crate) fn peach() -> TrainInput {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/peach");
    let files = pseudoword::image::find::find_pictures(&[folder]).expect("the examples");
    let pictures = files.pictures.iter().map(|file| {
        let bytes = std::fs::read(file).expect("readable");
        let picture = pseudoword::image::Picture::decode(&file.display().to_string(), &bytes).expect("a picture");
        let caption = pseudoword::image::find::caption_for(file).expect("readable").map(|caption| caption.text);
        pseudoword::train::TrainPicture { picture, caption, mask: None }
    });
    TrainInput { pictures: pictures.collect(), ..TrainInput::default() }
}

fn rows(config: &TrainConfig) -> Vec<f32> {
    let session = open("bundled", &cpu(), None);
    let mut job = session.train(config, peach()).expect("a job");
    losses(&mut job);
    job.embedding().rows().to_vec()
}

#[test]
fn accumulation_equals_a_larger_batch() {
    let base = small(TrainConfig { steps: Some(4), ..TrainConfig::default() });
    let large = rows(&TrainConfig { batch_size: Some(4), ..base.clone() });
    let accumulated = rows(&TrainConfig { batch_size: Some(2), gradient_accumulation: Some(2), ..base });
    let cosine = cosine(&large, &accumulated);
    assert!(cosine > 0.999_999, "{cosine}");
}

#[test]
fn the_same_seed_gives_the_same_rows_and_another_does_not() {
    let config = small(TrainConfig { steps: Some(3), seed: 7, ..TrainConfig::default() });
    let first = rows(&config);
    assert_eq!(first, rows(&config));
    assert_ne!(first, rows(&TrainConfig { seed: 8, ..config }));
}

#[test]
fn direction_only_keeps_the_norm_and_turns_by_the_rate() {
    let config = small(TrainConfig {
        steps: Some(1),
        recipe: Recipe::Direction,
        vectors: Some(1),
        lr: Some(0.04),
        lr_schedule: LrSchedule::Constant,
        ..TrainConfig::default()
    });
    let session = open("bundled", &cpu(), None);
    let mut job = session.train(&config, peach()).expect("a job");
    let before = job.embedding().rows().to_vec();
    losses(&mut job);
    let after = job.embedding().rows().to_vec();
    let norm = |rows: &[f32]| rows.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
    let mean = session.model().text().model.mean_row_norm();
    assert!((norm(&before) / mean - 1.0).abs() < 1e-5 && (norm(&after) / mean - 1.0).abs() < 1e-5);
    let angle = cosine(&before, &after).acos();
    assert!((angle - 0.04f64.atan()).abs() < 1e-4, "turned by {angle}");
}

#[test]
fn the_evaluation_loss_falls() {
    let session = open("bundled", &cpu(), None);
    let config = TrainConfig {
        batch_size: Some(4),
        eval_size: 16,
        ..small(TrainConfig { steps: Some(40), ..TrainConfig::default() })
    };
    let mut job = session.train(&config, peach()).expect("a job");
    let mut evaluations = Vec::new();
    pollster::block_on(async {
        while let Some(event) = job.next().await.expect("no error") {
            if let Event::Evaluation { loss, .. } = event {
                evaluations.push(loss);
            }
        }
    });
    let [first, .., last] = evaluations[..] else { panic!("two evaluations at least: {evaluations:?}") };
    assert!(last < 0.98 * first, "{first} to {last}");
}
