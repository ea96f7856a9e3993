//! CLIP's tokenizer, with room for learned words.
//!
//! Text becomes ids as `CLIPTokenizer` of transformers 5 does it (through the `tokenizers` crate, on the same regular
//! expression engine natively and in a browser). Learned words are registered here; how they are found in a prompt is
//! for [`prompt`](super::prompt) to say.

use std::collections::HashMap;
use std::ops::Range;
use std::rc::Rc;
use std::str::FromStr;

use tokenizers::Tokenizer;

use crate::parts::Part;
use crate::source::{Source, read_text};
use crate::{Error, Result};

/// What separates the pieces that are encoded on their own; the upstream pattern.
const PATTERN: &str =
    concat!(r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|", r"[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+",);
const START: &str = "<|startoftext|>";
const END: &str = "<|endoftext|>";

/// A learned word: its name, and the ids that it stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Word {
    pub token: String,
    /// In lower case, for comparing: CLIP's text has no case either.
    key: String,
    pub ids: Range<u32>,
}

impl AsRef<str> for Word {
    fn as_ref(&self) -> &str {
        &self.token
    }
}

/// The tokenizer of a model. Cheap to clone; clones have their own learned words from then on.
#[derive(Clone)]
pub struct ClipTokenizer {
    pub(super) inner: Rc<Tokenizer>,
    vocabulary: Rc<HashMap<String, u32>>,
    pub(super) words: Vec<Word>,
    /// Where the ids of learned words begin.
    first_free: u32,
    pub(super) length: usize,
    pub(super) start: u32,
    pub(super) end: u32,
    pub(super) pad: u32,
}

impl ClipTokenizer {
    /// Loads `vocab.json` and `merges.txt` of a part. `vocab_size` and `length` are those of its text encoder.
    ///
    /// # Errors
    /// [`Error::ModelPartMissing`] without these files, [`Error::BadFile`] if they do not fit together.
    pub async fn load(source: &dyn Source, part: Part, vocab_size: usize, length: usize) -> Result<Self> {
        let ([vocab, merges], [special, ..]) = (part.needed(), part.useful()) else {
            return Err(Error::Internal(format!("the {part} has other files than its reader knows")));
        };
        let (Some(vocab_text), Some(merges_text)) = (read_text(source, vocab).await?, read_text(source, merges).await?)
        else {
            return Err(Error::ModelPartMissing {
                model: source.name(),
                part: part.to_string(),
                expected: format!("{vocab} and {merges}"),
            });
        };
        let map = read_text(source, special).await?;
        let special: serde_json::Value = map.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
        let bad = |path: &str, reason: String| Error::BadFile { file: format!("{}/{path}", source.name()), reason };
        let vocabulary: HashMap<String, u32> =
            serde_json::from_str(&vocab_text).map_err(|error| bad(vocab, error.to_string()))?;
        let id = |token: &str| {
            vocabulary
                .get(token)
                .copied()
                .ok_or_else(|| bad(vocab, format!("the token {token} is not in the vocabulary")))
        };
        let (start, end) = (id(START)?, id(END)?);
        let pad = id(special_token(&special, "pad_token").unwrap_or(END))?;
        if let Some((token, id)) = vocabulary.iter().find(|(_, id)| **id as usize >= vocab_size) {
            let reason = format!("{token:?} has id {id}, but the text encoder knows only {vocab_size} ids");
            return Err(bad(vocab, reason));
        }
        let inner = build(&vocab_text, &merges_text, &special).map_err(|reason| bad(merges, reason))?;
        let first_free = vocab_size as u32;
        let (inner, vocabulary) = (Rc::new(inner), Rc::new(vocabulary));
        Ok(Self { inner, vocabulary, words: Vec::new(), first_free, length, start, end, pad })
    }

    /// Ids of a text as it stands, without learned words, start or end; nothing is cut.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        self.inner.encode(text, false).map(|encoding| encoding.get_ids().to_vec()).unwrap_or_default()
    }

    /// The spelling of a token.
    pub fn spell(&self, id: u32) -> String {
        self.inner.id_to_token(id).unwrap_or_default()
    }

    /// Id of the start of a prompt.
    pub fn start(&self) -> u32 {
        self.start
    }

    /// Id of the end of a prompt.
    pub fn end(&self) -> u32 {
        self.end
    }

    /// Ids in a prompt, start and end included.
    pub fn length(&self) -> usize {
        self.length
    }

    /// Learned words, with the number of vectors of each.
    pub fn words(&self) -> impl Iterator<Item = (&str, usize)> {
        self.words.iter().map(|word| (word.token.as_str(), word.ids.len()))
    }

    /// Registers a word of `vectors` vectors; returns the first of their rows in the table of learned rows.
    ///
    /// # Errors
    /// [`Error::BadToken`] for what cannot be a token, [`Error::TokenTaken`] for what is one already.
    pub fn add_word(&mut self, token: &str, vectors: usize) -> Result<usize> {
        check_token(token)?;
        let bad = |reason: &str| Error::BadToken { token: token.to_owned(), reason: reason.to_owned() };
        if vectors == 0 || vectors > self.length - 2 {
            let most = self.length - 2;
            return Err(bad(&format!("it would have {vectors} vectors; a prompt has room for 1 to {most}")));
        }
        let key = token.to_lowercase();
        let taken = |reason: &str| {
            let stem: String = key.chars().filter(|c| c.is_alphanumeric() || "-_.".contains(*c)).collect();
            let mut suggestion = format!("<my-{stem}>");
            while self.words.iter().any(|word| word.key == suggestion) {
                suggestion.insert_str(suggestion.len() - 1, "-2");
            }
            Error::TokenTaken { token: token.to_owned(), reason: reason.to_owned(), suggestion }
        };
        if self.words.iter().any(|word| word.key == key) {
            return Err(taken("another embedding has this name"));
        }
        if [key.clone(), format!("{key}</w>")].iter().any(|spelling| self.vocabulary.contains_key(spelling)) {
            return Err(taken("the model's vocabulary has this word"));
        }
        let first = self.words.last().map_or(self.first_free, |word| word.ids.end);
        self.words.push(Word { token: token.to_owned(), key, ids: first..first + vectors as u32 });
        Ok((first - self.first_free) as usize)
    }

    /// Removes a learned word. The rows of the words after it move up; gives the rows that are free now, none if no
    /// word has this name.
    pub fn remove_word(&mut self, token: &str) -> Option<Range<usize>> {
        let key = token.to_lowercase();
        let at = self.words.iter().position(|word| word.key == key)?;
        let ids = self.words.remove(at).ids;
        let count = ids.end - ids.start;
        for word in &mut self.words[at..] {
            word.ids = word.ids.start - count..word.ids.end - count;
        }
        let row = |id: u32| (id - self.first_free) as usize;
        Some(row(ids.start)..row(ids.end))
    }
}

