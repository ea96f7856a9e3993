//! Things that are found in pictures made here, against where they were drawn: in front of white, of a colour, of a soft gradient, and of
//! rectangles of all colours, as smooth as the thing or rough.

use image::{GrayImage, Luma, Rgb, RgbImage};
use pseudoword::image::{AttentionMap, Picture, find_things};

/// Numbers from 0 to 1 that look random, the same everywhere.
struct Numbers(u64);

impl Numbers {
    fn number(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 40) as f32 / (1 << 24) as f32
    }

    fn colour(&mut self) -> [f32; 3] {
        [self.number(), self.number(), self.number()]
    }
}

#[derive(Debug, Clone, Copy)]
enum Behind {
    White,
    Plain,
    Soft,
    Rectangles,
    Rough,
}

/// A pear with a leaf, shaded, somewhere near the middle, and where it is.
fn drawn(behind: Behind, side: u32, seed: u64) -> (Picture, GrayImage) {
    let mut numbers = Numbers(seed);
    for _ in 0..8 {
        numbers.number();
    }
    let length = side as f32;
    let mut ground = RgbImage::new(side, side);
    let colours: Vec<[f32; 3]> = (0..40).map(|_| numbers.colour()).collect();
    let plain = [0.2, 0.35 + 0.2 * numbers.number(), 0.8];
    let boxes: Vec<[f32; 4]> = (0..40)
        .map(|_| [numbers.number(), numbers.number(), 0.05 + 0.25 * numbers.number(), 0.05 + 0.25 * numbers.number()])
        .collect();
    let centre = [0.45 + 0.1 * numbers.number(), 0.5 + 0.1 * numbers.number()];
    let size = 0.26 + 0.08 * numbers.number();
    let mut truth = GrayImage::new(side, side);
    for (x, y, pixel) in ground.enumerate_pixels_mut() {
        let (u, v) = ((x as f32 + 0.5) / length, (y as f32 + 0.5) / length);
        let mut colour = match behind {
            Behind::White => [1.0; 3],
            Behind::Plain => plain,
            Behind::Soft => std::array::from_fn(|i| {
                colours[0][i] * u * v + colours[1][i] * (1.0 - u) + colours[2][i] * (1.0 - v) * u
            }),
            Behind::Rectangles | Behind::Rough => {
                let within = |[left, top, width, height]: &[f32; 4]| {
                    (left - 0.15..left - 0.15 + width).contains(&u) && (top - 0.15..top - 0.15 + height).contains(&v)
                };
                colours[boxes.iter().rposition(within).unwrap_or(0)]
            }
        };
        let (a, b) = ((u - centre[0]) / size, (v - centre[1]) / size);
        let body = a * a + (b - 0.2) * (b - 0.2) < 0.8 || (a / 0.55).powi(2) + ((b + 0.7) / 0.6).powi(2) < 1.0;
        let leaf = ((a - 0.4) / 0.45).powi(2) + ((b + 1.2) / 0.2).powi(2) < 1.0;
        if body {
            colour = [0.95 - 0.15 * a, 0.75 - 0.15 * a - 0.1 * b, 0.15];
        } else if leaf {
            colour = [0.2, 0.5, 0.1];
        }
        if body || leaf {
            truth.put_pixel(x, y, Luma([255]));
        }
        let is_rough = matches!(behind, Behind::Rough) && !body && !leaf;
        let grain = if is_rough { 0.15 } else { 0.03 } * (numbers.number() - 0.5);
        pixel.0 = colour.map(|value| ((value + grain).clamp(0.0, 1.0) * 255.0) as u8);
    }
    (Picture::new("p", ground), truth)
}

/// Intersection over union.
fn overlap(one: &GrayImage, other: &GrayImage) -> f64 {
    let count = |wanted: fn(bool, bool) -> bool| {
        one.pixels().zip(other.pixels()).filter(|(a, b)| wanted(a[0] > 127, b[0] > 127)).count()
    };
    count(|a, b| a && b) as f64 / count(|a, b| a || b) as f64
}

