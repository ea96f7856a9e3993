//! Names of learned words, wherever they come from: one rule for finding them, and refusals that say what to type.

use std::fs;

use pseudoword::embedding::Embedding;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde_json::{Value, json};

use crate::place::{Place, events, fixtures, peach, refused, succeeded, text, tiny};

/// Width of the words of the tiny model.
const WIDTH: usize = 24;

fn rows(vectors: usize) -> Vec<f32> {
    (0..WIDTH * vectors).map(|i| ((i * 37 % 101) as f32 - 50.0) / 40.0).collect()
}

/// A file with a word for the tiny model.
fn word(place: &Place, file: &str, token: &str) {
    place.file(file, &Embedding::new(token, WIDTH, rows(1)).to_safetensors());
}

/// A copy of one of the tiny models.
fn model(place: &Place, of: &str, name: &str) {
    let from = fixtures().join(of);
    for folder in fs::read_dir(&from).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()) {
        for file in fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
            let place_of = file.strip_prefix(&from).unwrap().display().to_string();
            place.file(&format!("{name}/{place_of}"), &fs::read(&file).unwrap());
        }
    }
}

fn read(place: &Place, path: &str) -> Value {
    serde_json::from_str(&fs::read_to_string(place.path(path)).unwrap()).unwrap()
}

fn change(place: &Place, path: &str, with: impl FnOnce(&mut Value)) {
    let mut value = read(place, path);
    with(&mut value);
    place.file(path, value.to_string().as_bytes());
}

/// The tokenizer of a model as transformers 5 writes it, with more tokens.
fn write_today(place: &Place, model: &str, pad: &str, more: &[(u32, &str)]) {
    let tokenizer = format!("{model}/tokenizer");
    let merges = fs::read_to_string(place.path(&format!("{tokenizer}/merges.txt"))).unwrap();
    let merges = merges.lines().skip(1).filter(|line| !line.is_empty()).map(|line| line.split(' ').collect::<Vec<_>>());
    let vocabulary = read(place, &format!("{tokenizer}/vocab.json"));
    let token = |id: &Value, content: &str, special: bool| {
        json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": !special, "special": special})
    };
    let special = [pad, "<|startoftext|>", "<|endoftext|>"].map(|name| token(&vocabulary[name], name, true));
    let more = more.iter().map(|(id, name)| token(&(*id).into(), name, false));
    let added: Vec<Value> = special.into_iter().chain(more).collect();
    let whole = json!({"version": "1.0", "added_tokens": added,
        "model": {"type": "BPE", "vocab": vocabulary, "merges": merges.collect::<Vec<_>>()}});
    let config = json!({"backend": "tokenizers", "bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>",
        "unk_token": "<|endoftext|>", "pad_token": pad, "model_max_length": 77, "tokenizer_class": "CLIPTokenizer"});
    fs::remove_dir_all(place.path(&tokenizer)).unwrap();
    place.file(&format!("{tokenizer}/tokenizer.json"), whole.to_string().as_bytes());
    place.file(&format!("{tokenizer}/tokenizer_config.json"), config.to_string().as_bytes());
}

