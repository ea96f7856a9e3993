//! The restricted pickle reader on its own.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pseudoword_fuzz::embedding::pickle::unpickle;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(unpickled) = unpickle(bytes, "fuzz") {
        assert!(unpickled.end <= bytes.len());
        for storage in unpickled.arena.storages() {
            assert!(storage.key.bytes().all(|byte| byte.is_ascii_digit()));
        }
    }
});
