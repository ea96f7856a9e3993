//! What is read, and how it comes out; what is refused, and in which words.

use std::time::{Duration, Instant};

use image::{DynamicImage, ImageFormat, Rgb, RgbImage, Rgba, RgbaImage};
use pseudoword::config::Framing;
use pseudoword::image::{Picture, read_text, square};

use crate::made::*;
use crate::png_writer::Png;

#[test]
fn every_orientation_is_applied_in_every_format() {
    let upright = quarters(32, 32);
    for format in FORMATS {
        for orientation in 1..=8 {
            // Where the stored corners (top left, top right, bottom left, bottom right) belong: EXIF 2.32, table 6.
            let stored: [usize; 4] = match orientation {
                1 => [0, 1, 2, 3],
                2 => [1, 0, 3, 2],
                3 => [3, 2, 1, 0],
                4 => [2, 3, 0, 1],
                5 => [0, 2, 1, 3],
                6 => [1, 3, 0, 2],
                7 => [3, 1, 2, 0],
                _ => [2, 0, 3, 1],
            };
            let corners = [(8, 8), (24, 8), (8, 24), (24, 24)];
            let file = RgbImage::from_fn(32, 32, |x, y| {
                let corner = stored[usize::from(x >= 16) + 2 * usize::from(y >= 16)];
                *upright.get_pixel(corners[corner].0, corners[corner].1)
            });
            let file = oriented(&encode(file, format), format, 32, orientation);
            let picture = Picture::decode("photo", &file).unwrap();
            for (x, y) in corners {
                let (found, wanted) = (picture.pixels.get_pixel(x, y).0, upright.get_pixel(x, y).0);
                let near = found.iter().zip(wanted).all(|(a, b)| a.abs_diff(b) < 12);
                assert!(near, "{format:?} orientation {orientation} at {x},{y}: {found:?}, not {wanted:?}");
            }
            assert_eq!(picture.notes.len(), usize::from(orientation != 1), "{:?}", picture.notes);
            assert!(picture.notes.iter().all(|note| note.ends_with("(EXIF)")));
        }
    }
    let wide = oriented(&encode(quarters(48, 32), ImageFormat::Jpeg), ImageFormat::Jpeg, 0, 6);
    let picture = Picture::decode("photo", &wide).unwrap();
    assert_eq!(picture.pixels.dimensions(), (32, 48));
    assert_eq!(picture.notes, ["rotated 90° (EXIF)"]);
    assert!(Picture::decode("x", &oriented(&encode(busy(32), ImageFormat::Jpeg), ImageFormat::Jpeg, 0, 99)).is_ok());
}

#[test]
fn transparency_is_kept_and_put_on_white_in_the_square() {
    let layered = RgbaImage::from_fn(16, 16, |x, _| Rgba([200, 0, 0, [0, 128, 255, 255][x as usize / 4]]));
    for format in [ImageFormat::Png, ImageFormat::WebP] {
        let picture = Picture::decode("a", &encode(layered.clone(), format)).unwrap();
        let alpha = picture.alpha.as_ref().expect("it is transparent");
        assert_eq!([0, 4, 8].map(|x| alpha.get_pixel(x, 0).0[0]), [0, 128, 255], "{format:?}");
        assert!(picture.pixels.pixels().all(|pixel| pixel.0 == [200, 0, 0]), "{format:?}");
        let flat = picture.on_white();
        let seen: Vec<_> = [0, 4, 8].map(|x| flat.get_pixel(x, 0).0).into();
        assert_eq!(seen, [[255, 255, 255], [227, 127, 127], [200, 0, 0]], "{format:?}");
        let (shown, note) = square(&picture, 16, Framing::Crop);
        assert_eq!((&shown, note.as_str()), (&*flat, "transparency filled with white"));
        // The square of the opaque picture that it looks like is the same at any size.
        let opaque = Picture::new("a", flat.into_owned());
        assert_eq!(square(&picture, 40, Framing::Fit).0, square(&opaque, 40, Framing::Fit).0);
    }
    let solid = RgbaImage::from_pixel(16, 16, Rgba([1, 2, 3, 255]));
    let picture = Picture::decode("a", &encode(solid, ImageFormat::Png)).unwrap();
    assert_eq!((picture.pixels.get_pixel(0, 0).0, picture.alpha, picture.notes.len()), ([1, 2, 3], None, 0));
}

