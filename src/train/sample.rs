//! What a training step is made of: a sample, and weights for the positions of its latents.

use std::rc::Rc;

use super::dataset::CachedLatents;
use crate::unet::TimeIds;

/// One sample of a training step, on the host.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sample {
    /// Clean latents, scaled, `[4, h, w]`.
    pub latents: Vec<f32>,
    /// The noise that is mixed in, `[4, h, w]`.
    pub noise: Vec<f32>,
    /// Height and width of the latents.
    pub size: [usize; 2],
    /// The timestep.
    pub timestep: usize,
    /// The caption, with the token in it.
    pub caption: String,
    /// A sentence to put the token into, with `{}` for it, to see whether its other words still work; none where that is of
    /// no interest.
    pub scene: Option<String>,
    /// The sizes of the picture, which SDXL is told.
    pub time_ids: TimeIds,
    /// How much the loss at each position of the latents counts, `[h, w]`; none where all count alike.
    pub weights: Option<PositionWeights>,
}

impl Sample {
    /// The middle of what a view of a picture may be encoded as, with noise, for somebody who only looks at it: with no caption
    /// and without weights. `scale` is the autoencoder's scaling factor.
    pub fn of_mean(view: &CachedLatents, scale: f32, timestep: usize, noise: Vec<f32>) -> Self {
        Self {
            latents: view.mean.iter().map(|mean| mean * scale).collect(),
            noise,
            size: view.size,
            timestep,
            caption: String::new(),
            scene: None,
            time_ids: view.time_ids,
            weights: None,
        }
    }
}

/// A weight for each position of some latents, `[h, w]`.
pub(super) type PositionWeights = Rc<[f32]>;

/// What a sample has of a picture.
pub(super) struct OfPicture {
    /// Scaled latents, `[4, h, w]`.
    pub latents: Vec<f32>,
    /// Weights of their positions.
    pub weights: Option<PositionWeights>,
    /// The sizes of the picture.
    pub time_ids: TimeIds,
}
