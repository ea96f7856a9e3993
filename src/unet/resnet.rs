//! The residual block and the blocks that change the resolution; the autoencoder uses them too.

use std::ops::Range;

use crate::Result;
use crate::ops::upsample_nearest_2x;
use crate::ops::{Conv2d, Linear, Norm, Shift, Var, Weight, conv2d, conv2d_add, conv2d_shifted};
use crate::ops::{group_norm_silu, group_norm_silu_joined};
use crate::weights::Weights;

/// Two convolutions with normalisation and `silu` before each, and the input added back (diffusers `ResnetBlock2D`).
#[derive(Clone)]
pub(crate) struct ResnetBlock2D {
    pub norm1: Norm,
    pub conv1: Conv2d,
    /// Which of the columns that the time embedding is projected to are added to the channels of the first convolution,
    /// its bias included: the first of them. None in the autoencoder.
    time: Option<usize>,
    pub norm2: Norm,
    pub conv2: Conv2d,
    pub conv_shortcut: Option<Conv2d>,
}

impl ResnetBlock2D {
    /// Loads a block of `[in, out]` channels.
    pub async fn load(weights: Weights<'_>, [inputs, outputs]: [usize; 2], groups: usize, eps: f64) -> Result<Self> {
        Ok(Self {
            norm1: weights.norm("norm1", inputs, groups, eps).await?,
            conv1: weights.conv2d("conv1", [inputs, outputs], 3, 1, [1; 4]).await?,
            time: None,
            norm2: weights.norm("norm2", outputs, groups, eps).await?,
            conv2: weights.conv2d("conv2", [outputs, outputs], 3, 1, [1; 4]).await?,
            conv_shortcut: if inputs == outputs {
                None
            } else {
                Some(weights.conv2d("conv_shortcut", [inputs, outputs], 1, 1, [0; 4]).await?)
            },
        })
    }

    /// The block for results of this `projection` of the time embedding, which will be `columns` of a table. Projection
    /// and first convolution each add a bias to every pixel: the projection gets both.
    pub fn shifted_by(&mut self, projection: &mut Linear, columns: Range<usize>) {
        let biases = projection.bias.take().into_iter().chain(self.conv1.bias.take());
        projection.bias = biases.map(|bias| bias.f32()).reduce(|a, b| a + b).map(Weight::new);
        self.time = Some(columns.start);
    }

    /// `x` `[B, H, W, Cin]` to `[B, H, W, Cout]`; `time` is the table of all projections of the time embedding, with a
    /// row for each sample.
    pub fn forward(&self, x: &Var<4>, time: Option<&Var<2>>) -> Var<4> {
        self.after_norm(group_norm_silu(x, &self.norm1), x, time)
    }

    /// [`forward`](Self::forward) of `x` and `skip`, channel after channel.
    pub fn forward_joined(&self, x: &Var<4>, skip: &Var<4>, time: &Var<2>) -> Var<4> {
        let [h, joined] = group_norm_silu_joined(x, skip, &self.norm1);
        self.after_norm(h, &joined, Some(time))
    }

    /// What follows the first normalisation, which made `h` of `x`.
    fn after_norm(&self, mut h: Var<4>, x: &Var<4>, time: Option<&Var<2>>) -> Var<4> {
        h = match (self.time, time) {
            (Some(first), Some(table)) => conv2d_shifted(&h, &self.conv1, &Shift { table: table.clone(), first }),
            _ => conv2d(&h, &self.conv1),
        };
        // Not by another name: what it was made from is let go.
        h = group_norm_silu(&h, &self.norm2);
        match &self.conv_shortcut {
            Some(shortcut) => conv2d_add(&h, &self.conv2, &conv2d(x, shortcut)),
            None => conv2d_add(&h, &self.conv2, x),
        }
    }
}

/// A convolution of stride 2.
#[derive(Clone)]
pub(crate) struct Downsample2D {
    pub conv: Conv2d,
}

impl Downsample2D {
    /// `padding` is top, left, bottom, right: the U-Net pads all around, the autoencoder only at the far sides.
    pub async fn load(weights: Weights<'_>, channels: usize, padding: [usize; 4]) -> Result<Self> {
        Ok(Self { conv: weights.conv2d("conv", [channels, channels], 3, 2, padding).await? })
    }

    pub fn forward(&self, x: &Var<4>) -> Var<4> {
        conv2d(x, &self.conv)
    }
}

/// Nearest-neighbour doubling, perhaps without the last row or column, then a convolution.
#[derive(Clone)]
pub(crate) struct Upsample2D {
    pub conv: Conv2d,
}

impl Upsample2D {
    pub async fn load(weights: Weights<'_>, channels: usize) -> Result<Self> {
        Ok(Self { conv: weights.conv2d("conv", [channels, channels], 3, 1, [1; 4]).await? })
    }

    /// To `size`, the height and width: twice those of `x`, or one less.
    pub fn forward(&self, x: &Var<4>, size: [usize; 2]) -> Var<4> {
        conv2d(&upsample_nearest_2x(x, size), &self.conv)
    }
}
