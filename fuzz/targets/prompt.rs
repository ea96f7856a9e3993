//! Prompts: any text, in every language.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pseudoword_fuzz::check_prompt;

fuzz_target!(|bytes: &[u8]| {
    check_prompt(&String::from_utf8_lossy(bytes));
});
