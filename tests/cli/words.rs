//! Words of other programs: looked at, converted, kept and used.

use std::fs;

use pseudoword::embedding::{Embedding, Layout, write};

use crate::place::{Place, bits, events, read_word, refused, succeeded, text};

/// A word for the mini model, near to "apple".
fn word(token: &str) -> Embedding {
    let rows = (0..256).map(|i| ((i * 37 % 101) as f32 - 50.0) / 400.0).collect();
    let metadata = [("steps", "12"), ("base-model", "mini"), ("init", "apple")];
    let metadata = metadata.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    Embedding { metadata, ..Embedding::new(token, 128, rows) }
}

/// The program with a shelf of its own.
fn run(place: &Place, arguments: &[&str]) -> std::process::Output {
    place.command(arguments).env("PSEUDOWORD_HOME", place.path("home")).env("HF_HUB_OFFLINE", "1").output().unwrap()
}

#[test]
fn a_word_goes_through_every_format_bit_for_bit() {
    let place = Place::new();
    place.file("first.safetensors", &word("<fruit>").to_safetensors());
    for (from, to, more) in [
        ("first.safetensors", "second.bin", &[][..]),
        ("second.bin", "third.pt", &[]),
        ("third.pt", "fourth.safetensors", &["--format", "kohya"]),
        ("fourth.safetensors", "fifth.safetensors", &[]),
    ] {
        let output = run(&place, &[&["convert", from, to], more].concat());
        succeeded(&output);
        assert_eq!(text(&output.stdout), format!("{to}\n"));
    }
    let last = read_word(&place.path("fifth.safetensors"));
    assert_eq!((last.token.as_str(), bits(last.rows())), ("<fruit>", bits(word("").rows())));

    refused(&run(&place, &["convert", "first.safetensors", "second.bin"]), 2, &["second.bin exists already"]);
    refused(&run(&place, &["convert", "first.safetensors", "x.png"]), 2, &["x.png", ".safetensors", "a1111"]);
    let output = run(&place, &["convert", "first.safetensors=<berry>", "second.bin", "--overwrite"]);
    succeeded(&output);
    assert_eq!(read_word(&place.path("second.bin")).token, "<berry>");
}

#[test]
fn a_file_is_described() {
    let place = Place::new();
    place.file("fruit.pt", &write(&word("<fruit>"), Layout::A1111).unwrap());
    let output = run(&place, &["inspect", "fruit.pt"]);
    succeeded(&output);
    let said = text(&output.stdout);
    for part in ["<fruit>", "2, 128 wide (pseudoword's mini model)", "A1111", "lengths", "nearest", "SHA-256"] {
        assert!(said.contains(part), "{part:?} is not in: {said}");
    }
    let output = run(&place, &["inspect", "fruit.pt", "--json"]);
    succeeded(&output);
    let [about] = &events(&output.stdout)[..] else { panic!("{}", text(&output.stdout)) };
    assert_eq!((&about["token"], &about["parts"][0]["vectors"]), (&"<fruit>".into(), &2.into()));
    assert_eq!(about["parts"][0]["nearest"].as_array().unwrap().len(), 2);
    // The nearest of a vector of the model's own is that word itself.
    let model = pseudoword::mini::source();
    let [vocabulary] = &pollster::block_on(pseudoword::model::vocabularies(&model)).unwrap()[..] else { panic!("two") };
    let tokens = pollster::block_on(pseudoword::session::Session::open(
        std::rc::Rc::new(pseudoword::mini::source()),
        &pseudoword::gpu::cpu(),
        &mut |_| (),
    ))
    .unwrap();
    let id = tokens.tokenizer().encode("apple")[0];
    let row = tokens.model().text().model.token_embedding.row(id as usize);
    let (nearest, cosine) = vocabulary.nearest(&row, 1).remove(0);
    assert!(nearest == "apple" && (cosine - 1.0).abs() < 1e-6, "{nearest} {cosine}");
}

#[test]
fn files_given_by_mistake_are_named() {
    let place = Place::new();
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3819\n";
    place.file("pointer.bin", pointer.as_bytes());
    place.file("page.bin", b"<!DOCTYPE html><html><body>404</body></html>");
    place.file("paper.pt", b"%PDF-1.7\n");
    place.file("empty.pt", b"");
    let inspect = |file: &str| run(&place, &["inspect", file]);
    refused(&inspect("pointer.bin"), 3, &["pointer.bin", "LFS"]);
    refused(&inspect("page.bin"), 3, &["page.bin", "web page"]);
    refused(&inspect("paper.pt"), 3, &["paper.pt", "PDF"]);
    refused(&inspect("empty.pt"), 3, &["empty.pt", "empty"]);
    refused(&inspect("nowhere.pt"), 3, &["nowhere.pt", "no file"]);
    // No network in a test: the name is understood as a repository all the same.
    refused(&inspect("sd-concepts-library/cat-toy"), 6, &["sd-concepts-library/cat-toy", "network is off"]);
}

#[test]
fn kept_words_are_usable_by_name() {
    let place = Place::new();
    place.file("fruit.pt", &write(&word("<fruit>"), Layout::A1111).unwrap());
    let keep = |arguments: &[&str]| run(&place, &[&["embeddings"], arguments].concat());
    succeeded(&keep(&["list"]));
    succeeded(&keep(&["add", "fruit.pt"]));
    succeeded(&keep(&["add", "fruit.pt=<berry>"]));
    let output = keep(&["list"]);
    succeeded(&output);
    let lines: Vec<&str> = text(&output.stdout).lines().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(lines, ["<berry>", "<fruit>"]);
    let output = keep(&["show", "<berry>"]);
    succeeded(&output);
    assert!(text(&output.stdout).contains("token         <berry>"), "{}", text(&output.stdout));
    let output = run(&place, &["convert", "<berry>", "berry.bin"]);
    succeeded(&output);
    assert_eq!(read_word(&place.path("berry.bin")).token, "<berry>", "a kept word is what it is kept as");
    refused(&keep(&["show", "<nut>"]), 2, &["<nut>", "<berry>, <fruit>"]);
    refused(&keep(&["add", "fruit.pt=two\nlines"]), 2, &["control characters", "'fruit.pt=<my-two-lines>'"]);
    // Another word of the same name needs to be meant.
    place.file("other.safetensors", &Embedding::new("<fruit>", 128, vec![0.25; 128]).to_safetensors());
    refused(&keep(&["add", "other.safetensors"]), 2, &["<fruit>", "taken"]);

    let generate = |prompt: &str| run(&place, &["generate", prompt, "--steps", "1", "--json"]);
    let output = generate("a <berry> on a blue background");
    succeeded(&output);
    let picture = fs::read(place.path("out.png")).unwrap();
    let about = pseudoword::image::read_text(&picture).unwrap();
    let embeddings = &about.iter().find(|(key, _)| key == "embeddings").expect("which words were used").1;
    assert!(embeddings.starts_with("<berry> ") && !embeddings.contains("<fruit>"), "{embeddings}");

    let output = keep(&["remove", "<berry>"]);
    succeeded(&output);
    assert_eq!(text(&keep(&["list"]).stdout).lines().count(), 1);
    let removed = place.path("home/words/removed");
    assert_eq!(fs::read_dir(removed).unwrap().count(), 1, "nothing is lost");
}
