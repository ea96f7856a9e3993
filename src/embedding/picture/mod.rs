//! Embeddings inside PNG pictures, as A1111 writes them: JSON in the text, or in the pixels.
//!
//! Source: `modules/textual_inversion/image_embedding.py`. Text is looked for first, as there. Nothing is unpacked
//! into memory: base64 and zlib are streams that the JSON reader draws from, so a picture costs what its pixels cost.

mod base64;
mod chunks;
mod json;
mod pixels;

use std::collections::BTreeMap;
use std::io::Read;

use flate2::bufread::ZlibDecoder;

use self::chunks::Text;
use super::a1111;
use super::layout::Origin;
use super::learned::{Container, Format, Reading};
use super::recognise::Mistaken;
use super::refusal::Refusal;

/// How a PNG begins (W3C PNG 3rd edition, section 5.2).
pub const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";

/// The keyword of the text that holds an embedding.
const KEYWORD: &[u8] = b"sd-ti-embedding";

/// Reads the embedding in a picture. `stem` is the file's name without folder and extension.
///
/// # Errors
/// Any [`Refusal`] but those about choosing and writing.
pub fn read(bytes: &[u8], stem: &str) -> Result<Reading, Refusal> {
    let outline = chunks::outline(bytes, KEYWORD)?;
    let (described, format) = match outline.text {
        Some(text) => (from_text(text)?, Format::A1111Text),
        None => match pixels::blocks(bytes, outline.width, outline.height)? {
            Some(blocks) => (from_pixels(blocks)?, Format::A1111Pixels),
            None => return Err(Refusal::Mistaken(Mistaken::PlainPicture)),
        },
    };
    let origin = Origin { container: Container::Png, stem, metadata: BTreeMap::new(), token: None };
    a1111::words(&described, &described.facts, format, &origin)
}

fn from_text(text: Text<'_>) -> Result<json::Described, Refusal> {
    const PLACE: &str = "the embedding in the picture's text";
    match text {
        Text::Plain(text) => json::read(base64::Decoder::new(text), PLACE),
        Text::Packed(packed) => {
            let unpacked = std::io::BufReader::new(ZlibDecoder::new(packed));
            json::read(base64::Decoder::new(unpacked), PLACE)
        }
    }
}

/// The data is repeated to fill the blocks: what counts ends where the zlib stream ends.
fn from_pixels(blocks: pixels::Blocks) -> Result<json::Described, Refusal> {
    let mut stream = ZlibDecoder::new(std::io::BufReader::new(blocks.bytes()));
    // Any picture with two dark columns has such blocks. They are an embedding only if they begin as one.
    let mut first = [0; 1];
    match stream.read(&mut first) {
        Ok(1) if first == *b"{" => {}
        _ => return Err(Refusal::Mistaken(Mistaken::PlainPicture)),
    }
    json::read(first.as_slice().chain(stream), "the embedding in the picture's pixels")
}
