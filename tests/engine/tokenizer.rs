//! The tokenizer against transformers, and the rules for learned words.

use std::rc::Rc;

use pseudoword::Error;
use pseudoword::checkpoint::Options;
use pseudoword::parts::Part;
use pseudoword::source::{Folder, Memory};
use pseudoword::text::ClipTokenizer;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::checkpoints::single;
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
    assert_eq!(prompt.first().ids.len(), 77);
    assert_eq!(prompt.first().ids[0], tokenizer.start());
    let end = prompt.first().ids.iter().skip(1).position(|id| *id == tokenizer.end()).expect("an end");
    prompt.first().ids[1..=end].to_vec()
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
    assert_eq!(prompt.first().ids[76], tokenizer.end());
    // 73 tokens leave room for two ids: not for a word of four, so it goes as a whole.
    let prompt = tokenizer.prompt(&format!("{}<w> apple", "apple ".repeat(73)));
    assert_eq!(prompt.fallen.as_deref(), Some("<w> apple"));
    assert!(prompt.first().ids.iter().all(|id| *id < 3035) && prompt.words.is_empty());
    let prompt = tokenizer.prompt(&format!("{}<w>", "apple ".repeat(71)));
    assert_eq!((&prompt.fallen, prompt.first().ids.iter().filter(|id| **id >= 3035).count()), (&None, 4));
}

#[test]
fn names_that_cannot_be_are_refused() {
    let mut tokenizer = tokenizer();
    for token in ["cat", "Cat", "<|endoftext|>", "<|startoftext|>", "!"] {
        assert!(matches!(tokenizer.add_word(token, 1), Err(Error::TokenTaken { .. })), "{token}");
    }
    for token in ["", " ", "two\nlines", "tab\t", "\u{1b}[2J", &"x".repeat(65)] {
        assert!(matches!(tokenizer.add_word(token, 1), Err(Error::BadToken { .. })), "{token:?}");
    }
    assert!(tokenizer.add_word("<zero>", 0).is_err() && tokenizer.add_word("<many>", 76).is_err());
    tokenizer.add_word("<Mine>", 1).expect("free");
    assert!(matches!(tokenizer.add_word("<mine>", 1), Err(Error::TokenTaken { .. })), "differs only in case");
}

/// Files of a tokenizer made from those of a fixture.
struct Forms {
    vocabulary: Value,
    merges: Vec<String>,
}

/// A file's name and content.
type Form = (&'static str, Value);

const SPECIAL: [(u32, &str); 2] = [(3033, "<|startoftext|>"), (3034, "<|endoftext|>")];

/// Tokens as `tokenizer.json` and `added_tokens_decoder` describe them.
fn described(id: u32, content: &str, special: bool) -> Value {
    json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
        "normalized": !special, "special": special})
}

impl Forms {
    fn read() -> Self {
        let read = |name: &str| std::fs::read_to_string(model_path("tiny-sd1").join("tokenizer").join(name)).unwrap();
        let merges = read("merges.txt").lines().skip(1).filter(|line| !line.is_empty()).map(str::to_owned).collect();
        Self { vocabulary: serde_json::from_str(&read("vocab.json")).unwrap(), merges }
    }

    /// `vocab.json` and `merges.txt`.
    fn pair(&self) -> Vec<Form> {
        let merges = format!("#version: 0.2\n{}\n", self.merges.join("\n"));
        vec![("vocab.json", self.vocabulary.clone()), ("merges.txt", merges.into())]
    }

    /// `tokenizer.json` with more tokens than start and end, and with merges as programs wrote them before and write
    /// them now.
    fn whole(&self, more: &[Value], as_strings: bool) -> Form {
        let merges: Value = match as_strings.then_some(()) {
            Some(()) => self.merges.clone().into(),
            None => self.merges.iter().map(|merge| merge.split(' ').collect::<Vec<_>>()).collect::<Vec<_>>().into(),
        };
        let added: Vec<Value> =
            SPECIAL.iter().map(|(id, token)| described(*id, token, true)).chain(more.iter().cloned()).collect();
        let model = json!({"type": "BPE", "vocab": self.vocabulary, "merges": merges, "end_of_word_suffix": "</w>"});
        ("tokenizer.json", json!({"version": "1.0", "added_tokens": added, "normalizer": null, "model": model}))
    }
}

