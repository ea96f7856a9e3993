//! What a user is warned of: the one list of codes.
//!
//! The rule for the whole program: what was given and is not used (an embedding, an option against a file's own statement, a
//! file beside another, a mark in a checkpoint, a part of a prompt), and what is done although it will probably disappoint, is
//! reported in one line as [`Event::Warning`](crate::event::Event::Warning), with a code from here for programs. What cannot be
//! done as asked at all is an error. A warning that appears whenever all is well is not read, so there is none.

use std::fmt;

use serde::{Serialize, Serializer};

macro_rules! codes {
    ($($(#[$doc:meta])+ $name:ident = $code:literal,)*) => {
        /// Why a user is warned. The code is stable, so that programs can rely on it; the sentence beside it is not.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum WarningCode {
            $($(#[$doc])+ #[doc = concat!("\n\nCode: `", $code, "`.")] $name,)*
        }

        impl WarningCode {
            /// Every code.
            pub const ALL: &[WarningCode] = &[$(WarningCode::$name,)*];

            /// As `--json` prints it.
            pub const fn code(self) -> &'static str {
                match self {
                    $(WarningCode::$name => $code,)*
                }
            }
        }
    };
}

codes! {
    // What is fetched.
    /// A download failed and is tried again.
    Retry = "retry",
    /// Another process is fetching the same file.
    Waiting = "waiting",
    /// The network does not answer; the copy in the cache is used.
    KeptCopy = "kept-copy",
    /// The cache cannot be used as it should.
    Cache = "cache",
    /// A repository has its weights in another precision than was looked for first.
    Precision = "precision",

    // Models and the machine.
    /// A word in a model's tokenizer has no vectors in its text encoder.
    ModelWord = "model-word",
    /// Something in a single-file model is not used, or is used otherwise than the file may mean it.
    Checkpoint = "checkpoint",
    /// Weights in a file are not used, or lie under another name than is looked for first.
    Weights = "weights",
    /// A model's noise schedule asks a sampler for something that is not done here.
    Scheduler = "scheduler",
    /// Memory is tight.
    Memory = "memory",
    /// Matrix products could not be benchmarked, so they are made in tiles of the default sizes.
    Tuning = "tuning",
    /// Matrix products in f16 did not pass their self-test on this GPU, so they are made in f32.
    HalfProducts = "half-products",

    // Embeddings.
    /// Something in an embedding's file is not used.
    EmbeddingFile = "embedding-file",
    /// A kept embedding cannot be used by its name, which the model has.
    KeptEmbedding = "kept-embedding",
    /// An embedding was learned on another model.
    OtherModel = "other-model",
    /// A kept embedding cannot be read.
    UnreadableEmbedding = "unreadable-word",
    /// A file among the kept embeddings is not named like one.
    NotAnEmbedding = "no-word",
    /// A format cannot hold all of the metadata.
    MetadataLeftOut = "metadata-left-out",

    // Prompts.
    /// The end of a prompt does not fit.
    PromptCut = "prompt-cut",
    /// An embedding was given and is in no prompt.
    UnusedEmbedding = "unused-embedding",
    /// Something in a prompt looks like the name of an embedding, and none is known by it.
    UnknownEmbedding = "unknown-embedding",
    /// Something in a prompt means more than text to other programs.
    PromptSyntax = "prompt-syntax",
    /// Something that a picture says of how it was made is not taken up.
    NotTakenUp = "not-taken-up",
    /// A seed was drawn because any was asked for.
    AnySeed = "any-seed",

    // Settings.
    /// A setting has no effect beside the others.
    NoEffect = "no-effect",
    /// Pictures are to have many more or many fewer pixels than those that the model was trained on.
    PictureSize = "picture-size",
    /// The run ends before the learning rate has reached its peak.
    PeakNotReached = "peak-not-reached",
    /// A variable of the environment has a name like those of this program, and is none of them.
    UnknownVariable = "unknown-variable",

    // What is learned from.
    /// Something in a folder is not read: files that are not pictures, folders with more of them.
    SkippedFiles = "skipped-files",
    /// A picture is read, although something speaks for damage.
    DamagedPicture = "damaged-picture",
    /// Files beside the pictures look like captions and belong to no picture.
    UnusedCaptions = "unused-captions",
    /// Masks belong to no picture.
    UnusedMasks = "unused-masks",
    /// In pictures the thing could not be told from what is behind it.
    UnsureMasks = "unsure-masks",
    /// Two pictures are the same, in another size or compression perhaps.
    SamePicture = "same-picture",
    /// Only some of the pictures have captions, so none are used.
    SomeCaptions = "some-captions",
    /// A caption has no room for the embedding, or does not name it.
    CaptionWithoutEmbedding = "caption-without-embedding",
    /// The prompt of the previews has no room for the embedding, or does not name it.
    PreviewWithoutEmbedding = "preview-without-embedding",
    /// There are fewer pictures than an embedding needs.
    FewPictures = "few-pictures",
    /// Pictures are smaller than what the model works at.
    SmallPictures = "small-pictures",
    /// Nothing is sharp in pictures.
    BlurredPictures = "blurred-pictures",

    // Learning.
    /// The rows have become much longer than those of the vocabulary.
    LongVectors = "long-vectors",
    /// A preview could not be made or written.
    NoPreview = "no-preview",
    /// The loss curve could not be written.
    NotDrawn = "not-drawn",
    /// A file of the run could not be written.
    NotSaved = "not-saved",
    /// What could not be written before has been written.
    SavedAgain = "saved-again",
    /// The run's log cannot be written.
    Log = "log",
    /// The run's folder cannot be locked, or was taken over from a run that is not heard of any more.
    NoLock = "no-lock",
    /// The run's folder has vanished.
    FolderGone = "folder-gone",
    /// The newest saved state is damaged; the one before it is used.
    DamagedState = "damaged-state",
    /// The GPU was lost; the run continues from its saved state.
    GpuLost = "gpu-lost",
    /// The state was saved by another version of this program.
    OtherVersion = "other-version",
    /// The state was saved on another device.
    OtherDevice = "other-device",
}

impl fmt::Display for WarningCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl Serialize for WarningCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_short_plain_and_given_once() {
        let mut codes: Vec<&str> = WarningCode::ALL.iter().map(|code| code.code()).collect();
        assert!(codes.iter().all(|code| code.chars().all(|c| c.is_ascii_lowercase() || c == '-')), "{codes:?}");
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), WarningCode::ALL.len());
    }
}
