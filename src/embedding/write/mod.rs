//! Embeddings out, in the layouts that other programs read. The same embedding gives the same bytes: no time, no random
//! order.

mod pickle;
mod zip;

use std::collections::BTreeMap;

use super::refusal::{Refusal, counted, shown};
use super::safetensors::{PREFIX, TOKEN};
use super::{Embedding, Encoder, Reading, Vectors, limits, pair, pti};

/// A kind of file to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Layout {
    /// diffusers' `learned_embeds.safetensors`: the tensor's key is the token.
    Safetensors,
    /// diffusers' `learned_embeds.bin`: the same as a pickle in a zip file.
    Bin,
    /// A1111's `<name>.pt`.
    A1111,
    /// kohya's `.safetensors`, whose key is always `emb_params`.
    Kohya,
    /// diffusers' two files of an embedding for SDXL, `learned_embeds.safetensors` and `learned_embeds_2.safetensors`.
    Pair,
    /// Replicate's `embeddings.pti` of an embedding for SDXL, and `special_params.json` with its name.
    Replicate,
}

impl Layout {
    /// Every layout.
    pub const ALL: [Layout; 6] =
        [Layout::Safetensors, Layout::Bin, Layout::A1111, Layout::Kohya, Layout::Pair, Layout::Replicate];

    /// Its name in options and in calls of the page.
    pub fn key(self) -> &'static str {
        match self {
            Layout::Safetensors => "diffusers",
            Layout::Bin => "diffusers-bin",
            Layout::A1111 => "a1111",
            Layout::Kohya => "kohya",
            Layout::Pair => "diffusers-pair",
            Layout::Replicate => "replicate",
        }
    }

    /// Whether it has room for embeddings with vectors for this many text encoders.
    pub fn holds(self, encoders: usize) -> bool {
        match self {
            Layout::Safetensors | Layout::Kohya => matches!(encoders, 1 | 2),
            Layout::Bin | Layout::A1111 => encoders == 1,
            Layout::Pair | Layout::Replicate => encoders == 2,
        }
    }

    /// The layout with a [`key`](Self::key).
    pub fn of(key: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|layout| layout.key() == key)
    }

    /// Whether it has room for metadata: all of them, or at least the steps and the base model.
    pub fn keeps_metadata(self) -> bool {
        match self {
            Layout::Safetensors | Layout::A1111 | Layout::Kohya | Layout::Pair | Layout::Replicate => true,
            Layout::Bin => false,
        }
    }

    /// What it is called in messages.
    pub fn name(self) -> &'static str {
        match self {
            Layout::Safetensors => "diffusers safetensors",
            Layout::Bin => "diffusers .bin",
            Layout::A1111 => "A1111 .pt",
            Layout::Kohya => "kohya safetensors",
            Layout::Pair => "diffusers' two files",
            Layout::Replicate => "Replicate .pti",
        }
    }

    /// The extension that its readers expect.
    pub fn extension(self) -> &'static str {
        match self {
            Layout::Safetensors | Layout::Kohya | Layout::Pair => "safetensors",
            Layout::Bin => "bin",
            Layout::A1111 => "pt",
            Layout::Replicate => "pti",
        }
    }
}

/// The bytes of a file with an embedding in it. [`super::read()`] reads the same embedding back, bit for bit; metadata
/// are kept whole by the safetensors layouts, steps and base model by A1111's, nothing by `.bin`.
///
/// # Errors
/// [`Refusal::Unwritable`] for an embedding that readers would refuse: no vectors or too many, values that are not
/// finite, a token that the layout cannot hold ([`check_name`]); and for a layout of several files ([`write_files`]).
pub fn write(word: &Embedding, layout: Layout) -> Result<Vec<u8>, Refusal> {
    let mut files = write_files(word, layout, "")?;
    match (layout, files.len()) {
        (Layout::Pair, _) | (_, 0) => {
            let reason = "it is two files in this layout".to_owned();
            Err(Refusal::Unwritable { token: shown(&word.token), layout: layout.name(), reason, name: false })
        }
        _ => Ok(files.swap_remove(0).1),
    }
}