/// Puts rows behind the token table of a model, which then has `count` more.
fn add_rows(place: &Place, model: &str, vectors: usize) {
    const TABLE: &str = "text_model.embeddings.token_embedding.weight";
    let path = format!("{model}/text_encoder/model.safetensors");
    let bytes = fs::read(place.path(&path)).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let mut table = tensors.tensor(TABLE).unwrap().data().to_vec();
    table.extend(rows(vectors).into_iter().flat_map(f32::to_le_bytes));
    let longer = TensorView::new(Dtype::F32, vec![3035 + vectors, WIDTH], &table).unwrap();
    let all: Vec<(String, TensorView<'_>)> = tensors
        .iter()
        .map(|(name, view)| (name.to_owned(), if name == TABLE { longer.clone() } else { view }))
        .collect();
    place.file(&path, &safetensors::serialize(all, None).unwrap());
    change(place, &format!("{model}/text_encoder/config.json"), |config| {
        config["vocab_size"] = (3035 + vectors).into()
    });
}

/// The program with a shelf of its own.
fn run(place: &Place, arguments: &[&str]) -> std::process::Output {
    place.command(arguments).env("PSEUDOWORD_HOME", place.path("home")).env("HF_HUB_OFFLINE", "1").output().unwrap()
}

/// The pixels of a picture, and the warnings that came with it.
#[track_caller]
fn picture(place: &Place, prompt: &str, more: &[&str]) -> (Vec<u8>, Vec<Value>) {
    let quick = ["--steps", "2", "--width", "32", "--height", "32", "--json", "--overwrite"];
    let output = run(place, &[&["generate", prompt], &quick[..], more].concat());
    succeeded(&output);
    let pixels = image::open(place.path("out.png")).unwrap().into_rgb8().into_raw();
    let warnings = events(&output.stdout).into_iter().filter(|event| event["event"] == "warning").collect();
    (pixels, warnings)
}

fn pixels(place: &Place, prompt: &str, more: &[&str]) -> Vec<u8> {
    picture(place, prompt, more).0
}

/// The code and sentence of the only warning with a code.
#[track_caller]
fn warning<'a>(warnings: &'a [Value], code: &str) -> &'a str {
    let with: Vec<&Value> = warnings.iter().filter(|warning| warning["code"] == code).collect();
    let [one] = with[..] else { panic!("{warnings:?}") };
    one["text"].as_str().unwrap()
}

#[test]
fn models_saved_by_todays_programs_are_the_same_models() {
    let place = Place::new();
    for (of, pad) in [("tiny-sd1", "<|endoftext|>"), ("tiny-sd2", "!")] {
        model(&place, of, of);
        let before = pixels(&place, "a cat", &["--model", of]);
        write_today(&place, of, pad, &[]);
        assert!(pixels(&place, "a cat", &["--model", of]) == before, "{of}");
    }
    // Only the newer file says what pads.
    model(&place, "tiny-sd2", "pad");
    let before = pixels(&place, "a cat", &["--model", "pad"]);
    fs::remove_file(place.path("pad/tokenizer/special_tokens_map.json")).unwrap();
    assert!(pixels(&place, "a cat", &["--model", "pad"]) != before, "what pads is seen");
    change(&place, "pad/tokenizer/tokenizer_config.json", |config| config["pad_token"] = "!".into());
    assert!(pixels(&place, "a cat", &["--model", "pad"]) == before);
}

