//! Whether a device computes what it should in f16: the products and their gradients, in every tile of a way to make them, and
//! attention, where it is made so, on numbers that f16 has and on numbers that it does not.

use burn::tensor::Device;

use super::{Case, Sizes, convolution, convolution_by_hand, judged, larger, launched, linear_by_hand, linear_layer};
use super::{self_attention, self_attention_by_hand};
use crate::Result;
use crate::ops::{HalfProducts, with_half_products};

/// More than any tile has in a row, and a multiple of none.
const OUTPUTS: usize = 140;

const CASES: [Case; 3] = [
    Case {
        name: "linear layers",
        shape: [1, 150, 68],
        op: |x, numbers| linear_layer(x, numbers, OUTPUTS),
        by_hand: |x, [_, _, channels]| linear_by_hand(x, channels, OUTPUTS),
    },
    Case {
        name: "convolutions",
        shape: [13, 11, 20],
        op: |x, numbers| convolution(x, numbers, 1, 76),
        by_hand: |x, shape| convolution_by_hand(x, shape, 1, 76),
    },
    Case {
        name: "convolutions of every other pixel",
        shape: [14, 11, 36],
        op: |x, numbers| convolution(x, numbers, 2, 36),
        by_hand: |x, shape| convolution_by_hand(x, shape, 2, 36),
    },
];

/// Kernels for heads of several widths, each with sizes that no tile has.
const ATTENTIONS: [Case; 4] = [
    Case {
        name: "attention of heads of 40",
        shape: [1, 70, 80],
        op: |x, numbers| self_attention(x, numbers, 2, false),
        by_hand: |x, shape| self_attention_by_hand(x, shape, 2, false),
    },
    Case {
        name: "attention of heads of 64",
        shape: [1, 130, 128],
        op: |x, numbers| self_attention(x, numbers, 2, true),
        by_hand: |x, shape| self_attention_by_hand(x, shape, 2, true),
    },
    Case {
        name: "attention of heads of 80",
        shape: [1, 67, 80],
        op: |x, numbers| self_attention(x, numbers, 1, false),
        by_hand: |x, shape| self_attention_by_hand(x, shape, 1, false),
    },
    Case {
        name: "attention of heads of 160",
        shape: [1, 66, 160],
        op: |x, numbers| self_attention(x, numbers, 1, true),
        by_hand: |x, shape| self_attention_by_hand(x, shape, 1, true),
    },
];

/// What f16 explains: half a unit in its eleventh binary digit, in each of two factors.
const TOLERANCE: f64 = 2e-3;

/// Numbers that f16 has; then activations beyond its largest and gradients below its smallest.
const SIZES: [Sizes; 2] = [Sizes { input: 1.0, cotangent: 1.0 }, Sizes { input: 1e6, cotangent: 1e-9 }];

/// The same for attention, where squares of what comes in must not be beyond what exponentials can have.
const ATTENTION_SIZES: [Sizes; 2] = [Sizes { input: 1.0, cotangent: 1.0 }, Sizes { input: 0.7, cotangent: 1e-9 }];

/// Tiles of a way to make products in f16.
const TILES: usize = 3;

/// Tests one way to make products in f16 on a device: the largest difference from loops on the host, relative to the
/// largest value, or which ops are wrong.
///
/// # Errors
/// Those of [`crate::ops::read`], where the device fails during it.
pub async fn half_self_test(device: &Device, products: HalfProducts) -> Result<std::result::Result<f64, Vec<String>>> {
    let tiles = (0..TILES).flat_map(|tile| SIZES.map(|sizes| (Some(tile), &CASES[..], sizes)));
    let attentions = ATTENTION_SIZES.map(|sizes| (None, &ATTENTIONS[..], sizes));
    let attentions = attentions.into_iter().filter(|_| matches!(products, HalfProducts::Matrices { .. }));
    let mut worst = 0.0;
    for (tile, cases, sizes) in tiles.chain(attentions) {
        let launched = with_half_products(products, tile, || launched(device, cases, sizes))?;
        match judged(launched, TOLERANCE).await? {
            Ok(off) => worst = larger(worst, off),
            wrong => return Ok(wrong),
        }
    }
    Ok(Ok(worst))
}
