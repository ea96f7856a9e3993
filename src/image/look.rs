//! What can be seen of a picture without a model: that it is blurred, and that another is the same.
//!
//! Blur after Crété-Roffet, Dolmiere, Ladret and Nicolas, "The blur effect: perception and estimation with a new no-reference
//! perceptual blur metric" (SPIE 6492, 2007): what is blurred once more loses much of the differences between neighbouring
//! pixels if it was sharp, and little if it was not.

use image::RgbImage;
use image::imageops::thumbnail;

use super::{Picture, square};
use crate::config::Framing;

/// Pixels of the filter that blurs once more.
const FILTER: usize = 9;
/// Differences below this are as likely rounding as they are edges.
const ROUNDING: f32 = 2.0;
/// The picture is looked at in so many parts each way.
const PARTS: usize = 4;
/// Parts with less than this share of the differences of the richest say nothing.
const RICH: f32 = 0.25;
/// The share of their differences that edges keep where they are blurred. Sharp photographs and drawings at 512 pixels have 0.1
/// to 0.3 in their sharpest part; after a Gaussian blur of two pixels 0.35 to 0.77, after one of three 0.63 to 0.9.
const BLURRED: f32 = 0.6;

/// Pixels a side of what is compared of pictures.
const SIDE: u32 = 16;
/// How much of their variance two pictures may differ by and be the same: copies in another size or compression are below 0.03
/// (textures 0.06), two drawings of one thing, and the two views of a stereo pair, above 0.1.
const SAME: f64 = 0.05;
/// The variance that pictures of one colour are taken to have.
const FLAT: f64 = 4.0;

impl Picture {
    /// Whether no part of it is sharp, as the model sees its middle at `side` pixels.
    pub fn is_blurred(&self, side: u32) -> bool {
        let (width, height) = self.pixels.dimensions();
        let (seen, _) = square(self, side.min(width).min(height), Framing::Crop);
        sharpest(&luminance(&seen), seen.width() as usize).is_some_and(|kept| kept >= BLURRED)
    }

    /// A copy of 16x16 pixels, by which it is known again in another size or compression ([`are_alike`]).
    pub fn fingerprint(&self) -> Vec<u8> {
        thumbnail(&*self.on_white(), SIDE, SIDE).into_raw()
    }
}

/// Whether two [fingerprints](Picture::fingerprint) are of the same picture.
pub fn are_alike(one: &[u8], other: &[u8]) -> bool {
    let count = (3 * SIDE * SIDE) as usize;
    if one.len() != count || other.len() != count {
        return false;
    }
    let difference: f64 = one.iter().zip(other).map(|(a, b)| f64::from(a.abs_diff(*b)).powi(2)).sum();
    let variance = f64::midpoint(variance(one), variance(other)) + FLAT;
    difference / count as f64 <= SAME * variance
}

/// The mean variance of the three colours.
fn variance(pixels: &[u8]) -> f64 {
    let of = |colour: usize| {
        let values = || pixels.iter().skip(colour).step_by(3).map(|value| f64::from(*value));
        let count = values().count() as f64;
        let mean = values().sum::<f64>() / count;
        values().map(|value| (value - mean).powi(2)).sum::<f64>() / count
    };
    (0..3).map(of).sum::<f64>() / 3.0
}

/// How bright pixels look (ITU-R BT.601).
fn luminance(picture: &RgbImage) -> Vec<f32> {
    let weights = [0.299, 0.587, 0.114];
    picture
        .pixels()
        .map(|pixel| weights.iter().zip(pixel.0).map(|(weight, value)| weight * f32::from(value)).sum())
        .collect()
}

