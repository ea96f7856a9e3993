//! The configurations of a model's parts, and what follows from them.

use crate::checkpoint::PLAYGROUND;
use crate::embedding::{Embedding, ModelFamily};
use crate::parts::{Architecture, Part};
use crate::schedule::SchedulerConfig;
use crate::source::{Source, architecture, read_text};
use crate::text::{ClipTextConfig, Taken};
use crate::unet::{SampleSize, UnetConfig};
use crate::vae::VaeConfig;
use crate::{Error, Result};

/// The configurations of a model's parts.
#[derive(Debug, Clone)]
pub struct ModelConfig {
    /// Which parts the model is made of.
    pub architecture: Architecture,
    /// The text encoders', in the order of [`Architecture::text_encoders`].
    pub text_encoders: Vec<ClipTextConfig>,
    /// Whether zeros stand for a negative prompt that is empty, if the user does not choose (`force_zeros_for_empty_prompt` in
    /// `model_index.json`).
    pub force_zeros: bool,
    /// The U-Net's.
    pub unet: UnetConfig,
    /// The autoencoder's.
    pub vae: VaeConfig,
    /// The noise schedule's.
    pub scheduler: SchedulerConfig,
}

impl ModelConfig {
    /// Reads the configuration files of a diffusers folder.
    ///
    /// # Errors
    /// [`Error::ModelPartMissing`] for a missing file, [`Error::BadConfig`] for one that cannot be run.
    pub async fn read(source: &dyn Source) -> Result<Self> {
        let read = async |part: Part| {
            let path = part.config();
            let missing =
                || Error::ModelPartMissing { model: source.name(), part: part.to_string(), expected: path.to_owned() };
            let text = read_text(source, path).await?.ok_or_else(missing)?;
            Ok::<_, Error>((text, source.origin(path, "").0))
        };
        // First, because this names models that lack other parts.
        let (unet, unet_file) = read(Part::Unet).await?;
        let unet = UnetConfig::from_json(&unet, &unet_file)?;
        let architecture = architecture(source).await?;
        let mut text_encoders = Vec::new();
        for (part, _) in architecture.text_encoders().iter().copied() {
            let (text, file) = read(part).await?;
            text_encoders.push(ClipTextConfig::from_json(&text, &file)?);
        }
        let (vae, vae_file) = read(Part::Vae).await?;
        let (scheduler, file) = read(Part::Scheduler).await?;
        let schedule = SchedulerConfig::from_json(&scheduler, &file);
        let vae = match (VaeConfig::from_json(&vae, &vae_file), &schedule) {
            (Err(_), Err(Error::BadConfig { .. })) if is_playground(&vae, &scheduler) => {
                return Err(Error::BadConfig { file: vae_file, reason: format!("this is {PLAYGROUND}") });
            }
            (vae, _) => vae?,
        };
        let scheduler = schedule?.corrected_for(architecture);
        let force_zeros = architecture == Architecture::Sdxl && forces_zeros(source).await?;
        let config = Self { architecture, text_encoders, force_zeros, unet, vae, scheduler };
        config.check().map_err(|reason| Error::BadConfig { file: unet_file, reason })?;
        Ok(config)
    }

    /// Says what does not fit together.
    fn check(&self) -> Result<(), String> {
        let (unet, vae) = (&self.unet, &self.vae);
        // First, because a text encoder that is missing makes the others' width wrong, too.
        match (unet.added()?, self.architecture) {
            (Some(added), Architecture::Sdxl) => {
                let pooled = self.text_encoders.last().map_or(0, |text| text.projection_dim);
                if added.pooled != pooled {
                    return Err(format!(
                        "it adds a vector of {} numbers to the time embedding (projection_class_embeddings_input_dim), but the \
                         second text encoder's has {pooled} (projection_dim)",
                        added.pooled
                    ));
                }
            }
            (None, Architecture::Sd) => {}
            (Some(_), Architecture::Sd) => {
                return Err(
                    "it takes a prompt's vector as SDXL does (addition_embed_type text_time), but the model has \
                    no second text encoder"
                        .to_owned(),
                );
            }
            (None, Architecture::Sdxl) => {
                return Err(
                    "the model has two text encoders, but its U-Net is not SDXL's (addition_embed_type)".to_owned()
                );
            }
        }
        for level in 0..unet.block_out_channels.len() {
            let (width, states) = (unet.cross_attention_dim.at(level), self.word_width());
            if width != states {
                let whose = if self.text_encoders.len() == 1 {
                    "the text encoder's width"
                } else {
                    "both text encoders' width"
                };
                return Err(format!("cross_attention_dim is {width}, but {whose} is {states}"));
            }
        }
        let (inputs, outputs, latents) = (unet.in_channels, unet.out_channels, vae.latent_channels);
        if inputs == latents && outputs == latents {
            return Ok(());
        }
        let channels =
            format!("the U-Net takes {inputs} channels and gives {outputs}, the autoencoder makes {latents}");
        let more = inputs.checked_sub(latents).filter(|_| outputs == latents);
        Err(match more.and_then(|more| beside_latents(latents, more)) {
            Some(what) => format!("{channels}: this is {what}, which is not supported"),
            None => format!("{channels}: they do not belong to one model"),
        })
    }

    /// The first text encoder's configuration.
    ///
    /// # Panics
    /// If there is none, which no model that was read has.
    pub fn text(&self) -> &ClipTextConfig {
        &self.text_encoders[0]
    }

