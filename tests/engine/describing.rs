//! Captions that are made from pictures: what they say, and that a run that resumes has those it began with.

use pseudoword::config::{Backgrounds, Kind, LrSchedule, Masks, Quality, TrainConfig};
use pseudoword::event::{CaptionPart, Event, Judge, Slot};
use pseudoword::image::Picture;
use pseudoword::session::Session;
use pseudoword::train::{MakeCaptions, RunState, TrainInput, TrainJob, TrainPicture};
use safetensors::SafeTensors;

use crate::fixtures::{cpu, open};

/// The peach in four styles, as they lie in the folder.
const STYLES: [&str; 4] = ["3d", "flat", "noto", "twemoji"];

fn input(names: &[&str], make_captions: MakeCaptions) -> TrainInput {
    let read = |name: &&str| {
        let bytes = std::fs::read(format!("{}/examples/{name}.png", env!("CARGO_MANIFEST_DIR"))).unwrap();
        TrainPicture { picture: Picture::decode(name, &bytes).unwrap(), caption: None, mask: None }
    };
    TrainInput { pictures: names.iter().map(read).collect(), make_captions, ..TrainInput::default() }
}

fn peaches(make_captions: MakeCaptions) -> TrainInput {
    input(&STYLES.map(|style| format!("peach/{style}")).each_ref().map(String::as_str), make_captions)
}

fn config() -> TrainConfig {
    TrainConfig {
        token: "<thing>".to_owned(),
        init: Some("apple".to_owned()),
        steps: Some(2),
        batch_size: Some(2),
        eval_size: 2,
        eval_every: 0,
        preview_every: 0,
        quality: Quality::Off,
        // Of the pictures as they are.
        masks: Some(Masks::Off),
        ..TrainConfig::default()
    }
}

/// A picture's name, its caption, and what that says.
type Made = (String, Option<String>, Vec<CaptionPart>);

/// The captions that a job reports until so many steps are made, and its losses.
fn work(job: &mut TrainJob, until: u32) -> (Vec<Made>, Vec<f64>) {
    let (mut made, mut losses) = (Vec::new(), Vec::new());
    pollster::block_on(async {
        while job.step() < until {
            match job.next().await.unwrap() {
                Some(Event::Caption { name, caption, parts, .. }) => made.push((name, caption, parts)),
                Some(_) => {}
                None => break,
            }
        }
        // What belongs to the last step is still to be told.
        while let Some(event) = job.next().await.unwrap() {
            match event {
                Event::Step { loss, .. } | Event::Evaluation { loss, .. } => losses.push(loss),
                _ => {}
            }
        }
    });
    (made, losses)
}

fn made(session: &Session, config: &TrainConfig, input: TrainInput) -> Vec<Made> {
    work(&mut session.train(config, input).unwrap(), u32::MAX).0
}

#[test]
fn the_model_knows_the_styles_of_the_peach_and_pixels_show_that_it_is_on_white() {
    let session = open("bundled", &cpu(), None);
    let made = made(&session, &config(), peaches(MakeCaptions::AtOnce));
    for (style, (name, caption, parts)) in STYLES.iter().zip(&made) {
        assert_eq!(name, &format!("peach/{style}"));
        assert_eq!(
            caption.as_deref(),
            Some(format!("a {{}}, {style} style on a white background").as_str()),
            "{parts:?}"
        );
        let [medium, background] = &parts[..] else { panic!("{parts:?}") };
        assert_eq!((medium.slot, medium.by, medium.words.as_str()), (Slot::Medium, Judge::Model, *style));
        assert_eq!((background.slot, background.by), (Slot::Background, Judge::Pixels));
        assert!(parts.iter().all(|part| (0.75..=1.0).contains(&part.sure)), "{parts:?}");
    }
}

#[test]
fn a_caption_is_told_with_the_backgrounds_that_its_thing_is_put_before() {
    let session = open("bundled", &cpu(), None);
    let told = |backgrounds| {
        let config = TrainConfig { masks: Some(Masks::Auto), backgrounds: Some(backgrounds), ..config() };
        let mut job = session.train(&config, input(&["peach/noto"], MakeCaptions::Usually)).unwrap();
        pollster::block_on(async {
            loop {
                if let Event::Caption { backgrounds, .. } = job.next().await.unwrap().unwrap() {
                    return backgrounds;
                }
            }
        })
    };
    let nine = ["white", "blue", "green", "pink", "yellow", "black", "purple", "gray", "red"];
    assert_eq!(told(Backgrounds::Plain), nine);
    assert!(told(Backgrounds::Kept).is_empty());
}

