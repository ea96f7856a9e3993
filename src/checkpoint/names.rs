//! The names of the original layout (CompVis' `ldm`, OpenCLIP) and those that diffusers and transformers give to the
//! same weights.
//!
//! Sources: diffusers 0.42.1 `loaders/single_file_utils.py` (`convert_ldm_unet_checkpoint`,
//! `convert_ldm_vae_checkpoint`, `convert_ldm_clip_checkpoint`, `convert_open_clip_checkpoint`). No weight is computed
//! with: each is another's name for a range of the file, and one of SDXL's has rows where the other has columns. What
//! stable-diffusion.cpp calls them is in its `src/name_conversion.cpp`. The tables
//! are held against what those functions do with the files of Stable Diffusion 1.5 and 2.1 and of SDXL base
//! (`tests/fixtures/checkpoint-*.json`).

use crate::parts::Part;

/// Where the three parts are in a file.
pub(super) const UNET: &str = "model.diffusion_model.";
pub(super) const VAE: &str = "first_stage_model.";
pub(super) const TEXT: &str = "cond_stage_model.";
/// Averages of the U-Net's weights over the training.
pub(super) const AVERAGES: &str = "model_ema.diffusion_model";
/// The text encoder of OpenAI, as transformers has it.
pub(super) const CLIP: &str = "cond_stage_model.transformer.";
/// The text encoder of OpenCLIP.
pub(super) const OPEN_CLIP: &str = "cond_stage_model.model.";
/// SDXL's first text encoder, of OpenAI.
pub(super) const SDXL_CLIP: &str = "conditioner.embedders.0.transformer.";
/// SDXL's second text encoder, of OpenCLIP.
pub(super) const SDXL_OPEN_CLIP: &str = "conditioner.embedders.1.model.";
/// The same as stable-diffusion.cpp renamed it until December 2025, and does with `--convert-name`: it gives every text encoder the names
/// that transformers has, under [`CLIP`] the only one or SDXL's first.
pub(super) const RENAMED_SECOND: &str = "cond_stage_model.1.transformer.";

/// A way to rename: what begins with the first begins with the second instead.
type Table = &'static [(&'static str, &'static str)];

/// Outside of the blocks.
const UNET_ENDS: Table = &[
    ("time_embed.0", "time_embedding.linear_1"),
    ("time_embed.2", "time_embedding.linear_2"),
    ("label_emb.0.0", "add_embedding.linear_1"),
    ("label_emb.0.2", "add_embedding.linear_2"),
    ("input_blocks.0.0", "conv_in"),
    ("out.0", "conv_norm_out"),
    ("out.2", "conv_out"),
];

/// In a residual block.
const UNET_RESNET: Table = &[
    ("in_layers.0", "norm1"),
    ("in_layers.2", "conv1"),
    ("emb_layers.1", "time_emb_proj"),
    ("out_layers.0", "norm2"),
    ("out_layers.3", "conv2"),
    ("skip_connection", "conv_shortcut"),
];

/// The middle of the U-Net.
const UNET_MIDDLE: Table = &[("0", "resnets.0"), ("1", "attentions.0"), ("2", "resnets.1")];

/// The ends of the encoder and the decoder.
const VAE_ENDS: Table = &[
    ("conv_in", "conv_in"),
    ("norm_out", "conv_norm_out"),
    ("conv_out", "conv_out"),
    ("mid.block_1", "mid_block.resnets.0"),
    ("mid.block_2", "mid_block.resnets.1"),
    ("mid.attn_1", "mid_block.attentions.0"),
];

const VAE_RESNET: Table = &[
    ("norm1", "norm1"),
    ("conv1", "conv1"),
    ("norm2", "norm2"),
    ("conv2", "conv2"),
    ("nin_shortcut", "conv_shortcut"),
];

const VAE_ATTENTION: Table =
    &[("norm", "group_norm"), ("q", "to_q"), ("k", "to_k"), ("v", "to_v"), ("proj_out", "to_out.0")];

const OPEN_CLIP_ENDS: Table = &[
    ("token_embedding", "embeddings.token_embedding"),
    ("positional_embedding", "embeddings.position_embedding.weight"),
    ("ln_final", "final_layer_norm"),
];

