//! The ground floor: what every other module may use and what uses none of them.

pub mod bytes;
pub mod eight_bits;
#[cfg(feature = "native")]
pub mod failpoints;
#[cfg(feature = "native")]
pub mod files;
pub mod json;
#[cfg(feature = "native")]
pub mod lock;
pub mod math;
#[cfg(feature = "native")]
pub mod process;
pub mod text;
pub mod with_value;