/// After how many steps a picture's name and caption were told.
type Told = (u32, String, Option<String>);

/// Every event of a job that is about captions, with the steps made before it, and its losses.
fn all(job: &mut TrainJob) -> (Vec<u32>, Vec<Told>, Vec<f64>) {
    let (mut looked, mut told, mut losses) = (Vec::new(), Vec::new(), Vec::new());
    pollster::block_on(async {
        while let Some(event) = job.next().await.unwrap() {
            match event {
                Event::Describe { .. } => looked.push(job.step()),
                Event::Caption { name, caption, .. } => told.push((job.step(), name, caption)),
                Event::Step { loss, .. } | Event::Evaluation { loss, .. } => losses.push(loss),
                _ => {}
            }
        }
    });
    (looked, told, losses)
}

/// The state of a job after so many steps, before anything else.
fn stopped(mut job: TrainJob, after: u32) -> Vec<u8> {
    pollster::block_on(async {
        while job.step() < after {
            job.next().await.unwrap();
        }
    });
    job.state()
}

#[test]
fn the_mini_model_is_asked_for_styles_when_the_word_is_known_a_little() {
    let session = open("bundled", &cpu(), None);
    // Two vectors have come further after so few steps than the four that are usual.
    let config = TrainConfig { steps: Some(100), vectors: Some(2), batch_size: Some(1), ..config() };
    let mut job = session.train(&config, TrainInput { record: true, ..peaches(MakeCaptions::Usually) }).unwrap();
    let (looked, told, _) = all(&mut job);
    assert_eq!(looked, [50; 4]);
    let names: Vec<_> = told.iter().map(|(step, name, _)| (*step, name.as_str())).collect();
    assert_eq!(names, [(50, "peach/3d"), (50, "peach/flat"), (50, "peach/noto"), (50, "peach/twemoji")]);
    // After so few steps noto and twemoji are confused: that is how good it is.
    let is_right = |(style, (.., caption)): &(&&str, &Told)| {
        *caption == Some(format!("a {{}}, {style} style on a white background"))
    };
    let right = STYLES.iter().zip(&told).filter(is_right).count();
    assert!(right >= 3, "{told:?}");

    let record = job.record().unwrap();
    let metadata = SafeTensors::read_metadata(&record).unwrap().1.metadata().clone().unwrap();
    let captions: Vec<Vec<String>> = serde_json::from_str(&metadata["captions"]).unwrap();
    for (step, captions) in captions.iter().enumerate() {
        for caption in captions {
            let is_known = |style: &&str| *caption == format!("a <thing>, {style} style on a white background");
            let before = caption == "a <thing> on a white background";
            assert!(if step < 50 { before } else { STYLES.iter().any(is_known) }, "step {step}: {caption}");
        }
    }
}

#[test]
fn a_run_that_resumes_before_or_after_the_model_was_asked_ends_as_if_it_had_not_stopped() {
    let session = open("bundled", &cpu(), None);
    // A constant rate, so that more steps may be asked for.
    let config = TrainConfig { steps: Some(100), batch_size: Some(1), lr_schedule: LrSchedule::Constant, ..config() };
    let start = || session.train(&config, peaches(MakeCaptions::Usually)).unwrap();
    let (_, made, losses) = all(&mut start());
    // Just before it is asked, and after the next step.
    for stop in [50, 51] {
        let state = RunState::read(&stopped(start(), stop), "state").unwrap();
        let left: Vec<_> = made.iter().filter(|(step, ..)| *step >= stop).cloned().collect();
        let (looked, again, rest) = all(&mut session.resume(&config, peaches(MakeCaptions::Usually), &state).unwrap());
        assert_eq!((looked, again), (if stop == 50 { vec![50; 4] } else { Vec::new() }, left), "after {stop}");
        assert!(losses.ends_with(&rest[rest.len() - (101 - stop as usize)..]), "{rest:?} of {losses:?}");
    }
    // More steps do not move the moment at which the model is asked, which would be after 60 then.
    let state = RunState::read(&stopped(start(), 50), "state").unwrap();
    let longer = TrainConfig { steps: Some(240), ..config };
    let mut job = session.resume(&longer, peaches(MakeCaptions::Usually), &state).unwrap();
    let mut looked = 0;
    pollster::block_on(async {
        while job.step() < 51 {
            looked += u32::from(matches!(job.next().await.unwrap(), Some(Event::Describe { .. })));
        }
    });
    assert_eq!(looked, 4);
}

