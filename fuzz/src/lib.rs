//! The module that reads embedding files, on its own, and what has to be true of anything it reads; and the headers of weight
//! files, prompts, and the settings that pictures name.

#[path = "../../src/base"]
pub mod base {
    pub mod eight_bits;
    pub mod text;
}
#[path = "../../src/config"]
pub mod config {
    mod prompt_syntax;

    pub use prompt_syntax::PromptSyntax;
}
#[path = "../../src/text"]
pub mod text {
    pub mod foreign;
    pub mod language;
    pub mod scan;
    pub mod unknown;
}
#[path = "../../src/image"]
pub mod image {
    mod exif;

    /// The comment of a user in an EXIF block.
    pub fn comment(tiff: &[u8]) -> Option<String> {
        exif::user_comment(tiff)
    }
}
#[path = "../../src/sample/label"]
pub mod label {
    pub mod infotext;
}
#[path = "../../src/embedding/mod.rs"]
pub mod embedding;
#[path = "../../src/weights"]
pub mod weights {
    pub mod gguf;
    pub mod header;
    pub mod packed;
    pub mod safetensors;

    pub use header::Header;
}

use embedding::{Embedding, Layout, Reading, limits, read, write};

/// Reads a file, and checks what comes of it: no panic, nothing out of bounds, messages that fit on a line; and what
/// can be written again is read back the same.
pub fn check(bytes: &[u8], name: &str) {
    let reading = match read(bytes, name) {
        Ok(reading) => reading,
        Err(refusal) => {
            let message = refusal.to_string();
            let clean = !message.is_empty() && message.len() < 2000 && !message.chars().any(char::is_control);
            assert!(clean, "{message:?}");
            return;
        }
    };
    assert!((1..=limits::EMBEDDINGS).contains(&reading.embeddings().len()));
    assert_eq!(matches!(reading, Reading::One(_)), reading.embeddings().len() == 1);
    for word in reading.embeddings() {
        for part in &word.encoders {
            assert!((1..=limits::VECTORS).contains(&part.count()) && (1..=limits::WIDTH).contains(&part.width));
            assert_eq!(part.count() * part.width, part.rows.len());
            assert!(part.rows.iter().all(|value| value.is_finite()));
        }
        for note in &word.notes {
            assert!(!note.to_string().is_empty());
        }
        let Ok(word) = word.clone().into_embedding(Some("<fuzz>")) else { continue };
        // diffusers' two files are not written as one.
        let fits = |layout: &Layout| layout.holds(word.encoders.len()) && *layout != Layout::Pair;
        for layout in Layout::ALL.into_iter().filter(fits) {
            let bytes = write(&word, layout).expect("what was read can be written");
            let back = Embedding::read(&bytes, "x", None).expect("what was written can be read");
            let rows = |word: &Embedding| word.encoders.iter().flat_map(|part| part.rows.clone()).collect::<Vec<_>>();
            let bits = |word: &Embedding| rows(word).iter().map(|value| value.to_bits()).collect::<Vec<_>>();
            assert_eq!((&back.token, back.widths(), bits(&back)), (&word.token, word.widths(), bits(&word)));
        }
    }
}

/// Reads bytes as the beginning of a GGUF file of so many, and checks what comes of it.
pub fn check_gguf(bytes: &[u8], length: u64) {
    let header = match weights::gguf::parse(bytes, length) {
        Ok(Some(gguf)) => {
            let mut places: Vec<[u64; 2]> = gguf.tensors.iter().map(|entry| entry.offsets).collect();
            places.sort_unstable();
            assert!(places.iter().all(|[start, end]| start <= end && gguf.data + end <= length || start == end));
            assert!(places.windows(2).all(|pair| pair[0][1] <= pair[1][0]), "they lie apart");
            weights::Header::of_gguf(gguf)
        }
        // More is wanted only where there is more.
        Ok(None) => return assert!((bytes.len() as u64) < length),
        Err(reason) => return check_reason(&reason),
    };
    match header {
        Ok(header) => {
            let needed = header.tensors().map(weights::gguf::refusal);
            needed.chain(weights::gguf::other_kind(header.metadata())).for_each(|reason| check_reason(&reason));
        }
        Err(reason) => check_reason(&reason),
    }
}

