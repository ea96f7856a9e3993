//! Prompts as people write them: a text and the language that it is written in become parts with weights.
//!
//! [`parse`] is the one door, for prompts of every kind. It knows no tokens and no model: what it gives is tokenised, cut
//! into stretches that a text encoder can take, and weighed by others.
//!
//! **Learned words come first.** Their occurrences are looked for in the text as it is typed
//! ([`scan`](super::scan)), `embedding:name` among them, and each is one letter for every language: a word called `(x)`,
//! `S*` or `word+` is never taken apart, and `((x):1.2)` weighs it. The one exception is a name that is itself a number and
//! stands where a weight does, as `1.2` in `(hill:1.2)`. What only becomes a name by being read (`\(x\)`, or `cat` in
//! compel's `cat-`) is found afterwards, in the text of the parts.
//!
//! **What a language does not know is text, and a note says so** ([`Foreign`]): nothing is text in silence that another
//! program reads as more.
//!
//! Any text can be read: reading takes time and memory in proportion to its length, and the call stack does not grow with
//! the depth of its brackets. Weights are finite; what grows beyond [`f32::MAX`] stays there, and is noted.

mod a1111;
mod comfyui;
mod compel;
mod letters;
mod parts;

use std::ops::Range;

use super::foreign::{self, Foreign, Kind};
use super::scan::Names;
use crate::config::PromptSyntax;
use letters::Letters;
use parts::Parts;

/// A prompt that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Parsed {
    /// In the order of the text. There is none of no length; an empty prompt has none at all.
    pub parts: Vec<Part>,
    /// What is text here and more than text elsewhere, in the order of the text; each kind once.
    pub notes: Vec<Foreign>,
}

/// A part of a prompt. Each is turned into tokens for itself: `(can)vas` is "can" and "vas".
#[derive(Debug, Clone, PartialEq)]
pub enum Part {
    /// Text of one weight, without learned words in it.
    Text {
        /// With escapes resolved, and with the white space that was typed. (Compel's has one space between its words.)
        text: String,
        /// Finite; 1 is usual.
        weight: f32,
        /// Where in the prompt it was typed.
        places: Places,
    },
    /// A learned word.
    Word {
        /// Its number among the words that [`parse`] was given.
        word: usize,
        /// That of all of its vectors: finite; 1 is usual.
        weight: f32,
        /// The bytes of the prompt that name it, with `embedding:` and a file's ending where they are written.
        at: Range<usize>,
    },
    /// A new stretch of tokens begins, whether the last one is full or not.
    Break {
        /// The bytes of the keyword.
        at: Range<usize>,
    },
}

/// Where the bytes of a part's text are in the prompt.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Places {
    /// From where on in the text, and in the prompt, the two run alike; the first of the text's is 0.
    runs: Vec<(usize, usize)>,
}

impl Places {
    /// The place in the prompt of a byte of the text.
    pub fn in_prompt(&self, at: usize) -> usize {
        let run = self.runs.partition_point(|(from, _)| *from <= at).checked_sub(1);
        run.map_or(at, |run| at - self.runs[run].0 + self.runs[run].1)
    }
}

/// Reads a prompt. `words` are the names of learned words, which [`Part::Word`] numbers.
pub fn parse<N: AsRef<str>>(text: &str, syntax: PromptSyntax, words: &[N]) -> Parsed {
    let words = Names::new(words);
    let mut known = letters::words_in(text, &words);
    if syntax != PromptSyntax::Plain {
        known.retain(|(_, at)| !letters::is_weight(text, at));
    }
    let reading = read(&Letters::new(text, &known), syntax);
    let places: Vec<Range<usize>> = known.into_iter().map(|(_, at)| at).collect();
    let notes = foreign::notes(text, syntax, &places, reading.found);
    Parsed { parts: reading.parts.finish(&words), notes }
}

/// What the language's reader makes of a text.
fn read<'a>(letters: &Letters<'a>, syntax: PromptSyntax) -> Reading<'a> {
    let mut reading = Reading { parts: Parts::new(letters.text), found: Vec::new() };
    match syntax {
        PromptSyntax::A1111 => a1111::read(letters, &mut reading),
        PromptSyntax::ComfyUi => comfyui::read(letters, &mut reading),
        PromptSyntax::Compel => compel::read(letters, &mut reading),
        PromptSyntax::Plain => plain(letters, &mut reading),
    }
    reading
}

/// What a reader fills.
struct Reading<'a> {
    parts: Parts<'a>,
    /// What is text although it looks like more, where only the reader can tell.
    found: Vec<(Range<usize>, Kind)>,
}

impl Reading<'_> {
    /// Some letters as text, and the learned words among them; without the backslashes before what is `escaped`.
    fn texts(&mut self, letters: &Letters, at: Range<usize>, escaped: &str, weight: f64) {
        let mut from = at.start;
        for place in at.clone() {
            let next = || letters.char(place + 1);
            let escape = letters.char(place) == Some('\\') && next().is_some_and(|next| escaped.contains(next));
            let word = letters.word(place);
            if escape || word.is_some() {
                self.parts.text(letters.bytes(from..place), weight);
                from = place + 1;
            }
            if let Some(word) = word {
                self.parts.word(word, letters.bytes(place..place + 1), weight);
            }
        }
        self.parts.text(letters.bytes(from..at.end), weight);
    }

    /// The product of weights, kept within what a number can be.
    fn product(&mut self, one: f64, other: f64, at: Range<usize>) -> f64 {
        let (product, most) = (one * other, f64::from(f32::MAX));
        if product.abs() > most {
            self.found.push((at, Kind::Beyond));
        }
        product.clamp(-most, most)
    }
}

/// Whether a weight that was typed is a number that a weight can be.
fn fits(weight: f64) -> bool {
    weight.abs() <= f64::from(f32::MAX)
}

/// Everything is text.
fn plain(letters: &Letters, reading: &mut Reading) {
    reading.texts(letters, 0..letters.len(), "", 1.0);
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
