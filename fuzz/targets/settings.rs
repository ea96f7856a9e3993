//! The settings of a picture: any bytes as the text that has them, and as the EXIF block that holds it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pseudoword_fuzz::check_settings;

fuzz_target!(|bytes: &[u8]| {
    check_settings(bytes);
});
