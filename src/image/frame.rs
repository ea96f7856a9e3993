//! From a picture of any shape to the square the model sees, and between pixels and the model's numbers.
//!
//! As diffusers' `TextualInversionDataset` (examples/textual_inversion/textual_inversion.py, v0.42) prepares pictures:
//! centre crop, bicubic, `x / 127.5 - 1`; and as its `VaeImageProcessor` takes them back. `CatmullRom` is Pillow's
//! BICUBIC (a = -0.5, widened when scaling down).

use std::borrow::Cow;

use image::imageops::{self, FilterType};
use image::{GrayImage, Rgb, RgbImage};

use super::{Cut, MIN_SIDE, Picture};
use crate::config::Framing;
use crate::{Error, Result};

const WHITE: Rgb<u8> = Rgb([255; 3]);

impl Picture {
    /// The square of a picture that a user has chosen, `[left, top, side]` in pixels of the upright picture.
    ///
    /// # Errors
    /// [`Error::BadPicture`] if it does not lie in the picture, or is too small to learn from.
    pub fn cut(mut self, [left, top, side]: [u32; 3]) -> Result<Self> {
        let (width, height) = self.pixels.dimensions();
        let within = |start: u32, length: u32| start.checked_add(side).is_some_and(|end| end <= length);
        if side < MIN_SIDE {
            let reason = format!("a square of {side} pixels is too small to learn from (at least {MIN_SIDE})");
            return Err(Error::BadPicture { file: self.name, reason });
        }
        if !within(left, width) || !within(top, height) {
            let reason =
                format!("the square of {side} pixels at {left}, {top} does not lie in its {width}x{height} pixels");
            return Err(Error::BadPicture { file: self.name, reason });
        }
        if [width, height] != [side; 2] {
            let whole = self.cut.unwrap_or(Cut { of: (width, height), at: (0, 0) });
            self.cut = Some(Cut { at: (whole.at.0 + left, whole.at.1 + top), ..whole });
            self.notes.push(format!("{side}x{side} cut out of {width}x{height} at {left}, {top}"));
            self.pixels = imageops::crop_imm(&self.pixels, left, top, side, side).to_image();
            self.alpha = self.alpha.map(|alpha| imageops::crop_imm(&alpha, left, top, side, side).to_image());
        }
        Ok(self)
    }
}

/// Makes the `side` x `side` picture that the model is shown, and says how, starting with the picture's own notes. A
/// transparent picture is put on white.
pub fn square(picture: &Picture, side: u32, framing: Framing) -> (RgbImage, String) {
    let (width, height) = picture.pixels.dimensions();
    let (short, long) = (width.min(height), width.max(height));
    let mut steps = picture.notes.clone();
    let pixels = picture.on_white();
    if picture.alpha.is_some() {
        steps.push("transparency filled with white".to_owned());
    }

    let (framed, from, padding) = match framing {
        _ if short == long => (pixels, long, None),
        Framing::Crop => {
            steps.push(format!("centre crop {short}x{short} of {width}x{height}"));
            let (left, top) = ((width - short) / 2, (height - short) / 2);
            (Cow::Owned(imageops::crop_imm(&*pixels, left, top, short, short).to_image()), short, None)
        }
        Framing::Fit => {
            steps.push(format!("{width}x{height} padded to a square with white"));
            (pixels, long, Some(WHITE))
        }
    };
    if from == side {
        if steps.is_empty() {
            steps.push(format!("{side}x{side}, used as it is"));
        }
    } else if short == long {
        steps.push(format!("{width}x{height} scaled to {side}"));
    } else {
        steps.push(format!("scaled to {side}"));
    }
    if from < side {
        let times = f64::from(side) / f64::from(from);
        steps.push(format!("enlarged {times:.1} times, so it lacks detail: use a larger picture if there is one"));
    }
    let scaled = scale(&framed, side);
    let square = match padding {
        Some(colour) => pad(&scaled, side, colour),
        None => scaled,
    };
    (square, steps.join(", "))
}

/// The sizes of a picture that SDXL is told: its own height and width, where the square begins that is seen, from the top and
/// from the left in pixels of the scaled picture, and the square's height and width. Of a square that was cut out, those of the
/// whole picture.
pub fn time_ids(picture: &Picture, side: u32, framing: Framing) -> [f32; 6] {
    let (width, height) = picture.pixels.dimensions();
    let whole = picture.cut.unwrap_or(Cut { of: (width, height), at: (0, 0) });
    // The length that becomes `side`, and what is cut off before it.
    let (seen, [left, top]) = match framing {
        Framing::Crop => {
            let short = width.min(height);
            (short, [width, height].map(|length| (length - short) / 2))
        }
        Framing::Fit => (width.max(height), [0; 2]),
    };
    let scaled = |length: u32| (f64::from(length) * f64::from(side) / f64::from(seen)).round() as f32;
    let (own_width, own_height) = whole.of;
    let (left, top) = (scaled(whole.at.0 + left), scaled(whole.at.1 + top));
    [own_height as f32, own_width as f32, top, left, side as f32, side as f32]
}

/// Scales so that the longer side becomes `side`.
fn scale(picture: &RgbImage, side: u32) -> RgbImage {
    let (width, height) = picture.dimensions();
    let long = width.max(height);
    let fitted = |length: u32| {
        let exact = f64::from(length) * f64::from(side) / f64::from(long);
        (exact.round() as u32).clamp(1, side)
    };
    imageops::resize(picture, fitted(width), fitted(height), FilterType::CatmullRom)
}

