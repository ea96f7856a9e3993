//! The walk through one scan: every code is read as a decoder would read it, only no picture is made.

use super::Refusal;
use super::frame::{Frame, HEADER};
use super::huffman::{Bits, Fault, Table};

/// A scan's header (T.81, B.2.3): which components, which of their coefficients, which bits of those.
#[derive(Debug)]
pub(super) struct Scan {
    /// Places in the frame, and of the tables for DC and AC.
    parts: Vec<(usize, usize, usize)>,
    first: usize,
    last: usize,
    /// The lowest bit that is known before this scan, 0 for none; and after it.
    before: u8,
    after: u8,
}

/// Tables as they are when a scan begins.
#[derive(Debug, Default)]
pub(super) struct Tables {
    pub dc: [Option<Table>; 4],
    pub ac: [Option<Table>; 4],
    pub quanta: [Option<[u16; 64]>; 4],
    /// MCUs between restart markers, 0 for no markers.
    pub restart: usize,
}

/// What a walk has found.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Found {
    /// How much of the area has no data that makes sense, from 0 to 1.
    pub lost: f64,
    /// Where that begins, from 0 at the top to 1 at the bottom.
    pub from: f64,
    /// Bytes that were not needed, and of how many.
    pub spare: (usize, usize),
    /// All restart intervals are there, but the marker behind one of them has the number of another.
    pub misnumbered: bool,
    /// Where the same byte stands again and again in blocks that are not flat.
    pub filled: Option<f64>,
}

impl Scan {
    pub(super) fn parse(frame: &mut Frame, body: &[u8]) -> Result<Self, Refusal> {
        let [count, list @ ..] = body else { return Err(HEADER) };
        let (list, rest) = list.split_at_checked(2 * usize::from(*count)).ok_or(HEADER)?;
        let &[first, last, bits, ..] = rest else { return Err(HEADER) };
        let part = |part: &[u8]| {
            let component = frame.components.iter().position(|component| component.id == part[0])?;
            Some((component, usize::from(part[1] >> 4), usize::from(part[1] & 15)))
        };
        let parts: Option<Vec<_>> = list.chunks(2).map(part).collect();
        let parts = parts
            .filter(|parts| !parts.is_empty() && parts.iter().all(|part| part.1 < 4 && part.2 < 4))
            .ok_or(HEADER)?;
        let mut scan = Self { parts, first: first.into(), last: last.into(), before: bits >> 4, after: bits & 15 };
        if !frame.progressive {
            // What stands there means nothing, and a few programs write zeros.
            (scan.first, scan.last, scan.before, scan.after) = (0, 63, 0, 0);
        }
        let refines = scan.before == 0 || scan.before == scan.after + 1;
        let one = !frame.progressive || (scan.first == 0) == (scan.last == 0);
        if scan.last > 63 || scan.first > scan.last || !one || !refines || (scan.first > 0 && scan.parts.len() > 1) {
            return Err(HEADER);
        }
        for &(part, ..) in &scan.parts {
            frame.components[part].known[scan.first..=scan.last].fill(scan.after);
        }
        Ok(scan)
    }

    /// The unit of this scan in pixels, if it holds the levels of blocks: an MCU, or a block of its only component.
    pub(super) fn unit(&self, frame: &Frame) -> Option<(usize, usize)> {
        let unit = match self.parts[..] {
            [(part, ..)] => {
                let (across, down) = frame.components[part].sampling;
                (frame.mcu.0 / across, frame.mcu.1 / down)
            }
            _ => frame.mcu,
        };
        (self.first == 0 && self.before == 0).then_some(unit)
    }

    /// Whether this scan only adds to what is there of each block already.
    pub(super) fn adds_detail(&self) -> bool {
        self.first > 0 || self.before > 0
    }

