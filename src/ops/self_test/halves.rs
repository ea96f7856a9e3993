//! Whether a device computes what it should in f16: the products and their gradients, in every tile of a way to make them,
//! on numbers that f16 has and on numbers that it does not.

use burn::tensor::Device;

use super::{Case, Sizes, convolution, convolution_by_hand, judged, larger, launched, linear_by_hand, linear_layer};
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

/// What f16 explains: half a unit in its eleventh binary digit, in each of two factors.
const TOLERANCE: f64 = 2e-3;

/// Numbers that f16 has; then activations beyond its largest and gradients below its smallest.
const SIZES: [Sizes; 2] = [Sizes { input: 1.0, cotangent: 1.0 }, Sizes { input: 1e6, cotangent: 1e-9 }];

/// Tiles of a way to make products in f16.
const TILES: usize = 3;

/// Tests one way to make products in f16 on a device: the largest difference from loops on the host, relative to the
/// largest value, or which ops are wrong.
///
/// # Errors
/// Those of [`crate::ops::read`], where the device fails during it.
pub async fn half_self_test(device: &Device, products: HalfProducts) -> Result<std::result::Result<f64, Vec<String>>> {
    let mut worst = 0.0;
    for tile in 0..TILES {
        for sizes in SIZES {
            let launched = with_half_products(products, Some(tile), || launched(device, &CASES, sizes))?;
            match judged(launched, TOLERANCE).await? {
                Ok(off) => worst = larger(worst, off),
                wrong => return Ok(wrong),
            }
        }
    }
    Ok(Ok(worst))
}
