//! Weights in eight bits, as a user asks for them or gets them.

use std::fs;
use std::process::Output;

use serde_json::Value;

use crate::place::{Place, events, fixtures, mini_f16, read_word, refused, succeeded, text};

fn generate(place: &Place, more: &[&str]) -> Output {
    let usual = ["generate", "a red apple", "--seed", "3", "--overwrite", "--model", &mini_f16()];
    place.run(&[&usual[..], more].concat())
}

/// Decibels between two pictures; the more, the more alike they are.
fn likeness(a: &Place, [one, other]: [&str; 2]) -> f64 {
    let [one, other] = [one, other].map(|name| image::open(a.path(name)).unwrap().to_rgb8());
    assert_eq!(one.dimensions(), other.dimensions());
    let squares = one.iter().zip(other.iter()).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum::<f64>();
    10.0 * (255.0_f64.powi(2) * one.len() as f64 / squares).log10()
}

#[test]
fn pictures_of_weights_in_eight_bits_are_nearly_those_of_f16() {
    let place = Place::new();
    succeeded(&generate(&place, &["--weights", "f16", "--out", "f16.png"]));
    succeeded(&generate(&place, &["--weights", "q8", "--out", "q8.png"]));
    assert_ne!(fs::read(place.path("f16.png")).unwrap(), fs::read(place.path("q8.png")).unwrap());
    let likeness = likeness(&place, ["f16.png", "q8.png"]);
    println!("{likeness:.1} dB");
    assert!(likeness > 30.0, "{likeness} dB");
}

#[test]
fn a_word_is_learned_with_weights_in_eight_bits() {
    let place = Place::new();
    let learn = |steps: &str| place.run_train(&["--model", &mini_f16(), "--steps", steps, "--weights", "q8"]);
    succeeded(&learn("2"));
    let word = read_word(&place.path("run/learned_embeds.safetensors"));
    assert_eq!(word.encoders.len(), 1);
    assert!(!word.encoders[0].rows.is_empty() && word.encoders[0].rows.iter().all(|value| value.is_finite()));
}

/// Words that were learned before the model in the program was in eight bits: which model they are of cannot be told, and nothing is said
/// of it where they are used.
#[test]
fn words_of_the_mini_model_in_f16_are_used_without_a_warning() {
    let place = Place::new();
    let f16 = mini_f16();
    let tiny = fixtures().join("tiny-sd2").display().to_string();
    for (model, out) in [(&*f16, "old"), ("mini", "new")] {
        succeeded(&place.run_train(&["--model", model, "--steps", "1", "--out", out]));
    }
    let word = |run: &str| format!("{run}/learned_embeds.safetensors");
    let kind = |run: &str| read_word(&place.path(&word(run))).metadata["unet-samples"].clone();
    assert!(kind("old").starts_with("f16:") && kind("new").starts_with("q8-131:"), "{} {}", kind("old"), kind("new"));
    succeeded(&place.run(&["models", "convert", &f16, "converted"]));
    // And back, which leaves it rounded; once more, which leaves it as it is.
    succeeded(&place.run(&["models", "convert", "mini", "back", "--weights", "f16"]));
    succeeded(&place.run(&["models", "convert", "back", "twice", "--weights", "f16"]));
    succeeded(&place.run_train(&["--model", "back", "--steps", "1", "--out", "rounded"]));
    assert!(kind("rounded").starts_with("q8-as-f16:"), "{}", kind("rounded"));
    for (run, model, expected) in [
        ("old", "mini", "cannot be told"),
        ("old", &*f16, "this model"),
        ("new", "mini", "this model"),
        ("new", "converted", "this model"),
        ("new", &*f16, "cannot be told: weights that are or were in eight bits are rounded"),
        ("old", "back", "cannot be told: weights that are or were in eight bits are rounded"),
        ("new", "back", "cannot be told: weights that are or were in eight bits are rounded"),
        ("rounded", "back", "this model"),
        ("rounded", "twice", "this model"),
        ("rounded", "mini", "cannot be told"),
        ("rounded", &*f16, "cannot be told"),
        // Of another width.
        ("new", &*tiny, "a different model"),
    ] {
        let said = text(&place.run(&["inspect", &word(run), "--model", model]).stdout).to_owned();
        assert!(said.contains(&format!("learned on    {expected}")), "{run} on {model}: {said}");
    }
    // Where no model is asked for, the one that stands in for it is.
    for (run, expected) in
        [("new", "mini (built in)\n"), ("old", "a model that mini (built in) cannot be compared with; --model says")]
    {
        let said = text(&place.run(&["inspect", &word(run)]).stdout).to_owned();
        assert!(said.contains(&format!("learned on    {expected}")), "{run}: {said}");
    }
    let more = ["--model", "mini", "--steps", "1", "--json", "--embedding", &word("old")];
    let made = place.run(&[&["generate", "a <p>"][..], &more].concat());
    succeeded(&made);
    let warnings = events(&made.stdout).into_iter().filter(|event| event["event"] == "warning").collect::<Vec<_>>();
    assert!(warnings.is_empty(), "{warnings:?}");
}

