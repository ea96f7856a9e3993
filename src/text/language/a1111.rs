//! The language of A1111's web interface and of Forge, as `parse_prompt_attention` of `modules/prompt_parser.py` reads it:
//!
//! `(x)` is x with a weight of 1.1, `[x]` of 1/1.1, `(x:1.3)` of 1.3; brackets in brackets multiply, and what is not
//! closed ends with the prompt. A backslash makes text of a bracket and of a backslash; before anything else it falls
//! away. `BREAK`, with the white space around it, ends a stretch of tokens. A colon with a number is a weight only before the
//! end of round brackets; neighbours of one weight are one text.
//!
//! Different from there: `BREAK` does the same inside of brackets (there it becomes a word of negative weight), and a weight
//! that is not one number (`(x:1.2.3)`, an error there) is text. Weights are one if they are in 32 bits, not in 64: `ab` of
//! `(a:1.21)((b))` is one text.
//!
//! `[from:to:when]`, `[a|b]` and `AND` are for the steps of a sampler, and not read: `text::foreign` names them.

use std::ops::Range;

use super::letters::{Letter, Letters};
use super::{Reading, fits};
use crate::text::foreign::{Kind, is_word_char};

/// What a pair of brackets does to the weight in it.
const ROUND: f64 = 1.1;
const SQUARE: f64 = 1.0 / ROUND;

const KEYWORD: &str = "BREAK";

/// The two kinds of brackets, which do not know of each other: `(a [b) c]` is well-formed.
#[derive(Clone, Copy)]
enum Brackets {
    Round,
    Square,
}

/// One of each for either kind of brackets.
#[derive(Default)]
struct Either<T> {
    round: T,
    square: T,
}

impl<T> Either<T> {
    fn of(&mut self, brackets: Brackets) -> &mut T {
        match brackets {
            Brackets::Round => &mut self.round,
            Brackets::Square => &mut self.square,
        }
    }
}

/// What there is in a text, in its order.
enum Event {
    /// Brackets with the factor of this number: which it is, is not known before they are closed.
    Open(Brackets, usize),
    Close(Brackets),
    Text,
    Word(usize),
    Break,
}

pub(super) fn read(letters: &Letters, reading: &mut Reading) {
    let (events, factors) = events(letters, reading);
    // For each pair of brackets that is open, what all of its kind make of a weight.
    let mut products: Either<Vec<f64>> = Either::default();
    let mut weight = 1.0;
    for (event, at) in events {
        match event {
            Event::Text => reading.parts.text(at, weight),
            Event::Word(word) => reading.parts.word(word, at, weight),
            Event::Break => reading.parts.end_stretch(at),
            Event::Open(brackets, number) => {
                let outside = products.of(brackets).last().copied().unwrap_or(1.0);
                let product = reading.product(outside, factors[number], at.clone());
                products.of(brackets).push(product);
                weight = inside(&products, at, reading);
            }
            Event::Close(brackets) => {
                products.of(brackets).pop();
                weight = inside(&products, at, reading);
            }
        }
    }
}

/// The weight inside of all brackets that are open.
fn inside(products: &Either<Vec<f64>>, at: Range<usize>, reading: &mut Reading) -> f64 {
    let [round, square] = [&products.round, &products.square].map(|each| each.last().copied().unwrap_or(1.0));
    reading.product(round, square, at)
}

/// What there is in a text, with its bytes, and the factors of its brackets.
fn events(letters: &Letters, reading: &mut Reading) -> (Vec<(Event, Range<usize>)>, Vec<f64>) {
    let (mut events, mut factors) = (Vec::new(), Vec::new());
    // The numbers of those that are open.
    let mut open: Either<Vec<usize>> = Either::default();
    let mut at = 0;
    loop {
        let one = letters.bytes(at..at + 1);
        match letters.at(at) {
            Letter::End => break,
            Letter::Word(word) => events.push((Event::Word(word), one)),
            Letter::Char('\\') => {
                if letters.char(at + 1).is_some_and(|c| "\\()[]".contains(c)) {
                    at += 1;
                    events.push((Event::Text, letters.bytes(at..at + 1)));
                }
            }
            Letter::Char(bracket @ ('(' | '[')) => {
                let (brackets, factor) =
                    if bracket == '(' { (Brackets::Round, ROUND) } else { (Brackets::Square, SQUARE) };
                open.of(brackets).push(factors.len());
                events.push((Event::Open(brackets, factors.len()), one));
                factors.push(factor);
            }
            Letter::Char(bracket @ (')' | ']')) => {
                let brackets = if bracket == ')' { Brackets::Round } else { Brackets::Square };
                let event = open.of(brackets).pop().map_or(Event::Text, |_| Event::Close(brackets));
                events.push((event, one));
            }
            Letter::Char(':') => match weight(letters, at, reading) {
                Some((factor, end)) if !open.round.is_empty() => {
                    if let Some(number) = open.round.pop() {
                        factors[number] = factor;
                    }
                    events.push((Event::Close(Brackets::Round), letters.bytes(at..end)));
                    at = end - 1;
                }
                _ => events.push((Event::Text, one)),
            },
            Letter::Char(_) => {
                let end = letters.skip(at, |c| !"\\()[]:".contains(c));
                texts(letters.text, letters.bytes(at..end), &mut events);
                at = end - 1;
            }
        }
        at += 1;
    }
    (events, factors)
}

/// The weight behind a colon that a bracket follows, and where that bracket ends.
fn weight(letters: &Letters, colon: usize, reading: &mut Reading) -> Option<(f64, usize)> {
    let from = letters.skip(colon + 1, char::is_whitespace);
    let sign = usize::from(matches!(letters.char(from), Some('+' | '-')));
    let end = letters.skip(from + sign, |c| c == '.' || c.is_ascii_digit());
    let bracket = letters.skip(end, char::is_whitespace);
    if end == from + sign || letters.char(bracket) != Some(')') {
        return None;
    }
    let weight = letters.str(from..end).parse::<f64>().ok().filter(|weight| fits(*weight));
    if weight.is_none() {
        reading.found.push((letters.bytes(colon..bracket + 1), Kind::NotAWeight));
    }
    Some((weight?, bracket + 1))
}

/// Some bytes of a text without brackets, cut where the keyword stands.
fn texts(text: &str, at: Range<usize>, events: &mut Vec<(Event, Range<usize>)>) {
    let (run, mut from) = (&text[at.clone()], 0);
    for (start, _) in run.match_indices(KEYWORD) {
        let end = start + KEYWORD.len();
        let edges = [run[..start].chars().next_back(), run[end..].chars().next()];
        if !edges.into_iter().flatten().any(is_word_char) {
            // The space before it may be that behind the one before.
            let before = run[..start].trim_end().len().max(from);
            events.push((Event::Text, at.start + from..at.start + before));
            events.push((Event::Break, at.start + start..at.start + end));
            from = run.len() - run[end..].trim_start().len();
        }
    }
    events.push((Event::Text, at.start + from..at.end));
}
