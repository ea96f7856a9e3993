//! Bits of entropy-coded data, and the codes in them (T.81, annex C and F.2.2).

/// What is wrong with coded data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// It ends too soon.
    Short,
    /// A word that is in no table.
    Code,
    /// A coefficient behind a block's last.
    Place,
    /// A number that no picture of eight bits has.
    Range,
}

/// Bits of one restart interval: there is no marker in it.
pub(super) struct Bits<'a> {
    data: &'a [u8],
    at: usize,
    held: u64,
    count: u32,
}

impl<'a> Bits<'a> {
    pub(super) fn new(data: &'a [u8]) -> Self {
        Self { data, at: 0, held: 0, count: 0 }
    }

    /// Holds at least 48 bits, or all that are left.
    fn fill(&mut self) {
        while self.count <= 48 {
            let Some(&byte) = self.data.get(self.at) else { return };
            self.at += 1;
            if byte == 0xff {
                // A zero behind it is stuffing; other bytes of ones are fill before a marker.
                if self.data.get(self.at) != Some(&0) {
                    continue;
                }
                self.at += 1;
            }
            self.held = self.held << 8 | u64::from(byte);
            self.count += 8;
        }
    }

    /// The next bits, at most 16.
    pub(super) fn take(&mut self, count: u32) -> Result<u32, Fault> {
        if self.count < count {
            self.fill();
            if self.count < count {
                return Err(Fault::Short);
            }
        }
        self.count -= count;
        Ok((self.held >> self.count) as u32 & ((1 << count) - 1))
    }

    /// The next 16 bits, with ones behind the last.
    fn peek(&mut self) -> u32 {
        if self.count < 16 {
            self.fill();
        }
        if self.count >= 16 {
            (self.held >> (self.count - 16)) as u32 & 0xffff
        } else {
            let missing = 16 - self.count;
            ((self.held as u32) << missing | ((1 << missing) - 1)) & 0xffff
        }
    }

    /// Whether the next bytes are all the same, as in a hole in a file.
    pub(super) fn is_filled(&self) -> bool {
        let next = self.at.saturating_sub(self.count as usize / 8);
        self.data.get(next..next + 10).is_some_and(|bytes| bytes.iter().all(|byte| *byte == bytes[0]))
    }

    /// How many whole bytes nothing was taken from, which should be none. Zeros and ones do not count: cameras pad with
    /// them.
    pub(super) fn spare(&self) -> usize {
        let held = (0..self.count / 8).map(|byte| (self.held >> (8 * byte)) as u8);
        let rest = &self.data[self.at..];
        let padding = held.clone().chain(rest.iter().copied()).all(|byte| matches!(byte, 0 | 0xff));
        if padding { 0 } else { held.len() + rest.len() }
    }
}

/// Words of at most so many bits are looked up at once.
const SHORT: u32 = 10;

/// A table of codes.
#[derive(Debug, Clone)]
pub(super) struct Table {
    /// For each beginning of a word: the length and the symbol of the code that it begins with; length 0 if that is longer.
    short: Vec<(u8, u8)>,
    /// For each length: below what 16 bits begin with a code that is not longer, and what is to be added to a code of this
    /// length for its place among the symbols.
    long: [(u32, i32); 17],
    symbols: Vec<u8>,
}

impl Table {
    /// From how many codes there are of each length, and their symbols; `None` if there cannot be so many.
    pub(super) fn new(counts: &[u8; 16], symbols: &[u8]) -> Option<Self> {
        let mut table = Self { short: vec![(0, 0); 1 << SHORT], long: [(0, 0); 17], symbols: symbols.to_vec() };
        let (mut code, mut place) = (0u32, 0usize);
        for (length, &count) in (1u32..).zip(counts) {
            let long = &mut table.long[length as usize];
            long.1 = place as i32 - code as i32;
            for _ in 0..count {
                if code >= 1 << length {
                    return None;
                }
                let symbol = *symbols.get(place)?;
                if length <= SHORT {
                    let first = (code << (SHORT - length)) as usize;
                    table.short[first..first + (1 << (SHORT - length))].fill((length as u8, symbol));
                }
                (code, place) = (code + 1, place + 1);
            }
            long.0 = code << (16 - length);
            code <<= 1;
        }
        (place == symbols.len()).then_some(table)
    }

    /// The next symbol.
    pub(super) fn read(&self, bits: &mut Bits) -> Result<u8, Fault> {
        let word = bits.peek();
        let (mut length, mut symbol) = self.short[(word >> (16 - SHORT)) as usize];
        if length == 0 {
            let fits = |length: &u8| word < self.long[usize::from(*length)].0;
            length = (SHORT as u8 + 1..=16).find(fits).ok_or(Fault::Code)?;
            let place = (word >> (16 - length)) as i32 + self.long[usize::from(length)].1;
            symbol = *usize::try_from(place).ok().and_then(|place| self.symbols.get(place)).ok_or(Fault::Code)?;
        }
        bits.take(length.into())?;
        Ok(symbol)
    }
}

/// The tables that a Motion JPEG's frame leaves out (T.81, K.3): DC and AC of brightness, DC and AC of colour, in the
/// form of a DHT segment's body.
pub(super) fn standard_tables() -> Vec<u8> {
    const DC: [&[u8]; 2] =
        [&[0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0], &[0, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0]];
    const AC: [(&[u8; 16], &[u8]); 2] = [
        (
            &[0, 2, 1, 3, 3, 2, 4, 3, 5, 5, 4, 4, 0, 0, 1, 0x7d],
            b"\x01\x02\x03\x00\x04\x11\x05\x12\x21\x31\x41\x06\x13\x51\x61\x07\x22\x71\x14\x32\x81\x91\xa1\x08\x23\x42\xb1\xc1\x15\
              \x52\xd1\xf0\x24\x33\x62\x72\x82\x09\x0a\x16\x17\x18\x19\x1a",
        ),
        (
            &[0, 2, 1, 2, 4, 4, 3, 4, 7, 5, 4, 4, 0, 1, 2, 0x77],
            b"\x00\x01\x02\x03\x11\x04\x05\x21\x31\x06\x12\x41\x51\x07\x61\x71\x13\x22\x32\x81\x08\x14\x42\x91\xa1\xb1\xc1\x09\x23\
              \x33\x52\xf0\x15\x62\x72\xd1\x0a\x16\x24\x34\xe1\x25\xf1\x17\x18\x19\x1a",
        ),
    ];
    let mut body = Vec::new();
    for slot in 0..2 {
        body.push(slot as u8);
        body.extend(DC[slot]);
        body.extend(0..12);
        let (counts, first) = AC[slot];
        body.push(0x10 | slot as u8);
        body.extend(counts);
        body.extend(first);
        // All other symbols of runs up to 15 and numbers of 1 to 10 bits, in their order.
        let others = (0..=0xffu8).filter(|symbol| (1..=10).contains(&(symbol & 15)) && !first.contains(symbol));
        body.extend(others);
    }
    body
}
