//! `generate --like`: a picture that says how it was made, made again.

use std::fs;

use pseudoword::image::{encode_png, read_text};
use serde_json::Value;

use crate::place::{Place, events, refused, succeeded, text, tiny};

fn said(place: &Place, name: &str) -> Vec<(String, String)> {
    read_text(&fs::read(place.path(name)).unwrap()).unwrap()
}

fn taken_up(output: &std::process::Output) -> Value {
    events(&output.stdout).into_iter().find(|event| event["event"] == "taken-up").unwrap()
}

#[test]
fn an_own_picture_is_made_again_to_the_bit() {
    let place = Place::new();
    succeeded(&place.run_train(&["--model", "mini", "--steps", "1"]));
    let renamed = "run/learned_embeds.safetensors=<fruit>";
    let first = [
        "generate",
        "a (<fruit>:1.3),\n[a leaf] BREAK caf\u{e9} \u{1f98a}",
        "-e",
        renamed,
        "--steps",
        "3",
        "--seed",
        "7",
        "--sampler",
        "euler-ancestral",
        "--karras",
        "--negative-prompt",
        "Steps: 9, Seed: 1",
        "--guidance",
        "2.75",
        "--width",
        "72",
        "--clip-skip",
        "2",
        "--count",
        "2",
        "--batch-size",
        "1",
    ];
    succeeded(&place.run(&first));
    for (number, name) in ["out-0.png", "out-1.png"].into_iter().enumerate() {
        let again = format!("again-{number}.png");
        let output = place.run(&["generate", "--like", name, "-e", renamed, "--out", &again]);
        succeeded(&output);
        assert_eq!(fs::read(place.path(&again)).unwrap(), fs::read(place.path(name)).unwrap(), "{name}");
        let stderr = text(&output.stderr);
        assert!(stderr.contains("as out-") && !stderr.contains("warning"), "{stderr}");
    }
    // What is typed counts, and is said; so is an embedding that is missing.
    let output = place.run(&["generate", "--like", "out-0.png", "--seed", "3", "--json", "--out", "other.png"]);
    succeeded(&output);
    let event = taken_up(&output);
    assert_eq!((&event["given"], &event["settings"]["steps"]), (&serde_json::json!(["seed"]), &serde_json::json!(3)));
    assert!(event["settings"].get("seed").is_none() && event["prompt"].as_str().unwrap().contains("<fruit>"));
    let lost =
        |event: &Value| event["code"] == "not-taken-up" && event["text"].as_str().unwrap().contains("\"<fruit>\"");
    assert_eq!(events(&output.stdout).iter().filter(|event| lost(event)).count(), 1);
    assert!(!text(&output.stdout).contains("unknown-embedding"), "said once: {}", text(&output.stdout));
    assert!(said(&place, "other.png").contains(&("seed".to_owned(), "3".to_owned())));
    // Another prompt and another model.
    let model = tiny();
    let output = place.run(&[
        "generate",
        "an apple",
        "--like",
        "out-0.png",
        "--model",
        &model,
        "--width",
        "16",
        "--height",
        "16",
    ]);
    succeeded(&output);
    let stderr = text(&output.stderr);
    assert!(stderr.contains("given by hand: prompt") && stderr.contains("another --model"), "{stderr}");
    let name = text(&output.stdout).trim().to_owned();
    assert!(said(&place, &name).contains(&("prompt".to_owned(), "an apple".to_owned())));
}

#[test]
fn a_picture_of_another_program_is_taken_up_with_a_warning_for_what_is_not() {
    let place = Place::new();
    let parameters = "a cat,\n(sitting:1.2)\nNegative prompt: blur\nbad\nSteps: 2, Sampler: DPM++ 2M Karras, CFG scale: 5, \
                      Seed: 9, Size: 16x16, Model hash: 0123456789, Model: other, TI hashes: \"easy: 0123456789ab\", \
                      Hires upscale: 2, Lora hashes: \"x: 01\"";
    let about = [("parameters".to_owned(), parameters.to_owned())];
    let bytes = encode_png(&image::RgbImage::new(16, 16), &about).unwrap();
    let picture = place.file("theirs.png", &bytes);
    let output = place.run(&["generate", "--like", &picture, "--model", &tiny(), "--json"]);
    succeeded(&output);
    let event = taken_up(&output);
    assert_eq!(event["prompt"], "a cat,\n(sitting:1.2)");
    for (name, value) in
        [("steps", "2"), ("sampler", "\"dpmpp2m\""), ("karras", "true"), ("seed", "9"), ("width", "16")]
    {
        assert_eq!(event["settings"][name].to_string(), value, "{name}");
    }
    let warned: String = events(&output.stdout)
        .iter()
        .filter(|event| event["code"] == "not-taken-up")
        .map(|event| format!("{}\n", event["text"].as_str().unwrap()))
        .collect();
    for part in ["another program", "hires fix", "LoRAs", "0123456789ab", "\"other 0123456789\""] {
        assert!(warned.contains(part), "{part}: {warned}");
    }
    let about = said(&place, "out.png");
    assert!(about.contains(&("negative prompt".to_owned(), "blur\nbad".to_owned())), "{about:?}");
    assert!(about.contains(&("sampler".to_owned(), "dpmpp2m karras".to_owned())), "{about:?}");
}

