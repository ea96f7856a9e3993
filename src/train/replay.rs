//! Random choices from a file and to a file, to compare a run with another implementation's.
//!
//! A safetensors file with `noise` `[S, B, 4, h, w]` (F32 or F16), `timestep` I64 `[S, B]`, and captions as JSON
//! `[S][B]` in the metadata key `captions`, which hold the token. Clean latents, scaled, are `latents`
//! `[S, B, 4, h, w]`, or a table `latents` `[N, 4, h, w]` that `image` I64 `[S, B]` picks from; without `latents`,
//! `image` picks from the pictures of the run, whose posterior mean is then taken. Where the loss is weighted by
//! position, `weights` F32 `[S, B, h, w]` says how. For SDXL, and no other, `time_ids` F32 `[S, B, 6]`, or
//! `[N, 6]` where `latents` are a table, are the pictures' sizes ([`TimeIds`]); pictures of the run have their own.
//! Where the rest of a prompt counts ([`context`](super::context)), the metadata key `scenes` has sentences as JSON
//! `[S][B]` with `{}` for the token; without it, they are drawn where the settings ask for that loss.

use std::collections::HashMap;

use half::f16;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use super::check::side;
use super::sample::{OfPicture, Sample};
use super::usual;
use crate::base::bytes::sha256;
use crate::config::TrainConfig;
use crate::model::ModelConfig;
use crate::parts::Architecture;
use crate::unet::{TIME_IDS, TimeIds};
use crate::{Error, Result};

/// The choices of a run.
#[derive(Debug, Clone)]
pub struct Replay {
    file: String,
    /// SHA-256 of the file's bytes.
    pub(super) hash: String,
    steps: usize,
    batch: usize,
    size: [usize; 2],
    channels: usize,
    noise: Vec<f32>,
    timesteps: Vec<i64>,
    captions: Vec<Vec<String>>,
    scenes: Option<Vec<Vec<String>>>,
    latents: Latents,
    weights: Option<Vec<f32>>,
    time_ids: Option<Vec<f32>>,
}

#[derive(Debug, Clone)]
enum Latents {
    PerSample(Vec<f32>),
    Table { values: Vec<f32>, image: Vec<i64> },
    Pictures { image: Vec<i64> },
}

impl Replay {
    /// Reads a file. `file` is its name for messages.
    ///
    /// # Errors
    /// [`Error::BadFile`] naming what is missing or does not fit.
    pub fn read(bytes: &[u8], file: &str) -> Result<Self> {
        Self::parse(bytes, file).map_err(|reason| Error::BadFile { file: file.to_owned(), reason })
    }

    fn parse(bytes: &[u8], file: &str) -> Result<Self, String> {
        let tensors = SafeTensors::deserialize(bytes).map_err(|error| error.to_string())?;
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(|error| error.to_string())?;
        let get = |name: &str| tensors.tensor(name).map_err(|_| format!("a replay needs the tensor {name:?}"));
        let noise = get("noise")?;
        let &[steps, batch, channels, h, w] = noise.shape() else {
            return Err(format!("noise must be [steps, batch, channels, h, w], it is {:?}", noise.shape()));
        };
        if steps * batch * h * w == 0 {
            return Err("it holds no samples".to_owned());
        }
        let indices = |name: &str| {
            let view = get(name)?;
            if view.shape() != [steps, batch] || view.dtype() != Dtype::I64 {
                return Err(format!("{name} must be I64 [{steps}, {batch}]"));
            }
            Ok(view.data().as_chunks::<8>().0.iter().map(|b| i64::from_le_bytes(*b)).collect::<Vec<_>>())
        };
        let texts = |key: &str| header.metadata().as_ref().and_then(|metadata| metadata.get(key));
        let captions = texts_of("captions", texts("captions").ok_or("its metadata has no captions")?, steps, batch)?;
        let scenes = texts("scenes").map(|json| texts_of("scenes", json, steps, batch)).transpose()?;
        let latents = match tensors.tensor("latents") {
            Ok(view) if view.shape() == [steps, batch, channels, h, w] => Latents::PerSample(floats(&view)?),
            Ok(view) if view.shape().len() == 4 && view.shape()[1..] == [channels, h, w] => {
                let image = indices("image")?;
                let count = view.shape()[0] as i64;
                if !image.iter().all(|i| (0..count).contains(i)) {
                    return Err(format!("image must pick from the {count} latents"));
                }
                Latents::Table { values: floats(&view)?, image }
            }
            Ok(view) => return Err(format!("latents are {:?}, which does not fit the noise", view.shape())),
            Err(_) => Latents::Pictures { image: indices("image")? },
        };
        let weights = match tensors.tensor("weights") {
            Ok(view) if view.shape() == [steps, batch, h, w] => Some(floats(&view)?),
            Ok(view) => {
                return Err(format!("weights must be [{steps}, {batch}, {h}, {w}], they are {:?}", view.shape()));
            }
            Err(_) => None,
        };
        let time_ids = match tensors.tensor("time_ids") {
            Ok(view) if view.shape() == [steps, batch, TIME_IDS] => Some(floats(&view)?),
            Ok(view) => match &latents {
                Latents::Table { values, image } if view.shape() == [values.len() / (channels * h * w), TIME_IDS] => {
                    let ids = floats(&view)?;
                    let of = |image: &i64| ids[*image as usize * TIME_IDS..][..TIME_IDS].to_vec();
                    Some(image.iter().flat_map(of).collect())
                }
                _ => {
                    let shape = view.shape();
                    return Err(format!(
                        "time_ids must be [{steps}, {batch}, {TIME_IDS}], or a row for each of the latents, they are {shape:?}"
                    ));
                }
            },
            Err(_) => None,
        };
        let timesteps = indices("timestep")?;
        let noise = floats(&noise)?;
        let hash = sha256(bytes);
        Ok(Self {
            file: file.to_owned(),
            hash,
            steps,
            batch,
            size: [h, w],
            channels,
            noise,
            timesteps,
            captions,
            scenes,
            latents,
            weights,
            time_ids,
        })
    }

