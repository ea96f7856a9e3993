//! The text of a prompt as readers go through it: letter by letter, with each learned word as one.

use std::ops::Range;

use crate::text::scan::Names;
use crate::text::unknown::with_prefix;

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Letter {
    Char(char),
    /// A learned word, by its number.
    Word(usize),
    /// Behind the last.
    End,
}

/// A text, letter by letter. Places are counted in letters.
pub(super) struct Letters<'a> {
    pub text: &'a str,
    /// With the byte at which each begins.
    letters: Vec<(usize, Letter)>,
    /// How often one was looked at.
    #[cfg(test)]
    pub looks: std::cell::Cell<usize>,
}

impl<'a> Letters<'a> {
    /// Takes the text apart; `words` are its learned words in order.
    pub fn new(text: &'a str, words: &[(usize, Range<usize>)]) -> Self {
        let (mut letters, mut from) = (Vec::new(), 0);
        let chars = |at: Range<usize>| {
            text[at.clone()].char_indices().map(move |(place, c)| (at.start + place, Letter::Char(c)))
        };
        for (word, at) in words {
            letters.extend(chars(from..at.start));
            letters.push((at.start, Letter::Word(*word)));
            from = at.end;
        }
        letters.extend(chars(from..text.len()));
        letters.push((text.len(), Letter::End));
        Self {
            text,
            letters,
            #[cfg(test)]
            looks: std::cell::Cell::default(),
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.letters.len() - 1
    }

    /// The letter at a place.
    pub fn at(&self, place: usize) -> Letter {
        #[cfg(test)]
        self.looks.set(self.looks.get() + 1);
        self.letters.get(place).map_or(Letter::End, |(_, letter)| *letter)
    }

    /// The character at a place, if one is there.
    pub fn char(&self, place: usize) -> Option<char> {
        match self.at(place) {
            Letter::Char(c) => Some(c),
            Letter::Word(_) | Letter::End => None,
        }
    }

    /// The learned word at a place, if one is there.
    pub fn word(&self, place: usize) -> Option<usize> {
        match self.at(place) {
            Letter::Word(word) => Some(word),
            Letter::Char(_) | Letter::End => None,
        }
    }

    /// The first place from one on at which no such character stands.
    pub fn skip(&self, mut from: usize, is: impl Fn(char) -> bool) -> usize {
        while self.char(from).is_some_and(&is) {
            from += 1;
        }
        from
    }

    /// The bytes of the text that letters take; there are none behind its end.
    pub fn bytes(&self, places: Range<usize>) -> Range<usize> {
        let byte = |place: usize| self.letters.get(place).map_or(self.text.len(), |(byte, _)| *byte);
        byte(places.start)..byte(places.end)
    }

    /// How they are written.
    pub fn str(&self, places: Range<usize>) -> &'a str {
        &self.text[self.bytes(places)]
    }
}

/// The learned words of a text, each with its bytes, in order.
pub(super) fn words_in<N: AsRef<str>>(text: &str, words: &Names<N>) -> Vec<(usize, Range<usize>)> {
    words.occurrences(text).map(|(word, at)| (word, with_prefix(text, at))).collect()
}

/// Whether a name is a number that stands where languages have weights: between a colon and a bracket, or behind a group.
pub(super) fn is_weight(text: &str, at: &Range<usize>) -> bool {
    let before = text[..at.start].trim_end_matches(['+', '-']);
    let inside = before.trim_end().ends_with(':') && text[at.end..].trim_start().starts_with(')');
    text[at.clone()].parse::<f64>().is_ok() && (inside || before.ends_with([')', '"']))
}