const OPEN_CLIP_LAYER: Table = &[
    ("ln_1", "layer_norm1"),
    ("ln_2", "layer_norm2"),
    ("mlp.c_fc", "mlp.fc1"),
    ("mlp.c_proj", "mlp.fc2"),
    ("attn.out_proj", "self_attn.out_proj"),
];

/// Three projections that OpenCLIP has one above the other in one weight, and what stable-diffusion.cpp calls that.
const RENAMED_FUSED: [&str; 2] = ["self_attn.in_proj.weight", "self_attn.in_proj.bias"];
const OPEN_CLIP_FUSED: &[(&str, [&str; 3])] = &[
    ("attn.in_proj_weight", ["self_attn.q_proj.weight", "self_attn.k_proj.weight", "self_attn.v_proj.weight"]),
    ("attn.in_proj_bias", ["self_attn.q_proj.bias", "self_attn.k_proj.bias", "self_attn.v_proj.bias"]),
];

/// What a picture needs nothing of: beginnings of names.
const NOT_NEEDED: &[&str] = &[
    // Averages over the training; the plain weights are taken, as diffusers does.
    "model_ema.",
    // The noise schedule follows from four numbers, and what training recorded.
    "betas",
    "alphas_cumprod",
    "sqrt_",
    "log_one_minus_alphas_cumprod",
    "posterior_",
    "lvlb_weights",
    "logvar",
    "global_step",
    "epoch",
    "scale_factor",
    "cond_stage_key",
    "embedding_manager.",
    "denoiser.sigmas",
    "first_stage_model.loss.",
    "first_stage_model.model_ema.",
    // For comparing texts with pictures.
    "cond_stage_model.logit_scale",
    "cond_stage_model.text_projection",
    "cond_stage_model.transformer.text_projection",
    "cond_stage_model.model.logit_scale",
    "cond_stage_model.model.text_projection",
    "cond_stage_model.model.attn_mask",
    "conditioner.embedders.0.transformer.text_projection",
    "conditioner.embedders.0.transformer.logit_scale",
    "conditioner.embedders.0.logit_scale",
    "conditioner.embedders.1.model.logit_scale",
    "conditioner.embedders.1.model.attn_mask",
    // The same as stable-diffusion.cpp renames it.
    "cond_stage_model.transformer.text_model.text_projection",
    "cond_stage_model.transformer.logit_scale",
    "cond_stage_model.logit_scale",
    "cond_stage_model.1.logit_scale",
    "cond_stage_model.1.model.logit_scale",
    "cond_stage_model.1.model.attn_mask",
    // Stable Diffusion 2.x takes the hidden states before OpenCLIP's last layer, and files keep that layer.
    "cond_stage_model.model.transformer.resblocks.23.",
    "cond_stage_model.transformer.text_model.encoder.layers.23.",
];

/// What a name of the original layout stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Meaning {
    /// A weight of a part.
    One(Part, String),
    /// As many rows of each of three weights of a part.
    Three(Part, [String; 3]),
    /// A weight of a part, with rows where the part has columns.
    Turned(Part, String),
    /// Nothing that is needed.
    NotNeeded,
    /// Nothing that is known here.
    Unknown,
}

/// How many blocks there are, which only the names reveal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Blocks {
    /// Residual blocks in a down level of the U-Net.
    pub layers: usize,
    /// Levels of the autoencoder.
    pub vae_levels: usize,
}

impl Blocks {
    /// Counts them.
    pub fn count(names: &[&str]) -> Self {
        let numbers = |before: &'static str, after: &'static str| {
            let fitting = names.iter().filter(move |name| name.ends_with(after));
            let number = move |name: &&str| name.strip_prefix(before)?.split('.').next()?.parse::<usize>().ok();
            fitting.filter_map(number)
        };
        let inputs = "model.diffusion_model.input_blocks.";
        // A level ends with a downsampling, the first one right after its residual blocks and the input convolution.
        let downsampling = numbers(inputs, ".0.op.weight").min().map(|block| block.saturating_sub(1));
        let layers = downsampling.or_else(|| numbers(inputs, "").max()).unwrap_or(1).max(1);
        let vae_levels = numbers("first_stage_model.decoder.up.", "").max().map_or(1, |level| level + 1);
        Self { layers, vae_levels }
    }
}

