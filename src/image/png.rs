//! PNG files that carry their settings as text, the way other programs for generated pictures do.
//!
//! The same pixels and texts give the same bytes: no time, no random order. Text that Latin-1 can hold goes into `tEXt`
//! chunks, other text into uncompressed `iTXt`, both before the pixels (W3C PNG 3rd edition, section 11.3.3). Programs that are less
//! exact write UTF-8 where Latin-1 should be, so what can be UTF-8 is read as that, and not written as the other.

use std::io::Cursor;

use image::RgbImage;
use png::text_metadata::{ITXtChunk, TEXtChunk};
use png::{BitDepth, ColorType, DecodeOptions, Decoder, DecodingError, Encoder, EncodingError, Limits};

use crate::error::{Error, Result};

/// Bytes that the texts of a file may take, packed and unpacked (robustness: a few bytes can unpack to gigabytes).
const MAX_TEXT: usize = 64 << 20;

/// Encodes a picture with `text` as (keyword, value) pairs in this order.
///
/// # Errors
/// [`Error::Internal`] if the picture is empty, or a keyword is not 1 to 79 Latin-1 characters.
pub fn encode_png(picture: &RgbImage, text: &[(String, String)]) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    encode(&mut bytes, picture, text)
        .map_err(|error| Error::Internal(format!("the PNG cannot be written: {error}")))?;
    Ok(bytes)
}

fn encode(bytes: &mut Vec<u8>, picture: &RgbImage, text: &[(String, String)]) -> Result<(), EncodingError> {
    let mut encoder = Encoder::new(bytes, picture.width(), picture.height());
    encoder.set_color(ColorType::Rgb);
    encoder.set_depth(BitDepth::Eight);
    let mut writer = encoder.write_header()?;
    for (keyword, value) in text {
        if value.chars().all(latin) && of_latin(value.clone()) == *value {
            writer.write_text_chunk(&TEXtChunk::new(keyword, value))?;
        } else {
            writer.write_text_chunk(&ITXtChunk::new(keyword, value))?;
        }
    }
    writer.write_image_data(picture.as_raw())?;
    writer.finish()
}

/// Whether a character is allowed in a `tEXt` value: printable Latin-1 and line feed.
fn latin(c: char) -> bool {
    matches!(c, '\n' | ' '..='~' | '\u{a0}'..='\u{ff}')
}

/// A text that was read as Latin-1, as UTF-8 where its bytes are that.
fn of_latin(text: String) -> String {
    if text.is_ascii() {
        return text;
    }
    let bytes: Option<Vec<u8>> = text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect();
    bytes.and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or(text)
}

/// Reads the texts of a PNG file: first those in `tEXt` chunks, then `zTXt`, then `iTXt`.
///
/// # Errors
/// [`Error::BadFile`] if this is not a whole PNG file, or its texts unpack to more than 64 MiB.
pub fn read_text(bytes: &[u8]) -> Result<Vec<(String, String)>> {
    let bad = |error: DecodingError| Error::BadFile {
        file: "PNG".to_owned(),
        reason: format!("its text cannot be read: {error}"),
    };
    let mut options = DecodeOptions::default();
    options.set_ignore_iccp_chunk(true);
    // A text that is damaged would otherwise be none.
    options.set_skip_ancillary_crc_failures(false);
    let mut decoder = Decoder::new_with_options(Cursor::new(bytes), options);
    decoder.set_limits(Limits { bytes: MAX_TEXT });
    let mut reader = decoder.read_info().map_err(bad)?;
    // Texts may also stand after the pixels, which are skipped.
    reader.finish().map_err(bad)?;

    let info = reader.info();
    let mut texts: Vec<_> =
        info.uncompressed_latin1_text.iter().map(|t| (t.keyword.clone(), of_latin(t.text.clone()))).collect();
    let mut left = MAX_TEXT;
    for chunk in &info.compressed_latin1_text {
        let mut chunk = chunk.clone();
        chunk.decompress_text_with_limit(left).map_err(bad)?;
        let text = chunk.get_text().map_err(bad)?;
        left = left.saturating_sub(text.len());
        texts.push((chunk.keyword, of_latin(text)));
    }
    for chunk in &info.utf8_text {
        let mut chunk = chunk.clone();
        chunk.decompress_text_with_limit(left).map_err(bad)?;
        let text = chunk.get_text().map_err(bad)?;
        left = left.saturating_sub(text.len());
        texts.push((chunk.keyword, text));
    }
    Ok(texts)
}
