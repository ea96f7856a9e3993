//! Bad input: one clear message each, before the long work starts.

use std::fs;
use std::path::Path;

use crate::place::{Place, events, refused, succeeded, text, tiny};

#[test]
fn bad_pictures_are_named_before_anything_else_happens() {
    let place = Place::new();
    fs::create_dir(place.path("empty")).unwrap();
    let cut = place.file("cut.jpg", b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0\xff\xc0\0\x11\x08\0");
    let sent = place.file("sent.png", b"\x89PNG\n\x1a\n\0\0\0\rIHDR");
    fs::create_dir(place.path("phone")).unwrap();
    place.file("phone/IMG_0001.HEIC", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic");
    let lie = place.file("lie.png", b"I am not a picture.\n");
    // 144 megapixels in sixty bytes: the header is believed as far as it is refused.
    let mut bomb = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\x2e\xe0\0\0\x2e\xe0\x08\x02\0\0\0\0\0\0\0".to_vec();
    bomb.extend(b"\0\0\0\0IEND\xae\x42\x60\x82");
    let bomb = place.file("bomb.png", &bomb);
    let train = |pictures: &str| place.run(&["train", pictures, "--token", "<p>", "--out", "run"]);

    refused(&train("empty"), 3, &["no pictures in empty", "PNG, JPEG or WebP"]);
    refused(&train("nowhere"), 7, &["cannot read nowhere"]);
    refused(&train(&lie), 3, &["lie.png", "text file"]);
    refused(&train(&cut), 3, &["cut.jpg", "cut off"]);
    refused(&train(&sent), 3, &["sent.png", "damaged", "a PNG that was sent as text"]);
    refused(&train("phone"), 3, &["no pictures in phone", "IMG_0001.HEIC", "this is a HEIC photo; export it as JPEG"]);
    refused(&train(&bomb), 3, &["bomb.png", "12000x12000", "100 megapixels"]);
    let none = place.run(&["train", "--token", "<p>"]);
    assert_eq!(none.status.code(), Some(2));
    assert!(text(&none.stderr).contains("<PICTURES>"), "{}", text(&none.stderr));
    assert!(!place.path("run").exists());
}

#[test]
fn bad_words_and_numbers_are_refused_with_advice() {
    let place = Place::new();
    let train = |more: &[&str]| place.run_train(more);
    refused(&train(&["--token", "cat"]), 2, &["\"cat\" is taken", "<my-cat>"]);
    refused(&train(&["--token", "<|endoftext|>"]), 2, &["endoftext", "is taken"]);
    refused(&train(&["--token", "two\nlines"]), 2, &["control characters", "--token '<my-two-lines>'"]);
    refused(&train(&["--token", ""]), 2, &["empty"]);
    refused(&train(&["--init", "red apple", "--vectors", "1"]), 2, &["red + apple", "2 tokens", "--vectors 2"]);
    refused(&train(&["--vectors", "0"]), 2, &["--vectors 0", "at least 1"]);
    refused(&train(&["--steps", "0"]), 2, &["--steps 0", "at least 1"]);
    refused(&train(&["--lr", "NaN"]), 2, &["--lr NaN", "above 0"]);
    refused(&train(&["--lr", "-1"]), 2, &["--lr -1", "above 0"]);
    refused(&train(&["--resolution", "51"]), 2, &["--resolution 51", "multiple of"]);
    refused(&train(&["--init", "nowhere.safetensors"]), 7, &["nowhere.safetensors"]);
    assert!(!place.path("run").exists());
}

#[test]
fn bad_models_and_folders_are_refused_before_the_work() {
    let place = Place::new();
    for part in ["text_encoder", "tokenizer", "vae", "scheduler"] {
        for entry in fs::read_dir(Path::new(&tiny()).join(part)).unwrap().map(Result::unwrap) {
            let name = format!("model/{part}/{}", entry.file_name().display());
            place.file(&name, &fs::read(entry.path()).unwrap());
        }
    }
    refused(&place.run_train(&["--model", "model"]), 3, &["model has no U-Net", "unet/config.json"]);
    refused(&place.run_train(&["--model", "nowhere"]), 3, &["no file or folder", "nowhere", "owner/name"]);
    let file = place.file("file", b"");
    refused(&place.run_train(&["--out", &format!("{file}/run")]), 7, &["cannot write", "not a folder"]);
    refused(&place.run_train(&["--record", &format!("{file}/choices")]), 7, &["cannot write", "not a folder"]);
    refused(&place.run_train(&["--embedding", &file]), 3, &["file", "empty"]);
    assert!(!place.path("run").exists());
    refused(&place.run(&["generate", "a cat", "--out", &format!("{file}/out.png")]), 7, &["cannot write"]);
    refused(&place.run(&["generate", "a cat", "--out", "cat.jpg"]), 2, &["cat.jpg", "PNG"]);
    refused(&place.run(&["generate", "a cat", "--steps", "0"]), 2, &["--steps 0", "at least 1"]);
    refused(&place.run(&["generate", "a cat", "--compare"]), 2, &["--compare", "--embedding"]);
}

#[test]
fn errors_are_json_too_where_json_was_asked_for() {
    let place = Place::new();
    for (arguments, code, part) in [
        (place.train(&["--json", "--steps", "0"]), 2, "--steps 0"),
        (vec!["train".into(), "--json".into(), "--token".into(), "<p>".into()], 2, "<PICTURES>"),
        (vec!["models".into(), "--json".into(), "--model".into(), "nowhere".into()], 3, "nowhere"),
    ] {
        let output = place.run(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
        let last = events(&output.stdout).pop().unwrap();
        assert_eq!((output.status.code(), last["event"].as_str()), (Some(code), Some("error")), "{last}");
        assert_eq!(last["code"], code);
        assert!(last["message"].as_str().unwrap().contains(part), "{last}");
        assert_eq!(text(&output.stderr).matches("error: ").count(), 1);
    }
}

#[test]
fn what_an_earlier_run_learned_is_not_overwritten_unasked() {
    let place = Place::new();
    succeeded(&place.run_train(&[]));
    let before = fs::read(place.path("run/learned_embeds.safetensors")).unwrap();
    refused(&place.run_train(&["--seed", "1"]), 2, &["--seed was 0, it is 1", "--out", "--overwrite"]);
    // Without a state to go on from there is only the word, as of a program that keeps none.
    for name in ["state", "state.prev"] {
        fs::remove_file(place.path("run").join(name)).ok();
    }
    refused(&place.run_train(&[]), 2, &["learned_embeds.safetensors exists already", "--out", "--overwrite"]);
    assert_eq!(fs::read(place.path("run/learned_embeds.safetensors")).unwrap(), before);
    succeeded(&place.run_train(&["--seed", "1", "--overwrite"]));
    assert_ne!(fs::read(place.path("run/learned_embeds.safetensors")).unwrap(), before);
    let left: Vec<_> = fs::read_dir(place.path("run")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().contains("tmp")), "{left:?}");
}