/// The same word, as far as anybody could tell: losses within a hundredth, directions alike.
#[test]
fn words_learned_with_weights_in_eight_bits_are_nearly_those_of_f16() {
    const STEPS: usize = 25;
    let place = Place::new();
    let learned = ["f16", "q8"].map(|weights| {
        let steps = STEPS.to_string();
        let more = ["--model", &mini_f16(), "--steps", &steps, "--out", weights, "--weights", weights];
        succeeded(&place.run_train(&more));
        let log = fs::read_to_string(place.path(weights).join("log.jsonl")).unwrap();
        let steps = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let losses: Vec<f64> =
            steps.filter(|event| event["event"] == "step").map(|event| event["loss"].as_f64().unwrap()).collect();
        assert_eq!(losses.len(), STEPS);
        let word = read_word(&place.path(weights).join("learned_embeds.safetensors"));
        (losses.iter().sum::<f64>(), word.encoders[0].clone())
    });
    let [(losses, word), (near, nearly)] = learned;
    let off = (near / losses - 1.0).abs();
    println!("losses: {off:.1e}");
    // Another storage: not to the bit the same.
    assert!(off > 0.0 && off < 0.01, "{off}");
    for (one, other) in word.rows.chunks_exact(word.width).zip(nearly.rows.chunks_exact(word.width)) {
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
        let cosine = dot(one, other) / (dot(one, one) * dot(other, other)).sqrt();
        println!("cosine: {cosine:.5}");
        assert!(cosine > 0.99, "{cosine}");
    }
}

#[test]
fn what_fits_only_in_eight_bits_is_kept_so() {
    let place = Place::new();
    let generate = |looks: &str, more: &[&str]| {
        let usual = ["generate", "a red apple", "--seed", "3", "--steps", "2", "--overwrite"];
        let mut command = place.command(&[&usual[..], more].concat());
        command.env("PSEUDOWORD_FAILPOINTS", format!("memory=full@{looks}")).output().unwrap()
    };
    let warned = |output: &Output| {
        succeeded(output);
        let events = events(&output.stdout).into_iter().filter(|event| event["code"] == "memory");
        events.map(|event| event["text"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    // As the mini model is kept, in f32, it would need more than there is; and in f16, too.
    for (looks, storage) in [("1", "--weights f16"), ("1-2", "--weights q8")] {
        let said = warned(&generate(looks, &["--json"]));
        assert!(said.len() == 1 && said[0].contains(&format!("it fits with {storage}, which is used")), "{said:?}");
    }
    assert_eq!(warned(&generate("9", &["--json"])), [""; 0]);
    refused(&generate("1-3", &[]), 8, &["not enough memory"]);
    // What was asked for is not changed.
    refused(&generate("1", &["--weights", "f32"]), 8, &["not enough memory", "--weights f16"]);
}
