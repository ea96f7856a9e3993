//! Pictures: files in, squares and files out, what is drawn of a run, and the sentences that go with pictures.

mod decode;
#[cfg(feature = "native")]
mod drawing;
#[cfg(feature = "native")]
mod files;
mod made;
mod square;
