//! Squares, numbers, PNG texts and templates.

use image::{GrayImage, Luma, Rgb, RgbImage};
use pseudoword::config::{Framing, Kind};
use pseudoword::error::Error;
use pseudoword::image::{Picture, encode_png, from_floats, mirror, read_text, square, time_ids, to_floats};
use pseudoword::train::templates::{fill, parse_template_file, templates};

use crate::made::*;

#[test]
fn the_part_that_a_user_chose_is_what_the_model_sees() {
    let whole = RgbImage::from_fn(60, 40, |x, y| Rgb([x as u8, y as u8, 0]));
    let alpha = GrayImage::from_fn(60, 40, |x, _| Luma([x as u8]));
    let picture = || Picture { alpha: Some(alpha.clone()), ..Picture::new("p", whole.clone()) };
    let part = picture().cut([31, 7, 20]).unwrap();
    let (first, last) = (part.pixels.get_pixel(0, 0).0, part.pixels.get_pixel(19, 19).0);
    assert_eq!((part.pixels.dimensions(), first, last), ((20, 20), [31, 7, 0], [50, 26, 0]));
    assert_eq!(part.alpha.as_ref().unwrap().get_pixel(19, 0).0, [50]);
    let (_, said) = square(&part, 20, Framing::Crop);
    assert!(said.starts_with("20x20 cut out of 60x40 at 31, 7"), "{said}");
    for (cut, part) in [
        ([41, 0, 20], "does not lie"),
        ([0, 21, 20], "does not lie"),
        ([0, 0, 15], "too small"),
        ([u32::MAX, 0, 20], "does not lie"),
    ] {
        let error = picture().cut(cut).unwrap_err();
        assert!(matches!(&error, Error::BadPicture { reason, .. } if reason.contains(part)), "{error}");
    }
    // SDXL is told where in the whole picture, in pixels of the scaled one.
    for framing in [Framing::Crop, Framing::Fit] {
        assert_eq!(time_ids(&part, 40, framing), [40.0, 60.0, 14.0, 62.0, 40.0, 40.0]);
    }
    assert_eq!(time_ids(&picture(), 20, Framing::Crop), [40.0, 60.0, 0.0, 5.0, 20.0, 20.0]);
    assert_eq!(time_ids(&picture(), 20, Framing::Fit), [40.0, 60.0, 0.0, 0.0, 20.0, 20.0]);
    // All of a square is no part of it.
    let all = Picture::new("p", busy(32));
    assert_eq!(all.clone().cut([0, 0, 32]).unwrap(), all);
}

#[test]
fn squares_are_cut_or_padded_and_say_so() {
    let picture = |pixels: RgbImage| Picture { notes: vec!["rotated 90° (EXIF)".into()], ..Picture::new("p", pixels) };
    let mut wide = RgbImage::from_pixel(640, 480, Rgb([9, 9, 9]));
    for (x, y, colour) in [(80, 0, [255, 0, 0]), (559, 479, [0, 255, 0]), (79, 0, [0, 0, 255]), (560, 479, [0, 0, 255])]
    {
        wide.put_pixel(x, y, Rgb(colour));
    }
    let (cut, said) = square(&picture(wide.clone()), 480, Framing::Crop);
    assert_eq!(said, "rotated 90° (EXIF), centre crop 480x480 of 640x480");
    assert_eq!((cut.get_pixel(0, 0).0, cut.get_pixel(479, 479).0), ([255, 0, 0], [0, 255, 0]));
    let (cut, said) = square(&picture(wide.clone()), 64, Framing::Crop);
    assert_eq!(
        (cut.dimensions(), said.ends_with("centre crop 480x480 of 640x480, scaled to 64")),
        ((64, 64), true),
        "{said}"
    );

    let (padded, said) = square(&picture(wide), 64, Framing::Fit);
    assert!(said.ends_with("640x480 padded to a square with white, scaled to 64"), "{said}");
    let column: Vec<u8> = (0..64).map(|y| padded.get_pixel(32, y)[0]).collect();
    assert!(column[..8].iter().chain(&column[56..]).all(|&v| v == 255) && column[8..56].iter().all(|&v| v < 20));

    let small = Picture { notes: Vec::new(), ..picture(busy(32)) };
    for framing in [Framing::Crop, Framing::Fit] {
        assert_eq!(square(&small, 32, framing), (busy(32), "32x32, used as it is".to_owned()));
        let (large, said) = square(&small, 80, framing);
        assert!(large.dimensions() == (80, 80) && said.contains("enlarged 2.5 times"), "{said}");
    }
    let strip = picture(RgbImage::from_pixel(128, 16, RED));
    assert_eq!(square(&strip, 8, Framing::Fit).0.dimensions(), (8, 8));
    assert_eq!(mirror(&quarters(4, 4)).get_pixel(0, 0).0, [0, 255, 0]);
}

