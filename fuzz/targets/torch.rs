//! A pickle in a torch archive whose checksums are right, and as the object of a legacy stream. The first two bytes
//! are the length of the pickle, what follows it is the storage `0`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pseudoword_fuzz::check;
use pseudoword_fuzz::embedding::torch::LEGACY;

fuzz_target!(|bytes: &[u8]| {
    let Some(([low, high], rest)) = bytes.split_first_chunk::<2>() else { return };
    let length = usize::from(u16::from_le_bytes([*low, *high])).min(rest.len());
    let (pickle, data) = rest.split_at(length);
    check(&zip(&[("a/data.pkl", pickle), ("a/data/0", data), ("a/version", b"3\n")]), "fuzz.bin");

    const MACHINE: &[u8] = b"\x80\x02M\xe9\x03.\x80\x02}.";
    let mut stream = [LEGACY, MACHINE].concat();
    // In a stream the name of a storage has one place more, for a view.
    let mut rest = pickle;
    while let Some(at) = rest.windows(2).position(|window| window == b"tQ") {
        stream.extend(&rest[..at]);
        stream.extend(b"NtQ");
        rest = &rest[at + 2..];
    }
    stream.extend(rest);
    stream.extend(b"\x80\x02]X\x01\0\0\x000a.");
    stream.extend((data.len() as u64 / 4).to_le_bytes());
    stream.extend(data);
    check(&stream, "fuzz.bin");
});

fn zip(records: &[(&str, &[u8])]) -> Vec<u8> {
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    for (name, content) in records {
        let mut crc = flate2::Crc::new();
        crc.update(content);
        let mut common = b"\0\0\0\0\0\0\0\0".to_vec();
        common.extend(crc.sum().to_le_bytes());
        common.extend((content.len() as u32).to_le_bytes());
        common.extend((content.len() as u32).to_le_bytes());
        common.extend((name.len() as u16).to_le_bytes());
        directory.extend(b"PK\x01\x02\x14\0\x14\0");
        directory.extend(&common);
        directory.extend([0; 12]);
        directory.extend((file.len() as u32).to_le_bytes());
        directory.extend(name.as_bytes());
        file.extend(b"PK\x03\x04\x14\0");
        file.extend(&common);
        file.extend([0; 2]);
        file.extend(name.as_bytes());
        file.extend(*content);
    }
    let (at, size) = (file.len() as u32, directory.len() as u32);
    file.extend(directory);
    file.extend(b"PK\x05\x06\0\0\0\0");
    file.extend((records.len() as u16).to_le_bytes());
    file.extend((records.len() as u16).to_le_bytes());
    file.extend(size.to_le_bytes());
    file.extend(at.to_le_bytes());
    file.extend([0; 2]);
    file
}
