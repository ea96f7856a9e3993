//! ComfyUI's language, as `token_weights` and `escape_important` of `comfy/sd1_clip.py` read it:
//!
//! `(x)` weighs x 1.1 times as much as what is around it, `(x:1.3)` gives it a weight of 1.3, whatever is around it; of
//! brackets in brackets the innermost number counts. A backslash makes text of a round bracket and is text elsewhere; so
//! are square brackets. What stands in brackets is a part for itself, even if its weight is that of its neighbour.
//!
//! Brackets without a partner, as there: one that closes nothing is text, and so is the next that would open; what is not
//! closed is text to its end, unless that end is a bracket: then it takes that one from the pair inside of it.

use std::ops::Range;

use super::letters::{Letter, Letters};
use super::{Reading, fits};
use crate::text::foreign::Kind;

/// What a pair of brackets without a number does to the weight in it.
const MORE: f64 = 1.1;

/// What a backslash makes text of.
const ESCAPED: &str = "()";

/// What an opening bracket is.
#[derive(Clone, Copy, PartialEq)]
enum Opening {
    /// Text, as every other letter is.
    Text,
    /// Closed at this place.
    Closed(usize),
    Unclosed,
}

/// Places that are being read.
struct Stretch {
    at: Range<usize>,
    weight: f64,
}

pub(super) fn read(letters: &Letters, reading: &mut Reading) {
    let openings = openings(letters);
    let mut open = vec![Stretch { at: 0..letters.len(), weight: 1.0 }];
    while let Some(Stretch { at, weight }) = open.pop() {
        reading.parts.separate();
        let (group, close) = next_group(letters, &openings, &at);
        reading.texts(letters, at.start..group, ESCAPED, weight);
        if close == at.end {
            reading.parts.separate();
            reading.texts(letters, group..at.end, ESCAPED, weight);
            continue;
        }
        open.push(Stretch { at: close + 1..at.end, weight });
        let inside = group + 1..close;
        open.push(match number(letters, &inside, reading) {
            Some((weight, colon)) => Stretch { at: inside.start..colon, weight },
            None => {
                let weight = reading.product(weight, MORE, letters.bytes(group..group + 1));
                Stretch { at: inside, weight }
            }
        });
    }
}

/// Whether a place has a bracket, and none that a backslash makes text of.
fn is_bracket(letters: &Letters, at: usize, bracket: char) -> bool {
    letters.char(at) == Some(bracket) && !(at > 0 && letters.char(at - 1) == Some('\\'))
}

/// What each letter of a text is, as an opening bracket.
fn openings(letters: &Letters) -> Vec<Opening> {
    let mut openings = vec![Opening::Text; letters.len()];
    let mut open = Vec::new();
    // How many more were closed than opened.
    let mut missing = 0_usize;
    for at in 0..letters.len() {
        if is_bracket(letters, at, '(') {
            if missing > 0 {
                missing -= 1;
            } else {
                openings[at] = Opening::Unclosed;
                open.push(at);
            }
        } else if is_bracket(letters, at, ')') {
            match open.pop() {
                Some(opening) => openings[opening] = Opening::Closed(at),
                None => missing += 1,
            }
        }
    }
    openings
}

/// The next pair of brackets in a stretch. What is not closed ends with the stretch.
fn next_group(letters: &Letters, openings: &[Opening], at: &Range<usize>) -> (usize, usize) {
    for (place, opening) in at.clone().zip(&openings[at.clone()]) {
        match opening {
            Opening::Text => {}
            Opening::Closed(close) if *close < at.end => return (place, *close),
            // A bracket at the end is inner brackets' own, which are then what is not closed.
            _ if at.end - 1 > place && is_bracket(letters, at.end - 1, ')') => return (place, at.end - 1),
            _ => return (place, at.end),
        }
    }
    (at.end, at.end)
}

/// The weight at the end of what stands in brackets, and the place of its colon, before which something must stand.
fn number(letters: &Letters, inside: &Range<usize>, reading: &mut Reading) -> Option<(f64, usize)> {
    let ends = |at: &usize| matches!(letters.at(*at), Letter::Word(_) | Letter::Char('(' | ')' | ':'));
    let colon = inside.clone().rev().find(ends).filter(|at| letters.char(*at) == Some(':') && *at > inside.start)?;
    let weight = letters.str(colon + 1..inside.end).trim().parse::<f64>().ok()?;
    if !fits(weight) {
        reading.found.push((letters.bytes(colon..inside.end), Kind::NotAWeight));
    }
    fits(weight).then_some((weight, colon))
}
