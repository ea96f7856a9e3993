//! A JPEG as a row of marker segments (ITU T.81, annex B).

/// Why the next segment cannot be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Broken {
    /// The file ends before its end mark. A camera writes that last, so a file without it is taken for cut off, even
    /// where all the data may be there.
    Cut,
    /// A marker that no file may have.
    Marker,
}

/// A marker and what belongs to it.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Segment<'a> {
    pub marker: u8,
    /// What stands behind the length; empty for the end mark.
    pub body: &'a [u8],
    /// The entropy-coded data behind the header of a scan, restart markers and all.
    pub data: &'a [u8],
}

pub(in super::super) const END: u8 = 0xd9;
pub(in super::super) const SCAN: u8 = 0xda;

/// The segments up to the end mark, which comes last. What follows it (a second picture in an MPO) is left out.
pub(in super::super) struct Segments<'a> {
    bytes: &'a [u8],
    at: usize,
    ended: bool,
}

impl<'a> Segments<'a> {
    pub(in super::super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 2, ended: false }
    }

    fn step(&mut self) -> Result<Segment<'a>, Broken> {
        loop {
            // Between segments only fill bytes should stand; a few programs leave others, which every reader skips.
            let marker = self.skip(|next| matches!(next, 0 | 0xff))?;
            self.at += 2;
            match marker {
                END => return Ok(Segment { marker, body: &[], data: &[] }),
                0x01 | 0xd0..=0xd8 => {} // these have no length
                0x02..=0xbf => return Err(Broken::Marker),
                _ => return self.segment(marker),
            }
        }
    }

    fn segment(&mut self, marker: u8) -> Result<Segment<'a>, Broken> {
        let length = super::be16(self.bytes, self.at).ok_or(Broken::Cut)?.max(2);
        let body = self.bytes.get(self.at + 2..self.at + length).ok_or(Broken::Cut)?;
        self.at += length;
        let start = self.at;
        if marker == SCAN {
            self.skip(|next| matches!(next, 0 | 0xd0..=0xd7 | 0xff))?;
        }
        Ok(Segment { marker, body, data: &self.bytes[start..self.at] })
    }

    /// Goes on to the next byte of ones before something that is not `passed` over, which it returns.
    fn skip(&mut self, passed: impl Fn(u8) -> bool) -> Result<u8, Broken> {
        loop {
            let ones = self.bytes[self.at.min(self.bytes.len())..].iter().position(|&byte| byte == 0xff);
            self.at += ones.ok_or(Broken::Cut)?;
            let next = *self.bytes.get(self.at + 1).ok_or(Broken::Cut)?;
            if !passed(next) {
                return Ok(next);
            }
            self.at += 1;
        }
    }
}

impl<'a> Iterator for Segments<'a> {
    type Item = Result<Segment<'a>, Broken>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let segment = self.step();
        self.ended = !matches!(&segment, Ok(segment) if segment.marker != END);
        Some(segment)
    }
}
