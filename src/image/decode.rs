//! From the bytes of a file to upright pixels.
//!
//! Order matters: what the file is, whether it is whole and how large it claims to be are settled before a decoder sees
//! it (`sniff`, `container`). Then pixels are decoded and turned as EXIF says, and everything that was done is noted,
//! so that the user learns what the model is shown. What is behind a transparent picture is for others to decide:
//! [`super::square`] puts it on white.

use std::borrow::Cow;
use std::io::{Cursor, ErrorKind, Read as _, copy, sink};

use flate2::read::ZlibDecoder;
use image::codecs::{png::PngDecoder, webp::WebPDecoder};
use image::metadata::Orientation;
use image::{DynamicImage, GrayImage, ImageDecoder, ImageError, ImageResult, Limits, Luma, Rgb, RgbImage};

use super::container::{Outline, outline, png_data};
use super::jpeg;
use super::sniff::{Format, sniff};
use crate::error::{Error, Result};
use crate::event::{Event, WarningCode};

/// Most pixels of a picture: 100 megapixels, more than any phone takes.
pub const MAX_PIXELS: u64 = 100_000_000;
/// Longest side of a picture in pixels.
pub const MAX_SIDE: u32 = 16384;
/// Shortest side of a picture in pixels; below, there is nothing to learn from.
pub const MIN_SIDE: u32 = 16;
/// Longest side over shortest side: beyond, a centre crop would show almost nothing of the picture.
pub const MAX_ASPECT: u32 = 8;

/// Bytes that a decoder may ask for beside the pixels; bounds what is unpacked from compressed text and colour
/// profiles.
const MAX_SIDE_DATA: u64 = 64 << 20;
/// Bytes of decoded pixels, which are wider than ours in 16-bit pictures.
const MAX_DECODED: u64 = 512 << 20;

/// A decoded picture: upright, eight bits a channel, in sRGB as far as is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// The name it was given, for messages.
    pub name: String,
    /// Its colours, as the file has them also where it is transparent.
    pub pixels: RgbImage,
    /// How opaque each pixel is, 255 for wholly. None if all are.
    pub alpha: Option<GrayImage>,
    /// What was done to the file's pixels, in words: `rotated 90° (EXIF)`.
    pub notes: Vec<String>,
    /// Where it was, if it is a square that was cut out of a larger picture.
    pub cut: Option<Cut>,
    /// Why its pixels may not be those that were once saved, if there is a reason to think so and nobody was warned.
    pub doubt: Option<String>,
}

/// Where in a larger picture a square was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    /// Width and height of the whole.
    pub of: (u32, u32),
    /// How far from the left and from the top of it the square begins.
    pub at: (u32, u32),
}

impl Picture {
    /// An opaque picture.
    pub fn new(name: impl Into<String>, pixels: RgbImage) -> Self {
        Self { name: name.into(), pixels, alpha: None, notes: Vec::new(), cut: None, doubt: None }
    }

    /// Its pixels as they look on a white background.
    pub fn on_white(&self) -> Cow<'_, RgbImage> {
        let Some(alpha) = &self.alpha else { return Cow::Borrowed(&self.pixels) };
        let mut flat = self.pixels.clone();
        for (Rgb(colour), Luma([alpha])) in flat.pixels_mut().zip(alpha.pixels()) {
            let alpha = u32::from(*alpha);
            *colour = colour.map(|value| ((u32::from(value) * alpha + 255 * (255 - alpha) + 127) / 255) as u8);
        }
        Cow::Owned(flat)
    }

    /// The warning that its pixels may not be those that were once saved, the first time that it is asked for.
    pub fn take_warning(&mut self) -> Option<Event> {
        let doubt = self.doubt.take()?;
        Some(Event::warning(WarningCode::DamagedPicture, format!("{} may be damaged: {doubt}", self.name)))
    }

    /// Decodes a PNG, JPEG or WebP file held in memory. `name` is only used in messages.
    ///
    /// # Errors
    /// [`Error::BadPicture`] for any other content, for files that are cut off or damaged, and for sizes out of bounds
    /// ([`MAX_PIXELS`], [`MAX_SIDE`], [`MIN_SIDE`], [`MAX_ASPECT`]).
    pub fn decode(name: &str, bytes: &[u8]) -> Result<Picture> {
        let (image, notes, doubt) =
            decode(bytes).map_err(|reason| Error::BadPicture { file: name.to_owned(), reason })?;
        let (pixels, alpha) = apart(image);
        Ok(Picture { name: name.to_owned(), pixels, alpha, notes, cut: None, doubt })
    }
}

/// The pixels, the notes and the doubt, or what is wrong.
fn decode(bytes: &[u8]) -> Result<(DynamicImage, Vec<String>, Option<String>), String> {
    let format = sniff(bytes).map_err(|refused| refused.advice)?;
    let outline = outline(format, bytes)?;
    check_size(&outline)?;

    let mut notes = Vec::new();
    let file = Cursor::new(bytes);
    let limits = || {
        let mut limits = Limits::default();
        limits.max_alloc = Some(MAX_SIDE_DATA);
        limits
    };
    let mut doubt = None;
    let mut image = match format {
        Format::Png => PngDecoder::with_limits(file, limits()).and_then(|decoder| pixels(decoder, &mut notes)),
        Format::WebP => WebPDecoder::new(file).and_then(|decoder| pixels(decoder, &mut notes)),
        Format::Jpeg => {
            let decoded = jpeg::decode(bytes)?;
            doubt = decoded.doubt;
            notes.extend(decoded.profile.as_deref().and_then(foreign_colours));
            Ok(decoded.image)
        }
    }
    .map_err(explain)?;
    if matches!(format, Format::Png) {
        doubt = check_sum(bytes, &image)?;
    }

    if outline.animated {
        notes.push("animated: only the first frame is used".to_owned());
    }
    let orientation = outline.exif.and_then(Orientation::from_exif_chunk).unwrap_or(Orientation::NoTransforms);
    image.apply_orientation(orientation);
    notes.extend(turned(orientation).map(|turn| format!("{turn} (EXIF)")));
    Ok((image, notes, doubt))
}

