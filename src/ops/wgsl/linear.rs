//! Linear layers.

use burn::tensor::Tensor;

use super::tile::{Method, Pair};
use super::{ACTIVATION_FORMATS, Cut, FACTOR_FORMATS, Input, Kernel, Launch, added, method};
use crate::ops::Weight;

const COMMON: &str = include_str!("../../../shaders/shared/linear.wgsl");
const KERNELS: Pair = Pair {
    tile: (
        "linear",
        &[include_str!("../../../shaders/shared/tile.wgsl"), COMMON, include_str!("../../../shaders/linear.wgsl")],
    ),
    blocks: (
        "linear_blocks",
        &[
            include_str!("../../../shaders/shared/block.wgsl"),
            COMMON,
            include_str!("../../../shaders/linear_blocks.wgsl"),
        ],
    ),
};

/// `x w^T + b`, plus a residual `[rows, columns]`.
pub(in crate::ops) fn linear(
    x: &Tensor<2>,
    weight: &Weight<2>,
    bias: Option<&Weight<1>>,
    residual: Option<&Tensor<2>>,
) -> Option<Tensor<2>> {
    let [columns, inner] = weight.dims();
    product(
        x,
        weight.stored(),
        [bias.map(|bias| bias.stored() as _), residual.map(|x| x as _)],
        [x.dims()[0], columns, inner],
        true,
    )
}

/// `dy w`, plus what was collected before `[rows, columns]`.
pub(in crate::ops) fn linear_backward(
    dy: &Tensor<2>,
    weight: &Weight<2>,
    collected: Option<&Tensor<2>>,
) -> Option<Tensor<2>> {
    let [inner, columns] = weight.dims();
    product(dy, weight.stored(), [None, collected.map(|x| x as _)], [dy.dims()[0], columns, inner], false)
}

/// The product and what is added to it: a bias and a residual. None if there are more rows than a launch can have.
fn product(
    left: &Tensor<2>,
    right: &Tensor<2>,
    [bias, residual]: [Option<&dyn Input>; 2],
    [rows, columns, inner]: [usize; 3],
    by_columns: bool,
) -> Option<Tensor<2>> {
    let method = method(left, rows, columns);
    let [across, down] = method.groups(rows, columns)?;
    let (name, pieces) = KERNELS.of(method);
    let mut numbers = method.numbers();
    numbers.push(("by_columns", u32::from(by_columns)));
    let launch = Launch {
        name,
        pieces,
        numbers,
        inputs: &[
            ("left", Some(left), inner),
            ("right", Some(right), if by_columns { inner } else { columns }),
            ("bias", bias, columns),
            ("residual", residual, columns),
        ],
        sizes: &[rows, columns, inner, 0],
        operations: super::operations(&[rows, columns, inner]),
        cut: Some(Cut { axis: method.axis(), first: 3 }),
        groups: [across, down, 1],
        lanes: method.lanes(),
    };
    Some(launch.run([rows, columns]))
}

/// Every form of the kernel.
pub(super) fn forms() -> Vec<Kernel> {
    let mut forms = Vec::new();
    for method in Method::all() {
        let (name, pieces) = KERNELS.of(method);
        for by_columns in [0, 1] {
            for weight in FACTOR_FORMATS {
                for activation in ACTIVATION_FORMATS {
                    for (bias, residual) in added(weight, activation) {
                        let numbers = [method.numbers(), vec![("by_columns", by_columns)]].concat();
                        let inputs = [("left", activation), ("right", weight), ("bias", bias), ("residual", residual)];
                        forms.push(Kernel::new(name, pieces, numbers).with_buffers(&inputs, &[("result", activation)]));
                    }
                }
            }
        }
    }
    forms
}
