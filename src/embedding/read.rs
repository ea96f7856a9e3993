//! The door: bytes in, embeddings out. What the bytes are is decided by the bytes alone.

use super::learned::{Container, Note, Reading};
use super::recognise::{Mistaken, looks_like_safetensors};
use super::refusal::{Refusal, counted};
use super::{limits, picture, safetensors, torch};

/// Endings of names that promise a kind of file.
pub const ENDINGS: &[(&str, &[Container])] = &[
    ("safetensors", &[Container::Safetensors]),
    ("bin", &[Container::Torch, Container::TorchLegacy]),
    ("pt", &[Container::Torch, Container::TorchLegacy]),
    // Replicate's, of SDXL.
    ("pti", &[Container::Safetensors, Container::Torch]),
    ("png", &[Container::Png]),
];

/// Reads all embeddings of a file, in any of the formats that programs write them in.
///
/// `name` is the file's name or path. Some formats do not name an embedding, and then it is called after its
/// file; nothing else depends on the name.
///
/// # Errors
/// A [`Refusal`] that says what is wrong and what to do. Files are refused when they are damaged, when two programs
/// could read different things from them, when they ask for anything to be run, and when they are not embeddings.
pub fn read(bytes: &[u8], name: &str) -> Result<Reading, Refusal> {
    if bytes.is_empty() {
        return Err(Refusal::Empty);
    }
    if bytes.len() as u64 > limits::FILE {
        return Err(Refusal::too_much("bytes in the file", bytes.len() as u64, limits::FILE));
    }
    let (stem, extension) = parts(name);
    let (container, reading) = if bytes.starts_with(b"PK\x03\x04") {
        (Container::Torch, torch::read_zip(bytes, stem))
    } else if bytes.starts_with(torch::LEGACY) {
        (Container::TorchLegacy, torch::read_legacy(bytes, stem))
    } else if bytes.starts_with(picture::SIGNATURE) {
        (Container::Png, picture::read(bytes, stem))
    } else if looks_like_safetensors(bytes) {
        (Container::Safetensors, safetensors::read(bytes, stem))
    } else {
        return Err(by_content(bytes, extension));
    };
    let mut reading = reading?;
    let promised = ENDINGS.iter().find(|(known, _)| known.eq_ignore_ascii_case(extension));
    if promised.is_some_and(|(_, kinds)| !kinds.contains(&container)) {
        for word in reading.embeddings_mut() {
            word.notes.push(Note::Extension { says: extension.to_owned(), is: container });
        }
    }
    Ok(reading)
}

/// The refusal of a file that begins like none of ours.
fn by_content(bytes: &[u8], extension: &str) -> Refusal {
    let cut = |what: &str| Refusal::cut(format!("{} of {what}", counted(bytes.len() as u64, "byte")));
    let promised = extension.eq_ignore_ascii_case("safetensors");
    let beginning = |whole: &[u8]| bytes.len() < whole.len() && whole.starts_with(bytes);
    match Mistaken::by_content(bytes) {
        _ if beginning(picture::SIGNATURE) => cut("a PNG"),
        _ if beginning(torch::LEGACY) => cut("a torch stream"),
        _ if beginning(b"PK\x03\x04") => cut("a zip archive"),
        // A length and nothing, or no header after it: only the file's name says what it should be.
        _ if promised && bytes.len() < 9 => cut("a safetensors file"),
        Mistaken::Unknown(_) if promised => {
            let length = super::cursor::le64(bytes, 0).unwrap_or_default();
            let reason = format!("no header where one of {length} bytes should be, in {} bytes", bytes.len());
            Refusal::damaged("the safetensors file", reason)
        }
        mistaken => Refusal::Mistaken(mistaken),
    }
}

/// A file's name without folder and extension, and the extension.
fn parts(name: &str) -> (&str, &str) {
    let name = name.rsplit(['/', '\\']).next().unwrap_or(name);
    match name.rsplit_once('.') {
        Some((stem, extension)) if !stem.is_empty() => (stem, extension),
        _ => (name, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::parts;

    #[test]
    fn a_name_has_a_stem_and_an_extension() {
        assert_eq!(parts("a/b/my.word.pt"), ("my.word", "pt"));
        assert_eq!(parts("C:\\words\\cat.safetensors"), ("cat", "safetensors"));
        assert_eq!(parts(".hidden"), (".hidden", ""));
        assert_eq!(parts("folder/"), ("", ""));
        assert_eq!(parts(""), ("", ""));
    }
}
