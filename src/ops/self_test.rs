//! Whether a device computes what it should: every kind of op and its gradient, on known numbers, against loops on the
//! host.
//!
//! Drivers are wrong now and then, and a browser only logs a kernel that its compiler refuses; neither must be found
//! out after an hour of training. Values are compared with plain loops in f64, gradients with the slope of those loops
//! along a fixed direction, so nothing here trusts what it tests.

#[macro_use]
mod cases;

mod eight_bits;
mod fused;
mod halves;

use burn::tensor::{Bytes, DType, Device, Tensor, TensorData};
use half::f16;

use super::{Conv2d, Linear, Norm, Var, Weight, attention, backward, conv2d_add, geglu, gelu, group_norm_silu};
use super::{layer_norm, linear_add, quick_gelu, upsample_nearest_2x};
use crate::base::eight_bits::BLOCK;
use crate::noise::{Noise, Stream};
use crate::{Error, Result};

pub use eight_bits::self_test_in_eight_bits;
pub use halves::half_self_test;

/// Largest difference, relative to the largest expected value, that rounding explains.
const TOLERANCE: f64 = 1e-3;
/// Half the distance over which slopes are measured, in f64.
const STEP: f64 = 1e-5;

/// An op on a feature map of one sample, twice: as the models call it, and by hand.
struct Case {
    name: &'static str,
    /// Height, width, channels.
    shape: [usize; 3],
    op: fn(&Var<4>, &Numbers<'_>) -> Var<4>,
    by_hand: fn(&[f64], [usize; 3]) -> Vec<f64>,
}

/// How the frozen weights of a case are stored.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kept {
    /// In f16, as full-size models are.
    Half,
    /// In eight bits.
    EightBits,
}

/// Makes the weights of a case on the device.
struct Numbers<'a> {
    device: &'a Device,
}

impl Numbers<'_> {
    /// The weights number `which`, stored in f32.
    fn full<const D: usize>(&self, which: u64, shape: [usize; D]) -> Weight<D> {
        let values = numbers(which, shape.iter().product());
        Weight::new(Tensor::<1>::from_floats(values.as_slice(), self.device).reshape(shape))
    }

    /// Weights that are frozen, as a case keeps them.
    fn frozen<const D: usize>(&self, kept: Kept, which: u64, shape: [usize; D]) -> Weight<D> {
        let values = kept.numbers(which, shape.iter().product());
        match kept {
            Kept::Half => {
                let bytes = values.iter().flat_map(|value| f16::from_f32(*value).to_le_bytes()).collect();
                let data = TensorData::from_bytes(Bytes::from_bytes_vec(bytes), shape, DType::F16);
                Weight::new(Tensor::from_data(data, (self.device, DType::F16)))
            }
            Kept::EightBits => {
                Weight::in_eight_bits(&values, shape, self.device).expect("whole blocks of numbers that f16 has")
            }
        }
    }

    /// Something to add to a result.
    fn residual(&self, shape: [usize; 4]) -> Var<4> {
        Var::constant(self.full(41, shape).f32())
    }
}

impl Kept {
    /// The numbers of a weight, which are held exactly. Those in eight bits have in each block a largest one, and another scale
    /// in each of four blocks.
    fn numbers(self, which: u64, count: usize) -> Vec<f32> {
        let normals = numbers(which, count);
        if self == Kept::Half {
            return normals;
        }
        let in_block = |(i, block): (usize, &[f32])| {
            let scale = [3.0, 5.0, 2.0, 7.0][i % 4] / 128.0;
            let whole = |(at, normal): (usize, &f32)| {
                if at == i % BLOCK { 127.0_f32.copysign(*normal) } else { (25.0 * normal).round().clamp(-126.0, 126.0) }
            };
            block.iter().enumerate().map(|value| scale * whole(value)).collect::<Vec<f32>>()
        };
        normals.chunks(BLOCK).enumerate().flat_map(in_block).collect()
    }

    fn exact(self, which: u64, count: usize) -> Vec<f64> {
        self.numbers(which, count).into_iter().map(f64::from).collect()
    }
}

/// Numbers that every device gets alike. Halves hold them exactly.
fn numbers(which: u64, count: usize) -> Vec<f32> {
    let normals = Noise::new(which).draws(0, Stream::Latents).normals(count);
    normals.into_iter().map(|value| f16::from_f32(value).to_f32()).collect()
}

fn exact(which: u64, count: usize) -> Vec<f64> {
    numbers(which, count).into_iter().map(f64::from).collect()
}

const OUTPUTS: usize = 24;
const GROUPS: usize = 2;
const HEADS: usize = 2;
const EPS: f64 = 1e-5;