#[test]
fn words_inside_a_model_are_used_as_if_they_were_given() {
    let place = Place::new();
    let embedding = Embedding::new("<zubi>", WIDTH, rows(2));
    place.file("zubi.safetensors", &embedding.to_safetensors());
    model(&place, "tiny-sd1", "old");
    place.file("old/tokenizer/added_tokens.json", br#"{"<zubi>": 3035, "<zubi>_1": 3036}"#);
    add_rows(&place, "old", 2);
    model(&place, "tiny-sd1", "new");
    write_today(&place, "new", "<|endoftext|>", &[(3035, "<zubi>"), (3036, "<zubi>_1")]);
    add_rows(&place, "new", 2);
    let (prompt, base) = ("a <zubi> on a table", tiny());
    let given = pixels(&place, prompt, &["--model", &base, "-e", "zubi.safetensors"]);
    assert!(given != pixels(&place, prompt, &["--model", &base]));
    for inside in ["old", "new"] {
        assert!(pixels(&place, prompt, &["--model", inside]) == given, "{inside}");
        assert!(pixels(&place, "A <ZUBI> on a table", &["--model", inside]) == given, "{inside}, in capitals");
        let output = run(&place, &["models", "--model", inside]);
        succeeded(&output);
        assert!(text(&output.stdout).contains("words inside  \"<zubi>\" (2 vectors)"), "{}", text(&output.stdout));
    }
    // The same name a second time: given, learned, kept.
    let common = ["--model", "old", "--device", "cpu"];
    let output = run(&place, &[&["generate", prompt, "-e", "zubi.safetensors"], &common[..]].concat());
    refused(&output, 2, &["the model has a word of this name inside", "-e 'zubi.safetensors=<my-zubi>'"]);
    let output = place.run_train(&["--model", "old", "--token", "<zubi>"]);
    refused(&output, 2, &["the model has a word of this name inside", "--token '<my-zubi>'"]);
    succeeded(&run(&place, &["embeddings", "add", "zubi.safetensors"]));
    let (kept, warnings) = picture(&place, prompt, &["--model", "old"]);
    assert!(kept == given);
    assert!(warning(&warnings, "kept-embedding").contains("-e '<zubi>=<my-zubi>'"), "{warnings:?}");
    let (_, warnings) = picture(&place, "a <zubi> and <my-zubi>", &["--model", "old", "-e", "<zubi>=<my-zubi>"]);
    assert!(warnings.is_empty(), "as it was advised: {warnings:?}");
    // It may be what another starts from.
    succeeded(&place.run_train(&["--model", "old", "--init", "<zubi>", "--vectors", "2", "--steps", "1"]));
}

#[test]
fn words_that_a_model_has_no_vectors_for_are_named() {
    let place = Place::new();
    model(&place, "tiny-sd1", "m");
    place.file("m/tokenizer/added_tokens.json", br#"{"<zubi>": 3035}"#);
    let (with, warnings) = picture(&place, "a <zubi>", &["--model", "m"]);
    assert!(warning(&warnings, "model-word").contains("\"<zubi>\", but no vectors for it"), "{warnings:?}");
    assert!(with == pixels(&place, "a <zubi>", &["--model", &tiny()]));
}

#[test]
fn a_name_is_one_name_in_every_spelling() {
    let place = Place::new();
    word(&place, "crepe.safetensors", "<cr\u{ea}pe>");
    word(&place, "rabbit.safetensors", "Soft Rabbit v2");
    let base = tiny();
    let with = |prompt: &str, file: &str| pixels(&place, prompt, &["--model", &base, "-e", file]);
    let crepe = with("a <cr\u{ea}pe> on a plate", "crepe.safetensors");
    assert!(with("a <cre\u{302}pe> on a plate", "crepe.safetensors") == crepe);
    assert!(with("a <CRE\u{302}PE> on a plate", "crepe.safetensors") == crepe);
    assert!(pixels(&place, "a <cr\u{ea}pe> on a plate", &["--model", &base]) != crepe);
    assert!(with("a <two words> on a plate", "crepe.safetensors=<two words>") == crepe);
    assert!(with("a soft  rabbit V2 on a plate", "rabbit.safetensors") == crepe);
    // Kept ones, too: found in prompts, shown and removed by any spelling, and not kept twice.
    succeeded(&run(&place, &["embeddings", "add", "crepe.safetensors"]));
    assert!(pixels(&place, "a <cre\u{302}pe> on a plate", &["--model", &base]) == crepe);
    word(&place, "apart.safetensors", "<cre\u{302}pe>");
    refused(&run(&place, &["embeddings", "add", "apart.safetensors"]), 2, &["another embedding", "-2>'"]);
    succeeded(&run(&place, &["embeddings", "show", "<cre\u{302}pe>"]));
    succeeded(&run(&place, &["embeddings", "show", "<CR\u{ca}PE>"]));
    refused(&run(&place, &["embeddings", "remove", "<CR\u{ca}PE>"]), 2, &["there are: <cr\u{ea}pe>"]);
    succeeded(&run(&place, &["embeddings", "remove", "<cre\u{302}pe>"]));
}

#[test]
fn kept_names_that_differ_in_case_are_one_name() {
    let place = Place::new();
    let base = tiny();
    word(&place, "Cat.safetensors", "<Cat>");
    place.file("cat2.safetensors", &Embedding::new("<cat>", WIDTH, vec![0.5; WIDTH]).to_safetensors());
    succeeded(&run(&place, &["embeddings", "add", "Cat.safetensors"]));
    let says = ["another embedding of that name, <Cat>", "--overwrite", "<cat-2>'"];
    refused(&run(&place, &["embeddings", "add", "cat2.safetensors"]), 2, &says);
    let one = pixels(&place, "a <CAT>", &["--model", &base]);
    // As earlier versions kept them.
    place.file("home/words/%3Ccat%3E.safetensors", &fs::read(place.path("cat2.safetensors")).unwrap());
    let (both, warnings) = picture(&place, "a <CAT>", &["--model", &base]);
    assert!(both == one, "the first in order");
    let said = warning(&warnings, "kept-embedding");
    assert!(said.starts_with("<Cat> and <cat> are one name in prompts") && said.contains("remove '<cat>'"), "{said}");
    let (other, warnings) = picture(&place, "a <cat>", &["--model", &base]);
    assert!(other != one, "as it is spelled");
    assert!(warning(&warnings, "kept-embedding").contains("<cat> is used"));
    let shown = run(&place, &["embeddings", "show", "<CAT>"]);
    assert!(text(&shown.stdout).contains("<Cat>"), "{}", text(&shown.stdout));
    // The same file twice.
    let twice = ["generate", "a <Cat>", "--model", &base, "-e", "Cat.safetensors", "-e", "Cat.safetensors"];
    refused(&run(&place, &twice), 2, &["given twice", "leave one out"]);
}

#[test]
fn captions_have_the_word_as_prompts_do() {
    let place = Place::new();
    let captioned = |caption: &str| {
        for entry in fs::read_dir(peach()).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.extension().is_some_and(|extension| extension == "png") {
                let name = format!("captioned/{}", entry.file_name().unwrap().display());
                place.file(&name, &fs::read(&entry).unwrap());
                place.file(&name.replace(".png", ".txt"), caption.as_bytes());
            }
        }
        place.path("captioned").display().to_string()
    };
    let train = |caption: &str, token: &str| {
        let pictures = captioned(caption);
        let arguments = place.train(&["--token", token, "--captions", "on", "--overwrite", "--steps", "1"]);
        let mut arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        arguments[1] = &pictures;
        run(&place, &arguments)
    };
    succeeded(&train("a grommel beside two grommels", "grommel"));
    succeeded(&train("a <ZUBI> on a hill", "<zubi>"));
    succeeded(&train("a <cre\u{302}pe> on a plate", "<cr\u{ea}pe>"));
    succeeded(&train("a <zubi> beside a <Zubi>, and {}", "<zubi>"));
    succeeded(&train("one moon\nRabbit here", "Moon Rabbit"));
    refused(
        &train("a grommelish toy on a hill", "grommel"),
        3,
        &[
            "captioned/3d.txt",
            "\"a grommelish toy on a hill\" does not have grommel as a word of its own",
            "--captions off",
        ],
    );
}

/// What to type instead is in the message, and works.
#[test]
fn a_refusal_of_a_name_says_what_to_type() {
    let place = Place::new();
    let model = tiny();
    word(&place, "words/photo.safetensors", "photo");
    place.file("it's.safetensors", &Embedding::new("<fine>", WIDTH, rows(2)).to_safetensors());
    let generate = |given: &str| {
        let more = ["--model", &model, "--steps", "1", "--width", "32", "--height", "32", "--overwrite", "-e", given];
        run(&place, &[&["generate", "a photo"][..], &more].concat())
    };
    for (given, typed, works) in [
        ("words/photo.safetensors", "-e 'words/photo.safetensors=<my-photo>'", "words/photo.safetensors=<my-photo>"),
        ("it's.safetensors=*", r"-e 'it'\''s.safetensors=<my-word>'", "it's.safetensors=<my-word>"),
        ("it's.safetensors=a\nb", r"-e 'it'\''s.safetensors=<my-a-b>'", "it's.safetensors=<my-a-b>"),
        ("words/photo.safetensors= ", "-e 'words/photo.safetensors=<my-word>'", "words/photo.safetensors=<my-word>"),
    ] {
        refused(&generate(given), 2, &[typed]);
        succeeded(&generate(works));
    }
    let add = |source: &str| run(&place, &["embeddings", "add", source]);
    let typed = "pseudoword embeddings add 'words/photo.safetensors=<my-photo>'";
    refused(&add("words/photo.safetensors"), 2, &["the model's vocabulary has this word", typed]);
    succeeded(&add("words/photo.safetensors=<my-photo>"));
    refused(&add("it's.safetensors=<my-photo>"), 2, &["another embedding", r"'it'\''s.safetensors=<my-photo-2>'"]);
    for (token, typed) in
        [("photo", "--token '<my-photo>'"), ("*", "--token '<my-word>'"), ("a\tb", "--token '<my-a-b>'")]
    {
        refused(&place.run_train(&["--token", token]), 2, &[typed]);
    }
    succeeded(&place.run_train(&["--token", "my word", "--steps", "1"]));
}
