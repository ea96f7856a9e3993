//! Everything that can go wrong, one variant per situation a user can be in.
//!
//! `Display` says what happened and what to do about it, on one line where that is possible, and names settings by
//! their keys; front ends print it once, in their own words ([`Error::worded`]). Programs decide on [`Error::kind`],
//! never on the words; which status a process ends with is the front end's affair. Engine code never logs an error that
//! it also returns.

mod kind;
mod phrases;
mod told;

use std::path::PathBuf;

pub use kind::Kind;
use phrases::{each, list, otherwise, short, short_of_memory};
pub use told::Told;

use crate::base::text::quoted;
use crate::config::WordSettings;
use crate::embedding::Embedding;
use crate::setting::{Advice, Setting, Wording, advised, worded};

#[cfg(feature = "native")]
use crate::base::files::{ReadError, WriteError};

/// Shorthand for results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A situation that stops a job, in the words of the person who started it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// What was asked for contradicts itself, or cannot be done.
    #[error("{0}")]
    Usage(String),

    /// A setting cannot have the value that it was given.
    #[error("{setting} {given}: it must be {rule}")]
    OutOfRange {
        /// Which setting.
        setting: Setting,
        /// Its value.
        given: String,
        /// What it must be: `at least 1`.
        rule: String,
    },

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
    #[error("the token {} is taken: {reason}; {}", quoted(token), otherwise(suggestion, instead))]
    TokenTaken {
        /// The token asked for.
        token: String,
        /// By what it is taken.
        reason: String,
        /// A free token.
        suggestion: String,
        /// What to type for that where the person is ([`Error::called_otherwise`]).
        instead: Option<String>,
    },

    /// The placeholder token cannot be a token at all.
    #[error("the token {} cannot be used: {reason}; {}", quoted(token), otherwise(suggestion, instead))]
    BadToken {
        /// The token asked for.
        token: String,
        /// Why.
        reason: String,
        /// One that can be used.
        suggestion: String,
        /// What to type for that where the person is ([`Error::called_otherwise`]).
        instead: Option<String>,
    },

    /// The initializer word or phrase has more tokens than there are vectors to start.
    #[error(
        "the initializer {} is {tokens} tokens ({pieces}) but there {} to start: \
         set {} {tokens}, or choose a shorter word",
        quoted(phrase),
        if *vectors == 1 { "is 1 vector".to_owned() } else { format!("are {vectors} vectors") },
        of.vectors,
    )]
    InitializerTooLong {
        /// The word or phrase.
        phrase: String,
        /// How many tokens it has in this model's vocabulary.
        tokens: usize,
        /// Those tokens, spelled.
        pieces: String,
        /// How many vectors there are.
        vectors: usize,
        /// Which word it is for.
        of: WordSettings,
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

    /// Weights are missing, left over or of the wrong shape.
    #[error("{file} does not fit its configuration:{}", list(problems))]
    BadWeights {
        /// The safetensors file.
        file: String,
        /// One line for each of the first weights of each kind, and how many more there are.
        problems: Vec<String>,
    },

    /// Weights have values that nothing can be computed with.
    #[error(
        "{file} cannot be used: values are NaN or infinite in {} of its weights:{}\nit was damaged, or saved after a training \
         that had gone wrong: get another copy",
        weights.len(),
        list(&short(weights))
    )]
    WeightsNotFinite {
        /// The file or files.
        file: String,
        /// One line for each weight: its name, and how many of its values.
        weights: Vec<String>,
    },

    /// A file is not what it should be (not safetensors, cut off, not UTF-8, ...).
    #[error("{file}: {reason}")]
    BadFile {
        /// The file.
        file: String,
        /// What is wrong and what to do.
        reason: String,
    },

    /// A list of words has what cannot be learned.
    #[error("{file} cannot be used; nothing was begun. By the numbers of its words, from 0:{}", list(problems))]
    BadList {
        /// The file.
        file: String,
        /// One line for each problem, with the words that have it.
        problems: Vec<String>,
    },

    /// Of a list of words, some could not be learned.
    #[error("{failed} of {of} words failed; the same command tries them again, and leaves out what is finished")]
    SomeFailed {
        /// How many.
        failed: usize,
        /// Of how many.
        of: usize,
    },

    /// What was asked for could not be found, fetched or verified.
    #[error(transparent)]
    Source(#[from] crate::source::Problem),

    /// An embedding does not fit the model.
    #[error(
        "{file} was learned for {} (vectors {} wide), but this model is {} ({} wide): \
         use it with a model of its own kind{}",
        Embedding::family(widths),
        each(widths),
        Embedding::family(expected),
        each(expected),
        match widths.as_slice() {
            [one] if expected.len() > 1 && expected.contains(one) =>
                "; if it is one of the two files that diffusers writes for SDXL, give both",
            _ => "",
        },
    )]
    WrongWidth {
        /// The embedding's file.
        file: String,
        /// The widths of its vectors, one for each text encoder that they are for.
        widths: Vec<usize>,
        /// Those that the model's text encoders take.
        expected: Vec<usize>,
    },

    /// A run cannot be resumed, because it would not be the same run.
    #[error("cannot resume the run at step {step}: its inputs have changed:{}", list(changes))]
    Changed {
        /// The step that it had reached.
        step: u32,
        /// One line for each input that has changed.
        changes: Vec<String>,
    },

    /// A result is not made of finite numbers.
    #[error("{what} came out with NaN or infinite values: {reason}")]
    NotFinite {
        /// What was made.
        what: String,
        /// Why that may be, and what to try.
        reason: String,
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
    #[error("{}; {}", short_of_memory(need, have), advised(advice, None))]
    TooLittleMemory {
        /// What is needed.
        need: String,
        /// What there is.
        have: String,
        /// What to change.
        advice: Vec<Advice>,
    },

    /// The GPU went away while working: the driver reset it, the machine slept, the driver was updated.
    #[error(
        "the GPU was lost during {during} ({reason}): start again to resume; if it happens again, a smaller {} makes \
         each GPU submission shorter, and {} cpu avoids the GPU",
        Setting::BatchSize,
        Setting::Device
    )]
    GpuLost {
        /// The phase.
        during: String,
        /// The driver's words.
        reason: String,
    },

    /// The GPU has too little memory.
    #[error(
        "the GPU's memory is full ({reason}): close other programs that use it, or try {} 1 (with {} to make up for it), \
         {} on, or a smaller {}",
        Setting::BatchSize,
        Setting::GradientAccumulation,
        Setting::Checkpointing,
        Setting::Resolution
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
            "The embedding is lost: it could be written neither there nor into the system's folder for temporary files"
                .to_owned(),
            |at| format!(
                "The embedding and the state of the run are in {} instead: make room, copy them from there to {}, and \
                 start the run again to resume it",
                at.display(),
                path.parent().map_or_else(String::new, |folder| folder.display().to_string()),
            ),
        )
    )]
    NotKept {
        /// Where the embedding belongs.
        path: PathBuf,
        /// How many bytes it is.
        bytes: usize,
        /// The system's words.
        source: std::io::Error,
        /// The folder where it was written instead.
        rescued: Option<PathBuf>,
    },

    /// Another run is using the same folder.
    #[error("{} is in use by another run ({holder}): wait for it, or choose another {}", folder.display(), Setting::Out)]
    Held {
        /// The folder.
        folder: PathBuf,
        /// Who is using it, and since when.
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

impl Error {
    /// What happened and what to do about it, with settings named as a front end names them; advice that cannot be
    /// followed there is left out.
    pub fn worded(&self, wording: Wording<'_>) -> String {
        match self {
            Error::TooLittleMemory { need, have, advice } => {
                format!("{}; {}", short_of_memory(need, have), advised(advice, Some(wording)))
            }
            error => worded(&error.to_string(), wording),
        }
    }

    /// As [`Error::worded`], line by line: only what is listed stands on a line of its own. A front end that shows text
    /// line by line cannot mistake an end of line in a file's name for one of ours.
    pub fn worded_lines(&self, wording: Wording<'_>) -> Vec<String> {
        let text = self.worded(wording);
        let listed = match self {
            Error::BadWeights { problems: lines, .. }
            | Error::BadList { problems: lines, .. }
            | Error::Changed { changes: lines, .. } => lines.clone(),
            Error::WeightsNotFinite { weights, .. } => short(weights),
            _ => Vec::new(),
        };
        let together = worded(&list(&listed), wording);
        let (head, tail) = match text.rsplit_once(&together) {
            Some((head, tail)) if !listed.is_empty() => (head, tail.trim_start_matches('\n')),
            _ => (text.as_str(), ""),
        };
        let listed = listed.iter().map(|line| format!("  {}", worded(line, wording)));
        let tail = (!tail.is_empty()).then(|| tail.to_owned());
        std::iter::once(head.to_owned()).chain(listed).chain(tail).collect()
    }

    /// The refusal of a name with what to type, where the person is, to choose the name that is suggested; any other error
    /// as it is.
    #[must_use]
    pub fn called_otherwise(mut self, typed: impl FnOnce(&str) -> String) -> Self {
        if let Error::TokenTaken { suggestion, instead, .. } | Error::BadToken { suggestion, instead, .. } = &mut self {
            *instead = Some(typed(suggestion));
        }
        self
    }

    /// The same error of a device, for another of those that were at work on it.
    #[must_use]
    pub fn of_device_again(&self) -> Self {
        match self {
            Error::GpuLost { during, reason } => Error::GpuLost { during: during.clone(), reason: reason.clone() },
            Error::Gpu { during, reason } => Error::Gpu { during: during.clone(), reason: reason.clone() },
            Error::GpuMemory { reason } => Error::GpuMemory { reason: reason.clone() },
            Error::Internal(reason) => Error::Internal(reason.clone()),
            other => Error::Internal(other.to_string()),
        }
    }

    /// What kind of situation this is.
    pub fn kind(&self) -> Kind {
        match self {
            Error::Internal(_) => Kind::Internal,
            Error::Usage(_)
            | Error::OutOfRange { .. }
            | Error::TokenTaken { .. }
            | Error::BadToken { .. }
            | Error::InitializerTooLong { .. }
            | Error::Changed { .. } => Kind::Usage,
            Error::SomeFailed { .. } => Kind::SomeFailed,
            Error::NoPictures { .. }
            | Error::BadPicture { .. }
            | Error::BadList { .. }
            | Error::ModelPartMissing { .. }
            | Error::BadConfig { .. }
            | Error::BadWeights { .. }
            | Error::WeightsNotFinite { .. }
            | Error::BadFile { .. }
            | Error::WrongWidth { .. } => Kind::Input,
            Error::Numeric { .. } | Error::NotFinite { .. } => Kind::Numeric,
            Error::NoGpu { .. } | Error::Gpu { .. } | Error::GpuLost { .. } | Error::GpuMemory { .. } => Kind::Gpu,
            Error::Read { source, .. } | Error::Write { source, .. } | Error::NotKept { source, .. } => {
                Kind::of_file(source)
            }
            Error::Held { .. } => Kind::Disk,
            Error::TooLittleMemory { .. } => Kind::Memory,
            Error::Source(problem) => problem.kind(),
            Error::Interrupted { .. } => Kind::Interrupted,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Problem;
    use std::io::ErrorKind;

    #[test]
    fn only_what_is_listed_begins_a_line() {
        let plain = |setting: Setting| Some(setting.key().to_owned());
        let bad = Error::BadWeights { file: "a\n  b".to_owned(), problems: vec!["x".to_owned(), "y\nz".to_owned()] };
        assert_eq!(bad.worded_lines(&plain), ["a\n  b does not fit its configuration:", "  x", "  y\nz"]);
        let numbers = Error::WeightsNotFinite { file: "a".to_owned(), weights: vec!["b".to_owned()] };
        let lines = numbers.worded_lines(&plain);
        assert_eq!((lines.len(), lines[1].as_str()), (3, "  b"));
        assert_eq!(lines.join("\n"), numbers.to_string());
        let one = Error::Usage("a\nb".to_owned());
        assert_eq!(one.worded_lines(&plain), ["a\nb"]);
    }

    #[test]
    fn a_full_disk_is_a_kind_of_its_own_wherever_it_is_noticed() {
        let errors = |kind: ErrorKind| {
            let (path, source) = (PathBuf::from("word"), || kind.into());
            [
                Error::Write { path: path.clone(), source: source() },
                Error::NotKept { path: path.clone(), bytes: 9, source: source(), rescued: None },
                Error::Source(Problem::Write { path, source: source() }),
            ]
        };
        for full in [ErrorKind::StorageFull, ErrorKind::QuotaExceeded] {
            assert!(errors(full).iter().all(|error| error.kind() == Kind::DiskFull), "{full}");
        }
        assert!(errors(ErrorKind::PermissionDenied).iter().all(|error| error.kind() == Kind::Disk));
        let announced = Problem::NoSpace { folder: PathBuf::from("hub"), needed: 2, free: 1 };
        assert_eq!(Error::Source(announced).kind(), Kind::DiskFull);
    }
}
