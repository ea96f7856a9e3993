//! Embeddings for SDXL's two text encoders: used, refused, converted and kept.

use std::fs;
use std::path::Path;

use pseudoword::embedding::{Embedding, Layout, write};
use serde_json::json;

use crate::models::{change, edit};
use crate::place::{Place, events, fixtures, peach, read_word, refused, succeeded, text};

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

/// A copy of the tiny model.
fn copied(place: &Place, name: &str) -> String {
    fn copy(from: &Path, to: &Path) {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
            let (path, to) = (entry.path(), to.join(entry.file_name()));
            if path.is_dir() { copy(&path, &to) } else { fs::copy(&path, &to).map(drop).unwrap() }
        }
    }
    copy(&fixtures().join("tiny-sdxl"), &place.path(name));
    name.to_owned()
}

/// A short run on the tiny model.
fn train<'a>(model: &'a str, pictures: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let short = ["--steps", "1", "--batch-size", "1", "--eval-size", "2", "--preview-every", "0", "--resolution", "16"];
    [&["train", pictures, "--token", "<p>", "--model", model, "--out", "run"], &short[..], more].concat()
}

#[test]
fn a_dry_run_has_the_learning_rate_of_two_encoders() {
    let (place, model, pictures) = (Place::new(), tiny_sdxl(), peach());
    for (recipe, rate) in [("adamw", "0.001"), ("direction", "0.04")] {
        let output = run(&place, &train(&model, &pictures, &["--init", "apple", "--recipe", recipe, "--dry-run"]));
        succeeded(&output);
        assert!(text(&output.stdout).contains(&format!("learning rate {rate}\n")), "{}", text(&output.stdout));
    }
}

#[test]
fn a_start_may_be_in_two_files() {
    let (place, model, pictures) = (with_words(), tiny_sdxl(), peach());
    fs::create_dir_all(place.path("apple")).unwrap();
    for init in ["pair", "pair/learned_embeds.safetensors", "pair/learned_embeds_2.safetensors", "replicate", "apple"] {
        let output = run(&place, &train(&model, &pictures, &["--init", init, "--vectors", "2", "--overwrite"]));
        succeeded(&output);
        let learned = read_word(&place.path("run/learned_embeds.safetensors"));
        // What was learned in one step is hardly another direction.
        let start = read_word(&place.path("thing.safetensors"));
        let [a, b] = [&learned, &start].map(|word| word.encoders[1].rows.clone());
        let sum = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
        let cosine = sum(&a, &b) / (sum(&a, &a) * sum(&b, &b)).sqrt();
        // A folder that is called so is no embedding.
        assert_eq!(cosine > 0.9, init != "apple", "{init}: {cosine}");
    }
}

#[test]
fn models_that_do_not_fit_together_are_named() {
    let place = Place::new();
    let generate = |model: &str| run(&place, &generate(model, "a apple", &[]));
    let half = copied(&place, "half");
    fs::remove_dir_all(place.path("half/text_encoder_2")).unwrap();
    refused(&generate(&half), 3, &["the model has no second text encoder"]);
    let playground = copied(&place, "playground");
    edit(&place, "playground/vae/config.json", &json!({"latents_mean": [1.0], "latents_std": [1.0]}));
    refused(&generate(&playground), 3, &["no autoencoder of Stable Diffusion 1.x, 2.x or SDXL has them"]);
    let edm = json!({"_class_name": "EDMDPMSolverMultistepScheduler"});
    edit(&place, "playground/scheduler/scheduler_config.json", &edm);
    refused(&generate(&playground), 3, &["this is Playground v2.5"]);
    let broken = copied(&place, "broken");
    fs::write(place.path("broken/model_index.json"), "{").unwrap();
    refused(&generate(&broken), 3, &["model_index.json"]);
    fs::remove_file(place.path("broken/model_index.json")).unwrap();
    fs::remove_file(place.path("broken/tokenizer_2/merges.txt")).unwrap();
    for output in [generate(&broken), run(&place, &["models", "--model", &broken])] {
        assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
        assert!(text(&output.stderr).contains("tokenizer_2"), "{}", text(&output.stderr));
    }
    let wide = copied(&place, "wide");
    change(&place, "wide/unet/diffusion_pytorch_model.safetensors", |weights| {
        let (_, _, shape, bytes) =
            weights.iter_mut().find(|(name, ..)| name == "add_embedding.linear_1.weight").expect("a weight");
        let row = bytes.len() / shape[1];
        shape[1] -= 1;
        bytes.truncate(row * shape[1]);
    });
    let output = generate(&wide);
    refused(&output, 3, &["shape: add_embedding.linear_1.weight"]);
    assert!(!text(&output.stderr).contains("the configuration is not"), "{}", text(&output.stderr));
}

