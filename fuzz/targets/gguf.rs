//! GGUF: the bytes as the beginning of a file, as it is and with the magic before it, in files of several lengths.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pseudoword_fuzz::check_gguf;

fuzz_target!(|bytes: &[u8]| {
    check_gguf(bytes, bytes.len() as u64);
    let whole = [b"GGUF\x03\0\0\0", bytes].concat();
    for behind in [0, 32, 4096, 1 << 40] {
        check_gguf(&whole, whole.len() as u64 + behind);
    }
});
