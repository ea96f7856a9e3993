//! From a prompt's text to ids: the one place, for training and generation alike.
//!
//! Learned words are found in the text itself, before anything is a token ([`scan`](super::scan)), and expanded to ids:
//! a word of K vectors is K ids in a row or left out altogether. What other programs would read in a prompt is text here
//! ([`foreign`](super::foreign)), but for one thing: `embedding:name` is the word itself. Whatever else a prompt may come to express (weights of
//! its parts, for example) would be read here too, and kept in [`Prompt`].

use std::ops::Range;

use super::likeness::nearest;
use super::scan;
use super::tokenizer::{ClipTokenizer, Origin, Word};
use super::unknown::{unknown_names, with_prefix};
use crate::Result;
use crate::config::Pooling;

/// A prompt as one text encoder takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tokens {
    /// Start, words, end, padding. Ids from the vocabulary's size on are rows of learned words.
    pub ids: Vec<u32>,
    /// The place of the first end token.
    pub end: usize,
    /// Ids of the text before it was cut, without start and end.
    pub length: usize,
    /// The end of the text that did not fit, if any.
    pub fallen: Option<String>,
    /// Learned words that are in the ids, in order of appearance, once each.
    pub words: Vec<String>,
}

impl Tokens {
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompt {
    /// As each of the model's text encoders takes it, in their order.
    pub encoders: Vec<Tokens>,
}

impl Prompt {
    /// As the first text encoder takes it: messages about a prompt are about this.
    ///
    /// # Panics
    /// If there is none.
    pub fn tokens(&self) -> &Tokens {
        &self.encoders[0]
    }
}

impl From<Tokens> for Prompt {
    /// The prompt of a model with one text encoder.
    fn from(tokens: Tokens) -> Self {
        Self { encoders: vec![tokens] }
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

    /// Turns a text into ids, with learned words as their rows.
    pub fn prompt(&self, text: &str) -> Prompt {
        Prompt { encoders: self.0.iter().map(|tokenizer| tokenizer.prompt(text)).collect() }
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
    /// Turns a text into ids, with learned words as their rows.
    pub fn prompt(&self, text: &str) -> Tokens {
        let mut ids = vec![self.start];
        let mut words = Vec::new();
        let mut fallen = None;
        let mut length = 0;
        let room = self.length - 1;
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
                fallen = Some(text[piece.starts[fitting]..].trim().to_owned());
            }
        }
        ids.push(self.end);
        let padding = std::iter::repeat_n(self.pad, self.length - ids.len());
        // A prompt may have one itself, as text.
        let end = ids.iter().position(|id| *id == self.end).unwrap_or(0);
        let end = if self.pads_left { padding.len() + end } else { end };
        ids = if self.pads_left { padding.chain(ids).collect() } else { ids.into_iter().chain(padding).collect() };
        Tokens { ids, end, length, fallen, words }
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

    /// Where in a text a learned word begins for the first time.
    pub fn place_of(&self, text: &str, token: &str) -> Option<usize> {
        self.occurrences(text).find(|(word, _)| self.words[*word].token == token).map(|(_, at)| at.start)
    }

    /// What in a text looks like the name of an embedding and is not known, each with the name most like it of those that
    /// are known, or of some `others` that are at hand.
    pub fn unknown_names<'a>(&'a self, text: &str, others: &'a [String]) -> Vec<(String, Option<&'a str>)> {
        let known: Vec<Range<usize>> = self.occurrences(text).map(|(_, at)| at).collect();
        let words = self.words.iter().filter(|word| word.origin != Origin::Hidden).map(|word| word.token.as_str());
        let words: Vec<&str> = words.collect();
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
    use crate::parts::Part;

    fn tokenizer() -> ClipTokenizer {
        pollster::block_on(ClipTokenizer::load(&crate::mini::source(), Part::Tokenizer, 3035, 77)).unwrap()
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
        let prompt = tokenizer.prompt("a cat <|endoftext|> a dog");
        let ends: Vec<usize> =
            prompt.ids.iter().enumerate().filter(|(_, id)| **id == tokenizer.end).map(|(place, _)| place).collect();
        assert_eq!((prompt.end, ends[0]), (3, 3));
        assert_eq!(tokenizer.prompt("a cat").end, 3);
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