    /// What is taken of each text encoder, in their order.
    pub fn taken(&self) -> impl Iterator<Item = Taken> {
        self.architecture.text_encoders().iter().map(|(part, _)| Taken::of(self.architecture, *part))
    }

    /// Weights that are never loaded, by their part and the beginning of their names.
    pub fn left_in_files(&self) -> Vec<(Part, String)> {
        let encoders = self.architecture.text_encoders().iter().zip(&self.text_encoders).zip(self.taken());
        let left = |((&(part, _), text), taken): ((&(Part, Part), &ClipTextConfig), Taken)| {
            taken.leaves(text).into_iter().map(move |begin| (part, begin))
        };
        encoders.flat_map(left).collect()
    }

    /// Widths of an embedding's vectors, one for each text encoder.
    pub fn word_widths(&self) -> Vec<usize> {
        self.text_encoders.iter().map(|text| text.hidden_size).collect()
    }

    /// Refuses an embedding that is for other text encoders than this model's. `file` is for the message.
    ///
    /// # Errors
    /// [`Error::WrongWidth`], naming both families.
    pub fn check_embedding(&self, embedding: &Embedding, file: &str) -> Result<()> {
        let (widths, expected) = (embedding.widths(), self.word_widths());
        if widths == expected { Ok(()) } else { Err(Error::WrongWidth { file: file.to_owned(), widths, expected }) }
    }

    /// Width of a learned word's rows, and of a prompt's hidden states: those of all text encoders, side by side.
    pub fn word_width(&self) -> usize {
        self.text_encoders.iter().map(|text| text.hidden_size).sum()
    }

    /// The family that the model belongs to, by the widths of its text encoders; none for sizes that no published family has.
    pub fn family(&self) -> Option<ModelFamily> {
        ModelFamily::of(&self.word_widths())
    }

    /// The family whose usual settings the model is used with: its own, or where that is unknown the one that is made of the same
    /// parts.
    pub fn usual_family(&self) -> ModelFamily {
        self.family().unwrap_or(match self.architecture {
            Architecture::Sd => ModelFamily::Sd1,
            Architecture::Sdxl => ModelFamily::Sdxl,
        })
    }

    /// How it is said that settings are usual for the model: `usual for Stable Diffusion 1.x`.
    pub fn usual_for(&self) -> String {
        let name = self.usual_family().name();
        match self.family() {
            Some(_) => format!("usual for {name}"),
            None => format!("usual for {name} (this model's own family is unknown)"),
        }
    }

    /// The layers of the text encoder, where the states may be taken from an earlier one than the last: in Stable Diffusion 1.x,
    /// whose text encoder is OpenAI's. 2.x (OpenCLIP's) and SDXL were trained with the layer before the last.
    pub fn clip_layers(&self) -> Option<usize> {
        let text = self.text();
        let is_sd1 = self.architecture == Architecture::Sd && text.hidden_act == "quick_gelu";
        is_sd1.then_some(text.num_hidden_layers)
    }

    /// Tokens in a prompt, start and end included.
    pub fn prompt_length(&self) -> usize {
        self.text().max_position_embeddings
    }

    /// Height and width in pixels of the pictures that the model was trained on.
    pub fn picture_size(&self) -> [u32; 2] {
        // SD 1.5's U-Net says 64; a file that says nothing is assumed to be of its kind.
        let sides = self.unet.sample_size.map_or([64; 2], SampleSize::sides);
        let pixels = |side: usize| side.saturating_mul(self.vae.pixels_per_latent()).try_into().unwrap_or(u32::MAX);
        sides.map(pixels)
    }

    /// The side in pixels of the squares that the model was trained on; of oblong pictures the shorter one.
    pub fn resolution(&self) -> u32 {
        let [height, width] = self.picture_size();
        height.min(width)
    }

    /// Sides in pixels must be a multiple of this.
    pub fn size_step(&self) -> u32 {
        self.vae.pixels_per_latent() as u32
    }
}

/// What a U-Net is for that takes more channels than latents have.
fn beside_latents(latents: usize, more: usize) -> Option<&'static str> {
    match more {
        // A mask and a masked picture.
        more if more == latents + 1 => Some("an inpainting model"),
        more if more == latents => Some("a model that edits pictures (InstructPix2Pix)"),
        1 => Some("a depth model"),
        3 => Some("an upscaler"),
        _ => None,
    }
}

/// Whether a model is Playground v2.5, by what its autoencoder and its noise schedule have.
fn is_playground(vae: &str, scheduler: &str) -> bool {
    vae.contains("\"latents_mean\"") && scheduler.contains("\"EDM")
}

/// Whether a model says that zeros stand for an empty negative prompt. diffusers' default, where it does not say, is that they do.
async fn forces_zeros(source: &dyn Source) -> Result<bool> {
    let Some(text) = read_text(source, Part::MODEL_INDEX).await? else { return Ok(true) };
    let index: serde_json::Value = serde_json::from_str(text.trim_start_matches('\u{feff}')).map_err(|error| {
        Error::BadConfig { file: source.origin(Part::MODEL_INDEX, "").0, reason: error.to_string() }
    })?;
    Ok(index.get("force_zeros_for_empty_prompt").and_then(serde_json::Value::as_bool).unwrap_or(true))
}
