//! The sentences that an embedding is learned in.
//!
//! A picture is shown with a sentence drawn at random, so that the vector takes on the thing and not one way of
//! speaking of it (arXiv 2208.01618, section 4 and appendix). As in diffusers, kohya and A1111 there are 27 for a thing
//! and 19 for a style; the wording is our own. `{}` is where the placeholder token goes, in as many places as it stands;
//! A1111's `[name]` is understood in files.

use crate::base::text::quoted;
use crate::config::Kind;
use crate::error::{Error, Result};
use crate::text::scan::occurrences;

/// Where the placeholder token goes.
const SLOT: &str = "{}";
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

/// Reads a caption: the placeholder token, wherever it stands as a word of its own in any spelling that prompts know,
/// becomes a slot.
///
/// # Errors
/// What is wrong, for a message that names the place.
pub fn parse_caption(caption: &str, token: &str) -> std::result::Result<String, String> {
    let (mut slotted, mut from) = (String::new(), 0);
    for (_, at) in occurrences(caption, &[token]) {
        slotted.push_str(&caption[from..at.start]);
        slotted.push_str(SLOT);
        from = at.end;
    }
    slotted.push_str(&caption[from..]);
    let nowhere = !slotted.contains(SLOT) && !slotted.contains(NAME);
    parse_template(&slotted).map_err(|reason| {
        if nowhere {
            format!("{} does not have {token} as a word of its own, nor {SLOT} for it", quoted(caption.trim()))
        } else {
            reason
        }
    })
}

/// Reads one sentence, from a template file or a caption: there must be slots, `{}` or `[name]`; they are returned as
/// `{}`.
///
/// # Errors
/// What is wrong, for a message that names the place.
pub fn parse_template(sentence: &str) -> std::result::Result<String, String> {
    let sentence = sentence.trim().replace(NAME, SLOT);
    if sentence.contains("[filewords]") {
        return Err("`[filewords]` is not supported: put captions in .txt files beside the pictures".to_owned());
    }
    if sentence.contains(SLOT) {
        Ok(sentence)
    } else {
        Err(format!("{shown} has no {{}} where the token goes", shown = quoted(&sentence)))
    }
}

/// Reads a file of sentences, one per line. Empty lines and those that start with `#` are skipped.
///
/// # Errors
/// [`Error::BadFile`] with the number of the first line that is wrong, or if there is no sentence at all.
pub fn parse_template_file(text: &str, file_name: &str) -> Result<Vec<String>> {
    let bad = |reason: String| Error::BadFile { file: file_name.to_owned(), reason };
    let mut found = Vec::new();
    for (index, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        found.push(parse_template(line).map_err(|reason| bad(format!("line {}: {reason}", index + 1)))?);
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
        let parsed = |caption: &str, token: &str| parse_caption(caption, token);
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
        assert_eq!(parse_template_file("# mine\na {} by a {}\n\n[name]", "t").unwrap(), ["a {} by a {}", "{}"]);
        for bad in ["a cat", "a {} [filewords]", "# nothing"] {
            assert!(parse_template_file(bad, "t").is_err(), "{bad}");
        }
    }
}