const CASES: [Case; 13] = [
    linear!("linear layers", [1, 37, 40], Kept::Half, OUTPUTS),
    convolution!("convolutions", [9, 7, 16], Kept::Half, 1, OUTPUTS),
    convolution!("convolutions of every other pixel", [8, 6, 16], Kept::Half, 2, OUTPUTS),
    Case {
        name: "group normalisation",
        shape: [5, 4, 12],
        op: |x, numbers| group_norm_silu(x, &norm(numbers, 12)),
        by_hand: group_norm_by_hand,
    },
    Case {
        name: "group normalisation of groups that take several workgroups",
        shape: [79, 78, 12],
        op: |x, numbers| group_norm_silu(x, &norm(numbers, 12)),
        by_hand: group_norm_by_hand,
    },
    Case {
        name: "layer normalisation",
        shape: [1, 9, 40],
        op: |x, numbers| layer_norm(x, &norm(numbers, 40)),
        by_hand: layer_norm_by_hand,
    },
    gated!("gated layers behind a normalisation", [1, 37, 40], Kept::Half),
    Case {
        name: "group normalisation of joined maps",
        shape: [5, 4, 12],
        op: fused::joined,
        by_hand: fused::joined_by_hand,
    },
    Case {
        name: "group normalisation of joined maps that takes several workgroups a group",
        shape: [46, 45, 12],
        op: fused::joined,
        by_hand: fused::joined_by_hand,
    },
    block!("attention and layers behind normalisations", [1, 37, 40], Kept::Half),
    Case {
        name: "weighted sums and layers of the time embedding",
        shape: [3, 5, 8],
        op: fused::blended,
        by_hand: |x, [.., channels]| fused::blended_by_hand(x, channels),
    },
    // More queries and keys than a workgroup has at a time.
    self_attention!("attention", [1, 70, 32], HEADS, true),
    Case {
        name: "activations",
        shape: [3, 3, 8],
        op: |x, _| {
            let gated = geglu(&gelu(x).add(&quick_gelu(x)));
            upsample_nearest_2x(&gated, [5, 6])
        },
        by_hand: |x, [height, width, channels]| {
            let inner: Vec<f64> = x.iter().map(|x| gelu_by_hand(*x) + x * sigmoid(1.702 * x)).collect();
            let half = channels / 2;
            let gated = |i: usize, c: usize| inner[i * channels + c] * gelu_by_hand(inner[i * channels + half + c]);
            let place = |y: usize, x: usize| (0..half).map(move |c| (y / 2 * width + x / 2, c));
            (0..2 * height - 1)
                .flat_map(|y| (0..2 * width).flat_map(move |x| place(y, x)))
                .map(|(i, c)| gated(i, c))
                .collect()
        },
    },
];

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn gelu_by_hand(x: f64) -> f64 {
    x * 0.5 * (1.0 + libm::erf(x / std::f64::consts::SQRT_2))
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// Mean and reciprocal standard deviation.
fn moments(values: Vec<f64>) -> (f64, f64) {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let variance = values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / values.len() as f64;
    (mean, 1.0 / (variance + EPS).sqrt())
}

fn norm(numbers: &Numbers<'_>, channels: usize) -> Norm {
    Norm { weight: numbers.full(21, [channels]), bias: numbers.full(22, [channels]), eps: EPS, groups: GROUPS }
}

/// Group normalisation and `silu`.
fn group_norm_by_hand(x: &[f64], [_, _, channels]: [usize; 3]) -> Vec<f64> {
    let per_group = channels / GROUPS;
    let group = |i: usize| i % channels / per_group;
    let moments: Vec<_> = (0..GROUPS)
        .map(|g| moments(x.iter().enumerate().filter(|(i, _)| group(*i) == g).map(|(_, x)| *x).collect()))
        .collect();
    let (gamma, beta) = (exact(21, channels), exact(22, channels));
    let scaled = |i: usize| {
        let (mean, rstd) = moments[group(i)];
        (x[i] - mean) * rstd * gamma[i % channels] + beta[i % channels]
    };
    (0..x.len()).map(|i| scaled(i) * sigmoid(scaled(i))).collect()
}

/// Layer normalisation.
fn layer_norm_by_hand(x: &[f64], [_, _, channels]: [usize; 3]) -> Vec<f64> {
    let (gamma, beta) = (exact(21, channels), exact(22, channels));
    let row = |x: &[f64]| {
        let (mean, rstd) = moments(x.to_vec());
        x.iter().zip(gamma.iter().zip(&beta)).map(|(x, (g, b))| (x - mean) * rstd * g + b).collect::<Vec<_>>()
    };
    x.chunks(channels).flat_map(row).collect()
}

/// An attention of the pixels to each other.
fn self_attention(x: &Var<4>, numbers: &Numbers<'_>, heads: usize, causal: bool) -> Var<4> {
    let dims @ [batch, height, width, channels] = x.dims();
    let flat = |x: &Var<4>| x.reshape([batch, height * width, channels]);
    // Buffers of their own, as they have in a model: browsers bind none twice.
    let [k, v] = [(); 2].map(|()| flat(&x.shift_channels(Tensor::zeros([batch, channels], numbers.device))));
    attention(&flat(x), &k, &v, heads, causal).reshape(dims)
}

fn self_attention_by_hand(x: &[f64], [.., channels]: [usize; 3], heads: usize, causal: bool) -> Vec<f64> {
    attention_by_hand([x; 3], channels, heads, causal)
}

/// Of queries to as many keys and values.
fn attention_by_hand<'a>([q, k, v]: [&'a [f64]; 3], channels: usize, heads: usize, causal: bool) -> Vec<f64> {
    let (length, head_width) = (q.len() / channels, channels / heads);
    let part = |of: &'a [f64], at: usize, head: usize| &of[at * channels + head * head_width..][..head_width];
    let scale = 1.0 / (head_width as f64).sqrt();
    let mut y = vec![0.0; q.len()];
    for (at, head) in (0..length).flat_map(|at| (0..heads).map(move |head| (at, head))) {
        let seen = if causal { at + 1 } else { length };
        let scores: Vec<f64> = (0..seen).map(|to| (dot(part(q, at, head), part(k, to, head)) * scale).exp()).collect();
        let sum: f64 = scores.iter().sum();
        for (to, score) in scores.iter().enumerate() {
            for (i, value) in part(v, to, head).iter().enumerate() {
                y[at * channels + head * head_width + i] += score / sum * value;
            }
        }
    }
    y
}