/// Refuses sizes that cannot be used, before anything of that size is made.
fn check_size(&Outline { width, height, .. }: &Outline) -> Result<(), String> {
    let (short, long) = (width.min(height), width.max(height));
    let size = format!("{width}x{height}");
    if long > MAX_SIDE || u64::from(width) * u64::from(height) > MAX_PIXELS {
        return Err(format!("{size} is too large (at most {MAX_SIDE} a side and 100 megapixels); scale it down"));
    }
    if short < MIN_SIDE {
        return Err(format!("{size} is too small to learn from (at least {MIN_SIDE} pixels a side)"));
    }
    if long > short * MAX_ASPECT {
        return Err(format!("{size} is too narrow (at most {MAX_ASPECT}:1); cut out the part to learn from"));
    }
    Ok(())
}

/// Decodes, after a look at the colour profile.
fn pixels(mut decoder: impl ImageDecoder, notes: &mut Vec<String>) -> ImageResult<DynamicImage> {
    if decoder.total_bytes() > MAX_DECODED {
        return Err(ImageError::Limits(image::error::LimitError::from_kind(
            image::error::LimitErrorKind::InsufficientMemory,
        )));
    }
    // A profile that cannot be read does not make the pixels unusable.
    notes.extend(decoder.icc_profile().ok().flatten().and_then(|profile| foreign_colours(&profile)));
    DynamicImage::from_decoder(decoder)
}

/// A note where the colour profile (ICC.1) describes RGB colours other than sRGB, which are treated as sRGB all the
/// same.
fn foreign_colours(profile: &[u8]) -> Option<String> {
    // The profile holds its name as ASCII (version 2) or UTF-16 (version 4): compare without the zero bytes.
    let letters: Vec<u8> = profile.iter().take(4096).copied().filter(|&byte| byte != 0).collect();
    let named = |name: &str| letters.windows(name.len()).any(|window| window == name.as_bytes());
    if profile.get(16..20) != Some(b"RGB ") || named("sRGB") {
        return None;
    }
    let name = ["Display P3", "Adobe RGB", "ProPhoto RGB"].into_iter().find(|name| named(name));
    Some(format!("{} colours treated as sRGB", name.unwrap_or("special")))
}

/// What an EXIF orientation asks for, in words.
fn turned(orientation: Orientation) -> Option<&'static str> {
    match orientation {
        Orientation::NoTransforms => None,
        Orientation::Rotate90 => Some("rotated 90°"),
        Orientation::Rotate180 => Some("rotated 180°"),
        Orientation::Rotate270 => Some("rotated 270°"),
        Orientation::FlipHorizontal => Some("mirrored"),
        Orientation::FlipVertical => Some("flipped upside down"),
        Orientation::Rotate90FlipH => Some("rotated 90° and mirrored"),
        Orientation::Rotate270FlipH => Some("rotated 270° and mirrored"),
    }
}

/// Brings a picture to eight bits a channel, and takes its colours and its alpha apart; samples of sixteen bits are
/// scaled, not cut. An alpha that hides nothing is left out.
fn apart(image: DynamicImage) -> (RgbImage, Option<GrayImage>) {
    if !image.color().has_alpha() {
        return (image.into_rgb8(), None);
    }
    let layered = image.into_rgba8();
    let (width, height) = layered.dimensions();
    let seen = layered.pixels().any(|pixel| pixel[3] != 255);
    let alpha = seen.then(|| GrayImage::from_fn(width, height, |x, y| Luma([layered.get_pixel(x, y)[3]])));
    (DynamicImage::ImageRgba8(layered).into_rgb8(), alpha)
}

/// Refuses a PNG whose data is not what was once packed (RFC 1950): the decoder does not look at the sum behind it. Returns
/// the doubt where no sum is found: the data breaks off behind the last row, or goes on without end.
fn check_sum(bytes: &[u8], image: &DynamicImage) -> Result<Option<String>, String> {
    // A byte for each row and a whole byte for its last bits; in an interlaced picture there are up to twice as many rows.
    let most = image.as_bytes().len() as u64 + 4 * u64::from(image.height()) + 64;
    let data = png_data(bytes);
    let unknown = "the data of its pixels does not end with a checksum, so some of them may be wrong";
    match copy(&mut ZlibDecoder::new(&data[..]).take(most), &mut sink()) {
        Ok(length) if length < most => Ok(None),
        Err(error) if error.kind() != ErrorKind::UnexpectedEof => {
            Err("the file is damaged (the checksum of its pixels is wrong); copy, download or export it again"
                .to_owned())
        }
        _ => Ok(Some(unknown.to_owned())),
    }
}

/// The decoder's complaint in our words.
fn explain(error: ImageError) -> String {
    match error {
        ImageError::Limits(_) => {
            "decoding it would take too much memory; scale it down or save it with 8 bits a channel".to_owned()
        }
        ImageError::Unsupported(error) => {
            format!("a rare variant that is not read ({error}); save it as an ordinary PNG")
        }
        error => {
            // Without the decoder's own words for the places in its source.
            let text = error.to_string();
            let text = text.split_once(": ").map_or(text.as_str(), |(_, what)| what);
            let what = text.split(" while decoding").next().unwrap_or(text);
            format!("the file is damaged ({}); copy, download or export it again", what.trim_end_matches('.'))
        }
    }
}