/// What a name stands for.
pub(super) fn meaning(name: &str, blocks: Blocks) -> Meaning {
    if NOT_NEEDED.iter().any(|start| name.starts_with(start)) {
        return Meaning::NotNeeded;
    }
    let one = |part: Part, renamed: Option<String>| renamed.map(|renamed| Meaning::One(part, renamed));
    let within = |start: &str| name.strip_prefix(start);
    let found = if let Some(name) = within(UNET) {
        one(Part::Unet, unet(name, blocks.layers))
    } else if let Some(name) = within(VAE) {
        one(Part::Vae, vae(name, blocks.vae_levels))
    } else if let Some(name) = within(CLIP).or_else(|| within(SDXL_CLIP)) {
        Some(clip(Part::TextEncoder, name))
    } else if let Some(name) = within(RENAMED_SECOND) {
        Some(clip(Part::TextEncoder2, name))
    } else if let Some(name) = within(OPEN_CLIP) {
        open_clip(Part::TextEncoder, name)
    } else if let Some(name) = within(SDXL_OPEN_CLIP) {
        open_clip(Part::TextEncoder2, name)
    } else {
        None
    };
    found.unwrap_or(Meaning::Unknown)
}

/// The name with its beginning renamed by the first line of a table that fits.
fn renamed(name: &str, table: Table) -> Option<String> {
    table.iter().find_map(|(from, to)| match name.strip_prefix(from)? {
        "" => Some((*to).to_owned()),
        rest if rest.starts_with('.') => Some(format!("{to}{rest}")),
        _ => None,
    })
}

/// `12.rest` taken apart.
fn numbered(name: &str) -> Option<(usize, &str)> {
    let (number, rest) = name.split_once('.')?;
    Some((number.parse().ok()?, rest))
}

fn unet(name: &str, layers: usize) -> Option<String> {
    if let Some(found) = renamed(name, UNET_ENDS) {
        return Some(found);
    }
    if let Some(rest) = name.strip_prefix("middle_block.") {
        let (number, inner) = rest.split_once('.')?;
        let block = renamed(number, UNET_MIDDLE)?;
        let inner = if block.starts_with("resnets") { renamed(inner, UNET_RESNET)? } else { inner.to_owned() };
        return Some(format!("mid_block.{block}.{inner}"));
    }
    if let Some((number, rest)) = name.strip_prefix("input_blocks.").and_then(numbered) {
        // The input convolution is number 0; each level has its layers and a downsampling.
        let number = number.checked_sub(1)?;
        let (level, layer) = (number / (layers + 1), number % (layers + 1));
        let (place, inner) = numbered(rest)?;
        let inner = match (place, inner.strip_prefix("op.")) {
            (0, Some(leaf)) => format!("downsamplers.0.conv.{leaf}"),
            (0, None) => format!("resnets.{layer}.{}", renamed(inner, UNET_RESNET)?),
            (1, _) => format!("attentions.{layer}.{inner}"),
            _ => return None,
        };
        return Some(format!("down_blocks.{level}.{inner}"));
    }
    let (number, rest) = name.strip_prefix("output_blocks.").and_then(numbered)?;
    let (block, layer) = (number / (layers + 1), number % (layers + 1));
    let (place, inner) = numbered(rest)?;
    let inner = match (place, inner.strip_prefix("conv.")) {
        (0, _) => format!("resnets.{layer}.{}", renamed(inner, UNET_RESNET)?),
        // Behind the transformer, or in its place where the level has none.
        (1 | 2, Some(leaf)) => format!("upsamplers.0.conv.{leaf}"),
        (1, None) => format!("attentions.{layer}.{inner}"),
        _ => return None,
    };
    Some(format!("up_blocks.{block}.{inner}"))
}

