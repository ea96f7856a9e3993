//! Embeddings for SDXL's two text encoders: used, refused, converted and kept.

use std::fs;

use pseudoword::embedding::{Embedding, Layout, write};

use crate::place::{Place, events, fixtures, read_word, refused, succeeded, text};

/// The tiny model with two text encoders, 24 and 40 wide.
fn tiny_sdxl() -> String {
    fixtures().join("tiny-sdxl").display().to_string()
}

/// A place with the files of the word that was learned on it: `thing.safetensors`, `pair/`, `replicate/`.
fn with_words() -> Place {
    let place = Place::new();
    for (folder, name) in [
        ("", "thing.safetensors"),
        ("pair/", "learned_embeds.safetensors"),
        ("pair/", "learned_embeds_2.safetensors"),
        ("replicate/", "embeddings.pti"),
        ("replicate/", "special_params.json"),
    ] {
        place.file(&format!("{folder}{name}"), &fs::read(fixtures().join("words-sdxl").join(name)).unwrap());
    }
    place
}

/// The program with a shelf of its own.
fn run(place: &Place, arguments: &[&str]) -> std::process::Output {
    place.command(arguments).env("PSEUDOWORD_HOME", place.path("home")).env("HF_HUB_OFFLINE", "1").output().unwrap()
}

fn generate<'a>(model: &'a str, prompt: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let small = ["--width", "32", "--height", "16", "--steps", "1", "--overwrite"];
    [&["generate", prompt, "--model", model], &small[..], more].concat()
}

/// The pixels of a picture of the tiny model.
fn pixels(place: &Place, prompt: &str, more: &[&str]) -> Vec<u8> {
    succeeded(&run(place, &generate(&tiny_sdxl(), prompt, more)));
    image::open(place.path("out.png")).unwrap().into_rgb8().into_raw()
}

#[test]
fn an_embedding_for_another_family_is_refused_with_both_named() {
    let (place, model) = (with_words(), tiny_sdxl());
    for (name, width) in [("old.safetensors", 768), ("mini.safetensors", 128)] {
        place.file(name, &Embedding::new("<old>", width, vec![0.5; width]).to_safetensors());
    }
    let half = fs::read(place.path("pair/learned_embeds.safetensors")).unwrap();
    place.file("half/learned_embeds.safetensors", &half);
    let sdxl = "an unknown family with two text encoders (24 and 40 wide)";
    let of_old = ["old.safetensors was learned for Stable Diffusion 1.x (vectors 768 wide)", sdxl];
    refused(&run(&place, &generate(&model, "a <old>", &["-e", "old.safetensors"])), 3, &of_old);
    let of_sdxl =
        ["learned for an unknown family with two text encoders (vectors 24 and 40 wide)", "mini model (128 wide)"];
    refused(&run(&place, &generate("mini", "a thing", &["-e", "thing.safetensors"])), 3, &of_sdxl);
    let of_half = ["vectors 24 wide", "one of the two files that diffusers writes for SDXL, give both"];
    refused(&run(&place, &generate(&model, "a <thing>", &["-e", "half/learned_embeds.safetensors"])), 3, &of_half);
    // Kept ones, and what a new one starts from.
    succeeded(&run(&place, &["embeddings", "add", "mini.safetensors"]));
    let of_kept = ["learned for pseudoword's mini model (vectors 128 wide)", sdxl];
    refused(&run(&place, &generate(&model, "a <old>", &[])), 3, &of_kept);
    let train = place.train(&["--model", &model, "--init", "mini.safetensors", "--vectors", "2", "--dry-run"]);
    let train: Vec<&str> = train.iter().map(String::as_str).collect();
    refused(&run(&place, &train), 3, &[of_kept[0].strip_prefix("learned ").unwrap(), sdxl]);
}

