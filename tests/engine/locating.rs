//! Where a thing is by the model's own attention, and things before plain backgrounds.

use burn::tensor::Tensor;
use image::{GrayImage, Luma, Rgb, RgbImage};
use pseudoword::config::{Backgrounds, Masks, TrainConfig};
use pseudoword::event::{Event, MaskOf, MaskOrigin};
use pseudoword::image::Picture;
use pseudoword::noise::{Noise, Stream};
use pseudoword::ops::{self, Var};
use pseudoword::session::Session;
use pseudoword::train::{MakeCaptions, RunState, TrainInput, TrainJob, TrainPicture, find_masks_without_model};

use crate::fixtures::{cpu, open};
use crate::models::conditions;

const STYLES: [&str; 4] = ["3d", "flat", "noto", "twemoji"];
const SIDE: u32 = 64;

/// Numbers that look random, the same each time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u32) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as u32 % bound
    }
}

/// The taxi before rectangles of all colours, and where it is: what is not white and what that encloses.
fn taxis() -> Vec<(Picture, GrayImage)> {
    STYLES.iter().enumerate().map(|(i, style)| cluttered(style, 7 + i as u64)).collect()
}

fn cluttered(style: &str, seed: u64) -> (Picture, GrayImage) {
    let bytes = std::fs::read(format!("{}/examples/taxi/{style}.png", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let whole = Picture::decode(style, &bytes).unwrap();
    let small = image::imageops::resize(&*whole.on_white(), SIDE, SIDE, image::imageops::FilterType::Triangle);
    let is_white = |x: u32, y: u32| small.get_pixel(x, y).0.iter().all(|value| *value > 243);
    // From the border inwards.
    let mut outside = vec![false; (SIDE * SIDE) as usize];
    let mut next: Vec<(u32, u32)> = (0..SIDE).flat_map(|i| [(i, 0), (i, SIDE - 1), (0, i), (SIDE - 1, i)]).collect();
    while let Some((x, y)) = next.pop() {
        let seen = &mut outside[(y * SIDE + x) as usize];
        if *seen || !is_white(x, y) {
            continue;
        }
        *seen = true;
        let around = [(x.wrapping_sub(1), y), (x + 1, y), (x, y.wrapping_sub(1)), (x, y + 1)];
        next.extend(around.into_iter().filter(|(x, y)| *x < SIDE && *y < SIDE));
    }
    let mut numbers = Numbers(seed);
    let mut behind = RgbImage::new(SIDE, SIDE);
    for _ in 0..70 {
        let colour = Rgb([(); 3].map(|()| numbers.below(256) as u8));
        let (left, top) = (numbers.below(SIDE + 8), numbers.below(SIDE + 8));
        let (width, height) = (6 + numbers.below(22), 6 + numbers.below(22));
        for y in top.saturating_sub(8)..(top + height).saturating_sub(8).min(SIDE) {
            for x in left.saturating_sub(8)..(left + width).saturating_sub(8).min(SIDE) {
                behind.put_pixel(x, y, colour);
            }
        }
    }
    let truth = GrayImage::from_fn(SIDE, SIDE, |x, y| Luma([if outside[(y * SIDE + x) as usize] { 0 } else { 255 }]));
    let pixels = RgbImage::from_fn(SIDE, SIDE, |x, y| {
        *if truth.get_pixel(x, y)[0] > 0 { &small } else { &behind }.get_pixel(x, y)
    });
    (Picture::new(style, pixels), truth)
}

/// Intersection over union.
fn overlap(found: &GrayImage, truth: &GrayImage) -> f64 {
    let each = || found.pixels().zip(truth.pixels()).map(|(a, b)| (a[0] > 127, b[0] > 127));
    each().filter(|(a, b)| *a && *b).count() as f64 / each().filter(|(a, b)| *a || *b).count() as f64
}

fn input(pictures: Vec<Picture>) -> TrainInput {
    let of = |picture| TrainPicture { picture, caption: None, mask: None };
    TrainInput {
        pictures: pictures.into_iter().map(of).collect(),
        make_captions: MakeCaptions::Usually,
        ..TrainInput::default()
    }
}

fn config() -> TrainConfig {
    TrainConfig {
        token: "<taxi>".to_owned(),
        init: Some("car".to_owned()),
        steps: Some(3),
        eval_size: 4,
        eval_every: 0,
        preview_every: 0,
        ..TrainConfig::default()
    }
}

/// Works until so many steps are made, and gives what was said of masks with what was found.
fn work(job: &mut TrainJob, until: u32) -> (Vec<MaskOf>, Vec<Option<GrayImage>>, Vec<Event>) {
    let (mut masks, mut found, mut events) = (Vec::new(), Vec::new(), Vec::new());
    pollster::block_on(async {
        while job.step() < until {
            let Some(event) = job.next().await.unwrap() else { break };
            if let Event::Masks { masks: of, .. } = &event {
                masks.clone_from(of);
                found = job.take_masked().into_iter().map(|masked| masked.mask).collect();
            }
            events.push(event);
        }
    });
    (masks, found, events)
}

#[test]
fn a_thing_is_found_before_clutter_where_the_model_sees_it() {
    let session = open("bundled", &cpu(), None);
    let (pictures, truths): (Vec<Picture>, Vec<GrayImage>) = taxis().into_iter().unzip();
    let mut job = session.train(&config(), input(pictures.clone())).unwrap();
    let (masks, found, events) = work(&mut job, 1);
    let outside =
        events.iter().find_map(|event| if let Event::Masks { outside, .. } = event { Some(*outside) } else { None });
    assert_eq!(outside, Some(0.0), "nothing of what was behind it is left");
    assert_eq!(events.iter().filter(|event| matches!(event, Event::Locate { total: 4, .. })).count(), 4);
    assert!(masks.iter().all(|mask| mask.origin == MaskOrigin::Found), "{masks:?}");
    let with: Vec<f64> =
        found.iter().zip(&truths).map(|(mask, truth)| overlap(mask.as_ref().unwrap(), truth)).collect();
    // In the middle of the picture, as it is here, it is found without the model, too.
    let mut alone = input(pictures);
    find_masks_without_model(&TrainConfig { masks: Some(Masks::Auto), ..config() }, &mut alone).unwrap();
    let of = |(picture, truth): (&TrainPicture, &GrayImage)| overlap(picture.mask.as_ref().unwrap(), truth);
    let without: Vec<f64> = alone.pictures.iter().zip(&truths).map(of).collect();
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    assert!(mean(&with) > 0.9 && mean(&without) > 0.9, "{with:?} {without:?}");
}

/// Shares of attention: those of all tokens are all of it, and those of two halves the whole.
#[test]
fn attention_to_words_is_a_share() {
    let session: Session = open("bundled", &cpu(), None);
    let model = session.model();
    let prompt = session.tokenizers().prompt("a picture of a car");
    let rows = Var::constant(Tensor::zeros([1, model.config.text_encoders[0].hidden_size], &model.device));
    let given = conditions(model, &[prompt], &rows, false);
    let length = given.states.dims()[1];
    let values = Noise::new(3).draws(0, Stream::Noise).normals(4 * 16 * 16);
    let noised = Tensor::<1>::from_floats(values.as_slice(), &model.device).reshape([1, 16, 16, 4]);
    let share = |marked: &dyn Fn(usize) -> bool| {
        let marks: Vec<f32> = (0..length).map(|at| f32::from(u8::from(marked(at)))).collect();
        let marks = Tensor::<1>::from_floats(marks.as_slice(), &model.device).reshape([1, length]);
        let map = model.unet.attended(&noised, &[500.0], &given, marks).unwrap();
        assert_eq!(map.dims(), [1, 8, 8]);
        pollster::block_on(ops::read(map)).unwrap()
    };
    assert!(share(&|_| true).iter().all(|all| (all - 1.0).abs() < 1e-5));
    let halves = [share(&|at| at < 4), share(&|at| at >= 4)];
    let (low, high) = halves[0].iter().fold((f32::MAX, f32::MIN), |(low, high), v| (low.min(*v), high.max(*v)));
    assert!(0.0 < low && low < high && high < 1.0, "{low} {high}");
    assert!(halves[0].iter().zip(&halves[1]).all(|(a, b)| (a + b - 1.0).abs() < 1e-5));
}

#[test]
fn a_thing_with_a_mask_is_learned_before_plain_colours_that_captions_name() {
    let session = open("bundled", &cpu(), None);
    let given = || {
        let mut input = input(taxis().into_iter().map(|(picture, _)| picture).collect());
        let truths = taxis().into_iter().map(|(_, truth)| truth);
        input.pictures.iter_mut().zip(truths).for_each(|(picture, truth)| picture.mask = Some(truth));
        TrainInput { record: true, ..input }
    };
    let captions = |config: &TrainConfig, input: TrainInput| {
        let mut job = session.train(config, input).unwrap();
        let (_, _, events) = work(&mut job, u32::MAX);
        assert!(!events.iter().any(|event| matches!(event, Event::Locate { .. })), "there is nothing to be found");
        let record = job.record().unwrap();
        // The captions stand in the file's head, as text.
        let text = String::from_utf8_lossy(&record).into_owned();
        [" background", " style"].map(|what| text.matches(what).count())
    };
    // The scenes of the context loss would be in the record, too.
    let config = TrainConfig { steps: Some(6), context_weight: Some(0.0), ..config() };
    let samples = 24;
    let plain = captions(&config, given());
    assert!(plain[0] == samples && plain[1] > samples / 2, "{plain:?}");
    // Without captions the sentences of the kind name the background all the same.
    assert_eq!(captions(&config, TrainInput { make_captions: MakeCaptions::Never, ..given() })[0], samples);
    let kept = TrainConfig { backgrounds: Some(Backgrounds::Kept), ..config.clone() };
    assert_eq!(captions(&kept, given())[0], 0);
    // What somebody wrote of the picture stays true.
    let mut own = given();
    own.pictures.iter_mut().for_each(|picture| picture.caption = Some("a {} in the street".to_owned()));
    assert_eq!(captions(&config, own)[0], 0);
}

#[test]
fn a_run_that_resumes_finds_the_same_and_ends_the_same() {
    let session = open("bundled", &cpu(), None);
    let pictures = || input(taxis().into_iter().map(|(picture, _)| picture).collect());
    let mut whole = session.train(&config(), pictures()).unwrap();
    let (_, found, _) = work(&mut whole, u32::MAX);
    for until in 0..3 {
        let mut job = session.train(&config(), pictures()).unwrap();
        work(&mut job, until);
        let state = RunState::read(&job.state(), "state").unwrap();
        let mut rest = session.resume(&config(), pictures(), &state).unwrap();
        let (_, again, _) = work(&mut rest, u32::MAX);
        assert!(found == again, "what was found");
        assert_eq!(rest.embedding().rows(), whole.embedding().rows(), "resumed after {until}");
    }
    let kept = TrainConfig { backgrounds: Some(Backgrounds::Kept), ..config() };
    let mut job = session.train(&config(), pictures()).unwrap();
    work(&mut job, 1);
    let state = RunState::read(&job.state(), "state").unwrap();
    let refused = session.resume(&kept, pictures(), &state).err().unwrap().to_string();
    assert!(refused.contains("backgrounds"), "{refused}");
}
