//! Embeddings for SDXL's two text encoders: in one file, in diffusers' two, and in Replicate's with the names beside it.

use std::path::Path;

use crate::golden::word;
use pseudoword::embedding::{
    Embedding, Format, Layout, Reading, Refusal, Vectors, join, named, read, write, write_files,
};

/// A file of the word that was learned on the tiny model, as `tests/fixtures` has it.
fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(crate::ROOT).join("tests/fixtures/words-sdxl").join(name)).unwrap()
}

fn reading(name: &str) -> Reading {
    read(&fixture(name), name).unwrap_or_else(|refusal| panic!("{name}: {refusal}"))
}

fn only(reading: Reading) -> Embedding {
    reading.choose(None).unwrap().into_embedding(None).unwrap()
}

/// One file of one tensor.
fn one(token: &str, vectors: usize, width: usize) -> Reading {
    let one = Embedding::new(token, width, vec![0.5; vectors * width]);
    read(&write(&one, Layout::Safetensors).unwrap(), "x.safetensors").unwrap()
}

#[test]
fn every_program_s_files_are_one_embedding() {
    let whole = only(reading("thing.safetensors"));
    assert_eq!((whole.vectors(), whole.widths()), (2, vec![24, 40]));
    let pair = join(reading("learned_embeds.safetensors"), &reading("learned_embeds_2.safetensors")).unwrap();
    assert_eq!(pair.embeddings()[0].format, Format::Pair);
    let pair = only(pair);
    assert_eq!((pair.token.as_str(), &pair.encoders), ("<thing>", &whole.encoders));
    let names = String::from_utf8(fixture("special_params.json")).unwrap();
    let pti = only(named(reading("embeddings.pti"), &names).unwrap());
    assert_eq!((pti.token.as_str(), &pti.encoders), ("TOK", &whole.encoders));
}

#[test]
fn what_is_not_a_pair_is_said() {
    for (first, second, says) in [
        (one("<a>", 2, 24), one("<b>", 2, 40), "only one of them has \"<a>\""),
        (one("<a>", 2, 24), one("<a>", 1, 40), "\"<a>\" has 2 vectors in one and 1 in the other"),
        (one("<a>", 2, 24), one("<a>", 2, 24), "their vectors are 24 and 24 wide"),
        (one("<a>", 2, 40), one("<a>", 2, 24), "their vectors are 40 and 24 wide"),
        (reading("thing.safetensors"), one("thing", 2, 40), "vectors for both text encoders"),
    ] {
        let refusal = join(first, &second).unwrap_err();
        assert!(matches!(refusal, Refusal::NotAPair { .. }) && refusal.to_string().contains(says), "{refusal}");
    }
}

#[test]
fn replicates_names_take_vectors_apart() {
    let pti = || reading("embeddings.pti");
    let whole = only(reading("thing.safetensors"));
    let row = |encoder: usize, k: usize| {
        let Vectors { width, rows, .. } = &whole.encoders[encoder];
        rows[k * width..(k + 1) * width].to_vec()
    };
    let Reading::Several(words) = named(pti(), "{\"TOK\": \"<s1>\", \"CAT\": \"<s0>\"}").unwrap() else {
        panic!("one")
    };
    let tokens: Vec<_> = words.iter().map(|word| word.token.as_deref()).collect();
    assert_eq!(tokens, [Some("CAT"), Some("TOK")]);
    assert_eq!((&words[0].encoders[0].rows, &words[1].encoders[1].rows), (&row(0, 0), &row(1, 1)));
    for (names, says) in [
        ("[1]", "not an object of texts"),
        ("{}", "0 names"),
        ("{\"TOK\": \"<s2>\"}", "not as many vectors"),
        ("{\"TOK\": \"\"}", "are not vectors"),
        ("{\"TOK\": \"<s0>x<s1>\"}", "are not vectors"),
        (&format!("{{\"TOK\": \"{}\"}}", "<s0>".repeat(76)), "are not vectors"),
    ] {
        let refusal = named(pti(), names).unwrap_err().to_string();
        assert!(refusal.contains(says) && refusal.contains("special_params.json"), "{refusal}");
    }
    // What no name has is said.
    let Reading::One(some) = named(pti(), "{\"TOK\": \"<s1>\"}").unwrap() else { panic!("several") };
    let notes: Vec<String> = some.notes.iter().map(ToString::to_string).collect();
    assert_eq!(notes, ["special_params.json has no name for <s0> of the file, which are not used"]);
    // A name in the file counts.
    assert_eq!(named(one("<a>", 1, 24), "{\"TOK\": \"<s0>\"}").unwrap(), one("<a>", 1, 24));
}

#[test]
fn what_is_written_for_sdxl_is_read_back_bit_for_bit() {
    for (token, vectors) in [("<cat-toy>", 1), ("<cat-toy>", 75), ("a b", 2), ("\u{1f98a}", 3)] {
        let word = word(token, vectors);
        for layout in [Layout::Safetensors, Layout::Kohya, Layout::Replicate] {
            let name = format!("other.{}", layout.extension());
            assert_eq!(Embedding::read(&write(&word, layout).unwrap(), &name, None).unwrap(), word, "{layout:?}");
        }
        let files = write_files(&word, Layout::Pair, "learned_embeds.safetensors").unwrap();
        let [(first, l), (second, g)] = &files[..] else { panic!("{} files", files.len()) };
        assert_eq!((first.as_str(), second.as_str()), ("learned_embeds.safetensors", "learned_embeds_2.safetensors"));
        assert_eq!(only(join(read(l, first).unwrap(), &read(g, second).unwrap()).unwrap()), word);
        let files = write_files(&word, Layout::Replicate, "embeddings.pti").unwrap();
        let [_, (beside, names)] = &files[..] else { panic!("{} files", files.len()) };
        assert_eq!(beside, "special_params.json");
        let names = String::from_utf8(names.clone()).unwrap();
        let numbered: String = (0..vectors).map(|number| format!("<s{number}>")).collect();
        assert_eq!(names, serde_json::json!({ token: numbered }).to_string());
    }
}

#[test]
fn a_layout_without_room_for_both_encoders_says_so() {
    let (two, one) = (word("<t>", 1), Embedding::new("<t>", 768, vec![0.0; 768]));
    for layout in Layout::ALL {
        for (word, count) in [(&one, 1), (&two, 2)] {
            let written = write_files(word, layout, "x.bin");
            assert_eq!(written.is_ok(), layout.holds(count), "{layout:?}, {count}");
            let Err(refusal) = written else { continue };
            let says = if count == 1 { "this layout is for the two of SDXL" } else { "has room for those of one" };
            assert!(refusal.to_string().contains(says), "{refusal}");
        }
    }
    assert!(write(&two, Layout::Pair).unwrap_err().to_string().contains("two files"));
}