    /// Reads the data, all of it.
    pub(super) fn walk(&self, data: &[u8], frame: &mut Frame, tables: &Tables) -> Found {
        let (wide, high) = match self.parts[..] {
            [(part, ..)] => frame.components[part].alone,
            _ => frame.mcus,
        };
        let total = wide * high;
        let each = if tables.restart == 0 { total } else { tables.restart };
        let share = |units: usize| units as f64 / total as f64;
        let mut found = Found { spare: (0, data.len()), ..Found::default() };
        let lost = |found: &mut Found, from: usize, to: usize| {
            if found.lost == 0.0 {
                found.from = share(from);
            }
            found.lost += share(to - from);
        };
        let mut next = 0;
        for (number, (piece, marker)) in pieces(data).enumerate() {
            if next >= total {
                found.spare.0 += Bits::new(piece).spare();
                continue;
            }
            let end = (next + each).min(total);
            let mut filled = None;
            let result = self.interval(piece, next..end, wide, (frame, tables), &mut filled);
            found.filled = found.filled.or(filled.map(share));
            match result {
                Ok(spare) => found.spare.0 += spare,
                Err(at) => lost(&mut found, at, end),
            }
            next = end;
            if marker.is_some_and(|marker| usize::from(marker) != number % 8) {
                found.misnumbered = pieces(data).count() == total.div_ceil(each);
                if found.misnumbered {
                    return found;
                }
                // What is between is gone, and nobody knows how much more.
                break;
            }
        }
        if next < total {
            lost(&mut found, next, total);
        }
        found
    }

    /// Reads the data between two restart markers. Returns how many bytes were not needed, or in which MCU something is
    /// wrong.
    fn interval(
        &self,
        data: &[u8],
        units: std::ops::Range<usize>,
        wide: usize,
        (frame, tables): (&mut Frame, &Tables),
        filled: &mut Option<usize>,
    ) -> Result<usize, usize> {
        let mut bits = Bits::new(data);
        let mut state = State::default();
        let end = units.end;
        let alone = self.parts.len() == 1;
        for unit in units {
            let (column, row) = (unit % wide, unit / wide);
            for &(part, dc, ac) in &self.parts {
                let component = &mut frame.components[part];
                let (across, down) = if alone { (1, 1) } else { component.sampling };
                let quantum = tables.quanta[component.quanta].map_or(1, |quanta| i32::from(quanta[0]));
                for block in 0..across * down {
                    let at = (row * down + block / across) * component.stride + column * across + block % across;
                    let level = &mut component.levels[at];
                    let (dc, ac) = (tables.dc[dc].as_ref(), tables.ac[ac].as_ref());
                    let hole = bits.is_filled();
                    let result = if frame.progressive {
                        let nonzero = &mut component.nonzero[at];
                        self.refine(&mut bits, (dc, ac), &mut state, part, (level, nonzero))
                    } else {
                        sequential(&mut bits, (dc, ac), &mut state.previous[part], level).map(|flat| {
                            if hole && !flat {
                                filled.get_or_insert(unit);
                            }
                        })
                    };
                    result.and_then(|()| plausible(*level, quantum)).map_err(|_| unit)?;
                }
            }
        }
        // A run of empty blocks must not be longer than there are blocks.
        if state.empty > 0 { Err(end - 1) } else { Ok(bits.spare()) }
    }