/// As [`write()`], with all files of a layout, by their names: the first is called `name`, others as their readers expect it.
///
/// # Errors
/// Those of [`write()`].
pub fn write_files(word: &Embedding, layout: Layout, name: &str) -> Result<Vec<(String, Vec<u8>)>, Refusal> {
    let unwritable =
        |name, reason| Refusal::Unwritable { token: shown(&word.token), layout: layout.name(), reason, name };
    check(word, layout).map_err(|reason| unwritable(false, reason))?;
    // safetensors 0.8.0 writes a file with this key that nothing reads (huggingface/safetensors#849).
    if word.token == "__metadata__" {
        let reason = match layout {
            Layout::Safetensors | Layout::Pair => "such files use this name for something else",
            _ => "it could not be converted to safetensors any more, where this name is something else",
        };
        return Err(unwritable(true, reason.to_owned()));
    }
    let first = match layout {
        Layout::Safetensors => word.to_safetensors(),
        Layout::Bin => zip::archive(&pickle::diffusers(word), &data(word)),
        Layout::A1111 => zip::archive(&pickle::a1111(word), &data(word)),
        Layout::Kohya if word.encoders.len() == 1 => safetensors(&["emb_params"], word, kohya_metadata(word)),
        // The same file for every program.
        Layout::Kohya => word.to_safetensors(),
        Layout::Pair => one_of_a_pair(word, 0),
        Layout::Replicate => safetensors(&["text_encoders_0", "text_encoders_1"], word, with_token(word)),
    };
    let beside = match layout {
        Layout::Pair => Some((pair::second_of(name).unwrap_or_default(), one_of_a_pair(word, 1))),
        Layout::Replicate => Some((pti::NAMES_FILE.to_owned(), pti::names_of(&word.token, word.vectors()))),
        _ => None,
    };
    let second = beside.as_ref().filter(|_| layout == Layout::Pair).map(|(_, bytes)| bytes.as_slice());
    comes_back(word, &first, second).map_err(|reason| unwritable(true, reason))?;
    Ok(std::iter::once((name.to_owned(), first)).chain(beside).collect())
}

/// Whether a file of a layout can hold an embedding of this name: to be asked before the work, for what cannot be written
/// or would be read back as something else.
///
/// # Errors
/// [`Refusal::Unwritable`].
pub fn check_name(token: &str, layout: Layout) -> Result<(), Refusal> {
    // Any vectors will do, of a width that no layout takes for a scale.
    let mut word = Embedding::new(token, 768, vec![0.0; 768]);
    if !layout.holds(1) {
        word.encoders.push(Vectors { encoder: Encoder::ClipG, width: 1280, rows: vec![0.0; 1280] });
    }
    write_files(&word, layout, "").map(drop)
}

/// Some names mean something in a layout: a tensor called `emb_params` is kohya's, one called `lora_te_x` a part of a
/// LoRA. So what was written is read, by the same rules as any file.
fn comes_back(word: &Embedding, bytes: &[u8], second: Option<&[u8]>) -> Result<(), String> {
    // Without a file name, which could stand in for the embedding's.
    let back = super::read(bytes, "").and_then(|first| match second {
        Some(second) => pair::join(first, &super::read(second, "")?),
        None => Ok(first),
    });
    match back {
        Ok(Reading::One(back)) if back.token.as_deref() == Some(&word.token) && same_vectors(&back.encoders, word) => {
            Ok(())
        }
        Ok(_) => Err("programs keep something else under this name in such files".to_owned()),
        Err(refusal) => Err(format!("it would not be read back, since {refusal}")),
    }
}

/// What every layout and every reader of it needs.
fn check(word: &Embedding, layout: Layout) -> Result<(), String> {
    let encoders = word.encoders.len();
    if !layout.holds(encoders) {
        return Err(match (encoders, layout) {
            (1, _) => "it has vectors for one text encoder, and this layout is for the two of SDXL".to_owned(),
            (2, _) => {
                "it has vectors for both text encoders of SDXL, and this layout has room for those of one: every \
                program that knows SDXL reads safetensors"
                    .to_owned()
            }
            _ => format!("it has vectors for {}", counted(encoders as u64, "text encoder")),
        });
    }
    if word.token.is_empty() || word.token.len() > limits::FACT {
        return Err("the token is empty, or far too long".to_owned());
    }
    for of_encoder in &word.encoders {
        let (vectors, width, values) = (word.vectors(), of_encoder.width, of_encoder.rows.len());
        if vectors == 0 || vectors * width != values {
            return Err(format!("{values} values are not {vectors} vectors of width {width}"));
        }
        if vectors > limits::VECTORS || width > limits::WIDTH {
            let (most, widest) = (limits::VECTORS, limits::WIDTH);
            return Err(format!("it has {vectors} vectors of width {width}; {most} of width {widest} are the most"));
        }
        let bad = of_encoder.rows.iter().filter(|value| !value.is_finite()).count();
        if bad > 0 {
            return Err(format!("{bad} of its values are NaN or infinite"));
        }
    }
    Ok(())
}

