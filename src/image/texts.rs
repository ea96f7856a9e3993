//! The texts that a picture of any format carries.

use super::container::outline;
use super::exif::user_comment;
use super::png::read_text;
use super::sniff::{Format, sniff};
use crate::Error;

/// Where JPEG and WebP have what is `parameters` in a PNG (A1111's `modules/images.py`, `save_image_with_geninfo`).
const COMMENT: &str = "parameters";

/// The texts by their keywords; of a JPEG and a WebP the comment of the user in its EXIF, as `parameters`.
///
/// # Errors
/// What the bytes are instead, or what is wrong with them.
pub(crate) fn texts_of(bytes: &[u8]) -> Result<Vec<(String, String)>, String> {
    match sniff(bytes).map_err(|refused| refused.advice)? {
        Format::Png => read_text(bytes).map_err(|error| match error {
            Error::BadFile { reason, .. } => format!("the PNG is damaged, or has too much text: {reason}"),
            error => error.to_string(),
        }),
        format => {
            let comment = outline(format, bytes)?.exif.and_then(user_comment);
            Ok(comment.map(|comment| (COMMENT.to_owned(), comment)).into_iter().collect())
        }
    }
}
