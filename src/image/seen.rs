//! What a picture shows that needs no model: a background of one colour, and in which; whether it has no colours at all; and how
//! much of it the thing takes up. What is not clear is left out.
//!
//! Colours are compared in Oklab (Björn Ottosson, "A perceptual color space for image processing", 2020), where equal distances
//! look about equal.

use std::fmt;

use image::{Rgb, RgbImage};
use serde::{Deserialize, Serialize};

/// How much of each side belongs to the border.
const BORDER: f32 = 0.03;
/// Colours that are no farther apart in Oklab (black and white are 1 apart) are one: the shadows of a plain wall are.
const SAME: f32 = 0.09;
/// The share of the border that has to have one colour: a thing may reach the edge here and there.
const PLAIN: f32 = 0.75;
/// The chroma below which there is no colour to be seen, and the share of pixels that must be below.
const GREY: (f32, f32) = (0.025, 0.98);
/// Of how much of a picture's width and height its thing makes a close picture.
const CLOSE: f32 = 0.9;

/// The colours that people name first (Berlin and Kay's eleven).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Colour {
    /// As paper.
    White,
    /// As coal.
    Black,
    /// Between both.
    Grey,
    /// As blood.
    Red,
    /// As the fruit.
    Orange,
    /// As lemons.
    Yellow,
    /// As grass.
    Green,
    /// As the sky.
    Blue,
    /// As violets.
    Purple,
    /// As roses.
    Pink,
    /// As earth.
    Brown,
}

impl Colour {
    /// An example, in sRGB: of those that the mini model was shown as backgrounds, its own (`tools/mini/common.py`).
    pub const fn example(self) -> [u8; 3] {
        match self {
            Colour::White => [255, 255, 255],
            Colour::Black => [25, 25, 30],
            Colour::Grey => [150, 150, 155],
            Colour::Red => [225, 75, 70],
            Colour::Orange => [245, 150, 60],
            Colour::Yellow => [250, 225, 110],
            Colour::Green => [120, 200, 120],
            Colour::Blue => [90, 150, 240],
            Colour::Purple => [160, 120, 210],
            Colour::Pink => [250, 170, 200],
            Colour::Brown => [120, 80, 50],
        }
    }
}

impl fmt::Display for Colour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Colour::White => "white",
            Colour::Black => "black",
            Colour::Grey => "grey",
            Colour::Red => "red",
            Colour::Orange => "orange",
            Colour::Yellow => "yellow",
            Colour::Green => "green",
            Colour::Blue => "blue",
            Colour::Purple => "purple",
            Colour::Pink => "pink",
            Colour::Brown => "brown",
        })
    }
}

/// What is to be seen of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Seen {
    /// The colour of its background, if that is plain and the colour has a name.
    pub background: Option<PlainBackground>,
    /// Whether it has no colours.
    pub is_grey: bool,
}

/// A background of one colour.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PlainBackground {
    /// Its colour.
    pub colour: Colour,
    /// The share of the border that has it.
    pub share: f32,
    /// Whether the thing before it reaches from one end of the picture to the other, or nearly.
    pub is_close: bool,
}

impl Seen {
    /// Looks at the square that a model sees.
    pub fn of(picture: &RgbImage) -> Self {
        let pixels: Vec<Oklab> = picture.pixels().map(Oklab::of).collect();
        let grey = pixels.iter().filter(|pixel| pixel.chroma() < GREY.0).count();
        let (width, height) = picture.dimensions();
        let is_grey = grey as f32 >= GREY.1 * pixels.len() as f32;
        Self { background: background(&pixels, width as usize, height as usize), is_grey }
    }
}

/// The background, if the border has one colour and that has a name.
fn background(pixels: &[Oklab], width: usize, height: usize) -> Option<PlainBackground> {
    let wide = |length: usize| ((BORDER * length as f32).ceil() as usize).max(1);
    let (across, down) = (wide(width), wide(height));
    let is_border = |i: usize| {
        let (x, y) = (i % width, i / width);
        x < across || y < down || x + across >= width || y + down >= height
    };
    let border: Vec<Oklab> =
        pixels.iter().enumerate().filter(|(i, _)| is_border(*i)).map(|(_, pixel)| *pixel).collect();
    if border.is_empty() {
        return None;
    }
    let middle = Oklab::median(&border);
    let alike: Vec<Oklab> = border.iter().copied().filter(|pixel| pixel.distance(middle) < SAME).collect();
    let share = alike.len() as f32 / border.len() as f32;
    if share < PLAIN {
        return None;
    }
    let colour = Oklab::median(&alike);
    let thing = || pixels.iter().enumerate().filter(|(_, pixel)| pixel.distance(colour) >= SAME).map(|(i, _)| i);
    let extent = |place: fn(usize, usize) -> usize, length: usize| {
        let (least, most) = thing().map(|i| place(i, width)).fold((length, 0), |(a, b), at| (a.min(at), b.max(at)));
        (most + 1).saturating_sub(least) as f32 >= CLOSE * length as f32
    };
    let is_close = extent(|i, width| i % width, width) && extent(|i, width| i / width, height);
    Some(PlainBackground { colour: colour.name()?, share, is_close })
}