    /// The captions of the first steps, in order.
    pub(super) fn captions(&self, steps: u32) -> impl Iterator<Item = &str> {
        self.captions.iter().take(steps as usize).flatten().map(String::as_str)
    }

    /// Whether it says in which scenes the rest of a prompt counts.
    pub fn has_scenes(&self) -> bool {
        self.scenes.is_some()
    }

    /// Whether the file itself holds the latents, so that no picture is needed.
    pub fn has_latents(&self) -> bool {
        !matches!(self.latents, Latents::Pictures { .. })
    }

    /// Refuses a file that does not fit a run. Needs no weights, so a front end can ask before it loads them.
    ///
    /// # Errors
    /// [`Error::BadFile`].
    pub fn check(&self, config: &TrainConfig, model: &ModelConfig) -> Result<()> {
        let bad = |reason: String| Err(Error::BadFile { file: self.file.clone(), reason });
        let per_step = usual::samples_per_step(config, model) as usize;
        if self.batch != per_step {
            return bad(format!("it has {} samples a step, the run has {per_step}", self.batch));
        }
        if self.steps < config.steps() as usize {
            return bad(format!("it has {} steps, the run has {}", self.steps, config.steps()));
        }
        let last = model.scheduler.num_train_timesteps as i64;
        if self.timesteps.iter().any(|t| !(0..last).contains(t)) {
            return bad(format!("timesteps must be from 0 up to {}", last - 1));
        }
        match (&self.time_ids, model.architecture) {
            (Some(_), Architecture::Sd) => {
                return bad("it is of a run with SDXL (it has time_ids), and this model is not SDXL".to_owned());
            }
            (None, Architecture::Sdxl) if self.has_latents() => {
                return bad(
                    "it has no time_ids, the sizes of the pictures, without which it is not of a run with SDXL"
                        .to_owned(),
                );
            }
            _ => {}
        }
        let side = side(config, model) as usize / model.vae.pixels_per_latent();
        if self.channels != model.vae.latent_channels || (!self.has_latents() && self.size != [side, side]) {
            return bad(format!("its noise is {} x {:?}, this model's latents are not", self.channels, self.size));
        }
        Ok(())
    }

    /// The samples of one step; `picture` gives what they have of a picture of the run.
    pub(super) fn samples(&self, step: usize, picture: impl Fn(usize) -> Result<OfPicture>) -> Result<Vec<Sample>> {
        let positions = self.size[0] * self.size[1];
        let at = |values: &[f32], count: usize, i: usize| values[i * count..(i + 1) * count].to_vec();
        let latents_at = |values: &[f32], i: usize| at(values, self.channels * positions, i);
        let whole = |latents| OfPicture { latents, weights: None, time_ids: TimeIds::default() };
        (0..self.batch)
            .map(|b| {
                let i = step * self.batch + b;
                let of = match &self.latents {
                    Latents::PerSample(values) => whole(latents_at(values, i)),
                    Latents::Table { values, image } => whole(latents_at(values, image[i] as usize)),
                    Latents::Pictures { image } => picture(usize::try_from(image[i]).unwrap_or(usize::MAX))?,
                };
                let own = self.weights.as_ref().map(|weights| at(weights, positions, i).into());
                let given = self.time_ids.as_ref().and_then(|ids| TimeIds::try_from(at(ids, TIME_IDS, i)).ok());
                Ok(Sample {
                    latents: of.latents,
                    noise: latents_at(&self.noise, i),
                    size: self.size,
                    timestep: self.timesteps[i] as usize,
                    caption: self.captions[step][b].clone(),
                    scene: self.scenes.as_ref().map(|scenes| scenes[step][b].clone()),
                    time_ids: given.unwrap_or(of.time_ids),
                    weights: own.or(of.weights),
                })
            })
            .collect()
    }
}