#[test]
fn other_kinds_of_pixels_become_rgb() {
    let gray = DynamicImage::ImageLuma8(image::GrayImage::from_pixel(16, 16, image::Luma([77])));
    for format in [ImageFormat::Png, ImageFormat::Jpeg] {
        assert_eq!(Picture::decode("g", &encode(gray.clone(), format)).unwrap().pixels.get_pixel(5, 5).0, [77; 3]);
    }
    // 0xff7f is nearer to 254 than to 255, which cutting off the low byte would give
    let deep = image::ImageBuffer::from_pixel(16, 16, Rgb([0xff7fu16, 0x0080, 0x0101]));
    let picture = Picture::decode("d", &encode(DynamicImage::ImageRgb16(deep), ImageFormat::Png)).unwrap();
    assert_eq!(picture.pixels.get_pixel(5, 5).0, [255, 0, 1]);

    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, 16, 16);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_depth(png::BitDepth::One);
    encoder.set_palette(vec![10, 20, 30, 40, 50, 60]);
    encoder.set_trns(vec![255, 0]);
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(&[0x0f; 32]).unwrap();
    writer.finish().unwrap();
    let picture = Picture::decode("p", &bytes).unwrap();
    let flat = picture.on_white();
    assert_eq!((flat.get_pixel(0, 0).0, flat.get_pixel(4, 0).0), ([10, 20, 30], [255; 3]));

    // The transparent colour is stated as it is stored: 1 of 0 to 3, which is drawn as 85.
    let shades = RgbImage::from_fn(16, 16, |x, _| Rgb([0, [0, 85, 170, 255][x as usize / 4], 0]));
    let png = Png { transparent: true, ..Png::new(0, 2) }.encode(&shades);
    let picture = Picture::decode("t", &png).unwrap();
    let alpha = picture.alpha.unwrap();
    assert_eq!([0, 4, 8, 12].map(|x| alpha.get_pixel(x, 0).0[0]), [255, 0, 255, 255]);
    assert_eq!([0, 4, 8, 12].map(|x| picture.pixels.get_pixel(x, 0).0[1]), [0, 85, 170, 255]);

    // 16x16 of cyan 100 %, yellow 20 %, black 10 %, written by Pillow 13.0.0, which reads it as (0, 230, 184)
    let cmyk = hex(CMYK);
    assert_eq!(Picture::decode("c", &cmyk).unwrap().pixels.get_pixel(3, 3).0, [0, 230, 184]);
}

const CMYK: &str = "ffd8ffee000e41646f626500640000000000ffdb0043000302020302020303030304030304050805050404050a070706080c\
    0a0c0c0b0a0b0b0d0e12100d0e110e0b0b1016101113141515150c0f171816141812141514ffc00014080010001004431100\
    4d11005911004b1100ffc400160001010100000000000000000000000000000908ffc4001410010000000000000000000000\
    0000000000ffda000e0443004d0059004b00003f00954aa6d96a20000000ffd9";

#[test]
fn files_that_break_off_are_refused_wherever_they_do() {
    let mut whole = Vec::new();
    for format in FORMATS {
        let file = encode(busy(48), format);
        assert!(Picture::decode("whole", &file).is_ok(), "{format:?}");
        for length in 12..file.len() {
            let reason = refusal(&file[..length]);
            assert!(reason.contains("again"), "{format:?} cut to {length}: {reason}");
        }
        whole.push(file);
    }
    // A phone's second picture behind the first, or other things after the end, do no harm.
    for file in whole {
        assert!(Picture::decode("more", &[file, vec![7; 100]].concat()).is_ok());
    }
    let jpeg = encode(busy(48), ImageFormat::Jpeg);
    let scan = jpeg.windows(2).position(|pair| pair == [0xff, 0xda]).unwrap();
    assert!(refusal(&[&jpeg[..scan], &[0xff, 0xd9]].concat()).contains("without a picture"));
}

