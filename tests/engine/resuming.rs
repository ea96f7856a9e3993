//! Runs that are broken off and go on make the numbers that they would have made without a break.

use proptest::prelude::*;
use pseudoword::Error;
use pseudoword::config::{Recipe, TrainConfig};
use pseudoword::event::Event;
use pseudoword::image::Picture;
use pseudoword::session::Session;
use pseudoword::train::{RunState, TrainInput, TrainJob, TrainPicture};

use crate::fixtures::{cpu, gpu, open};

fn pictures(names: &[&str]) -> Vec<TrainPicture> {
    let read = |name: &&str| {
        let bytes = std::fs::read(format!("{}/examples/peach/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap();
        TrainPicture { picture: Picture::decode(name, &bytes).unwrap(), caption: None }
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
        steps: 5,
        batch_size: 1,
        eval_size: 2,
        eval_every: 2,
        preview_every: 0,
        ..TrainConfig::default()
    }
}

/// What a run says of its numbers: steps and evaluations, without the times.
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
        accumulation in 1u32..3, early_stop: bool, beta1 in proptest::option::of(0.5..0.95f64), vectors in 1u32..3,
    ) {
        let session = open("mini", &cpu(), None);
        let config = TrainConfig {
            steps, seed, vectors, beta1, early_stop, early_stop_window: 3, early_stop_threshold: 0.9,
            recipe: if direction { Recipe::Direction } else { Recipe::Adamw },
            gradient_accumulation: accumulation,
            ..config()
        };
        let (whole, rest) = equal_after_a_break(&session, &config, k.min(steps), events);
        prop_assert_eq!(whole.step(), rest.step());
        prop_assert_eq!(whole.state(), rest.state());
        prop_assert_eq!(whole.embedding(), rest.embedding());
    }
}

#[test]
fn on_the_gpu_a_broken_run_ends_where_a_whole_one_does() {
    let (place, _turn) = gpu();
    let session = open("mini", &place, None);
    let config = TrainConfig { steps: 2, eval_size: 1, eval_every: 0, ..config() };
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
    let session = open("mini", &cpu(), None);
    let config = config();
    let mut job = session.train(&config, input()).unwrap();
    work(&mut job, 1, 0);
    let state = RunState::read(&job.state(), "state").unwrap();
    let mut other = input();
    other.pictures.swap(0, 1);
    other.unseen.clear();
    let changed = TrainConfig { steps: 9, lr: Some(0.5), save_every: 1, ..config.clone() };
    match session.resume(&changed, other, &state) {
        Err(error @ Error::Changed { step: 1, .. }) => {
            let text = error.to_string();
            for part in [
                "--steps was 5, it is 9",
                "--lr was null, it is 0.5",
                "picture 1, noto.png is missing",
                "picture 1, flat.png is new",
                "unseen picture 1, 3d.png is missing",
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
