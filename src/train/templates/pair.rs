//! The sentences for a thing and its style that are learned together.

use super::{SECOND_SLOT, SLOT};

/// `{}` is the thing, `{2}` the style: what is said of each alone varies as in the sentences for one word.
pub const PAIR: [&str; 24] = [
    "a picture of a {} in the style of {2}",
    "a picture of the {} in the style of {2}",
    "a picture of my {} in the style of {2}",
    "a picture of one {} in the style of {2}",
    "an image of a {} in the style of {2}",
    "an image of the {} in the style of {2}",
    "an image of this {} in the style of {2}",
    "a photo of a {} in the style of {2}",
    "a small picture of a {} in the style of {2}",
    "a large picture of the {} in the style of {2}",
    "a bright picture of a {} in the style of {2}",
    "a dim picture of the {} in the style of {2}",
    "a close picture of a {} in the style of {2}",
    "a cropped picture of the {} in the style of {2}",
    "a detailed picture of a {} in the style of {2}",
    "a plain picture of my {} in the style of {2}",
    "a {} in the style of {2}",
    "the {} in the style of {2}",
    "one {}, in {2} style",
    "a {}, {2} style",
    "the {}, {2} style",
    "a {2} style picture of a {}",
    "a {2} style image of the {}",
    "{2} style, a {}",
];

/// A sentence with the places of the two words exchanged: for a style whose word is the first.
pub fn swapped(sentence: &str) -> String {
    let parts = sentence.split(SECOND_SLOT).map(|part| part.replace(SLOT, SECOND_SLOT));
    parts.collect::<Vec<_>>().join(SLOT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_sentence_has_a_place_for_each_word_and_none_is_there_twice() {
        assert!(PAIR.iter().all(|sentence| sentence.matches(SLOT).count() == 1));
        assert!(PAIR.iter().all(|sentence| sentence.matches(SECOND_SLOT).count() == 1));
        assert_eq!(PAIR.iter().collect::<BTreeSet<_>>().len(), PAIR.len());
        assert_eq!(swapped(PAIR[0]), "a picture of a {2} in the style of {}");
        assert!(PAIR.iter().all(|sentence| swapped(&swapped(sentence)) == **sentence));
    }
}
