//! base64 (RFC 4648, section 4) as a stream.

use std::io::{self, BufRead, Read};

/// Decodes what another stream holds. White space is skipped, anything else outside the alphabet is an error.
pub(super) struct Decoder<R> {
    from: R,
    /// Bits that have not been returned yet, the oldest highest.
    bits: u32,
    count: u32,
    ended: bool,
}

impl<R: BufRead> Decoder<R> {
    pub fn new(from: R) -> Self {
        Self { from, bits: 0, count: 0, ended: false }
    }

    /// The next byte; none at the end.
    fn next(&mut self) -> io::Result<Option<u8>> {
        while self.count < 8 {
            let Some(&byte) = self.from.fill_buf()?.first() else { return Ok(None) };
            self.from.consume(1);
            let value = match byte {
                b'A'..=b'Z' => byte - b'A',
                b'a'..=b'z' => byte - b'a' + 26,
                b'0'..=b'9' => byte - b'0' + 52,
                b'+' => 62,
                b'/' => 63,
                b'=' => {
                    self.ended = true;
                    continue;
                }
                b' ' | b'\n' | b'\r' | b'\t' => continue,
                _ => return Err(io::Error::new(io::ErrorKind::InvalidData, "it is not base64")),
            };
            if self.ended {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "its base64 continues after its end"));
            }
            self.bits = self.bits << 6 | u32::from(value);
            self.count += 6;
        }
        self.count -= 8;
        Ok((self.bits >> self.count).to_le_bytes().first().copied())
    }
}

impl<R: BufRead> Read for Decoder<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut count = 0;
        for place in into {
            let Some(byte) = self.next()? else { break };
            *place = byte;
            count += 1;
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(text: &str) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        Decoder::new(text.as_bytes()).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    #[test]
    fn the_examples_of_the_rfc() {
        let examples = [("", ""), ("Zg==", "f"), ("Zm8=", "fo"), ("Zm9v", "foo"), ("Zm9vYmFy", "foobar")];
        for (text, plain) in examples {
            assert_eq!(decode(text).unwrap(), plain.as_bytes());
        }
        assert_eq!(decode("Zm9v\nYmFy").unwrap(), b"foobar");
        assert!(decode("Zm9v!").is_err());
        assert!(decode("Zg==Zg==").is_err());
    }
}
