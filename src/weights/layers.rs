//! The layers that modules are made of, from their weights.

use super::{Filter, Weights};
use crate::Result;
use crate::ops::{Conv2d, Linear, Norm};

impl Weights<'_> {
    /// A linear layer: `weight` `[out, in]` (or a 1x1 convolution's `[out, in, 1, 1]`), `bias` `[out]`.
    pub async fn linear(&self, name: &str, inputs: usize, outputs: usize, bias: bool) -> Result<Linear> {
        let layer = self.at(name);
        let shapes: [&[usize]; 2] = [&[outputs, inputs], &[outputs, inputs, 1, 1]];
        let weight = layer.send("weight", &shapes, [outputs, inputs], None).await?;
        let bias = if bias { Some(layer.tensor("bias", [outputs]).await?) } else { None };
        Ok(Linear { weight, bias })
    }

    /// A square convolution with a bias. `padding` is top, left, bottom, right.
    pub async fn conv2d(
        &self,
        name: &str,
        [inputs, outputs]: [usize; 2],
        kernel: usize,
        stride: usize,
        padding: [usize; 4],
    ) -> Result<Conv2d> {
        let layer = self.at(name);
        let taps = kernel * kernel;
        let shape = [outputs, inputs, kernel, kernel];
        let weight = layer.send("weight", &[&shape], [outputs, taps * inputs], Some(Filter { inputs, taps })).await?;
        let bias = Some(layer.tensor("bias", [outputs]).await?);
        Ok(Conv2d { weight, bias, kernel: [kernel; 2], stride, padding })
    }

    /// A normalisation over `channels`.
    pub async fn norm(&self, name: &str, channels: usize, groups: usize, eps: f64) -> Result<Norm> {
        let layer = self.at(name);
        let (weight, bias) = (layer.tensor("weight", [channels]).await?, layer.tensor("bias", [channels]).await?);
        Ok(Norm { weight, bias, eps, groups })
    }
}