/// The tokenizer of these files, with a text encoder of `rows` rows.
fn loaded(files: &[Form], rows: usize) -> Result<ClipTokenizer, Error> {
    let mut memory = Memory::new("m");
    for (name, content) in files {
        let text = content.as_str().map_or_else(|| content.to_string(), str::to_owned);
        memory.insert(format!("tokenizer/{name}"), text.into_bytes());
    }
    pollster::block_on(ClipTokenizer::load(&memory, Part::Tokenizer, rows, 77))
}

#[test]
fn a_tokenizer_is_read_in_every_form_that_programs_write() {
    let forms = Forms::read();
    let cut = Forms { vocabulary: forms.vocabulary.clone(), merges: forms.merges[..400].to_vec() };
    let (pairs, strings) = (forms.whole(&[], false), forms.whole(&[], true));
    let both = [cut.pair(), vec![pairs.clone()]].concat();
    let texts: Vec<Line> = std::fs::read_to_string(path("prompts.jsonl"))
        .unwrap()
        .lines()
        .step_by(10)
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let expected = loaded(&forms.pair(), 3035).unwrap();
    // What transformers would read counts where there is more than one vocabulary.
    for (name, files) in [("pairs", vec![pairs]), ("strings", vec![strings]), ("both", both)] {
        let tokenizer = loaded(&files, 3035).unwrap();
        for Line { text, .. } in &texts {
            assert_eq!(tokenizer.prompt(text), expected.prompt(text), "{name}: {text:?}");
        }
    }
    let other = loaded(&cut.pair(), 3035).unwrap();
    assert!(texts.iter().any(|line| other.prompt(&line.text) != expected.prompt(&line.text)));
}

#[test]
fn what_is_not_a_tokenizer_is_named_with_its_file() {
    let forms = Forms::read();
    let refused = |files: &[Form]| loaded(files, 3035).err().unwrap().to_string();
    let none = refused(&forms.pair()[..1]);
    assert!(
        none.contains("expected tokenizer/tokenizer.json, or tokenizer/vocab.json and tokenizer/merges.txt"),
        "{none}"
    );
    let other = refused(&[("tokenizer.json", json!({"model": {"type": "Unigram", "vocab": [["a", 0.5]]}}))]);
    assert!(other.contains("m/tokenizer/tokenizer.json") && other.contains("not CLIP's"), "{other}");
    let cut = refused(&[("tokenizer.json", "{\"model\": {".into())]);
    assert!(cut.contains("m/tokenizer/tokenizer.json: EOF"), "{cut}");
    let config = ("tokenizer_config.json", json!({"pad_token": {"lstrip": false}}));
    let bad = refused(&[forms.pair(), vec![config]].concat());
    assert!(bad.contains("m/tokenizer/tokenizer_config.json") && bad.contains("content"), "{bad}");
    let beyond = refused(&[forms.pair(), vec![("tokenizer_config.json", json!({"pad_token": "[PAD]"}))]].concat());
    assert!(beyond.contains("[PAD] has id 3035, but the text encoder knows only 3035 ids"), "{beyond}");
}

/// Each case is as transformers 5.23 takes it.
#[test]
fn the_file_that_counts_says_what_begins_ends_and_pads() {
    let forms = Forms::read();
    let map = |pad: Value| ("special_tokens_map.json", json!({"pad_token": pad}));
    let config = |pad: Value| ("tokenizer_config.json", json!({"pad_token": pad, "model_max_length": 77}));
    let object = |content: &str| json!({"__type": "AddedToken", "content": content, "normalized": true});
    let decoder: serde_json::Map<_, _> =
        SPECIAL.iter().map(|(id, token)| (id.to_string(), described(*id, token, true))).collect();
    let decoded = ("tokenizer_config.json", json!({"pad_token": "<|endoftext|>", "added_tokens_decoder": decoder}));
    let pads = |files: &[Form]| {
        *loaded(&[forms.pair(), files.to_vec()].concat(), 3035).unwrap().prompt("a").first().ids.last().unwrap()
    };
    let (mark, end) = (0, 3034);
    for (files, expected) in [
        (vec![], end),
        (vec![config("!".into())], mark),
        (vec![config(object("!"))], mark),
        (vec![config(Value::Null)], end),
        (vec![map("!".into())], mark),
        (vec![map(json!({"content": "!", "normalized": false}))], mark),
        // The older file, as long as the newer has no `added_tokens_decoder`.
        (vec![config("<|endoftext|>".into()), map("!".into())], mark),
        (vec![config("!".into()), map("<|endoftext|>".into())], end),
        (vec![decoded, map("!".into())], end),
    ] {
        assert_eq!(pads(&files), expected, "{files:?}");
    }
    let roles = json!({"bos_token": "<|endoftext|>", "eos_token": "<|startoftext|>", "pad_token": "!"});
    let turned = loaded(&[forms.pair(), vec![("tokenizer_config.json", roles)]].concat(), 3035).unwrap();
    assert_eq!(
        (turned.start(), turned.end(), turned.prompt("").first().ids[..3].to_vec()),
        (3034, 3033, vec![3034, 3033, 0])
    );
    let short = json!({"model_max_length": 20, "padding_side": "left", "pad_token": "!"});
    let short = loaded(&[forms.pair(), vec![("tokenizer_config.json", short)]].concat(), 3035).unwrap();
    assert_eq!(short.prompt("a").first().ids, [&[0; 17][..], &[3033, 320, 3034]].concat());
}