/// Reads bytes as the text of a safetensors header before so many bytes of weights, perhaps in eight bits.
pub fn check_weights(text: &[u8], data: u64) {
    let (first, length) = ((text.len() as u64).to_le_bytes(), 8 + text.len() as u64 + data);
    let header = match weights::safetensors::parse(&first, text, length) {
        Ok(header) => header,
        Err(reason) => return check_reason(&reason),
    };
    if let Err(reason) = weights::packed::check(&header) {
        return check_reason(&reason);
    }
    for entry in header.tensors() {
        assert!(header.span(entry).end <= length);
        let Some(scales) = weights::packed::span_of_scales(&header, entry) else { continue };
        let (values, blocks) = (header.span(entry), (scales.end - scales.start) / 2);
        assert_eq!(values.end - values.start, blocks * base::eight_bits::BLOCK as u64, "a scale for each block");
        assert!(weights::packed::is_scales(&header, &weights::packed::scales_of(&entry.name)));
    }
}

fn check_reason(reason: &str) {
    assert!(!reason.is_empty() && reason.len() < 4000 && !reason.chars().any(char::is_control), "{reason:?}");
}

/// Reads a text as the settings of a picture, and bytes as what holds such a text in a JPEG: what was read can be written, and is
/// read the same again.
pub fn check_settings(bytes: &[u8]) {
    use label::infotext::{read, value, write};
    let _comment = image::comment(bytes);
    let read_first = read(&String::from_utf8_lossy(bytes));
    for (key, _) in &read_first.fields {
        assert!(key.chars().count() > 1 && !key.contains([',', ':', '"']), "{key:?}");
    }
    if read_first.fields.is_empty() {
        return;
    }
    let written: Vec<(&str, String)> =
        read_first.fields.iter().map(|(key, text)| (key.as_str(), value(text).into_owned())).collect();
    assert_eq!(read(&write("x", None, &written)).fields, read_first.fields, "{written:?}");
}

/// Names of learned words with the signs of every language in them.
const WORDS: [&str; 8] = ["<my-peach>", "S*", "(x)", "word+", "moon rabbit", "[a|b]", "a:1.2", "cat"];

/// Reads a prompt in every language, and checks what comes of it: parts in the order of the text, nothing that was not typed,
/// weights that are numbers.
pub fn check_prompt(prompt: &str) {
    for syntax in config::PromptSyntax::ALL {
        let parsed = text::language::parse(prompt, syntax, &WORDS);
        let mut behind = 0;
        for part in &parsed.parts {
            let at = match part {
                text::language::Part::Text { text, weight, places } => {
                    assert!(!text.is_empty() && weight.is_finite());
                    let mut next = behind;
                    // Only compel's spaces were not typed.
                    let typed = |c: char| c != ' ' || syntax != config::PromptSyntax::Compel;
                    for (at, c) in text.char_indices().filter(|(_, c)| typed(*c)) {
                        let place = places.in_prompt(at);
                        assert!(place >= next && prompt[place..].starts_with(c));
                        next = place + c.len_utf8();
                    }
                    behind..next
                }
                text::language::Part::Word { word, weight, at } => {
                    assert!(weight.is_finite() && *word < WORDS.len());
                    at.clone()
                }
                text::language::Part::Break { at } => at.clone(),
            };
            assert!(behind <= at.start && prompt.get(at.clone()).is_some());
            behind = at.end;
        }
        for note in parsed.notes {
            assert!(!note.to_string().is_empty() && note.to_string().len() < 2000);
        }
    }
}
