//! Prompts to hidden states: tokenizers with their learned words, and the CLIP text encoder.

pub(crate) mod aliases;
pub mod chunks;
mod clip;
mod encoder;
pub mod foreign;
mod info;
pub mod language;
pub mod likeness;
pub(crate) mod name;
mod pretrained;
pub mod prompt;
mod rows;
pub mod scan;
mod spelling;
mod tokenizer;
pub mod unknown;
mod vocabulary;
mod weights;

pub use chunks::LONGEST;
pub use clip::{ClipTextConfig, ClipTextModel, Encoded, Manner, Taken};
pub(crate) use encoder::Batch;
pub use encoder::{Encoding, TextEncoder};
pub use info::{NamedWord, PromptInfo, UnknownName, without_model};
pub use name::check_token;
pub use prompt::{Chunk, Prompt, Tokenizers, Tokens};
pub use rows::Rows;
pub(crate) use spelling::readable;
pub use tokenizer::ClipTokenizer;
pub use vocabulary::{Norms, Vocabulary};
