//! Why a file is not taken, or not written: one variant per situation.
//!
//! `Display` says what is wrong, where, and what to do; the file's name is left to the caller, who knows how it was
//! given. Texts that come out of a file are shortened and escaped before they go into a message: a name may hold
//! anything.

use super::recognise::Mistaken;
pub(super) use crate::base::text::counted;
use crate::base::text::{brief_line, quoted};

/// A situation that stops the reading or writing of an embedding file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// There are no bytes.
    #[error("the file is empty; download or copy it again")]
    Empty,

    /// The file is some other kind of file.
    #[error("{0}")]
    Mistaken(Mistaken),

    /// The file ends before it should.
    #[error("the file is cut off: {what}; download or copy it again")]
    Cut {
        /// What is missing.
        what: String,
    },

    /// The file contradicts itself or the rules of its format.
    #[error("{place} is damaged: {reason}; download or copy the file again")]
    Damaged {
        /// The record, tensor, chunk or offset.
        place: String,
        /// What is wrong with it.
        reason: String,
    },

    /// Two programs could read different things from the file.
    #[error("{place} can be read in more than one way: {reason}; get the file from another source")]
    Ambiguous {
        /// The record, tensor or chunk.
        place: String,
        /// Which ways.
        reason: String,
    },

    /// Something that is valid but that this reader does not do.
    #[error("{place}: {reason}")]
    Unsupported {
        /// The record, tensor or chunk.
        place: String,
        /// What it is, and what to do.
        reason: String,
    },

    /// A pickle names something outside the fixed table. Nothing was run: there is nothing here that could run it.
    #[error(
        "{place} asks for {name} at byte {offset}, which {}",
        if *hostile {
            "files use to run code: this one is likely malicious, do not open it with any other program"
        } else {
            "is not among the few names that embeddings are made of: \
             save it again as safetensors, with a program that you trust"
        }
    )]
    Global {
        /// The record.
        place: String,
        /// `module.name`, shortened and escaped.
        name: String,
        /// Where in the record.
        offset: usize,
        /// Whether it is a known way to run code.
        hostile: bool,
    },

    /// A bound of `limits` was passed.
    #[error("{what}: {found} where at most {limit} are accepted; this is not an embedding, or it was made to do harm")]
    TooMuch {
        /// What was counted.
        what: String,
        /// How much there is, as far as it was counted.
        found: u64,
        /// The bound.
        limit: u64,
    },

    /// A tensor has a shape that no embedding has.
    #[error("the tensor {name} has the shape {shape:?}: an embedding is [vectors, width] or [width]{hint}")]
    Shape {
        /// The tensor's key, escaped.
        name: String,
        /// Its shape.
        shape: Vec<u64>,
        /// More, if there is more to say; begins with punctuation.
        hint: String,
    },

    /// A tensor holds values of a type that vectors cannot have.
    #[error("the tensor {name} holds {found}: vectors can be F32, F16, BF16 or F64")]
    Type {
        /// The tensor's key, escaped.
        name: String,
        /// The type found.
        found: String,
    },

    /// Values that are NaN or infinite.
    #[error(
        "{count} of the {of} values of {name} are {}, the first at index {first}: \
         the file is damaged, or its training went wrong",
        if *wide { "NaN, infinite, or too large for numbers of 32 bits" } else { "NaN or infinite" }
    )]
    NotFinite {
        /// The tensor's key, escaped.
        name: String,
        /// How many.
        count: usize,
        /// Of how many.
        of: usize,
        /// The first one's index.
        first: usize,
        /// Whether the file has numbers that can be larger than those that vectors are made of here.
        wide: bool,
    },

    /// There are several embeddings and none was chosen.
    #[error("the file holds {} embeddings; say which one: {}", names.len(), listed(names))]
    Several {
        /// Their names, escaped.
        names: Vec<String>,
    },

    /// There is no embedding of the name that was asked for.
    #[error("the file holds no embedding {asked}; it holds {}", listed(names))]
    NoSuchEmbedding {
        /// The name asked for, escaped.
        asked: String,
        /// What there is, escaped.
        names: Vec<String>,
    },

    /// The file does not name its embedding.
    #[error("the file holds vectors without a name: give the token that they should have")]
    Unnamed,

    /// Two files are not those of one embedding for both of SDXL's text encoders.
    #[error("these are not the two files of one embedding for SDXL: {reason}")]
    NotAPair {
        /// What does not fit.
        reason: String,
    },

    /// The embedding cannot be written in the layout that was asked for.
    #[error("the embedding {token} cannot be written as {layout}: {reason}{}", if *name { "; choose another token" } else { "" })]
    Unwritable {
        /// The token, escaped.
        token: String,
        /// The layout's name.
        layout: &'static str,
        /// Why.
        reason: String,
        /// Whether under another name it could be.
        name: bool,
    },
}

impl Refusal {
    /// [`Refusal::Damaged`] in few words.
    pub(super) fn damaged(place: impl Into<String>, reason: impl Into<String>) -> Self {
        Refusal::Damaged { place: place.into(), reason: reason.into() }
    }

    /// [`Refusal::Ambiguous`] in few words.
    pub(super) fn ambiguous(place: impl Into<String>, reason: impl Into<String>) -> Self {
        Refusal::Ambiguous { place: place.into(), reason: reason.into() }
    }

    /// [`Refusal::Unsupported`] in few words.
    pub(super) fn unsupported(place: impl Into<String>, reason: impl Into<String>) -> Self {
        Refusal::Unsupported { place: place.into(), reason: reason.into() }
    }

    /// [`Refusal::TooMuch`] in few words.
    pub(super) fn too_much(what: impl Into<String>, found: u64, limit: u64) -> Self {
        Refusal::TooMuch { what: what.into(), found, limit }
    }

    /// [`Refusal::Cut`] in few words.
    pub(super) fn cut(what: impl Into<String>) -> Self {
        Refusal::Cut { what: what.into() }
    }
}

/// A text from a file, made fit for a message: quoted, escaped, and not longer than a line.
pub fn shown(text: &str) -> String {
    const LONGEST: usize = 60;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}...", quoted(text.get(..end).unwrap_or_default())),
        None => quoted(text),
    }
}

/// A library's message about a file, which may repeat any part of the file: escaped and shortened.
pub(super) fn brief(error: impl std::fmt::Display) -> String {
    brief_line(&error.to_string())
}

/// Names in a row, the first few of them.
fn listed(names: &[String]) -> String {
    const MOST: usize = 8;
    let more = names.len().saturating_sub(MOST);
    let first = names.iter().take(MOST).cloned().collect::<Vec<_>>().join(", ");
    if more == 0 { first } else { format!("{first} and {more} more") }
}
