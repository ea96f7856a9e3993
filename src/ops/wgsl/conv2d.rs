//! Convolutions as products of windows that are never written out.

use burn::tensor::Tensor;

use super::tile::{Method, Pair};
use super::{ACTIVATION_FORMATS, Cut, FACTOR_FORMATS, Input, Kernel, Launch, added, method};
use crate::ops::Weight;
use crate::ops::geometry::Geometry;

const TILE: &str = include_str!("../../../shaders/shared/tile.wgsl");
const BLOCK: &str = include_str!("../../../shaders/shared/block.wgsl");
const SIZES: &str = include_str!("../../../shaders/shared/conv2d_sizes.wgsl");
const COMMON: &str = include_str!("../../../shaders/shared/conv2d.wgsl");
const COMMON_BACKWARD: &str = include_str!("../../../shaders/shared/conv2d_backward.wgsl");

const FORWARD: Pair = Pair {
    tile: ("conv2d", &[TILE, SIZES, COMMON, include_str!("../../../shaders/conv2d.wgsl")]),
    blocks: ("conv2d_blocks", &[BLOCK, SIZES, COMMON, include_str!("../../../shaders/conv2d_blocks.wgsl")]),
};
const BACKWARD: Pair = Pair {
    tile: ("conv2d_backward", &[TILE, SIZES, COMMON_BACKWARD, include_str!("../../../shaders/conv2d_backward.wgsl")]),
    blocks: (
        "conv2d_backward_blocks",
        &[BLOCK, SIZES, COMMON_BACKWARD, include_str!("../../../shaders/conv2d_backward_blocks.wgsl")],
    ),
};

/// The convolution of `x` `[B, H, W, Cin]`, plus a residual `[B, H', W', Cout]`; none if it has more windows than a launch can take.
pub(in crate::ops) fn conv2d(
    x: &Tensor<4>,
    weight: &Weight<2>,
    bias: Option<&Weight<1>>,
    residual: Option<&Tensor<4>>,
    geometry: Geometry,
) -> Option<Tensor<4>> {
    let [batch, height, width, channels] = x.dims();
    let [columns, _] = weight.dims();
    let Geometry { output: [out_height, out_width], kernel, stride, padding: [top, left, ..], .. } = geometry;
    let rows = batch * out_height * out_width;
    let method = method(x, rows, columns);
    let [across, down] = method.groups(rows, columns)?;
    let (name, pieces) = FORWARD.of(method);
    let launch = Launch {
        name,
        pieces,
        numbers: method.numbers(),
        inputs: &[
            ("map", Some(x), channels),
            ("weight", Some(weight.stored()), channels),
            ("bias", bias.map(|bias| bias.stored() as &dyn Input), columns),
            ("residual", residual.map(|residual| residual as &dyn Input), columns),
        ],
        sizes: &[
            batch, columns, height, width, channels, out_height, out_width, kernel[0], kernel[1], stride, top, left, 0,
        ],
        operations: super::operations(&[rows, columns, channels, kernel[0], kernel[1]]),
        cut: Some(Cut { axis: method.axis(), first: 12 }),
        groups: [across, down, 1],
        lanes: method.lanes(),
    };
    Some(launch.run([batch, out_height, out_width, columns]))
}

/// The gradient to the input of [`conv2d`]; none if it has more pixels than a launch can take.
pub(in crate::ops) fn conv2d_backward(dy: &Tensor<4>, weight: &Weight<2>, geometry: Geometry) -> Option<Tensor<4>> {
    let [batch, out_height, out_width, channels] = dy.dims();
    let Geometry { input: [height, width], kernel, stride, padding: [top, left, ..], .. } = geometry;
    let columns = weight.dims()[1] / (kernel[0] * kernel[1]);
    let rows = batch * height.div_ceil(stride) * width.div_ceil(stride);
    let method = method(dy, rows, columns);
    let [across, down] = method.groups(rows, columns)?;
    let (name, pieces) = BACKWARD.of(method);
    let launch = Launch {
        name,
        pieces,
        numbers: method.numbers(),
        inputs: &[("map", Some(dy), channels), ("weight", Some(weight.stored()), columns)],
        sizes: &[
            batch, columns, height, width, channels, out_height, out_width, kernel[0], kernel[1], stride, top, left, 0,
        ],
        operations: super::operations(&[batch, out_height, out_width, channels, kernel[0], kernel[1], columns]),
        cut: Some(Cut { axis: method.axis(), first: 12 }),
        groups: [across, down, stride * stride],
        lanes: method.lanes(),
    };
    Some(launch.run([batch, height, width, columns]))
}

/// Every form of both kernels.
pub(super) fn forms() -> Vec<Kernel> {
    let mut forms = Vec::new();
    for method in Method::all() {
        let (forward, backward) = (FORWARD.of(method), BACKWARD.of(method));
        for weight in FACTOR_FORMATS {
            for activation in ACTIVATION_FORMATS {
                let result = [("result", activation)];
                for (bias, residual) in added(weight, activation) {
                    let inputs = [("map", activation), ("weight", weight), ("bias", bias), ("residual", residual)];
                    forms.push(Kernel::new(forward.0, forward.1, method.numbers()).with_buffers(&inputs, &result));
                }
                let inputs = [("map", activation), ("weight", weight)];
                forms.push(Kernel::new(backward.0, backward.1, method.numbers()).with_buffers(&inputs, &result));
            }
        }
    }
    forms
}
