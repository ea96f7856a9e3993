//! The zip file around a pickle: exactly the three records that every torch, A1111's filter and ComfyUI accept.
//!
//! A file by today's `torch.save` has records that A1111 refuses (A1111#15214), so it is not imitated.
//! `tests/formats/golden.rs` holds the bytes, `tests/formats/verdicts.json` what other programs make of them.

use flate2::Crc;

/// Payloads begin at multiples of this, as torch writes them.
const ALIGNMENT: usize = 64;

/// Flag: names are UTF-8.
const UTF8: u16 = 0x0800;

/// 1980-01-01, the earliest date there is.
const DATE: u16 = 0x0021;

/// Version 2.0 is needed to read the file: nothing beyond plain records.
const VERSION: u16 = 20;

/// A zip file with `archive/data.pkl`, `archive/data/0` and `archive/version`.
pub(super) fn archive(pickle: &[u8], data: &[u8]) -> Vec<u8> {
    let mut file = Vec::new();
    let mut directory = Vec::new();
    let records: [(&str, &[u8]); 3] =
        [("archive/data.pkl", pickle), ("archive/data/0", data), ("archive/version", b"3\n")];
    for (name, content) in records {
        let at = length(&file);
        let mut crc = Crc::new();
        crc.update(content);
        // What both headers say: flags, stored, time and date, CRC, sizes, length of the name.
        let mut common = Vec::new();
        common.extend([UTF8, 0, 0, DATE].iter().flat_map(|value| value.to_le_bytes()));
        common.extend(crc.sum().to_le_bytes());
        common.extend(length(content));
        common.extend(length(content));
        common.extend(short(name.len()));

        let padding =
            (file.len() + 30 + name.len() + 4).next_multiple_of(ALIGNMENT) - (file.len() + 30 + name.len() + 4);
        file.extend(b"PK\x03\x04");
        file.extend(VERSION.to_le_bytes());
        file.extend(&common);
        file.extend(short(4 + padding));
        file.extend(name.as_bytes());
        file.extend(b"FB");
        file.extend(short(padding));
        file.resize(file.len() + padding, b'Z');
        file.extend(content);

        directory.extend(b"PK\x01\x02");
        directory.extend([VERSION, VERSION].iter().flat_map(|value| value.to_le_bytes()));
        directory.extend(&common);
        // No extra field, no comment, disk 0, no attributes.
        directory.extend([0; 12]);
        directory.extend(at);
        directory.extend(name.as_bytes());
    }
    let (at, size) = (length(&file), length(&directory));
    file.extend(directory);
    file.extend(b"PK\x05\x06");
    file.extend([0, 0, 3, 3].iter().flat_map(|value: &u16| value.to_le_bytes()));
    file.extend(size);
    file.extend(at);
    file.extend([0; 2]);
    file
}

/// A length in 32 bits; an embedding is far smaller (`limits`).
fn length(bytes: &[u8]) -> [u8; 4] {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes()
}

fn short(length: usize) -> [u8; 2] {
    u16::try_from(length).unwrap_or(u16::MAX).to_le_bytes()
}
