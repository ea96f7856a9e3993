//! Ops that do several things in one launch: what is only there on some devices is tested on those.

use burn::tensor::Tensor;

use super::{
    HEADS, Kept, Numbers, attention_by_hand, exact, gelu_by_hand, group_norm_by_hand, layer_norm_by_hand, norm,
};
use super::{dot, sigmoid};
use crate::ops::weight::FrozenTensor;
use crate::ops::{
    Blend, Linear, Mlp, MlpActivation, NormedLinears, Var, Weight, attention, group_norm_silu_joined, linear_silu, mlp,
    normed_linears,
};

/// Values of the activation.
fn inner(kept: Kept) -> usize {
    match kept {
        Kept::Half => 48,
        Kept::EightBits => 96,
    }
}

fn layer(numbers: &Numbers<'_>, kept: Kept, which: u64, outputs: usize, inputs: usize) -> Linear {
    Linear { weight: numbers.frozen(kept, which, [outputs, inputs]), bias: Some(numbers.full(which + 1, [outputs])) }
}

/// The same, of rows.
fn layer_by_hand(kept: Kept, which: u64, rows: &[f64], outputs: usize, inputs: usize) -> Vec<f64> {
    let (weight, bias) = (kept.exact(which, outputs * inputs), exact(which + 1, outputs));
    let of = |row: &[f64], out: usize| bias[out] + dot(row, &weight[out * inputs..][..inputs]);
    rows.chunks(inputs).flat_map(|row| (0..outputs).map(|out| of(row, out)).collect::<Vec<_>>()).collect()
}

/// A gated MLP behind a normalisation, and its input.
pub(super) fn gated(x: &Var<4>, numbers: &Numbers<'_>, kept: Kept) -> Var<4> {
    let ([.., channels], inner) = (x.dims(), inner(kept));
    let (first, second) = (layer(numbers, kept, 51, 2 * inner, channels), layer(numbers, kept, 53, channels, inner));
    mlp(x, &Mlp::new(norm(numbers, channels), first, MlpActivation::Geglu, second))
}

pub(super) fn gated_by_hand(x: &[f64], shape @ [_, _, channels]: [usize; 3], kept: Kept) -> Vec<f64> {
    let inner = inner(kept);
    let before = layer_by_hand(kept, 51, &layer_norm_by_hand(x, shape), 2 * inner, channels);
    let gate = |row: &[f64]| (0..inner).map(|i| row[i] * gelu_by_hand(row[inner + i])).collect::<Vec<_>>();
    let gated: Vec<f64> = before.chunks(2 * inner).flat_map(gate).collect();
    layer_by_hand(kept, 53, &gated, channels, inner).into_iter().zip(x).map(|(y, x)| y + x).collect()
}

/// So much smaller weights leave scores that a softmax does not make one and zeros of.
const SMALLER: f64 = 0.125;

/// As in a text encoder: an attention of what one product makes of the normalised input, and an MLP with one activation.
pub(super) fn block(x: &Var<4>, numbers: &Numbers<'_>, kept: Kept) -> Var<4> {
    let (dims @ [batch, height, width, channels], inner) = (x.dims(), inner(kept));
    // As models have them: one after the other in one buffer.
    let shape = [3 * channels, channels];
    let all: Vec<f32> = kept.numbers(71, shape.iter().product()).into_iter().map(|n| n * SMALLER as f32).collect();
    let all = match kept {
        Kept::Half => Weight::new(Tensor::<1>::from_floats(all.as_slice(), numbers.device).reshape(shape)),
        Kept::EightBits => Weight::in_eight_bits(&all, shape, numbers.device).expect("whole blocks"),
    };
    let rows = |first: usize| match all.stored() {
        FrozenTensor::Floats(values) => Weight::new(values.clone().narrow(0, first, channels)),
        FrozenTensor::Quantised(all) => Weight::quantised(
            all.values.clone().narrow(0, first, channels),
            all.scales.clone().narrow(0, first, channels),
        ),
    };
    let projection =
        |i: usize| Linear { weight: rows(i * channels), bias: Some(numbers.full(72 + i as u64, [channels])) };
    let layers = NormedLinears::new(norm(numbers, channels), (0..3).map(projection).collect());
    let projected = normed_linears(&x.reshape([batch, height * width, channels]), &layers);
    let h = attention(&projected[0], &projected[1], &projected[2], HEADS, true);
    let (first, second) = (layer(numbers, kept, 75, inner, channels), layer(numbers, kept, 77, channels, inner));
    mlp(&h, &Mlp::new(norm(numbers, channels), first, MlpActivation::QuickGelu, second)).reshape(dims)
}

pub(super) fn block_by_hand(x: &[f64], shape @ [_, _, channels]: [usize; 3], kept: Kept) -> Vec<f64> {
    let inner = inner(kept);
    let (normed, all) = (layer_norm_by_hand(x, shape), kept.exact(71, 3 * channels * channels));
    let projected = |i: usize| {
        let (weight, bias) = (&all[i * channels * channels..], exact(72 + i as u64, channels));
        let of = |row: &[f64], out: usize| bias[out] + SMALLER * dot(row, &weight[out * channels..][..channels]);
        let of_row = |row: &[f64]| (0..channels).map(|out| of(row, out)).collect::<Vec<_>>();
        normed.chunks(channels).flat_map(of_row).collect::<Vec<_>>()
    };
    let [q, k, v] = [0, 1, 2].map(projected);
    let h = attention_by_hand([&q, &k, &v], channels, HEADS, true);
    let before = layer_by_hand(kept, 75, &layer_norm_by_hand(&h, shape), inner, channels);
    let activated: Vec<f64> = before.into_iter().map(|x| x * sigmoid(1.702 * x)).collect();
    layer_by_hand(kept, 77, &activated, channels, inner).into_iter().zip(h).map(|(y, h)| y + h).collect()
}

/// Weights of a blend.
const BLENDED: [f64; 2] = [0.75, -1.5];

/// What has no gradient, a sampler's arithmetic and a layer of the time embedding, beside `x`, which has one.
pub(super) fn blended(x: &Var<4>, numbers: &Numbers<'_>) -> Var<4> {
    let dims @ [batch, height, width, channels] = x.dims();
    let terms = [81, 82].map(|which| numbers.full::<4>(which, dims).f32());
    let rows = terms[1].clone().reshape([batch * height * width, channels]);
    let activated = linear_silu(&rows, &layer(numbers, Kept::Half, 83, channels, channels)).reshape(dims);
    let sum = Blend::of(&terms[0], BLENDED[0]).plus(Blend::of(&activated, BLENDED[1]));
    x.add(&Var::constant(sum.value()))
}

pub(super) fn blended_by_hand(x: &[f64], channels: usize) -> Vec<f64> {
    let [first, second] = [81, 82].map(|which| exact(which, x.len()));
    let activated = layer_by_hand(Kept::Half, 83, &second, channels, channels).into_iter().map(|x| x * sigmoid(x));
    let sum = |(first, activated): (f64, f64)| BLENDED[0] * first + BLENDED[1] * activated;
    first.into_iter().zip(activated).map(sum).zip(x).map(|(sum, x)| x + sum).collect()
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
