//! Where learned words occur in a text.
//!
//! Words are found in the text itself and not among its tokens. CLIP's text has no case, so a word is found in any
//! case; a word that begins or ends with a letter must begin or end at a word's edge, so `cat` is not in "category";
//! and of words that begin at the same place the longest is meant.

use std::ops::Range;

/// Where names occur in a text, from its beginning: which name, and the bytes that it takes. Matches do not overlap.
pub fn occurrences<N: AsRef<str>>(text: &str, names: &[N]) -> impl Iterator<Item = (usize, Range<usize>)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        while let Some(next) = text[at..].chars().next() {
            if let Some((name, end)) = name_at(text, at, names) {
                let found = at..end;
                at = end;
                return Some((name, found));
            }
            at += next.len_utf8();
        }
        None
    })
}

/// The longest name that begins at a place in the text, and where it ends; of several the one in the same case.
fn name_at(text: &str, at: usize, names: &[impl AsRef<str>]) -> Option<(usize, usize)> {
    let found = names.iter().enumerate().filter_map(|(number, name)| {
        let name = name.as_ref();
        let end = at + spelled(&text[at..], name).filter(|length| *length > 0)?;
        let inside = |edge: Option<char>, neighbour: Option<char>| {
            edge.is_some_and(is_word_char) && neighbour.is_some_and(is_word_char)
        };
        let cut = inside(name.chars().next(), text[..at].chars().next_back())
            || inside(name.chars().next_back(), text[end..].chars().next());
        (!cut).then_some((number, end))
    });
    found.max_by_key(|(number, end)| (*end, &text[at..*end] == names[*number].as_ref()))
}

fn is_word_char(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '-'
}

/// How many bytes at the beginning of `text` spell `name`, in any case.
fn spelled(text: &str, name: &str) -> Option<usize> {
    let mut wanted = name.chars().flat_map(char::to_lowercase).peekable();
    for (at, c) in text.char_indices() {
        if wanted.peek().is_none() {
            return Some(at);
        }
        for lower in c.to_lowercase() {
            if wanted.next()? != lower {
                return None;
            }
        }
    }
    wanted.peek().is_none().then_some(text.len())
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
    }

    #[test]
    fn an_empty_name_is_nowhere() {
        assert_eq!(found("cat", &[""]), [""; 0]);
    }
}
