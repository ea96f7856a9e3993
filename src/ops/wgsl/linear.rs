//! Linear layers.

use burn::tensor::Tensor;

use super::tile::Tile;
use super::{ACTIVATION_FORMATS, Cut, FACTOR_FORMATS, Format, Input, Kernel, Launch, MOST_GROUPS};
use crate::ops::Weight;

const PIECES: &[&str] =
    &[include_str!("../../../shaders/shared/tile.wgsl"), include_str!("../../../shaders/linear.wgsl")];

/// `x w^T + b`.
pub(in crate::ops) fn linear(x: &Tensor<2>, weight: &Weight<2>, bias: Option<&Weight<1>>) -> Option<Tensor<2>> {
    let [columns, inner] = weight.dims();
    product(x, weight.stored(), bias, [x.dims()[0], columns, inner], true)
}

/// `dy w`.
pub(in crate::ops) fn linear_backward(dy: &Tensor<2>, weight: &Weight<2>) -> Option<Tensor<2>> {
    let [inner, columns] = weight.dims();
    product(dy, weight.stored(), None, [dy.dims()[0], columns, inner], false)
}

/// None if there are more rows than a launch can have.
fn product(
    left: &Tensor<2>,
    right: &Tensor<2>,
    bias: Option<&Weight<1>>,
    [rows, columns, inner]: [usize; 3],
    by_columns: bool,
) -> Option<Tensor<2>> {
    let tile = Tile::pick(rows, columns, super::wanted_groups(left));
    let [across, down] = tile.groups(rows, columns);
    if across.max(down) > MOST_GROUPS as usize {
        return None;
    }
    let mut numbers = tile.numbers();
    numbers.push(("by_columns", u32::from(by_columns)));
    let launch = Launch {
        name: "linear",
        pieces: PIECES,
        numbers,
        inputs: &[
            ("left", Some(left), inner),
            ("right", Some(right), if by_columns { inner } else { columns }),
            ("bias", bias.map(|bias| bias.stored() as &dyn Input), columns),
        ],
        sizes: &[rows, columns, inner, 0],
        operations: super::operations(&[rows, columns, inner]),
        cut: Some(Cut { axis: 1, first: 3 }),
        groups: [across, down, 1],
        lanes: tile.lanes(),
    };
    Some(launch.run([rows, columns]))
}

/// Every form of the kernel.
pub(super) fn forms() -> Vec<Kernel> {
    let mut forms = Vec::new();
    for tile in Tile::ALL {
        for by_columns in [0, 1] {
            for weight in FACTOR_FORMATS {
                for activation in ACTIVATION_FORMATS {
                    for bias in [Format::None, weight] {
                        let numbers = [tile.numbers(), vec![("by_columns", by_columns)]].concat();
                        let inputs = [("left", activation), ("right", weight), ("bias", bias)];
                        forms.push(
                            Kernel::new("linear", PIECES, numbers).with_buffers(&inputs, &[("result", activation)]),
                        );
                    }
                }
            }
        }
    }
    forms
}
