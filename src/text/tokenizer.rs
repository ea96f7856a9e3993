//! CLIP's tokenizer, with room for learned words.
//!
//! Text becomes ids as `CLIPTokenizer` of transformers 5 does it (through the `tokenizers` crate, on the same regular
//! expression engine natively and in a browser). Learned words are registered here, those that are given and those that
//! a model has inside; how they are found in a prompt is for [`prompt`](super::prompt) to say.

use std::collections::HashMap;
use std::ops::Range;
use std::rc::Rc;
use std::str::FromStr;

use tokenizers::Tokenizer;

use super::aliases::Unclear;
use super::name::{check_token, taken};
use super::pretrained::{AddedToken, Pretrained};
use super::scan::{key, occurrences};
use super::spelling;
use crate::base::text::quoted;
use crate::parts::Part;
use crate::source::Source;
use crate::{Error, Result};

/// What separates the pieces that are encoded on their own; the upstream pattern.
const PATTERN: &str =
    concat!(r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|", r"[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+",);

/// A learned word: its name, and the ids that it stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Word {
    pub token: String,
    /// For comparing.
    pub key: String,
    pub ids: Vec<u32>,
    pub origin: Origin,
    /// What its file is called, without the ending; of another name of a word, how that is written.
    pub file: Option<String>,
}

/// Where a word comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// It was registered; its ids are behind the model's.
    Given,
    /// The model has it inside.
    Model,
    /// It is one of the vectors of such a word, or pads or ends a prompt: found in text, but not a word of its own.
    Hidden,
    /// It is another name of a word that was given ([`aliases`](super::aliases)), and has that word's token and ids.
    Other,
}

impl AsRef<str> for Word {
    /// How it is written in a prompt.
    fn as_ref(&self) -> &str {
        self.file.as_deref().filter(|_| self.origin == Origin::Other).unwrap_or(&self.token)
    }
}

/// The tokenizer of a model. Cheap to clone; clones have their own learned words from then on.
#[derive(Clone)]
pub struct ClipTokenizer {
    pub(super) inner: Rc<Tokenizer>,
    vocabulary: Rc<HashMap<String, u32>>,
    /// Those of the model first, and other names of words last.
    pub(super) words: Vec<Word>,
    /// Names that several words could have.
    pub(super) unclear: Vec<Unclear>,
    /// Where the ids of learned words begin that are given.
    first_free: u32,
    pub(super) length: usize,
    pub(super) start: u32,
    pub(super) end: u32,
    pub(super) pad: u32,
    pub(super) pads_left: bool,
    /// Words of the model that the text encoder has no vectors for.
    without_vectors: Vec<String>,
}

impl ClipTokenizer {
    /// Loads the tokenizer of a part. `vocab_size` and `length` are those of its text encoder.
    ///
    /// # Errors
    /// [`Error::ModelPartMissing`] without its files, [`Error::BadFile`] if they do not fit together.
    pub async fn load(source: &dyn Source, part: Part, vocab_size: usize, length: usize) -> Result<Self> {
        let files = Pretrained::read(source, part).await?;
        let bad = |reason: String| Error::BadFile { file: files.file.clone(), reason };
        let vocabulary: HashMap<String, u32> =
            serde_json::from_value(files.vocabulary.clone().into()).map_err(|error| bad(error.to_string()))?;
        if let Some((token, id)) = vocabulary.iter().find(|(token, id)| {
            **id as usize >= vocab_size && !files.added.iter().any(|added| added.content == **token)
        }) {
            return Err(bad(format!(
                "{shown} has id {id}, but the text encoder knows only {vocab_size} ids",
                shown = quoted(token)
            )));
        }
        let (ids, behind) = numbered(&files, &vocabulary);
        let id = |token: &str| match ids.get(token).or_else(|| vocabulary.get(token)) {
            Some(id) if (*id as usize) < vocab_size => Ok(*id),
            Some(id) => {
                Err(bad(format!("the token {token} has id {id}, but the text encoder knows only {vocab_size} ids")))
            }
            None => Err(bad(format!("the token {token} is not in the vocabulary"))),
        };
        let (start, end, pad) = (id(&files.start)?, id(&files.end)?, id(&files.pad)?);
        let roles = [&files.start, &files.end, &files.pad, &files.unknown];
        let (words, without_vectors) = words_inside(&behind, &ids, &roles, vocab_size);
        let length = match files.length {
            Some(most) if most < length as f64 => most as usize,
            _ => length,
        };
        if length < 3 {
            return Err(bad(format!("model_max_length {length} leaves no room for a start, an end and a word")));
        }
        let inner = build(&files, &behind, &vocabulary).map_err(&bad)?;
        let (inner, vocabulary) = (Rc::new(inner), Rc::new(vocabulary));
        let (first_free, pads_left) = (vocab_size as u32, files.pads_left);
        let unclear = Vec::new();
        Ok(Self { inner, vocabulary, words, unclear, first_free, length, start, end, pad, pads_left, without_vectors })
    }

