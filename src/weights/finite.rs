//! Whether the values of a weight are numbers that can be computed with.

use half::f16;

use crate::base::eight_bits::BLOCK;

/// How many values of a type in a file ([`FLOATS`](super::values::FLOATS)) are NaN or infinite, or become so in f32.
///
/// Loading waits for the disk, so this must cost nothing beside it: the largest pattern of a piece is found first, in
/// loops that the compiler vectorises, and only what has one of them is counted.
pub(super) fn not_finite(bytes: &[u8], dtype: &str) -> usize {
    match dtype {
        "F16" => count::<2, u16>(bytes, u16::from_le_bytes, 0x7fff, f16::INFINITY.to_bits()),
        "BF16" => count::<2, u16>(bytes, u16::from_le_bytes, 0x7fff, 0x7f80),
        "F32" => count::<4, u32>(bytes, u32::from_le_bytes, 0x7fff_ffff, f32::INFINITY.to_bits()),
        // From half a step above the largest f32 on, rounding gives infinity.
        "F64" => count::<8, u64>(bytes, u64::from_le_bytes, u64::MAX >> 1, 0x47ef_ffff_f000_0000),
        _ => 0,
    }
}

/// How many values of blocks have a scale, in f16, that is not finite.
pub(super) fn broken_scales(scales: Option<&[u8]>) -> usize {
    BLOCK * scales.map_or(0, |scales| not_finite(scales, "F16"))
}

/// How many values have bits from `infinite` on, their sign left out: such patterns are in the order of their numbers,
/// infinity after those, and NaN last.
fn count<const N: usize, T>(bytes: &[u8], bits: fn([u8; N]) -> T, unsigned: T, infinite: T) -> usize
where
    T: Copy + Ord + Default + std::ops::BitAnd<Output = T>,
{
    let values = bytes.as_chunks::<N>().0;
    let most = values.iter().fold(T::default(), |most, value| most.max(bits(*value) & unsigned));
    if most < infinite {
        return 0;
    }
    values.iter().filter(|value| bits(**value) & unsigned >= infinite).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use half::bf16;

    fn counted<const N: usize, T: Copy>(values: &[T], bytes: fn(T) -> [u8; N], dtype: &str) -> usize {
        not_finite(&values.iter().flat_map(|value| bytes(*value)).collect::<Vec<u8>>(), dtype)
    }

    #[test]
    fn nan_and_infinity_are_counted_in_every_type_and_nothing_else_is() {
        let halves = [1.0, -0.0, 65504.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 6e-8].map(f16::from_f32);
        assert_eq!(counted(&halves, |value| value.to_le_bytes(), "F16"), 3);
        assert_eq!(counted(&halves[..3], |value| value.to_le_bytes(), "F16"), 0);
        let brains = [f32::MIN_POSITIVE, 3e38, -f32::NAN, f32::NEG_INFINITY].map(bf16::from_f32);
        assert_eq!(counted(&brains, |value| value.to_le_bytes(), "BF16"), 2);
        let singles = [f32::MAX, f32::MIN, 0.0, -1e-45, f32::from_bits(0x7f80_0001), f32::INFINITY];
        assert_eq!(counted(&singles, f32::to_le_bytes, "F32"), 2);
        let doubles = [f64::from(f32::MAX), -1e300, f64::NAN, f64::INFINITY, 1e-300];
        assert_eq!(counted(&doubles, f64::to_le_bytes, "F64"), 3);
    }

    #[test]
    fn doubles_count_where_f32_has_no_number_for_them() {
        let edge = 0x47ef_ffff_f000_0000_u64;
        for bits in [edge - 1, edge, edge + 1] {
            let infinite = !(f64::from_bits(bits) as f32).is_finite();
            assert_eq!(not_finite(&bits.to_le_bytes(), "F64"), usize::from(infinite), "{bits:x}");
        }
    }
}
