//! The chunks of a PNG: all there, all with the right checksum, at most one embedding among the texts.

use flate2::Crc;

use super::super::cursor::{be32, span};
use super::super::refusal::{Refusal, shown};
use super::SIGNATURE;

/// What a picture is, before its pixels are decoded.
#[derive(Debug)]
pub(super) struct Outline<'a> {
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
    /// The text that was looked for.
    pub text: Option<Text<'a>>,
}

/// A text, as its chunk holds it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Text<'a> {
    /// `tEXt`, or an `iTXt` that is not compressed.
    Plain(&'a [u8]),
    /// `zTXt`, or a compressed `iTXt`: a zlib stream.
    Packed(&'a [u8]),
}

/// Walks the chunks up to IEND, and finds the text with a keyword.
pub(super) fn outline<'a>(bytes: &'a [u8], keyword: &[u8]) -> Result<Outline<'a>, Refusal> {
    let damaged = |reason: &str| Refusal::damaged("the PNG", reason);
    let cut = || Refusal::cut("a PNG without its end mark (IEND)");
    let mut outline = Outline { width: 0, height: 0, text: None };
    let mut at = SIGNATURE.len();
    loop {
        let length = be32(bytes, at).ok_or_else(cut)?;
        let body = span(bytes, at as u64 + 8, u64::from(length)).ok_or_else(cut)?;
        let kind = span(bytes, at as u64 + 4, 4).ok_or_else(cut)?;
        let end = at + 8 + body.len();
        let mut crc = Crc::new();
        crc.update(kind);
        crc.update(body);
        if be32(bytes, end).ok_or_else(cut)? != crc.sum() {
            let kind = shown(&String::from_utf8_lossy(kind));
            return Err(damaged(&format!("the chunk {kind} at byte {at} has a wrong checksum")));
        }
        if (kind == b"IHDR") != (at == SIGNATURE.len()) {
            return Err(damaged("it does not begin with one IHDR chunk"));
        }
        match kind {
            b"IHDR" => {
                let size = be32(body, 0).zip(be32(body, 4)).filter(|(width, height)| *width > 0 && *height > 0);
                (outline.width, outline.height) = size.ok_or_else(|| damaged("its header gives no size"))?;
            }
            b"tEXt" | b"zTXt" | b"iTXt" => {
                if let Some(text) = text(kind, body, keyword)?
                    && outline.text.replace(text).is_some()
                {
                    return Err(Refusal::ambiguous("the PNG", "it has more than one embedding in its texts"));
                }
            }
            b"IEND" => return Ok(outline),
            _ => {}
        }
        at = end + 4;
    }
}

/// The text of a chunk, if it has the keyword (W3C PNG 3rd edition, section 11.3.3).
fn text<'a>(kind: &[u8], body: &'a [u8], keyword: &[u8]) -> Result<Option<Text<'a>>, Refusal> {
    let Some(rest) = body.strip_prefix(keyword).and_then(|rest| rest.strip_prefix(b"\0")) else { return Ok(None) };
    let bad = || Refusal::damaged("the PNG", "the text with the embedding is not as its chunk promises");
    let text = match (kind, rest) {
        (b"tEXt", text) => Text::Plain(text),
        (b"zTXt", [0, packed @ ..]) => Text::Packed(packed),
        (b"iTXt", [compressed, method, rest @ ..]) => {
            let after_language = rest.split(|&byte| byte == 0).next().ok_or_else(bad)?.len() + 1;
            let rest = rest.get(after_language..).ok_or_else(bad)?;
            let after_translation = rest.split(|&byte| byte == 0).next().ok_or_else(bad)?.len() + 1;
            let text = rest.get(after_translation..).ok_or_else(bad)?;
            match (compressed, method) {
                (0, _) => Text::Plain(text),
                (1, 0) => Text::Packed(text),
                _ => return Err(bad()),
            }
        }
        _ => return Err(bad()),
    };
    Ok(Some(text))
}
