//! Embeddings for models that cannot be run here, told by the text encoders that their vectors are for.

use super::Named;
use crate::embedding::recognise::Mistaken;
use crate::embedding::refusal::counted;

/// A text encoder that is not CLIP, by the keys that trainers give it.
struct Encoder {
    keys: &'static [&'static str],
    /// Models that have it without CLIP.
    alone: &'static str,
    /// Models that have it beside one of CLIP's encoders.
    with_one: &'static str,
    /// Models that have it beside both.
    with_both: &'static str,
}

const ENCODERS: &[Encoder] = &[
    Encoder {
        keys: &["llama", "llama3", "llama_8b", "llm"],
        alone: "HunyuanVideo, or another model with a Llama text encoder",
        with_one: "HunyuanVideo",
        with_both: "HiDream",
    },
    Encoder {
        keys: &["gemma", "gemma2", "gemma3", "gemma2_2b"],
        alone: "Sana, Lumina, or another model with a Gemma text encoder",
        with_one: "a model with a Gemma text encoder",
        with_both: "a model with a Gemma text encoder",
    },
    Encoder {
        keys: &["qwen", "qwen2", "qwen25", "qwen3", "qwen25_7b", "qwen_vl"],
        alone: "Qwen-Image, or another model with a Qwen text encoder",
        with_one: "a model with a Qwen text encoder",
        with_both: "a model with a Qwen text encoder",
    },
    Encoder {
        keys: &["t5", "t5xxl", "t5_xxl", "t5xl", "mt5", "umt5", "umt5xxl", "text_encoders_1", "text_encoders_2"],
        alone: "PixArt, Chroma, or another model with the text encoder T5",
        with_one: "Flux",
        with_both: "Stable Diffusion 3",
    },
];

/// The widest vectors that a text encoder of Stable Diffusion 1.x, 2.x or SDXL takes.
const WIDEST: u64 = 1280;

/// Names the model that vectors are for, if it is not one of those that are known by CLIP's encoders alone. Such a key
/// may also be what somebody calls an ordinary embedding: it counts beside CLIP's, or where the vectors are too wide.
pub(super) fn recognise(named: &[Named<'_>]) -> Option<Mistaken> {
    // Output embeddings, which OneTrainer writes beside the others, have a key of their own.
    let plain = |tensor: &Named<'_>| tensor.key.strip_suffix("_out").unwrap_or(&tensor.key).to_owned();
    let wide = |tensor: &Named<'_>| tensor.shape.last().is_some_and(|width| *width > WIDEST);
    let clip = |keys: &[&str]| named.iter().any(|tensor| keys.contains(&plain(tensor).as_str()) && !wide(tensor));
    let [l, g] = [&["clip_l", "text_encoders_0"], &["clip_g", "text_encoders_1"]].map(|keys| clip(keys));
    let mut found = ENCODERS.iter().filter(|encoder| {
        let mut mine = named.iter().filter(|tensor| encoder.keys.contains(&plain(tensor).as_str()));
        mine.any(|tensor| wide(tensor) || (l || g) && !tensor.key.starts_with("text_encoders_"))
    });
    let encoder = found.next()?;
    let model = match (l, g) {
        (true, true) => encoder.with_both,
        (false, false) => encoder.alone,
        _ => encoder.with_one,
    };
    let part = |tensor: &Named<'_>| {
        let (width, vectors) = (tensor.shape.last()?, tensor.shape.iter().rev().nth(1).unwrap_or(&1));
        Some(format!("{}: {}, {width} wide", super::shown(&tensor.key).trim_matches('"'), counted(*vectors, "vector")))
    };
    let parts: Vec<String> = named.iter().filter_map(part).take(4).collect();
    Some(Mistaken::Elsewhere { model, parts: parts.join("; ") })
}