#[test]
fn a_base_may_have_its_tokenizer_in_any_form() {
    let forms = Forms::read();
    let mut base = Memory::new("base");
    for config in ["text_encoder/config.json", "unet/config.json", "vae/config.json", "scheduler/scheduler_config.json"]
    {
        base.insert(config, std::fs::read(model_path("tiny-sd1").join(config)).unwrap());
    }
    let (name, whole) = forms.whole(&[], false);
    base.insert(format!("tokenizer/{name}"), whole.to_string().into_bytes());
    base.insert("tokenizer/tokenizer_config.json", br#"{"pad_token": "!"}"#.to_vec());
    let options = Options { base: Some(Rc::new(base)), prediction: None };
    let file = single("tiny-sd1", &options).unwrap();
    let tokenizer = pollster::block_on(ClipTokenizer::load(&file, Part::Tokenizer, 3035, 77)).unwrap();
    assert_eq!(tokenizer.prompt("a").first().ids[..4], [3033, 320, 3034, 0]);
}

/// The words that a tokenizer has inside.
fn inside(tokenizer: &ClipTokenizer) -> Vec<(String, usize)> {
    tokenizer.own_words().map(|(token, vectors)| (token.to_owned(), vectors)).collect()
}

#[test]
fn words_inside_a_model_are_words_like_others() {
    let forms = Forms::read();
    let words = [(3035, "<zubi>"), (3036, "<zubi>_1"), (3037, "cr\u{ea}pe"), (3038, "<two words>")];
    let many: Vec<Value> = words.iter().map(|(id, token)| described(*id, token, false)).collect();
    let list: serde_json::Map<_, _> = words.iter().map(|(id, token)| ((*token).to_owned(), (*id).into())).collect();
    let all = many.iter().cloned().chain(SPECIAL.iter().map(|(id, token)| described(*id, token, true)));
    let decoder: serde_json::Map<_, _> = all.map(|token| (token["id"].to_string(), token)).collect();
    for files in [
        [forms.pair(), vec![("added_tokens.json", list.into())]].concat(),
        [forms.pair(), vec![("tokenizer_config.json", json!({"added_tokens_decoder": decoder}))]].concat(),
        vec![forms.whole(&many, false)],
    ] {
        let mut tokenizer = loaded(&files, 3039).unwrap();
        let expected = [("<zubi>", 2), ("cr\u{ea}pe", 1), ("<two words>", 1)].map(|(word, n)| (word.to_owned(), n));
        assert_eq!(inside(&tokenizer), expected);
        let ids = |text: &str| inner(&tokenizer, text).into_iter().filter(|id| *id > 3034).collect::<Vec<_>>();
        assert_eq!(ids("a <zubi>, <ZUBI>"), [3035, 3036, 3035, 3036]);
        assert_eq!(ids("<zubi>_1 alone"), [3036], "one of its vectors");
        assert_eq!(ids("CRE\u{302}PE cr\u{ea}pes <Two\n words>"), [3037, 3038]);
        assert_eq!(tokenizer.prompt("a <zubi> <zubi>_1").words, ["<zubi>"]);
        assert_eq!(tokenizer.encode("<zubi>"), [3035, 3036], "an initializer may be one");
        assert_eq!((tokenizer.spell(3035), tokenizer.spell(3036)), ("<zubi>".to_owned(), "<zubi>_1".to_owned()));
        // Words that are given come behind, and none by the same name.
        for taken in ["<Zubi>", "cre\u{302}pe", "<zubi>_1"] {
            let error = tokenizer.add_word(taken, 1).unwrap_err();
            assert!(error.to_string().contains("the model has a word of this name inside"), "{error}");
        }
        assert_eq!((tokenizer.add_word("<mine>", 2).unwrap(), tokenizer.add_word("<other>", 1).unwrap()), (0, 2));
        assert_eq!(inner(&tokenizer, "<other> <mine>")[..3], [3041, 3039, 3040]);
        assert_eq!(tokenizer.remove_word("<zubi>"), None, "it stays");
        assert_eq!(tokenizer.remove_word("<MINE>"), Some(0..2));
        assert_eq!(inner(&tokenizer, "<other> <zubi>")[..3], [3039, 3035, 3036]);
    }
}

#[test]
fn words_inside_are_numbered_as_transformers_does_and_need_vectors() {
    let forms = Forms::read();
    let added = |tokens: Value| [forms.pair(), vec![("added_tokens.json", tokens)]].concat();
    // The numbers in the file say the order only.
    let tokenizer = loaded(&added(json!({"<b>": 3050, "<a>": 3040})), 3040).unwrap();
    assert_eq!(inner(&tokenizer, "<b> <a>")[..2], [3036, 3035]);
    // What pads is not a word.
    let pad = vec![("tokenizer_config.json", json!({"pad_token": "[PAD]"}))];
    let tokenizer = loaded(&[added(json!({"[PAD]": 3035, "<a>": 3036})), pad].concat(), 3037).unwrap();
    assert_eq!((inside(&tokenizer), tokenizer.prompt("").first().ids[2]), (vec![("<a>".to_owned(), 1)], 3035));
    assert!(tokenizer.prompt("a [PAD]").words.is_empty());
    // Without a vector it is text, as it would be without its name.
    let tokenizer = loaded(&added(json!({"<a>": 3035, "<b>": 3036, "<b>_1": 3037})), 3037).unwrap();
    assert_eq!(
        (inside(&tokenizer), tokenizer.words_without_vectors()),
        (vec![("<a>".to_owned(), 1)], &["<b>".to_owned()][..])
    );
    assert!(tokenizer.prompt("a <b>").words.is_empty());
    // In the vocabulary's own file.
    let mut own = forms.vocabulary.clone();
    own["<a>"] = 3035.into();
    let own = Forms { vocabulary: own, ..Forms::read() };
    let tokenizer = loaded(&[own.pair(), vec![("added_tokens.json", json!({"<a>": 3035}))]].concat(), 3036).unwrap();
    assert_eq!(inner(&tokenizer, "<a>")[0], 3035);
    let refused = loaded(&own.pair(), 3035).err().unwrap().to_string();
    assert!(refused.contains("\"<a>\" has id 3035, but the text encoder knows only 3035 ids"), "{refused}");
}

#[test]
fn names_of_the_vocabulary_are_refused_in_any_spelling_with_one_that_is_free() {
    let mut tokenizer = tokenizer();
    let suggested = |tokenizer: &mut ClipTokenizer, name: &str| match tokenizer.add_word(name, 1) {
        Err(Error::TokenTaken { suggestion, .. }) => suggestion,
        other => panic!("{name}: {other:?}"),
    };
    assert_eq!(suggested(&mut tokenizer, "CAT"), "<my-cat>");
    assert_eq!(suggested(&mut tokenizer, "*"), "<my-word>");
    assert_eq!(suggested(&mut tokenizer, "\u{2026}"), "<my-word>", "spelled as bytes in the vocabulary");
    tokenizer.add_word("<my-cat>", 1).unwrap();
    assert_eq!(suggested(&mut tokenizer, " cat "), "<my-cat-2>");
    // Words that the vocabulary has may stand together.
    tokenizer.add_word("a cat", 1).unwrap();
    assert_eq!(suggested(&mut tokenizer, "A\u{a0} Cat"), "<my-a-cat>");
    assert_eq!(tokenizer.prompt("A  CAT, not a cats").words, ["a cat"]);
}