    /// Ids of a text as it stands, without given words, start or end; nothing is cut.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        let own = &self.words[..self.own()];
        let encode = |text: &str| self.inner.encode(text, false).map(|encoding| encoding.get_ids().to_vec());
        let (mut ids, mut from) = (Vec::new(), 0);
        for (word, at) in occurrences(text, own) {
            ids.extend(encode(&text[from..at.start]).unwrap_or_default());
            ids.extend(&own[word].ids);
            from = at.end;
        }
        ids.extend(encode(&text[from..]).unwrap_or_default());
        ids
    }

    /// The spelling of a token.
    pub fn spell(&self, id: u32) -> String {
        let named = self.words.iter().find(|word| word.ids[0] == id).map(|word| word.token.clone());
        named.or_else(|| self.inner.id_to_token(id)).unwrap_or_default()
    }

    /// The bytes of text that a token stands for, of which a character may take several tokens; and whether it ends a word.
    pub fn bytes_of(&self, id: u32) -> (Vec<u8>, bool) {
        match self.words.iter().find(|word| word.ids[0] == id) {
            Some(word) => (word.token.clone().into_bytes(), true),
            None => spelling::bytes(&self.inner.id_to_token(id).unwrap_or_default()),
        }
    }

    /// The learned word that an id is a vector of, and the vector's number in it, from 0.
    pub fn word_of(&self, id: u32) -> Option<(&str, usize)> {
        let words = self.words.iter().filter(|word| word.origin != Origin::Hidden);
        words.filter_map(|word| Some((word.token.as_str(), word.ids.iter().position(|own| *own == id)?))).next()
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

    /// Learned words that a prompt can use, with the number of vectors of each: the model's own, then those given.
    pub fn words(&self) -> impl Iterator<Item = (&str, usize)> {
        let known = self.words.iter().filter(|word| !matches!(word.origin, Origin::Hidden | Origin::Other));
        known.map(|word| (word.token.as_str(), word.ids.len()))
    }

    /// Learned words that the model has inside, with the number of vectors of each.
    pub fn own_words(&self) -> impl Iterator<Item = (&str, usize)> {
        let own = self.words.iter().filter(|word| word.origin == Origin::Model);
        own.map(|word| (word.token.as_str(), word.ids.len()))
    }

    /// Words in the model's tokenizer that its text encoder has no vectors for: prompts take them for text.
    pub fn words_without_vectors(&self) -> &[String] {
        &self.without_vectors
    }

    /// How many of the words are the model's.
    fn own(&self) -> usize {
        self.words.iter().take_while(|word| word.origin != Origin::Given).count()
    }

    /// Says why a word could not be added that is called so.
    ///
    /// # Errors
    /// [`Error::BadToken`] for what cannot be a token, [`Error::TokenTaken`] for what is one already.
    pub fn check_word(&self, token: &str) -> Result<()> {
        check_token(token)?;
        let key = key(token);
        let reason = match self.words.iter().find(|word| word.origin != Origin::Other && word.key == key) {
            Some(Word { origin: Origin::Given, .. }) => "another embedding has this name",
            Some(_) => "the model has a word of this name inside",
            None if self.in_vocabulary(token) => "the model's vocabulary has this word",
            None => return Ok(()),
        };
        Err(taken(token, reason, |name| {
            let other = super::scan::key(name);
            self.words.iter().all(|word| word.key != other) && !self.in_vocabulary(name)
        }))
    }

    /// Whether a name is a word of the vocabulary, or the beginning of one.
    pub(super) fn in_vocabulary(&self, name: &str) -> bool {
        let name = name.trim().to_lowercase();
        // Letters beyond ASCII are spelled as bytes there.
        let whole = self.inner.encode(name.as_str(), false).is_ok_and(|encoding| encoding.get_ids().len() == 1);
        whole || self.vocabulary.contains_key(&name)
    }

    /// Registers a word of `vectors` vectors; returns the first of their rows in the table of learned rows.
    ///
    /// # Errors
    /// Those of [`check_word`](Self::check_word), and [`Error::OutOfRange`] for more vectors than a prompt has room for.
    pub fn add_word(&mut self, token: &str, vectors: usize) -> Result<usize> {
        let most = self.length - 2;
        if vectors == 0 || vectors > most {
            let reason = format!("it would have {vectors} vectors; a prompt has room for 1 to {most}");
            return Err(Error::Usage(format!("the token {shown} cannot be used: {reason}", shown = quoted(token))));
        }
        self.check_word(token)?;
        let at = self.words.iter().take_while(|word| word.origin != Origin::Other).count();
        let last = self.words[..at].last().filter(|word| word.origin == Origin::Given);
        let first = last.map_or(self.first_free, |word| word.ids[0] + word.ids.len() as u32);
        let ids = (first..first + vectors as u32).collect();
        let word = Word { token: token.to_owned(), key: key(token), ids, origin: Origin::Given, file: None };
        self.words.insert(at, word);
        self.name_again();
        Ok((first - self.first_free) as usize)
    }

    /// Removes a word that was given. The rows of the words after it move up; gives the rows that are free now, none if
    /// no word was given with this name.
    pub fn remove_word(&mut self, token: &str) -> Option<Range<usize>> {
        let key = key(token);
        let at = self.words.iter().position(|word| word.origin == Origin::Given && word.key == key)?;
        let ids = self.words.remove(at).ids;
        let count = ids.len() as u32;
        for id in self.words[at..].iter_mut().flat_map(|word| &mut word.ids) {
            *id -= count;
        }
        self.name_again();
        let first = (ids[0] - self.first_free) as usize;
        Some(first..first + ids.len())
    }
}

