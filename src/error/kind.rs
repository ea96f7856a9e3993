//! The kinds of errors: what programs decide on.

/// What kind of situation an [`Error`](super::Error) is: what a program decides on, where `Display` is for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A broken invariant: our fault.
    Internal,
    /// What was asked for is invalid: an option, a token, or a combination of them.
    Usage,
    /// A picture, model, embedding or configuration file cannot be used.
    Input,
    /// Numbers became NaN or infinite, in training or in a picture.
    Numeric,
    /// There is no usable GPU, or it failed.
    Gpu,
    /// Something could not be fetched, or is not what it should be.
    Network,
    /// A file could not be read or written, or another run is using the folder.
    Disk,
    /// There is no room for a file.
    DiskFull,
    /// There is less memory than the work needs.
    Memory,
    /// Some of what was asked for was done, and some was not.
    SomeFailed,
    /// Someone asked to stop.
    Interrupted,
}

impl Kind {
    /// The kind of a file operation that failed.
    pub(crate) fn of_file(source: &std::io::Error) -> Self {
        use std::io::ErrorKind::{QuotaExceeded, StorageFull};
        if matches!(source.kind(), StorageFull | QuotaExceeded) { Kind::DiskFull } else { Kind::Disk }
    }
}
