//! The sentences that an embedding is learned in.
//!
//! A picture is shown with a sentence drawn at random, so that the vector takes on the thing and not one way of
//! speaking of it (arXiv 2208.01618, section 4 and appendix). As in diffusers, kohya and A1111 there are 27 for a thing
//! and 19 for a style; the wording is our own. `{}` is where the placeholder token goes, in as many places as it stands;
//! A1111's `[name]` is understood in files. Of two words that are learned together, `{2}` is where the second goes.

mod pair;

pub use self::pair::{PAIR, swapped};
use crate::base::text::quoted;
use crate::config::Kind;
use crate::error::{Error, Result};
use crate::setting::Setting;
use crate::text::scan::occurrences;

/// Where the placeholder token goes.
const SLOT: &str = "{}";
/// Where that of the second word goes.
pub const SECOND_SLOT: &str = "{2}";
/// The same in templates of A1111.
const NAME: &str = "[name]";

/// For a thing: neutral frames, so that what differs between pictures has somewhere to go other than the vector.
const OBJECT: [&str; 27] = [
    "a photo of a {}",
    "a photo of the {}",
    "a photo of my {}",
    "a photo of one {}",
    "a photo of this {}",
    "a photo of a small {}",
    "a photo of a big {}",
    "a photo of a clean {}",
    "a photo of the old {}",
    "a photo of the new {}",
    "a photo of a beautiful {}",
    "a photo of the ordinary {}",
    "a sharp photo of a {}",
    "a sharp photo of the {}",
    "a bright photo of a {}",
    "a dim photo of the {}",
    "a plain photo of my {}",
    "a close photo of a {}",
    "a close photo of the {}",
    "a cropped view of the {}",
    "a detailed view of a {}",
    "a picture of a {}",
    "a picture of the {}",
    "a picture of my {}",
    "a picture showing one {}",
    "an image of a {}",
    "an image of the {}",
];

/// For a style: what is made, in the manner of the word.
const STYLE: [&str; 19] = [
    "a painting in the style of {}",
    "a picture in the style of {}",
    "a drawing in the style of {}",
    "an image in the style of {}",
    "a small painting in the style of {}",
    "a large painting in the style of {}",
    "a bright painting in the style of {}",
    "a dark painting in the style of {}",
    "a detailed painting in the style of {}",
    "a simple painting in the style of {}",
    "a beautiful picture in the style of {}",
    "a plain picture in the style of {}",
    "a cropped picture in the style of {}",
    "a close picture in the style of {}",
    "a clean drawing in the style of {}",
    "a rough drawing in the style of {}",
    "the painting, in {} style",
    "the picture, in {} style",
    "artwork in {} style",
];

/// The sentences for a kind of embedding.
pub fn templates(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Object => &OBJECT,
        Kind::Style => &STYLE,
    }
}

/// Puts the placeholder token in the place of the slots.
pub fn fill(template: &str, token: &str) -> String {
    template.replace(SLOT, token)
}

/// Puts the tokens of the words that are learned, one or two, each in the place of its slots.
pub fn fill_all(template: &str, tokens: &[&str]) -> String {
    let &[first, second] = tokens else {
        return tokens.iter().fold(template.to_owned(), |text, token| fill(&text, token));
    };
    // Part by part: a token may look like a slot.
    let parts = template.split(SECOND_SLOT).map(|part| fill(part, first));
    parts.collect::<Vec<_>>().join(second)
}

/// Which of so many words a sentence with slots has a place for.
pub fn places(sentence: &str, words: usize) -> Vec<bool> {
    [SLOT, SECOND_SLOT].into_iter().take(words).map(|slot| sentence.contains(slot)).collect()
}

/// Reads a caption: the placeholder tokens, of one word or two, wherever they stand as words of their own in any spelling that
/// prompts know, become slots.
///
/// # Errors
/// What is wrong, for a message that names the place.
pub fn parse_caption(caption: &str, tokens: &[&str]) -> std::result::Result<String, String> {
    let (mut slotted, mut from) = (String::new(), 0);
    for (word, at) in occurrences(caption, tokens) {
        slotted.push_str(&caption[from..at.start]);
        slotted.push_str([SLOT, SECOND_SLOT][word.min(1)]);
        from = at.end;
    }
    slotted.push_str(&caption[from..]);
    let nowhere = !slotted.contains(NAME) && !places(&slotted, tokens.len()).contains(&true);
    parse_template(&slotted, tokens.len()).map_err(|reason| {
        if !nowhere {
            return reason;
        }
        let caption = quoted(caption.trim());
        match tokens {
            [first, second] => {
                format!("{caption} has neither {first} nor {second} as a word of its own, nor {SLOT} or {SECOND_SLOT} for them")
            }
            _ => format!("{caption} does not have {} as a word of its own, nor {SLOT} for it", tokens.join(" ")),
        }
    })
}

