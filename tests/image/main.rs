//! Pictures: files in, squares and files out, what is drawn of a run, and the sentences that go with pictures.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop there")]

mod corpus;
mod damage;
mod decode;
#[cfg(feature = "native")]
mod drawing;
#[cfg(feature = "native")]
mod files;
mod jpeg;
mod made;
mod peer;
mod png_writer;
mod square;
mod things;
