//! Prompts in the languages that people write them in: what they do to pictures, and what is said of them.

use pseudoword::embedding::Embedding;
use pseudoword::image::read_text;
use serde_json::Value;

use crate::place::{Place, events, refused, succeeded, text, tiny};

/// Writes an embedding of some vectors that the tiny model can use.
fn word(place: &Place, token: &str, vectors: usize) -> String {
    let rows = (0..24 * vectors).map(|i| (i % 7) as f32 / 5.0 - 0.6).collect();
    place.file("word.safetensors", &Embedding::new(token, 24, rows).to_safetensors())
}

/// The pixels of a picture and its text.
#[track_caller]
fn picture(place: &Place, more: &[&str]) -> (Vec<u8>, Vec<(String, String)>) {
    let model = tiny();
    let common = ["generate", "--model", &model, "--steps", "2", "--out", "out.png", "--overwrite"];
    succeeded(&place.run(&[&common, more].concat()));
    let png = std::fs::read(place.path("out.png")).unwrap();
    (image::load_from_memory(&png).unwrap().into_rgb8().into_raw(), read_text(&png).unwrap())
}

#[test]
fn weights_stretches_and_layers_change_pictures_and_stand_in_them() {
    let place = Place::new();
    let word = word(&place, "<fox>", 3);
    let of = |prompt: &str, more: &[&str]| picture(&place, &[&[prompt, "-e", &word], more].concat());
    let (plain, text) = of("a <fox> on a hill", &[]);
    let get =
        |text: &[(String, String)], key: &str| text.iter().find(|(k, _)| k == key).map(|(_, value)| value.clone());
    assert_eq!((get(&text, "prompt syntax").as_deref(), get(&text, "clip skip")), (Some("a1111"), None));
    let same = [
        of("a (<fox>:1) on a hill", &[]),
        of("a <fox> on a hill", &["--prompt-syntax", "plain"]),
        of("a <fox> on a hill", &["--prompt-syntax", "compel"]),
        of("a <fox> on a hill", &["--clip-skip", "1"]),
    ];
    assert!(same.iter().all(|(pixels, _)| *pixels == plain));
    let mut seen = vec![plain];
    for (prompt, more) in [
        ("a (<fox>:1.5) on a hill", &[][..]),
        ("a (<fox>:1.5) on a hill", &["--prompt-syntax", "comfyui"]),
        ("a (<fox>:1.5) on a hill", &["--prompt-syntax", "plain"]),
        ("a <fox> BREAK on a hill", &[]),
        ("a <fox> on a hill--", &["--prompt-syntax", "compel"]),
        ("a <fox> on a hill", &["--clip-skip", "2"]),
        ("a <fox> on a hill", &["--negative-prompt", "(blurry:1.4)"]),
    ] {
        let (pixels, text) = of(prompt, more);
        assert!(!seen.contains(&pixels), "{prompt} {more:?}");
        seen.push(pixels);
        let parameters = get(&text, "parameters").unwrap();
        for (option, said) in [("--prompt-syntax", "Prompt syntax: "), ("--clip-skip", "Clip skip: ")] {
            let given = more.iter().position(|typed| *typed == option).map(|at| format!("{said}{}", more[at + 1]));
            assert!(given.as_ref().is_none_or(|given| parameters.contains(given)), "{given:?}: {parameters}");
            assert!(given.is_some() || !parameters.contains(said), "{parameters}");
        }
    }
}

#[test]
fn a_word_of_all_the_room_there_is_leaves_the_rest_of_a_negative_prompt() {
    let place = Place::new();
    let word = word(&place, "<bad>", 75);
    let of = |negative: &str| picture(&place, &["a cat", "-e", &word, "--negative-prompt", negative]).0;
    let alone = of("<bad>");
    assert_ne!(of("<bad>, blurry"), alone);
    assert_ne!(of("<bad>, blurry"), of("<bad>, red"));
}

#[test]
fn a_layer_that_a_model_does_not_have_is_refused() {
    let place = Place::new();
    let model = tiny();
    for (skip, parts) in [("0", &["--clip-skip 0", "at least 1"][..]), ("3", &["--clip-skip 3", "at most 2"])] {
        refused(&place.run(&["generate", "a cat", "--model", &model, "--clip-skip", skip]), 2, parts);
    }
}

#[test]
fn prompt_shows_stretches_weights_and_words_without_weights() {
    let place = Place::new();
    let word = word(&place, "<fox>", 2);
    let model = tiny();
    let ask = |more: &[&str]| place.run(&[&["prompt", "--model", &model, "-e", &word], more].concat());
    let output = ask(&["a (<fox>:1.5) [hill] BREAK (sky)"]);
    succeeded(&output);
    let said = text(&output.stdout);
    for part in
        ["a1111", "in 2 stretches of 75", "1.5    <fox>", "0.909  hill", "stretch 2", "1.1    sky", "<fox>, 2 vectors"]
    {
        assert!(said.contains(part), "{part}: {said}");
    }
    let output = ask(&["a <fox>++ and <cow> AND so on", "--prompt-syntax", "compel", "--json"]);
    succeeded(&output);
    let events = events(&output.stdout);
    let codes: Vec<&Value> =
        events.iter().filter(|event| event["event"] == "warning").map(|event| &event["code"]).collect();
    assert_eq!(codes, ["unknown-embedding", "prompt-syntax"]);
    let shown = events.iter().find(|event| event["event"] == "prompt").unwrap();
    assert_eq!((&shown["syntax"], &shown["room"], &shown["lost"]), (&"compel".into(), &75.into(), &Value::Null));
    let tokens = shown["encoders"][0][0]["tokens"].as_array().unwrap();
    assert_eq!((&tokens[0]["weight"], &tokens[0]["text"]), (&1.0.into(), &"a ".into()));
    for (vector, token) in tokens[1..3].iter().enumerate() {
        assert_eq!((&token["word"], &token["vector"]), (&"<fox>".into(), &vector.into()));
        assert!((token["weight"].as_f64().unwrap() - 1.21).abs() < 1e-6);
    }
    assert_eq!(shown["words"][0]["token"], "<fox>");
    assert_eq!(shown["encoders"][0][0]["ids"].as_array().unwrap().len(), 77);
}
