//! The layers that modules are made of, from their weights.

use super::{Filter, Joint, Layout, Weights};
use crate::Result;
use crate::ops::{Conv2d, Linear, Norm};

impl Weights<'_> {
    /// A linear layer: `weight` `[out, in]` (or a 1x1 convolution's `[out, in, 1, 1]`), `bias` `[out]`.
    pub async fn linear(&self, name: &str, inputs: usize, outputs: usize, bias: bool) -> Result<Linear> {
        self.linear_with(name, [outputs, inputs], bias, None).await
    }

    /// Linear layers that have the same input, each with its name and its outputs: on a GPU their weights lie one after
    /// the other, for one product.
    pub async fn linears(&self, named: &[(impl AsRef<str>, usize)], inputs: usize, bias: bool) -> Result<Vec<Linear>> {
        let total = named.iter().map(|(_, outputs)| outputs).sum();
        let whole = self.path(named.first().map_or("", |(name, _)| name.as_ref()));
        let (mut layers, mut from) = (Vec::with_capacity(named.len()), 0);
        for (name, outputs) in named {
            let rows = from..from + outputs;
            from = rows.end;
            let joint = (named.len() > 1).then(|| Joint { whole: whole.clone(), rows, total });
            layers.push(self.linear_with(name.as_ref(), [*outputs, inputs], bias, joint).await?);
        }
        Ok(layers)
    }

    async fn linear_with(
        &self,
        name: &str,
        shape @ [outputs, inputs]: [usize; 2],
        bias: bool,
        joint: Option<Joint>,
    ) -> Result<Linear> {
        let layer = self.at(name);
        let shapes: [&[usize]; 2] = [&shape, &[outputs, inputs, 1, 1]];
        let weight = layer.send("weight", &shapes, Layout { shape, filter: None, joint: joint.as_ref() }).await?;
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
        let filter = Some(Filter { inputs, taps });
        let layout = Layout { shape: [outputs, taps * inputs], filter, joint: None };
        let weight = layer.send("weight", &[&shape], layout).await?;
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
