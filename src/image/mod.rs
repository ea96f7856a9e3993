//! Pictures: from a user's file to the square the model sees, and back to a file.
//!
//! Bytes of a PNG, JPEG or WebP enter [`Picture::decode`], which trusts none of them; [`square`] makes the model's
//! square and [`to_floats`] its numbers in [-1, 1]. Going out, [`from_floats`] makes pixels and [`encode_png`] a file
//! that carries its settings as text. With the `native` feature, [`find`] looks for pictures in folders, and [`Sheet`]
//! and [`loss_curve`] draw what a run has produced.

mod container;
mod decode;
mod exif;
mod frame;
mod jpeg;
mod look;
mod mask;
mod png;
mod seen;
mod segment;
mod sniff;
mod texts;

#[cfg(feature = "native")]
mod curve;
#[cfg(feature = "native")]
mod draw;
#[cfg(feature = "native")]
pub mod find;
#[cfg(feature = "native")]
mod sheet;

pub use self::png::{encode_png, read_text};
pub use decode::{Cut, MAX_ASPECT, MAX_PIXELS, MAX_SIDE, MIN_SIDE, Picture};
pub use frame::{before_plain, from_floats, mirror, square, square_mask, square_weights, time_ids, to_floats};
pub use look::are_alike;
pub use mask::Mask;
pub use seen::{Colour, PlainBackground, Seen};
pub use segment::{AttentionMap, FoundThing, find_things};
pub(crate) use texts::texts_of;

#[cfg(feature = "native")]
pub use curve::loss_curve;
#[cfg(feature = "native")]
pub use sheet::{Sheet, SheetRow};
