//! Settings in the form of A1111's `parameters`: the prompt, the negative prompt, and a line of `Key: value` with commas
//! between. Forge, reForge and many others write it (`modules/processing.py`, `create_infotext`) and read it
//! (`modules/infotext_utils.py`, `parse_generation_parameters`).
//!
//! The form has no escapes for a prompt: what is behind a line that begins with `Negative prompt:` is the negative prompt, and the
//! settings are the last line, if it has enough of them.

use std::borrow::Cow;

use serde::de::IgnoredAny;

use crate::base::text;

const NEGATIVE: &str = "Negative prompt:";
/// Fewer settings in the last line are part of a prompt.
const FEWEST: usize = 3;
/// How many values may be tried as JSON without quotation marks: some programs write a few.
const JSON_TRIES: usize = 16;

/// What such a text says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Infotext {
    /// The prompt.
    pub prompt: String,
    /// The negative prompt; empty if there is none.
    pub negative: String,
    /// The settings in their order, without the quotation marks of values.
    pub fields: Vec<(String, String)>,
}

/// Writes such a text; the values are written as they are.
pub fn write(prompt: &str, negative: Option<&str>, fields: &[(&str, String)]) -> String {
    let negative = negative.map_or_else(String::new, |negative| format!("\n{NEGATIVE} {negative}"));
    let fields: Vec<String> = fields.iter().map(|(key, value)| format!("{key}: {value}")).collect();
    format!("{prompt}{negative}\n{}", fields.join(", "))
}

/// A value: where it could be taken for more than one as JSON, as upstream has it (`infotext_utils.py`, `quote`).
pub fn value(value: &str) -> Cow<'_, str> {
    let ends = value.contains(|c: char| ",:".contains(c) || text::acts(c)) || value.starts_with(['"', '{', '[']);
    if ends || value.trim() != value { Cow::Owned(quoted(value)) } else { Cow::Borrowed(value) }
}

/// A value as JSON.
pub fn quoted(value: &str) -> String {
    text::json(&value).unwrap_or_default()
}

/// Reads such a text.
pub fn read(text: &str) -> Infotext {
    let text = text.trim();
    let (above, last) = text.rsplit_once('\n').unwrap_or(("", text));
    let fields = fields(last);
    let (prompts, fields) = if fields.len() < FEWEST { (text, Vec::new()) } else { (above, fields) };
    let (mut prompt, mut negative): (Vec<&str>, Vec<&str>) = (Vec::new(), Vec::new());
    let mut behind = false;
    for line in prompts.lines().map(str::trim) {
        let (line, begins) = line.strip_prefix(NEGATIVE).map_or((line, false), |rest| (rest.trim(), true));
        behind |= begins;
        if behind { negative.push(line) } else { prompt.push(line) }
    }
    Infotext { prompt: prompt.join("\n"), negative: negative.join("\n"), fields }
}

/// The settings of a line. What is not `key: value` is passed over.
fn fields(line: &str) -> Vec<(String, String)> {
    let (mut fields, mut rest, mut tries) = (Vec::new(), line, JSON_TRIES);
    while let Some((before, after)) = rest.split_once(':') {
        let Some(key) = key(before) else {
            rest = after;
            continue;
        };
        let (value, behind) = split_value(after.trim_start(), &mut tries);
        fields.push((key.to_owned(), value));
        rest = behind;
    }
    fields
}

/// The key that ends a text: letters, digits and what stands between them in keys, from the last comma or other sign on.
fn key(before: &str) -> Option<&str> {
    let in_key = |c: char| c.is_alphanumeric() || "_ -/".contains(c);
    let from = before.char_indices().rev().take_while(|(_, c)| in_key(*c)).last().map(|(at, _)| at)?;
    let key = before[from..].trim_start_matches(|c: char| !c.is_alphanumeric() && c != '_');
    (key.chars().nth(1).is_some() && !key.ends_with(' ')).then_some(key)
}

/// The value that a text begins with, and what is behind the comma after it.
fn split_value<'a>(text: &'a str, tries: &mut usize) -> (String, &'a str) {
    let behind = |end: usize| {
        let rest = text[end..].trim_start();
        if rest.is_empty() { Some("") } else { rest.strip_prefix(',') }
    };
    if let Some(end) = text.strip_prefix('"').and_then(end_of_quoted)
        && let Some(rest) = behind(end + 1)
    {
        let quoted = &text[..=end];
        return (serde_json::from_str(quoted).unwrap_or_else(|_| quoted.to_owned()), rest);
    }
    if text.starts_with(['{', '[']) && *tries > 0 {
        *tries -= 1;
        let mut json = serde_json::Deserializer::from_str(text).into_iter::<IgnoredAny>();
        if let Some(Ok(_)) = json.next()
            && let Some(rest) = behind(json.byte_offset())
        {
            return (text[..json.byte_offset()].to_owned(), rest);
        }
    }
    let (value, rest) = text.split_once(',').unwrap_or((text, ""));
    (value.trim().to_owned(), rest)
}

