//! Masks: from a picture that somebody drew to one that fits another picture.

use image::GrayImage;
use image::imageops::{FilterType, grayscale, resize};

use super::Picture;
use crate::{Error, Result};

/// What is at most as bright is black, for files that were saved with loss.
const BLACK: u8 = 15;
/// The same for white.
const WHITE: u8 = 240;

/// A picture's mask, and what the picture's notes should say of it.
#[derive(Debug)]
pub struct Mask {
    /// White where the thing is, as large as the picture; none if it is white all over, which says nothing.
    pub pixels: Option<GrayImage>,
    /// Where it is from, and whether it was scaled.
    pub note: String,
}

impl Mask {
    /// Reads a picture as the mask of another: its transparency, if it has any, else its brightness. One of the same shape is scaled.
    ///
    /// # Errors
    /// [`Error::BadPicture`] if it has another shape, or is black all over.
    pub fn of(mask: &Picture, picture: &Picture) -> Result<Mask> {
        let refused = |reason: String| Err(Error::BadPicture { file: mask.name.clone(), reason });
        let pixels = match &mask.alpha {
            Some(alpha) => alpha.clone(),
            None => grayscale(&mask.pixels),
        };
        let ((has_width, has_height), (width, height)) = (pixels.dimensions(), picture.pixels.dimensions());
        if pixels.iter().all(|value| *value <= BLACK) {
            return refused(format!(
                "this mask is black all over, so nothing of {} would be learned: paint the thing white, or remove the mask",
                picture.name
            ));
        }
        // The height that its width asks for, within a pixel of the smaller of the two.
        let expected = f64::from(has_width) * f64::from(height) / f64::from(width);
        let slack = (f64::from(has_height) / f64::from(height)).max(1.0);
        if (expected - f64::from(has_height)).abs() > slack {
            return refused(format!(
                "this mask is {has_width}x{has_height}, and its picture {} is {width}x{height}: a mask needs the same shape, if not \
                 the same size",
                picture.name
            ));
        }
        let same = (has_width, has_height) == (width, height);
        let scaled = if same { String::new() } else { format!(", scaled from {has_width}x{has_height}") };
        let note = format!("mask {}{scaled}", mask.name);
        if pixels.iter().all(|value| *value >= WHITE) {
            return Ok(Mask { pixels: None, note: format!("{note}, white all over: no mask") });
        }
        let pixels = if same { pixels } else { resize(&pixels, width, height, FilterType::Triangle) };
        Ok(Mask { pixels: Some(pixels), note })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{Luma, Rgb, RgbImage};

    fn grey(width: u32, height: u32, value: impl Fn(u32, u32) -> u8) -> Picture {
        Picture::new("m.png", RgbImage::from_fn(width, height, |x, y| Rgb([value(x, y); 3])))
    }

    #[test]
    fn a_mask_is_brightness_or_opacity_and_is_scaled_to_its_picture() {
        let picture = Picture::new("p.png", RgbImage::new(101, 50));
        let left = |x: u32, _: u32| if x < 20 { 255 } else { 0 };
        let mask = Mask::of(&grey(40, 20, left), &picture).unwrap();
        let pixels = mask.pixels.unwrap();
        assert_eq!((pixels.dimensions(), mask.note.as_str()), ((101, 50), "mask m.png, scaled from 40x20"));
        assert_eq!((pixels.get_pixel(10, 10), pixels.get_pixel(90, 40)), (&Luma([255]), &Luma([0])));
        // Cut out: bright where it is not the thing.
        let mut cut = grey(101, 50, |_, _| 255);
        cut.alpha = Some(GrayImage::from_fn(101, 50, |x, _| Luma([if x < 50 { 0 } else { 200 }])));
        let mask = Mask::of(&cut, &picture).unwrap();
        assert_eq!((mask.pixels.as_ref(), mask.note.as_str()), (cut.alpha.as_ref(), "mask m.png"));
    }

    #[test]
    fn a_mask_of_another_shape_or_without_a_thing_is_refused_and_a_white_one_is_none() {
        let picture = Picture::new("p.png", RgbImage::new(100, 50));
        let refused = |mask: &Picture| Mask::of(mask, &picture).unwrap_err().to_string();
        let shape = refused(&grey(50, 50, |_, _| 200));
        assert!(shape.contains("50x50") && shape.contains("p.png is 100x50"), "{shape}");
        let black = refused(&grey(100, 50, |x, _| (x % 4) as u8));
        assert!(black.contains("m.png: this mask is") && black.contains("black all over"), "{black}");
        let white = Mask::of(&grey(100, 50, |x, _| 255 - (x % 4) as u8), &picture).unwrap();
        assert!(white.pixels.is_none() && white.note.contains("white all over"), "{}", white.note);
    }
}
