//! The headers of model files in safetensors, those with weights in eight bits among them: the bytes as the text of a header, with a
//! right length before it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pseudoword_fuzz::check_weights;

fuzz_target!(|bytes: &[u8]| {
    for data in [0, 34, 68, 1088, 4352] {
        check_weights(bytes, data);
    }
});
