//! The end record, its zip64 companions, and the central directory.

use super::super::cursor::{le16, le32, le64, span};
use super::super::limits;
use super::super::refusal::{Refusal, counted, shown};
use super::Method;

/// Longest end record: 22 bytes and a comment.
const TAIL: usize = 22 + 0xffff;

/// Where the directory is, as the end record says and its place confirms.
pub(super) struct Directory {
    pub start: u64,
    pub end: u64,
    pub count: u64,
}

/// What the directory says about a record.
pub(super) struct ZipEntry<'a> {
    pub name: &'a str,
    pub method: Method,
    pub crc: u32,
    pub packed: u64,
    pub size: u64,
    pub at: u64,
}

fn damaged(reason: impl Into<String>) -> Refusal {
    Refusal::damaged("the zip archive", reason)
}

fn ambiguous(reason: impl Into<String>) -> Refusal {
    Refusal::ambiguous("the zip archive", reason)
}

/// Finds the one end record, and the directory that ends where it begins.
pub(super) fn find(bytes: &[u8]) -> Result<Directory, Refusal> {
    let tail = bytes.len().saturating_sub(TAIL);
    let marks = bytes.get(tail..).unwrap_or_default().windows(4);
    let marks = marks.enumerate().filter(|(_, window)| window == b"PK\x05\x06").map(|(at, _)| tail + at);
    // Ends of the candidates that are there in full.
    let candidates: Vec<(usize, usize)> =
        marks.filter_map(|at| Some((at, at + 22 + usize::from(le16(bytes, at + 20)?)))).collect();
    let mut whole = candidates.iter().filter(|(_, end)| *end == bytes.len());
    let Some(&(at, _)) = whole.next() else {
        return Err(match candidates.last() {
            Some((_, end)) if *end < bytes.len() => {
                ambiguous(format!("{} follow its end", counted((bytes.len() - end) as u64, "byte")))
            }
            _ => Refusal::cut("a zip archive without its end record in the last 64 KB"),
        });
    };
    if whole.next().is_some() || candidates.iter().any(|(other, _)| *other > at) {
        return Err(ambiguous("it has more than one end record"));
    }
    let word = |offset| le16(bytes, at + offset).map(u64::from).unwrap_or_default();
    let long = |offset| le32(bytes, at + offset).map(u64::from).unwrap_or_default();
    let (disk, first_disk, here, count) = (word(4), word(6), word(8), word(10));
    let (size, start) = (long(12), long(16));
    if disk != 0 || first_disk != 0 || here != count {
        return Err(Refusal::unsupported("the zip archive", "it is one of several volumes; join them first"));
    }
    let mut directory =
        Directory { start, end: start.checked_add(size).ok_or_else(|| damaged("its size overflows"))?, count };
    let mut limit = at as u64;
    if let Some(locator) = at.checked_sub(20).filter(|&at| bytes.get(at..at + 4) == Some(b"PK\x06\x07")) {
        let (record, long) = zip64(bytes, locator)?;
        let agrees = |short: u64, all: u64, long: u64| short == long || short == all;
        if !agrees(count, 0xffff, long.count)
            || !agrees(start, 0xffff_ffff, long.start)
            || !agrees(size, 0xffff_ffff, long.end - long.start)
        {
            return Err(ambiguous("its two end records (zip and zip64) contradict each other"));
        }
        (directory, limit) = (long, record);
    }
    if directory.end != limit {
        let (says, is) = (directory.end, limit);
        return Err(ambiguous(format!("its directory should end at byte {says} but its end record is at {is}")));
    }
    Ok(directory)
}

/// The zip64 end record that a locator at `locator` points to, which must stand right before it.
fn zip64(bytes: &[u8], locator: usize) -> Result<(u64, Directory), Refusal> {
    let bad = || damaged("its zip64 end record is not where or what it should be");
    let at = le64(bytes, locator + 8).ok_or_else(bad)?;
    let record = span(bytes, at, 56).filter(|record| record.starts_with(b"PK\x06\x06")).ok_or_else(bad)?;
    let long = |offset| le64(record, offset).unwrap_or_default();
    let (length, here, count, size, start) = (long(4), long(24), long(32), long(40), long(48));
    let disks = (le32(bytes, locator + 4), le32(bytes, locator + 16), le32(record, 16), le32(record, 20));
    let one_disk = matches!(disks, (Some(0), Some(0 | 1), Some(0), Some(0)));
    if length != 44 || here != count || !one_disk || at.checked_add(56) != Some(locator as u64) {
        return Err(bad());
    }
    let end = start.checked_add(size).ok_or_else(bad)?;
    Ok((at, Directory { start, end, count }))
}

