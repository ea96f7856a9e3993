//! What a user can set, with the one source of defaults for the command line, the page and the library.
//!
//! The structs are plain serde data. With the `native` feature they are clap arguments too: their help is the comment
//! of the field, their default that of `Default`, which is the only place where a default is written; what `Default` leaves open is
//! decided by the model ([`usual`] has what is usual for its family). The page asks for
//! them (`web::form`). Which ones were measured, and how, is in `benches/README.md`.

mod choices;
mod prompt_syntax;
mod sample;
mod span;
mod train;
#[cfg(feature = "native")]
pub mod typed;
pub mod usual;
mod words;

pub use choices::{
    Backgrounds, Checkpointing, EmptyNegative, Framing, Init, Keep, Kind, LrSchedule, Masks, OnDivergence, Pooling,
    Quality, Recipe, SamplerKind, TimestepDistribution,
};
pub use prompt_syntax::PromptSyntax;
pub use sample::SampleConfig;
use serde::Serialize;
pub use span::Span;
pub use train::TrainConfig;
pub use words::{WordConfig, WordSettings};

/// How a choice is spelled in settings files and on the command line.
pub fn option_name(choice: &impl Serialize) -> String {
    serde_json::to_value(choice).ok().and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default()
}