#[test]
fn of_a_single_picture_the_mini_model_is_not_asked_for_the_style() {
    let session = open("bundled", &cpu(), None);
    let made =
        made(&session, &TrainConfig { steps: Some(1), ..config() }, input(&["peach/noto"], MakeCaptions::Always));
    assert_eq!(made[0].1.as_deref(), Some("a {} on a white background"), "{made:?}");
}

#[test]
fn of_a_style_only_the_background_is_said() {
    let session = open("bundled", &cpu(), None);
    let config = TrainConfig { kind: Kind::Style, init: Some("flat".to_owned()), steps: Some(1), ..config() };
    let names = ["high-contrast-style/cat", "high-contrast-style/house"];
    for (name, caption, parts) in made(&session, &config, input(&names, MakeCaptions::Always)) {
        assert!(parts.iter().all(|part| part.slot == Slot::Background), "{name}: {parts:?}");
        assert!(caption.is_none_or(|caption| caption.starts_with("a picture in {} style on a ")), "{name}");
    }
}

#[test]
fn captions_are_made_where_they_are_asked_for_and_there_are_none() {
    let session = open("bundled", &cpu(), None);
    let config = TrainConfig { steps: Some(1), ..config() };
    let count = |change: fn(&mut TrainInput), make| {
        let mut input = input(&["peach/noto", "peach/flat"], make);
        change(&mut input);
        made(&session, &config, input).len()
    };
    let own = |input: &mut TrainInput| input.templates = Some(vec!["my {}".to_owned()]);
    assert_eq!(count(|_| (), MakeCaptions::Never), 0);
    assert_eq!(count(|_| (), MakeCaptions::Usually), 2);
    assert_eq!(count(own, MakeCaptions::Usually), 0);
    assert_eq!(count(own, MakeCaptions::Always), 2);
    assert_eq!(count(|input| input.pictures[0].caption = Some("my {}".to_owned()), MakeCaptions::Usually), 1);
}

#[test]
fn a_run_that_resumes_has_the_captions_that_it_began_with() {
    let session = open("bundled", &cpu(), None);
    let (config, pictures) = (config(), || peaches(MakeCaptions::Usually));
    let (_, all) = work(&mut session.train(&config, pictures()).unwrap(), 0);
    let mut first = session.train(&config, pictures()).unwrap();
    pollster::block_on(async {
        while first.step() < 1 {
            first.next().await.unwrap();
        }
    });
    let state = RunState::read(&first.state(), "state").unwrap();
    let mut rest = session.resume(&config, pictures(), &state).unwrap();
    let (again, losses) = work(&mut rest, 0);
    assert_eq!(again, [], "none is made twice");
    assert!(all.ends_with(&losses[losses.len() - 2..]), "{losses:?} of {all:?}");

    // Without captions it would be another run; where it is left open, it is the same again.
    let without = session.resume(&config, peaches(MakeCaptions::Never), &state).err().unwrap().to_string();
    assert!(without.contains("missing: captions that are made from the pictures"), "{without}");
    let mut plain = session.train(&config, peaches(MakeCaptions::Never)).unwrap();
    pollster::block_on(async {
        while plain.step() < 1 {
            plain.next().await.unwrap();
        }
    });
    let older = RunState::read(&plain.state(), "state").unwrap();
    let (made, _) = work(&mut session.resume(&config, pictures(), &older).unwrap(), u32::MAX);
    assert_eq!(made, []);
    let other = session.resume(&config, peaches(MakeCaptions::Always), &older).err().unwrap().to_string();
    assert!(other.contains("new: captions that are made"), "{other}");
}
