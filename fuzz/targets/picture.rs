//! PNG: the bytes with the checksums of their chunks set right; and the bytes as the JSON of a text, plain and
//! packed.
#![no_main]

use std::io::Write;

use libfuzzer_sys::fuzz_target;
use pseudoword_fuzz::check;

const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";

fuzz_target!(|bytes: &[u8]| {
    check(&repaired(bytes), "fuzz.png");
    let text = [b"sd-ti-embedding\0".as_slice(), base64(bytes).as_bytes()].concat();
    check(&[SIGNATURE, &header(), &chunk(b"tEXt", &text), &chunk(b"IEND", b"")].concat(), "fuzz.png");
    let mut encoder = flate2::write::ZlibEncoder::new(b"sd-ti-embedding\0\0".to_vec(), flate2::Compression::fast());
    if encoder.write_all(base64(bytes).as_bytes()).is_ok()
        && let Ok(packed) = encoder.finish()
    {
        check(&[SIGNATURE, &header(), &chunk(b"zTXt", &packed), &chunk(b"IEND", b"")].concat(), "fuzz.png");
    }
});

fn header() -> Vec<u8> {
    chunk(b"IHDR", &[0, 0, 0, 1, 0, 0, 0, 1, 8, 0, 0, 0, 0])
}

fn crc(bytes: &[u8]) -> [u8; 4] {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum().to_be_bytes()
}

fn chunk(kind: &[u8], body: &[u8]) -> Vec<u8> {
    let checked = [kind, body].concat();
    [&(body.len() as u32).to_be_bytes(), checked.as_slice(), &crc(&checked)].concat()
}

/// The same file with right checksums, as far as its chunks go.
fn repaired(bytes: &[u8]) -> Vec<u8> {
    let mut file = bytes.to_vec();
    let mut at = SIGNATURE.len();
    while let Some(length) = file.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map(u32::from_be_bytes) {
        let end = at + 8 + length as usize;
        let Some(checked) = file.get(at + 4..end) else { break };
        let right = crc(checked);
        let Some(place) = file.get_mut(end..end + 4) else { break };
        place.copy_from_slice(&right);
        at = end + 4;
    }
    file
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let bits = group.iter().fold(0, |bits, &byte| bits << 8 | u32::from(byte)) << (8 * (3 - group.len()));
        for place in 0..4 {
            let digit = ALPHABET[(bits >> (18 - 6 * place) & 63) as usize];
            text.push(if place <= group.len() { char::from(digit) } else { '=' });
        }
    }
    text
}
