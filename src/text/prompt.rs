//! From a prompt's text to ids: the one place, for training and generation alike.
//!
//! Learned words are found in the text itself, before anything is a token ([`scan`](super::scan)), and expanded to ids:
//! a word of K vectors is K ids in a row or left out altogether.
//!
//! There are two ways in. A caption is text and nothing else, in one stretch of tokens ([`ClipTokenizer::prompt`]); but for
//! `embedding:name`, which is the word itself. A prompt is read in one of the [languages](super::language) that people write
//! them in, and may have weights and several stretches ([`ClipTokenizer::read`], and [`chunks`](super::chunks)).

use std::ops::Range;

use super::chunks::looked_at;
use super::language::{Part, parse};
use super::likeness::nearest;
use super::scan;
use super::tokenizer::{ClipTokenizer, Origin, Word};
use super::unknown::{unknown_names, with_prefix};
use crate::Result;
use crate::config::{Pooling, PromptSyntax};

/// A prompt as one text encoder takes it.
#[derive(Debug, Clone, PartialEq)]
pub struct Tokens {
    /// Its stretches, of which there is at least one; each is encoded by itself.
    pub chunks: Vec<Chunk>,
    /// Ids of the text before it was cut, without starts and ends; of no more of it than is looked at
    /// ([`LONGEST`](super::chunks::LONGEST)).
    pub length: usize,
    /// The end of the text that did not fit, if any.
    pub fallen: Option<String>,
    /// Learned words that are in the ids, in order of appearance, once each.
    pub words: Vec<String>,
}

impl Tokens {
    /// The first stretch.
    ///
    /// # Panics
    /// If there is none.
    pub fn first(&self) -> &Chunk {
        &self.chunks[0]
    }

    /// Whether a weight is not 1.
    pub fn is_weighted(&self) -> bool {
        self.chunks.iter().any(|chunk| chunk.weights.is_some())
    }
}

/// A stretch of a prompt: as many ids as a text encoder has positions.
#[derive(Debug, Clone, PartialEq)]
pub struct Chunk {
    /// Start, words, end, padding. Ids from the vocabulary's size on are rows of learned words.
    pub ids: Vec<u32>,
    /// The places of the text's ids.
    pub text: Range<usize>,
    /// The place of the first end token.
    pub end: usize,
    /// The weight of each id; none where all are 1.
    pub weights: Option<Vec<f32>>,
}

impl Chunk {
    /// The place of the token whose state stands for the whole prompt. `eos_token_id` is the text encoder's
    /// ([`ClipTextConfig`](super::ClipTextConfig)).
    pub fn pooled_at(&self, pooling: Pooling, eos_token_id: u32) -> usize {
        // `CLIPTextTransformer.forward` of transformers.
        const LARGEST: u32 = 2;
        match pooling {
            Pooling::End => self.end,
            Pooling::Diffusers if eos_token_id == LARGEST => {
                let largest = self.ids.iter().max();
                self.ids.iter().position(|id| Some(id) == largest).unwrap_or(0)
            }
            Pooling::Diffusers => self.ids.iter().position(|id| *id == eos_token_id).unwrap_or(0),
        }
    }
}

/// A prompt as a model takes it.
#[derive(Debug, Clone, PartialEq)]
pub struct Prompt {
    /// As each of the model's text encoders takes it, in their order.
    pub encoders: Vec<Tokens>,
    /// The language that it was read in, which says what weights do.
    pub syntax: PromptSyntax,
}

impl Prompt {
    /// As the first text encoder takes it: messages about a prompt are about this.
    ///
    /// # Panics
    /// If there is none.
    pub fn tokens(&self) -> &Tokens {
        &self.encoders[0]
    }

    /// How many stretches it has.
    pub fn chunks(&self) -> usize {
        self.encoders.iter().map(|tokens| tokens.chunks.len()).max().unwrap_or(1)
    }
}

impl From<Tokens> for Prompt {
    /// The prompt of a model with one text encoder, without weights that count.
    fn from(tokens: Tokens) -> Self {
        Self { encoders: vec![tokens], syntax: PromptSyntax::Plain }
    }
}

