//! Embeddings out, in the layouts that other programs read. The same embedding gives the same bytes: no time, no random
//! order.

mod pickle;
mod zip;

use std::collections::BTreeMap;

use super::refusal::{Refusal, shown};
use super::safetensors::{PREFIX, TOKEN};
use super::{Embedding, Reading, Vectors, limits};

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
}

impl Layout {
    /// Every layout.
    pub const ALL: [Layout; 4] = [Layout::Safetensors, Layout::Bin, Layout::A1111, Layout::Kohya];

    /// Its name in options and in calls of the page.
    pub fn key(self) -> &'static str {
        match self {
            Layout::Safetensors => "diffusers",
            Layout::Bin => "diffusers-bin",
            Layout::A1111 => "a1111",
            Layout::Kohya => "kohya",
        }
    }

    /// The layout with a [`key`](Self::key).
    pub fn of(key: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|layout| layout.key() == key)
    }

    /// Whether it has room for metadata: all of them, or at least the steps and the base model.
    pub fn keeps_metadata(self) -> bool {
        match self {
            Layout::Safetensors | Layout::A1111 | Layout::Kohya => true,
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
        }
    }

    /// The extension that its readers expect.
    pub fn extension(self) -> &'static str {
        match self {
            Layout::Safetensors | Layout::Kohya => "safetensors",
            Layout::Bin => "bin",
            Layout::A1111 => "pt",
        }
    }
}

/// The bytes of a file with an embedding in it. [`super::read()`] reads the same embedding back, bit for bit; metadata
/// are kept whole by the safetensors layouts, steps and base model by A1111's, nothing by `.bin`.
///
/// # Errors
/// [`Refusal::Unwritable`] for an embedding that readers would refuse: no vectors or too many, values that are not
/// finite, a token that the layout cannot hold ([`check_name`]).
pub fn write(word: &Embedding, layout: Layout) -> Result<Vec<u8>, Refusal> {
    let unwritable =
        |name, reason| Refusal::Unwritable { token: shown(&word.token), layout: layout.name(), reason, name };
    check(word, layout).map_err(|reason| unwritable(false, reason))?;
    // safetensors 0.8.0 writes a file with this key that nothing reads (huggingface/safetensors#849).
    if word.token == "__metadata__" {
        let reason = match layout {
            Layout::Safetensors => "such files use this name for something else",
            _ => "it could not be converted to safetensors any more, where this name is something else",
        };
        return Err(unwritable(true, reason.to_owned()));
    }
    let bytes = match layout {
        Layout::Safetensors => word.to_safetensors(),
        Layout::Bin => zip::archive(&pickle::diffusers(word), &data(word)),
        Layout::A1111 => zip::archive(&pickle::a1111(word), &data(word)),
        Layout::Kohya if word.encoders.len() == 1 => safetensors("emb_params", word, kohya_metadata(word)),
        // The same file for every program.
        Layout::Kohya => word.to_safetensors(),
    };
    comes_back(word, &bytes).map_err(|reason| unwritable(true, reason))?;
    Ok(bytes)
}

/// Whether a file of a layout can hold an embedding of this name: to be asked before the work, for what cannot be written
/// or would be read back as something else.
///
/// # Errors
/// [`Refusal::Unwritable`].
pub fn check_name(token: &str, layout: Layout) -> Result<(), Refusal> {
    // Any vectors will do, of a width that no layout takes for a scale.
    write(&Embedding::new(token, 768, vec![0.0; 768]), layout).map(drop)
}

/// Some names mean something in a layout: a tensor called `emb_params` is kohya's, one called `lora_te_x` a part of a
/// LoRA. So what was written is read, by the same rules as any file.
fn comes_back(word: &Embedding, bytes: &[u8]) -> Result<(), String> {
    // Without a file name, which could stand in for the embedding's.
    match super::read(bytes, "") {
        Ok(Reading::One(back)) if back.token.as_deref() == Some(&word.token) && same_vectors(&back.encoders, word) => {
            Ok(())
        }
        Ok(_) => Err("programs keep something else under this name in such files".to_owned()),
        Err(refusal) => Err(format!("it would not be read back, since {refusal}")),
    }
}

/// What every layout and every reader of it needs.
fn check(word: &Embedding, layout: Layout) -> Result<(), String> {
    match (&word.encoders[..], layout) {
        ([_], _) | ([_, _], Layout::Safetensors | Layout::Kohya) => {}
        ([_, _], Layout::Bin | Layout::A1111) => {
            let reason = "it has vectors for both text encoders of SDXL, and this layout has room for those of one: every program \
                that knows SDXL reads safetensors";
            return Err(reason.to_owned());
        }
        _ => return Err(format!("it has vectors for {} text encoders", word.encoders.len())),
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

/// The same, with the token, which has no other place in this layout, and what kohya says about the architecture
/// (`library/sai_model_spec.py`).
fn kohya_metadata(word: &Embedding) -> BTreeMap<String, &str> {
    let mut metadata = diffusers_metadata(word);
    metadata.insert(TOKEN.to_owned(), &word.token);
    metadata.insert("modelspec.sai_model_spec".to_owned(), "1.0.0");
    metadata.insert("modelspec.title".to_owned(), &word.token);
    if word.width() == 768 {
        metadata.insert("modelspec.architecture".to_owned(), "stable-diffusion-v1/textual-inversion");
    }
    metadata
}

/// A safetensors file with the f32 tensors `[K, D]` of an embedding: for one text encoder under `key`, for SDXL's two under the
/// names that kohya, OneTrainer, ComfyUI and A1111 read.
pub(super) fn safetensors<'a>(key: &str, word: &'a Embedding, mut metadata: BTreeMap<String, &'a str>) -> Vec<u8> {
    let named: Vec<(&str, &Vectors)> = match &word.encoders[..] {
        [only] => vec![(key, only)],
        several => several.iter().map(|vectors| (vectors.encoder.name(), vectors)).collect(),
    };
    if named.len() > 1 {
        metadata.insert(TOKEN.to_owned(), &word.token);
    }
    let mut header = format!("{{\"__metadata__\":{}", serde_json::json!(metadata));
    let mut data = Vec::new();
    for (name, vectors) in named {
        let from = data.len();
        data.extend(vectors.rows.iter().flat_map(|value| value.to_le_bytes()));
        let tensor = serde_json::json!({
            "dtype": "F32", "shape": [word.vectors(), vectors.width], "data_offsets": [from, data.len()],
        });
        header += &format!(",{}:{tensor}", serde_json::Value::String(name.to_owned()));
    }
    header.push('}');
    let mut bytes = header.into_bytes();
    // The data begins at a multiple of eight, as the format recommends.
    bytes.resize(bytes.len().next_multiple_of(8), b' ');
    [&(bytes.len() as u64).to_le_bytes()[..], &bytes, &data].concat()
}
