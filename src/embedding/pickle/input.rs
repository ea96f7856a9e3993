//! The bytes of a pickle, taken one operand after the other.

use super::super::cursor::{array, le16, le32};
use super::super::refusal::Refusal;

/// Where a pickle has been read to.
pub(super) struct Input<'a, 'p> {
    bytes: &'a [u8],
    /// The next byte.
    at: usize,
    /// The record's name.
    place: &'p str,
}

impl<'a, 'p> Input<'a, 'p> {
    pub fn new(bytes: &'a [u8], place: &'p str) -> Self {
        Self { bytes, at: 0, place }
    }

    /// The place of the next byte.
    pub fn at(&self) -> usize {
        self.at
    }

    /// How many bytes are left.
    pub fn left(&self) -> usize {
        self.bytes.len().saturating_sub(self.at)
    }

    /// The record's name.
    pub fn place(&self) -> &'p str {
        self.place
    }

    fn short(&self) -> Refusal {
        Refusal::cut(format!("the pickle {} ends without STOP, at byte {}", self.place, self.bytes.len()))
    }

    /// So many bytes, for a number to be made of them.
    pub fn number<const N: usize>(&mut self) -> Result<[u8; N], Refusal> {
        let bytes = array(self.bytes, self.at).ok_or_else(|| self.short())?;
        self.at += N;
        Ok(bytes)
    }

    /// An unsigned number of 1, 2 or 4 bytes.
    pub fn unsigned(&mut self, size: usize) -> Result<u32, Refusal> {
        let value = match size {
            1 => self.bytes.get(self.at).copied().map(u32::from),
            2 => le16(self.bytes, self.at).map(u32::from),
            _ => le32(self.bytes, self.at),
        };
        let value = value.ok_or_else(|| self.short())?;
        self.at += size;
        Ok(value)
    }

    /// Passes over bytes that say nothing here.
    pub fn skip(&mut self, count: usize) -> Result<(), Refusal> {
        self.span(count).map(|_| ())
    }

    /// So many bytes.
    pub fn span(&mut self, count: usize) -> Result<&'a [u8], Refusal> {
        let bytes = self.bytes;
        let end = self.at.checked_add(count).ok_or_else(|| self.short())?;
        let span = bytes.get(self.at..end).ok_or_else(|| self.short())?;
        self.at = end;
        Ok(span)
    }

    /// A line of text, without its end.
    pub fn line(&mut self) -> Result<&'a [u8], Refusal> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let length = rest.iter().position(|&byte| byte == b'\n').ok_or_else(|| self.short())?;
        let line = self.span(length)?;
        self.skip(1)?;
        Ok(line)
    }
}
