//! What a file turns out to hold.

use std::collections::BTreeMap;

use super::Embedding;
use super::pti::NAMES_FILE;
use super::refusal::{Refusal, shown};

/// The embeddings of a file.
#[derive(Debug, Clone, PartialEq)]
pub enum Reading {
    /// One, as nearly always.
    One(FileEmbedding),
    /// Several, at least two: the user has to say which.
    Several(Vec<FileEmbedding>),
}

/// An embedding as its file has it.
#[derive(Debug, Clone, PartialEq)]
pub struct FileEmbedding {
    /// What it is called, if the file or its name says so. Free text: never a path, and must be checked before it is
    /// used.
    pub token: Option<String>,
    /// Where the name comes from.
    pub named_by: NamedBy,
    /// Its vectors: for one text encoder, or for two (SDXL).
    pub encoders: Vec<Vectors>,
    /// How they are laid out.
    pub format: Format,
    /// In what kind of file.
    pub container: Container,
    /// `steps`, `base-model`, `checkpoint-hash` (of the file of that model, as A1111 and kohya have it), and our own keys
    /// without their prefix.
    pub metadata: BTreeMap<String, String>,
    /// What is worth telling the user.
    pub notes: Vec<Note>,
}

/// Vectors for one text encoder.
#[derive(Debug, Clone, PartialEq)]
pub struct Vectors {
    /// Which one.
    pub encoder: Encoder,
    /// Width of a vector.
    pub width: usize,
    /// The vectors, one after the other: `[K, width]`. Those that were read are all finite.
    pub rows: Vec<f32>,
}

impl Vectors {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.rows.len() / self.width.max(1)
    }

    /// The model family that they belong to.
    pub fn family(&self) -> &'static str {
        match (self.encoder, self.width) {
            (Encoder::ClipL, 768) => "SDXL's first text encoder",
            (Encoder::ClipG, 1280) => "SDXL's second text encoder",
            (_, width) => Embedding::family(&[width]),
        }
    }
}

/// The text encoder that vectors are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoder {
    /// The model's only one, or one that the file does not name.
    Unnamed,
    /// SDXL's first, OpenAI CLIP ViT-L.
    ClipL,
    /// SDXL's second, OpenCLIP ViT-bigG.
    ClipG,
}

impl Encoder {
    /// As files call it.
    pub fn name(self) -> &'static str {
        match self {
            Encoder::Unnamed => "text encoder",
            Encoder::ClipL => "clip_l",
            Encoder::ClipG => "clip_g",
        }
    }
}

/// Where an embedding's name comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NamedBy {
    /// The key of its tensor.
    Key,
    /// A field of the file that holds a name.
    Field,
    /// The file's name, without folder and extension.
    FileName,
    /// It has no name yet.
    Nobody,
}

/// The layout of an embedding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One tensor whose key is the token.
    Diffusers,
    /// A dict with `string_to_param`.
    A1111,
    /// The same as a `ParameterDict`, by the first authors' code.
    CompVis,
    /// JSON in a picture's text.
    A1111Text,
    /// JSON in a picture's pixels.
    A1111Pixels,
    /// One tensor `emb_params`; also invoke-training.
    Kohya,
    /// One tensor `emp_params`.
    OneTrainer,
    /// `clip_l` and `clip_g`.
    Sdxl,
    /// `text_encoders_0` and `text_encoders_1`.
    Replicate,
    /// diffusers' two files for SDXL: in each one tensor whose key is the token.
    Pair,
    /// A tensor and nothing else.
    Raw,
}

impl std::fmt::Display for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Format::Diffusers => "diffusers",
            Format::A1111 => "A1111",
            Format::CompVis => "CompVis",
            Format::A1111Text => "A1111 picture (text)",
            Format::A1111Pixels => "A1111 picture (pixels)",
            Format::Kohya => "kohya",
            Format::OneTrainer => "OneTrainer",
            Format::Sdxl => "SDXL",
            Format::Replicate => "Replicate",
            Format::Pair => "diffusers' two files",
            Format::Raw => "raw tensor",
        })
    }
}

/// The kind of file around an embedding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Container {
    /// A safetensors file.
    Safetensors,
    /// A zip file by `torch.save`.
    Torch,
    /// The stream that torch wrote before 1.6.
    TorchLegacy,
    /// A PNG picture, by A1111.
    Png,
}

impl std::fmt::Display for Container {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Container::Safetensors => "safetensors",
            Container::Torch => "PyTorch",
            Container::TorchLegacy => "PyTorch before 1.6",
            Container::Png => "PNG",
        })
    }
}

/// Something about a file that is no reason to refuse it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Note {
    /// The file's extension promises another kind of file.
    Extension {
        /// The extension.
        says: String,
        /// What the file is.
        is: Container,
    },
    /// A zip file in which no record has a checksum.
    NoChecksum,
    /// A record that no embedding needs; A1111 refuses such files.
    UnknownRecord(String),
    /// A tensor or key that was left out.
    Ignored(String),
    /// What stands in a dict under something that is not a text.
    NotText(String),
    /// As many more were left out.
    MoreIgnored(usize),
    /// The vectors were not at the top of what was saved, but inside of these keys.
    Nested(Vec<String>),
    /// The file has the vectors as this many numbered tokens.
    Joined(usize),
    /// Another file is named as the other of two, and does not belong to this one.
    NotTheOther {
        /// Its name.
        name: String,
        /// Why.
        reason: String,
    },
    /// It is called as diffusers calls the second of two files, and the first, of this name, is not beside it.
    WithoutFirst(String),
    /// Vectors of a file that the names beside it leave out, by their numbers.
    NotNamed(Vec<usize>),
    /// Values so large that the number type may be wrong.
    Huge {
        /// The tensor's key.
        name: String,
        /// The largest absolute value.
        largest: f32,
    },
}

