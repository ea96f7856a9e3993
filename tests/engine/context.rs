//! What a learned word does to the rest of a prompt, and the gradient of that, against PyTorch and finite differences.

use burn::tensor::Tensor;
use pseudoword::config::{Masks, PromptSyntax, Quality, TrainConfig};
use pseudoword::image::Picture;
use pseudoword::model::Model;
use pseudoword::ops::{Var, backward, side_by_side};
use pseudoword::setting::Setting;
use pseudoword::text::Prompt;
use pseudoword::train::{MakeCaptions, Replay, TrainInput, TrainJob, TrainPicture, context};
use pseudoword::weights::Storage;

use crate::fixtures::{Fixture, Place, assert_close, cpu, on_every_device, open, values};
use crate::models::tokens;

const MODELS: [(&str, &[&str]); 2] = [("tiny-sd1", &[""]), ("tiny-sdxl", &["", "_2"])];

/// The scenes with the word and with the phrase.
fn pairs(fixture: &Fixture, model: &str, ends: &[&str]) -> Vec<[Prompt; 2]> {
    let all = |which: &str| -> Vec<Prompt> {
        let of_encoder = |end: &&str| fixture.ints(&format!("{model}.{which}_ids{end}"));
        let ids: Vec<Vec<i64>> = ends.iter().map(of_encoder).collect();
        let prompt = |number: usize| Prompt {
            encoders: ids.iter().map(|ids| tokens(&ids[number * 77..][..77])).collect(),
            syntax: PromptSyntax::Plain,
        };
        (0..ids[0].len() / 77).map(prompt).collect()
    };
    all("word").into_iter().zip(all("phrase")).map(|(word, phrase)| [word, phrase]).collect()
}

fn leaves(fixture: &Fixture, model: &str, ends: &[&str], place: &Place) -> Vec<Var<2>> {
    ends.iter().map(|end| Var::leaf(fixture.tensor(&format!("{model}.rows{end}"), &place.device))).collect()
}

#[test]
fn the_loss_and_its_gradients_equal_pytorch() {
    let fixture = Fixture::read("context.safetensors");
    on_every_device(|place| {
        for (name, ends) in MODELS {
            let session = open(name, place, Some(Storage::AsFile));
            let pairs = pairs(&fixture, name, ends);
            for recompute in [false, true] {
                let leaves = leaves(&fixture, name, ends, place);
                let loss = context::loss(session.model(), &pairs, &side_by_side(&leaves), recompute);
                let loss = loss.expect("there are tokens behind the word");
                let close = |got: &[f32], key: &str| {
                    let key = format!("{name}.{key}");
                    assert_close(got, &fixture.floats(&key), place, &format!("{key}, recompute {recompute}"));
                };
                close(&values(loss.value().clone()), "loss");
                let mut gradients = backward(&loss, Tensor::ones([1], &place.device));
                for (leaf, end) in leaves.iter().zip(ends) {
                    close(&values(gradients.take(leaf).expect("a gradient")), &format!("d_rows{end}"));
                }
            }
        }
    });
}

fn loss_at(model: &Model, pairs: &[[Prompt; 2]], rows: &[f32], place: &Place) -> f64 {
    let rows = Tensor::<1>::from_floats(rows, &place.device).reshape([2, rows.len() / 2]);
    f64::from(values(context::loss(model, pairs, &Var::constant(rows), false).unwrap().into_value())[0])
}

#[test]
fn the_gradient_is_the_slope() {
    let (fixture, place) = (Fixture::read("context.safetensors"), cpu());
    let session = open("tiny-sd1", &place, Some(Storage::F32));
    let pairs = pairs(&fixture, "tiny-sd1", &[""]);
    let (rows, gradient) = (fixture.floats("tiny-sd1.rows"), fixture.floats("tiny-sd1.d_rows"));
    let scale = gradient.iter().fold(0.0f32, |most, value| most.max(value.abs()));
    for at in (0..rows.len()).step_by(5) {
        const STEP: f32 = 1e-2;
        let moved = |by: f32| {
            let mut rows = rows.clone();
            rows[at] += by;
            loss_at(session.model(), &pairs, &rows, &place)
        };
        let slope = (moved(STEP) - moved(-STEP)) / f64::from(2.0 * STEP);
        let off = (slope - f64::from(gradient[at])).abs();
        assert!(off < 0.01 * f64::from(scale) + 2e-5, "{at}: {slope}, {}", gradient[at]);
    }
}

