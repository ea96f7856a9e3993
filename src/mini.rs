//! The model in the binary: `models/mini`, so that every command works without a download.

use crate::source::Memory;

/// What the model is called in messages.
pub const NAME: &str = "mini (built in)";

/// A file of the model, by its path in the folder.
macro_rules! files {
    ($($path:literal),* $(,)?) => {
        [$(($path, include_bytes!(concat!("../models/mini/", $path)).as_slice())),*]
    };
}

const FILES: [(&str, &[u8]); 11] = files![
    "model_index.json",
    "scheduler/scheduler_config.json",
    "text_encoder/config.json",
    "text_encoder/model.safetensors",
    "tokenizer/merges.txt",
    "tokenizer/special_tokens_map.json",
    "tokenizer/vocab.json",
    "unet/config.json",
    "unet/diffusion_pytorch_model.safetensors",
    "vae/config.json",
    "vae/diffusion_pytorch_model.safetensors",
];

/// The files of the model.
pub fn source() -> Memory {
    let mut files = Memory::new(NAME);
    for (path, bytes) in FILES {
        files.insert(path, bytes);
    }
    files
}
