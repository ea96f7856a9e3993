//! Prompts to hidden states: the tokenizer with its learned words, and the CLIP text encoder.

mod clip;
mod rows;
mod tokenizer;
mod vocabulary;

pub use clip::{ClipTextConfig, ClipTextModel};
pub use rows::Rows;
pub use tokenizer::{ClipTokenizer, Prompt, check_token};
pub use vocabulary::{Norms, Vocabulary};
