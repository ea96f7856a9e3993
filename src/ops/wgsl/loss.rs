//! The mean squared difference and its gradient.

use burn::tensor::Tensor;
use burn_wgpu::CubeBackend;

use super::kernel::{Buffer, Kernel, Role, Row};
use super::uniform::uniform_sizes;

uniform_sizes! {
    /// How many values there are, and how many of them share a weight.
    struct LossSizes {
        count: u32,
        each: u32,
    }
}

/// Invocations of the one workgroup.
const LANES: u32 = 256;

/// Most values that one workgroup does: latents of 1024 x 1024 pixels are an eighth of that.
const MOST: usize = 1 << 19;

/// All values as one row.
const ALL: Row = Row::Axis(0);

pub(super) static MSE: Kernel<(), LossSizes> = Kernel::new(
    |()| "loss",
    |()| LANES,
    &[],
    &[
        Buffer { name: "prediction", role: Role::Activation, row: ALL },
        Buffer { name: "target_values", role: Role::Activation, row: ALL },
        Buffer { name: "weights", role: Role::OptionalActivation, row: Row::Ones },
        Buffer { name: "result", role: Role::Result, row: ALL },
        Buffer { name: "mean", role: Role::Result, row: Row::Ones },
    ],
);

/// The mean of the squared differences, `[1]`, each multiplied by its weight, and the gradient to `prediction`. Weights are
/// those of samples or of positions. None where it is more than one launch.
pub(in crate::ops) fn mse(
    prediction: &Tensor<4>,
    target: &Tensor<4>,
    weights: Option<&Tensor<4>>,
) -> Option<(Tensor<1>, Tensor<4>)> {
    let shape @ [batch, height, width, channels] = prediction.dims();
    let (count, position) = (shape.iter().product::<usize>(), height * width);
    let each = match weights.map(Tensor::dims) {
        None => 0,
        Some(dims) if dims == [batch, 1, 1, 1] => position * channels,
        Some(dims) if dims == [batch, height, width, 1] => channels,
        Some(_) => return None,
    };
    if !each.is_multiple_of(4) || count > MOST || target.dims() != shape {
        return None;
    }
    let sizes = LossSizes { count: count as u32, each: each as u32 };
    let inputs = [Some(prediction as _), Some(target as _), weights.map(|weights| weights as _)];
    let results = MSE.launch((), &[count], &inputs, &sizes, [1, 1, 1]).run_for([&shape, &[1]]);
    let [gradient, mean] = results;
    Some((Tensor::from_primitive::<CubeBackend>(mean), Tensor::from_primitive::<CubeBackend>(gradient)))
}
