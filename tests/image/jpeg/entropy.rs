//! A scan's symbols, the codes that fit them, and the bits.

use super::Scan;

/// A piece of a scan, before its codes are known.
enum Item {
    /// A symbol of one of the four tables.
    Symbol(usize, u8),
    /// The lower bits of a number, and how many.
    Bits(u32, u32),
    Restart,
}

/// What a scan holds: DC tables are 0 and 1, AC tables 2 and 3.
pub(super) struct Writer {
    progressive: bool,
    scan: Scan,
    pub(super) counts: [[usize; 256]; 4],
    items: Vec<Item>,
    previous: [i32; 4],
    /// Blocks since the last symbol that hold nothing more, the table that they are of, and the bits that refine them.
    ended: u32,
    table: usize,
    refining: Vec<bool>,
}

impl Writer {
    pub(super) fn new(scan: &Scan, progressive: bool) -> Self {
        Self {
            progressive,
            scan: scan.clone(),
            counts: [[0; 256]; 4],
            items: Vec::new(),
            previous: [0; 4],
            ended: 0,
            table: 0,
            refining: Vec::new(),
        }
    }

    fn symbol(&mut self, table: usize, symbol: u8) {
        self.counts[table][usize::from(symbol)] += 1;
        self.items.push(Item::Symbol(table, symbol));
    }

    /// A number behind its size (T.81, F.1.2.1).
    fn number(&mut self, table: usize, run: usize, value: i32) {
        let size = 32 - value.unsigned_abs().leading_zeros();
        self.symbol(table, (run << 4) as u8 | size as u8);
        self.items.push(Item::Bits((if value < 0 { value - 1 } else { value }) as u32, size));
    }

    pub(super) fn block(&mut self, table: usize, of: usize, block: &[i32; 64]) {
        let (first, last) = self.scan.spectrum;
        let (before, after) = self.scan.bits;
        if first == 0 {
            let value = block[0] >> after;
            if before == 0 {
                let difference = value - std::mem::replace(&mut self.previous[of], value);
                self.number(table, 0, difference);
            } else {
                self.items.push(Item::Bits(value as u32 & 1, 1));
            }
        }
        if last > 0 && before == 0 {
            self.bands(table + 2, &block.map(|value| value / (1 << after)));
        } else if last > 0 {
            self.refined_bands(table + 2, block);
        }
    }

    fn bands(&mut self, table: usize, block: &[i32; 64]) {
        let (first, last) = self.scan.spectrum;
        let mut run = 0;
        for &value in &block[first.max(1)..=last] {
            if value == 0 {
                run += 1;
                continue;
            }
            self.end_of_bands();
            while run > 15 {
                self.symbol(table, 0xf0);
                run -= 16;
            }
            self.number(table, run, value);
            run = 0;
        }
        if run > 0 {
            self.end_block(table, Vec::new());
        }
    }

    fn refined_bands(&mut self, table: usize, block: &[i32; 64]) {
        let (first, last) = self.scan.spectrum;
        let sizes = block.map(|value| value.unsigned_abs() >> self.scan.bits.1);
        let newest = (first..=last).rev().find(|&at| sizes[at] == 1).unwrap_or(0);
        let (mut run, mut bits) = (0, Vec::new());
        for at in first..=last {
            if sizes[at] == 0 {
                run += 1;
                continue;
            }
            while run > 15 && at <= newest {
                self.end_of_bands();
                self.symbol(table, 0xf0);
                self.flags(std::mem::take(&mut bits));
                run -= 16;
            }
            if sizes[at] > 1 {
                bits.push(sizes[at] & 1 == 1);
                continue;
            }
            self.end_of_bands();
            self.symbol(table, run << 4 | 1);
            self.items.push(Item::Bits(u32::from(block[at] > 0), 1));
            self.flags(std::mem::take(&mut bits));
            run = 0;
        }
        if run > 0 || !bits.is_empty() {
            self.end_block(table, bits);
        }
    }

    fn flags(&mut self, bits: Vec<bool>) {
        self.items.extend(bits.into_iter().map(|bit| Item::Bits(bit.into(), 1)));
    }

    /// The rest of the block holds nothing new: one symbol a block, or in progressive files one for many.
    fn end_block(&mut self, table: usize, refining: Vec<bool>) {
        if !self.progressive {
            self.symbol(table, 0);
            return;
        }
        self.ended += 1;
        self.table = table;
        self.refining.extend(refining);
        if self.ended == 0x7fff || self.refining.len() > 900 {
            self.end_of_bands();
        }
    }