#[test]
fn a_png_whose_pixels_do_not_agree_with_their_checksum_is_refused() {
    let file = Png::new(2, 8).encode(&busy(32));
    let whole = Picture::decode("whole", &file).unwrap();
    let kind = file.windows(4).position(|kind| kind == b"IDAT").unwrap();
    let length = u32::from_be_bytes(file[kind - 4..kind].try_into().unwrap()) as usize;
    let data = &file[kind + 4..kind + 4 + length];
    // The checksum of the chunk is right each time.
    let with = |data: &[u8]| [&file[..kind - 4], &png_chunk(b"IDAT", data), &file[kind + 8 + length..]].concat();
    assert_eq!(with(data), file);
    let mut sums = 0;
    for at in 0..length {
        let mut bad = data.to_vec();
        bad[at] ^= 0x10;
        match Picture::decode("bad", &with(&bad)) {
            Err(error) => {
                let error = error.to_string();
                assert!(error.contains("damaged") && error.contains("again"), "{at}: {error}");
                sums += usize::from(error.contains("the checksum of its pixels is wrong"));
            }
            // Bits that nothing is in; or those that say where the data ends, which then has no sum.
            Ok(picture) => {
                let doubted = picture.doubt.as_ref().is_some_and(|doubt| doubt.contains("not end with a checksum"));
                assert!(doubted || picture.pixels == whole.pixels, "{at}: {:?}", picture.doubt);
            }
        }
    }
    assert!(sums > 4, "{sums}");
    // Data behind the picture's last row is not looked at, as no reader does.
    assert!(Picture::decode("more", &with(&[data, &[0; 9]].concat())).is_ok());
}

#[test]
fn damage_is_an_error_or_a_picture_but_never_a_panic() {
    let mut state = 1u64;
    let mut random = move |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    for format in FORMATS {
        let good = oriented(&encode(busy(32), format), format, 32, 6);
        for round in 0..2000 {
            let mut bad = good.clone();
            for _ in 0..=random(3) {
                let reach = if round % 2 == 0 { bad.len() } else { 120 };
                bad[random(reach)] = random(256) as u8;
            }
            let _ = Picture::decode("bad", &bad);
            let _ = read_text(&bad);
        }
    }
}

