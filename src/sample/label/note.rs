//! What of a picture's settings is not taken up, or is otherwise here.

use std::collections::BTreeMap;
use std::fmt;

use crate::base::text::quoted;
use crate::config::SamplerKind;
use crate::setting::Setting;

/// Something that a picture says of how it was made, and that is not so when it is made again here.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum LikeNote {
    /// Another program made it, whose noise is drawn otherwise.
    OtherProgram {
        /// What it is called; empty if it does not say so.
        program: String,
    },
    /// Its sampler is not here.
    Sampler {
        /// As the picture calls it.
        name: String,
        /// Which is used instead.
        used: SamplerKind,
    },
    /// Its spacing of noise levels is not here.
    Spacing {
        /// As the picture calls it.
        name: String,
    },
    /// A setting has a value that it cannot have.
    Value {
        /// As the picture calls it.
        key: String,
        /// What it says.
        value: String,
    },
    /// A setting has a value that this model cannot have.
    Fitted {
        /// As other programs call it.
        key: String,
        /// What the picture says.
        value: String,
        /// What is used instead.
        used: String,
    },
    /// Its noise came from a file.
    GivenNoise,
    /// Something was done with it, or took part in it, that is not done here.
    NotDone {
        /// What that is.
        what: NotDone,
        /// What the picture says of it, shortened.
        said: String,
    },
    /// Other settings, which are not taken up either.
    Others {
        /// What it says of them, shortened.
        said: String,
    },
    /// A workflow of ComfyUI stands beside the settings, and is not read.
    Workflow,
    /// Another model made it.
    Model {
        /// What that is called, or how it is told from others.
        model: String,
        /// The one that is used.
        used: String,
    },
    /// It was made with an embedding that is not at hand.
    NoEmbedding {
        /// Its name.
        token: String,
        /// The beginning of its file's SHA-256.
        hash: String,
    },
    /// An embedding that is at hand by its name has another file.
    OtherEmbedding {
        /// Its name.
        token: String,
        /// The beginning of the SHA-256 of the file that the picture was made with.
        hash: String,
        /// The same of the file that is at hand.
        used: String,
    },
    /// An embedding is at hand under another name, which the prompt does not have.
    RenamedEmbedding {
        /// Its name in the prompt.
        token: String,
        /// The name that it is at hand by.
        used: String,
    },
}

/// What other programs do with a picture, and this one does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotDone {
    /// A second pass in more pixels.
    HiresFix,
    /// A start from a picture instead of noise.
    FromPicture,
    /// LoRAs.
    Lora,
    /// Hypernetworks.
    Hypernetwork,
    /// ControlNet.
    ControlNet,
    /// Noise of two seeds.
    VariationSeed,
    /// A second model for the last steps.
    Refiner,
    /// Another autoencoder.
    Autoencoder,
    /// Faces made again.
    Faces,
}

impl NotDone {
    /// What a key of `parameters` is about.
    pub(super) fn of(key: &str) -> Option<Self> {
        let begins = |start: &str| key.get(..start.len()).is_some_and(|head| head.eq_ignore_ascii_case(start));
        Some(match key {
            _ if begins("Hires") || begins("First pass") => Self::HiresFix,
            _ if begins("Denoising strength") || begins("Mask ") || begins("Init image") => Self::FromPicture,
            _ if begins("Lora") || begins("AddNet") => Self::Lora,
            _ if begins("Hypernet") => Self::Hypernetwork,
            _ if begins("ControlNet") => Self::ControlNet,
            _ if begins("Variation seed") || begins("Seed resize") => Self::VariationSeed,
            _ if begins("Refiner") => Self::Refiner,
            _ if begins("VAE") => Self::Autoencoder,
            _ if begins("Face restoration") || begins("ADetailer") => Self::Faces,
            _ => return None,
        })
    }

    const fn code(self) -> &'static str {
        match self {
            Self::HiresFix => "hires-fix",
            Self::FromPicture => "from-picture",
            Self::Lora => "lora",
            Self::Hypernetwork => "hypernetwork",
            Self::ControlNet => "controlnet",
            Self::VariationSeed => "variation-seed",
            Self::Refiner => "refiner",
            Self::Autoencoder => "vae",
            Self::Faces => "faces",
        }
    }

    const fn means(self) -> &'static str {
        match self {
            Self::HiresFix => "it was made larger in a second pass (hires fix), which is not done here",
            Self::FromPicture => "it was made from a picture, or changed afterwards, which is not done here",
            Self::Lora => "it was made with LoRAs, which this program does not have",
            Self::Hypernetwork => "it was made with a hypernetwork, which this program does not have",
            Self::ControlNet => "it was made with ControlNet, which this program does not have",
            Self::VariationSeed => "its noise is that of two seeds or of another size, and here it is that of one seed",
            Self::Refiner => "a second model made its last steps, which is not done here",
            Self::Autoencoder => "it was made with an autoencoder of its own; here it is the model's",
            Self::Faces => "its faces were made again by another model, which is not done here",
        }
    }
}

