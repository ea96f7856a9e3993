//! Files by their names and first bytes: one table of endings and what such files can hold, names that no file can
//! have, and what comes in a file's place.
//!
//! An ending only decides where a file is looked for; what is in it is decided by its content.

/// What a file can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    /// The vectors of an embedding.
    Embedding,
    /// A whole model.
    Model,
    /// A picture to learn from.
    Picture,
}

/// Endings in lower case and without the dot, and what a file with one can hold. Where a word is looked for, earlier
/// ones come first. Those that can hold nothing are known, so that they are refused as files and not mistaken for a
/// repository.
///
/// `embedding` has a table of its own, since it depends on nothing else; a test below holds one against the other.
const ENDINGS: [(&str, &[Holds]); 18] = [
    ("safetensors", &[Holds::Embedding, Holds::Model]),
    ("gguf", &[Holds::Model]),
    ("bin", &[Holds::Embedding]),
    ("pt", &[Holds::Embedding]),
    ("pti", &[Holds::Embedding]),
    ("png", &[Holds::Embedding, Holds::Picture]),
    ("apng", &[Holds::Picture]),
    ("jpg", &[Holds::Picture]),
    ("jpeg", &[Holds::Picture]),
    ("jpe", &[Holds::Picture]),
    ("jfif", &[Holds::Picture]),
    ("jif", &[Holds::Picture]),
    ("mpo", &[Holds::Picture]),
    ("webp", &[Holds::Picture]),
    ("ckpt", &[]),
    ("pth", &[]),
    ("zip", &[]),
    ("json", &[]),
];

/// The entry of a path's ending, in any case.
fn known(path: &str) -> Option<&'static (&'static str, &'static [Holds])> {
    let (_, ending) = path.rsplit_once('.')?;
    ENDINGS.iter().find(|(known, _)| known.eq_ignore_ascii_case(ending))
}

/// Whether a path ends like a file that this program knows, even if only to refuse it.
pub fn is_known(path: &str) -> bool {
    known(path).is_some()
}

/// Whether a path ends like a file that can hold this.
pub fn can_hold(path: &str, what: Holds) -> bool {
    known(path).is_some_and(|(_, holds)| holds.contains(&what))
}

/// The endings of files that can hold this, in the order in which they are looked for.
#[cfg(any(feature = "native", test))]
pub fn endings(what: Holds) -> impl Iterator<Item = &'static str> {
    ENDINGS.iter().filter(move |(_, holds)| holds.contains(&what)).map(|(ending, _)| *ending)
}

/// Whether Windows takes a file's name, in lower case, as a device's: `con`, `com1`, `aux.txt`, ...
pub fn is_windows_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default();
    ["con", "prn", "aux", "nul"].contains(&stem)
        || (stem.len() == 4
            && (stem.starts_with("com") || stem.starts_with("lpt"))
            && stem.ends_with(|c: char| c.is_ascii_digit()))
}

/// Whether a file begins like the pointer that stands for it in a git repository.
pub fn is_lfs_pointer(head: &[u8]) -> bool {
    head.starts_with(b"version https://git-lfs.github.com/spec/")
}

/// Whether a file begins like a web page.
pub fn is_web_page(head: &[u8]) -> bool {
    let text = String::from_utf8_lossy(&head[..head.len().min(512)]);
    let text = text.trim_start_matches('\u{feff}').trim_start().to_ascii_lowercase();
    ["<!doctype html", "<html", "<head"].iter().any(|start| text.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endings_are_known_in_any_case() {
        assert!(can_hold("a/b.SafeTensors", Holds::Model) && can_hold("a.b.pt", Holds::Embedding));
        assert!(is_known("x.ckpt") && !can_hold("x.ckpt", Holds::Model));
        assert!(!is_known("png") && !is_known("a.") && !is_known(""));
        assert!(endings(Holds::Picture).eq(["png", "apng", "jpg", "jpeg", "jpe", "jfif", "jif", "mpo", "webp"]));
    }

    #[test]
    fn the_readers_of_embeddings_know_the_same_endings() {
        let theirs = crate::embedding::ENDINGS.iter().map(|(ending, _)| *ending);
        assert!(theirs.eq(endings(Holds::Embedding)));
    }

    #[test]
    fn the_page_takes_the_same_files() {
        let page = include_str!("../index.html");
        let accepted: Vec<String> = endings(Holds::Model).map(|ending| format!(".{ending}")).collect();
        let checkpoint = page.lines().find(|line| line.contains("id=\"checkpoint\"")).unwrap();
        assert!(checkpoint.contains(&format!("accept=\"{}\"", accepted.join(","))), "{checkpoint}");
        let words = page.lines().find(|line| line.contains("id=\"word-files\"")).unwrap();
        for ending in endings(Holds::Embedding) {
            assert!(words.contains(&format!(".{ending}")), "{ending}: {words}");
        }
    }

    #[test]
    fn devices_are_known_with_any_ending() {
        assert!(["con", "aux.txt", "com1", "lpt9.x"].iter().all(|name| is_windows_device(name)));
        assert!(["cone", "com", "comx", "a.con", ""].iter().all(|name| !is_windows_device(name)));
    }
}