/// Nothing to compare: a pair without the word, and one whose word is the whole phrase of another prompt.
#[test]
fn only_the_same_tokens_behind_the_word_are_compared() {
    let (fixture, place) = (Fixture::read("context.safetensors"), cpu());
    let session = open("tiny-sd1", &place, None);
    let rows = Var::constant(fixture.tensor("tiny-sd1.rows", &place.device));
    let pairs = pairs(&fixture, "tiny-sd1", &[""]);
    let without: Vec<[Prompt; 2]> = pairs.iter().map(|[_, phrase]| [phrase.clone(), phrase.clone()]).collect();
    assert!(context::loss(session.model(), &without, &rows, false).is_none());
    // Beside another prompt only the end token is the same.
    let [word, _] = pairs[0].clone();
    let [_, other] = pairs[1].clone();
    let loss = |phrase: Prompt| context::loss(session.model(), &[[word.clone(), phrase]], &rows, false).unwrap();
    let alone = values(loss(other).into_value())[0];
    assert!(alone.is_finite() && alone > 0.0, "{alone}");
    let itself = values(loss(word.clone()).into_value())[0];
    assert!(itself.abs() < 1e-5, "{itself}");
}

/// The rest of a prompt counts for things of the mini model unless it is said otherwise; the state says how much.
#[test]
fn a_run_goes_on_with_the_weight_that_it_was_begun_with() {
    let session = open("bundled", &cpu(), None);
    let config = |context_weight| TrainConfig {
        token: "<thing>".to_owned(),
        init: Some("apple".to_owned()),
        steps: Some(2),
        batch_size: Some(1),
        eval_every: 0,
        eval_size: 1,
        preview_every: 0,
        quality: Quality::Off,
        masks: Some(Masks::Off),
        context_weight,
        ..TrainConfig::default()
    };
    let input = || {
        let bytes = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/peach/noto.png")).unwrap();
        let picture = Picture::decode("noto", &bytes).unwrap();
        let make_captions = MakeCaptions::Never;
        let pictures = vec![TrainPicture { picture, caption: None, mask: None }];
        TrainInput { pictures, make_captions, ..TrainInput::default() }
    };
    let begun = |weight| session.train(&config(weight), input()).unwrap();
    let work = |job: &mut TrainJob, until: u32| {
        pollster::block_on(async { while job.step() < until && job.next().await.unwrap().is_some() {} });
    };
    let learned = |mut job: TrainJob| {
        work(&mut job, u32::MAX);
        job.embedding().encoders
    };
    let [usual, none] = [None, Some(0.0)].map(|weight| learned(begun(weight)));
    assert!(usual == learned(begun(Some(0.1))) && usual != none);
    // What was recorded has the scenes, if there were any.
    for (weight, expected) in [(None, &usual), (Some(0.0), &none)] {
        let mut job = session.train(&config(weight), TrainInput { record: true, ..input() }).unwrap();
        work(&mut job, u32::MAX);
        let replay = Replay::read(&job.record().unwrap(), "a record").unwrap();
        let again = session.train(&config(None), TrainInput { replay: Some(replay), ..input() }).unwrap();
        assert!(learned(again) == *expected, "{weight:?}");
    }
    for (weight, is, expected) in [(None, 0.1, usual), (Some(0.0), 0.0, none)] {
        let mut first = begun(weight);
        work(&mut first, 1);
        for again in [None, Some(is)] {
            let resumed = session.resume(&config(again), input(), &first.snapshot()).unwrap();
            assert!(learned(resumed) == expected, "{weight:?}, {again:?}");
        }
        let other = session.resume(&config(Some(0.5)), input(), &first.snapshot()).err().unwrap().to_string();
        assert!(other.contains(&Setting::ContextWeight.to_string()) && other.contains("it is 0.5"), "{other}");
    }
}
