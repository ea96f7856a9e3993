//! The names of embeddings that nobody gave: they are text, like the rest of the prompt, and a user should know that.
//!
//! What is ordinary text stays unsaid: `a <3 heart`, `<b>`, `5 * 3`.

use std::collections::HashSet;
use std::ops::Range;

use super::foreign::is_edge;

/// Names in angle brackets are no longer than this, and have at most so many spaces.
const LONGEST_NAME: usize = 40;
const MOST_SPACES: usize = 3;

/// Tags that prompts have from being copied out of pages.
const HTML: [&str; 24] = [
    "a", "b", "i", "u", "s", "p", "br", "hr", "em", "li", "ul", "ol", "tt", "h1", "h2", "h3", "div", "sub", "sup",
    "img", "code", "span", "font", "strong",
];

/// What looks like the name of an embedding; `known` are the places of those that are, in order. Each once, in order.
pub fn unknown_names(text: &str, known: &[Range<usize>]) -> Vec<String> {
    let free = |at: &Range<usize>| {
        let next = known.partition_point(|word| word.end <= at.start);
        known.get(next).is_none_or(|word| at.end <= word.start)
    };
    let slots = text.match_indices("{}").map(|(at, slot)| at..at + slot.len());
    let mut places: Vec<Range<usize>> = bracketed(text).chain(stars(text)).chain(prefixed(text)).chain(slots).collect();
    places.retain(free);
    places.sort_by_key(|at| at.start);
    let mut seen = HashSet::new();
    places.into_iter().map(|at| &text[at]).filter(|name| seen.insert(*name)).map(str::to_owned).collect()
}

/// `<name>`: not what is compared (`x < y`), nor a tag, nor a command (`<lora:...>`).
fn bracketed(text: &str) -> impl Iterator<Item = Range<usize>> {
    text.match_indices('<').filter_map(|(start, _)| {
        let inside = &text[start + 1..];
        let length = inside.find(['<', '>', '\n']).filter(|end| inside[*end..].starts_with('>'))?;
        let name = &inside[..length];
        let plain = |c: char| c.is_alphanumeric() || " -_.'*".contains(c) || !c.is_ascii();
        let usual = name.chars().next().is_some_and(|c| c.is_alphanumeric() || c == '_')
            && name.chars().any(char::is_alphabetic)
            && name.chars().all(plain)
            && name.chars().count() <= LONGEST_NAME
            && name.matches(' ').count() <= MOST_SPACES
            && !HTML.contains(&name.to_lowercase().as_str());
        usual.then_some(start..start + length + 2)
    })
}

/// `*` and `S*` on their own, as the paper writes its words.
fn stars(text: &str) -> impl Iterator<Item = Range<usize>> {
    text.match_indices('*').filter_map(|(at, _)| {
        let start = if text[..at].ends_with(['S', 's']) { at - 1 } else { at };
        let (before, after) = (&text[..start], &text[at + 1..]);
        let alone = |c: Option<char>| c.is_none_or(|c| c.is_whitespace() || ",.;:!?()".contains(c));
        let alone = alone(before.chars().next_back()) && alone(after.chars().next());
        // `3 * 4`, and the bullet of a list.
        let number = |side: &str, c: Option<char>| !side.is_empty() && c.is_some_and(|c| c.is_ascii_digit());
        let product =
            number(before, before.trim_end().chars().next_back()) && number(after, after.trim_start().chars().next());
        let begins = before.trim_end_matches(' ').chars().next_back().is_none_or(|c| c == '\n');
        let bullet = start == at && begins && after.starts_with(' ') && text.contains('\n');
        (alone && !product && !bullet).then_some(start..at + 1)
    })
}

/// What ComfyUI writes before the name of an embedding.
pub(super) const PREFIX: &str = "embedding:";

/// `embedding:name`.
fn prefixed(text: &str) -> impl Iterator<Item = Range<usize>> {
    let lower = text.to_ascii_lowercase();
    let places: Vec<usize> = lower.match_indices(PREFIX).map(|(at, _)| at).collect();
    places.into_iter().filter_map(|start| {
        let from = start + PREFIX.len();
        let length = text[from..].find(|c: char| c.is_whitespace() || ",:()[]|".contains(c));
        let end = length.map_or(text.len(), |length| from + length);
        (end > from && is_edge(&text[..start])).then_some(start..end)
    })
}

/// The place of a word with what other programs write about its name: `embedding:` before it, if that is not of its name, and
/// behind it the ending of its file.
pub(super) fn with_prefix(text: &str, word: Range<usize>) -> Range<usize> {
    let is_prefix = |at: Range<usize>| text.get(at).is_some_and(|text| text.eq_ignore_ascii_case(PREFIX));
    let before =
        word.start.checked_sub(PREFIX.len()).filter(|start| is_prefix(*start..word.start) && is_edge(&text[..*start]));
    let own = is_prefix(word.start..word.start + PREFIX.len()).then_some(word.start);
    let Some(start) = before.or(own) else { return word };
    // No more than the longest ending and a letter: a prompt may have many names.
    let after: String = text[word.end..].chars().take(".safetensors".len() + 1).collect();
    let after = after.to_ascii_lowercase();
    let ending = [".safetensors", ".pt", ".bin"].into_iter().find(|ending| {
        let behind = after.strip_prefix(ending).map(|behind| behind.chars().next());
        behind.is_some_and(|next| !next.is_some_and(char::is_alphanumeric))
    });
    start..word.end + ending.map_or(0, str::len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_nobody_knows_are_found() {
        let names = |text: &str| unknown_names(text, &[]).join(" | ");
        for (text, expected) in [
            ("a <nobody> on a <moon rabbit >, a <nobody>", "<nobody> | <moon rabbit >"),
            ("a photo of *", "*"),
            ("a photo of {}", "{}"),
            ("a photo of S*, by day", "S*"),
            ("(*:1.2), embedding:easy-neg, (Embedding:other.pt:1.1)", "* | embedding:easy-neg | Embedding:other.pt"),
            ("<crêpe> <сыр> <cat_2.1>", "<crêpe> | <сыр> | <cat_2.1>"),
        ] {
            assert_eq!(names(text), expected, "{text}");
        }
    }

    #[test]
    fn known_names_are_left_alone() {
        let text = "a <cat> and a <dog>";
        assert_eq!(unknown_names(text, std::slice::from_ref(&(2..7))), ["<dog>"]);
    }

    #[test]
    fn a_word_takes_its_prefix_along() {
        let with = |text: &str, word: &str| {
            let start = text.find(word).unwrap();
            text[with_prefix(text, start..start + word.len())].to_owned()
        };
        assert_eq!(with("a toy, embedding:fox", "fox"), "embedding:fox");
        assert_eq!(with("(Embedding:fox.pt:1.2)", "fox"), "Embedding:fox.pt");
        assert_eq!(with("embedding:fox.ptx", "fox"), "embedding:fox");
        assert_eq!(with("myembedding:fox", "fox"), "fox");
        assert_eq!(with("embedding: fox", "fox"), "fox");
        assert_eq!(with("é fox", "fox"), "fox");
    }
}
