//! What a safetensors file is, by the names and shapes of its tensors: a checkpoint that can be run, or something else,
//! which is named together with what to do.

use super::names::{AVERAGES, CLIP, OPEN_CLIP, TEXT, UNET, VAE};
use crate::setting::{Setting, named};
use crate::weights::Header;

/// A family of checkpoints that can be run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Stable Diffusion 1.x: hidden states 768 wide, OpenAI's CLIP.
    Sd1,
    /// Stable Diffusion 2.x: 1024 wide, OpenCLIP.
    Sd2,
    /// The same layout in other sizes, which configuration files must give.
    Other,
}

impl Family {
    /// As people call it.
    pub fn label(self) -> &'static str {
        match self {
            Family::Sd1 => "Stable Diffusion 1.x",
            Family::Sd2 => "Stable Diffusion 2.x",
            Family::Other => "of unusual sizes",
        }
    }
}

/// Parts of names, what a file with such a name is, and what to do about it. The first match counts.
type Marks = &'static [(&'static [&'static str], &'static str)];

/// What goes with a model. A file that has a whole model, too, is that model: some programs leave in it what they merged.
const COMPANIONS: Marks = &[
    (
        &[
            "lora_unet_",
            "lora_te",
            ".lora_A.",
            ".lora_B.",
            ".lora_up.",
            ".lora_down.",
            ".lora.up.",
            ".hada_w",
            ".lokr_w",
            ".dora_scale",
            "lora_linear_layer",
        ],
        concat!(
            "a LoRA, which changes a model but is not one: ",
            named!(model),
            " takes the model; LoRAs are not supported"
        ),
    ),
    (
        &["control_model.", "controlnet_", "controlnet_cond_embedding."],
        concat!("a ControlNet, which steers a model but is not one: ", named!(model), " takes the model"),
    ),
    (&["motion_modules."], "a motion module (AnimateDiff), which does not make pictures"),
    (
        &["image_proj.", "ip_adapter."],
        concat!("an IP-Adapter, which steers a model but is not one: ", named!(model), " takes the model"),
    ),
];

/// Models of other families, whatever else is in the file.
const OTHERS: Marks = &[
    (
        &["conditioner.embedders.", "model.diffusion_model.label_emb."],
        "a model of the SDXL family: only Stable Diffusion 1.x and 2.x can be run",
    ),
    (&["joint_blocks."], "a model of the Stable Diffusion 3 family: only Stable Diffusion 1.x and 2.x can be run"),
    (
        &["double_blocks.", "single_transformer_blocks."],
        "a model of the Flux family: only Stable Diffusion 1.x and 2.x can be run",
    ),
    (
        &[
            "transformer_blocks.0.attn1.to_q.weight_scale",
            "clip_txt_mapper.",
            "adaln_single.",
            "patch_embedding.weight",
            "context_embedder.",
        ],
        "a model of another family: only Stable Diffusion 1.x and 2.x can be run",
    ),
    (
        &["time_embed.cond_proj.", "time_embedding.cond_proj."],
        "a guidance-distilled model (LCM): its U-Net takes the guidance as an input, which is not supported",
    ),
    (
        &["cond_stage_model.transformer.token_emb."],
        "an old latent diffusion model with another text encoder: only Stable Diffusion 1.x and 2.x can be run",
    ),
];

/// Parts of names of files that are a piece of a model.
const PIECES: Marks = &[
    (&["down_blocks.", "input_blocks.", "mid_block.attentions"], "a U-Net alone"),
    (&["decoder.up_blocks.", "decoder.up.", "post_quant_conv"], "an autoencoder (VAE) alone"),
    (&["text_model.", "resblocks.", "token_embedding."], "a text encoder alone"),
];