/// A colour in Oklab.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Oklab {
    lightness: f32,
    a: f32,
    b: f32,
}

impl Oklab {
    fn of(pixel: &Rgb<u8>) -> Self {
        let [r, g, b] = pixel.0.map(|value| {
            let value = f32::from(value) / 255.0;
            if value <= 0.04045 { value / 12.92 } else { libm::powf((value + 0.055) / 1.055, 2.4) }
        });
        let long = libm::cbrtf(0.412_221_46 * r + 0.536_332_55 * g + 0.051_445_995 * b);
        let medium = libm::cbrtf(0.211_903_5 * r + 0.680_699_5 * g + 0.107_396_96 * b);
        let short = libm::cbrtf(0.088_302_46 * r + 0.281_718_85 * g + 0.629_978_7 * b);
        Self {
            lightness: 0.210_454_26 * long + 0.793_617_8 * medium - 0.004_072_047 * short,
            a: 1.977_998_5 * long - 2.428_592_2 * medium + 0.450_593_7 * short,
            b: 0.025_904_037 * long + 0.782_771_77 * medium - 0.808_675_77 * short,
        }
    }

    fn chroma(self) -> f32 {
        libm::hypotf(self.a, self.b)
    }

    fn distance(self, other: Self) -> f32 {
        let [l, a, b] = [self.lightness - other.lightness, self.a - other.a, self.b - other.b];
        libm::sqrtf(l * l + a * a + b * b)
    }

    /// The median of each coordinate.
    fn median(colours: &[Self]) -> Self {
        let of = |coordinate: fn(&Self) -> f32| {
            let mut values: Vec<f32> = colours.iter().map(coordinate).collect();
            values.sort_by(f32::total_cmp);
            values[values.len() / 2]
        };
        Self { lightness: of(|c| c.lightness), a: of(|c| c.a), b: of(|c| c.b) }
    }

