//! The language of the compel library (InvokeAI; the users of diffusers), as the grammar of `compel/prompt_parser.py` has it:
//!
//! `word+` is the word with a weight of 1.1, `word++` of 1.1 squared, `word-` of 0.9; several words are weighed in round
//! brackets or quotation marks, `(red ball)++`, and with numbers as well, `(red ball)1.3`; what stands inside of another
//! multiplies. The sign follows at once. A hyphen in a word is none, nor is a plus.
//!
//! Groups are read if all of them can be: what has a stray `+`, `-`, `=`, bracket or quotation mark in it is text, up to the
//! next comma or white space, and what follows is read for itself. So is a word that has a full stop before its sign, or
//! brackets right behind its letters. Backslashes make text of the signs `( ) " , . + - =`; only those before brackets and
//! quotation marks fall away. Words and groups are one text, with a space between, if their weights are one.
//!
//! `.blend(`, `.and(`, `.swap(`, `.attend(` and LoRAs are not read: `text::foreign` names them.

use super::letters::{Letter, Letters};
use super::{Reading, fits};
use crate::text::foreign::{self, Kind};

/// What a sign does.
const PLUS: f64 = 1.1;
const MINUS: f64 = 0.9;

/// What a backslash makes text of.
const SIGNS: &str = "()\",.+-=";

/// Before what backslashes fall away.
const ESCAPED: &str = "()\"";

/// Within what something is read: in quotation marks there are no others, and no line ends.
#[derive(Clone, Copy, PartialEq)]
enum Within {
    Brackets,
    Quotes,
}

pub(super) fn read(letters: &Letters, reading: &mut Reading) {
    let grammar = Grammar::new(letters);
    // The groups that are being read: of what kind, where each closes and ends, and the weight in it.
    let mut open: Vec<(Within, Weighed)> = Vec::new();
    let mut at = 0;
    while at < letters.len() {
        let innermost = open.last();
        let (within, weight) = innermost.map_or((None, 1.0), |(within, group)| (Some(*within), group.weight));
        if let Some((_, group)) = open.pop_if(|(_, group)| group.close == at) {
            at = group.end;
            continue;
        }
        if letters.char(at).is_some_and(is_space) {
            at += 1;
            continue;
        }
        if let Some((within, mut group)) = grammar.group(at, within.unwrap_or(Within::Brackets)) {
            group.weight = reading.product(weight, group.weight, letters.bytes(at..group.end));
            let number = group.close + 1..grammar.number(group.close + 1);
            if number.end > group.end {
                reading.found.push((letters.bytes(at..number.end), Kind::NotAWeight));
            }
            open.push((within, group));
            at += 1;
            continue;
        }
        let word = grammar.weighed(grammar.ends[at].word, false);
        let (close, end, factor) = match within {
            // A word that can be anything, if it has no sign.
            None if word.close == at || word.end == word.close => {
                let end = free_word(letters, at);
                if let Some(signs) = foreign::signs(letters.str(at..end)) {
                    let from = letters.bytes(at..end).start;
                    reading.found.push((from + signs.start..from + signs.end, Kind::Signs));
                }
                (end, end, 1.0)
            }
            // A comma or a full stop.
            Some(_) if word.close == at => (at + 1, at + 1, 1.0),
            _ => (word.close, word.end, word.weight),
        };
        let weight = reading.product(weight, factor, letters.bytes(at..end));
        reading.parts.space();
        reading.texts(letters, at..close, ESCAPED, weight);
        at = end;
    }
}

/// Where a word ends in which anything can be: at white space and behind commas. (There, a space is put behind each comma, but
/// not between two.)
fn free_word(letters: &Letters, at: usize) -> usize {
    let mut end = at;
    let mut behind_comma = at > 0 && letters.char(at - 1) == Some(',');
    loop {
        match letters.at(end) {
            Letter::End => return end,
            Letter::Char(c) if is_space(c) => return end,
            Letter::Char(',') if !behind_comma => return end + 1,
            _ => end += 1,
        }
        behind_comma = false;
    }
}

/// A group, or a word with its signs.
#[derive(Clone, Copy)]
struct Weighed {
    /// Where it ends without its weight: for a group, the place of what closes it.
    close: usize,
    /// Where it ends.
    end: usize,
    weight: f64,
}