/// The tokenizers of a model, one for each of its text encoders, which all know the same learned words. Cheap to clone;
/// clones have their own learned words from then on.
#[derive(Clone)]
pub struct Tokenizers(Vec<ClipTokenizer>);

impl Tokenizers {
    /// Takes the tokenizers in the order of the text encoders, of which a model has at least one.
    pub fn new(tokenizers: Vec<ClipTokenizer>) -> Self {
        Self(tokenizers)
    }

    /// The first text encoder's: it knows which words there are, and how long a prompt can be.
    ///
    /// # Panics
    /// If there is none.
    pub fn first(&self) -> &ClipTokenizer {
        &self.0[0]
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Each on its own, in the order of the text encoders.
    pub fn into_each(self) -> Vec<ClipTokenizer> {
        self.0
    }

    /// Turns a text that is nothing else into ids, with learned words as their rows.
    pub fn prompt(&self, text: &str) -> Prompt {
        self.read(text, PromptSyntax::Plain)
    }

    /// Turns a prompt that is written in a language into ids with weights.
    pub fn read(&self, text: &str, syntax: PromptSyntax) -> Prompt {
        Prompt { encoders: self.0.iter().map(|tokenizer| tokenizer.read(text, syntax)).collect(), syntax }
    }

    /// Registers a word of `vectors` vectors with all of them; returns the first of its rows in the table of learned
    /// rows.
    ///
    /// # Errors
    /// Those of [`ClipTokenizer::add_word`]; then none of them knows the word.
    pub fn add_word(&mut self, token: &str, vectors: usize) -> Result<usize> {
        let mut row = 0;
        for at in 0..self.0.len() {
            match self.0[at].add_word(token, vectors) {
                Ok(first) => row = first,
                Err(error) => {
                    for tokenizer in &mut self.0[..at] {
                        tokenizer.remove_word(token);
                    }
                    return Err(error);
                }
            }
        }
        Ok(row)
    }

    /// Lets a learned word be called like its file, as [`ClipTokenizer::call_by_file`] does.
    pub fn call_by_file(&mut self, token: &str, stem: &str) {
        self.0.iter_mut().for_each(|tokenizer| tokenizer.call_by_file(token, stem));
    }

    /// Removes a learned word, as [`ClipTokenizer::remove_word`] does.
    pub fn remove_word(&mut self, token: &str) -> Option<Range<usize>> {
        let mut rows = None;
        for tokenizer in &mut self.0 {
            rows = tokenizer.remove_word(token);
        }
        rows
    }
}

/// A stretch of a text: its ids, with where in the text each begins.
struct Piece {
    ids: Vec<u32>,
    starts: Vec<usize>,
    /// The learned word that it is.
    word: Option<usize>,
}

impl ClipTokenizer {
    /// Turns a text that is nothing else into ids, with learned words as their rows: one stretch, cut where it is full.
    pub fn prompt(&self, text: &str) -> Tokens {
        let mut ids = Vec::new();
        let mut words = Vec::new();
        let mut fallen = None;
        let mut length = 0;
        let room = self.room();
        let (whole, text) = (text, looked_at(text));
        for piece in self.pieces(text) {
            length += piece.ids.len();
            if fallen.is_some() {
                continue;
            }
            let fitting = match piece.word {
                // All vectors of a word or none.
                Some(_) if ids.len() + piece.ids.len() > room => 0,
                Some(word) => {
                    let Word { token, origin, .. } = &self.words[word];
                    if *origin != Origin::Hidden && !words.contains(token) {
                        words.push(token.clone());
                    }
                    piece.ids.len()
                }
                None => piece.ids.len().min(room - ids.len()),
            };
            ids.extend(&piece.ids[..fitting]);
            if fitting < piece.ids.len() {
                fallen = Some(whole[piece.starts[fitting]..].trim().to_owned());
            }
        }
        fallen = fallen.or_else(|| Some(whole[text.len()..].trim().to_owned()).filter(|rest| !rest.is_empty()));
        Tokens { chunks: vec![self.framed(&ids, None)], length, fallen, words }
    }

