//! The tokenizer of CLIP, which every model of the family has and no single file carries.

use std::io::Read;

use flate2::read::GzDecoder;

use super::recognise::Family;
use crate::Result;
use crate::parts::Part;

/// Files and their contents.
type Files = Vec<(String, Vec<u8>)>;

/// The files of a family's tokenizers, which are in this program, in the order of its text encoders. Those of OpenCLIP's
/// encoders pad with an exclamation mark.
pub(super) fn built_in(family: Family) -> Result<Vec<Files>> {
    let files = |(_, part): &(Part, Part)| {
        let pads_with_mark = family == Family::Sd2 || *part == Part::Tokenizer2;
        vocabulary_files(include_bytes!("../../models/clip/merges.txt.gz"), *part, pads_with_mark)
    };
    family.architecture().text_encoders().iter().map(files).collect()
}

/// The files of a part, a tokenizer, from CLIP's list of merges, packed by gzip (`models/clip/merges.txt.gz`).
///
/// The vocabulary follows from it: the bytes as characters, the same at the end of a word, what each merge makes, start
/// and end (openai/CLIP, `simple_tokenizer.py`).
///
/// # Errors
/// [`crate::Error::BadFile`] if it is not such a list.
pub fn vocabulary_files(packed: &[u8], part: Part, pads_with_mark: bool) -> Result<Files> {
    /// Longest list that is believed: CLIP's has 524,605 bytes.
    const LONGEST: u64 = 4 << 20;
    let mut merges = String::new();
    GzDecoder::new(packed).take(LONGEST).read_to_string(&mut merges).map_err(|error| crate::Error::BadFile {
        file: "merges.txt.gz".to_owned(),
        reason: format!("this is not a packed list of merges: {error}"),
    })?;
    let letters = byte_letters();
    let mut vocabulary = serde_json::Map::new();
    let mut add = |token: String| {
        let id = vocabulary.len();
        vocabulary.entry(token).or_insert(id.into());
    };
    letters.iter().for_each(|letter| add(letter.to_string()));
    letters.iter().for_each(|letter| add(format!("{letter}</w>")));
    merges.lines().filter(|line| !line.starts_with("#version")).for_each(|line| add(line.replacen(' ', "", 1)));
    ["<|startoftext|>", "<|endoftext|>"].into_iter().for_each(|token| add(token.to_owned()));
    let path = |name: &str| format!("{}/{name}", part.folder());
    let contents = [serde_json::Value::Object(vocabulary).to_string().into_bytes(), merges.into_bytes()];
    let mut files: Files = ["vocab.json", "merges.txt"].map(path).into_iter().zip(contents).collect();
    if pads_with_mark {
        files.push((path("special_tokens_map.json"), br#"{"pad_token": "!"}"#.to_vec()));
    }
    Ok(files)
}

/// A printable character for each byte, in the order of CLIP's vocabulary (GPT-2's `bytes_to_unicode`): those of
/// Latin-1 that can be seen, then the others, shifted to where they can.
fn byte_letters() -> Vec<char> {
    let visible = |byte: &u32| matches!(byte, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
    let seen = (0..256).filter(visible);
    let shifted = (0..256).filter(|byte| !visible(byte)).zip(256..).map(|(_, code)| code);
    seen.chain(shifted).filter_map(char::from_u32).collect()
}

#[cfg(all(test, feature = "native"))]
#[allow(clippy::unwrap_used, reason = "a test that cannot continue should stop there")]
mod tests {
    use super::*;
    use crate::source::Memory;
    use crate::text::ClipTokenizer;

    fn tokenizer(family: Family, part: Part) -> ClipTokenizer {
        let mut memory = Memory::new("clip");
        for (path, bytes) in built_in(family).unwrap().concat() {
            memory.insert(path, bytes);
        }
        pollster::block_on(ClipTokenizer::load(&memory, part, 49408, 77)).unwrap()
    }

    #[test]
    fn it_is_clips() {
        let sd1 = tokenizer(Family::Sd1, Part::Tokenizer);
        // As in the documentation of CLIP and of transformers.
        let cat = sd1.prompt("a photo of a cat");
        assert_eq!(cat.first().ids[..8], [49406, 320, 1125, 539, 320, 2368, 49407, 49407]);
        assert_eq!(sd1.encode("Hello World!"), [3306, 1002, 256]);
        assert_eq!(sd1.prompt("").first().ids[1..], [49407; 76]);
        for taken in ["Cat", "\u{e9}", "E\u{301}"] {
            assert!(sd1.check_word(taken).is_err(), "{taken}");
        }
        sd1.check_word("<cat>").unwrap();
        for (family, part, padding) in [
            (Family::Sd2, Part::Tokenizer, 0),
            (Family::Sdxl, Part::Tokenizer, 49407),
            (Family::Sdxl, Part::Tokenizer2, 0),
        ] {
            let ids = tokenizer(family, part).prompt("a photo of a cat").first().ids.clone();
            assert_eq!(ids[5..9], [2368, 49407, padding, padding], "{family:?} {part}");
        }
    }

    #[test]
    fn what_is_no_list_is_refused() {
        assert!(vocabulary_files(b"merges", Part::Tokenizer, false).is_err());
    }
}
