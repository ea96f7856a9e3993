//! The parts of a prompt, put together.

use std::ops::Range;

use super::letters::words_in;
use super::{Part, Places};
use crate::text::scan::Names;

/// What comes between a text and the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Between {
    /// Nothing: they are one text if their weights are one.
    Nothing,
    /// The same, with a space.
    Space,
    /// They are parts of their own.
    Parts,
}

/// Takes parts in the order of the text, and makes one of neighbours of one weight.
pub(super) struct Parts<'a> {
    prompt: &'a str,
    parts: Vec<Part>,
    between: Between,
}

impl<'a> Parts<'a> {
    pub fn new(prompt: &'a str) -> Self {
        Self { prompt, parts: Vec::new(), between: Between::Nothing }
    }

    /// Has a space before the next text, where it does not begin a part.
    pub fn space(&mut self) {
        self.between = Between::Space;
    }

    /// Lets the next text begin a part.
    pub fn separate(&mut self) {
        self.between = Between::Parts;
    }

    /// Some bytes of the prompt, as text.
    pub fn text(&mut self, at: Range<usize>, weight: f64) {
        if at.is_empty() {
            return;
        }
        let (new, weight) = (&self.prompt[at.clone()], weight as f32);
        let between = std::mem::replace(&mut self.between, Between::Nothing);
        match self.parts.last_mut() {
            Some(Part::Text { text, weight: its, places }) if *its == weight && between != Between::Parts => {
                if between == Between::Space {
                    text.push(' ');
                }
                if places.in_prompt(text.len()) != at.start {
                    places.runs.push((text.len(), at.start));
                }
                text.push_str(new);
            }
            _ => {
                let places = Places { runs: vec![(0, at.start)] };
                self.parts.push(Part::Text { text: new.to_owned(), weight, places });
            }
        }
    }

    /// A learned word.
    pub fn word(&mut self, word: usize, at: Range<usize>, weight: f64) {
        self.parts.push(Part::Word { word, weight: weight as f32, at });
        self.between = Between::Nothing;
    }

    /// The end of a stretch.
    pub fn end_stretch(&mut self, at: Range<usize>) {
        self.parts.push(Part::Break { at });
        self.between = Between::Nothing;
    }

    /// All of them, with the learned words in their texts found.
    pub fn finish<N: AsRef<str>>(self, words: &Names<N>) -> Vec<Part> {
        let mut parts = Vec::with_capacity(self.parts.len());
        for part in self.parts {
            match part {
                Part::Text { text, weight, places } => named(text, weight, places, words, &mut parts),
                part => parts.push(part),
            }
        }
        parts
    }
}

/// A text as the parts that it is: learned words, and what is between them.
fn named<N: AsRef<str>>(text: String, weight: f32, places: Places, words: &Names<N>, parts: &mut Vec<Part>) {
    let found = words_in(&text, words);
    if found.is_empty() {
        parts.push(Part::Text { text, weight, places });
        return;
    }
    let mut from = 0;
    for (word, at) in found {
        parts.extend(piece(&text, from..at.start, weight, &places));
        let last = text[at.clone()].chars().next_back().map_or(0, char::len_utf8);
        let typed = places.in_prompt(at.start)..places.in_prompt(at.end - last) + last;
        parts.push(Part::Word { word, weight, at: typed });
        from = at.end;
    }
    parts.extend(piece(&text, from..text.len(), weight, &places));
}

/// A piece of a text, if there is any.
fn piece(text: &str, at: Range<usize>, weight: f32, places: &Places) -> Option<Part> {
    let [first, last] = [at.start, at.end].map(|place| places.runs.partition_point(|(from, _)| *from <= place));
    let runs = places.runs[first..last].iter().map(|(from, to)| (from - at.start, *to));
    let runs = std::iter::once((0, places.in_prompt(at.start))).chain(runs).collect();
    (!at.is_empty()).then(|| Part::Text { text: text[at].to_owned(), weight, places: Places { runs } })
}