    /// What people call it, where they agree: there are gaps between the names.
    fn name(self) -> Option<Colour> {
        let (light, chroma) = (self.lightness, self.chroma());
        let hue = libm::atan2f(self.b, self.a).to_degrees().rem_euclid(360.0);
        Some(match () {
            () if chroma < 0.03 => match light {
                l if l > 0.92 => Colour::White,
                l if l < 0.32 => Colour::Black,
                l if (0.42..0.86).contains(&l) => Colour::Grey,
                _ => return None,
            },
            // Too dark, or too pale, for a hue that people would agree on.
            () if light < 0.28 || chroma < 0.045 => return None,
            () if (40.0..95.0).contains(&hue) && light < 0.56 => Colour::Brown,
            () => match hue {
                h if (345.0..360.0).contains(&h) || (0.0..20.0).contains(&h) => match light {
                    l if l > 0.7 => Colour::Pink,
                    l if l < 0.62 => Colour::Red,
                    _ => return None,
                },
                h if (20.0..38.0).contains(&h) && light < 0.68 => Colour::Red,
                h if (50.0..78.0).contains(&h) && chroma > 0.1 => Colour::Orange,
                h if (86.0..115.0).contains(&h) && light > 0.75 => Colour::Yellow,
                h if (125.0..172.0).contains(&h) => Colour::Green,
                h if (225.0..282.0).contains(&h) => Colour::Blue,
                h if (290.0..328.0).contains(&h) || (328.0..335.0).contains(&h) && light < 0.6 => Colour::Purple,
                h if (328.0..345.0).contains(&h) && light > 0.66 => Colour::Pink,
                _ => return None,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Picture;

    fn plain(pixel: [u8; 3]) -> RgbImage {
        RgbImage::from_pixel(64, 64, Rgb(pixel))
    }

    /// A picture of one colour with a square of another in the middle that leaves so many pixels on each side.
    fn framed(outside: [u8; 3], inside: [u8; 3], margin: u32) -> RgbImage {
        RgbImage::from_fn(64, 64, |x, y| {
            let within = |at: u32| (margin..64 - margin).contains(&at);
            Rgb(if within(x) && within(y) { inside } else { outside })
        })
    }

    fn colour(picture: &RgbImage) -> Option<Colour> {
        Seen::of(picture).background.map(|background| background.colour)
    }

    #[test]
    fn colours_have_the_names_that_people_give_them() {
        use Colour::{Black, Blue, Brown, Green, Grey, Orange, Pink, Purple, Red, White, Yellow};
        for (pixel, name) in [
            // Those that the mini model knows.
            ([255, 255, 255], White),
            ([90, 150, 240], Blue),
            ([120, 200, 120], Green),
            ([250, 170, 200], Pink),
            ([250, 225, 110], Yellow),
            ([25, 25, 30], Black),
            ([160, 120, 210], Purple),
            ([150, 150, 155], Grey),
            ([225, 75, 70], Red),
            // Those of style sheets.
            ([255, 0, 0], Red),
            ([255, 165, 0], Orange),
            ([255, 255, 0], Yellow),
            ([0, 128, 0], Green),
            ([0, 0, 255], Blue),
            ([128, 0, 128], Purple),
            ([255, 192, 203], Pink),
            ([139, 69, 19], Brown),
            ([128, 128, 128], Grey),
            ([245, 245, 240], White),
        ] {
            assert_eq!(colour(&plain(pixel)), Some(name), "{pixel:?}");
        }
        // Teal, olive, navy nearly black, salmon: not without doubt any of them.
        for pixel in [[0, 128, 128], [128, 128, 0], [10, 10, 50], [250, 128, 114]] {
            assert_eq!(colour(&plain(pixel)), None, "{pixel:?}");
        }
    }

    #[test]
    fn a_background_is_plain_if_the_border_is() {
        let red = framed([255; 3], [200, 30, 40], 16);
        let seen = Seen::of(&red).background.unwrap();
        assert_eq!((seen.colour, seen.share, seen.is_close), (Colour::White, 1.0, false));
        assert!(Seen::of(&framed([255; 3], [200, 30, 40], 2)).background.unwrap().is_close);
        assert_eq!(Seen::of(&framed([255; 3], [200, 30, 40], 1)).background, None, "the thing is in the border");
        // Light falls off towards one side of a wall; halves of two colours, and checks, are no background.
        let shaded = RgbImage::from_fn(64, 64, |x, _| Rgb([230 - (x / 3) as u8; 3]));
        assert!(colour(&shaded).is_none_or(|name| name == Colour::Grey || name == Colour::White));
        let halves = RgbImage::from_fn(64, 64, |x, _| Rgb(if x < 32 { [255; 3] } else { [0, 0, 255] }));
        let checks = RgbImage::from_fn(64, 64, |x, y| Rgb(if (x / 8 + y / 8) % 2 == 0 { [255; 3] } else { [0; 3] }));
        assert_eq!((colour(&halves), colour(&checks)), (None, None));
    }

    #[test]
    fn pictures_without_colours_are_told_from_others() {
        let ramp = RgbImage::from_fn(64, 64, |x, y| Rgb([(x * 2 + y * 2) as u8; 3]));
        assert!(Seen::of(&ramp).is_grey);
        assert!(!Seen::of(&framed([128; 3], [200, 30, 40], 20)).is_grey);
    }

    #[test]
    fn the_examples_are_on_white() {
        for name in ["peach/noto", "peach/3d", "peach/flat", "peach/twemoji", "fox/3d", "taxi/flat", "tangerine/noto"] {
            let path = format!("examples/{name}.png");
            let picture = Picture::decode(name, &std::fs::read(&path).unwrap()).unwrap();
            assert_eq!(colour(&picture.on_white()), Some(Colour::White), "{name}");
        }
        for (name, expected) in [
            ("3d-green", Colour::Green),
            ("flat-pink", Colour::Pink),
            ("noto-blue", Colour::Blue),
            ("twemoji-yellow", Colour::Yellow),
        ] {
            let path = format!("examples/fox/unseen/{name}.png");
            let picture = Picture::decode(name, &std::fs::read(&path).unwrap()).unwrap();
            assert_eq!(colour(&picture.on_white()), Some(expected), "{name}");
        }
    }
}
