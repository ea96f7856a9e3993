//! The tokenizer against transformers, and the rules for learned words.

use pseudoword::Error;
use pseudoword::parts::Part;
use pseudoword::source::Folder;
use pseudoword::text::ClipTokenizer;
use serde::Deserialize;

use crate::fixtures::{model_path, path};

fn tokenizer() -> ClipTokenizer {
    tokenizer_of("mini")
}

fn tokenizer_of(model: &str) -> ClipTokenizer {
    let source = Folder::new(model_path(model));
    pollster::block_on(ClipTokenizer::load(&source, Part::Tokenizer, 3035, 77)).expect("the tokenizer")
}

#[derive(Deserialize)]
struct Line {
    text: String,
    ids: Vec<u32>,
}

#[test]
fn thousands_of_prompts_equal_transformers() {
    assert_equal("mini", "prompts.jsonl", 2000);
}

#[test]
fn exclamation_marks_are_padding_in_sd_2() {
    assert_equal("tiny-sd2", "prompts-sd2.jsonl", 100);
}

fn assert_equal(model: &str, file: &str, least: usize) {
    let tokenizer = tokenizer_of(model);
    let text = std::fs::read_to_string(path(file)).expect("the prompts");
    let lines: Vec<Line> = text.lines().map(|line| serde_json::from_str(line).expect("a prompt")).collect();
    assert!(lines.len() >= least, "only {} prompts", lines.len());
    let wrong: Vec<_> = lines
        .iter()
        .filter(|line| {
            let mut ids = vec![tokenizer.start()];
            ids.extend(tokenizer.encode(&line.text));
            ids.push(tokenizer.end());
            ids != line.ids
        })
        .map(|line| &line.text)
        .collect();
    assert!(wrong.is_empty(), "{} of {} differ: {:?}", wrong.len(), lines.len(), &wrong[..wrong.len().min(5)]);
}

/// The ids between start and padding.
fn inner(tokenizer: &ClipTokenizer, text: &str) -> Vec<u32> {
    let prompt = tokenizer.prompt(text);
    assert_eq!(prompt.ids.len(), 77);
    assert_eq!(prompt.ids[0], tokenizer.start());
    let end = prompt.ids.iter().skip(1).position(|id| *id == tokenizer.end()).expect("an end");
    prompt.ids[1..=end].to_vec()
}

#[test]
fn words_are_found_wherever_they_stand_and_only_there() {
    let mut tokenizer = tokenizer();
    tokenizer.add_word("<cat>", 3).expect("free");
    tokenizer.add_word("midj", 1).expect("free");
    tokenizer.add_word("<cat>-2", 1).expect("free");
    let (cat, midj, second) = ([3035, 3036, 3037], 3038, 3039);
    let has = |text: &str| inner(&tokenizer, text).into_iter().filter(|id| *id >= 3035).collect::<Vec<_>>();
    assert_eq!(has("<cat> <cat>"), [cat, cat].concat());
    assert_eq!(has("a photo of (<cat>), at dawn"), cat);
    assert_eq!(has("a<cat>b"), cat, "brackets end a word by themselves");
    assert_eq!(has("A <CAT>"), cat, "prompts have no case");
    assert_eq!(has("midj"), [midj]);
    assert_eq!(has("Midj, midj."), [midj, midj]);
    assert!(has("midjourney").is_empty(), "a word inside another word is not a match");
    assert!(has("xmidj").is_empty());
    assert_eq!(has("<cat>-2"), [second], "the longest word wins");
    assert_eq!(inner(&tokenizer, "a <cat> sits")[1..4], cat);
    let (a, sits) = (inner(&tokenizer, "a"), inner(&tokenizer, "sits"));
    assert_eq!(inner(&tokenizer, "a <cat> sits"), [a, cat.to_vec(), sits].concat());
    assert_eq!(tokenizer.prompt("<cat> and midj and <cat>").words, ["<cat>", "midj"]);
}

#[test]
fn a_long_prompt_says_what_fell_off_and_cuts_no_word() {
    let mut tokenizer = tokenizer();
    tokenizer.add_word("<w>", 4).expect("free");
    let long = format!("{}the end", "apple ".repeat(75));
    let prompt = tokenizer.prompt(&long);
    assert_eq!(prompt.fallen.as_deref(), Some("the end"));
    assert_eq!(prompt.ids[76], tokenizer.end());
    // 73 tokens leave room for two ids: not for a word of four, so it goes as a whole.
    let prompt = tokenizer.prompt(&format!("{}<w> apple", "apple ".repeat(73)));
    assert_eq!(prompt.fallen.as_deref(), Some("<w> apple"));
    assert!(prompt.ids.iter().all(|id| *id < 3035) && prompt.words.is_empty());
    let prompt = tokenizer.prompt(&format!("{}<w>", "apple ".repeat(71)));
    assert_eq!((prompt.fallen, prompt.ids.iter().filter(|id| **id >= 3035).count()), (None, 4));
}

#[test]
fn names_that_cannot_be_are_refused() {
    let mut tokenizer = tokenizer();
    for token in ["cat", "Cat", "<|endoftext|>", "<|startoftext|>", "!"] {
        assert!(matches!(tokenizer.add_word(token, 1), Err(Error::TokenTaken { .. })), "{token}");
    }
    for token in ["", "two words", "tab\t", &"x".repeat(65)] {
        assert!(matches!(tokenizer.add_word(token, 1), Err(Error::BadToken { .. })), "{token:?}");
    }
    assert!(tokenizer.add_word("<zero>", 0).is_err() && tokenizer.add_word("<many>", 76).is_err());
    tokenizer.add_word("<Mine>", 1).expect("free");
    assert!(matches!(tokenizer.add_word("<mine>", 1), Err(Error::TokenTaken { .. })), "differs only in case");
}