/// Of the parts of a square that have edges, the share of its differences that the sharpest keeps; none if there are none.
fn sharpest(square: &[f32], side: usize) -> Option<f32> {
    let mut differences = [[0.0f32; PARTS]; PARTS];
    let mut lost = differences;
    // Rows, and then columns as rows.
    for across in [true, false] {
        let at =
            |line: usize, place: usize| if across { square[line * side + place] } else { square[place * side + line] };
        for line in 0..side {
            let values: Vec<f32> = (0..side).map(|place| at(line, place)).collect();
            let again = blurred(&values);
            for place in 1..side {
                let difference = (values[place] - values[place - 1]).abs();
                if difference < ROUNDING {
                    continue;
                }
                let (y, x) = if across { (line, place) } else { (place, line) };
                let (y, x) = (y * PARTS / side, x * PARTS / side);
                differences[y][x] += difference;
                lost[y][x] += (difference - (again[place] - again[place - 1]).abs()).max(0.0);
            }
        }
    }
    let differences = differences.as_flattened();
    let richest = differences.iter().copied().fold(0.0, f32::max);
    let parts = differences.iter().zip(lost.as_flattened()).filter(|(all, _)| **all > RICH * richest);
    parts.map(|(all, lost)| 1.0 - lost / all).min_by(f32::total_cmp)
}

/// The mean of each value and its neighbours; beyond the ends the last ones are repeated.
fn blurred(values: &[f32]) -> Vec<f32> {
    let (half, last) = (FILTER / 2, values.len() - 1);
    let at = |place: usize| values[place.saturating_sub(half).min(last)];
    let mut sum: f32 = (0..FILTER).map(at).sum();
    let mut means = Vec::with_capacity(values.len());
    for place in 0..values.len() {
        means.push(sum / FILTER as f32);
        sum += at(place + FILTER) - at(place);
    }
    means
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::imageops::{FilterType, blur, resize};

    fn examples() -> Vec<Picture> {
        let names =
            ["peach/noto", "peach/3d", "peach/flat", "tangerine/3d", "fox/3d", "fox/flat", "high-contrast-style/cat"];
        let read = |name: &str| {
            let name = format!("examples/{name}.png");
            Picture::decode(&name, &std::fs::read(&name).unwrap()).unwrap()
        };
        names.map(read).into()
    }

    fn with(picture: &Picture, pixels: RgbImage) -> Picture {
        Picture::new(picture.name.clone(), pixels)
    }

    #[test]
    fn what_is_blurred_is_told_from_what_is_sharp_at_the_side_that_the_model_sees() {
        for picture in examples() {
            assert!(!picture.is_blurred(512) && !picture.is_blurred(64), "{}", picture.name);
            let soft = with(&picture, blur(&*picture.on_white(), 2.5));
            // At an eighth of the size the same edges are sharp.
            assert!(soft.is_blurred(512) && !soft.is_blurred(32), "{}", picture.name);
            // Another size does not hide it.
            let large = with(&picture, resize(&soft.pixels, 700, 700, FilterType::CatmullRom));
            assert!(large.is_blurred(512), "{}", picture.name);
        }
        // Half of it is enough, wherever that is.
        let peach = &examples()[0];
        let mut half = blur(&*peach.on_white(), 3.0);
        image::imageops::replace(
            &mut half,
            &image::imageops::crop_imm(&*peach.on_white(), 0, 0, 256, 128).to_image(),
            0,
            0,
        );
        assert!(!with(peach, half).is_blurred(512));
        // There is nothing to be said of one colour.
        assert!(!Picture::new("grey", RgbImage::from_pixel(40, 30, image::Rgb([90; 3]))).is_blurred(512));
    }

    #[test]
    fn copies_are_known_again_and_others_are_not() {
        let all = examples();
        for (i, picture) in all.iter().enumerate() {
            let own = picture.fingerprint();
            let small = with(picture, resize(&*picture.on_white(), 90, 80, FilterType::Triangle));
            let lighter =
                with(picture, RgbImage::from_fn(256, 256, |x, y| picture.on_white()[(x, y)].0.map(|v| v ^ 1).into()));
            for copy in [picture, &small, &lighter] {
                assert!(are_alike(&own, &copy.fingerprint()), "{}", picture.name);
            }
            for other in &all[..i] {
                assert!(!are_alike(&own, &other.fingerprint()), "{} {}", picture.name, other.name);
            }
        }
        let plain =
            |value: u8| Picture::new("plain", RgbImage::from_pixel(20, 20, image::Rgb([value; 3]))).fingerprint();
        assert!(are_alike(&plain(90), &plain(90)) && !are_alike(&plain(90), &plain(100)));
        assert!(!are_alike(&plain(90), &[]));
    }
}
