//! Names of embeddings as names of files.

use std::fmt::Write;

use crate::formats::{Holds, endings, is_windows_device};
use crate::source::url::unescape;

/// The longest encoded name in bytes; file systems allow 255, and `removed/` adds to it.
const LONGEST: usize = 180;

/// An embedding's name as a file's name without its ending.
pub(super) fn encode(token: &str) -> Result<String, &'static str> {
    if token.is_empty() || token.trim() != token || token.chars().any(char::is_control) {
        return Err("a name must not be empty, have spaces around it or control characters in it");
    }
    let mut stem = String::new();
    let device = is_windows_device(token);
    for (at, byte) in token.bytes().enumerate() {
        let plain = byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
        // A leading dot hides a file, and some names are devices on Windows.
        if plain && !(at == 0 && (byte == b'.' || device)) {
            stem.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _written = write!(stem, "%{byte:02X}");
        }
    }
    if stem.len() > LONGEST { Err("the name is too long to be a file's name") } else { Ok(stem) }
}

/// The name of the embedding in a file of that name; none if no embedding's file is called so.
pub(super) fn token_of(file_name: &str) -> Option<String> {
    let (stem, ending) = file_name.rsplit_once('.')?;
    let token = unescape(stem)?;
    (endings(Holds::Embedding).any(|known| known == ending) && encode(&token).as_deref() == Ok(stem)).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_makes_a_file_and_comes_back() {
        for token in [
            "<my-cat>", "<My-Cat>", "a/b", "..", ".hidden", "con", "aux.x", "com1", "käse", "🐈", "100%", "a b", "*",
            "%41",
        ] {
            let stem = encode(token).unwrap();
            assert!(crate::source::address::is_safe_path(&format!("{stem}.bin")), "{stem}");
            assert_eq!(token_of(&format!("{stem}.pt")).as_deref(), Some(token));
        }
        assert_eq!(encode("<My-Cat>").unwrap(), "%3C%4Dy-%43at%3E");
        for bad in ["", " x", "x\n", &"🐈".repeat(64)] {
            assert!(encode(bad).is_err(), "{bad:?}");
        }
        for stranger in ["README.md", "Cat.bin", "%4.bin", "%63at.bin", "notes", "cat.txt"] {
            assert_eq!(token_of(stranger), None, "{stranger}");
        }
    }
}
