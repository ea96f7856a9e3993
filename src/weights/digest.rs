//! The hash of files that are read piece by piece, from the beginning to the end.

use sha2::{Digest as _, Sha256};

use crate::base::bytes::hex;

/// SHA-256 of files, one after the other, as far as they were read.
#[derive(Default)]
pub(super) struct Digest {
    hash: Sha256,
    /// Bytes of the present file that are in it.
    at: u64,
}

impl Digest {
    /// Up to where the present file was read.
    pub fn at(&self) -> u64 {
        self.at
    }

    /// Takes bytes that begin at `start`: what is in the hash already is left out, and so is what lies behind a gap.
    pub fn take(&mut self, start: u64, bytes: &[u8]) {
        let known = self.at.checked_sub(start).and_then(|known| usize::try_from(known).ok());
        if let Some(new) = known.and_then(|known| bytes.get(known..)) {
            self.hash.update(new);
            self.at += new.len() as u64;
        }
    }

    /// Continues with the next file.
    pub fn next_file(&mut self) {
        self.at = 0;
    }

    /// The hash in hexadecimal.
    pub fn finish(self) -> String {
        hex(&self.hash.finalize())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_give_the_hash_of_the_whole_whatever_is_read_twice() {
        let mut digest = Digest::default();
        for (start, bytes) in [(0, "ab"), (1, "bcd"), (0, "a"), (7, "xyz"), (4, ""), (4, "e")] {
            digest.take(start, bytes.as_bytes());
        }
        assert_eq!(digest.at(), 5);
        digest.next_file();
        digest.take(0, b"fg");
        assert_eq!(digest.finish(), crate::base::bytes::sha256(b"abcdefg"));
    }
}
