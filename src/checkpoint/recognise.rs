//! What a file with tensors is, by the names and shapes of its tensors: a checkpoint that can be run, or something else,
//! which is named together with what to do.

use super::names::{AVERAGES, CLIP, OPEN_CLIP, RENAMED_SECOND, SDXL_CLIP, SDXL_OPEN_CLIP, TEXT, UNET, VAE};
use crate::embedding::ModelFamily;
use crate::parts::Architecture;
use crate::setting::{Setting, named};
use crate::weights::{Header, gguf};

/// A family of checkpoints that can be run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Stable Diffusion 1.x: hidden states 768 wide, OpenAI's CLIP.
    Sd1,
    /// Stable Diffusion 2.x: 1024 wide, OpenCLIP.
    Sd2,
    /// SDXL and what was made of it: both of these encoders, 2048 wide together.
    Sdxl,
    /// The same layout in other sizes, which configuration files must give.
    Other(Architecture),
}

impl Family {
    /// As people call it.
    pub fn label(self) -> &'static str {
        match self {
            Family::Sd1 => ModelFamily::Sd1.name(),
            Family::Sd2 => ModelFamily::Sd2.name(),
            Family::Sdxl => ModelFamily::Sdxl.name(),
            Family::Other(_) => "of unusual sizes",
        }
    }

    /// Which parts it is made of.
    pub fn architecture(self) -> Architecture {
        match self {
            Family::Sd1 | Family::Sd2 => Architecture::Sd,
            Family::Sdxl => Architecture::Sdxl,
            Family::Other(architecture) => architecture,
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

/// What all refusals of another family end with.
macro_rules! another {
    ($what:literal) => {
        concat!($what, ": only Stable Diffusion 1.x, 2.x and SDXL can be run")
    };
}

/// Playground v2.5, in a file or a folder.
pub(crate) const PLAYGROUND: &str =
    "Playground v2.5, which is built like SDXL but has another noise schedule (EDM): that is not supported";

/// Models of other families, whatever else is in the file.
const OTHERS: Marks = &[
    (
        &["conditioner.embedders.0.model."],
        "SDXL's refiner, which only finishes pictures that the base model has begun: use the base model",
    ),
    (&["edm_mean"], PLAYGROUND),
    (&["edm_vpred."], "CosXL, which is built like SDXL but has another noise schedule (EDM): that is not supported"),
    (&["joint_blocks."], another!("a model of the Stable Diffusion 3 family")),
    (&["double_blocks.", "single_transformer_blocks."], another!("a model of the Flux family")),
    (
        &[
            "transformer_blocks.0.attn1.to_q.weight_scale",
            "clip_txt_mapper.",
            "adaln_single.",
            "patch_embedding.weight",
            "context_embedder.",
            "conditioner.embedders.0.open_clip.",
        ],
        another!("a model of another family"),
    ),
    (
        &["time_embed.cond_proj.", "time_embedding.cond_proj."],
        "a guidance-distilled model (LCM): its U-Net takes the guidance as an input, which is not supported",
    ),
    (&["cond_stage_model.transformer.token_emb."], another!("an old latent diffusion model with another text encoder")),
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
    let is_sdxl = begins(SDXL) || begins(RENAMED_SECOND);
    let architecture = if is_sdxl { Architecture::Sdxl } else { Architecture::Sd };
    let parts = parts(architecture);
    let is_there = |starts: &[&str]| starts.iter().any(|start| begins(start));
    let whole = parts.iter().all(|(starts, _)| is_there(starts));
    let companions = if whole { &[] } else { COMPANIONS };
    if let Some((_, what)) = companions.iter().chain(OTHERS).find(|(marks, _)| any(marks)) {
        return Err((*what).to_owned());
    }
    let missing: Vec<&str> = parts.iter().filter(|(starts, _)| !is_there(starts)).map(|(_, name)| *name).collect();
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
            "an incomplete checkpoint, without {}: get a file that has U-Net, {} and autoencoder, or a \
             diffusers folder",
            missing.join(" and "),
            if architecture == Architecture::Sdxl { "both text encoders" } else { "text encoder" }
        ));
    }
    check_inputs(header)?;
    match architecture {
        Architecture::Sd if begins(ADDED) => {
            Err("a model whose U-Net takes more than a prompt (unCLIP, upscalers), which is not supported".to_owned())
        }
        Architecture::Sd if !begins(CLIP) && !begins(OPEN_CLIP) => {
            Err("a checkpoint with a text encoder of another family than CLIP".to_owned())
        }
        _ => Ok(sizes(header, architecture)),
    }
}