/// Reads the directory: names once each, methods and flags that can be read.
pub(super) fn entries<'a>(bytes: &'a [u8], directory: &Directory) -> Result<Vec<ZipEntry<'a>>, Refusal> {
    if directory.count > limits::ANY_RECORDS as u64 {
        return Err(Refusal::too_much("zip records", directory.count, limits::ANY_RECORDS as u64));
    }
    let mut rest = span(bytes, directory.start, directory.end - directory.start)
        .ok_or_else(|| damaged("its directory is not inside the file"))?;
    let mut entries = Vec::new();
    for _ in 0..directory.count {
        let (entry, after) = entry(rest)?;
        entries.push(entry);
        rest = after;
    }
    if !rest.is_empty() {
        return Err(ambiguous(format!("{} left over in its directory", counted(rest.len() as u64, "byte"))));
    }
    names(&entries)?;
    Ok(entries)
}

/// One entry and what follows it.
fn entry(bytes: &[u8]) -> Result<(ZipEntry<'_>, &[u8]), Refusal> {
    let short = || damaged("its directory breaks off");
    let fixed = bytes.get(..46).ok_or_else(short)?;
    if !fixed.starts_with(b"PK\x01\x02") {
        return Err(damaged("an entry of its directory does not begin as it should"));
    }
    let word = |offset| le16(fixed, offset).unwrap_or_default();
    let long = |offset| le32(fixed, offset).unwrap_or_default();
    let [name_length, extra_length, comment_length] = [28, 30, 32].map(|at| usize::from(word(at)));
    let rest = bytes.get(46..).unwrap_or_default();
    let (name, rest) = rest.split_at_checked(name_length).ok_or_else(short)?;
    let (extra, rest) = rest.split_at_checked(extra_length).ok_or_else(short)?;
    let (_comment, rest) = rest.split_at_checked(comment_length).ok_or_else(short)?;

    let name = std::str::from_utf8(name).map_err(|_| damaged("the name of a record is not UTF-8"))?;
    if name.is_empty() || name.contains(['\\', '\0']) {
        return Err(damaged(format!("the record name {} is empty or has a backslash or a zero byte", shown(name))));
    }
    encrypted(word(8), name)?;
    let method = match word(10) {
        0 => Method::Stored,
        8 => Method::Deflated,
        other => {
            let reason = format!("it is compressed by method {other}, and torch reads 0 (stored) and 8 (deflate) only");
            return Err(Refusal::unsupported(shown(name), reason));
        }
    };
    let mut wide = Zip64 { fields: zip64_field(extra) };
    let size = wide.or(long(24), name)?;
    let packed = wide.or(long(20), name)?;
    let at = wide.or(long(42), name)?;
    if !matches!(word(34), 0 | 0xffff) {
        return Err(Refusal::unsupported("the zip archive", "it is one of several volumes; join them first"));
    }
    if method == Method::Stored && size != packed {
        return Err(damaged(format!("the record {} is not compressed but has two sizes", shown(name))));
    }
    Ok((ZipEntry { name, method, crc: long(16), packed, size, at }, rest))
}

/// Refuses a record whose flags say that it is encrypted, patched, or has its header hidden.
pub(super) fn encrypted(flags: u16, name: &str) -> Result<(), Refusal> {
    if flags & 0b10_0000_0110_0001 != 0 {
        return Err(Refusal::unsupported(shown(name), "it is marked as encrypted; unpack it and save it again"));
    }
    Ok(())
}

/// The body of the zip64 field among the extra fields.
pub(super) fn zip64_field(mut extra: &[u8]) -> &[u8] {
    while let (Some(id), Some(length)) = (le16(extra, 0), le16(extra, 2)) {
        let Some((body, rest)) = extra.get(4..).and_then(|rest| rest.split_at_checked(usize::from(length))) else {
            break;
        };
        if id == 1 {
            return body;
        }
        extra = rest;
    }
    &[]
}

/// Takes the values that did not fit their 32 bits, one after the other.
pub(super) struct Zip64<'a> {
    pub fields: &'a [u8],
}

impl Zip64<'_> {
    /// `value`, or the next long value if it is the mark for one.
    pub fn or(&mut self, value: u32, name: &str) -> Result<u64, Refusal> {
        if value != u32::MAX {
            return Ok(u64::from(value));
        }
        let long = le64(self.fields, 0).ok_or_else(|| {
            damaged(format!("the size or place of the record {} is missing (no zip64 field)", shown(name)))
        })?;
        self.fields = self.fields.get(8..).unwrap_or_default();
        Ok(long)
    }
}

/// Refuses names that occur twice. torch looks records up without regard to case, other readers do not.
fn names(entries: &[ZipEntry<'_>]) -> Result<(), Refusal> {
    let mut names: Vec<String> = entries.iter().map(|entry| entry.name.to_lowercase()).collect();
    names.sort();
    for pair in names.windows(2) {
        if let [a, b] = pair
            && a == b
        {
            return Err(ambiguous(format!("it has two records named {} (torch ignores case)", shown(a))));
        }
    }
    Ok(())
}