#[test]
fn an_offset_of_timesteps_is_the_models_own() {
    let place = Place::new();
    let mut pictures = Vec::new();
    for offset in [json!(1), json!(0), json!(null)] {
        let model = copied(&place, "model");
        edit(&place, "model/scheduler/scheduler_config.json", &json!({"steps_offset": offset}));
        succeeded(&run(&place, &generate(&model, "a apple", &["--sampler", "euler"])));
        pictures.push(fs::read(place.path("out.png")).unwrap());
    }
    assert!(pictures[0] != pictures[1] && pictures[1] == pictures[2]);
}

#[test]
fn a_picture_says_what_only_sdxl_is_told() {
    let place = Place::new();
    let said = |more: &[&str]| {
        succeeded(&run(&place, &generate(&tiny_sdxl(), "a apple", more)));
        let text = pseudoword::image::read_text(&fs::read(place.path("out.png")).unwrap()).unwrap();
        let of = |key: &str| text.iter().find(|(other, _)| other == key).map(|(_, value)| value.clone());
        (of("empty negative"), of("pooling"))
    };
    let some = |value: &str| Some(value.to_owned());
    assert_eq!(said(&[]), (some("zeros"), None));
    assert_eq!(said(&["--empty-negative", "encoded", "--pooling", "diffusers"]), (some("encoded"), some("diffusers")));
    assert_eq!(said(&["--negative-prompt", "a ball"]), (None, None));
    assert_eq!(said(&["--guidance", "1"]), (None, None));
}

#[test]
fn the_names_of_another_file_are_not_replaced() {
    let place = with_words();
    let convert = |from: &str, to: &str, more: &[&str]| run(&place, &[&["convert", from, to][..], more].concat());
    succeeded(&convert("thing.safetensors=<a>", "x/a.pti", &[]));
    let names = || fs::read_to_string(place.path("x/special_params.json")).unwrap();
    let before = names();
    for more in [&[][..], &["--overwrite"]] {
        let lost = ["says what is in x/a.pti", "write into another folder"];
        refused(&convert("thing.safetensors=<b>", "x/b.pti", more), 2, &lost);
        assert!(names() == before && !place.path("x/b.pti").exists());
    }
    // Its own are.
    refused(&convert("thing.safetensors=<c>", "x/a.pti", &[]), 2, &["a.pti exists already"]);
    succeeded(&convert("thing.safetensors=<c>", "x/a.pti", &["--overwrite"]));
    assert!(names().contains("<c>"));
    fs::remove_file(place.path("x/a.pti")).unwrap();
    refused(&convert("thing.safetensors=<b>", "x/b.pti", &[]), 2, &["special_params.json exists", "another folder"]);
}

#[test]
fn either_of_two_files_is_the_whole() {
    let place = with_words();
    let second = "pair/learned_embeds_2.safetensors";
    succeeded(&run(&place, &["convert", second, "whole.safetensors"]));
    assert_eq!(read_word(&place.path("whole.safetensors")).widths(), [24, 40]);
    succeeded(&run(&place, &["embeddings", "add", second]));
    let by_name = pixels(&place, "a <thing>", &[]);
    assert!(by_name == pixels(&place, "a <thing>", &["-e", second]));
    // One typed with a name, the other without or with another.
    let first = "pair/learned_embeds.safetensors";
    let named = format!("{first}=<k>");
    for given in [&["-e", &named, "-e", second][..], &["-e", second, "-e", &named]] {
        let output = run(&place, &generate(&tiny_sdxl(), "a <k>", given));
        succeeded(&output);
        assert!(!text(&output.stderr).contains("warning"), "{}", text(&output.stderr));
    }
    let output = run(&place, &["inspect", second, "replicate/embeddings.pti", "--model", &tiny_sdxl()]);
    succeeded(&output);
    let said = text(&output.stdout);
    for part in ["the first is pair/learned_embeds.safetensors", "Replicate in a safetensors file"] {
        assert!(said.contains(part), "{part:?} is not in: {said}");
    }
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
    // A second file alone says so, wherever it goes.
    for go in [
        &["inspect", "b/learned_embeds_2.safetensors"][..],
        &["convert", "b/learned_embeds_2.safetensors", "half.safetensors"],
    ] {
        let output = run(&place, go);
        succeeded(&output);
        let said = [&output.stdout, &output.stderr].map(|bytes| text(bytes)).concat();
        assert!(said.contains("the first, \"learned_embeds.safetensors\", is not beside it"), "{go:?}: {said}");
    }
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
    let said = text(&output.stdout);
    for part in ["24 and 40 wide", "gelu (the second)", "empty negative prompt: zeros", "spacing leading"] {
        assert!(said.contains(part), "{part:?} is not in: {said}");
    }
}