/// Means and worst of what was found, and how sure that was: of four pictures together, and of each alone.
#[test]
fn a_thing_is_found_in_front_of_what_people_have_behind_it() {
    for (behind, together, alone) in [
        (Behind::White, 0.95, 0.95),
        (Behind::Plain, 0.95, 0.95),
        (Behind::Soft, 0.8, 0.8),
        (Behind::Rectangles, 0.65, 0.5),
        (Behind::Rough, 0.9, 0.9),
    ] {
        for side in [64, 300] {
            let made: Vec<(Picture, GrayImage)> = (0..4).map(|i| drawn(behind, side, 10 + i)).collect();
            let pictures: Vec<&Picture> = made.iter().map(|(picture, _)| picture).collect();
            let found = find_things(&pictures, &[]);
            let right: Vec<f64> =
                found.iter().zip(&made).map(|(found, (_, truth))| overlap(&found.mask, truth)).collect();
            let sure: Vec<f32> = found.iter().map(|found| found.confidence).collect();
            let single: Vec<f64> =
                made.iter().map(|(picture, truth)| overlap(&find_things(&[picture], &[])[0].mask, truth)).collect();
            let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
            println!("{behind:?}, {side} pixels: {right:.2?}, sure {sure:.2?}; each alone {single:.2?}");
            assert!(mean(&right) >= together, "{behind:?}, {side} pixels: {right:?}");
            assert!(mean(&single) >= alone, "{behind:?}, {side} pixels, each alone: {single:?}");
        }
    }
}

/// Of two things, the one that a model looks at, though the other is as much in the middle.
#[test]
fn where_a_model_looks_there_is_the_thing() {
    let mut numbers = Numbers(11);
    let on = |x: u32, y: u32, left: u32| (left..left + 30).contains(&x) && (33..63).contains(&y);
    let pixels = RgbImage::from_fn(96, 96, |x, y| {
        let grain = (numbers.colour()[0] * 20.0) as u8;
        let colour = match (on(x, y, 12), on(x, y, 54)) {
            (true, _) => [210, 60, 40],
            (_, true) => [60, 190, 70],
            _ => [60, 90, 140 + (x % 40) as u8],
        };
        Rgb(colour.map(|value: u8| value.saturating_add(grain)))
    });
    let picture = Picture::new("two", pixels);
    for left in [12, 54] {
        let truth = GrayImage::from_fn(96, 96, |x, y| Luma([if on(x, y, left) { 255 } else { 0 }]));
        // Coarse, as such maps are: eight by eight.
        let values = (0..64).map(|at| if on(at % 8 * 12 + 6, at / 8 * 12 + 6, left) { 0.4 } else { 0.1 }).collect();
        let found = find_things(&[&picture], &[AttentionMap { side: 8, values }]).remove(0);
        assert!(overlap(&found.mask, &truth) > 0.8, "{left}: {}", overlap(&found.mask, &truth));
    }
}

/// The same numbers whenever it is asked, with the sizes of the pictures.
#[test]
fn what_is_found_is_the_same_each_time() {
    let (picture, _) = drawn(Behind::Rectangles, 150, 3);
    let [once, again] = [(); 2].map(|()| find_things(&[&picture], &[]).remove(0));
    assert_eq!(once.mask.dimensions(), (150, 150));
    assert!(once.mask == again.mask && once.confidence == again.confidence);
    assert!(find_things(&[], &[]).is_empty());
}

/// Where there is no thing, nothing is found for sure: one colour, noise, and rectangles only.
#[test]
fn where_there_is_no_thing_it_is_not_sure() {
    let mut numbers = Numbers(5);
    let noise = RgbImage::from_fn(96, 96, |_, _| Rgb(numbers.colour().map(|value| (value * 255.0) as u8)));
    for (name, pixels) in [("one colour", RgbImage::from_pixel(96, 96, Rgb([90, 120, 60]))), ("noise", noise)] {
        let found = find_things(&[&Picture::new(name, pixels)], &[]).remove(0);
        assert!(found.confidence < 0.8, "{name}: {}", found.confidence);
    }
}
