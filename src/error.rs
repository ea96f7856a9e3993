//! Everything that can go wrong, one variant per situation a user can be in.
//!
//! `Display` says what happened and what to do about it, on one line where that is possible; front ends print it once
//! and turn [`Error::exit_code`] into the process status. Engine code never logs an error that it also returns.

use std::path::PathBuf;

#[cfg(feature = "native")]
use crate::base::files::{ReadError, WriteError};

/// Shorthand for results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A situation that stops a job, in the words of the person who started it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Options that contradict each other or are out of range.
    #[error("{0}")]
    Usage(String),

    /// No picture was found where pictures were expected.
    #[error("no pictures in {place}: give 3 to 5 PNG, JPEG or WebP files, or a folder that holds them")]
    NoPictures {
        /// The folder or the list of paths that was searched.
        place: String,
    },

    /// A picture file cannot be used.
    #[error("picture {file}: {reason}")]
    BadPicture {
        /// The file's name as given.
        file: String,
        /// What is wrong with it and what to do.
        reason: String,
    },

    /// The placeholder token is already a word of the model or of another embedding.
    #[error("the token {token:?} is taken: {reason}; choose another, such as {suggestion:?}")]
    TokenTaken {
        /// The token asked for.
        token: String,
        /// By what it is taken.
        reason: String,
        /// A free token.
        suggestion: String,
    },

    /// The placeholder token cannot be a token at all.
    #[error("the token {token:?} cannot be used: {reason}")]
    BadToken {
        /// The token asked for.
        token: String,
        /// Why.
        reason: String,
    },

    /// The initialiser word or phrase has more tokens than there are vectors to start.
    #[error(
        "the initialiser {phrase:?} is {tokens} tokens ({pieces}) but there {} to start: \
         give `--vectors {tokens}`, or a shorter word",
        if *vectors == 1 { "is 1 vector".to_owned() } else { format!("are {vectors} vectors") }
    )]
    InitialiserTooLong {
        /// The word or phrase.
        phrase: String,
        /// How many tokens it has in this model's vocabulary.
        tokens: usize,
        /// Those tokens, spelled.
        pieces: String,
        /// How many vectors there are.
        vectors: usize,
    },

    /// The model folder lacks a part or a file.
    #[error("the model {model} has no {part}: expected {expected}")]
    ModelPartMissing {
        /// Where the model was looked for.
        model: String,
        /// The part: `U-Net`, `text encoder`, ...
        part: String,
        /// The file or files that were looked for.
        expected: String,
    },

    /// A configuration file does not describe a model that this crate can run.
    #[error("{file}: {reason}")]
    BadConfig {
        /// The JSON file.
        file: String,
        /// The field and the problem.
        reason: String,
    },

    /// Weights are missing, left over or of the wrong shape. Every one of them is listed.
    #[error("{file} does not fit its configuration:{}", list(problems))]
    BadWeights {
        /// The safetensors file.
        file: String,
        /// One line for each weight.
        problems: Vec<String>,
    },

    /// A file is not what it should be (not safetensors, cut off, not UTF-8, ...).
    #[error("{file}: {reason}")]
    BadFile {
        /// The file.
        file: String,
        /// What is wrong and what to do.
        reason: String,
    },

    /// What was asked for could not be found, fetched or verified.
    #[error(transparent)]
    Source(#[from] crate::source::Problem),

    /// An embedding does not fit the model.
    #[error(
        "{file} was learned for {family} (vectors {width} wide), this model is {} ({expected} wide): \
         use it with a model of its own kind (--model)",
        crate::embedding::Embedding::family(*expected)
    )]
    WrongWidth {
        /// The embedding's file.
        file: String,
        /// Its width.
        width: usize,
        /// The model family which that width belongs to.
        family: String,
        /// The model's width.
        expected: usize,
    },

    /// A run cannot go on, because it would not be the same run.
    #[error("the run that is at step {step} cannot go on with other inputs than it began with:{}", list(changes))]
    Changed {
        /// The step that it had reached.
        step: u32,
        /// One line for each input that is not what it was.
        changes: Vec<String>,
    },

    /// Training went wrong numerically.
    #[error("training stopped at step {step}: {reason}")]
    Numeric {
        /// The optimiser step.
        step: u32,
        /// What was seen, and what to try.
        reason: String,
    },

    /// No GPU that can run the engine.
    #[error("no usable GPU: {reason}")]
    NoGpu {
        /// Why, and what to do.
        reason: String,
    },

    /// The GPU failed while working.
    #[error("the GPU failed during {during}: {reason}")]
    Gpu {
        /// The phase.
        during: String,
        /// The driver's words.
        reason: String,
    },

    /// There is less memory than the work needs.
    #[error("not enough memory: this needs {need}, and {have}; {advice}")]
    TooLittleMemory {
        /// What is needed.
        need: String,
        /// What there is.
        have: String,
        /// What to change.
        advice: String,
    },

    /// The GPU went away while working: the driver reset it, the machine slept, the driver was updated.
    #[error(
        "the GPU was lost during {during} ({reason}): give the same command again to go on; if it happens again, a \
         smaller --batch-size keeps each piece of work shorter, and --device cpu does without"
    )]
    GpuLost {
        /// The phase.
        during: String,
        /// The driver's words.
        reason: String,
    },

    /// The GPU has too little memory.
    #[error(
        "the GPU's memory is full ({reason}): close other programs that use it, or try --batch-size 1 (with \
         --gradient-accumulation to make up for it), --checkpointing on, or a smaller --resolution"
    )]
    GpuMemory {
        /// The driver's words.
        reason: String,
    },

    /// A file or folder cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The path.
        path: PathBuf,
        /// The system's words.
        source: std::io::Error,
    },

    /// A file or folder cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The path.
        path: PathBuf,
        /// The system's words.
        source: std::io::Error,
    },

    /// What was learned could not be written where it belongs.
    #[error(
        "cannot write {} ({bytes} bytes): {source}. {}",
        path.display(),
        rescued.as_ref().map_or(
            "The word is lost: neither there nor in the system's folder for temporary files could it be written".to_owned(),
            |at| format!(
                "The word and the state of the run are in {} instead: make room, copy them from there to {}, and give the \
                 same command again to go on",
                at.display(),
                path.parent().map_or_else(String::new, |folder| folder.display().to_string()),
            ),
        )
    )]
    NotKept {
        /// Where the word belongs.
        path: PathBuf,
        /// How many bytes it is.
        bytes: usize,
        /// The system's words.
        source: std::io::Error,
        /// The folder where it was written instead.
        rescued: Option<PathBuf>,
    },

    /// Another run works in the same folder.
    #[error("{} is in use by another run ({holder}): wait for it, or give another --out", folder.display())]
    Held {
        /// The folder.
        folder: PathBuf,
        /// Who works there, and since when.
        holder: String,
    },

    /// The user or the system asked to stop; what there was has been saved.
    #[error("interrupted")]
    Interrupted {
        /// The number of the signal: 2 for Ctrl-C, 15 for a request to terminate, 1 if the terminal went away.
        signal: u8,
    },

    /// A broken invariant: our fault.
    #[error("internal error: {0} (please report this)")]
    Internal(String),
}

