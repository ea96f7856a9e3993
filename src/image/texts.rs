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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::exif::tests::with_comment;

    fn jpeg(exif: &[u8]) -> Vec<u8> {
        let segment =
            |marker: u8, body: &[u8]| [&[0xff, marker], &(body.len() as u16 + 2).to_be_bytes()[..], body].concat();
        let sides = [8, 0, 16, 0, 16, 1, 1, 0x11, 0];
        let parts =
            [segment(0xe1, &[b"Exif\0\0", exif].concat()), segment(0xc0, &sides), segment(0xda, &[1, 1, 0, 0, 63, 0])];
        [b"\xff\xd8", parts.concat().as_slice(), b"\x12\x34\xff\xd9"].concat()
    }

    fn webp(exif: &[u8]) -> Vec<u8> {
        let chunk = |kind: &[u8], body: &[u8]| {
            [kind, &(body.len() as u32).to_le_bytes(), body, &vec![0; body.len() % 2]].concat()
        };
        let chunks = [&b"WEBP"[..], &chunk(b"VP8L", &[0x2f, 15, 192, 3, 0]), &chunk(b"EXIF", exif)].concat();
        [b"RIFF", &(chunks.len() as u32).to_le_bytes()[..], &chunks].concat()
    }

    #[test]
    fn jpeg_and_webp_have_them_in_a_comment() {
        let exif = with_comment(b"ASCII\0\0\0a cat\nSteps: 2", false);
        let expected = [("parameters".to_owned(), "a cat\nSteps: 2".to_owned())];
        for file in [jpeg(&exif), webp(&exif)] {
            assert_eq!(texts_of(&file).unwrap(), expected);
            assert!(texts_of(&file[..file.len() - 3]).is_err());
        }
        for file in [jpeg(b"II*\0"), webp(&[])] {
            assert_eq!(texts_of(&file).unwrap(), []);
        }
        assert!(texts_of(b"GIF89a").unwrap_err().contains("GIF"));
    }

    #[test]
    fn texts_that_unpack_to_gigabytes_or_are_damaged_are_refused() {
        let packed = |length: usize| {
            let mut file = Vec::new();
            let mut encoder = png::Encoder::new(&mut file, 1, 1);
            encoder.add_ztxt_chunk("parameters".to_owned(), "x".repeat(length)).unwrap();
            encoder.write_header().unwrap().write_image_data(&[0]).unwrap();
            file
        };
        assert_eq!(texts_of(&packed(1000)).unwrap()[0].1.len(), 1000);
        let bomb = packed(65 << 20);
        assert!(bomb.len() < 1 << 20);
        let said = texts_of(&bomb).unwrap_err();
        assert!(said.contains("too much text"), "{said}");
        let mut changed = packed(1000);
        changed[70] ^= 1;
        assert!(texts_of(&changed).unwrap_err().contains("damaged"));
    }
}
