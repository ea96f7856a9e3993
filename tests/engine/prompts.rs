//! Prompts with weights, of several stretches, with learned words: their hidden states against PyTorch, and attention over them.

use burn::tensor::{Device, Tensor};
use pseudoword::config::{Pooling, PromptSyntax};
use pseudoword::noise::{Noise, Stream};
use pseudoword::ops::{self, Var, attention, backward};
use pseudoword::text::{Encoding, Rows};

use crate::fixtures::{Fixture, Place, assert_close, cpu, gpu, on_every_device, open, values};

/// Tokens of a stretch.
const STRETCH: usize = 77;

const CASES: [&str; 10] = [
    "a1111",
    "a1111-three",
    "a1111-moved",
    "a1111-plainly",
    "comfyui",
    "comfyui-two",
    "compel",
    "compel-two",
    "filled",
    "skipped",
];

fn syntax(name: &str) -> PromptSyntax {
    serde_json::from_value(name.into()).expect("a language")
}

/// Some rows of each stretch of states `[n T, D]`, as the fixture has them.
fn kept(states: &[f32], width: usize, kept: &[usize]) -> Vec<f32> {
    let stretch = |states: &[f32]| -> Vec<f32> {
        kept.iter().flat_map(|row| &states[row * width..(row + 1) * width]).copied().collect()
    };
    states.chunks_exact(STRETCH * width).flat_map(stretch).collect()
}

fn compare(model: &str, place: &Place) {
    let fixture = Fixture::read(&format!("weighted-{model}.safetensors"));
    let session = open(model, place, None);
    let loaded = session.model();
    let rows = |i: usize| {
        let name = format!("rows_{i}");
        fixture.has(&name).then(|| Rows { values: fixture.floats(&name), width: fixture.shape(&name)[1] })
    };
    let rows = Rows::side_by_side(&(0..2).filter_map(rows).collect::<Vec<_>>());
    let rows = Var::constant(rows.tensor(&place.device));
    let mut tokenizers = session.tokenizers().clone();
    tokenizers.add_word("<thing>", 2).unwrap();
    let rows_kept: Vec<usize> = serde_json::from_str(&fixture.metadata("kept")).unwrap();
    let width = loaded.config.word_width();
    let mut compared = 0;
    for case in CASES.into_iter().filter(|case| fixture.has(&format!("{case}.states"))) {
        let about: [String; 3] = serde_json::from_str(&fixture.metadata(case)).unwrap();
        let [language, text, layer] = &about;
        let clip_skip = layer.parse().unwrap_or(1);
        let encoding = Encoding { pooling: Pooling::End, clip_skip, recompute: false };
        let mut prompts = vec![tokenizers.read(text, syntax(language))];
        if case == "filled" {
            prompts.push(tokenizers.read(&fixture.metadata("three"), PromptSyntax::A1111));
        }
        let given = loaded.conditions(&prompts, &rows, &[[0.0; 6]], encoding);
        let states = values(given.states.into_value().narrow(0, 0, 1));
        let what = format!("{model} {case}");
        assert_close(&kept(&states, width, &rows_kept), &fixture.floats(&format!("{case}.states")), place, &what);
        if let Some((pooled, _)) = given.added {
            let pooled = values(pooled.into_value().narrow(0, 0, 1));
            assert_close(&pooled, &fixture.floats(&format!("{case}.pooled")), place, &format!("{what}, pooled"));
        }
        compared += 1;
    }
    assert_eq!(compared, if model == "mini" { 10 } else { 9 });
}

#[test]
fn weighted_prompts_of_several_stretches_equal_pytorch() {
    on_every_device(|place| {
        for model in ["mini", "tiny-sd2", "tiny-sdxl"] {
            compare(model, place);
        }
    });
}

#[test]
fn one_stretch_without_weights_is_encoded_as_captions_are_to_the_bit() {
    let place = cpu();
    for model in ["tiny-sd1", "tiny-sd2", "tiny-sdxl"] {
        let session = open(model, &place, None);
        let rows = Var::constant(Tensor::zeros([1, session.model().config.word_width()], &place.device));
        let states = |prompt| {
            let given = session.model().conditions(&[prompt], &rows, &[[0.0; 6]], (Pooling::End, false));
            values(given.states.into_value())
        };
        let text = "a photo of a cat on a blue hill";
        let caption = states(session.tokenizers().prompt(text));
        for syntax in PromptSyntax::ALL {
            assert_eq!(states(session.tokenizers().read(text, syntax)), caption, "{model} {syntax:?}");
        }
        // In a caption brackets are text.
        let bracketed = states(session.tokenizers().prompt("a (photo:1.4) of a cat"));
        assert_ne!(bracketed, states(session.tokenizers().read("a (photo:1.4) of a cat", PromptSyntax::A1111)));
    }
}

fn noise(seed: u64, shape: [usize; 3], device: &Device) -> Tensor<3> {
    let values = Noise::new(seed).draws(0, Stream::Latents).normals(shape.iter().product());
    Tensor::<1>::from_floats(values.as_slice(), device).reshape(shape)
}

/// The result of an attention over the tokens of so many stretches, and its gradients.
fn attended(stretches: usize, [heads, width]: [usize; 2], device: &Device) -> [Vec<f32>; 4] {
    let inner = heads * width;
    let [q, k, v] = [(1, 24), (2, STRETCH * stretches), (3, STRETCH * stretches)]
        .map(|(seed, length)| Var::leaf(noise(seed, [2, length, inner], device)));
    let y = attention(&q, &k, &v, heads, false);
    let mut gradients = backward(&y, noise(4, [2, 24, inner], device));
    let [dq, dk, dv] = [&q, &k, &v].map(|input| values(gradients.take(input).expect("a gradient")));
    [values(y.into_value()), dq, dk, dv]
}

#[test]
fn attention_over_the_tokens_of_one_to_eight_stretches_is_that_of_plain_operations() {
    let (on_gpu, _turn) = gpu();
    for heads in [[2, 40], [1, 64], [3, 12]] {
        for stretches in 1..=8 {
            let device = pseudoword::gpu::cpu();
            let plain = ops::with_reference(|| attended(stretches, heads, &device));
            for place in [cpu(), on_gpu.clone()] {
                let made = attended(stretches, heads, &place.device);
                for ((made, plain), what) in made.iter().zip(&plain).zip(["y", "dq", "dk", "dv"]) {
                    assert_close(made, plain, &place, &format!("{stretches} stretches, {heads:?}, {what}"));
                }
            }
        }
    }
}
