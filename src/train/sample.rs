//! What a training step is made of: a sample, and weights for the positions of its latents.

use std::rc::Rc;

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