#[test]
fn what_is_not_a_picture_is_named() {
    let pdf_like = |start: &[u8]| [start, &[0; 40]].concat();
    let cases: [(&[u8], &str); 20] = [
        (b"", "empty"),
        (&[0; 64], "zero bytes"),
        (&pdf_like(b"GIF89a"), "GIF"),
        (&pdf_like(b"BM\x36\0"), "BMP"),
        (&pdf_like(b"II*\0\x08\0\0\0"), "TIFF"),
        (&pdf_like(b"\0\0\0\x18ftypheic"), "HEIC"),
        (&pdf_like(b"\0\0\0\x1cftypavif"), "AVIF"),
        (&pdf_like(b"\0\0\0\x14ftypqt  "), "video"),
        (&pdf_like(b"%PDF-1.7"), "PDF"),
        (&pdf_like(b"PK\x03\x04"), "zip"),
        (&pdf_like(b"RIFF\x20\0\0\0WAVE"), "sound"),
        (b"\n<!DOCTYPE html><title>Log in</title>", "web page"),
        (b"<?xml version='1.0'?>\n<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "git lfs pull"),
        ("ein Bild für dich".as_bytes(), "text file"),
        (&[0xfe, 0xed, 0xfa, 0xce, 0, 1, 2, 3], "fe ed fa ce"),
        (b"\x89PNG\n\x1a\n\0\0\0\rIHDR", "damaged: it is a PNG that was sent as text"),
        (b"\x89PNG\r\r\n\x1a\r\n\0\0\0\rIHDR", "damaged: it is a PNG that was sent as text"),
        ("\u{fffd}PNG\r\n\u{1a}\n".as_bytes(), "damaged: it is a PNG that was saved as text"),
        ("\u{fffd}\u{fffd}\u{fffd}\u{fffd}\0\u{10}JFIF".as_bytes(), "damaged: it is a picture that was saved as text"),
    ];
    for (bytes, word) in cases {
        let reason = refusal(bytes);
        assert!(reason.contains(word), "{reason:?} does not say {word:?}");
    }
    for start in [&b"\x89PNG\r\n\x1a\n"[..], b"\xff\xd8\xff\xe0", b"RIFF\xff\xff\xff\xffWEBP"] {
        assert!(refusal(start).contains("cut off"));
    }
    // The content decides, whatever the name says.
    assert!(Picture::decode("photo.heic", &encode(busy(16), ImageFormat::Png)).is_ok());
}

#[test]
fn pngs_that_only_some_programs_read_are_not_called_damaged() {
    let good = encode(busy(16), ImageFormat::Png);
    for kind in [b"CgBI", b"ABCD"] {
        let reason = refusal(&[&good[..8], &png_chunk(kind, &[0; 4]), &good[8..]].concat());
        assert!(reason.contains("a rare variant that is not read"), "{reason}");
    }
    // What a picture can do without may be damaged.
    let mut text = png_chunk(b"tEXt", b"Comment\0x");
    *text.last_mut().unwrap() ^= 1;
    assert!(Picture::decode("t", &[&good[..33], &text, &good[33..]].concat()).is_ok());
    let mut data = good.clone();
    let middle = good.len() / 2;
    data[middle] ^= 1;
    assert!(refusal(&data).starts_with("the file is damaged ("), "{}", refusal(&data));
}

#[test]
fn sizes_are_checked_before_anything_is_decoded() {
    let header = |width: u32, height: u32| {
        let ihdr = [&width.to_be_bytes()[..], &height.to_be_bytes(), &[8, 2, 0, 0, 0]].concat();
        let chunks = [png_chunk(b"IHDR", &ihdr), png_chunk(b"IDAT", &[0; 8]), png_chunk(b"IEND", &[])].concat();
        [&b"\x89PNG\r\n\x1a\n"[..], &chunks].concat()
    };
    let start = Instant::now();
    for (width, height, word) in [
        (20000, 20000, "too large"),
        (u32::MAX, u32::MAX, "too large"),
        (16384, 6104, "too large"),
        (16385, 3000, "too large"),
        (15, 100, "too small"),
        (0, 64, "0x64"),
        (1608, 200, "too narrow"),
        (200, 1601, "too narrow"),
    ] {
        let reason = refusal(&header(width, height));
        assert!(reason.contains(word), "{width}x{height}: {reason:?}");
    }
    // The sizes are fine here, and what is wrong is the data.
    assert!(refusal(&header(10000, 10000)).contains("damaged"));
    assert!(start.elapsed() < Duration::from_secs(2));
    assert!(refusal(&webp(0, 1 << 14, &[])).contains("too large"));
    assert!(Picture::decode("x", &encode(busy(16), ImageFormat::Png)).is_ok());
}

#[test]
fn of_an_animation_the_first_frame_is_used() {
    let (first, second) = (busy(16), RgbImage::from_pixel(16, 16, RED));
    let mut apng = Vec::new();
    let mut encoder = png::Encoder::new(&mut apng, 16, 16);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_animated(2, 0).unwrap();
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(&first).unwrap();
    writer.write_image_data(&second).unwrap();
    writer.finish().unwrap();

    let frame = |picture: &RgbImage| {
        // place 0,0; width and height less one; duration: three bytes each; flags: replace what was there
        let head = [0, 0, 0, 0, 0, 0, 15, 0, 0, 15, 0, 0, 100, 0, 0, 2];
        riff_chunk(b"ANMF", &[&head[..], &encode(picture.clone(), ImageFormat::WebP)[12..]].concat())
    };
    let animated = webp(2, 16, &[riff_chunk(b"ANIM", &[0; 6]), frame(&first), frame(&second)]);
    for file in [apng, animated] {
        let picture = Picture::decode("moving", &file).unwrap();
        assert!(picture.pixels == first);
        assert_eq!(picture.notes, ["animated: only the first frame is used"]);
    }
    // Every note once, and in the order in which it was done.
    let glass = RgbaImage::from_fn(16, 16, |x, _| Rgba([9, 9, 9, x as u8 * 16]));
    let still = riff_chunk(
        b"ANMF",
        &[&[0, 0, 0, 0, 0, 0, 15, 0, 0, 15, 0, 0, 100, 0, 0, 2], &encode(glass, ImageFormat::WebP)[12..]].concat(),
    );
    let all =
        webp(2 | 8 | 16, 16, &[riff_chunk(b"ANIM", &[0; 6]), still.clone(), still, riff_chunk(b"EXIF", &exif(6))]);
    let (_, prepared) = square(&Picture::decode("all", &all).unwrap(), 16, Framing::Crop);
    assert_eq!(prepared, "animated: only the first frame is used, rotated 90° (EXIF), transparency filled with white");
}
