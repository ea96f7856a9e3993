//! Normalisations.

use burn::tensor::Tensor;

use super::{ACTIVATION_FORMATS, FACTOR_FORMATS, Input, Kernel, Launch, MOST_GROUPS};
use crate::ops::Norm;

const GROUP: &str = include_str!("../../../shaders/shared/group.wgsl");
const ROW: &str = include_str!("../../../shaders/shared/row.wgsl");
const TOTALS: &str = include_str!("../../../shaders/shared/totals.wgsl");

const FORWARD: &[&str] = &[GROUP, TOTALS, include_str!("../../../shaders/group_norm.wgsl")];
const BACKWARD: &[&str] = &[GROUP, TOTALS, include_str!("../../../shaders/group_norm_backward.wgsl")];

/// Group normalisation of `[B, P, C]`, perhaps followed by `silu`.
#[derive(Clone)]
pub(in crate::ops) struct GroupNorm {
    pub norm: Norm,
    pub with_silu: bool,
}

impl GroupNorm {
    /// Invocations in a workgroup, as the kernels declare it.
    const LANES: u32 = 256;

    pub fn forward(&self, x: &Tensor<3>) -> Tensor<3> {
        self.launch("group_norm", FORWARD, x, &[("x", x)])
    }

    /// The gradient to `x`.
    pub fn backward(&self, x: &Tensor<3>, dy: &Tensor<3>) -> Tensor<3> {
        self.launch("group_norm_backward", BACKWARD, x, &[("x", x), ("dy", dy)])
    }

    fn launch(
        &self,
        name: &'static str,
        pieces: &'static [&'static str],
        x: &Tensor<3>,
        maps: &[(&'static str, &Tensor<3>)],
    ) -> Tensor<3> {
        let [batch, positions, channels] = x.dims();
        let group = channels / self.norm.groups;
        let weights = [("gamma", self.norm.weight.stored()), ("beta", self.norm.bias.stored())];
        let maps = maps.iter().map(|(name, map)| (*name, Some(*map as &dyn Input), group));
        let weights = weights.map(|(name, weight)| (name, Some(weight as &dyn Input), group));
        Launch {
            name,
            pieces,
            numbers: vec![("silu", u32::from(self.with_silu))],
            inputs: &maps.chain(weights).collect::<Vec<_>>(),
            sizes: &[positions, channels, self.norm.groups, (self.norm.eps as f32).to_bits() as usize],
            operations: 0,
            cut: None,
            groups: [batch * self.norm.groups, 1, 1],
            lanes: Self::LANES,
        }
        .run_in_rows(x.dims(), group)
    }
}

const ROWS_FORWARD: &[&str] = &[ROW, TOTALS, include_str!("../../../shaders/layer_norm.wgsl")];
const ROWS_BACKWARD: &[&str] = &[ROW, TOTALS, include_str!("../../../shaders/layer_norm_backward.wgsl")];

/// Layer normalisation of the rows of `x`; none if there are more than a launch can have.
pub(in crate::ops) fn layer_norm(x: &Tensor<2>, norm: &Norm) -> Option<Tensor<2>> {
    let width = x.dims()[1];
    let inputs = [
        ("x", Some(x as &dyn Input), width),
        ("gamma", Some(norm.weight.stored() as &dyn Input), width),
        ("beta", Some(norm.bias.stored() as &dyn Input), width),
    ];
    by_rows("layer_norm", ROWS_FORWARD, &inputs, x.dims(), norm.eps)
}

/// The gradient to the input of [`layer_norm`].
pub(in crate::ops) fn layer_norm_backward(x: &Tensor<2>, dy: &Tensor<2>, norm: &Norm) -> Option<Tensor<2>> {
    let width = x.dims()[1];
    let inputs = [
        ("x", Some(x as &dyn Input), width),
        ("dy", Some(dy as &dyn Input), width),
        ("gamma", Some(norm.weight.stored() as &dyn Input), width),
    ];
    by_rows("layer_norm_backward", ROWS_BACKWARD, &inputs, x.dims(), norm.eps)
}

fn by_rows(
    name: &'static str,
    pieces: &'static [&'static str],
    inputs: &[(&'static str, Option<&dyn Input>, usize)],
    [rows, width]: [usize; 2],
    eps: f64,
) -> Option<Tensor<2>> {
    if rows > MOST_GROUPS as usize {
        return None;
    }
    let sizes = [rows, width, (eps as f32).to_bits() as usize];
    let (numbers, groups) = (Vec::new(), [rows, 1, 1]);
    let launch = Launch { name, pieces, numbers, inputs, sizes: &sizes, operations: 0, cut: None, groups, lanes: 64 };
    Some(launch.run([rows, width]))
}

/// Every form of the kernels.
pub(super) fn forms() -> Vec<Kernel> {
    let mut forms = Vec::new();
    for silu in [0, 1] {
        for weight in FACTOR_FORMATS {
            for activation in ACTIVATION_FORMATS {
                let (numbers, result) = (vec![("silu", silu)], [("result", activation)]);
                let weights = [("gamma", weight), ("beta", weight)];
                let forward = [&[("x", activation)][..], &weights].concat();
                forms.push(Kernel::new("group_norm", FORWARD, numbers.clone()).with_buffers(&forward, &result));
                let backward = [&[("x", activation), ("dy", activation)][..], &weights].concat();
                forms.push(Kernel::new("group_norm_backward", BACKWARD, numbers).with_buffers(&backward, &result));
            }
        }
    }
    for weight in FACTOR_FORMATS {
        for activation in ACTIVATION_FORMATS {
            let result = [("result", activation)];
            let inputs = [("x", activation), ("gamma", weight), ("beta", weight)];
            forms.push(Kernel::new("layer_norm", ROWS_FORWARD, Vec::new()).with_buffers(&inputs, &result));
            let inputs = [("x", activation), ("dy", activation), ("gamma", weight)];
            forms.push(Kernel::new("layer_norm_backward", ROWS_BACKWARD, Vec::new()).with_buffers(&inputs, &result));
        }
    }
    forms
}
