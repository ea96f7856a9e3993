//! Whether bytes are the file that was meant: their length, their SHA-256, and that they are not a page or a pointer
//! instead.

use sha2::{Digest, Sha256};

use super::Problem;
use super::url::Url;
use crate::base::bytes::hex;
use crate::formats;

/// A file to fetch, and what is known about it.
#[derive(Debug, Clone)]
pub struct FileRequest {
    /// Its name in messages.
    pub name: String,
    /// Where it is.
    pub url: Url,
    /// Its length in bytes, if the source states it.
    pub size: Option<u64>,
    /// Its SHA-256 in lower-case hexadecimal, if the source states it.
    pub sha256: Option<String>,
    /// The most bytes to take where no length is stated.
    pub limit: u64,
    /// The validator of a copy that is here: if the server still has the same, nothing is fetched.
    pub unless: Option<String>,
}

/// How many bytes of the beginning show what a file is.
const HEAD: usize = 512;

/// Looks at bytes as they come.
pub(super) struct Check {
    hash: Sha256,
    head: Vec<u8>,
    length: u64,
}

impl Check {
    pub fn new() -> Self {
        Self { hash: Sha256::new(), head: Vec::with_capacity(HEAD), length: 0 }
    }

    /// The next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        let room = HEAD - self.head.len();
        self.head.extend_from_slice(&bytes[..room.min(bytes.len())]);
        self.length += bytes.len() as u64;
    }

    pub fn length(&self) -> u64 {
        self.length
    }

    /// Whether this many bytes can still be right, and whether they look like a file.
    pub fn so_far(&self, request: &FileRequest) -> Result<(), Problem> {
        let (file, found) = (request.name.clone(), self.length);
        match request.size {
            Some(expected) if found > expected => Err(Problem::WrongLength { file, expected, found }),
            None if found > request.limit => Err(Problem::TooLong { file, limit: request.limit }),
            _ if self.head.len() == HEAD => self.not_a_page(request),
            _ => Ok(()),
        }
    }

    fn not_a_page(&self, request: &FileRequest) -> Result<(), Problem> {
        let reason = impostor(&self.head, &request.name);
        reason.map_or(Ok(()), |reason| Err(Problem::NotTheFile { file: request.name.clone(), reason }))
    }

    /// All bytes are there: gives their SHA-256 if they are the file that was wanted.
    pub fn finish(self, request: &FileRequest) -> Result<String, Problem> {
        self.not_a_page(request)?;
        self.so_far(request)?;
        let (file, found) = (request.name.clone(), self.length);
        if let Some(expected) = request.size.filter(|expected| *expected != found) {
            return Err(Problem::WrongLength { file, expected, found });
        }
        let found = hex(&self.hash.finalize());
        match &request.sha256 {
            Some(expected) if *expected != found => Err(Problem::WrongHash { file, expected: expected.clone(), found }),
            _ => Ok(found),
        }
    }
}

/// What is wrong, and what to do, if a file's beginning is that of a page or a pointer.
pub(super) fn impostor(head: &[u8], name: &str) -> Option<String> {
    if formats::is_lfs_pointer(head) {
        let text = String::from_utf8_lossy(head);
        let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("unknown").to_owned();
        return Some(format!(
            "this is a git-LFS pointer of {} bytes to a file of {} bytes, not the file itself: \
             use the /resolve/ address of a Hub file, or run `git lfs pull` where it was cloned",
            text.len(),
            field("size ")
        ));
    }
    (formats::is_web_page(head) && !may_be_a_page(name)).then(|| a_page().to_owned())
}

/// Whether a file of this name can be a web page.
pub(super) fn may_be_a_page(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.ends_with(".html") || name.ends_with(".htm")
}

/// The message where a page came instead of a file.
pub(super) fn a_page() -> &'static str {
    "this is an HTML page, not the file: the address may be the page that shows the file (copy the link of its \
     download button), or a login page or proxy is in between"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(size: Option<u64>, sha256: Option<&str>) -> FileRequest {
        FileRequest {
            name: "word.bin".to_owned(),
            url: Url::parse("https://hub.example/word.bin").unwrap(),
            size,
            sha256: sha256.map(str::to_owned),
            limit: 1000,
            unless: None,
        }
    }

    fn verdict(bytes: &[u8], request: &FileRequest) -> Result<String, Problem> {
        let mut check = Check::new();
        for piece in bytes.chunks(7) {
            check.update(piece);
            check.so_far(request)?;
        }
        check.finish(request)
    }

    #[test]
    fn length_and_hash_decide() {
        let hash = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
        assert_eq!(verdict(b"hello", &request(Some(5), Some(hash))).unwrap(), hash);
        assert_eq!(verdict(b"hello", &request(None, None)).unwrap(), hash);
        assert!(matches!(verdict(b"hallo", &request(Some(5), Some(hash))), Err(Problem::WrongHash { .. })));
        assert!(matches!(verdict(b"hell", &request(Some(5), Some(hash))), Err(Problem::WrongLength { found: 4, .. })));
        assert!(matches!(verdict(b"hello!", &request(Some(5), None)), Err(Problem::WrongLength { found: 6, .. })));
        assert!(matches!(verdict(&[0; 1001], &request(None, None)), Err(Problem::TooLong { .. })));
    }

    #[test]
    fn pages_and_pointers_are_named() {
        let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 3819\n";
        let Err(Problem::NotTheFile { reason, .. }) = verdict(pointer, &request(None, None)) else { panic!() };
        assert!(reason.contains("git-LFS pointer") && reason.contains("3819 bytes"), "{reason}");
        for page in ["<!DOCTYPE html><title>Sign in</title>", "\u{feff}\n <HTML>"] {
            assert!(
                matches!(verdict(page.as_bytes(), &request(None, None)), Err(Problem::NotTheFile { .. })),
                "{page}"
            );
        }
        assert!(verdict(b"<svg>", &request(None, None)).is_ok());
    }
}
