//! What a run finds out about its word when it ends: good words and spoiled ones are told apart, an interruption changes nothing, and
//! which state is the result is what the settings say.

use pseudoword::config::{Keep, Quality as Tried, Span, TrainConfig};
use pseudoword::event::Event;
use pseudoword::image::Picture;
use pseudoword::session::Session;
use pseudoword::train::{Level, Quality, RunState, TrainInput, TrainJob, TrainPicture};

use crate::fixtures::{cpu, open};

/// The peach in four styles on white, with captions that say so.
fn input() -> TrainInput {
    let folder = format!("{}/examples/peach", env!("CARGO_MANIFEST_DIR"));
    let read = |style: &str| {
        let bytes = std::fs::read(format!("{folder}/{style}.png")).unwrap();
        let picture = Picture::decode(style, &bytes).unwrap();
        let caption = Some(format!("a {{}}, {style} style on a white background"));
        TrainPicture { picture, caption, mask: None }
    };
    TrainInput { pictures: ["3d", "flat", "noto", "twemoji"].map(read).to_vec(), ..TrainInput::default() }
}

fn config(steps: u32) -> TrainConfig {
    TrainConfig {
        token: "<thing>".to_owned(),
        init: Some("apple".to_owned()),
        steps: Some(steps),
        eval_size: 2,
        eval_every: 0,
        preview_every: 0,
        // As the limits were found.
        timesteps: Some(Span { from: 0, to: 1000 }),
        ..TrainConfig::default()
    }
}

/// Works to the end of a run, or until it was tried for so many passes; gives what was found.
fn work(job: &mut TrainJob, passes: u32) -> Option<Quality> {
    pollster::block_on(async {
        while let Some(event) = job.next().await.unwrap() {
            match event {
                Event::Quality(quality) => return Some(*quality),
                Event::Trying { done, .. } if done == passes => return None,
                _ => {}
            }
        }
        None
    })
}

fn found(session: &Session, config: &TrainConfig) -> Option<Quality> {
    work(&mut session.train(config, input()).unwrap(), u32::MAX)
}

#[test]
fn a_good_word_and_a_spoiled_one_are_told_apart() {
    let session = open("bundled", &cpu(), None);
    let good = found(&session, &config(150)).unwrap();
    // Steps so large that the word is noise, and so small that it is what it was.
    let spoiled = found(&session, &TrainConfig { lr: Some(0.3), ..config(50) }).unwrap();
    let still = found(&session, &TrainConfig { lr: Some(1e-4), vectors: Some(1), ..config(50) }).unwrap();
    let score = |quality: &Quality| quality.result().unwrap().score;
    assert_eq!(good.level, Some(Level::Good), "{good:?}");
    assert!(good.advice.is_none() && !good.overfitted && good.result().unwrap().keeps >= 6, "{good:?}");
    assert_eq!(still.level, Some(Level::Poor), "{still:?}");
    assert_ne!(spoiled.level, Some(Level::Good), "{spoiled:?}");
    for bad in [spoiled, still] {
        assert!(bad.advice.is_some() && score(&bad) + 0.1 < score(&good), "{bad:?}\n{good:?}");
    }
}

#[test]
fn a_run_that_is_interrupted_while_it_learns_or_is_tried_finds_the_same() {
    let session = open("tiny-sd1", &cpu(), None);
    let config = TrainConfig { batch_size: Some(1), resolution: Some(32), ..config(52) };
    let mut whole = session.train(&config, input()).unwrap();
    let quality = work(&mut whole, u32::MAX).unwrap();
    assert_eq!(quality.states.iter().map(|state| state.step).collect::<Vec<_>>(), [52, 26, 39]);

    let mut job = session.train(&config, input()).unwrap();
    pollster::block_on(async { while job.step() < 30 && job.next().await.unwrap().is_some() {} });
    for passes in [1, 7, 60] {
        let state = RunState::read(&job.state(), "the state").unwrap();
        job = session.resume(&config, input(), &state).unwrap();
        assert_eq!(work(&mut job, passes), None, "interrupted while it is tried");
        assert!(job.is_to_be_tried());
    }
    let state = RunState::read(&job.state(), "the state").unwrap();
    job = session.resume(&config, input(), &state).unwrap();
    assert_eq!(work(&mut job, u32::MAX), Some(quality.clone()));
    assert_eq!(job.state(), whole.state());
    assert_eq!(job.embedding().to_safetensors(), whole.embedding().to_safetensors());

    // A run that is done knows what was found.
    let done = session.resume(&config, input(), &RunState::read(&whole.state(), "the state").unwrap()).unwrap();
    assert_eq!((done.quality(), done.is_to_be_tried()), (Some(&quality), false));
    let metadata = done.embedding().metadata;
    assert_eq!(metadata.get("quality").cloned(), quality.in_short());
    assert_eq!(metadata["steps"], quality.kept.to_string());
}

#[test]
fn where_it_is_not_wanted_or_there_is_nothing_to_see_a_word_is_not_tried() {
    let session = open("tiny-sd1", &cpu(), None);
    let config = TrainConfig { batch_size: Some(1), resolution: Some(32), ..config(50) };
    let off = TrainConfig { quality: Tried::Off, ..config.clone() };
    let random = TrainConfig { init: None, ..config.clone() };
    let short = TrainConfig { steps: Some(49), ..config.clone() };
    for config in [off, random, short] {
        assert_eq!(found(&session, &config), None, "{config:?}");
    }
    // The last state is the result where that is asked for, whatever was found.
    let last = TrainConfig { keep: Keep::Last, ..config };
    let mut job = session.train(&last, input()).unwrap();
    let quality = work(&mut job, u32::MAX).unwrap();
    assert_eq!((quality.last, quality.kept), (50, 50));
    assert_eq!(job.embedding().metadata["steps"], "50");
}