/// The captions or scenes of every step.
fn texts_of(key: &str, json: &str, steps: usize, batch: usize) -> Result<Vec<Vec<String>>, String> {
    let texts: Vec<Vec<String>> = serde_json::from_str(json).map_err(|error| format!("{key}: {error}"))?;
    if texts.len() != steps || texts.iter().any(|texts| texts.len() != batch) {
        return Err(format!("{key} must be {steps} lists of {batch}"));
    }
    Ok(texts)
}

fn floats(view: &TensorView<'_>) -> Result<Vec<f32>, String> {
    let data = view.data();
    match view.dtype() {
        Dtype::F32 => Ok(data.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect()),
        Dtype::F16 => Ok(data.as_chunks::<2>().0.iter().map(|b| f16::from_le_bytes(*b).to_f32()).collect()),
        other => Err(format!("tensors must be F32 or F16, one is {other:?}")),
    }
}

/// The bytes of a replay file that holds the given steps.
pub(super) fn write(steps: &[Vec<Sample>], tokens: &[&str], config: &ModelConfig, side: u32) -> Vec<u8> {
    let batch = steps.first().map_or(0, Vec::len);
    let channels = config.vae.latent_channels;
    let edge = side as usize / config.vae.pixels_per_latent();
    let [h, w] = steps.first().and_then(|samples| samples.first()).map_or([edge, edge], |sample| sample.size);
    let all = || steps.iter().flatten();
    let bytes = |pick: fn(&Sample) -> &Vec<f32>| -> Vec<u8> {
        all().flat_map(|sample| pick(sample).iter().flat_map(|value| value.to_le_bytes())).collect()
    };
    let (latents, noise) = (bytes(|sample| &sample.latents), bytes(|sample| &sample.noise));
    let timesteps: Vec<u8> = all().flat_map(|sample| (sample.timestep as i64).to_le_bytes()).collect();
    let captions: Vec<Vec<&str>> =
        steps.iter().map(|samples| samples.iter().map(|sample| sample.caption.as_str()).collect()).collect();
    let shape = vec![steps.len(), batch, channels, h, w];
    let view =
        |dtype, shape: Vec<usize>, data| TensorView::new(dtype, shape, data).expect("sizes follow from the samples");
    let mut tensors = vec![
        ("latents", view(Dtype::F32, shape.clone(), latents.as_slice())),
        ("noise", view(Dtype::F32, shape, noise.as_slice())),
        ("timestep", view(Dtype::I64, vec![steps.len(), batch], timesteps.as_slice())),
    ];
    let weights: Vec<u8> = all()
        .flat_map(|sample| sample.weights.as_deref().map_or(vec![1.0; h * w], <[f32]>::to_vec))
        .flat_map(f32::to_le_bytes)
        .collect();
    if all().any(|sample| sample.weights.is_some()) {
        tensors.push(("weights", view(Dtype::F32, vec![steps.len(), batch, h, w], weights.as_slice())));
    }
    let time_ids: Vec<u8> = all().flat_map(|sample| sample.time_ids).flat_map(f32::to_le_bytes).collect();
    if config.architecture == Architecture::Sdxl {
        tensors.push(("time_ids", view(Dtype::F32, vec![steps.len(), batch, TIME_IDS], time_ids.as_slice())));
    }
    let scenes: Option<Vec<Vec<&str>>> =
        steps.iter().map(|samples| samples.iter().map(|sample| sample.scene.as_deref()).collect()).collect();
    let mut metadata = HashMap::from([
        ("captions".to_owned(), serde_json::json!(captions).to_string()),
        ("token".to_owned(), tokens.first().copied().unwrap_or_default().to_owned()),
    ]);
    metadata.extend(tokens.get(1).map(|second| ("second_token".to_owned(), (*second).to_owned())));
    metadata.extend(scenes.map(|scenes| ("scenes".to_owned(), serde_json::json!(scenes).to_string())));
    safetensors::serialize(tensors, Some(metadata)).expect("the names of the tensors are distinct")
}
