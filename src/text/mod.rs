//! Prompts to hidden states: the tokenizer with its learned words, and the CLIP text encoder.

mod clip;
mod tokenizer;

pub use clip::{ClipTextConfig, ClipTextModel};
pub use tokenizer::{ClipTokenizer, Prompt};