fn linear_layer(x: &Var<4>, numbers: &Numbers<'_>, kept: Kept, outputs: usize) -> Var<4> {
    let [batch, height, width, channels] = x.dims();
    let bias = Some(numbers.full(12, [outputs]));
    let layer = Linear { weight: numbers.frozen(kept, 11, [outputs, channels]), bias };
    linear_add(x, &layer, &numbers.residual([batch, height, width, outputs]))
}

fn linear_by_hand(x: &[f64], kept: Kept, channels: usize, outputs: usize) -> Vec<f64> {
    let (weight, bias) = (kept.exact(11, outputs * channels), exact(12, outputs));
    let row = |x: &[f64], out: usize| bias[out] + dot(x, &weight[out * channels..][..channels]);
    let rows = x.chunks(channels).flat_map(|x| (0..outputs).map(move |out| row(x, out)).collect::<Vec<_>>());
    plus_residual(rows.collect())
}

fn convolution(x: &Var<4>, numbers: &Numbers<'_>, kept: Kept, stride: usize, outputs: usize) -> Var<4> {
    let [batch, height, width, channels] = x.dims();
    let weight = numbers.frozen(kept, 31, [outputs, 9 * channels]);
    let bias = Some(numbers.full(32, [outputs]));
    let layer = Conv2d { weight, bias, kernel: [3; 2], stride, padding: [1; 4] };
    conv2d_add(x, &layer, &numbers.residual([batch, height.div_ceil(stride), width.div_ceil(stride), outputs]))
}

/// The weights are `[out, tap, in]`; one pixel of zeros lies around the picture.
fn convolution_by_hand(
    x: &[f64],
    [height, width, channels]: [usize; 3],
    kept: Kept,
    stride: usize,
    outputs: usize,
) -> Vec<f64> {
    let (weight, bias) = (kept.exact(31, outputs * 9 * channels), exact(32, outputs));
    let mut y = Vec::new();
    for (top, left) in (0..height).step_by(stride).flat_map(|t| (0..width).step_by(stride).map(move |l| (t, l))) {
        for (out, bias) in bias.iter().enumerate() {
            let tap = |tap: usize| {
                let (row, column) = (top + tap / 3, left + tap % 3);
                if !(1..=height).contains(&row) || !(1..=width).contains(&column) {
                    return 0.0;
                }
                let pixel = &x[((row - 1) * width + column - 1) * channels..][..channels];
                dot(pixel, &weight[(out * 9 + tap) * channels..][..channels])
            };
            y.push(bias + (0..9).map(tap).sum::<f64>());
        }
    }
    plus_residual(y)
}

/// Values plus those of [`Numbers::residual`].
fn plus_residual(y: Vec<f64>) -> Vec<f64> {
    let residual = exact(41, y.len());
    y.into_iter().zip(residual).map(|(y, residual)| y + residual).collect()
}

