//! Where names occur in a text: the one rule by which learned words are found in prompts, captions and the list of
//! kept embeddings, and by which two names are the same.
//!
//! Words are found in the text itself and not among its tokens. CLIP's text has neither case nor two spellings of one
//! letter, and any run of white space is one space: so a word is found in any case, in any canonical form of Unicode
//! (`ê`, or `e` and an accent) and across line breaks. A word that begins or ends with a letter must begin or end at a
//! word's edge, so `cat` is not in "category"; and of words that begin at the same place the longest is meant.

use std::ops::Range;

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// Where names occur in a text, from its beginning: which name, and the bytes that it takes. Matches do not overlap.
pub fn occurrences<N: AsRef<str>>(text: &str, names: &[N]) -> impl Iterator<Item = (usize, Range<usize>)> {
    let names = Names::new(names);
    let mut rest = Rest::of(text);
    std::iter::from_fn(move || names.next_in(&mut rest))
}

/// Names that are looked for in more than one text.
pub struct Names<'a, N> {
    names: &'a [N],
    keys: Vec<String>,
}

impl<'a, N: AsRef<str>> Names<'a, N> {
    /// Takes the names.
    pub fn new(names: &'a [N]) -> Self {
        Self { names, keys: names.iter().map(|name| key(name.as_ref())).collect() }
    }

    /// Where they are, as [`occurrences`] says it.
    pub fn occurrences(&self, text: &str) -> impl Iterator<Item = (usize, Range<usize>)> {
        // Most prompts have none, and are not taken apart for nothing.
        let mut rest = Rest::of(if self.names.is_empty() { "" } else { text });
        std::iter::from_fn(move || self.next_in(&mut rest))
    }

    fn next_in(&self, rest: &mut Rest) -> Option<(usize, Range<usize>)> {
        while let Some(first) = rest.pieces.get(rest.first) {
            if let Some((name, count)) = name_at(rest.text, &rest.pieces[rest.first..], self.names, &self.keys) {
                let found = first.at.start..rest.pieces[rest.first + count - 1].at.end;
                rest.first += count;
                return Some((name, found));
            }
            rest.first += 1;
        }
        None
    }
}

/// A text, and how much of it was looked at.
struct Rest<'a> {
    text: &'a str,
    pieces: Vec<Piece>,
    first: usize,
}

impl<'a> Rest<'a> {
    fn of(text: &'a str) -> Self {
        Self { text, pieces: pieces(text), first: 0 }
    }
}

/// What is the same of all spellings of a name: two names with one key are one name.
pub fn key(name: &str) -> String {
    pieces(name.trim()).iter().map(|piece| piece.key.as_str()).collect()
}

/// A letter with its accents, or a run of white space.
struct Piece {
    at: Range<usize>,
    key: Key,
}

/// What is the same of all spellings of a piece.
enum Key {
    /// Of nearly all of them, which should cost nothing.
    Ascii([u8; 1]),
    Other(String),
}

impl Key {
    fn as_str(&self) -> &str {
        match self {
            Self::Ascii(letter) => str::from_utf8(letter).unwrap_or_default(),
            Self::Other(key) => key,
        }
    }
}

fn pieces(text: &str) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    let mut chars = text.char_indices().peekable();
    while let Some((start, first)) = chars.next() {
        let space = first.is_whitespace();
        let belongs =
            |next: char| if space { next.is_whitespace() } else { !next.is_ascii() && is_combining_mark(next) };
        let mut end = start + first.len_utf8();
        while let Some((at, next)) = chars.next_if(|(_, next)| belongs(*next)) {
            end = at + next.len_utf8();
        }
        let key = match first {
            _ if space => Key::Ascii(*b" "),
            _ if first.is_ascii() && end == start + 1 => Key::Ascii([first.to_ascii_lowercase() as u8]),
            _ => Key::Other(folded(&text[start..end])),
        };
        pieces.push(Piece { at: start..end, key });
    }
    pieces
}

/// Without case and canonically decomposed, as Unicode compares (The Unicode Standard, section 3.13).
fn folded(piece: &str) -> String {
    piece.nfd().flat_map(without_case).nfd().collect()
}

/// The case folding of a character: `SS` for a sharp s, as its capital is, and one sigma. Only the dotless i, whose
/// capital is that of another letter, stays what it is.
fn without_case(c: char) -> Vec<char> {
    if c.is_ascii() || c == 'ı' {
        return vec![c.to_ascii_lowercase()];
    }
    c.to_lowercase().flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect()
}

