//! The phrases that captions are made of, by family of models: those that the mini model's captions had, and those that are
//! common in the captions of Stable Diffusion's pictures.

use super::super::templates::swapped;
use crate::config::Kind;
use crate::embedding::ModelFamily;
use crate::image::{Colour, PlainBackground};
use crate::model::ModelConfig;

/// Whose phrases they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::train) enum Phrases {
    /// The mini model, which knows no others.
    Mini,
    /// Stable Diffusion of every kind.
    General,
}

/// Which words a caption has a place for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Said {
    /// One, of a kind.
    One(Kind),
    /// A thing and, as the second word, its style: where otherwise the style is named.
    Both,
    /// The same, but the thing is the second word.
    BothStyleFirst,
}

/// What a caption says beside the word; what it does not is none.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Scene {
    /// One of [`Phrases::media`].
    pub medium: Option<&'static str>,
    /// The background's colour.
    pub plain: Option<PlainBackground>,
    /// One of [`Phrases::places`].
    pub place: Option<&'static str>,
}

impl Scene {
    /// With a thing that was put before a plain background.
    pub fn before(self, colour: Colour) -> Self {
        Self { plain: Some(PlainBackground { colour, share: 1.0, is_close: false }), ..self }
    }
}

impl Phrases {
    pub fn of(model: &ModelConfig) -> Self {
        match model.usual_family() {
            ModelFamily::Mini => Self::Mini,
            ModelFamily::Sd1 | ModelFamily::Sd2 | ModelFamily::Sdxl => Self::General,
        }
    }

    /// What a picture can be made as. With `is_grey`, of those without colours.
    pub fn media(self, is_grey: bool) -> &'static [&'static str] {
        match (self, is_grey) {
            (Self::Mini, _) => &["noto", "twemoji", "flat", "3d"],
            (Self::General, false) => &["photo", "painting", "drawing", "cartoon", "3d render"],
            (Self::General, true) => &["black and white photo", "pencil drawing", "black and white drawing"],
        }
    }

    /// Where a thing can be, if its background has no colour of its own.
    pub fn places(self) -> &'static [&'static str] {
        match self {
            Self::Mini => &[],
            Self::General => &["on a table", "on the floor", "on grass", "in a room", "outdoors"],
        }
    }

    /// On how many noised latents captions are compared: a compromise, since each costs a pass for each caption.
    pub fn draws(self) -> usize {
        match self {
            Self::Mini => 24,
            Self::General => 8,
        }
    }

    /// Whether a phrase does something to the loss that has little to do with the picture, so that pictures have to be compared. The
    /// mini model, which knows 256 things, is surprised by any other, in each style otherwise.
    pub fn has_biases(self) -> bool {
        self == Self::Mini
    }

    /// The plain backgrounds that a thing is put before: those that the mini model knows, and that everybody has a word for.
    pub fn backgrounds(self) -> &'static [Colour] {
        &[
            Colour::White,
            Colour::Blue,
            Colour::Green,
            Colour::Pink,
            Colour::Yellow,
            Colour::Black,
            Colour::Purple,
            Colour::Grey,
            Colour::Red,
        ]
    }

    /// How a sentence goes on that says what is behind a thing; nothing if the colour has no name there.
    pub fn behind(self, colour: Colour) -> String {
        self.colour(colour).map(|colour| format!(" on {} background", with_article(colour))).unwrap_or_default()
    }

    /// What stands for the thing while nobody knows what it is.
    pub fn something(self) -> &'static str {
        match self {
            Self::Mini => "picture",
            Self::General => "thing",
        }
    }

    /// The sentence for a scene, with `{}` for the word; of a style it says nothing of what the style is.
    pub(super) fn sentence(self, said: Said, scene: &Scene) -> String {
        let kind = match said {
            Said::One(kind) => kind,
            Said::Both => return self.pair(scene),
            Said::BothStyleFirst => return swapped(&self.pair(scene)),
        };
        let behind = self.surroundings(scene);
        match (self, kind, scene.medium) {
            (Self::Mini, Kind::Object, Some(style)) => format!("a {{}}, {style} style{behind}"),
            (Self::Mini, Kind::Object, None) => format!("a {{}}{behind}"),
            (Self::General, Kind::Object, medium) => {
                let medium = medium.unwrap_or("picture");
                let close = scene.plain.is_some_and(|plain| plain.is_close) && medium.ends_with("photo");
                let medium = if close { format!("close-up {medium}") } else { medium.to_owned() };
                format!("{} of a {{}}{behind}", with_article(&medium))
            }
            (Self::Mini, Kind::Style, _) => format!("a picture in {{}} style{behind}"),
            (Self::General, Kind::Style, _) => format!("a picture{behind}, in the style of {{}}"),
        }
    }

    /// The sentence for a thing, `{}`, in a style, `{2}`.
    fn pair(self, scene: &Scene) -> String {
        let behind = self.surroundings(scene);
        match self {
            Self::Mini => format!("a {{}}, {{2}} style{behind}"),
            Self::General => format!("a picture of a {{}}{behind}, in the style of {{2}}"),
        }
    }

    /// What is said of what is around the thing.
    fn surroundings(self, scene: &Scene) -> String {
        match (scene.plain, scene.place) {
            (Some(plain), _) => self.behind(plain.colour),
            (None, Some(place)) => format!(" {place}"),
            (None, None) => String::new(),
        }
    }

    /// What a colour is called, if captions have it.
    pub fn colour(self, colour: Colour) -> Option<&'static str> {
        Some(match (self, colour) {
            (Self::Mini, Colour::Orange | Colour::Brown) => return None,
            // As those captions spell it.
            (_, Colour::Grey) => "gray",
            (_, Colour::White) => "white",
            (_, Colour::Black) => "black",
            (_, Colour::Red) => "red",
            (_, Colour::Orange) => "orange",
            (_, Colour::Yellow) => "yellow",
            (_, Colour::Green) => "green",
            (_, Colour::Blue) => "blue",
            (_, Colour::Purple) => "purple",
            (_, Colour::Pink) => "pink",
            (_, Colour::Brown) => "brown",
        })
    }
}

