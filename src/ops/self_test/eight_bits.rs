//! Whether a device computes what it should with weights in eight bits: every kernel that reads them, forward and back.
//!
//! A test of its own, for whoever is about to use such a model: its kernels are compiled for it, which takes a second each where the
//! GPU is software, and other models need none of them.

use burn::tensor::Device;

use super::{Case, Kept, OUTPUTS, tested};
use crate::Result;
use crate::ops::Var;

const KEPT: Kept = Kept::EightBits;

const CASES: [Case; 5] = [
    linear!("linear layers in eight bits", [1, 37, 64], KEPT, OUTPUTS),
    convolution!("convolutions in eight bits", [9, 7, 32], KEPT, 1, OUTPUTS),
    gated!("gated layers in eight bits behind a normalisation", [1, 37, 64], KEPT),
    block!("attention and layers in eight bits behind normalisations", [1, 37, 64], KEPT),
    Case {
        name: "weights in eight bits that are widened",
        shape: [3, 5, 96],
        op: |x, numbers| x.add(&Var::constant(numbers.frozen(KEPT, 91, x.dims()).f32())),
        by_hand: |x, _| x.iter().zip(KEPT.exact(91, x.len())).map(|(x, weight)| x + weight).collect(),
    },
];

/// Runs every case on the device; gives the largest difference from the loops on the host, relative to the largest value.
///
/// # Errors
/// As for [`self_test`](super::self_test).
pub async fn self_test_in_eight_bits(device: &Device) -> Result<f64> {
    tested(device, &CASES).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::self_test::{Numbers, Sizes, TOLERANCE, judged, launched};
    use crate::ops::{Linear, Weight, linear_add};

    #[test]
    fn numbers_are_held_exactly() {
        let device = crate::gpu::cpu();
        let numbers = Numbers { device: &device };
        let wide = numbers.frozen(KEPT, 11, [6, 64]).f32();
        let read = pollster::block_on(crate::ops::read(wide.reshape([384]))).unwrap();
        assert_eq!(read, KEPT.numbers(11, 384));
    }

    #[test]
    fn the_processor_passes_and_weights_that_are_not_those_do_not() {
        let device = crate::gpu::cpu();
        assert!(pollster::block_on(self_test_in_eight_bits(&device)).unwrap() < 1e-5);
        // As a reader does that takes the scale of another block, or the values for those without a sign.
        let scaled =
            |x: &Var<4>, numbers: &Numbers<'_>| layer(x, numbers, |i, n| if i / 32 == 40 { n * 5.0 / 3.0 } else { n });
        let unsigned = |x: &Var<4>, numbers: &Numbers<'_>| layer(x, numbers, |_, n| n.abs());
        for op in [scaled as fn(&Var<4>, &Numbers<'_>) -> Var<4>, unsigned] {
            let case = Case { op, shape: [1, 37, 64], name: "wrong", by_hand: CASES[0].by_hand };
            let launched = launched(&device, &[case], Sizes { input: 1.0, cotangent: 1.0 }).unwrap();
            let wrong = pollster::block_on(judged(launched, TOLERANCE)).unwrap().unwrap_err();
            assert!(wrong[0].starts_with("wrong ("), "{wrong:?}");
        }
    }

    /// The layer of the first case, with other weights.
    fn layer(x: &Var<4>, numbers: &Numbers<'_>, change: fn(usize, f32) -> f32) -> Var<4> {
        let values = KEPT.numbers(11, OUTPUTS * 64).into_iter().enumerate().map(|(i, n)| change(i, n));
        let weight = Weight::in_eight_bits(&values.collect::<Vec<f32>>(), [OUTPUTS, 64], numbers.device).unwrap();
        let layer = Linear { weight, bias: Some(numbers.full(12, [OUTPUTS])) };
        linear_add(x, &layer, &numbers.residual([1, 1, 37, OUTPUTS]))
    }
}
