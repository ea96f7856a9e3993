//! Convolutions as products of windows that are never written out.

use burn::tensor::Tensor;

use super::tile::Tile;
use super::{ACTIVATION_FORMATS, Cut, FACTOR_FORMATS, Format, Input, Kernel, Launch, MOST_GROUPS};
use crate::ops::Weight;
use crate::ops::conv2d::Geometry;

const FORWARD: &[&str] =
    &[include_str!("../../../shaders/shared/tile.wgsl"), include_str!("../../../shaders/conv2d.wgsl")];
const BACKWARD: &[&str] =
    &[include_str!("../../../shaders/shared/tile.wgsl"), include_str!("../../../shaders/conv2d_backward.wgsl")];

/// The convolution of `x` `[B, H, W, Cin]`; none if it has more windows than a launch can take.
pub(in crate::ops) fn conv2d(
    x: &Tensor<4>,
    weight: &Weight<2>,
    bias: Option<&Weight<1>>,
    geometry: Geometry,
) -> Option<Tensor<4>> {
    let [batch, height, width, channels] = x.dims();
    let [columns, _] = weight.dims();
    let Geometry { output: [out_height, out_width], kernel, stride, padding: [top, left, ..], .. } = geometry;
    let rows = batch * out_height * out_width;
    let tile = Tile::pick(rows, columns, super::wanted_groups(x));
    let [across, down] = tile.groups(rows, columns);
    if across.max(down) > MOST_GROUPS as usize {
        return None;
    }
    let launch = Launch {
        name: "conv2d",
        pieces: FORWARD,
        numbers: tile.numbers(),
        inputs: &[
            ("picture", Some(x), channels),
            ("weight", Some(weight.stored()), channels),
            ("bias", bias.map(|bias| bias.stored() as &dyn Input), columns),
        ],
        sizes: &[
            rows, columns, height, width, channels, out_height, out_width, kernel[0], kernel[1], stride, top, left, 0,
        ],
        operations: super::operations(&[rows, columns, channels, kernel[0], kernel[1]]),
        cut: Some(Cut { axis: 1, first: 12 }),
        groups: [across, down, 1],
        lanes: tile.lanes(),
    };
    Some(launch.run([batch, out_height, out_width, columns]))
}

/// The gradient to the input of [`conv2d`]; none if it has more pixels than a launch can take.
pub(in crate::ops) fn conv2d_backward(dy: &Tensor<4>, weight: &Weight<2>, geometry: Geometry) -> Option<Tensor<4>> {
    let [batch, out_height, out_width, channels] = dy.dims();
    let Geometry { input: [height, width], kernel, stride, padding: [top, left, ..], .. } = geometry;
    let columns = weight.dims()[1] / (kernel[0] * kernel[1]);
    let rows = batch * height.div_ceil(stride) * width.div_ceil(stride);
    let tile = Tile::pick(rows, columns, super::wanted_groups(dy));
    let [across, down] = tile.groups(rows, columns);
    if across.max(down) > MOST_GROUPS as usize {
        return None;
    }
    let launch = Launch {
        name: "conv2d_backward",
        pieces: BACKWARD,
        numbers: tile.numbers(),
        inputs: &[("gradient", Some(dy), channels), ("weight", Some(weight.stored()), columns)],
        sizes: &[
            batch, columns, height, width, channels, out_height, out_width, kernel[0], kernel[1], stride, top, left, 0,
        ],
        operations: super::operations(&[batch, out_height, out_width, channels, kernel[0], kernel[1], columns]),
        cut: Some(Cut { axis: 1, first: 12 }),
        groups: [across, down, stride * stride],
        lanes: tile.lanes(),
    };
    Some(launch.run([batch, height, width, columns]))
}

/// Every form of both kernels.
pub(super) fn forms() -> Vec<Kernel> {
    let mut forms = Vec::new();
    for tile in Tile::ALL {
        for weight in FACTOR_FORMATS {
            for activation in ACTIVATION_FORMATS {
                let result = [("result", activation)];
                for bias in [Format::None, weight] {
                    let inputs = [("picture", activation), ("weight", weight), ("bias", bias)];
                    forms.push(Kernel::new("conv2d", FORWARD, tile.numbers()).with_buffers(&inputs, &result));
                }
                let inputs = [("gradient", activation), ("weight", weight)];
                forms.push(Kernel::new("conv2d_backward", BACKWARD, tile.numbers()).with_buffers(&inputs, &result));
            }
        }
    }
    forms
}
