//! What a learned word does to the rest of a prompt, and the gradient of that, against PyTorch and finite differences.

use burn::tensor::Tensor;
use pseudoword::config::PromptSyntax;
use pseudoword::model::Model;
use pseudoword::ops::{Var, backward, side_by_side};
use pseudoword::text::Prompt;
use pseudoword::train::context;
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
