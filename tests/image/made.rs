//! Pictures and files made on the spot, so that each is wrong in one known way.

use std::io::Cursor;

use image::{DynamicImage, ImageFormat, Rgb, RgbImage};
use pseudoword::error::Error;
use pseudoword::image::Picture;

use crate::jpeg::{Colours, Jpeg};

pub const RED: Rgb<u8> = Rgb([255, 0, 0]);
pub const FORMATS: [ImageFormat; 3] = [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::WebP];

/// A picture without any symmetry: each quarter has a colour of its own.
pub fn quarters(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| match (x < width / 2, y < height / 2) {
        (true, true) => RED,
        (false, true) => Rgb([0, 255, 0]),
        (true, false) => Rgb([0, 0, 255]),
        (false, false) => Rgb([0, 0, 0]),
    })
}

/// A picture that compresses badly, so that a file of it has a middle to be cut in.
pub fn busy(side: u32) -> RgbImage {
    RgbImage::from_fn(side, side, |x, y| Rgb([(x * 7 + y * 3) as u8, (x * y) as u8, (x ^ y) as u8]))
}

/// Something like a photo: soft colours, a thing with an edge, noise.
pub fn scene(width: u32, height: u32) -> RgbImage {
    let (middle, radius) = ((f64::from(width) / 2.0, f64::from(height) / 2.0), f64::from(width.min(height)) / 3.0);
    RgbImage::from_fn(width, height, |x, y| {
        let noise =
            f64::from((x.wrapping_mul(2_654_435_761) ^ y.wrapping_mul(40_503).wrapping_mul(x + 7)) >> 7 & 15) - 7.5;
        let (x, y) = (f64::from(x), f64::from(y));
        let wave = |a: f64, b: f64, c: f64| 128.0 + 90.0 * (x / a + c).sin() * (y / b + c).cos();
        let inside = (x - middle.0).hypot(y - middle.1) < radius;
        let colour = if inside {
            [wave(23.0, 31.0, 0.0) / 2.0 + 100.0, 60.0, wave(9.0, 14.0, 2.0)]
        } else {
            [wave(40.0, 22.0, 1.0), wave(31.0, 55.0, 3.0), wave(60.0, 17.0, 5.0)]
        };
        Rgb(colour.map(|value| (value + noise).clamp(0.0, 255.0) as u8))
    })
}

pub fn encode(picture: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let picture = picture.into();
    if format == ImageFormat::Jpeg {
        let (colours, count) = if picture.color().has_color() { (Colours::Ycc, 3) } else { (Colours::Grey, 1) };
        return Jpeg::new(colours, &vec![(1, 1); count]).encode(&picture.into_rgb8());
    }
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

pub fn refusal(bytes: &[u8]) -> String {
    match Picture::decode("file.png", bytes) {
        Err(Error::BadPicture { file, reason }) if file == "file.png" => reason,
        other => panic!("expected a bad picture, got {other:?}"),
    }
}

pub fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

/// A TIFF structure with nothing but an orientation, little-endian.
pub fn exif(orientation: u8) -> Vec<u8> {
    let mut tiff = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0".to_vec();
    tiff.extend([orientation, 0, 0, 0, 0, 0, 0, 0]);
    tiff
}

pub fn png_chunk(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let crc = kind.iter().chain(body).fold(!0u32, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 })
    });
    [&(body.len() as u32).to_be_bytes(), &kind[..], body, &(!crc).to_be_bytes()].concat()
}

pub fn riff_chunk(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let padding = if body.len() % 2 == 1 { &[0][..] } else { &[] };
    [&kind[..], &(body.len() as u32).to_le_bytes(), body, padding].concat()
}

/// An extended WebP of the given chunks.
pub fn webp(flags: u8, side: u32, chunks: &[Vec<u8>]) -> Vec<u8> {
    let size = (side - 1).to_le_bytes();
    let header = [&[flags, 0, 0, 0], &size[..3], &size[..3]].concat();
    let body = [b"WEBP".to_vec(), riff_chunk(b"VP8X", &header), chunks.concat()].concat();
    riff_chunk(b"RIFF", &body)
}

/// Gives a file an EXIF orientation.
pub fn oriented(file: &[u8], format: ImageFormat, side: u32, orientation: u8) -> Vec<u8> {
    let tiff = exif(orientation);
    match format {
        ImageFormat::Png => [&file[..33], &png_chunk(b"eXIf", &tiff), &file[33..]].concat(),
        ImageFormat::Jpeg => {
            let length = (tiff.len() as u16 + 8).to_be_bytes();
            [&file[..2], &[0xff, 0xe1], &length, b"Exif\0\0", &tiff, &file[2..]].concat()
        }
        _ => webp(8, side, &[file[12..].to_vec(), riff_chunk(b"EXIF", &tiff)]),
    }
}
