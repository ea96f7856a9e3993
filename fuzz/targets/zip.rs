//! The zip reader: any bytes, and every record of what it takes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pseudoword_fuzz::embedding::zip::Archive;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(archive) = Archive::open(bytes) {
        for record in archive.records() {
            if let Ok(content) = archive.read(record, 1 << 20) {
                assert_eq!(content.len() as u64, record.size);
            }
        }
    }
});
