//! Local headers: they must agree with the directory, and with their data they must fill the file.

use super::super::cursor::{le16, le32, le64, span};
use super::super::refusal::{Refusal, counted, shown};
use super::directory::{Zip64, ZipEntry, encrypted, zip64_field};
use super::{Method, Record};

/// Flag: sizes and CRC follow the data, in a descriptor.
const STREAMED: u16 = 8;

/// Turns entries into records, having checked that their places tile the bytes from 0 to `end`.
pub(super) fn records<'a>(bytes: &'a [u8], entries: Vec<ZipEntry<'a>>, end: u64) -> Result<Vec<Record<'a>>, Refusal> {
    let mut order: Vec<usize> = (0..entries.len()).collect();
    order.sort_by_key(|&index| entries.get(index).map(|entry| entry.at));
    let sorted: Vec<&ZipEntry<'a>> = order.iter().filter_map(|&index| entries.get(index)).collect();
    let mut data: Vec<&'a [u8]> = vec![&[]; entries.len()];
    match sorted.first() {
        None => return Err(Refusal::damaged("the zip archive", "it holds no records")),
        Some(first) if first.at != 0 => {
            let (name, at) = (shown(first.name), first.at);
            let reason = format!("its first record, {name}, begins at byte {at}: something stands before it");
            return Err(Refusal::ambiguous("the zip archive", reason));
        }
        Some(_) => {}
    }
    for (place, entry) in sorted.iter().enumerate() {
        // Each has to reach to the next one exactly, so all of them together fill the file.
        let next = sorted.get(place + 1).map_or(end, |next| next.at);
        let found = local(bytes, entry, next)?;
        if let Some(slot) = order.get(place).and_then(|&index| data.get_mut(index)) {
            *slot = found;
        }
    }
    let record = |(entry, packed): (ZipEntry<'a>, &'a [u8])| Record {
        name: entry.name,
        method: entry.method,
        size: entry.size,
        crc: entry.crc,
        packed,
    };
    Ok(entries.into_iter().zip(data).map(record).collect())
}

/// The data of a record, whose local header is at `entry.at` and whose last byte is before `next`.
fn local<'a>(bytes: &'a [u8], entry: &ZipEntry<'_>, next: u64) -> Result<&'a [u8], Refusal> {
    let name = || shown(entry.name);
    let differs = |what: &str| {
        Refusal::ambiguous(format!("the record {}", name()), format!("its two headers disagree about its {what}"))
    };
    let outside = || Refusal::damaged(format!("the record {}", name()), "it is not inside the file");
    let header = span(bytes, entry.at, 30).filter(|header| header.starts_with(b"PK\x03\x04")).ok_or_else(outside)?;
    let word = |offset| le16(header, offset).unwrap_or_default();
    let long = |offset| le32(header, offset).unwrap_or_default();
    let [name_length, extra_length] = [26, 28].map(|at| u64::from(word(at)));
    let names = span(bytes, entry.at + 30, name_length).ok_or_else(outside)?;
    let extra = span(bytes, entry.at + 30 + name_length, extra_length).ok_or_else(outside)?;
    if names != entry.name.as_bytes() {
        return Err(differs("name"));
    }
    encrypted(word(6), entry.name)?;
    let method = match entry.method {
        Method::Stored => 0,
        Method::Deflated => 8,
    };
    if word(8) != method {
        return Err(differs("method"));
    }
    let streamed = word(6) & STREAMED != 0;
    // In a streamed record the header may leave crc and sizes at 0: the descriptor has them.
    let mut wide = Zip64 { fields: zip64_field(extra) };
    let (crc, size, packed) = (long(14), wide.or(long(22), entry.name)?, wide.or(long(18), entry.name)?);
    let blank = streamed && (crc, size, packed) == (0, 0, 0);
    if !blank && crc != entry.crc {
        return Err(differs("CRC-32"));
    }
    if !blank && (size, packed) != (entry.size, entry.packed) {
        return Err(differs("size"));
    }
    let start = entry.at + 30 + name_length + extra_length;
    let data = span(bytes, start, entry.packed).ok_or_else(outside)?;
    let end = start + entry.packed;
    match next.checked_sub(end) {
        Some(0) if !blank => {}
        Some(12 | 16 | 20 | 24) if streamed => {
            if !described(span(bytes, end, next - end).unwrap_or_default(), entry) {
                return Err(differs("CRC-32 or size"));
            }
        }
        Some(gap) => {
            return Err(Refusal::ambiguous(
                format!("the record {}", name()),
                format!("{} after it belong to nothing", counted(gap, "byte")),
            ));
        }
        None => {
            return Err(Refusal::ambiguous(format!("the record {}", name()), "it overlaps what follows it"));
        }
    }
    Ok(data)
}

/// Whether a data descriptor (with or without its mark, sizes in 4 or 8 bytes) agrees with the directory.
fn described(descriptor: &[u8], entry: &ZipEntry<'_>) -> bool {
    let (body, wide) = match descriptor.len() {
        12 => (Some(descriptor), false),
        16 => (descriptor.strip_prefix(b"PK\x07\x08"), false),
        20 => (Some(descriptor), true),
        _ => (descriptor.strip_prefix(b"PK\x07\x08"), true),
    };
    let Some(body) = body else { return false };
    let sizes = if wide {
        (le64(body, 4), le64(body, 12))
    } else {
        (le32(body, 4).map(u64::from), le32(body, 8).map(u64::from))
    };
    le32(body, 0) == Some(entry.crc) && sizes == (Some(entry.packed), Some(entry.size))
}