/// "a photo", "an orange".
fn with_article(words: &str) -> String {
    let article = if words.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
    format!("{article} {words}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on(colour: Colour, is_close: bool) -> Option<PlainBackground> {
        Some(PlainBackground { colour, share: 1.0, is_close })
    }

    #[test]
    fn sentences_are_those_of_the_family() {
        let said = |family: Phrases, kind, medium, plain, place| {
            family.sentence(Said::One(kind), &Scene { medium, plain, place })
        };
        let (mini, general) = (Phrases::Mini, Phrases::General);
        for (sentence, expected) in [
            (
                said(mini, Kind::Object, Some("noto"), on(Colour::Blue, true), None),
                "a {}, noto style on a blue background",
            ),
            (said(mini, Kind::Object, None, on(Colour::Grey, false), None), "a {} on a gray background"),
            (said(mini, Kind::Object, Some("3d"), on(Colour::Brown, false), None), "a {}, 3d style"),
            (
                said(mini, Kind::Style, None, on(Colour::White, false), None),
                "a picture in {} style on a white background",
            ),
            (
                said(general, Kind::Object, Some("photo"), on(Colour::White, false), None),
                "a photo of a {} on a white background",
            ),
            (
                said(general, Kind::Object, Some("black and white photo"), on(Colour::Grey, true), None),
                "a close-up black and white photo of a {} on a gray background",
            ),
            (said(general, Kind::Object, Some("photo"), None, Some("on a table")), "a photo of a {} on a table"),
            (
                said(general, Kind::Object, None, on(Colour::Orange, false), None),
                "a picture of a {} on an orange background",
            ),
            (said(general, Kind::Style, None, None, Some("on grass")), "a picture on grass, in the style of {}"),
        ] {
            assert_eq!(sentence, expected);
        }
    }

    #[test]
    fn the_word_of_a_style_stands_where_the_style_is_named() {
        let scene = Scene { plain: on(Colour::Blue, false), ..Scene::default() };
        for (family, said, expected) in [
            (Phrases::Mini, Said::Both, "a {}, {2} style on a blue background"),
            (Phrases::Mini, Said::BothStyleFirst, "a {2}, {} style on a blue background"),
            (Phrases::General, Said::Both, "a picture of a {} on a blue background, in the style of {2}"),
        ] {
            assert_eq!(family.sentence(said, &scene), expected);
        }
    }
}
