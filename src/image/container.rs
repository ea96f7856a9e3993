//! What the outer structure of a picture file says before anything is decoded: size, completeness, EXIF, animation.
//!
//! The decoders below `image` are lenient where we must not be: a JPEG that breaks off decodes to grey, and sizes are
//! only known once buffers may have been made. So the segments (JPEG), chunks (PNG) or RIFF chunks (WebP) are walked
//! here first, touching headers only. Nothing is allocated, every length is checked against the bytes that are there.

use super::jpeg::{Broken, SCAN, Segments, be16};
use super::sniff::Format;

/// What the structure of a complete file says.
#[derive(Debug, Default)]
pub(super) struct Outline<'a> {
    pub width: u32,
    pub height: u32,
    /// The TIFF structure inside the EXIF block, if there is one.
    pub exif: Option<&'a [u8]>,
    pub animated: bool,
}

impl Outline<'_> {
    /// Takes the size that a part of the file states, which must be the size that was stated before, if any was.
    fn agree(&mut self, width: u32, height: u32) -> Result<(), &'static str> {
        if self.width != 0 && (self.width, self.height) != (width, height) {
            return Err(BROKEN);
        }
        (self.width, self.height) = (width, height);
        Ok(())
    }
}

const CUT: &str = "the file is cut off; copy or download it again";
const BROKEN: &str = "the file is damaged; copy or download it again";
const EXIF: &[u8] = b"Exif\0\0";

/// Walks a file of a known format from its first byte to its end mark.
pub(super) fn outline(format: Format, bytes: &[u8]) -> Result<Outline<'_>, String> {
    let outline = match format {
        Format::Png => png(bytes),
        Format::Jpeg => jpeg(bytes),
        Format::WebP => webp(bytes),
    }
    .map_err(str::to_owned)?;
    if outline.width == 0 || outline.height == 0 {
        return Err(format!("the header gives a size of {}x{}; {BROKEN}", outline.width, outline.height));
    }
    Ok(outline)
}

fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn le32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// Chunks up to IEND (W3C PNG 3rd edition, section 5). The decoder checks their CRCs.
fn png(bytes: &[u8]) -> Result<Outline<'_>, &'static str> {
    let mut found = Outline::default();
    let mut at = 8;
    loop {
        let length = be32(bytes, at).ok_or(CUT)? as usize;
        let kind = bytes.get(at + 4..at + 8).ok_or(CUT)?;
        let end = (at + 8).checked_add(length).ok_or(CUT)?;
        let body = bytes.get(at + 8..end).ok_or(CUT)?;
        bytes.get(end..end + 4).ok_or(CUT)?;
        match kind {
            b"IHDR" => {
                found.width = be32(body, 0).ok_or(BROKEN)?;
                found.height = be32(body, 4).ok_or(BROKEN)?;
            }
            b"eXIf" => found.exif = Some(body.strip_prefix(EXIF).unwrap_or(body)),
            b"acTL" => found.animated = true,
            b"IEND" => return Ok(found),
            b"CgBI" => {
                return Err("a rare variant that is not read (CgBI, as in iPhone apps); save it as an ordinary PNG");
            }
            b"PLTE" | b"IDAT" => {}
            // A capital letter means that nobody understands the picture who does not know the chunk.
            [b'A'..=b'Z', ..] => {
                return Err("a rare variant that is not read (it has unknown critical chunks); save it as PNG");
            }
            _ => {}
        }
        at = end + 4;
    }
}

/// The data of a PNG's picture, from all of its chunks; nothing of what an animation adds.
pub(super) fn png_data(bytes: &[u8]) -> Vec<u8> {
    let (mut data, mut at) = (Vec::new(), 8);
    while let (Some(length), Some(kind)) = (be32(bytes, at), bytes.get(at + 4..at + 8)) {
        let end = at + 8 + length as usize;
        if kind == b"IDAT" {
            data.extend_from_slice(bytes.get(at + 8..end).unwrap_or_default());
        }
        at = end + 4;
    }
    data
}

/// Marker segments and scans up to the end mark.
fn jpeg(bytes: &[u8]) -> Result<Outline<'_>, &'static str> {
    let mut found = Outline::default();
    let mut scanned = false;
    for segment in Segments::new(bytes) {
        let segment = match segment {
            Ok(segment) => segment,
            // What has its end is not cut off: a length that leads beyond it is damaged.
            Err(Broken::Cut) if !bytes.ends_with(b"\xff\xd9") => return Err(CUT),
            // How much of the picture that costs is found by reading its data.
            Err(_) if scanned => break,
            Err(_) => return Err(BROKEN),
        };
        match segment.marker {
            0xc0..=0xcf if !matches!(segment.marker, 0xc4 | 0xc8 | 0xcc) && found.width == 0 => {
                found.height = be16(segment.body, 1).ok_or(BROKEN)? as u32;
                found.width = be16(segment.body, 3).ok_or(BROKEN)? as u32;
                if found.height == 0 {
                    return Err("a rare variant that is not read (its height stands behind its data); save it as PNG");
                }
            }
            0xf7 => return Err("a rare variant that is not read (JPEG-LS); save it as PNG"),
            0xe1 if found.exif.is_none() => found.exif = segment.body.strip_prefix(EXIF),
            SCAN => scanned = true,
            _ => {}
        }
    }
    if scanned { Ok(found) } else { Err("the file is a JPEG header without a picture") }
}

/// RIFF chunks (RFC 9649). All must be there in full: the decoder below allocates what a chunk's header promises.
fn webp(bytes: &[u8]) -> Result<Outline<'_>, &'static str> {
    let mut found = Outline::default();
    let size = le32(bytes, 4).ok_or(CUT)? as usize;
    let file = bytes.get(..size.checked_add(8).ok_or(CUT)?).ok_or(CUT)?;
    let mut at = 12;
    while at + 8 <= file.len() {
        let kind = &file[at..at + 4];
        let length = le32(file, at + 4).ok_or(CUT)? as usize;
        let end = (at + 8).checked_add(length).ok_or(CUT)?;
        let body = file.get(at + 8..end).ok_or(CUT)?;
        match kind {
            b"VP8X" if at == 12 => {
                found.animated = body.first().ok_or(BROKEN)? & 2 != 0;
                // 24 bits each, at 4 and at 7; the byte above is masked or shifted away
                found.width = (le32(body, 4).ok_or(BROKEN)? & 0xff_ffff) + 1;
                found.height = (le32(body, 6).ok_or(BROKEN)? >> 8) + 1;
            }
            b"VP8 " => {
                let sides = le32(body, 6).ok_or(BROKEN)?;
                found.agree(sides & 0x3fff, (sides >> 16) & 0x3fff)?;
            }
            b"VP8L" => {
                let sides = le32(body, 1).ok_or(BROKEN)?;
                found.agree((sides & 0x3fff) + 1, ((sides >> 14) & 0x3fff) + 1)?;
            }
            // Some programs put JPEG's prefix here too.
            b"EXIF" => found.exif = Some(body.strip_prefix(EXIF).unwrap_or(body)),
            _ => {}
        }
        at = end + (end & 1);
    }
    Ok(found)
}
