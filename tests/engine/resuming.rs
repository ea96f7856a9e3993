//! Runs that are interrupted and resume make the numbers that they would have made without a break.

use image::{GrayImage, Luma};
use proptest::prelude::*;
use pseudoword::Error;
use pseudoword::config::{Backgrounds, Masks, Recipe, Span, TimestepDistribution, TrainConfig};
use pseudoword::event::Event;
use pseudoword::image::Picture;
use pseudoword::session::Session;
use pseudoword::train::{Replay, RunState, TrainInput, TrainJob, TrainPicture};

use crate::fixtures::{cpu, gpu, open};

fn pictures(names: &[&str]) -> Vec<TrainPicture> {
    let read = |name: &&str| {
        let bytes = std::fs::read(format!("{}/examples/peach/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap();
        TrainPicture { picture: Picture::decode(name, &bytes).unwrap(), caption: None, mask: None }
    };
    names.iter().map(read).collect()
}

fn input() -> TrainInput {
    TrainInput { pictures: pictures(&["noto.png", "flat.png"]), unseen: pictures(&["3d.png"]), ..TrainInput::default() }
}

fn config() -> TrainConfig {
    TrainConfig {
        token: "<thing>".to_owned(),
        init: Some("apple".to_owned()),
        steps: Some(5),
        batch_size: Some(1),
        eval_size: 2,
        eval_every: 2,
        preview_every: 0,
        ..TrainConfig::default()
    }
}

/// What a run reports of its numbers: steps and evaluations, without the times.
fn told(event: &Event) -> Option<String> {
    match event {
        Event::Step { step, loss, lr, grad_norm, row_norm, .. } => {
            Some(format!("{step} {loss} {lr} {grad_norm} {row_norm}"))
        }
        Event::Evaluation { on, step, loss, initial } => Some(format!("{on:?} {step} {loss} {initial}")),
        Event::Converged { .. } | Event::Skipped { .. } => Some(format!("{event:?}")),
        _ => None,
    }
}

/// Works until `step` steps are made (or the end) and `events` more have come; gives what was told.
fn work(job: &mut TrainJob, step: u32, mut events: usize) -> Vec<String> {
    let mut lines = Vec::new();
    pollster::block_on(async {
        while job.step() < step || events > 0 {
            events -= usize::from(job.step() >= step);
            match job.next().await.unwrap() {
                Some(event) => lines.extend(told(&event)),
                None => break,
            }
        }
    });
    lines
}

/// With everything that may keep the rest of a prompt alive.
fn with_terms(config: TrainConfig) -> TrainConfig {
    TrainConfig {
        timesteps: Some(Span { from: 300, to: 900 }),
        timestep_distribution: TimestepDistribution::Rising,
        hold_norm: Some(Span { from: 1, to: 3 }),
        caption_dropout: 0.5,
        context_weight: Some(0.1),
        ..config
    }
}

fn equal_after_a_break(session: &Session, config: &TrainConfig, k: u32, events: usize) -> (TrainJob, TrainJob) {
    let mut whole = session.train(config, input()).unwrap();
    let all = work(&mut whole, u32::MAX, 0);
    let mut first = session.train(config, input()).unwrap();
    let mut parts = work(&mut first, k, events);
    let state = RunState::read(&first.state(), "state").unwrap();
    assert_eq!((state.step(), RunState::read(&first.state(), "state").unwrap().steps()), (first.step(), state.steps()));
    // What had not been told yet when the run broke off belongs to the steps that are saved.
    drop(first);
    let mut rest = session.resume(config, input(), &state).unwrap();
    parts.extend(work(&mut rest, u32::MAX, 0));
    parts.retain(|line| !all.contains(line));
    assert_eq!(parts, Vec::<String>::new(), "of {all:?}");
    (whole, rest)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_broken_run_equals_a_whole_one_bit_for_bit(
        steps in 2u32..6, k in 0u32..6, events in 0usize..4, seed in 0u64..1000, direction: bool,
        accumulation in 1u32..3, early_stop: bool, beta1 in proptest::option::of(0.5..0.95f64), vectors in 1u32..3, terms: bool,
    ) {
        let session = open("bundled", &cpu(), None);
        let config = TrainConfig {
            steps: Some(steps), seed, vectors: Some(vectors), beta1, early_stop, early_stop_window: 3, early_stop_threshold: 0.9,
            recipe: if direction { Recipe::Direction } else { Recipe::Adamw },
            gradient_accumulation: Some(accumulation),
            ..config()
        };
        let config = if terms { with_terms(config) } else { config };
        let (whole, rest) = equal_after_a_break(&session, &config, k.min(steps), events);
        prop_assert_eq!(whole.step(), rest.step());
        prop_assert_eq!(whole.state(), rest.state());
        prop_assert_eq!(whole.embedding(), rest.embedding());
    }
}

#[test]
fn on_the_gpu_a_broken_run_ends_where_a_whole_one_does() {
    let (place, _turn) = gpu();
    let session = open("bundled", &place, None);
    let config = TrainConfig { steps: Some(2), eval_size: 1, eval_every: 0, ..config() };
    let bare = || TrainInput { pictures: pictures(&["noto.png"]), ..TrainInput::default() };
    let mut whole = session.train(&config, bare()).unwrap();
    work(&mut whole, 1, 0);
    let state = RunState::read(&whole.state(), "state").unwrap();
    work(&mut whole, u32::MAX, 0);
    let mut rest = session.resume(&config, bare(), &state).unwrap();
    work(&mut rest, u32::MAX, 0);
    let off =
        whole.embedding().rows().iter().zip(rest.embedding().rows()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(off <= 1e-6, "{off}");
}

#[test]
fn other_inputs_are_refused_by_name() {
    let session = open("bundled", &cpu(), None);
    let config = config();
    let mut job = session.train(&config, input()).unwrap();
    work(&mut job, 1, 0);
    let state = RunState::read(&job.state(), "state").unwrap();
    let mut other = input();
    other.pictures.swap(0, 1);
    other.unseen.clear();
    let changed = TrainConfig { steps: Some(9), lr: Some(0.5), save_every: 1, ..config.clone() };
    match session.resume(&changed, other, &state) {
        Err(error @ Error::Changed { step: 1, .. }) => {
            // Without the marks of settings.
            let text = error.to_string().replace('\u{2060}', "");
            for part in [
                "`steps` was 5, it is 9",
                "`lr` was 0.01, it is 0.5",
                "missing: picture 1, noto.png",
                "new: picture 1, flat.png",
                "missing: unseen picture 1, 3d.png",
            ] {
                assert!(text.contains(part), "{text}");
            }
            assert!(!text.contains("save-every"), "{text}");
            assert_eq!(error.kind(), pseudoword::error::Kind::Usage);
        }
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("other inputs were accepted"),
    }
    assert!(session.resume(&config, input(), &state).is_ok());
}

/// A mask of a picture: the thing is its left half.
fn left_half(picture: &Picture) -> GrayImage {
    let (width, height) = picture.pixels.dimensions();
    GrayImage::from_fn(width, height, |x, _| Luma([if x < width / 2 { 255 } else { 0 }]))
}

fn masked(mask: impl Fn(&Picture) -> GrayImage) -> TrainInput {
    let mut input = input();
    for picture in input.pictures.iter_mut().chain(&mut input.unseen) {
        picture.mask = Some(mask(&picture.picture));
    }
    input
}

/// The losses before the first step, of the training pictures and of the unseen.
fn first_losses(session: &Session, config: &TrainConfig, input: TrainInput) -> Vec<f64> {
    let mut job = session.train(config, input).unwrap();
    let mut losses = Vec::new();
    pollster::block_on(async {
        while losses.len() < 2 {
            if let Some(Event::Evaluation { loss, .. }) = job.next().await.unwrap() {
                losses.push(loss);
            }
        }
    });
    losses
}

#[test]
fn what_is_outside_of_a_mask_counts_as_much_as_it_should() {
    let session = open("bundled", &cpu(), None);
    // Without mirroring, so that the halves stay where they are.
    let (masks, backgrounds) = (Some(Masks::Given), Some(Backgrounds::Kept));
    let config = TrainConfig { no_flip: true, outside: 0.0, masks, backgrounds, ..config() };
    let losses = |outside: f64, mask: &dyn Fn(&Picture) -> GrayImage| {
        first_losses(&session, &TrainConfig { outside, ..config.clone() }, masked(mask))
    };
    let plain = first_losses(&session, &config, input());
    let same = |found: &[f64], expected: &[f64]| {
        for (found, expected) in found.iter().zip(expected) {
            assert!((found / expected - 1.0).abs() < 1e-5, "{found} is not {expected}");
        }
    };
    let flat = |picture: &Picture| {
        let (width, height) = picture.pixels.dimensions();
        GrayImage::from_pixel(width, height, Luma([100]))
    };
    same(&losses(0.0, &flat), &plain);
    same(&losses(1.0, &left_half), &plain);
    let right_half = |picture: &Picture| {
        let mut mask = left_half(picture);
        image::imageops::invert(&mut mask);
        mask
    };
    // Each half counts as much as a whole picture does.
    let (left, right) = (losses(0.0, &left_half), losses(0.0, &right_half));
    let mean = |a: f64, b: f64, share: f64| share * a + (1.0 - share) * b;
    same(&[mean(left[0], right[0], 0.5), mean(left[1], right[1], 0.5)], &plain);
    assert!((left[0] / right[0] - 1.0).abs() > 0.01, "{left:?} {right:?}");
    // Outside counts a quarter: 4 to 1.
    same(&losses(0.25, &left_half), &[mean(left[0], right[0], 0.8), mean(left[1], right[1], 0.8)]);
    // With mirroring the masks are mirrored, too: the left half of one view is the right half of the other.
    let mirrored = TrainConfig { no_flip: false, ..config.clone() };
    let halves = [masked(left_half), masked(right_half)].map(|input| first_losses(&session, &mirrored, input));
    same(&[mean(halves[0][0], halves[1][0], 0.5)], &first_losses(&session, &mirrored, input()));
    let fails = |mask: fn(&Picture) -> GrayImage| {
        let mut job = session.train(&config, masked(mask)).unwrap();
        let worked = pollster::block_on(async {
            while job.next().await?.is_some() {}
            Ok::<_, Error>(())
        });
        worked.unwrap_err().to_string()
    };
    assert!(fails(|_| GrayImage::new(3, 3)).contains("its mask is 3x3"));
    assert!(fails(|_| GrayImage::new(256, 256)).contains("nothing of what its mask has"));
}

#[test]
fn masks_are_inputs_of_a_run() {
    let session = open("bundled", &cpu(), None);
    let config = config();
    let resumed_with = |began: TrainInput, input: TrainInput| {
        let mut job = session.train(&config, began).unwrap();
        work(&mut job, 1, 0);
        let state = RunState::read(&job.state(), "state").unwrap();
        session.resume(&config, input, &state).map(drop)
    };
    assert!(resumed_with(masked(left_half), masked(left_half)).is_ok());
    let mut other = masked(left_half);
    other.pictures[1].mask.as_mut().unwrap().put_pixel(200, 0, Luma([9]));
    let refused = resumed_with(masked(left_half), other).unwrap_err().to_string();
    assert!(refused.contains("changed: the mask of picture 2, flat.png"), "{refused}");
    assert!(!refused.contains("picture 1"), "{refused}");
    let refused = resumed_with(masked(left_half), input()).unwrap_err().to_string();
    assert!(refused.contains("missing: the mask of picture 1, noto.png"), "{refused}");
    let refused = resumed_with(input(), masked(left_half)).unwrap_err().to_string();
    assert!(refused.contains("new: the mask of unseen picture 1, 3d.png"), "{refused}");
    // Where masks are not wanted, what was found makes no difference.
    let without = TrainConfig { masks: Some(Masks::Off), ..config.clone() };
    let mut job = session.train(&without, input()).unwrap();
    work(&mut job, 1, 0);
    let state = RunState::read(&job.state(), "state").unwrap();
    session.resume(&without, masked(left_half), &state).unwrap();
}

/// Masks are recorded as weights with the other choices, and replayed.
#[test]
fn a_record_of_masked_steps_is_replayed_to_the_same_rows() {
    let session = open("bundled", &cpu(), None);
    let config = config();
    let mut job = session.train(&config, TrainInput { record: true, ..masked(left_half) }).unwrap();
    work(&mut job, u32::MAX, 0);
    let replay = Replay::read(&job.record().unwrap(), "record").unwrap();
    let mut again = session.train(&config, TrainInput { replay: Some(replay), ..input() }).unwrap();
    work(&mut again, u32::MAX, 0);
    let (first, second) = (job.embedding(), again.embedding());
    assert_eq!(first.rows(), second.rows());
}