/// A picture of A1111 with these settings.
fn theirs(place: &Place, settings: &str) -> String {
    let about = [("parameters".to_owned(), format!("a cat\nSteps: 2, Seed: 9, {settings}"))];
    place.file("theirs.png", &encode_png(&image::RgbImage::new(16, 16), &about).unwrap())
}

/// What was taken up and the warnings, of a run that goes through.
fn like(place: &Place, picture: &str, more: &[&str]) -> (Value, String) {
    let model = tiny();
    let common = ["generate", "--like", picture, "--model", &model, "--out", "out.png", "--overwrite", "--json"];
    let output = place.run(&[&common, more].concat());
    succeeded(&output);
    let warned = events(&output.stdout).into_iter().filter(|event| event["event"] == "warning");
    let texts: Vec<String> = warned.map(|event| event["text"].as_str().unwrap().to_owned()).collect();
    (taken_up(&output), texts.join("\n"))
}

#[test]
fn what_the_model_cannot_have_of_a_picture_is_fitted_and_said() {
    let place = Place::new();
    let picture = theirs(&place, "Size: 65x63, Clip skip: 99");
    let (_, warned) = like(&place, &picture, &[]);
    for part in ["it says Size: 65x63, which", "it says Clip skip: 99, which", ": 1 is used instead"] {
        assert!(warned.contains(part), "{part}: {warned}");
    }
    assert!(!warned.contains("--width") && !warned.contains("--clip-skip"), "{warned}");
    let size = image::open(place.path("out.png")).unwrap().into_rgb8().dimensions();
    assert!(warned.contains(&format!(": {}x{} is used instead", size.0, size.1)), "{size:?}: {warned}");
    assert!(size.0.abs_diff(65) < 8 && size.1.abs_diff(63) < 8, "{size:?}");
    // What is typed counts, and is blamed.
    let (_, warned) = like(&place, &picture, &["--width", "16", "--height", "16", "--clip-skip", "1"]);
    assert!(!warned.contains("is used instead"), "{warned}");
    refused(
        &place.run(&["generate", "--like", &picture, "--clip-skip", "98", "--model", &tiny()]),
        2,
        &["--clip-skip 98"],
    );
    refused(&place.run(&["generate", "--like", &picture, "--width", "17", "--model", &tiny()]), 2, &["--width 17"]);
}

#[test]
fn only_what_was_typed_is_said_to_be() {
    let place = Place::new();
    let picture = theirs(&place, "Size: 16x16, Sampler: DPM++ 2M Karras");
    for sampler in ["ddim", "euler"] {
        let (event, _) = like(&place, &picture, &["--sampler", sampler]);
        assert_eq!(event["given"], serde_json::json!(["sampler"]));
        assert!(event["settings"].get("karras").is_none(), "{event}");
        assert!(said(&place, "out.png").contains(&("sampler".to_owned(), sampler.to_owned())), "no spacing");
    }
}

#[test]
fn what_is_no_picture_with_settings_is_refused() {
    let place = Place::new();
    let plain = place.file("plain.png", &encode_png(&image::RgbImage::new(4, 4), &[]).unwrap());
    let cut = place.file("cut.png", &fs::read(&plain).unwrap()[..40]);
    for (picture, status, parts) in [
        (plain.as_str(), 3, &["plain.png", "no settings"][..]),
        (&cut, 3, &["cut.png", "damaged"]),
        (&place.file("note.txt", b"a note"), 3, &["note.txt"]),
        ("gone.png", 7, &["gone.png"]),
    ] {
        refused(&place.run(&["generate", "--like", picture]), status, parts);
    }
    refused(&place.run(&["generate"]), 2, &["<PROMPT>"]);
}