    /// Ids of a text that a stretch has room for, beside its start and its end.
    pub fn room(&self) -> usize {
        self.length - 2
    }

    /// A stretch of some ids, no more than it has room for, with a weight for each or none where all are 1.
    pub(super) fn framed(&self, text: &[u32], weights: Option<&[f32]>) -> Chunk {
        let padding = self.room().saturating_sub(text.len());
        let before = if self.pads_left { padding } else { 0 };
        let mut ids = vec![self.pad; before];
        ids.push(self.start);
        ids.extend(text);
        ids.push(self.end);
        // A prompt may have one itself, as text.
        let end = ids[before..].iter().position(|id| *id == self.end).unwrap_or(0) + before;
        ids.resize(self.length, self.pad);
        let at = before + 1..before + 1 + text.len();
        let weights = weights.map(|given| {
            let mut weights = vec![1.0; self.length];
            weights[at.clone()].copy_from_slice(given);
            weights
        });
        Chunk { ids, text: at, end, weights }
    }

    /// Learned words in a text, and where they are.
    fn occurrences(&self, text: &str) -> impl Iterator<Item = (usize, Range<usize>)> {
        scan::occurrences(text, &self.words).map(|(word, at)| (word, with_prefix(text, at)))
    }

    /// The learned words that a text names, once each, whether they fit into a prompt or not.
    pub fn named(&self, text: &str) -> Vec<&str> {
        let mut named = Vec::new();
        for (word, _) in self.occurrences(text) {
            let Word { token, origin, .. } = &self.words[word];
            if *origin != Origin::Hidden && !named.contains(&token.as_str()) {
                named.push(token);
            }
        }
        named
    }

    /// The learned words that a prompt names as its language has it, once each, whether they fit or not.
    pub fn named_in(&self, text: &str, syntax: PromptSyntax) -> Vec<&str> {
        let mut named = Vec::new();
        for part in parse(looked_at(text), syntax, &self.words).parts {
            let Part::Word { word, .. } = part else { continue };
            let Word { token, origin, .. } = &self.words[word];
            if *origin != Origin::Hidden && !named.contains(&token.as_str()) {
                named.push(token);
            }
        }
        named
    }

    /// Where in a text a learned word begins for the first time.
    pub fn place_of(&self, text: &str, token: &str) -> Option<usize> {
        self.occurrences(text).find(|(word, _)| self.words[*word].token == token).map(|(_, at)| at.start)
    }

    /// What in a text looks like the name of an embedding and is not known, each with the name most like it of those that
    /// are known, or of some `others` that are at hand.
    pub fn unknown_names<'a>(&'a self, text: &str, others: &'a [String]) -> Vec<(String, Option<&'a str>)> {
        let text = looked_at(text);
        let mut known: Vec<Range<usize>> = self.occurrences(text).map(|(_, at)| at).collect();
        known.extend(scan::occurrences(text, &self.unclear).map(|(_, at)| with_prefix(text, at)));
        known.sort_by_key(|at| at.start);
        let words: Vec<&str> = self.words().map(|(token, _)| token).collect();
        let names = unknown_names(text, &known).into_iter().map(|name| {
            let bare = name.split_once(':').map_or(name.as_str(), |(_, bare)| bare);
            let nearest = match words.as_slice() {
                // A placeholder that stands in the word's place elsewhere.
                [only] if bare.ends_with('*') || bare == "{}" => Some(*only),
                words => nearest(bare, words.iter().copied().chain(others.iter().map(String::as_str))),
            };
            (name, nearest)
        });
        names.collect()
    }

    /// A text with what `other` gives for a learned word's token in the place of that word.
    pub fn replace_words(&self, text: &str, other: impl Fn(&str) -> String) -> String {
        let (mut replaced, mut from) = (String::new(), 0);
        for (word, at) in self.occurrences(text) {
            replaced.push_str(&text[from..at.start]);
            replaced.push_str(&other(&self.words[word].token));
            from = at.end;
        }
        replaced + &text[from..]
    }