    /// Reads what a progressive scan holds of one block (T.81, G.1.2).
    fn refine(
        &self,
        bits: &mut Bits,
        (dc, ac): (Option<&Table>, Option<&Table>),
        state: &mut State,
        part: usize,
        (level, nonzero): (&mut i32, &mut u64),
    ) -> Result<(), Fault> {
        if self.first == 0 {
            if self.before > 0 {
                *level |= (bits.take(1)? as i32) << self.after;
                return Ok(());
            }
            let previous = &mut state.previous[part];
            *previous += difference(bits, dc)?;
            *level = *previous << self.after;
            return Ok(());
        }
        let mut at = self.first;
        if state.empty == 0 {
            let table = ac.ok_or(Fault::Code)?;
            while at <= self.last {
                let symbol = table.read(bits)?;
                let (run, size) = (usize::from(symbol >> 4), u32::from(symbol & 15));
                if size == 0 && run < 15 {
                    state.empty = (1 << run) + bits.take(run as u32)?;
                    break;
                }
                if size > if self.before > 0 { 1 } else { 10 } {
                    return Err(Fault::Range);
                }
                bits.take(size)?;
                at = self.pass(bits, at, run, *nonzero)?;
                if size > 0 {
                    *nonzero |= 1 << at;
                }
                at += 1;
            }
        }
        if state.empty > 0 {
            state.empty -= 1;
            if self.before > 0 {
                let rest = *nonzero & (u64::MAX << at) & (u64::MAX >> (63 - self.last));
                for _ in 0..rest.count_ones() {
                    bits.take(1)?;
                }
            }
        }
        Ok(())
    }

    /// The place behind `run` zeros; of what is not zero there already, another bit is read.
    fn pass(&self, bits: &mut Bits, mut at: usize, mut run: usize, nonzero: u64) -> Result<usize, Fault> {
        loop {
            if at > self.last {
                return Err(Fault::Place);
            }
            if self.before > 0 && nonzero >> at & 1 == 1 {
                bits.take(1)?;
            } else if run == 0 {
                return Ok(at);
            } else {
                run -= 1;
            }
            at += 1;
        }
    }
}

/// What goes on from block to block.
#[derive(Default)]
struct State {
    previous: [i32; 4],
    /// Blocks that the last symbol says are empty.
    empty: u32,
}

/// The data between restart markers, each piece with the number of the marker behind it.
fn pieces(data: &[u8]) -> impl Iterator<Item = (&[u8], Option<u8>)> {
    let mut rest = Some(data);
    std::iter::from_fn(move || {
        let data = rest.take()?;
        let mark = data.windows(2).position(|pair| pair[0] == 0xff && (0xd0..=0xd7).contains(&pair[1]));
        let Some(mark) = mark else { return Some((data, None)) };
        rest = Some(&data[mark + 2..]);
        Some((&data[..mark], Some(data[mark + 1] - 0xd0)))
    })
}

/// A number behind its length (T.81, F.2.2.1): the difference of a level to that before it.
fn difference(bits: &mut Bits, table: Option<&Table>) -> Result<i32, Fault> {
    let size = u32::from(table.ok_or(Fault::Code)?.read(bits)?);
    if size > 11 {
        return Err(Fault::Range);
    }
    let value = bits.take(size)? as i32;
    Ok(if size > 0 && value < 1 << (size - 1) { value - (1 << size) + 1 } else { value })
}

/// Reads one block of a sequential scan (T.81, F.2.2). Returns whether it is flat.
fn sequential(
    bits: &mut Bits,
    (dc, ac): (Option<&Table>, Option<&Table>),
    previous: &mut i32,
    level: &mut i32,
) -> Result<bool, Fault> {
    *previous += difference(bits, dc)?;
    *level = *previous;
    let table = ac.ok_or(Fault::Code)?;
    let mut at = 1;
    while at < 64 {
        let symbol = table.read(bits)?;
        let (run, size) = (usize::from(symbol >> 4), u32::from(symbol & 15));
        match (run, size) {
            (0, 0) => break,
            (15, 0) | (_, 1..=10) => at += run,
            _ => return Err(Fault::Range),
        }
        if at > 63 {
            return Err(Fault::Place);
        }
        bits.take(size)?;
        at += 1;
    }
    Ok(at == 1)
}

/// Whether a picture of eight bits can have such a level: 8 times its mean, which is in -128..128, rounded by its quantum.
fn plausible(level: i32, quantum: i32) -> Result<(), Fault> {
    if (level * quantum).abs() > 1024 + 3 * quantum { Err(Fault::Range) } else { Ok(()) }
}