/// Whether vectors are an embedding's, whatever text encoder a file names for them.
fn same_vectors(found: &[Vectors], word: &Embedding) -> bool {
    let same = |(a, b): (&Vectors, &Vectors)| a.width == b.width && a.rows == b.rows;
    found.len() == word.encoders.len() && found.iter().zip(&word.encoders).all(same)
}

/// The values, little-endian.
fn data(word: &Embedding) -> Vec<u8> {
    word.rows().iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// Our own metadata with their prefix, and upstream's `format`.
pub(super) fn diffusers_metadata(word: &Embedding) -> BTreeMap<String, &str> {
    let mut metadata: BTreeMap<String, &str> =
        word.metadata.iter().map(|(key, value)| (format!("{PREFIX}{key}"), value.as_str())).collect();
    metadata.insert("format".to_owned(), "pt");
    metadata
}

/// The same, with the token, which has no other place in a layout.
fn with_token(word: &Embedding) -> BTreeMap<String, &str> {
    let mut metadata = diffusers_metadata(word);
    metadata.insert(TOKEN.to_owned(), &word.token);
    metadata
}

/// The same, and what kohya says about the architecture (`library/sai_model_spec.py`).
fn kohya_metadata(word: &Embedding) -> BTreeMap<String, &str> {
    let mut metadata = with_token(word);
    metadata.insert("modelspec.sai_model_spec".to_owned(), "1.0.0");
    metadata.insert("modelspec.title".to_owned(), &word.token);
    let architecture = match word.widths()[..] {
        [768] => Some("stable-diffusion-v1/textual-inversion"),
        [768, 1280] => Some("stable-diffusion-xl-v1-base/textual-inversion"),
        _ => None,
    };
    metadata.extend(architecture.map(|name| ("modelspec.architecture".to_owned(), name)));
    metadata
}

/// diffusers' safetensors file: one tensor for one text encoder, whose key is the token. For SDXL's two it is kohya's file with
/// `clip_l` and `clip_g`, which OneTrainer, ComfyUI and A1111 read, too: diffusers has none of its own.
pub(super) fn whole(word: &Embedding) -> Vec<u8> {
    match word.encoders[..] {
        [_] => safetensors(&[&word.token], word, diffusers_metadata(word)),
        _ => safetensors(&[Encoder::ClipL.name(), Encoder::ClipG.name()], word, kohya_metadata(word)),
    }
}

/// One of the two files that diffusers writes for SDXL.
fn one_of_a_pair(word: &Embedding, encoder: usize) -> Vec<u8> {
    let encoders = word.encoders.get(encoder).cloned().into_iter().collect();
    let one = Embedding { encoders, ..word.clone() };
    safetensors(&[&word.token], &one, diffusers_metadata(word))
}

/// A safetensors file with the f32 tensors `[K, D]` of an embedding, one for each text encoder, under `keys`.
fn safetensors(keys: &[&str], word: &Embedding, metadata: BTreeMap<String, &str>) -> Vec<u8> {
    let mut header = format!("{{\"__metadata__\":{}", serde_json::json!(metadata));
    let mut data = Vec::new();
    for (name, vectors) in keys.iter().zip(&word.encoders) {
        let from = data.len();
        data.extend(vectors.rows.iter().flat_map(|value| value.to_le_bytes()));
        let tensor = serde_json::json!({
            "dtype": "F32", "shape": [word.vectors(), vectors.width], "data_offsets": [from, data.len()],
        });
        header += &format!(",{}:{tensor}", serde_json::Value::String((*name).to_owned()));
    }
    header.push('}');
    let mut bytes = header.into_bytes();
    // The data begins at a multiple of eight, as the format recommends.
    bytes.resize(bytes.len().next_multiple_of(8), b' ');
    [&(bytes.len() as u64).to_le_bytes()[..], &bytes, &data].concat()
}
