//! What can be the name of a learned word.

use unicode_normalization::UnicodeNormalization;

use crate::base::text::acts;
use crate::{Error, Result};

/// The longest name in bytes.
const LONGEST: usize = 64;

/// Whether a word can be called so in prompts of any model.
///
/// # Errors
/// [`Error::BadToken`] if it cannot.
pub fn check_token(token: &str) -> Result<()> {
    check(token).map_err(|reason| refused(token, reason))
}

/// Why nothing can be called so.
fn check(token: &str) -> Result<(), &'static str> {
    if token.trim().is_empty() {
        return Err("it is empty");
    }
    if token.chars().any(char::is_control) {
        return Err("it has control characters in it");
    }
    if token.chars().any(acts) {
        return Err("it has characters in it that are not seen or turn the direction of writing around");
    }
    if token.chars().all(is_unseen) {
        return Err("it has nothing in it that is seen");
    }
    if token.len() > LONGEST {
        return Err("it is longer than 64 bytes");
    }
    Ok(())
}

/// Whether nothing is seen of a character without others: spaces, joiners, fillers and selectors.
fn is_unseen(c: char) -> bool {
    c.is_whitespace()
        || matches!(
            c,
            '\u{ad}'
                | '\u{34f}'
                | '\u{115f}'..='\u{1160}'
                | '\u{17b4}'..='\u{17b5}'
                | '\u{180b}'..='\u{180f}'
                | '\u{200c}'..='\u{200d}'
                | '\u{2800}'
                | '\u{3164}'
                | '\u{fe00}'..='\u{fe0f}'
                | '\u{ffa0}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}

/// The refusal of what cannot be a name.
pub(crate) fn refused(token: &str, reason: &str) -> Error {
    Error::BadToken { token: token.to_owned(), reason: reason.to_owned(), suggestion: like(token), instead: None }
}

/// The refusal of what is a name already; `is_free` tells those that are not.
pub(crate) fn taken(token: &str, reason: &str, is_free: impl Fn(&str) -> bool) -> Error {
    let suggestion = free(token, is_free);
    Error::TokenTaken { token: token.to_owned(), reason: reason.to_owned(), suggestion, instead: None }
}

/// A name that is like another and can be used: `<my-photo>` for "photo".
pub(crate) fn like(token: &str) -> String {
    let kept = |c: char| if c.is_alphanumeric() || "-_.".contains(c) { c } else { ' ' };
    let stem: String = token.nfc().flat_map(char::to_lowercase).map(kept).collect();
    let stem = stem.split_whitespace().collect::<Vec<_>>().join("-");
    let stem = stem.strip_prefix("my-").unwrap_or(&stem);
    // With what is around it, and room for a number.
    let room = LONGEST - "<my--99>".len();
    let end = stem.char_indices().map(|(at, c)| at + c.len_utf8()).take_while(|end| *end <= room).last();
    let stem = stem[..end.unwrap_or(0)].trim_matches(|c: char| !c.is_alphanumeric());
    format!("<my-{}>", if stem.is_empty() { "word" } else { stem })
}

/// The first of the names like another that is free.
fn free(token: &str, is_free: impl Fn(&str) -> bool) -> String {
    let first = like(token);
    let stem = first.trim_end_matches('>').to_owned();
    let numbered = (2..100).map(|number| format!("{stem}-{number}>"));
    std::iter::once(first.clone()).chain(numbered).find(|name| is_free(name)).unwrap_or(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_may_have_spaces_and_must_have_something_else() {
        for good in [
            "<cat>",
            "Soft Rabbit v2",
            "<moon rabbit >",
            " cat ",
            "cr\u{ea}pe",
            "*",
            "S*",
            "\u{1f469}\u{200d}\u{1f692}",
        ] {
            assert!(check_token(good).is_ok(), "{good:?}");
        }
        for bad in [
            "",
            " ",
            "a\nb",
            "a\tb",
            "\u{1b}[2J",
            &"x".repeat(65),
            "\u{200b}",
            "<a\u{202e}b>",
            "\u{200d}\u{fe0f}",
            "\u{3164}",
        ] {
            let Err(Error::BadToken { suggestion, .. }) = check_token(bad) else { panic!("{bad:?}") };
            assert!(check_token(&suggestion).is_ok(), "{suggestion}");
        }
    }

    #[test]
    fn what_is_suggested_can_be_typed() {
        for (token, suggestion) in [
            ("photo", "<my-photo>"),
            ("*", "<my-word>"),
            ("<My-Cat>", "<my-cat>"),
            ("  a \n b\u{1b}", "<my-a-b>"),
            ("cre\u{302}pe", "<my-cr\u{ea}pe>"),
            ("--", "<my-word>"),
        ] {
            assert_eq!(like(token), suggestion);
        }
        let long = like(&"\u{ea}".repeat(90));
        assert!(check_token(&long).is_ok() && long.len() > 50, "{long}");
        assert_eq!(free("photo", |name| name != "<my-photo>"), "<my-photo-2>");
    }
}