#[test]
fn pixels_and_numbers_correspond_as_in_diffusers() {
    let all = RgbImage::from_raw(16, 16, (0..768).map(|index| index as u8).collect()).unwrap();
    let numbers = to_floats(&all);
    assert_eq!((numbers[0], numbers[255], numbers[51]), (-1.0, 1.0, -0.6));
    assert_eq!(from_floats(&numbers, 16, 16), all);
    let odd = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 7.0, -7.0, 0.0];
    // 0 is 127.5, which numpy rounds to the even neighbour
    assert_eq!(from_floats(&odd, 2, 1).into_raw(), [0, 255, 0, 255, 0, 128]);
}

#[test]
fn text_goes_into_a_png_and_comes_out() {
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let text = [
        pair("Software", "pseudoword 0.1.0"),
        pair("parameters", "a <größe> café\nSteps: 25"),
        pair("empty", ""),
        pair("twice", "Ã© and é"),
        pair("prompt", "ein 🍑 und 日本語 → \u{7f}"),
        // Latin-1 that would be taken for UTF-8.
        pair("odd", "Ã©"),
    ];
    let file = encode_png(&busy(20), &text).unwrap();
    assert_eq!(read_text(&file).unwrap(), text);
    assert_eq!(file, encode_png(&busy(20), &text).unwrap());
    assert_eq!(Picture::decode("own", &file).unwrap().pixels, busy(20));
    let kinds: Vec<_> = [&b"tEXt"[..], b"iTXt"].map(|kind| file.windows(4).filter(|w| w == &kind).count()).into();
    assert_eq!(kinds, [4, 2]);

    assert_eq!(read_text(&encode_png(&busy(4), &[]).unwrap()).unwrap(), []);
    for key in ["", "🍑", &"k".repeat(80)] {
        assert!(matches!(encode_png(&busy(4), &[pair(key, "v")]), Err(Error::Internal(_))), "{key:?}");
    }
    assert!(matches!(encode_png(&RgbImage::new(0, 3), &[]), Err(Error::Internal(_))));
    assert!(matches!(read_text(b"GIF89a"), Err(Error::BadFile { .. })));
    assert!(matches!(read_text(&file[..file.len() / 2]), Err(Error::BadFile { .. })));
}

#[test]
fn templates_have_slots_and_files_of_them_are_checked() {
    assert_eq!((templates(Kind::Object).len(), templates(Kind::Style).len()), (27, 19));
    for list in [templates(Kind::Object), templates(Kind::Style)] {
        assert!(list.iter().all(|template| template.matches("{}").count() == 1));
        assert_eq!(list.iter().collect::<std::collections::HashSet<_>>().len(), list.len());
    }
    assert_eq!(fill("a {} in noto style", "<p>_0 <p>_1"), "a <p>_0 <p>_1 in noto style");
    assert_eq!(fill("a {}", "{}{}"), "a {}{}");

    let text = "\u{feff}# mine\n\n a photo of [name]  \r\nart by {}\n";
    assert_eq!(parse_template_file(text, "t.txt", 1).unwrap(), ["a photo of {}", "art by {}"]);
    for (text, words) in
        [("a {}\na photo\n", "t.txt: line 2"), ("[name], [filewords]", "captions"), ("# nothing\n", "no sentence")]
    {
        let error = parse_template_file(text, "t.txt", 1).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}
