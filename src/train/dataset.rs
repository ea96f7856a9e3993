//! Pictures, encoded once: what training needs of them is the mean and spread of their latents.

use std::collections::VecDeque;

use burn::tensor::Tensor;

use super::check::side;
use super::describe::Describing;
use super::learner::Learner;
use super::sample::PositionWeights;
use super::{TrainPicture, masks};
use crate::config::{Framing, TrainConfig};
use crate::event::{EvaluatedOn, Event};
use crate::image::{Seen, mirror, square, time_ids, to_floats};
use crate::model::Model;
use crate::unet::TimeIds;
use crate::vae::VaeEncoder;
use crate::vae::tiling::{self, Map};
use crate::{Error, Result, layout, ops};

/// The posterior of one view of a picture, on the host.
pub(super) struct CachedLatents {
    /// Means, `[4, h, w]`.
    pub mean: Vec<f32>,
    /// Standard deviations, `[4, h, w]`.
    pub std: Vec<f32>,
    /// Height and width.
    pub size: [usize; 2],
    /// The sizes of the picture, in pixels.
    pub time_ids: TimeIds,
    /// How much the loss at each position counts, `[h, w]`; none where all count alike.
    pub weights: Option<PositionWeights>,
}

/// The views (as it is, and mirrored) of each picture, and its own caption if it has one.
#[derive(Default)]
pub(super) struct Dataset {
    pub pictures: Vec<Vec<CachedLatents>>,
    /// What they are called.
    pub names: Vec<String>,
    /// What can be seen of them without a model, if that is asked.
    pub seen: Vec<Seen>,
    pub captions: Vec<Option<String>>,
}

/// Pictures on their way into their datasets.
pub(super) struct Encoding {
    waiting: VecDeque<(EvaluatedOn, TrainPicture)>,
    encoder: Option<VaeEncoder>,
    side: u32,
    framing: Framing,
    outside: f64,
    flips: bool,
    training: Dataset,
    unseen: Dataset,
}

impl Encoding {
    pub fn new(config: &TrainConfig, model: &Model, pictures: Vec<TrainPicture>, unseen: Vec<TrainPicture>) -> Self {
        let training = pictures.into_iter().map(|picture| (EvaluatedOn::Training, picture));
        let unseen = unseen.into_iter().map(|picture| (EvaluatedOn::Unseen, picture));
        Self {
            waiting: training.chain(unseen).collect(),
            encoder: None,
            side: side(config, &model.config),
            framing: config.framing,
            outside: config.outside,
            flips: !config.no_flip,
            training: Dataset::default(),
            unseen: Dataset::default(),
        }
    }

    /// What was encoded, for training and unseen.
    pub fn into_datasets(self) -> (Dataset, Dataset) {
        (self.training, self.unseen)
    }

    /// Encodes the next picture, or makes the next caption once all are encoded; gives what happened, which is nothing when all
    /// is done.
    pub async fn next(&mut self, learner: &Learner, describing: &mut Describing) -> Result<Vec<Event>> {
        let (mut events, model) = (Vec::new(), &*learner.model);
        let Some((set, mut next)) = self.waiting.pop_front() else {
            // Nothing needs it any more.
            if self.encoder.take().is_some() {
                ops::release_unused(&model.device);
            }
            events.extend(describing.next([&mut self.training, &mut self.unseen], learner).await?);
            return Ok(events);
        };
        events.extend(next.picture.take_warning());
        let encoder = match &mut self.encoder {
            Some(encoder) => encoder,
            missing => missing.insert(model.encoder(&mut |event| events.push(event)).await?),
        };
        let (pixels, prepared) = square(&next.picture, self.side, self.framing);
        let mut views = vec![to_floats(&pixels)];
        if self.flips {
            views.push(to_floats(&mirror(&pixels)));
        }
        let mut cached = Vec::new();
        for (i, view) in views.iter().enumerate() {
            let mut view = encode(view, self.side as usize, &next.picture.name, encoder, model).await?;
            view.time_ids = time_ids(&next.picture, self.side, self.framing);
            view.weights = masks::position_weights(&next, self.framing, self.outside, view.size, i == 1)?;
            cached.push(view);
        }
        let dataset = if set == EvaluatedOn::Training { &mut self.training } else { &mut self.unseen };
        dataset.pictures.push(cached);
        dataset.names.push(next.picture.name.clone());
        dataset.seen.push(if describing.is_wanted() { Seen::of(&pixels) } else { Seen::default() });
        dataset.captions.push(next.caption);
        let done = (self.training.pictures.len() + self.unseen.pictures.len()) as u32;
        let total = done + self.waiting.len() as u32;
        events.push(Event::Encode { done, total, name: next.picture.name, prepared });
        Ok(events)
    }
}

/// The posterior of one view, `[side, side, 3]`, of the picture `name`.
async fn encode(view: &[f32], side: usize, name: &str, encoder: &VaeEncoder, model: &Model) -> Result<CachedLatents> {
    let tensor = Tensor::<1>::from_floats(view, &model.device).reshape([1, side, side, 3]);
    let tile = tiling::TILE * model.config.vae.pixels_per_latent();
    let Map { size: size @ [h, w], channels, values } = tiling::encode(encoder, &tensor, tile).await?;
    if values.iter().any(|value| !value.is_finite()) {
        let reason = "the autoencoder gives NaN or infinite values for it".to_owned();
        return Err(Error::BadPicture { file: name.to_owned(), reason });
    }
    let mut mean = layout::channels_first(&values, [1, h, w, channels]);
    let std = mean.split_off(mean.len() / 2);
    Ok(CachedLatents { mean, std, size, time_ids: TimeIds::default(), weights: None })
}
