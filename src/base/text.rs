//! Text of strangers (names, paths, metadata, answers of servers), made fit to be shown.

use std::borrow::Cow;

use serde::Serialize;

/// Whether a character does something instead of being seen: moves the cursor, ends the line, turns the direction of
/// writing around, or is nothing at all between others. What emoji and scripts need (joiners) is not among them.
pub fn acts(c: char) -> bool {
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

/// The beginning of a text, no more than so many characters, and a sign where more follows.
pub fn beginning(text: &str, characters: usize) -> String {
    match text.char_indices().nth(characters) {
        Some((end, _)) => format!("{}\u{2026}", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// The beginning of a text on one line, as long as the names of weights are.
pub fn brief_line(text: &str) -> String {
    const LONGEST: usize = 160;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}...", one_line(text.get(..end).unwrap_or_default())),
        None => one_line(text).into_owned(),
    }
}

/// A text in quotation marks, on one line and with every character seen: emoji and the marks of scripts as they are,
/// unlike in Rust's `{:?}`.
pub fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if acts(c) => quoted.extend(c.escape_default()),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// JSON in which such characters stand escaped, too; the values are the same. (JSON itself only asks for those below a
/// space, and terminals obey more.)
///
/// # Errors
/// Those of `serde_json`.
pub fn json(value: &impl Serialize) -> serde_json::Result<String> {
    serde_json::to_string(value).map(json_seen)
}

/// The same for JSON that is written already. Outside of its strings there are only line ends and spaces, and in strings
/// nothing below a space.
pub fn json_seen(json: String) -> String {
    let hidden = |c: char| c != '\n' && acts(c);
    if !json.contains(hidden) {
        return json;
    }
    let mut text = String::with_capacity(json.len() + 8);
    for c in json.chars() {
        // All of them are in the first plane, where one escape is one character.
        if hidden(c) { text.push_str(&format!("\\u{:04x}", u32::from(c))) } else { text.push(c) }
    }
    text
}

/// `1 vector`, `2 vectors`.
pub fn counted(count: u64, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
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
    fn what_is_quoted_stays_readable() {
        for (text, shown) in [
            ("<cat>", "\"<cat>\""),
            ("\u{1f469}\u{200d}\u{1f692}", "\"\u{1f469}\u{200d}\u{1f692}\""),
            ("\u{928}\u{92e}\u{938}\u{94d}\u{924}\u{947}", "\"\u{928}\u{92e}\u{938}\u{94d}\u{924}\u{947}\""),
            ("a\"b\\c", "\"a\\\"b\\\\c\""),
            ("a\nb\u{202e}", "\"a\\nb\\u{202e}\""),
        ] {
            assert_eq!(quoted(text), shown);
        }
    }

    #[test]
    fn of_a_long_text_the_beginning_is_shown() {
        for (text, shown) in
            [("", ""), ("\u{e9}\u{1f98a}", "\u{e9}\u{1f98a}"), ("\u{e9}\u{1f98a}!", "\u{e9}\u{1f98a}\u{2026}")]
        {
            assert_eq!(beginning(text, 2), shown);
        }
    }

    #[test]
    fn json_keeps_its_values_and_shows_them() {
        let value = serde_json::json!({"a\u{9b}": ["\u{202e}x\u{7f}\n\u{1b}", "\u{1f98a}\u{2028}"]});
        for text in [json(&value).unwrap(), json_seen(serde_json::to_string_pretty(&value).unwrap())] {
            assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
            assert!(!text.contains(|c: char| c != '\n' && acts(c)), "{text:?}");
        }
    }
}
