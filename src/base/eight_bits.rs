//! Numbers in eight bits: 32 neighbours share a scale in f16. The arithmetic is that of GGUF's `q8_0`
//! (`quantize_row_q8_0_ref` in ggml), so a file in that form holds the same numbers.

use half::f16;

/// Numbers that share a scale.
pub const BLOCK: usize = 32;

/// Bytes of a block where its scale stands before its numbers.
pub const BLOCK_BYTES: usize = 2 + BLOCK;

/// The largest number that is made; the smallest is its opposite, so that zero is in the middle.
const MOST: f32 = 127.0;

/// A block's scale and its numbers, each of which stands for its product with the scale; none if one of them would be
/// beyond what f16 has, in which products may be made.
pub fn quantised(block: &[f32; BLOCK]) -> Option<(f16, [i8; BLOCK])> {
    let largest = block.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
    let exact = largest / MOST;
    let scale = f16::from_f32(exact);
    if scale.to_f32() * MOST > f16::MAX.to_f32() {
        return None;
    }
    // The exact scale's, although the rounded one multiplies later: so it is in ggml.
    let inverse = if exact > 0.0 { 1.0 / exact } else { 0.0 };
    Some((scale, block.map(|value| rounded(value * inverse))))
}

/// The numbers that a block stands for. Each is exact in f32: 11 bits times 8.
pub fn widened(scale: f16, block: [i8; BLOCK]) -> [f32; BLOCK] {
    let scale = scale.to_f32();
    block.map(|value| scale * f32::from(value))
}

/// The nearest whole number, halves away from zero, as C's `roundf` has it; a loop over this becomes vectors, which one over
/// `f32::round` does not.
fn rounded(value: f32) -> i8 {
    // Adding a half itself would take the number just below a half up to one.
    const BELOW_A_HALF: f32 = 0.499_999_97;
    (value + BELOW_A_HALF.copysign(value)) as i32 as i8
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noise::{Noise, Stream};

    fn block(seed: u64, spread: f32) -> [f32; BLOCK] {
        let normals = Noise::new(seed).draws(0, Stream::Init).normals(BLOCK);
        std::array::from_fn(|i| spread * normals[i])
    }

    #[test]
    fn numbers_are_rounded_as_c_does() {
        for i in -1_300_000..=1_300_000 {
            let value = i as f32 / 10_000.0;
            if value.abs() < 127.5 {
                assert_eq!(f32::from(rounded(value)), value.round(), "{value}");
            }
        }
        for value in [0.5f32, 1.5, 2.5, 63.5, 126.5] {
            for value in [value, value.next_down(), value.next_up()] {
                assert_eq!(f32::from(rounded(value)), value.round(), "{value}");
                assert_eq!(f32::from(rounded(-value)), -value.round(), "{value}");
            }
        }
    }

    /// By the definition, in f64: the largest is 127, and no number is further from what stands for it than half a scale
    /// and what the scale lost in f16.
    #[test]
    fn a_block_is_what_the_definition_says() {
        for (seed, spread) in [(1, 1.0), (2, 0.03), (3, 1e-4), (4, 400.0), (5, 1e4)] {
            let given = block(seed, spread);
            let (scale, numbers) = quantised(&given).unwrap();
            let largest = given.iter().fold(0.0f64, |largest, value| largest.max(f64::from(*value).abs()));
            assert_eq!(scale, f16::from_f64(largest / 127.0), "{spread}");
            assert_eq!(numbers.iter().map(|number| number.unsigned_abs()).max(), Some(127));
            for (given, (number, wide)) in given.iter().zip(numbers.iter().zip(widened(scale, numbers))) {
                let exact = f64::from(*given) / (largest / 127.0);
                assert!((exact - f64::from(*number)).abs() <= 0.5 + 1e-5, "{given} is {number}");
                assert_eq!(f64::from(wide), scale.to_f64() * f64::from(*number), "exact in f32");
            }
            // What a block stands for stays what it is.
            let again = quantised(&widened(scale, numbers)).unwrap();
            assert_eq!(again, (scale, numbers));
        }
    }

    #[test]
    fn zeros_stay_zeros_and_what_f16_does_not_have_is_refused() {
        assert_eq!(quantised(&[0.0; BLOCK]), Some((f16::ZERO, [0; BLOCK])));
        // Below f16's smallest scale.
        assert_eq!(widened(f16::ZERO, quantised(&[1e-9; BLOCK]).unwrap().1), [0.0; BLOCK]);
        assert!(quantised(&[65_000.0; BLOCK]).is_some());
        for value in [66_000.0, f32::MAX, f32::INFINITY] {
            let mut block = [1.0; BLOCK];
            block[7] = value;
            assert_eq!(quantised(&block), None, "{value}");
        }
    }
}