    pub(super) fn end_of_bands(&mut self) {
        if self.ended == 0 {
            return;
        }
        let size = self.ended.ilog2();
        self.symbol(self.table, (size << 4) as u8);
        self.items.push(Item::Bits(self.ended, size));
        self.ended = 0;
        let refining = std::mem::take(&mut self.refining);
        self.flags(refining);
    }

    pub(super) fn restart(&mut self) {
        self.end_of_bands();
        self.items.push(Item::Restart);
        self.previous = [0; 4];
    }

    pub(super) fn write(&self, file: &mut Vec<u8>, codes: &[Code]) {
        let mut bits = Bits { file, held: 0, count: 0 };
        let mut restarts = 0;
        for item in &self.items {
            match *item {
                Item::Symbol(table, symbol) => {
                    let (code, length) = codes[table].words[usize::from(symbol)];
                    bits.push(code, length);
                }
                Item::Bits(value, count) => bits.push(value, count),
                Item::Restart => {
                    bits.pad();
                    bits.file.extend([0xff, 0xd0 + restarts % 8]);
                    restarts += 1;
                }
            }
        }
        bits.pad();
    }
}

/// Bits into bytes, a zero after each byte of ones (T.81, F.1.2.3).
struct Bits<'a> {
    file: &'a mut Vec<u8>,
    held: u64,
    count: u32,
}

impl Bits<'_> {
    fn push(&mut self, value: u32, count: u32) {
        self.held = self.held << count | u64::from(value) & ((1 << count) - 1);
        self.count += count;
        while self.count >= 8 {
            self.count -= 8;
            let byte = (self.held >> self.count) as u8;
            self.file.push(byte);
            if byte == 0xff {
                self.file.push(0);
            }
        }
    }

    fn pad(&mut self) {
        self.push(u32::MAX, (8 - self.count) % 8);
    }
}

/// The best code for a table's symbols, of at most 16 bits (T.81, K.2).
pub(super) struct Code {
    pub(super) lengths: [u8; 16],
    pub(super) symbols: Vec<u8>,
    words: Vec<(u32, u32)>,
}

impl Code {
    pub(super) fn new(counts: &[usize; 256]) -> Self {
        // One more, for the word of ones, which no symbol may have.
        let mut trees: Vec<(usize, Vec<usize>)> =
            (0..256).filter(|&symbol| counts[symbol] > 0).map(|symbol| (counts[symbol], vec![symbol])).collect();
        trees.push((0, vec![256]));
        let mut depth = [0usize; 257];
        while trees.len() > 1 {
            trees.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
            let (one, other) = (trees.pop().unwrap(), trees.pop().unwrap());
            let joined = [one.1, other.1].concat();
            joined.iter().for_each(|&symbol| depth[symbol] += 1);
            trees.push((one.0 + other.0, joined));
        }
        let mut of_length = [0usize; 64];
        (0..257).filter(|&symbol| depth[symbol] > 0).for_each(|symbol| of_length[depth[symbol]] += 1);
        for length in (17..64).rev() {
            while of_length[length] > 0 {
                let shorter = (1..length - 1).rev().find(|&shorter| of_length[shorter] > 0).unwrap();
                of_length[length] -= 2;
                of_length[length - 1] += 1;
                of_length[shorter + 1] += 2;
                of_length[shorter] -= 1;
            }
        }
        let longest = (1..17).rev().find(|&length| of_length[length] > 0);
        longest.into_iter().for_each(|length| of_length[length] -= 1);
        let mut symbols: Vec<usize> = (0..256).filter(|&symbol| depth[symbol] > 0).collect();
        symbols.sort_by_key(|&symbol| (depth[symbol], std::cmp::Reverse(counts[symbol])));

        let mut words = vec![(0, 0); 256];
        let (mut word, mut next) = (0, symbols.iter());
        for length in 1..=16 {
            for _ in 0..of_length[length as usize] {
                words[*next.next().unwrap()] = (word, length);
                word += 1;
            }
            word <<= 1;
        }
        Self {
            lengths: std::array::from_fn(|at| of_length[at + 1] as u8),
            symbols: symbols.iter().map(|&symbol| symbol as u8).collect(),
            words,
        }
    }
}