fn vae(name: &str, levels: usize) -> Option<String> {
    let (half, rest) = name.split_once('.')?;
    match half {
        "quant_conv" | "post_quant_conv" => return Some(name.to_owned()),
        "encoder" | "decoder" => {}
        _ => return None,
    }
    if let Some(found) = renamed(rest, VAE_ENDS) {
        let found = match found.strip_prefix("mid_block.") {
            Some(middle) => {
                // `resnets.0.conv1.weight`
                let (kind, inner) = middle.split_once('.')?;
                let (number, inner) = numbered(inner)?;
                let table = if kind == "resnets" { VAE_RESNET } else { VAE_ATTENTION };
                format!("mid_block.{kind}.{number}.{}", renamed(inner, table)?)
            }
            None => found,
        };
        return Some(format!("{half}.{found}"));
    }
    let (way, rest) = rest.split_once('.')?;
    let (level, rest) = numbered(rest)?;
    // The decoder's levels are counted from the picture inwards, diffusers' blocks in the order of work.
    let block = match (half, way) {
        ("encoder", "down") => format!("down_blocks.{level}"),
        ("decoder", "up") => format!("up_blocks.{}", levels.checked_sub(level + 1)?),
        _ => return None,
    };
    let inner = match rest.split_once('.')? {
        ("block", rest) => {
            let (number, inner) = numbered(rest)?;
            format!("resnets.{number}.{}", renamed(inner, VAE_RESNET)?)
        }
        ("downsample", rest) => format!("downsamplers.0.{rest}"),
        ("upsample", rest) => format!("upsamplers.0.{rest}"),
        _ => return None,
    };
    Some(format!("{half}.{block}.{inner}"))
}

fn clip(part: Part, name: &str) -> Meaning {
    // The numbers 0..76; some programs save them in the middle of other names.
    if name.ends_with("embeddings.position_ids") {
        return Meaning::NotNeeded;
    }
    match name {
        // As OpenCLIP has it: what was made of transformers' matrix looks the same, and hardly any file is.
        "text_model.text_projection" => return Meaning::Turned(part, "text_projection.weight".to_owned()),
        "text_projection.weight" => return Meaning::One(part, name.to_owned()),
        _ => {}
    }
    let name = name.strip_prefix("text_model.").unwrap_or(name);
    let path = |inner: &str| format!("text_model.{inner}");
    for (renamed, (_, names)) in RENAMED_FUSED.into_iter().zip(OPEN_CLIP_FUSED) {
        if let Some(layer) = name.strip_suffix(renamed) {
            return Meaning::Three(part, names.map(|name| path(&format!("{layer}{name}"))));
        }
    }
    Meaning::One(part, path(name))
}

