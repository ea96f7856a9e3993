//! Ops that do several things in one launch: what is only there on some devices is tested on those.

use super::{Numbers, exact, gelu_by_hand, group_norm_by_hand, layer_norm_by_hand, norm};
use crate::ops::{Linear, Mlp, MlpActivation, Var, group_norm_silu_joined, mlp};

/// Values of the activation.
const INNER: usize = 48;

/// A gated MLP behind a normalisation, and its input.
pub(super) fn gated(x: &Var<4>, numbers: &Numbers<'_>) -> Var<4> {
    let [.., channels] = x.dims();
    let layer = |which: u64, outputs: usize, inputs: usize| Linear {
        weight: numbers.half(which, [outputs, inputs]),
        bias: Some(numbers.full(which + 1, [outputs])),
    };
    let (first, second) = (layer(51, 2 * INNER, channels), layer(53, channels, INNER));
    mlp(x, &Mlp::new(norm(numbers, channels), first, MlpActivation::Geglu, second))
}

pub(super) fn gated_by_hand(x: &[f64], shape @ [_, _, channels]: [usize; 3]) -> Vec<f64> {
    let layer = |which: u64, rows: &[f64], outputs: usize, inputs: usize| {
        let (weight, bias) = (exact(which, outputs * inputs), exact(which + 1, outputs));
        let of = |row: &[f64], out: usize| bias[out] + super::dot(row, &weight[out * inputs..][..inputs]);
        rows.chunks(inputs).flat_map(|row| (0..outputs).map(|out| of(row, out)).collect::<Vec<_>>()).collect::<Vec<_>>()
    };
    let before = layer(51, &layer_norm_by_hand(x, shape), 2 * INNER, channels);
    let gate = |row: &[f64]| (0..INNER).map(|i| row[i] * gelu_by_hand(row[INNER + i])).collect::<Vec<_>>();
    let gated: Vec<f64> = before.chunks(2 * INNER).flat_map(gate).collect();
    layer(53, &gated, channels, INNER).into_iter().zip(x).map(|(y, x)| y + x).collect()
}

/// The normalisation of a map that is joined with a constant one, and the two in one.
pub(super) fn joined(x: &Var<4>, numbers: &Numbers<'_>) -> Var<4> {
    let [batch, height, width, channels] = x.dims();
    let skip = Var::constant(numbers.full(61, [batch, height, width, 2 * channels]).f32());
    let [y, joined] = group_norm_silu_joined(x, &skip, &norm(numbers, 3 * channels));
    y.add(&joined)
}

pub(super) fn joined_by_hand(x: &[f64], [height, width, channels]: [usize; 3]) -> Vec<f64> {
    let skip = exact(61, 2 * x.len());
    let pixel = |(own, others): (&[f64], &[f64])| [own, others].concat();
    let joined: Vec<f64> = x.chunks(channels).zip(skip.chunks(2 * channels)).flat_map(pixel).collect();
    let normed = group_norm_by_hand(&joined, [height, width, 3 * channels]);
    normed.into_iter().zip(joined).map(|(y, joined)| y + joined).collect()
}