/// Reads one sentence, from a template file or a caption, for one word or two: there must be slots, `{}` or `[name]`, for the second
/// word `{2}`; they are returned as `{}` and `{2}`.
///
/// # Errors
/// What is wrong, for a message that names the place.
pub fn parse_template(sentence: &str, words: usize) -> std::result::Result<String, String> {
    let sentence = sentence.trim().replace(NAME, SLOT);
    if sentence.contains("[filewords]") {
        return Err("`[filewords]` is not supported: put captions in .txt files beside the pictures".to_owned());
    }
    let shown = quoted(&sentence);
    if words == 1 && sentence.contains(SECOND_SLOT) {
        let second = Setting::SecondToken;
        return Err(format!(
            "{shown} has {SECOND_SLOT}, the place of a second word, and only one is learned ({second})"
        ));
    }
    if places(&sentence, words).contains(&true) {
        return Ok(sentence);
    }
    Err(match words {
        1 => format!("{shown} has no {SLOT} where the token goes"),
        _ => format!("{shown} has no {SLOT} or {SECOND_SLOT} where a token goes"),
    })
}

/// Reads a file of sentences, one per line, for one word or two. Empty lines and those that start with `#` are skipped.
///
/// # Errors
/// [`Error::BadFile`] with the number of the first line that is wrong, or if there is no sentence at all.
pub fn parse_template_file(text: &str, file_name: &str, words: usize) -> Result<Vec<String>> {
    let bad = |reason: String| Error::BadFile { file: file_name.to_owned(), reason };
    let mut found = Vec::new();
    for (index, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        found.push(parse_template(line, words).map_err(|reason| bad(format!("line {}: {reason}", index + 1)))?);
    }
    if found.is_empty() {
        return Err(bad("it holds no sentence: write one per line, such as `a photo of a {}`".to_owned()));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caption_has_the_token_wherever_prompts_would_find_it() {
        let parsed = |caption: &str, token: &str| parse_caption(caption, &[token]);
        assert_eq!(parsed("a grommel beside two grommels", "grommel").unwrap(), "a {} beside two grommels");
        assert_eq!(parsed("a <ZUBI> and a <zubi>", "<zubi>").unwrap(), "a {} and a {}");
        assert_eq!(parsed("a <cre\u{302}pe>", "<cr\u{ea}pe>").unwrap(), "a {}");
        assert_eq!(parsed("one moon  Rabbit", "Moon Rabbit").unwrap(), "one {}");
        assert_eq!(parsed("a [name] here", "<zubi>").unwrap(), "a {} here");
        let refused = parsed(" a grommelish toy ", "grommel").unwrap_err();
        assert_eq!(refused, "\"a grommelish toy\" does not have grommel as a word of its own, nor {} for it");
        assert_eq!(fill("a {} and a {}", "<zubi>"), "a <zubi> and a <zubi>");
    }

    #[test]
    fn a_template_needs_a_slot_and_may_have_more() {
        assert_eq!(parse_template_file("# mine\na {} by a {}\n\n[name]", "t", 1).unwrap(), ["a {} by a {}", "{}"]);
        for bad in ["a cat", "a {2}", "a {} [filewords]", "# nothing"] {
            assert!(parse_template_file(bad, "t", 1).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_caption_has_either_word_or_both_wherever_they_stand() {
        let parsed = |caption: &str| parse_caption(caption, &["<fox>", "ink"]);
        for (caption, slotted) in [
            ("a <fox> in ink style", "a {} in {2} style"),
            ("ink: <FOX> beside a <fox>", "{2}: {} beside a {}"),
            ("a cat in the style of INK", "a cat in the style of {2}"),
            ("[name] on a blue background", "{} on a blue background"),
            ("a {2} drawing of a {}", "a {2} drawing of a {}"),
        ] {
            assert_eq!(parsed(caption).unwrap(), slotted);
        }
        let refused = parsed("a fox with inks").unwrap_err();
        assert!(refused.contains("neither <fox> nor ink as a word of its own, nor {} or {2}"), "{refused}");
        assert_eq!(parse_template_file("a {2}\n{} there", "t", 2).unwrap(), ["a {2}", "{} there"]);
        assert!(parse_template_file("a cat", "t", 2).unwrap_err().to_string().contains("{} or {2}"));
    }

    #[test]
    fn each_word_goes_where_its_slot_is_and_only_there() {
        assert_eq!(fill_all("a {} in {2} style, {}", &["<fox>", "<ink>"]), "a <fox> in <ink> style, <fox>");
        assert_eq!(fill_all("{2} {}", &["{2}", "{}"]), "{} {2}");
        // Of one word, what would be the second's place is text.
        assert_eq!(fill_all("a {} {2}", &["<fox>"]), "a <fox> {2}");
        assert_eq!((places("a {2}", 2), places("{} {2}", 1)), (vec![false, true], vec![true]));
    }
}
