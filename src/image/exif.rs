//! The comment of the user in an EXIF block (Exif 2.3, section 4.6.5): where programs for generated pictures put their settings in
//! files that have no texts.

/// Tags: where the EXIF directory is, and the comment in it.
const DIRECTORY: u16 = 0x8769;
const COMMENT: u16 = 0x9286;
/// The length of a directory's entry, and of what a comment has before its text.
const ENTRY: usize = 12;
const CODE: usize = 8;

/// A TIFF structure, in its order of bytes.
struct Tiff<'a> {
    bytes: &'a [u8],
    is_big: bool,
}

impl Tiff<'_> {
    fn u16(&self, at: usize) -> Option<u16> {
        let bytes = self.bytes.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(if self.is_big { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) })
    }

    fn u32(&self, at: usize) -> Option<usize> {
        let bytes = self.bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
        usize::try_from(if self.is_big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }).ok()
    }

    /// The count and the value of an entry of the directory at a place.
    fn entry(&self, directory: usize, tag: u16) -> Option<(usize, usize)> {
        let entries = (0..usize::from(self.u16(directory)?)).map(|number| directory.saturating_add(2 + number * ENTRY));
        let place = entries.into_iter().find(|place| self.u16(*place) == Some(tag))?;
        Some((self.u32(place.saturating_add(4))?, self.u32(place.saturating_add(8))?))
    }
}

/// The comment, if there is one.
pub(super) fn user_comment(tiff: &[u8]) -> Option<String> {
    let is_big = match tiff.get(..4)? {
        b"MM\0*" => true,
        b"II*\0" => false,
        _ => return None,
    };
    let tiff = Tiff { bytes: tiff, is_big };
    let (_, directory) = tiff.entry(tiff.u32(4)?, DIRECTORY)?;
    let (length, at) = tiff.entry(directory, COMMENT)?;
    let (code, text) = tiff.bytes.get(at..at.checked_add(length)?)?.split_at_checked(CODE)?;
    let text = match code {
        b"UNICODE\0" => utf16(text, is_big),
        b"ASCII\0\0\0" | b"\0\0\0\0\0\0\0\0" => String::from_utf8_lossy(text).into_owned(),
        _ => return None,
    };
    let text = text.trim_end_matches('\0');
    (!text.trim().is_empty()).then(|| text.to_owned())
}

/// UTF-16, the order of whose bytes the standard does not say: A1111 writes the larger one first whatever the file has.
fn utf16(text: &[u8], is_big: bool) -> String {
    let zeros = |parity: usize| text.iter().skip(parity).step_by(2).filter(|byte| **byte == 0).count();
    let is_big = match text {
        [0xfe, 0xff, ..] => true,
        [0xff, 0xfe, ..] => false,
        // Of what is written in Latin letters, the larger bytes are zeros.
        _ if zeros(0) != zeros(1) => zeros(0) > zeros(1),
        _ => is_big,
    };
    let order = |pair: &[u8; 2]| if is_big { u16::from_be_bytes(*pair) } else { u16::from_le_bytes(*pair) };
    let units: Vec<u16> = text.as_chunks::<2>().0.iter().map(order).collect();
    String::from_utf16_lossy(&units).trim_start_matches('\u{feff}').to_owned()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A TIFF structure with a comment.
    pub fn with_comment(comment: &[u8], is_big: bool) -> Vec<u8> {
        let u16 = |value: u16| if is_big { value.to_be_bytes() } else { value.to_le_bytes() };
        let u32 = |value: u32| if is_big { value.to_be_bytes() } else { value.to_le_bytes() };
        let entry = |tag: u16, kind: u16, count: u32, value: u32| {
            [&u16(tag)[..], &u16(kind), &u32(count), &u32(value)].concat()
        };
        let head = if is_big { b"MM\0*" } else { b"II*\0" };
        let first = [&u16(2)[..], &entry(0x0112, 3, 1, 1), &entry(DIRECTORY, 4, 1, 8 + 2 + 24 + 4), &u32(0)].concat();
        let length = comment.len() as u32;
        let second = [&u16(1)[..], &entry(COMMENT, 7, length, 8 + 30 + 18), &u32(0)].concat();
        [&head[..], &u32(8), &first, &second, comment].concat()
    }

    #[test]
    fn comments_are_read_in_every_order_and_code() {
        let text = "a \u{1f98a}, caf\u{e9}\nSteps: 2";
        let big: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
        let little: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        for is_big in [true, false] {
            for comment in [
                [b"UNICODE\0", &big[..]].concat(),
                [b"UNICODE\0", &little[..]].concat(),
                [b"UNICODE\0\xff\xfe", &little[..]].concat(),
                [b"ASCII\0\0\0", text.as_bytes(), b"\0"].concat(),
                [&[0; 8], text.as_bytes()].concat(),
            ] {
                assert_eq!(
                    user_comment(&with_comment(&comment, is_big)).as_deref(),
                    Some(text),
                    "{is_big} {comment:?}"
                );
            }
        }
    }

    #[test]
    fn what_is_no_comment_is_none() {
        let whole = with_comment(b"ASCII\0\0\0text", false);
        for end in 0..whole.len() {
            assert_eq!(user_comment(&whole[..end]), None, "{end}");
        }
        for comment in [&b"JIS\0\0\0\0\0x"[..], b"ASCII\0\0\0  ", b"ASCII", b""] {
            assert_eq!(user_comment(&with_comment(comment, true)), None, "{comment:?}");
        }
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] = 0xff;
            let _any = user_comment(&changed);
        }
    }
}
