//! What a training step is made of: a sample, and weights for the positions of its latents.

use std::rc::Rc;

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
    /// How much the loss at each position of the latents counts, `[h, w]`; none where all count alike.
    pub weights: Option<PositionWeights>,
}

/// A weight for each position of some latents, `[h, w]`.
pub(super) type PositionWeights = Rc<[f32]>;

/// The scaled latents of a picture, and the weights of their positions.
pub(super) type WeightedLatents = (Vec<f32>, Option<PositionWeights>);