    /// Learned words and the stretches between them.
    fn pieces(&self, text: &str) -> Vec<Piece> {
        let (mut pieces, mut from) = (Vec::new(), 0);
        for (word, at) in self.occurrences(text) {
            pieces.push(self.plain(text, from..at.start));
            let ids = self.words[word].ids.clone();
            pieces.push(Piece { starts: vec![at.start; ids.len()], ids, word: Some(word) });
            from = at.end;
        }
        pieces.push(self.plain(text, from..text.len()));
        pieces
    }

    fn plain(&self, text: &str, at: Range<usize>) -> Piece {
        let from = at.start;
        let Ok(encoding) = self.inner.encode(&text[at], false) else {
            return Piece { ids: Vec::new(), starts: Vec::new(), word: None };
        };
        let starts = encoding.get_offsets().iter().map(|(start, _)| from + start).collect();
        Piece { ids: encoding.get_ids().to_vec(), starts, word: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parts;

    fn tokenizer() -> ClipTokenizer {
        pollster::block_on(ClipTokenizer::load(&crate::mini::source(), parts::Part::Tokenizer, 3035, 77)).unwrap()
    }

    #[test]
    fn every_text_encoder_takes_the_prompt_and_knows_the_word() {
        let mut tokenizers = Tokenizers::new(vec![tokenizer(), tokenizer()]);
        assert_eq!(tokenizers.add_word("<cat>", 2).unwrap(), 0);
        let prompt = tokenizers.prompt("a <CAT>, a cat");
        assert_eq!(prompt.encoders.len(), 2);
        assert_eq!(
            (prompt.tokens().words.as_slice(), &prompt.encoders[0]),
            (&["<cat>".to_owned()][..], &prompt.encoders[1])
        );
        assert_eq!(tokenizers.remove_word("<cat>"), Some(0..2));
        assert!(tokenizers.prompt("a <cat>").encoders.iter().all(|tokens| tokens.words.is_empty()));
    }

    #[test]
    fn a_prompt_stands_for_itself_at_its_first_end() {
        let tokenizer = tokenizer();
        let tokens = tokenizer.prompt("a cat <|endoftext|> a dog");
        let prompt = tokens.first();
        let ends: Vec<usize> =
            prompt.ids.iter().enumerate().filter(|(_, id)| **id == tokenizer.end).map(|(place, _)| place).collect();
        assert_eq!((prompt.end, ends[0]), (3, 3));
        assert_eq!(tokenizer.prompt("a cat").first().end, 3);
    }

    #[test]
    fn the_prefix_of_another_program_is_not_part_of_the_text() {
        let mut tokenizer = tokenizer();
        tokenizer.add_word("wobblefox", 2).unwrap();
        for text in ["a toy, embedding:wobblefox", "a toy, embedding:WobbleFox.pt"] {
            assert_eq!(tokenizer.prompt(text), tokenizer.prompt("a toy, wobblefox"), "{text}");
            assert_eq!(tokenizer.replace_words(text, |_| "fox".to_owned()), "a toy, fox");
            assert!(tokenizer.unknown_names(text, &[]).is_empty());
        }
        assert_eq!(tokenizer.named("a <cat>, WOBBLEFOX and wobblefox"), ["wobblefox"]);
        let unknown = tokenizer.unknown_names("embedding:wobblefix, wobblefox and <nobody>", &[]);
        assert_eq!(tokenizer.unknown_names("a *", &[]), [("*".to_owned(), Some("wobblefox"))]);
        assert_eq!(unknown, [("embedding:wobblefix".to_owned(), Some("wobblefox")), ("<nobody>".to_owned(), None)]);
    }

    #[test]
    fn a_word_that_one_of_them_refuses_is_known_to_none() {
        let mut taken = tokenizer();
        taken.add_word("<cat>", 1).unwrap();
        let mut tokenizers = Tokenizers::new(vec![tokenizer(), taken]);
        assert!(tokenizers.add_word("<Cat>", 1).is_err());
        assert_eq!(tokenizers.first().words().count(), 0);
    }
}