/// Runs every case on the device; gives the largest difference from the loops on the host, relative to the largest
/// value.
///
/// # Errors
/// [`Error::Gpu`] with the ops that are wrong, or because the device failed.
pub async fn self_test(device: &Device) -> Result<f64> {
    tested(device, &CASES).await
}

/// The same with some cases, in f32.
async fn tested(device: &Device, cases: &[Case]) -> Result<f64> {
    let plain = Sizes { input: 1.0, cotangent: 1.0 };
    let worst = judged(launched(device, cases, plain)?, TOLERANCE).await?;
    worst.map_err(|wrong| {
        let reason =
            format!("it computes wrong values for {}: update its driver, or use another device", wrong.join(", "));
        Error::Gpu { during: "the self-test".to_owned(), reason }
    })
}

/// How large the numbers of the cases are.
#[derive(Clone, Copy)]
struct Sizes {
    /// What comes in.
    input: f64,
    /// What comes back.
    cotangent: f64,
}

/// What cases come to: by hand, and on the device.
struct Launched {
    expected: Vec<Expected>,
    /// Of each case the values, then the gradient.
    computed: Tensor<1>,
}

/// What a case comes to by hand.
struct Expected {
    name: &'static str,
    value: Vec<f64>,
    /// In which the slope was measured.
    direction: Vec<f64>,
    slope: f64,
}

/// Launches cases on the device.
fn launched(device: &Device, cases: &[Case], sizes: Sizes) -> Result<Launched> {
    let (mut expected, mut pieces) = (Vec::new(), Vec::new());
    let times = |size: f64, values: Vec<f64>| values.into_iter().map(|value| size * value).collect::<Vec<f64>>();
    for Case { name, shape, op, by_hand } in cases {
        let count = shape.iter().product();
        let (input, direction) = (times(sizes.input, exact(1, count)), times(sizes.input, exact(2, count)));
        let along = |sign: f64| {
            let moved: Vec<f64> = input.iter().zip(&direction).map(|(x, d)| x + sign * STEP * d).collect();
            by_hand(&moved, *shape)
        };
        let value = by_hand(&input, *shape);
        let cotangent = times(sizes.cotangent, exact(3, value.len()));
        let slope = (dot(&along(1.0), &cotangent) - dot(&along(-1.0), &cotangent)) / (2.0 * STEP);

        let [height, width, channels] = *shape;
        let upload = |values: &[f64]| {
            let values: Vec<f32> = values.iter().map(|value| *value as f32).collect();
            Tensor::<1>::from_floats(values.as_slice(), device)
        };
        let x = Var::leaf(upload(&input).reshape([1, height, width, channels]));
        let y = op(&x, &Numbers { device });
        let dims = y.dims();
        let gradient = backward(&y, upload(&cotangent).reshape(dims)).take(&x);
        let gradient = gradient.ok_or_else(|| Error::Internal(format!("{name} recorded no gradient")))?;
        pieces.extend([y.into_value().reshape([value.len()]), gradient.reshape([count])]);
        expected.push(Expected { name, value, direction, slope });
    }
    Ok(Launched { expected, computed: Tensor::cat(pieces, 0) })
}

/// The largest difference of what was launched, or the names of the cases that are wrong.
async fn judged(launched: Launched, tolerance: f64) -> Result<std::result::Result<f64, Vec<String>>> {
    let got: Vec<f64> = super::read(launched.computed).await?.into_iter().map(f64::from).collect();
    let mut rest = got.as_slice();
    let mut take = |count: usize| {
        let (piece, after) = rest.split_at(count.min(rest.len()));
        rest = after;
        piece
    };
    let (mut worst, mut wrong) = (0.0, Vec::new());
    for Expected { name, value, direction, slope } in &launched.expected {
        let size = value.iter().fold(0.0, |most: f64, value| most.max(value.abs()));
        let off = take(value.len()).iter().zip(value).map(|(got, value)| (got - value).abs() / size).fold(0.0, larger);
        let gradient = take(direction.len());
        // Of the sum's terms, not of the sum, which can be small by chance.
        let terms = gradient.iter().zip(direction).map(|(g, d)| (g * d).abs()).sum::<f64>();
        let off = larger(off, (dot(gradient, direction) - slope).abs() / terms);
        if off > tolerance || off.is_nan() {
            wrong.push(format!("{name} ({off:.1e})"));
        }
        worst = larger(worst, off);
    }
    Ok(if wrong.is_empty() { Ok(worst) } else { Err(wrong) })
}

/// Not `max`, which would pass over what is not a number.
fn larger(a: f64, b: f64) -> f64 {
    if b > a || b.is_nan() { b } else { a }
}