#[test]
fn diffusers_two_files_are_one_embedding_however_they_are_given() {
    let place = with_words();
    let (first, second) = ("pair/learned_embeds.safetensors", "pair/learned_embeds_2.safetensors");
    for (file, to) in [(first, "a/learned_embeds.safetensors"), (second, "b/learned_embeds_2.safetensors")] {
        place.file(to, &fs::read(place.path(file)).unwrap());
    }
    let expected = pixels(&place, "a <thing>", &["-e", "thing.safetensors=<thing>"]);
    assert_ne!(expected, pixels(&place, "a apple", &[]));
    for given in [
        &["-e", "pair"][..],
        &["-e", first],
        &["-e", first, "-e", second],
        &["-e", second, "-e", first],
        &["-e", "b/learned_embeds_2.safetensors", "-e", "a/learned_embeds.safetensors"],
        &["-e", "replicate=<thing>"],
    ] {
        assert!(pixels(&place, "a <thing>", given) == expected, "{given:?}");
    }
    assert!(pixels(&place, "a TOK", &["-e", "replicate/embeddings.pti"]) == expected);
    // Not every second file belongs to a first.
    let other = Embedding::new("<other>", 40, vec![0.5; 80]);
    place.file("a/learned_embeds_2.safetensors", &write(&other, Layout::Safetensors).unwrap());
    let output = run(&place, &["inspect", "a", "--model", &tiny_sdxl()]);
    succeeded(&output);
    let said = text(&output.stdout);
    assert!(said.contains("\"learned_embeds_2.safetensors\" beside it is not used: only one of them has"), "{said}");
}

#[test]
fn an_embedding_for_sdxl_goes_through_every_format_and_is_kept() {
    let place = with_words();
    let whole = read_word(&place.path("thing.safetensors"));
    for (from, to, more, written) in [
        ("pair", "one.safetensors", &[][..], &["one.safetensors"][..]),
        ("one.safetensors", "embeddings.pti", &[], &["embeddings.pti", "special_params.json"]),
        (
            "embeddings.pti",
            "two.safetensors",
            &["--format", "diffusers-pair"],
            &["two.safetensors", "two_2.safetensors"],
        ),
        ("two.safetensors", "last.safetensors", &["--format", "kohya"], &["last.safetensors"]),
    ] {
        let output = run(&place, &[&["convert", from, to], more].concat());
        succeeded(&output);
        assert_eq!(text(&output.stdout).lines().collect::<Vec<_>>(), written);
    }
    let last = read_word(&place.path("last.safetensors"));
    assert_eq!((last.token.as_str(), &last.encoders), ("<thing>", &whole.encoders));
    let full = ["has vectors for both text encoders of SDXL", "reads safetensors"];
    refused(&run(&place, &["convert", "pair", "x.pt"]), 3, &full);
    refused(&run(&place, &["convert", "pair", "x.bin"]), 3, &full);
    fs::remove_file(place.path("two.safetensors")).unwrap();
    let again = ["convert", "pair", "two.safetensors", "--format", "diffusers-pair"];
    refused(&run(&place, &again), 2, &["two_2.safetensors exists already"]);
    assert!(!place.path("two.safetensors").exists());

    let output = run(&place, &["embeddings", "add", "pair", "--json"]);
    succeeded(&output);
    let kept = &events(&output.stdout)[0];
    assert_eq!((&kept["token"], &kept["widths"]), (&"<thing>".into(), &serde_json::json!([24, 40])));
    assert_eq!(text(&run(&place, &["embeddings", "list"]).stdout).split_whitespace().next(), Some("<thing>"));
    let by_name = pixels(&place, "a <thing>", &[]);
    assert!(by_name == pixels(&place, "a <thing>", &["-e", "pair"]));
}

#[test]
fn the_nearest_words_are_those_of_both_vocabularies() {
    let place = with_words();
    let output = run(&place, &["inspect", "pair", "--model", &tiny_sdxl()]);
    succeeded(&output);
    let said = text(&output.stdout);
    for part in
        ["2 for clip_l, 24 wide", "2 for clip_g, 40 wide", "diffusers' two files", "learned_embeds_2.safetensors"]
    {
        assert!(said.contains(part), "{part:?} is not in: {said}");
    }
    assert_eq!(said.matches("  nearest  ").count(), 2, "{said}");
    let output = run(&place, &["inspect", "thing.safetensors", "--model", &tiny_sdxl(), "--json"]);
    succeeded(&output);
    let about = &events(&output.stdout)[0];
    let nearest = |part: usize| about["parts"][part]["nearest"].as_array().map_or(0, Vec::len);
    assert_eq!((nearest(0), nearest(1)), (2, 2), "{about}");
    let output = run(&place, &["inspect", "thing.safetensors"]);
    succeeded(&output);
    assert!(text(&output.stdout).contains("unknown: its words are 128 wide in mini"), "{}", text(&output.stdout));
    let output = run(&place, &["models", "--model", &tiny_sdxl()]);
    assert!(text(&output.stdout).contains("24 and 40 wide"), "{}", text(&output.stdout));
}