/// How much of one kind is said: as much as anybody reads.
const MOST: usize = 5;

impl std::fmt::Display for Note {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Note::Extension { says, is } => {
                write!(f, "its name ends in .{} but it is a {is} file", says.escape_debug())
            }
            Note::NoChecksum => f.write_str("it has no checksums, so damage cannot be noticed"),
            Note::UnknownRecord(name) => write!(f, "the record {} is not used", shown(name)),
            Note::Ignored(name) => write!(f, "{} is not used", shown(name)),
            Note::NotText(key) => write!(f, "what stands under {key} is not used: embeddings stand under their names"),
            Note::MoreIgnored(count) => write!(f, "nor are {count} others"),
            Note::Nested(keys) => {
                let keys: Vec<String> = keys.iter().map(|key| shown(key)).collect();
                write!(f, "its vectors lie further inside, at {}", keys.join(", "))
            }
            Note::Joined(count) => write!(f, "the file has it as {count} numbered tokens, which are used as one"),
            Note::NotTheOther { name, reason } => write!(f, "{} beside it is not used: {reason}", shown(name)),
            Note::WithoutFirst(name) => {
                write!(f, "it is the second of diffusers' two files, and the first, {}, is not beside it", shown(name))
            }
            Note::NotNamed(numbers) => {
                let shown =
                    numbers.iter().take(MOST).map(|number| format!("<s{number}>")).collect::<Vec<_>>().join(", ");
                let more = numbers.len().saturating_sub(MOST);
                let more = if more > 0 { format!(" and {more} more") } else { String::new() };
                write!(f, "{NAMES_FILE} has no name for {shown}{more} of the file, which are not used")
            }
            Note::Huge { name, largest } => {
                write!(f, "{} has values up to {largest:e}: perhaps its number type is wrong", shown(name))
            }
        }
    }
}

impl Note {
    /// Notes on what was left out of a file, as many as anybody reads.
    pub(super) fn ignored<'k>(keys: impl Iterator<Item = &'k str>) -> Vec<Self> {
        Self::few(keys.map(|key| Note::Ignored(key.to_owned())).collect())
    }

    /// The same of any such notes.
    pub(super) fn few(mut notes: Vec<Self>) -> Vec<Self> {
        let more = notes.len().saturating_sub(MOST);
        notes.truncate(MOST);
        notes.extend((more > 0).then_some(Note::MoreIgnored(more)));
        notes
    }
}

impl Reading {
    /// The embedding that is called `token`, or the only one.
    ///
    /// # Errors
    /// [`Refusal::Several`] if there are several and none is asked for, [`Refusal::NoSuchEmbedding`] if none of several
    /// is called so.
    pub fn choose(self, token: Option<&str>) -> Result<FileEmbedding, Refusal> {
        let words = match self {
            Reading::One(word) => return Ok(word),
            Reading::Several(words) => words,
        };
        let names = || words.iter().map(|word| shown(word.token.as_deref().unwrap_or_default())).collect();
        let Some(token) = token else { return Err(Refusal::Several { names: names() }) };
        match words.iter().position(|word| word.token.as_deref() == Some(token)) {
            Some(index) => words.into_iter().nth(index).ok_or(Refusal::Unnamed),
            None => Err(Refusal::NoSuchEmbedding { asked: shown(token), names: names() }),
        }
    }

    /// Every embedding there is.
    pub fn embeddings(&self) -> &[FileEmbedding] {
        match self {
            Reading::One(word) => std::slice::from_ref(word),
            Reading::Several(words) => words,
        }
    }

    /// The same with something more to be told of each.
    #[must_use]
    pub fn with_note(mut self, note: &Note) -> Self {
        self.embeddings_mut().iter_mut().for_each(|word| word.notes.push(note.clone()));
        self
    }

    /// The same, to be changed.
    pub(super) fn embeddings_mut(&mut self) -> &mut [FileEmbedding] {
        match self {
            Reading::One(word) => std::slice::from_mut(word),
            Reading::Several(words) => words,
        }
    }
}

impl FileEmbedding {
    /// Widths of a vector for each text encoder.
    pub fn widths(&self) -> Vec<usize> {
        self.encoders.iter().map(|vectors| vectors.width).collect()
    }

    /// The family of models that it is for.
    pub fn family(&self) -> &'static str {
        match self.encoders.as_slice() {
            [only] => only.family(),
            _ => Embedding::family(&self.widths()),
        }
    }

    /// The embedding; `token` renames it, and names it if the file does not. Which models can use it is known where there is
    /// one.
    ///
    /// # Errors
    /// [`Refusal::Unnamed`] if nothing says what it is called.
    pub fn into_embedding(self, token: Option<&str>) -> Result<Embedding, Refusal> {
        let token = token.map(str::to_owned).or(self.token).ok_or(Refusal::Unnamed)?;
        Ok(Embedding { token, encoders: self.encoders, metadata: self.metadata })
    }
}
