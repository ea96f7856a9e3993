//! SDXL: two text encoders, a prompt's vector and a picture's sizes, and the gradient through all of them, against diffusers and
//! transformers.

use burn::tensor::Tensor;
use pseudoword::config::Pooling;
use pseudoword::ops::{Var, backward, mse, side_by_side};
use pseudoword::schedule::NoiseSchedule;
use pseudoword::text::Prompt;
use pseudoword::unet::{Conditions, TimeIds};
use pseudoword::weights::Storage;

use crate::fixtures::{Fixture, Place, assert_close, map_values, on_every_device, open, values};
use crate::models::tokens;

/// The prompts of a fixture, as both text encoders take them.
fn prompts(fixture: &Fixture, name: &str) -> Vec<Prompt> {
    let [first, second] = ["", "_2"].map(|end| fixture.ints(&format!("{name}{end}")));
    let both = first.chunks(77).zip(second.chunks(77));
    both.map(|(first, second)| Prompt { encoders: vec![tokens(first), tokens(second)] }).collect()
}

fn time_ids(fixture: &Fixture, name: &str) -> Vec<TimeIds> {
    fixture.floats(name).as_chunks::<6>().0.to_vec()
}

/// The rows for both text encoders, as leaves, and both side by side.
fn rows(fixture: &Fixture, name: &str, place: &Place) -> ([Var<2>; 2], Var<2>) {
    let each = ["", "_2"].map(|end| Var::leaf(fixture.tensor(&format!("{name}{end}"), &place.device)));
    let both = side_by_side(&each);
    (each, both)
}

const POOLINGS: [(Pooling, &str); 2] = [(Pooling::End, ""), (Pooling::Diffusers, "_diffusers")];

#[test]
fn the_text_encoders_equal_transformers() {
    let fixture = Fixture::read("tiny-sdxl.safetensors");
    on_every_device(|place| {
        let session = open("tiny-sdxl", place, Some(Storage::AsFile));
        let (_, rows) = rows(&fixture, "text.rows", place);
        for (pooling, end) in POOLINGS {
            let prompts = prompts(&fixture, "text.input_ids");
            let given = session.model().conditions(&prompts, &rows, &[[0.0; 6]], (pooling, false));
            let states = values(given.states.into_value());
            assert_close(&states, &fixture.floats("text.context"), place, "states");
            let vectors = values(given.added.expect("SDXL is told a vector").0.into_value());
            let name = format!("text.pooled{end}");
            assert_close(&vectors, &fixture.floats(&name), place, &name);
        }
    });
}

#[test]
fn the_unet_equals_diffusers() {
    let fixture = Fixture::read("tiny-sdxl.safetensors");
    on_every_device(|place| {
        let session = open("tiny-sdxl", place, Some(Storage::AsFile));
        let times: Vec<f32> = fixture.ints("unet.timestep").iter().map(|t| *t as f32).collect();
        let tensor = |name| Var::constant(fixture.tensor::<2>(name, &place.device));
        let given = Conditions {
            states: Var::constant(fixture.tensor("unet.encoder_hidden_states", &place.device)),
            added: Some((tensor("unet.text_embeds"), time_ids(&fixture, "unet.time_ids"))),
        };
        let sample = fixture.map("unet.sample", &place.device);
        let unet = &session.model().unet;
        let output = unet.forward(&sample, &times, &given, false).into_value();
        assert_close(&map_values(output), &fixture.floats("unet.output"), place, "unet");
        let again = unet.predict(&sample, &times, &unet.keys_and_values(&given));
        assert_close(&map_values(again), &fixture.floats("unet.output"), place, "unet with known prompts");
    });
}

#[test]
fn the_loss_and_its_gradients_equal_pytorch() {
    let fixture = Fixture::read("tiny-sdxl.safetensors");
    on_every_device(|place| {
        let device = &place.device;
        let session = open("tiny-sdxl", place, Some(Storage::AsFile));
        let model = session.model();
        let schedule = NoiseSchedule::new(&model.config.scheduler);
        let timesteps: Vec<usize> = fixture.ints("grad.timestep").iter().map(|t| *t as usize).collect();
        let times: Vec<f32> = timesteps.iter().map(|t| *t as f32).collect();
        let (noisy, target) = (fixture.map("grad.noisy", device), fixture.map("grad.target", device));
        let sizes = time_ids(&fixture, "grad.time_ids");
        for (pooling, end) in POOLINGS {
            for (gamma, recompute) in [(None, false), (Some(5.0), true)] {
                let (each, both) = rows(&fixture, "grad.rows", place);
                let prompts = prompts(&fixture, "grad.input_ids");
                let given = model.conditions(&prompts, &both, &sizes, (pooling, recompute));
                let prediction = model.unet.forward(&noisy, &times, &given, recompute);
                let weights = gamma.map(|gamma| {
                    let weights = schedule.loss_weights(&timesteps, Some(gamma));
                    Tensor::<1>::from_floats(weights.as_slice(), device).reshape([timesteps.len(), 1, 1, 1])
                });
                let loss = mse(&prediction, target.clone(), weights);
                let (group, snr) = (format!("grad{end}"), if gamma.is_some() { "_snr" } else { "" });
                let close = |got: &[f32], name: &str| {
                    let name = format!("{group}.{name}");
                    assert_close(got, &fixture.floats(&name), place, &format!("{name}, recompute {recompute}"));
                };
                close(&map_values(prediction.value().clone()), "eps_pred");
                close(&values(loss.value().clone()), if gamma.is_some() { "snr_loss" } else { "loss" });
                let mut gradients = backward(&loss, Tensor::ones([1], device));
                for (leaf, name) in each.iter().zip(["d_rows", "d_rows_2"]) {
                    close(&values(gradients.take(leaf).expect("a gradient")), &format!("{name}{snr}"));
                }
            }
        }
    });
}

/// What the U-Net hands back to the text encoders: of all the states, and of the prompt's vector.
#[test]
fn the_gradients_to_what_the_unet_is_told_equal_pytorch() {
    let fixture = Fixture::read("tiny-sdxl.safetensors");
    on_every_device(|place| {
        let device = &place.device;
        let session = open("tiny-sdxl", place, Some(Storage::AsFile));
        let (_, both) = rows(&fixture, "grad.rows", place);
        let prompts = prompts(&fixture, "grad.input_ids");
        let sizes = time_ids(&fixture, "grad.time_ids");
        let made = session.model().conditions(&prompts, &both, &sizes, (Pooling::End, false));
        for recompute in [false, true] {
            let states = Var::leaf(made.states.value().clone());
            let (vector, sizes) = made.added.as_ref().expect("SDXL is told a vector");
            let vector = Var::leaf(vector.value().clone());
            let given = Conditions { states: states.clone(), added: Some((vector.clone(), sizes.clone())) };
            let times: Vec<f32> = fixture.ints("grad.timestep").iter().map(|t| *t as f32).collect();
            let noisy = fixture.map("grad.noisy", device);
            let prediction = session.model().unet.forward(&noisy, &times, &given, recompute);
            let loss = mse(&prediction, fixture.map("grad.target", device), None);
            let mut gradients = backward(&loss, Tensor::ones([1], device));
            let to_states = values(gradients.take(&states).expect("a gradient"));
            assert_close(&to_states, &fixture.floats("grad.d_context"), place, "d_context");
            let to_vector = values(gradients.take(&vector).expect("a gradient"));
            assert_close(&to_vector, &fixture.floats("grad.d_pooled"), place, "d_pooled");
        }
    });
}
