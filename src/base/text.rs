//! Text of strangers (names, paths, metadata, answers of servers), made fit to be shown.

use std::borrow::Cow;

use serde::Serialize;

/// Whether a character does something instead of being seen: moves the cursor, ends the line, turns the direction of
/// writing around, or is nothing at all between others. What emoji and scripts need (joiners) is not among them.
fn acts(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'
                | '\u{200e}'
                | '\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
        )
}

/// A text on one line in which every character is seen: what would do something to a terminal, a log or a reader
/// stands escaped (`\n`, `\u{1b}`).
pub fn one_line(text: &str) -> Cow<'_, str> {
    if !text.contains(acts) {
        return Cow::Borrowed(text);
    }
    let mut line = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if acts(c) { line.extend(c.escape_default()) } else { line.push(c) }
    }
    Cow::Owned(line)
}

/// JSON in which such characters stand escaped, too; the values are the same. (JSON itself only asks for those below a
/// space, and terminals obey more.)
///
/// # Errors
/// Those of `serde_json`.
pub fn json(value: &impl Serialize) -> serde_json::Result<String> {
    seen(serde_json::to_string(value)?)
}

/// As [`json`], indented.
///
/// # Errors
/// Those of `serde_json`.
pub fn json_pretty(value: &impl Serialize) -> serde_json::Result<String> {
    seen(serde_json::to_string_pretty(value)?)
}

/// Outside of strings there are only line ends and spaces, and in strings nothing below a space.
fn seen(json: String) -> serde_json::Result<String> {
    let hidden = |c: char| c != '\n' && acts(c);
    if !json.contains(hidden) {
        return Ok(json);
    }
    let mut text = String::with_capacity(json.len() + 8);
    for c in json.chars() {
        // All of them are in the first plane, where one escape is one character.
        if hidden(c) { text.push_str(&format!("\\u{:04x}", u32::from(c))) } else { text.push(c) }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_acts_is_left_and_everything_else_is() {
        for c in (0..=0x10_ffff).filter_map(char::from_u32) {
            let (text, unseen) =
                (c.to_string(), c.is_control() || "\u{202e}\u{2066}\u{200f}\u{2028}\u{feff}".contains(c));
            let line = one_line(&text);
            assert!(!unseen || line.starts_with('\\'), "{c:?}");
            assert!(matches!(line, Cow::Borrowed(_)) || line.is_ascii(), "{c:?}");
        }
        for plain in ["<caf\u{e9}>", "\u{1f469}\u{200d}\u{1f692}", "C:\\words\\a.pt", "\u{645}\u{6cc}\u{200c}", ""] {
            assert_eq!(one_line(plain), plain);
        }
        assert_eq!(one_line("a\nb\t\u{1b}[2J\u{9b}1A\u{7f}"), "a\\nb\\t\\u{1b}[2J\\u{9b}1A\\u{7f}");
    }

    #[test]
    fn json_keeps_its_values_and_shows_them() {
        let value = serde_json::json!({"a\u{9b}": ["\u{202e}x\u{7f}\n\u{1b}", "\u{1f98a}\u{2028}"]});
        for text in [json(&value).unwrap(), json_pretty(&value).unwrap()] {
            assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
            assert!(!text.contains(|c: char| c != '\n' && acts(c)), "{text:?}");
        }
    }
}
