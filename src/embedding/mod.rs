//! Embeddings as they are stored and exchanged: every format that programs write, read and written.
//!
//! Bytes in memory come in, from anybody and from anywhere; an [`Embedding`] or a [`Refusal`] comes out. Nothing here
//! runs anything that a file says, opens a file, or depends on more of the crate than `base::text`. The layouts are those of
//! diffusers, A1111, kohya, OneTrainer, Replicate and CompVis; `layout` knows what each of them
//! writes, and `tests/formats/INDEX.md` lists what is refused, and how.
//!
//! | module | what it does |
//! | --- | --- |
//! | `read`, `recognise` | the door: which kind of file it is, by its bytes; advice for files that are something else |
//! | [`zip`], [`pickle`], `torch` | what `torch.save` writes: container, restricted pickle reader, tensors |
//! | [`safetensors`] | header and tensors |
//! | [`picture`] | A1111's embeddings inside of PNG files |
//! | `layout`, `a1111` | which embeddings named tensors are |
//! | [`learned`] | what was found: embeddings, their vectors, notes |
//! | `pair`, `pti` | an embedding for SDXL in two files; the names in a file of their own beside Replicate's |
//! | [`write()`], [`write_files`] | the other direction |
//!
//! What our own training writes is what diffusers calls `learned_embeds.safetensors`: one f32 tensor `[K, D]` whose
//! key is the token, with metadata added. The header is written by hand with sorted keys, because the `safetensors`
//! crate orders metadata at random and the same embedding should give the same bytes.

mod a1111;
mod cursor;
pub mod dtype;
mod family;
mod layout;
pub mod learned;
pub mod limits;
mod pair;
pub mod pickle;
pub mod picture;
mod pti;
mod read;
mod recognise;
mod refusal;
pub mod safetensors;
pub mod torch;
mod write;
pub mod zip;

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

pub use self::family::ModelFamily;
pub use self::learned::{Container, Encoder, FileEmbedding, Format, NamedBy, Note, Reading, Vectors};
pub use self::pair::{first_of, join, second_of};
pub use self::pti::{NAMES_FILE, named};
pub use self::read::{ENDINGS, read};
pub use self::recognise::Mistaken;
pub use self::refusal::{Refusal, shown};
pub use self::write::{Layout, check_name, write, write_files};

/// A learned word: its name and the vectors that it stands for.
#[derive(Debug, Clone, PartialEq)]
pub struct Embedding {
    /// What it is called in prompts.
    pub token: String,
    /// Its vectors for each of a model's text encoders, in the order in which the model has them: one, or SDXL's two.
    pub encoders: Vec<Vectors>,
    /// Where it comes from: `base-model`, `init`, `steps`, `recipe`, `seed`, ...; the keys of the file without our
    /// prefix.
    pub metadata: BTreeMap<String, String>,
}

impl Embedding {
    /// An embedding for models with one text encoder: `rows` are its vectors, one after the other.
    pub fn new(token: impl Into<String>, width: usize, rows: Vec<f32>) -> Self {
        let encoders = vec![Vectors { encoder: Encoder::Unnamed, width, rows }];
        Self { token: token.into(), encoders, metadata: BTreeMap::new() }
    }

    /// How many vectors there are for a text encoder: as many for each.
    pub fn vectors(&self) -> usize {
        self.encoders.first().map_or(0, Vectors::count)
    }

    /// Width of a vector for the first text encoder.
    pub fn width(&self) -> usize {
        self.encoders.first().map_or(0, |vectors| vectors.width)
    }

    /// The vectors for the first text encoder, one after the other: `[K, D]`.
    pub fn rows(&self) -> &[f32] {
        self.encoders.first().map_or(&[], |vectors| &vectors.rows)
    }

    /// Widths of a vector for each text encoder.
    pub fn widths(&self) -> Vec<usize> {
        self.encoders.iter().map(|vectors| vectors.width).collect()
    }

    /// Reads the one embedding of a file in any format. `name` is the file's name. With `token`, an embedding among several is
    /// chosen by it; an only embedding is renamed to it, or named if nothing else names it.
    ///
    /// # Errors
    /// Those of [`read()`], [`Reading::choose`] and [`FileEmbedding::into_embedding`].
    pub fn read(bytes: &[u8], name: &str, token: Option<&str>) -> Result<Self, Refusal> {
        read(bytes, name)?.choose(token)?.into_embedding(token)
    }

    /// The bytes of `learned_embeds.safetensors`; the same for the same embedding. [`write()`] checks the embedding
    /// first.
    pub fn to_safetensors(&self) -> Vec<u8> {
        write::whole(self)
    }

    /// SHA-256 of the file, in hexadecimal.
    pub fn hash(&self) -> String {
        hex(&Sha256::digest(self.to_safetensors()))
    }

    /// The model family that vectors of these widths belong to, one width for each text encoder.
    pub fn family(widths: &[usize]) -> &'static str {
        match (ModelFamily::of(widths), widths) {
            (Some(family), _) => family.name(),
            (None, [1280]) => "SDXL's second text encoder, Stable Cascade or LDM",
            (None, [2048 | 4096]) => "a T5 or Llama text encoder (Stable Diffusion 3, Flux, PixArt)",
            (None, [2304]) => "a Gemma text encoder (Sana, Lumina)",
            (None, [3584]) => "a Qwen text encoder (Qwen-Image)",
            (None, [_, _]) => "an unknown family with two text encoders",
            (None, _) => "an unknown family",
        }
    }
}

/// Bytes in hexadecimal.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
