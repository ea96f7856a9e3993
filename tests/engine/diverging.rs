//! Training that runs away is stopped, or taken back, with a vector that is good.

use pseudoword::Error;
use pseudoword::config::{LrSchedule, OnDivergence, TrainConfig};
use pseudoword::event::{Event, WarningCode};
use pseudoword::session::Session;
use pseudoword::train::{RunState, TrainInput, TrainJob, TrainPicture};

use crate::fixtures::{cpu, open};

fn input() -> TrainInput {
    let bytes = std::fs::read(format!("{}/examples/peach/noto.png", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let picture = pseudoword::image::Picture::decode("noto.png", &bytes).unwrap();
    TrainInput { pictures: vec![TrainPicture { picture, caption: None, mask: None }], ..TrainInput::default() }
}

/// A run whose first steps are `times` as long as a usual word's vector.
fn config(session: &Session, times: f64) -> TrainConfig {
    let text = &session.model().text().model;
    let width = text.token_embedding.width() as f64;
    TrainConfig {
        token: "<thing>".to_owned(),
        init: Some("apple".to_owned()),
        vectors: Some(1),
        steps: Some(6),
        batch_size: Some(1),
        eval_size: 1,
        eval_every: 0,
        preview_every: 0,
        // AdamW's first step moves each number by the rate.
        lr: Some(times * text.median_row_norm() / width.sqrt()),
        lr_schedule: LrSchedule::Constant,
        ..TrainConfig::default()
    }
}

/// Works to the end; gives the events and how it ended.
fn work(job: &mut TrainJob) -> (Vec<Event>, Result<(), Error>) {
    let mut events = Vec::new();
    let ended = pollster::block_on(async {
        while let Some(event) = job.next().await? {
            events.push(event);
        }
        Ok(())
    });
    (events, ended)
}

fn rewound(events: &[Event]) -> Vec<(u32, u32)> {
    let rewound = events.iter().filter_map(|event| match event {
        Event::Rewound { step, to, .. } => Some((*step, *to)),
        _ => None,
    });
    rewound.collect()
}

#[test]
fn an_absurd_rate_ends_with_the_last_good_vector() {
    let session = open("bundled", &cpu(), None);
    let config = config(&session, 1000.0);
    let mut job = session.train(&config, input()).unwrap();
    let before = job.embedding().rows().to_vec();
    let error = work(&mut job).1.unwrap_err();
    assert_eq!(error.kind(), pseudoword::error::Kind::Numeric);
    // Without the marks of settings.
    let text = error.to_string().replace('\u{2060}', "");
    for part in ["stopped at step 1", "times as long as the model's words", "`lr`", "`on-divergence` rewind"] {
        assert!(text.contains(part), "{part:?} is not in {text}");
    }
    assert_eq!(job.embedding().rows(), before);
    assert_eq!(RunState::read(&job.state(), "state").unwrap().step(), 0);
}

#[test]
fn a_long_vector_is_warned_of_once() {
    let session = open("bundled", &cpu(), None);
    let config = config(&session, 12.0);
    let mut job = session.train(&config, input()).unwrap();
    let (events, ended) = work(&mut job);
    ended.unwrap();
    let warnings = events.iter().filter(|event| matches!(event, Event::Warning { code: WarningCode::LongVectors, .. }));
    assert_eq!(warnings.count(), 1);
}

#[test]
fn taken_back_the_rate_is_halved_until_it_will_do_or_five_times() {
    let session = open("bundled", &cpu(), None);
    let rewind = |times: f64| TrainConfig { on_divergence: OnDivergence::Rewind, ..config(&session, times) };
    let mut job = session.train(&rewind(300.0), input()).unwrap();
    let (events, ended) = work(&mut job);
    ended.unwrap();
    let went_back = rewound(&events);
    assert!((2..=5).contains(&went_back.len()) && went_back.iter().all(|(_, to)| *to == 0), "{went_back:?}");
    assert_eq!(job.step(), 6);
    let rates: Vec<f64> = events
        .iter()
        .filter_map(|event| match event {
            Event::Step { lr, .. } => Some(*lr),
            _ => None,
        })
        .collect();
    let halved = rewind(300.0).lr.unwrap() * 0.5_f64.powi(went_back.len() as i32);
    assert!((rates.last().unwrap() / halved - 1.0).abs() < 1e-12, "{rates:?}");

    let mut job = session.train(&rewind(1e6), input()).unwrap();
    let before = job.embedding().rows().to_vec();
    let (events, ended) = work(&mut job);
    let text = ended.unwrap_err().to_string();
    assert!(text.contains("halved 5 times already"), "{text}");
    assert_eq!((rewound(&events).len(), job.embedding().rows()), (5, before.as_slice()));
}

#[test]
fn a_run_that_was_taken_back_and_broken_off_goes_on_bit_for_bit() {
    let session = open("bundled", &cpu(), None);
    let config = TrainConfig { on_divergence: OnDivergence::Rewind, ..config(&session, 300.0) };
    let mut whole = session.train(&config, input()).unwrap();
    work(&mut whole).1.unwrap();
    for events in (0..12).step_by(3) {
        let mut first = session.train(&config, input()).unwrap();
        pollster::block_on(async {
            // The picture, the plan and the first evaluation come before the steps.
            for _ in 0..3 + events {
                first.next().await.unwrap();
            }
        });
        let state = RunState::read(&first.state(), "state").unwrap();
        let mut rest = session.resume(&config, input(), &state).unwrap();
        work(&mut rest).1.unwrap();
        assert_eq!(whole.state(), rest.state(), "after {events} events");
    }
}

#[test]
fn every_damaged_byte_and_every_cut_of_a_state_is_found() {
    let session = open("bundled", &cpu(), None);
    let mut job = session.train(&config(&session, 1.0), input()).unwrap();
    work(&mut job).1.unwrap();
    let bytes = job.state();
    RunState::read(&bytes, "state").unwrap();
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1 << (at % 8);
        assert!(RunState::read(&damaged, "state").is_err(), "byte {at}");
        assert!(RunState::read(&bytes[..at], "state").is_err(), "cut at {at}");
    }
}