/// The longest name that a stretch of text begins with, and how many pieces it takes; of several the one as it is
/// written, else the first.
fn name_at(text: &str, pieces: &[Piece], names: &[impl AsRef<str>], keys: &[String]) -> Option<(usize, usize)> {
    let start = pieces[0].at.start;
    // The last of the largest is taken, so from the end.
    let found = keys.iter().enumerate().rev().filter_map(|(number, key)| {
        let count = spelled(pieces, key)?;
        let end = pieces[count - 1].at.end;
        let inside = |edge: Option<char>, neighbour: Option<char>| {
            edge.is_some_and(is_word_char) && neighbour.is_some_and(is_word_char)
        };
        let cut = inside(key.chars().next(), text[..start].chars().next_back())
            || inside(key.chars().next_back(), text[end..].chars().next());
        (!cut).then_some((number, count))
    });
    let as_written = |number: usize, count: usize| text[start..pieces[count - 1].at.end] == *names[number].as_ref();
    found.max_by_key(|(number, count)| (*count, as_written(*number, *count)))
}

fn is_word_char(c: char) -> bool {
    c.is_alphanumeric() || is_combining_mark(c) || c == '_' || c == '-'
}

/// How many pieces spell a key, which is nowhere if it is empty.
fn spelled(pieces: &[Piece], key: &str) -> Option<usize> {
    let mut wanted = key;
    for (before, piece) in pieces.iter().enumerate() {
        if wanted.is_empty() {
            return Some(before).filter(|before| *before > 0);
        }
        wanted = wanted.strip_prefix(piece.key.as_str())?;
    }
    (wanted.is_empty() && !pieces.is_empty()).then_some(pieces.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str, names: &[&str]) -> Vec<String> {
        occurrences(text, names).map(|(name, at)| format!("{}:{}", names[name], &text[at])).collect()
    }

    #[test]
    fn the_longest_name_is_meant_and_none_inside_of_a_word() {
        let names = ["cat", "<cat>", "cat-2", "İx"];
        assert_eq!(found("a cat, a CAT and <Cat>", &names), ["cat:cat", "cat:CAT", "<cat>:<Cat>"]);
        assert_eq!(found("category, tomcat, cat-2 (cat)", &names), ["cat-2:cat-2", "cat:cat"]);
        assert_eq!(found("", &names), [""; 0]);
        assert_eq!(found("i̇x İX", &names), ["İx:i̇x", "İx:İX"]);
    }

    #[test]
    fn of_names_that_differ_in_case_the_one_as_it_is_written_is_meant() {
        assert_eq!(found("Foo foo", &["foo", "Foo"]), ["Foo:Foo", "foo:foo"]);
        assert_eq!(found("FOO", &["foo", "Foo"]), ["foo:FOO"], "else the first");
    }

    #[test]
    fn an_empty_name_is_nowhere() {
        assert_eq!(found("cat", &["", " "]), [""; 0]);
    }

    #[test]
    fn a_name_is_found_in_any_canonical_form() {
        let (composed, apart) = ("<cr\u{ea}pe>", "<cre\u{302}pe>");
        for (text, name) in
            [(composed, apart), (apart, composed), ("<CRE\u{302}PE>", composed), ("<CR\u{ca}PE>", apart)]
        {
            assert_eq!(found(&format!("a {text}, hot"), &[name]), [format!("{name}:{text}")]);
        }
        // Two accents, in both orders; a Korean syllable and its letters; a letter that is another's sign.
        assert_eq!(key("q\u{323}\u{307}"), key("q\u{307}\u{323}"));
        assert_eq!(key("\u{d55c}"), key("\u{1112}\u{1161}\u{11ab}"));
        assert_eq!(key("\u{212b}"), key("\u{e5}"));
        // A letter is not the same letter with an accent, and not a part of it.
        assert_eq!(found("cre\u{302} cr\u{ea} <cre\u{338}", &["cre", "<cre"]), [""; 0]);
        assert_eq!(found("\u{1112}\u{1161}\u{11ab}", &["\u{d558}"]), [""; 0]);
    }

    #[test]
    fn a_name_is_found_in_any_case_of_any_script() {
        for (one, other) in [("straße", "STRASSE"), ("STRAẞE", "straße"), ("ΣΑΣ", "σας"), ("жук", "ЖУК"), ("ǆ", "ǅ")]
        {
            assert_eq!(found(&format!("({other})"), &[one]), [format!("{one}:{other}")]);
        }
        assert_eq!(found("ß", &["s"]), [""; 0], "half of a letter");
        assert_eq!(found("isi", &["ısı"]), [""; 0], "another letter");
    }

    #[test]
    fn a_space_in_a_name_is_any_white_space() {
        let names = ["Soft Rabbit v2", "<moon rabbit >"];
        let text = "a soft  rabbit\nV2 and <moon\u{a0}rabbit >";
        assert_eq!(found(text, &names), ["Soft Rabbit v2:soft  rabbit\nV2", "<moon rabbit >:<moon\u{a0}rabbit >"]);
        assert_eq!(found("softrabbit v2, <moon rabbit>", &names), [""; 0]);
        assert_eq!(found("a cat", &[" cat "]), [" cat :cat"]);
    }
}
