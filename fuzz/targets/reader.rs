//! The door: any bytes as any file.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pseudoword_fuzz::check;

fuzz_target!(|bytes: &[u8]| check(bytes, "fuzz.pt"));