/// Whether a word can be called so in prompts of any model.
///
/// # Errors
/// [`Error::BadToken`] if it cannot.
pub fn check_token(token: &str) -> Result<()> {
    let bad = |reason: &str| Err(Error::BadToken { token: token.to_owned(), reason: reason.to_owned() });
    if token.is_empty() {
        return bad("it is empty; give one such as \"<my-cat>\"");
    }
    if token.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return bad("it has spaces or control characters in it; give another, such as \"<my-cat>\"");
    }
    if token.len() > 64 {
        return bad("it is longer than 64 bytes");
    }
    Ok(())
}

/// A token that `special_tokens_map.json` names: a string, or an object with its `content`.
fn special_token<'a>(map: &'a serde_json::Value, name: &str) -> Option<&'a str> {
    let token = map.get(name)?;
    token.as_str().or_else(|| token.get("content")?.as_str())
}

/// The upstream pipeline, described in the format of `tokenizer.json`.
///
/// The padding token is special too, wherever it stands: in SD 2.x, which pads with `!`, every exclamation mark is one.
fn build(vocab: &str, merges: &str, map: &serde_json::Value) -> Result<Tokenizer, String> {
    let vocab: serde_json::Value = serde_json::from_str(vocab).map_err(|error| error.to_string())?;
    let merges: Vec<&str> =
        merges.lines().filter(|line| !line.starts_with("#version") && !line.trim().is_empty()).collect();
    // Start and end are special in any case; a map may add others, and state that they are matched in lower case.
    let mut added = std::collections::BTreeMap::from([(START, false), (END, false)]);
    for name in ["bos_token", "eos_token", "unk_token", "pad_token"] {
        if let Some(token) = special_token(map, name) {
            let normalized = map[name].get("normalized").and_then(serde_json::Value::as_bool).unwrap_or(false);
            // Where several roles have one token, the last says how it is matched: so do transformers.
            added.insert(token, normalized);
        }
    }
    let added: Vec<_> = added
        .into_iter()
        .map(|(content, normalized)| {
            serde_json::json!({
                "id": vocab[content], "content": content, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": normalized, "special": true,
            })
        })
        .collect();
    let description = serde_json::json!({
        "version": "1.0",
        "added_tokens": added,
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "NFC"},
            {"type": "Replace", "pattern": {"Regex": "\\s+"}, "content": " "},
            {"type": "Lowercase"},
        ]},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": PATTERN}, "behavior": "Removed", "invert": true},
            {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
        ]},
        "model": {
            "type": "BPE", "dropout": null, "unk_token": END, "continuing_subword_prefix": "",
            "end_of_word_suffix": "</w>", "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
            "vocab": vocab, "merges": merges,
        },
    });
    Tokenizer::from_str(&description.to_string()).map_err(|error| error.to_string())
}
