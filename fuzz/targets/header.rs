//! safetensors: the bytes as they are, and as a header whose length is right, with zeros for the data.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pseudoword_fuzz::check;
use pseudoword_fuzz::embedding::safetensors::Header;

fuzz_target!(|bytes: &[u8]| {
    check(bytes, "fuzz.safetensors");
    let mut file = (bytes.len() as u64).to_le_bytes().to_vec();
    file.extend(bytes);
    let empty = file.len();
    for data in [0, 4, 64, 128] {
        file.resize(empty + data, 0);
        if let Ok(header) = Header::read(&file) {
            assert!(header.tensors.iter().all(|entry| entry.offsets[0] <= entry.offsets[1]));
            assert_eq!(header.tensors.iter().map(|entry| entry.offsets[1]).max().unwrap_or(0), data as u64);
        }
        check(&file, "fuzz.safetensors");
    }
});