/// Names the file.
///
/// # Errors
/// What it is instead of a model that can be run, and what to do: the end of a sentence that begins with "this is".
pub(super) fn recognise(header: &Header) -> Result<Family, String> {
    let names = || header.tensors().map(|entry| entry.name.as_str());
    let any = |marks: &[&str]| names().any(|name| marks.iter().any(|mark| name.contains(mark)));
    let begins = |start: &str| names().any(|name| name.starts_with(start));
    let parts = [(UNET, "U-Net"), (TEXT, "text encoder"), (VAE, "autoencoder")];
    let whole = parts.iter().all(|(start, _)| begins(start));
    let companions = if whole { &[] } else { COMPANIONS };
    if let Some((_, what)) = companions.iter().chain(OTHERS).find(|(marks, _)| any(marks)) {
        return Err((*what).to_owned());
    }
    let missing: Vec<&str> = parts.iter().filter(|(start, _)| !begins(start)).map(|(_, name)| *name).collect();
    if !begins(UNET) && begins(AVERAGES) {
        return Err("a checkpoint that has only the averages (EMA) of its U-Net's weights (model_ema), which are not read: get \
                    the file with the plain weights, or one in which they were put in their place"
            .to_owned());
    }
    if missing.len() == parts.len() {
        return Err(piece(header));
    }
    if !missing.is_empty() {
        return Err(format!(
            "an incomplete checkpoint, without {}: get a file that has U-Net, text encoder and autoencoder, or a \
             diffusers folder",
            missing.join(" and ")
        ));
    }
    let inputs = header.get("model.diffusion_model.input_blocks.0.0.weight").and_then(|entry| entry.shape.get(1));
    match inputs {
        Some(4) => {}
        Some(9) => {
            return Err("an inpainting model (its U-Net takes 9 channels: latents, a mask and a masked picture): use \
                        the model that it was made from"
                .to_owned());
        }
        Some(8) => {
            return Err("a model that edits pictures (InstructPix2Pix: 8 channels); that is not supported".to_owned());
        }
        Some(7) => return Err("an upscaler (7 channels); that is not supported".to_owned()),
        Some(5) => return Err("a depth model (5 channels); that is not supported".to_owned()),
        Some(count) => return Err(format!("a model whose U-Net takes {count} channels; 4 are expected")),
        None => return Err("a checkpoint of another family: its U-Net has no input_blocks".to_owned()),
    }
    if !begins(CLIP) && !begins(OPEN_CLIP) {
        return Err("a checkpoint with a text encoder of another family than CLIP".to_owned());
    }
    let width = header
        .tensors()
        .find(|entry| entry.name.starts_with(UNET) && entry.name.ends_with(".attn2.to_k.weight"))
        .and_then(|entry| entry.shape.get(1));
    Ok(match width {
        Some(768) => Family::Sd1,
        Some(1024) => Family::Sd2,
        _ => Family::Other,
    })
}

/// Names a file that has none of a checkpoint's parts.
fn piece(header: &Header) -> String {
    let mut entries = header.tensors();
    if let (Some(first), count @ 1..=4) = (header.tensors().next(), header.tensors().count())
        && entries.all(|entry| entry.shape.len() <= 2)
    {
        let name = crate::embedding::shown(&first.name);
        return format!("probably an embedding ({count} tensors, {name}): use {} for it", Setting::Embedding);
    }
    let found = PIECES
        .iter()
        .find(|(marks, _)| header.tensors().any(|entry| marks.iter().any(|mark| entry.name.contains(mark))));
    if let Some((_, what)) = found {
        return format!(
            "{what}: {} takes a whole model, in one file or as the folder with unet/, vae/, text_encoder/, \
             tokenizer/ and scheduler/",
            Setting::Model
        );
    }
    match header.tensors().next() {
        Some(first) => {
            let (count, name) = (header.tensors().count(), crate::embedding::shown(&first.name));
            format!("not a Stable Diffusion model: it holds {count} tensors ({name}, ...)")
        }
        None => "not a model: it holds no tensors".to_owned(),
    }
}