/// What names begin with in SDXL's files and in no others that can be run.
const SDXL: &str = "conditioner.embedders.";
/// What a U-Net makes of what it takes beside a prompt's hidden states.
const ADDED: &str = "model.diffusion_model.label_emb.";

/// What the names of a part may begin with, and what it is called.
type Beginnings = (&'static [&'static str], &'static str);

/// Those of each part.
fn parts(architecture: Architecture) -> &'static [Beginnings] {
    match architecture {
        Architecture::Sd => &[(&[UNET], "U-Net"), (&[TEXT], "text encoder"), (&[VAE], "autoencoder")],
        Architecture::Sdxl => &[
            (&[UNET], "U-Net"),
            (&[SDXL_CLIP, CLIP], "text encoder"),
            (&[SDXL_OPEN_CLIP, RENAMED_SECOND], "second text encoder"),
            (&[VAE], "autoencoder"),
        ],
    }
}

/// Refuses a U-Net that takes something else than latents.
fn check_inputs(header: &Header) -> Result<(), String> {
    let inputs = header.get("model.diffusion_model.input_blocks.0.0.weight").and_then(|entry| entry.shape.get(1));
    Err(match inputs {
        Some(4) => return Ok(()),
        Some(9) => "an inpainting model (its U-Net takes 9 channels: latents, a mask and a masked picture): use \
                    the model that it was made from"
            .to_owned(),
        Some(8) => "a model that edits pictures (InstructPix2Pix: 8 channels); that is not supported".to_owned(),
        Some(7) => "an upscaler (7 channels); that is not supported".to_owned(),
        Some(5) => "a depth model (5 channels); that is not supported".to_owned(),
        Some(count) => format!("a model whose U-Net takes {count} channels; 4 are expected"),
        None => "a checkpoint of another family: its U-Net has no input_blocks".to_owned(),
    })
}

/// The family whose published model has these sizes.
fn sizes(header: &Header, architecture: Architecture) -> Family {
    let width = header
        .tensors()
        .find(|entry| entry.name.starts_with(UNET) && entry.name.ends_with(".attn2.to_k.weight"))
        .and_then(|entry| entry.shape.get(1));
    // Smaller models were distilled from SDXL, with fewer layers in the same places.
    let is_deep = || header.get("model.diffusion_model.middle_block.1.transformer_blocks.9.norm1.weight").is_some();
    match (architecture, width) {
        (Architecture::Sd, Some(768)) => Family::Sd1,
        (Architecture::Sd, Some(1024)) => Family::Sd2,
        (Architecture::Sdxl, Some(2048)) if is_deep() => Family::Sdxl,
        _ => Family::Other(architecture),
    }
}

/// Names a file that has none of a checkpoint's parts.
fn piece(header: &Header) -> String {
    if let Some(other) = header.is_gguf().then(|| gguf::other_kind(header.metadata())).flatten() {
        return other;
    }
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
        // That ComfyUI-GGUF writes such files is worth a word: others are called the same.
        let what =
            if header.is_gguf() { format!("{what}, as GGUF files for ComfyUI have it") } else { (*what).to_owned() };
        let whole = if header.is_gguf() { ", such as stable-diffusion.cpp writes," } else { "," };
        return format!(
            "{what}: {} takes a whole model{whole} in one file or as the folder with unet/, vae/, text_encoder/, \
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