fn open_clip(part: Part, name: &str) -> Option<Meaning> {
    match name {
        // OpenCLIP multiplies by it from the other side; programs that save transformers' leave its name.
        "text_projection" => return Some(Meaning::Turned(part, "text_projection.weight".to_owned())),
        "text_projection.weight" => return Some(Meaning::One(part, name.to_owned())),
        _ => {}
    }
    if let Some(found) = renamed(name, OPEN_CLIP_ENDS) {
        return Some(Meaning::One(part, format!("text_model.{found}")));
    }
    let (layer, inner) = name.strip_prefix("transformer.resblocks.").and_then(numbered)?;
    let path = |inner: &str| format!("text_model.encoder.layers.{layer}.{inner}");
    if let Some((_, names)) = OPEN_CLIP_FUSED.iter().find(|(fused, _)| *fused == inner) {
        return Some(Meaning::Three(part, names.map(path)));
    }
    renamed(inner, OPEN_CLIP_LAYER).map(|inner| Meaning::One(part, path(&inner)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SD: Blocks = Blocks { layers: 2, vae_levels: 4 };

    #[test]
    fn names_that_stand_for_others() {
        let text = "text_model.encoder.layers.3";
        for (name, part, expected) in [
            ("model.diffusion_model.input_blocks.0.0.bias", Part::Unet, "conv_in.bias"),
            (
                "model.diffusion_model.input_blocks.3.0.op.weight",
                Part::Unet,
                "down_blocks.0.downsamplers.0.conv.weight",
            ),
            (
                "model.diffusion_model.input_blocks.11.0.out_layers.3.bias",
                Part::Unet,
                "down_blocks.3.resnets.1.conv2.bias",
            ),
            ("model.diffusion_model.middle_block.2.in_layers.0.bias", Part::Unet, "mid_block.resnets.1.norm1.bias"),
            ("model.diffusion_model.output_blocks.2.1.conv.bias", Part::Unet, "up_blocks.0.upsamplers.0.conv.bias"),
            ("model.diffusion_model.output_blocks.8.2.conv.bias", Part::Unet, "up_blocks.2.upsamplers.0.conv.bias"),
            (
                "model.diffusion_model.output_blocks.8.1.transformer_blocks.0.ff.net.0.proj.weight",
                Part::Unet,
                "up_blocks.2.attentions.2.transformer_blocks.0.ff.net.0.proj.weight",
            ),
            ("model.diffusion_model.label_emb.0.2.bias", Part::Unet, "add_embedding.linear_2.bias"),
            (
                "conditioner.embedders.0.transformer.text_model.encoder.layers.11.mlp.fc1.bias",
                Part::TextEncoder,
                "text_model.encoder.layers.11.mlp.fc1.bias",
            ),
            (
                "conditioner.embedders.1.model.transformer.resblocks.31.mlp.c_fc.bias",
                Part::TextEncoder2,
                "text_model.encoder.layers.31.mlp.fc1.bias",
            ),
            ("conditioner.embedders.1.model.text_projection.weight", Part::TextEncoder2, "text_projection.weight"),
            ("first_stage_model.quant_conv.weight", Part::Vae, "quant_conv.weight"),
            (
                "first_stage_model.decoder.up.3.block.0.nin_shortcut.bias",
                Part::Vae,
                "decoder.up_blocks.0.resnets.0.conv_shortcut.bias",
            ),
            (
                "first_stage_model.encoder.mid.attn_1.proj_out.bias",
                Part::Vae,
                "encoder.mid_block.attentions.0.to_out.0.bias",
            ),
            ("first_stage_model.encoder.mid.block_2.conv1.bias", Part::Vae, "encoder.mid_block.resnets.1.conv1.bias"),
            (
                "cond_stage_model.transformer.final_layer_norm.bias",
                Part::TextEncoder,
                "text_model.final_layer_norm.bias",
            ),
            (
                "cond_stage_model.model.positional_embedding",
                Part::TextEncoder,
                "text_model.embeddings.position_embedding.weight",
            ),
            (
                "cond_stage_model.model.transformer.resblocks.3.mlp.c_proj.bias",
                Part::TextEncoder,
                "text_model.encoder.layers.3.mlp.fc2.bias",
            ),
        ] {
            assert_eq!(meaning(name, SD), Meaning::One(part, expected.to_owned()), "{name}");
        }
        let fused = meaning("cond_stage_model.model.transformer.resblocks.3.attn.in_proj_bias", SD);
        let names = ["q", "k", "v"].map(|which| format!("{text}.self_attn.{which}_proj.bias"));
        assert_eq!(fused, Meaning::Three(Part::TextEncoder, names));
        let projection = Meaning::Turned(Part::TextEncoder2, "text_projection.weight".to_owned());
        assert_eq!(meaning("conditioner.embedders.1.model.text_projection", SD), projection);

        // As stable-diffusion.cpp renames them.
        let fused = meaning("cond_stage_model.transformer.text_model.encoder.layers.3.self_attn.in_proj.weight", SD);
        let names = ["q", "k", "v"].map(|which| format!("{text}.self_attn.{which}_proj.weight"));
        assert_eq!(fused, Meaning::Three(Part::TextEncoder, names));
        assert_eq!(meaning("cond_stage_model.1.transformer.text_model.text_projection", SD), projection);
        let norm = meaning("cond_stage_model.1.transformer.text_model.final_layer_norm.bias", SD);
        assert_eq!(norm, Meaning::One(Part::TextEncoder2, "text_model.final_layer_norm.bias".to_owned()));
    }

    #[test]
    fn names_that_stand_for_nothing() {
        for name in [
            "model_ema.decay",
            "betas",
            "cond_stage_model.model.transformer.resblocks.23.ln_1.bias",
            "cond_stage_model.model.text_projection",
            "cond_stage_model.transformer.embeddings.position_ids",
            "conditioner.embedders.0.transformer.text_model.encoder.text_model.embeddings.position_ids",
            "conditioner.embedders.1.model.logit_scale",
            "cond_stage_model.transformer.text_model.encoder.layers.23.self_attn.in_proj.bias",
            "cond_stage_model.transformer.text_model.text_projection",
        ] {
            assert_eq!(meaning(name, SD), Meaning::NotNeeded, "{name}");
        }
        for name in [
            "model.diffusion_model.label_emb.0.1.weight",
            "model.diffusion_model.input_blocks.1.7.weight",
            "model.diffusion_model.output_blocks.x.0.bias",
            "first_stage_model.decoder.up.9.block.0.conv1.bias",
            "something.else",
        ] {
            assert_eq!(meaning(name, SD), Meaning::Unknown, "{name}");
        }
    }
}