/// What can be read from a place on: where it ends.
#[derive(Clone, Copy)]
struct Ends {
    /// Of a word without signs: the place itself if there is none.
    word: usize,
    /// Of equal signs: the place itself if there is none.
    signs: usize,
    /// Of everything that can be in brackets, and in quotation marks: the place of what cannot.
    all: [usize; 2],
}

/// What can be read from each place on. It is found from the end, so that nothing is tried twice.
struct Grammar<'a> {
    letters: &'a Letters<'a>,
    ends: Vec<Ends>,
}

impl<'a> Grammar<'a> {
    fn new(letters: &'a Letters<'a>) -> Self {
        let length = letters.len();
        let ends = vec![Ends { word: length, signs: length, all: [length; 2] }; length + 1];
        let mut grammar = Self { letters, ends };
        for at in (0..length).rev() {
            let ends = &grammar.ends;
            let word = match grammar.unit(at) {
                0 => at,
                unit => ends[at + unit].word,
            };
            let signs = match letters.char(at) {
                Some(sign @ ('+' | '-')) if letters.char(at + 1) == Some(sign) => ends[at + 1].signs,
                Some('+' | '-') => at + 1,
                _ => at,
            };
            grammar.ends[at] = Ends { word, signs, all: [at; 2] };
            let all = [Within::Brackets, Within::Quotes].map(|within| {
                let end = grammar.item(at, within);
                end.map_or(at, |end| grammar.ends[end].all[within as usize])
            });
            grammar.ends[at].all = all;
        }
        grammar
    }

    /// How many letters of a word are here.
    fn unit(&self, at: usize) -> usize {
        let next = || self.letters.at(at + 1);
        match self.letters.at(at) {
            Letter::End => 0,
            Letter::Word(_) => 1,
            Letter::Char('\\') => match next() {
                Letter::Char(c) if SIGNS.contains(c) => 2,
                _ => 1,
            },
            // Not at a word's end.
            Letter::Char('+' | '-') => match next() {
                Letter::End => 0,
                Letter::Char(c) if is_space(c) || SIGNS.contains(c) => 0,
                _ => 1,
            },
            Letter::Char(c) => usize::from(!is_space(c) && !SIGNS.contains(c)),
        }
    }

    /// Where what stands here in a group ends, if it can stand there.
    fn item(&self, at: usize, within: Within) -> Option<usize> {
        match self.letters.char(at) {
            Some('(' | '"') => self.group(at, within).map(|(_, group)| group.end),
            Some(',' | '.') => Some(at + 1),
            Some('\r' | '\n') if within == Within::Quotes => None,
            Some(c) if is_space(c) => Some(at + 1),
            _ => Some(self.ends[at].word).filter(|word| *word > at).map(|word| self.ends[word].signs),
        }
    }

    /// The group that begins here, and what can be in it.
    fn group(&self, at: usize, within: Within) -> Option<(Within, Weighed)> {
        let (inside, closing) = match self.letters.char(at) {
            Some('(') => (within, ')'),
            Some('"') if within == Within::Brackets => (Within::Quotes, '"'),
            _ => return None,
        };
        let close = self.ends[at + 1].all[inside as usize];
        let closed = self.letters.char(close) == Some(closing);
        closed.then(|| (inside, Weighed { close, ..self.weighed(close + 1, true) }))
    }

    /// What ends at a place, with the weight that stands there: signs, and behind a group numbers.
    fn weighed(&self, close: usize, group: bool) -> Weighed {
        let signs = self.ends[close].signs;
        let number = if group { self.number(close) } else { close };
        let typed = self.letters.str(close..number.max(close)).parse().ok().filter(|weight| fits(*weight));
        match self.letters.char(close) {
            Some('+') if signs > close => Weighed { close, end: signs, weight: PLUS.powf((signs - close) as f64) },
            Some('-') if signs > close => Weighed { close, end: signs, weight: MINUS.powf((signs - close) as f64) },
            _ => typed.map_or(Weighed { close, end: close, weight: 1.0 }, |weight| Weighed {
                close,
                end: number,
                weight,
            }),
        }
    }

    /// Where the number ends that begins here: the place itself if there is none.
    fn number(&self, at: usize) -> usize {
        let digits = |from| self.letters.skip(from, |c: char| c.is_ascii_digit());
        let whole = digits(at);
        match self.letters.char(whole) {
            Some('.') if digits(whole + 1) > whole + 1 || whole > at => digits(whole + 1),
            _ => whole,
        }
    }
}

/// What is between words.
fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t'..='\r')
}