impl LikeNote {
    /// Which situation it is, for who says it in another way. Stable, so that it can be relied on.
    pub fn code(&self) -> &'static str {
        match self {
            Self::OtherProgram { .. } => "other-program",
            Self::Sampler { .. } => "sampler",
            Self::Spacing { .. } => "spacing",
            Self::Value { .. } => "value",
            Self::Fitted { .. } => "fitted",
            Self::GivenNoise => "given-noise",
            Self::NotDone { what, .. } => what.code(),
            Self::Others { .. } => "others",
            Self::Workflow => "workflow",
            Self::Model { .. } => "model",
            Self::NoEmbedding { .. } => "no-embedding",
            Self::OtherEmbedding { .. } => "other-embedding",
            Self::RenamedEmbedding { .. } => "renamed-embedding",
        }
    }

    /// What it is about, by name.
    pub fn parts(&self) -> BTreeMap<&'static str, String> {
        let parts: &[(&'static str, &str)] = match self {
            Self::OtherProgram { program } => &[("program", program)],
            Self::Sampler { name, used } => &[("name", name), ("used", used.label())],
            Self::Spacing { name } => &[("name", name)],
            Self::Value { key, value } => &[("key", key), ("value", value)],
            Self::Fitted { key, value, used } => &[("key", key), ("value", value), ("used", used)],
            Self::NotDone { said, .. } | Self::Others { said } => &[("said", said)],
            Self::GivenNoise | Self::Workflow => &[],
            Self::Model { model, used } => &[("model", model), ("used", used)],
            Self::NoEmbedding { token, hash } => &[("token", token), ("hash", hash)],
            Self::OtherEmbedding { token, hash, used } => &[("token", token), ("hash", hash), ("used", used)],
            Self::RenamedEmbedding { token, used } => &[("token", token), ("used", used)],
        };
        parts.iter().map(|(name, value)| (*name, (*value).to_owned())).collect()
    }
}

/// In a sentence about "the picture".
impl fmt::Display for LikeNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherProgram { program } => {
                let name = if program.is_empty() { String::new() } else { format!(" ({program})") };
                write!(
                    f,
                    "it was made by another program{name}, which draws its noise otherwise: with the same settings, this will be \
                     another picture"
                )
            }
            Self::Sampler { name, used } => {
                let used = used.label();
                write!(f, "its {} {} is not here: {used} is used instead", Setting::Sampler, quoted(name))
            }
            Self::Spacing { name } => {
                write!(f, "its spacing of noise levels {} is not here: the usual one is used instead", quoted(name))
            }
            Self::Value { key, value } => {
                write!(f, "it says {key}: {}, which cannot be: the default is used instead", quoted(value))
            }
            Self::Fitted { key, value, used } => {
                write!(f, "it says {key}: {value}, which this {} cannot have: {used} is used instead", Setting::Model)
            }
            Self::GivenNoise => {
                write!(f, "its noise came from a file, so it has no seed: {} decides", Setting::Seed)
            }
            Self::NotDone { what, said } => write!(f, "{} ({said})", what.means()),
            Self::Others { said } => write!(f, "it says more that is not taken up: {said}"),
            Self::Workflow => f.write_str("it also holds a workflow of ComfyUI, which is not read"),
            Self::Model { model, used } => {
                write!(f, "it was made with another {}, {}; this is {}", Setting::Model, quoted(model), quoted(used))
            }
            Self::NoEmbedding { token, hash } => {
                let token = quoted(token);
                let hash = if hash.is_empty() { String::new() } else { format!(" (file {hash})") };
                write!(f, "it was made with the embedding {token}{hash}: give its file with {}", Setting::Embedding)
            }
            Self::OtherEmbedding { token, hash, used } => {
                write!(f, "it was made with another file of the embedding {} ({hash}; this is {used})", quoted(token))
            }
            Self::RenamedEmbedding { token, used } => {
                let (token, used) = (quoted(token), quoted(used));
                write!(
                    f,
                    "the embedding that is called {used} here is {token} in its prompt: give it that name, with =NAME behind it"
                )
            }
        }
    }
}