/// Centres on a square of one colour.
fn pad(picture: &RgbImage, side: u32, colour: Rgb<u8>) -> RgbImage {
    let (width, height) = picture.dimensions();
    let mut square = RgbImage::from_pixel(side, side, colour);
    imageops::replace(&mut square, picture, i64::from((side - width) / 2), i64::from((side - height) / 2));
    square
}

/// Brings weights of a picture's pixels to the positions `[h, w]` of its latents, framed as [`square`] frames the
/// picture: each position gets the mean over the pixels that it covers, 1 for white. What padding adds gets 0.
pub fn square_weights(weights: &GrayImage, framing: Framing, [h, w]: [usize; 2]) -> Vec<f32> {
    let framed = framed(weights, framing);
    imageops::thumbnail(&framed, w as u32, h as u32).as_raw().iter().map(|&value| f32::from(value) / 255.0).collect()
}

/// A mask of a picture as a mask of the square that [`square`] makes of it. What padding adds is black.
pub fn square_mask(mask: &GrayImage, side: u32, framing: Framing) -> GrayImage {
    let framed = framed(mask, framing);
    if framed.width() == side { framed } else { imageops::resize(&framed, side, side, FilterType::Triangle) }
}

/// The square that is cut out of weights, or that they are padded to with black, in their own resolution.
fn framed(weights: &GrayImage, framing: Framing) -> GrayImage {
    let (width, height) = weights.dimensions();
    let side = match framing {
        Framing::Crop => width.min(height),
        Framing::Fit => width.max(height),
    };
    // Negative where the picture is cut.
    let offset = |length: u32| (i64::from(side) - i64::from(length)) / 2;
    let mut framed = GrayImage::new(side, side);
    imageops::replace(&mut framed, weights, offset(width), offset(height));
    framed
}

/// A picture before a plain background of a colour: what its mask, of its size, has in white is kept.
pub fn before_plain(picture: &RgbImage, mask: &GrayImage, colour: [u8; 3]) -> RgbImage {
    let mut before = picture.clone();
    for (pixel, mask) in before.pixels_mut().zip(mask.pixels()) {
        let share = u32::from(mask[0]);
        let mixed =
            |(own, behind): (u8, u8)| ((u32::from(own) * share + u32::from(behind) * (255 - share) + 127) / 255) as u8;
        pixel.0 = std::array::from_fn(|i| mixed((pixel[i], colour[i])));
    }
    before
}

/// Swaps left and right.
pub fn mirror(picture: &RgbImage) -> RgbImage {
    imageops::flip_horizontal(picture)
}

/// The model's numbers, `[H, W, 3]` in [-1, 1].
pub fn to_floats(picture: &RgbImage) -> Vec<f32> {
    // In f64 and then rounded, as numpy does it: the same bits as diffusers.
    let table: [f32; 256] = std::array::from_fn(|value| (value as f64 / 127.5 - 1.0) as f32);
    picture.as_raw().iter().map(|&value| table[usize::from(value)]).collect()
}

/// The picture of `[H, W, 3]` numbers in [-1, 1]; what lies outside is clamped, what is not a number becomes black.
///
/// # Panics
/// If there are not exactly `3 * width * height` numbers.
pub fn from_floats(values: &[f32], width: u32, height: u32) -> RgbImage {
    let bytes = values.iter().map(|value| ((value / 2.0 + 0.5).clamp(0.0, 1.0) * 255.0).round_ties_even() as u8);
    let bytes: Vec<u8> = bytes.collect();
    assert_eq!(bytes.len(), 3 * width as usize * height as usize, "three numbers for each pixel of {width}x{height}");
    RgbImage::from_raw(width, height, bytes).expect("the length was checked")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thing_is_put_before_a_colour_by_its_mask() {
        let picture = RgbImage::from_pixel(4, 2, Rgb([200, 100, 0]));
        let mask = GrayImage::from_fn(4, 2, |x, _| image::Luma([[255, 128, 0, 0][x as usize]]));
        let before = before_plain(&picture, &mask, [0, 100, 255]);
        let row: Vec<[u8; 3]> = (0..4).map(|x| before.get_pixel(x, 1).0).collect();
        assert_eq!(row, [[200, 100, 0], [100, 100, 127], [0, 100, 255], [0, 100, 255]]);
    }

    #[test]
    fn a_mask_is_framed_as_its_picture_is() {
        // White in the left third of a wide picture: a crop of the middle cuts half of it off, and padding keeps it.
        let mask = GrayImage::from_fn(24, 12, |x, _| image::Luma([if x < 9 { 255 } else { 0 }]));
        let white = |framing, side| {
            let framed = square_mask(&mask, side, framing);
            assert_eq!(framed.dimensions(), (side, side));
            framed.iter().map(|value| u32::from(*value)).sum::<u32>() as f32 / 255.0 / (side * side) as f32
        };
        assert_eq!(white(Framing::Crop, 12), 3.0 / 12.0);
        assert_eq!(white(Framing::Fit, 24), 9.0 * 12.0 / (24.0 * 24.0));
        assert!((white(Framing::Crop, 48) - 0.25).abs() < 0.02 && (white(Framing::Crop, 6) - 0.25).abs() < 0.05);
    }
}