/// One indented line for each entry.
fn list(lines: &[String]) -> String {
    lines.iter().map(|line| format!("\n  {line}")).collect()
}

/// Exit codes and their meaning, as `--help` prints them.
pub const EXIT_CODES: &[(u8, &str)] = &[
    (0, "done"),
    (1, "internal error"),
    (2, "usage: an option, a token or a combination that cannot be"),
    (3, "bad input: a picture, model, embedding or configuration file"),
    (4, "training became numerically unstable; the last good vector was saved"),
    (5, "no usable GPU, or the GPU failed"),
    (6, "network: something could not be fetched, or is not what it should be; what had come is kept"),
    (7, "a file could not be read or written, or another run works in the folder"),
    (8, "not enough memory, found out before the work or during it"),
    (129, "the terminal went away (SIGHUP); what there was has been saved"),
    (130, "interrupted (Ctrl-C); what there was has been saved"),
    (143, "asked to end (SIGTERM); what there was has been saved"),
];

impl Error {
    /// The process status that a front end ends with: see [`EXIT_CODES`].
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::Internal(_) => 1,
            Error::Usage(_)
            | Error::TokenTaken { .. }
            | Error::BadToken { .. }
            | Error::InitialiserTooLong { .. }
            | Error::Changed { .. } => 2,
            Error::NoPictures { .. }
            | Error::BadPicture { .. }
            | Error::ModelPartMissing { .. }
            | Error::BadConfig { .. }
            | Error::BadWeights { .. }
            | Error::BadFile { .. }
            | Error::WrongWidth { .. } => 3,
            Error::Numeric { .. } => 4,
            Error::NoGpu { .. } | Error::Gpu { .. } | Error::GpuLost { .. } | Error::GpuMemory { .. } => 5,
            Error::Read { .. } | Error::Write { .. } | Error::NotKept { .. } | Error::Held { .. } => 7,
            Error::TooLittleMemory { .. } => 8,
            Error::Source(problem) => problem.exit_code(),
            Error::Interrupted { signal } => 128 + signal,
        }
    }
}

#[cfg(feature = "native")]
impl From<WriteError> for Error {
    fn from(error: WriteError) -> Self {
        Error::Write { path: error.path, source: error.source }
    }
}

#[cfg(feature = "native")]
impl From<ReadError> for Error {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Failed { path, source } => Error::Read { path, source },
            ReadError::Unusable { path, reason } => Error::BadFile { file: path.display().to_string(), reason },
        }
    }
}