/// Where the quotation mark stands that ends what is behind one.
fn end_of_quoted(text: &str) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            '"' if !escaped => return Some(at + 1),
            _ => escaped = c == '\\' && !escaped,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        let pair = |pair: &str| pair.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned())).unwrap();
        text.split(';').filter(|text| !text.is_empty()).map(pair).collect()
    }

    #[test]
    fn what_upstream_writes_is_read() {
        for (text, prompt, negative, fields) in [
            ("a cat\nSteps: 20, Sampler: Euler a, CFG scale: 7", "a cat", "", "Steps=20;Sampler=Euler a;CFG scale=7"),
            (
                "a cat,\n  on a hill\nNegative prompt: blur,\nbad\n\nSteps: 20, Sampler: DPM++ 2M Karras, Size: 512x768",
                "a cat,\non a hill",
                "blur,\nbad",
                "Steps=20;Sampler=DPM++ 2M Karras;Size=512x768",
            ),
            // Fewer than three settings are none; nothing but settings has no prompt.
            ("a cat\nSteps: 9, Seed: 1", "a cat\nSteps: 9, Seed: 1", "", ""),
            ("Steps: 9, Seed: 1, Size: 8x8", "", "", "Steps=9;Seed=1;Size=8x8"),
            ("Negative prompt: blur\nSteps: 9, Seed: 1, Size: 8x8", "", "blur", "Steps=9;Seed=1;Size=8x8"),
            ("", "", "", ""),
            // A line of the prompt that looks like settings.
            (
                "x\nSteps: 9, Seed: 1, Size: 1x1\nSteps: 2, Seed: 3, Size: 8x8",
                "x\nSteps: 9, Seed: 1, Size: 1x1",
                "",
                "Steps=2;Seed=3;Size=8x8",
            ),
            // Values in quotation marks, with all that would end them.
            (
                "x\nSteps: 2, TI hashes: \"a: 12, b, c: 34\", Hires prompt: \"a\\n\\\"b\\\", c: d\", Version: v1.9.4",
                "x",
                "",
                "Steps=2;TI hashes=a: 12, b, c: 34;Hires prompt=a\n\"b\", c: d;Version=v1.9.4",
            ),
            ("x\nA1: \"open, B2: 3, C3: 4", "x", "", "A1=\"open;B2=3;C3=4"),
            ("x\nA1: \"x\" y, B2: 3, C3: 4", "x", "", "A1=\"x\" y;B2=3;C3=4"),
            // As an extension for Civitai writes it.
            (
                "x\nSteps: 2, Hashes: {\"model\": \"ab\", \"embed:x\": \"cd\"}, Civitai resources: [{\"a\":1,\"b\":2}], Seed: 4",
                "x",
                "",
                "Steps=2;Hashes={\"model\": \"ab\", \"embed:x\": \"cd\"};Civitai resources=[{\"a\":1,\"b\":2}];Seed=4",
            ),
            ("x\nA1: {b, C3: [4, D-4/e: 5", "x", "", "A1={b;C3=[4;D-4/e=5"),
            ("x\n?? Steps: 2,, - Seed: 4 ,Size:8x8, z", "x", "", "Steps=2;Seed=4;Size=8x8"),
        ] {
            let read = read(text);
            assert_eq!((read.prompt.as_str(), read.negative.as_str()), (prompt, negative), "{text}");
            assert_eq!(read.fields, pairs(fields), "{text}");
        }
    }

    #[test]
    fn values_are_read_as_they_were_written() {
        for text in
            ["plain", "a, b: c", "\"", "\"x\"", "{}", "[1, 2]", " x ", "a\nb", "C:\\x", "\u{1f98a}\u{202e}", "x\"y"]
        {
            let written = write(
                "p",
                None,
                &[("One", "1".to_owned()), ("Key", value(text).into_owned()), ("Two", "2".to_owned())],
            );
            assert_eq!(read(&written).fields[1], ("Key".to_owned(), text.to_owned()), "{written}");
        }
    }

    #[test]
    fn no_line_takes_more_than_a_moment() {
        for part in ["a: [", "a: {\"", "\"a: ", "ab: \"x\", ", "::::", "a: [1, ", "ab: [\"\", "] {
            let started = std::time::Instant::now();
            read(&format!("x\n{}", part.repeat((1 << 20) / part.len())));
            assert!(started.elapsed().as_secs() < 5, "{part}");
        }
    }
}
