//! What is true of every text.

use proptest::prelude::*;

use super::letters::Letter;
use super::*;

const WORDS: [&str; 7] = ["<my-peach>", "S*", "(x)", "word+", "moon rabbit", "é", "cat"];

/// What prompts are made of.
const PIECES: [&str; 38] = [
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    "\\",
    ":",
    ":1.3)",
    ":0.5)",
    ":-1)",
    ":1.2.3)",
    ")1.5",
    "+",
    "--",
    "\"",
    ",",
    ".",
    "=",
    " ",
    "\n",
    "BREAK",
    " AND ",
    "|",
    "a",
    "hill",
    "1.2",
    "é",
    "日本",
    "\u{301}",
    "embedding:",
    ".pt",
    "<my-peach>",
    "s*",
    "(x)",
    "word+",
    "moon  rabbit",
    "<lora:x:1>",
];

fn prompts() -> impl Strategy<Value = String> {
    let piece = proptest::sample::select(PIECES.as_slice());
    let typed = proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat());
    let bytes = proptest::collection::vec(any::<u8>(), 0..60);
    prop_oneof![
        4 => typed,
        1 => any::<String>(),
        1 => bytes.prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    ]
}

/// How often each letter is looked at, on average: compel's grammar looks at each 14 times at most, from the texts below.
const MOST_LOOKS: usize = 20;

/// Reads a text, and returns how often a letter was looked at.
fn looks(text: &str, syntax: PromptSyntax) -> usize {
    let known = letters::words_in(text, &Names::new(&WORDS));
    let letters = Letters::new(text, &known);
    read(&letters, syntax);
    letters.looks.get()
}

/// Checks what was read of a text.
fn check(text: &str, syntax: PromptSyntax) {
    let parsed = parse(text, syntax, &WORDS);
    let (mut behind, mut last): (usize, Option<&Part>) = (0, None);
    for part in &parsed.parts {
        let at = match part {
            Part::Text { text: read, weight, places } => {
                assert!(!read.is_empty() && weight.is_finite());
                // Every letter was typed, in this order; only compel's spaces were not.
                let mut next = behind;
                for (at, c) in read.char_indices().filter(|(_, c)| syntax != PromptSyntax::Compel || *c != ' ') {
                    let place = places.in_prompt(at);
                    assert!(place >= next && text[place..].starts_with(c), "{c:?} at {place} of {text:?}");
                    next = place + c.len_utf8();
                }
                let unmerged = matches!(last, Some(Part::Text { weight: before, .. }) if before == weight);
                assert!(!unmerged || syntax == PromptSyntax::ComfyUi, "{text:?}: {:?}", parsed.parts);
                places.in_prompt(0).max(behind)..next
            }
            Part::Word { word, weight, at } => {
                assert!(weight.is_finite() && *word < WORDS.len());
                at.clone()
            }
            Part::Break { at } => {
                assert_eq!(&text[at.clone()], "BREAK");
                at.clone()
            }
        };
        assert!(behind <= at.start && at.end <= text.len(), "{text:?}: {:?}", parsed.parts);
        (behind, last) = (at.end, Some(part));
    }
    if syntax == PromptSyntax::Plain {
        let all = parsed.parts.iter().map(|part| match part {
            Part::Text { text, .. } => text.as_str(),
            Part::Word { at, .. } | Part::Break { at } => &text[at.clone()],
        });
        assert_eq!(all.collect::<String>(), text);
    }
    for note in parsed.notes {
        assert!(!note.quoted.is_empty() && note.quoted.chars().count() <= 41, "{text:?}: {note:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_read(text in prompts()) {
        for syntax in PromptSyntax::ALL {
            check(&text, syntax);
        }
    }

    #[test]
    fn reading_takes_steps_in_proportion_to_the_length(text in prompts(), times in 1_usize..12) {
        for syntax in PromptSyntax::ALL {
            let text = text.repeat(times);
            prop_assert!(looks(&text, syntax) <= MOST_LOOKS * (text.len() + 1), "{:?}: {}", syntax, text);
        }
    }
}

/// Texts that are slow where anything is tried again for every bracket, sign or space; each in a thousand pieces.
#[test]
fn no_text_takes_more_than_its_length() {
    let many = |piece: &str| piece.repeat(1000);
    let nested = |open: &str, inside: &str, close: &str| [&many(open), inside, &many(close)].concat();
    let texts = [
        many("("),
        many(")"),
        many("["),
        many("\""),
        many("\\"),
        many(":"),
        many(": "),
        many("+"),
        many(","),
        many(" "),
        many("a"),
        many("((a"),
        many("(a:"),
        many("(a:1"),
        many("(\""),
        many("\"("),
        many("(a)"),
        many("[a"),
        many("<a:"),
        many("a+ "),
        many("+a"),
        many("a-"),
        many("(a+"),
        many("\\("),
        many(" BREAK"),
        many("BREAK "),
        many("* "),
        many("1."),
        many("(x)"),
        many("S* "),
        many("embedding:cat "),
        many("embedding:"),
        many("{a|"),
        many("é"),
        many("e\u{301}"),
        nested("(", "a", ")"),
        nested("[", "a", "]"),
        nested("(a", "a", ":1.1)"),
        nested("(", "a", ":2)"),
        nested("(a ", "b", " c)+"),
        nested("(", "a =", ")1.5"),
        nested("((", "a", "))2"),
        nested("([", "a", "])"),
        nested("([", "a", ")]"),
        nested("(", "a", ""),
        nested("{", "a", "]"),
        nested("(:", "a", ")"),
        nested("[ ", "", "]"),
        nested("\"", "a", "\"+"),
        nested("(a \"b ", "c", "\"- d)"),
        nested(" ", "\n", " BREAK"),
        nested("(", "", " :1)"),
    ];
    for text in texts {
        for syntax in PromptSyntax::ALL {
            let looks = looks(&text, syntax);
            let begin: String = text.chars().take(20).collect();
            assert!(looks <= MOST_LOOKS * text.len(), "{syntax:?}: {begin}...: {looks} looks at {} bytes", text.len());
            check(&text, syntax);
        }
    }
}

#[test]
fn letters_are_those_of_the_text() {
    let text = "é (x) 日 embedding:CAT.pt";
    let letters = Letters::new(text, &letters::words_in(text, &Names::new(&WORDS)));
    let all: Vec<Letter> = (0..=letters.len()).map(|at| letters.at(at)).collect();
    let expected = [
        Letter::Word(5),
        Letter::Char(' '),
        Letter::Word(2),
        Letter::Char(' '),
        Letter::Char('日'),
        Letter::Char(' '),
        Letter::Word(6),
        Letter::End,
    ];
    assert_eq!(all, expected);
    assert_eq!((letters.str(0..3), letters.str(6..9), letters.bytes(6..7)), ("é (x)", "embedding:CAT.pt", 11..27));
    assert_eq!(letters.looks.get(), 8);
}
