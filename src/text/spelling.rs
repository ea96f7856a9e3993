//! How tokens are read: CLIP's vocabulary spells bytes with letters of their own, so that every byte can be seen.

/// What ends a word in the vocabulary.
const END: &str = "</w>";

/// The bytes that a token of the vocabulary stands for, and whether it ends a word.
pub(super) fn bytes(spelled: &str) -> (Vec<u8>, bool) {
    let (body, ends) = spelled.strip_suffix(END).map_or((spelled, false), |body| (body, true));
    let mut bytes = Vec::with_capacity(body.len());
    for c in body.chars() {
        match byte(c) {
            Some(byte) => bytes.push(byte),
            // Not of that alphabet: a token that was added, which is spelled as it is.
            None => bytes.extend(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    (bytes, ends)
}

/// The byte that a letter of the alphabet stands for (`bytes_to_unicode` of OpenAI's CLIP): itself where it is seen, and the others
/// in their order from 256 on.
fn byte(c: char) -> Option<u8> {
    let code = u32::from(c);
    let is_seen = |byte: &u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..);
    match u8::try_from(code) {
        Ok(byte) => Some(byte).filter(is_seen),
        Err(_) => (0..=u8::MAX).filter(|byte| !is_seen(byte)).nth(code as usize - 256),
    }
}

/// Bytes as text. What is only a part of a character stands as its bytes: `<0xE7>`.
pub fn readable(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|byte| format!("<0x{byte:02X}>")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_a_letter_and_comes_back() {
        let alphabet: Vec<u8> = ('\0'..='\u{143}').filter_map(byte).collect();
        let mut sorted = alphabet.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..=u8::MAX).collect::<Vec<_>>());
        assert_eq!((byte('\u{120}'), byte('a'), byte('\u{144}')), (Some(b' '), Some(b'a'), None));
    }

    #[test]
    fn tokens_are_read_as_what_they_stand_for() {
        for (spelled, read, ends) in [
            ("f\u{c3}\u{bc}r</w>", "f\u{fc}r", true),
            ("\u{e7}\u{12e}\u{ab}</w>", "\u{732b}", true),
            ("\u{e7}\u{12e}", "<0xE7><0x8C>", false),
            ("cat", "cat", false),
            ("\u{4e00}", "\u{4e00}", false),
        ] {
            let (bytes, is_end) = bytes(spelled);
            assert_eq!((readable(&bytes).as_str(), is_end), (read, ends), "{spelled}");
        }
    }
}
