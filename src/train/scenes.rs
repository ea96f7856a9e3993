//! Scenes that a word is put into to see whether the rest of a prompt still works ([`context`](super::context)).

use super::templates::{SECOND_SLOT, swapped};
use crate::config::Kind;
use crate::embedding::ModelFamily;

/// For a thing. The slot comes early: only what stands behind it can be drowned.
const OBJECT: [&str; 26] = [
    "a {} on a beach",
    "a {} in the snow",
    "a {} in a forest",
    "a {} on a wooden table",
    "a {} beside a river",
    "a {} in front of a castle",
    "a {} on top of a mountain",
    "a {} in a city street at night",
    "a {} under a tree in autumn",
    "a {} on a blue carpet",
    "a {} in a kitchen",
    "a {} on the moon",
    "a {} floating on water",
    "a {} with flowers around it",
    "a {} next to a bicycle",
    "a {} held by a child",
    "a {} made of glass",
    "a {} made of wood",
    "a {} as a pencil drawing",
    "a {} as an oil painting",
    "a {} in a comic book",
    "a {} in black and white",
    "a {} seen from above",
    "a {} at sunset",
    "two {} side by side",
    "a {} painted on a wall",
];

/// For a style: what is made in it stands behind the word.
const STYLE: [&str; 20] = [
    "a {} style painting of a lighthouse at night",
    "a {} style painting of two people dancing",
    "a {} style picture of a dog in a garden",
    "a {} style picture of a bridge over a river",
    "a {} style drawing of an old man with a hat",
    "a {} style drawing of a train in the mountains",
    "in {} style, a bowl of fruit on a table",
    "in {} style, a city street in the rain",
    "in {} style, a ship on a stormy sea",
    "in {} style, a horse beside a fence",
    "in {} style, a castle in the snow",
    "in {} style, a child with a red balloon",
    "artwork in {} style showing a forest in autumn",
    "artwork in {} style showing a cat on a chair",
    "artwork in {} style showing a village at sunset",
    "artwork in {} style showing a vase of flowers",
    "{} style, portrait of a woman with glasses",
    "{} style, a bird on a branch",
    "{} style, a car on a desert road",
    "{} style, a house by the sea",
];

/// Those of them that say themselves how the picture is made.
const MEDIA: [&str; 5] = [
    "a {} as a pencil drawing",
    "a {} as an oil painting",
    "a {} in a comic book",
    "a {} in black and white",
    "a {} painted on a wall",
];

/// What the mini model knows, in the grammar of its captions (`tools/mini/captions.py`).
const MINI_STYLES: [&str; 4] = ["noto", "twemoji", "flat", "3d"];
const MINI_COLOURS: [&str; 8] = ["blue", "green", "pink", "yellow", "black", "purple", "gray", "red"];
const MINI_THINGS: [&str; 8] = ["bear", "bus", "frog", "mushroom", "rocket", "star", "turtle", "guitar"];

/// What is put into scenes together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subject {
    /// Words of one kind, of which there are so many: only the first has a place in the scenes, or two are side by side.
    One(Kind, usize),
    /// A thing and its style.
    Pair {
        /// Whether the word of the thing is the first.
        thing_first: bool,
    },
}

impl Subject {
    /// The scenes for it, in words that models of the family know.
    pub fn scenes(self, family: ModelFamily) -> Vec<String> {
        let all = match self {
            Self::One(kind, 1) => return scenes(kind, family),
            Self::One(Kind::Object, _) => {
                let together = format!("{{}} and a {SECOND_SLOT}");
                return scenes(Kind::Object, family).iter().map(|scene| scene.replace("{}", &together)).collect();
            }
            Self::One(Kind::Style, _) => {
                let together = format!("{{}} and {SECOND_SLOT}");
                return scenes(Kind::Style, family).iter().map(|scene| scene.replace("{}", &together)).collect();
            }
            Self::Pair { .. } if family == ModelFamily::Mini => {
                let on = |colour: &str| format!("a {{}}, {SECOND_SLOT} style on a {colour} background");
                MINI_COLOURS.iter().map(|colour| on(colour)).collect::<Vec<_>>()
            }
            Self::Pair { .. } => {
                let places = OBJECT.iter().filter(|scene| !MEDIA.contains(scene));
                places.map(|scene| format!("{scene}, in the style of {SECOND_SLOT}")).collect()
            }
        };
        match self {
            Self::Pair { thing_first: false } => all.iter().map(|scene| swapped(scene)).collect(),
            _ => all,
        }
    }
}

/// The scenes for a kind of embedding, in words that models of the family know.
pub(super) fn scenes(kind: Kind, family: ModelFamily) -> Vec<String> {
    if family == ModelFamily::Mini {
        return mini(kind);
    }
    let general: &[&str] = match kind {
        Kind::Object => &OBJECT,
        Kind::Style => &STYLE,
    };
    general.iter().map(|scene| (*scene).to_owned()).collect()
}

fn mini(kind: Kind) -> Vec<String> {
    let on = |what: &str, colour: &str| format!("{what} on a {colour} background");
    let each = |words: &[&str], with: fn(&str) -> String| {
        words.iter().flat_map(|word| MINI_COLOURS.map(|colour| on(&with(word), colour))).collect()
    };
    match kind {
        Kind::Object => each(&MINI_STYLES, |style| format!("a {{}}, {style} style")),
        Kind::Style => each(&MINI_THINGS, |thing| format!("a {thing}, {{}} style")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scene_for_two_has_one_place_for_each() {
        let pairs = [true, false].map(|thing_first| Subject::Pair { thing_first });
        for subject in Kind::ALL.map(|kind| Subject::One(kind, 2)).into_iter().chain(pairs) {
            for family in ModelFamily::ALL {
                for scene in subject.scenes(family) {
                    let both = ["{}", SECOND_SLOT].map(|slot| scene.matches(slot).count());
                    assert_eq!(both, [1, 1], "{scene}");
                }
            }
        }
        assert!(MEDIA.iter().all(|scene| OBJECT.contains(scene)));
        let said = |thing_first| Subject::Pair { thing_first }.scenes(ModelFamily::Mini)[0].clone();
        assert_eq!(said(true), "a {}, {2} style on a blue background");
        assert_eq!(said(false), "a {2}, {} style on a blue background");
    }

    #[test]
    fn a_scene_has_one_place_for_the_word_and_something_behind_it() {
        for kind in Kind::ALL {
            for family in ModelFamily::ALL {
                let scenes = scenes(kind, family);
                assert!(scenes.len() >= 20, "{scenes:?}");
                for scene in &scenes {
                    let (_, behind) = scene.split_once("{}").unwrap();
                    assert!(behind.contains(' ') && !behind.contains("{}"), "{scene}");
                }
                let mini = scenes.iter().all(|scene| scene.ends_with(" background"));
                assert_eq!(mini, family == ModelFamily::Mini, "{scenes:?}");
            }
        }
    }
}