/// The ids of the tokens that are added to the vocabulary, and those of them that stand behind it.
///
/// Behind the vocabulary are the tokens that it lacks, numbered in their order as transformers does whatever ids the
/// files say, and those that were written into it behind start and end.
fn numbered<'a>(
    files: &'a Pretrained,
    vocabulary: &HashMap<String, u32>,
) -> (HashMap<&'a str, u32>, Vec<&'a AddedToken>) {
    let last = [&files.start, &files.end].into_iter().filter_map(|token| vocabulary.get(token)).max();
    let (mut ids, mut behind) = (HashMap::new(), Vec::new());
    let mut next = vocabulary.len() as u32;
    for token in &files.added {
        let known = vocabulary.get(&token.content).copied();
        if known.is_none_or(|id| Some(&id) > last) {
            behind.push(token);
        }
        let id = known.unwrap_or(next);
        next += u32::from(known.is_none());
        ids.insert(token.content.as_str(), id);
    }
    (ids, behind)
}

/// The words among the tokens behind the vocabulary, and the names of those for which there are no vectors.
///
/// A word of several vectors is several tokens, `<x>`, `<x>_1`, `<x>_2` and so on, as diffusers adds and finds them.
fn words_inside(
    behind: &[&AddedToken],
    ids: &HashMap<&str, u32>,
    roles: &[&String],
    vocab_size: usize,
) -> (Vec<Word>, Vec<String>) {
    let number_of = |name: &str| behind.iter().any(|token| token.content == name).then(|| ids[name]);
    let is_part = |name: &str| {
        let (stem, number) = name.rsplit_once('_')?;
        let number: u32 = number.parse().ok()?;
        (number > 0 && number_of(stem).is_some()).then_some(())?;
        (1..number).all(|i| number_of(&format!("{stem}_{i}")).is_some()).then_some(())
    };
    let (mut words, mut without) = (Vec::new(), Vec::new());
    for token in behind {
        let name = &token.content;
        let hidden = roles.contains(&name) || is_part(name).is_some();
        let more = (1..).map_while(|i| number_of(&format!("{name}_{i}")));
        let own: Vec<u32> = std::iter::once(ids[name.as_str()]).chain(more.filter(|_| !hidden)).collect();
        if own.iter().any(|id| *id as usize >= vocab_size) {
            if !hidden {
                without.push(name.clone());
            }
            continue;
        }
        let origin = if hidden { Origin::Hidden } else { Origin::Model };
        words.push(Word { token: name.clone(), key: key(name), ids: own, origin, file: None });
    }
    (words, without)
}

/// The upstream pipeline, described in the format of `tokenizer.json`.
///
/// The padding token is special too, wherever it stands: in SD 2.x, which pads with `!`, every exclamation mark is one.
/// Tokens behind the vocabulary are words, which are found before text comes here.
fn build(files: &Pretrained, behind: &[&AddedToken], vocabulary: &HashMap<String, u32>) -> Result<Tokenizer, String> {
    let mut added: Vec<&AddedToken> = files.added.iter().filter(|token| !behind.contains(token)).collect();
    added.sort_by_key(|token| vocabulary[&token.content]);
    let added: Vec<_> = added
        .into_iter()
        .map(|token| {
            serde_json::json!({
                "id": vocabulary[&token.content], "content": token.content, "single_word": token.single_word,
                "lstrip": token.lstrip, "rstrip": token.rstrip, "normalized": token.normalized, "special": token.special,
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
            "type": "BPE", "dropout": null, "unk_token": files.unknown, "continuing_subword_prefix": "",
            "end_of_word_suffix": "</w>", "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
            "vocab": files.vocabulary, "merges": files.merges,
        },
    });
    Tokenizer::from_str(&description.to_string()).map_err(|error| error.to_string())
}
