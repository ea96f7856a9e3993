//! Elementary functions written so that the compiler can vectorise loops over them.
//!
//! No tables and no branches: each is a polynomial on a reduced argument, accurate to a few units in the last place of
//! f32 (asserted below against the `libm` crate).

/// `e^x`, by `2^n * p(r)` with `x = n ln 2 + r`. Zero below -87, large but finite above 88.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    // Upper and lower part of ln 2: n times the upper part is exact for every n that can occur.
    const LN2_HI: f32 = 0.693_359_4;
    const LN2_LO: f32 = -2.121_944_4e-4;
    // Adding and subtracting 1.5 * 2^23 rounds to the nearest integer and leaves it in the low mantissa bits.
    const ROUND: f32 = 12_582_912.0;
    let clamped = x.clamp(-87.0, 88.0);
    let shifted = clamped * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = clamped - n * LN2_HI - n * LN2_LO;
    // Taylor series to the seventh power: below half a unit in the last place for |r| <= ln 2 / 2.
    let p = 1.0 / 5040.0;
    let p = p * r + 1.0 / 720.0;
    let p = p * r + 1.0 / 120.0;
    let p = p * r + 1.0 / 24.0;
    let p = p * r + 1.0 / 6.0;
    let p = p * r + 0.5;
    let p = p * r + 1.0;
    let p = p * r + 1.0;
    let power = f32::from_bits(shifted.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127) << 23);
    if x < -87.0 { 0.0 } else { p * power }
}

/// `1 / (1 + e^-x)`.
#[inline(always)]
pub(crate) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// The error function, by Abramowitz and Stegun's 7.1.28 form with more terms below one and `1 - erfc` above.
///
/// Both branches are computed and one is selected, so that the loop stays free of jumps.
#[inline(always)]
pub(crate) fn erf(x: f32) -> f32 {
    let a = x.abs();
    // |x| < 1: the Maclaurin series of erf, up to x^17.
    let s = x * x;
    const C: [f32; 9] = [
        std::f32::consts::FRAC_2_SQRT_PI,
        -0.376_126_4,
        0.112_837_92,
        -0.026_866_17,
        0.005_223_978,
        -0.000_854_832_7,
        0.000_120_553_33,
        -1.492_565e-5,
        1.646_211_4e-6,
    ];
    let mut small = C[8];
    let mut i = 8;
    while i > 0 {
        i -= 1;
        small = small * s + C[i];
    }
    let small = small * x;
    // |x| >= 1: Numerical Recipes' Chebyshev fit of erfc, relative error below 1.2e-7.
    let t = 1.0 / (1.0 + 0.5 * a);
    let q = 0.170_872_77;
    let q = q * t - 0.822_152_23;
    let q = q * t + 1.488_515_9;
    let q = q * t - 1.135_204;
    let q = q * t + 0.278_868_07;
    let q = q * t - 0.186_288_06;
    let q = q * t + 0.096_784_18;
    let q = q * t + 0.374_091_96;
    let q = q * t + 1.000_023_7;
    let q = q * t - 1.265_512_2;
    let large = 1.0 - t * exp(-a * a + q);
    let large = if x < 0.0 { -large } else { large };
    if a < 1.0 { small } else { large }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worst(ours: impl Fn(f32) -> f32, exact: impl Fn(f64) -> f64, from: f32, to: f32) -> f64 {
        let n = 200_000;
        (0..=n)
            .map(|i| from + (to - from) * i as f32 / n as f32)
            .map(|x| {
                let want = exact(f64::from(x));
                (f64::from(ours(x)) - want).abs() / want.abs().max(1e-3)
            })
            .fold(0.0, f64::max)
    }

    #[test]
    fn elementary_functions_are_accurate() {
        assert!(worst(exp, libm::exp, -80.0, 80.0) < 3e-7);
        assert_eq!(exp(-200.0), 0.0);
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp(0.0), 1.0);
        assert!(exp(f32::NAN).is_nan());
        assert!(worst(sigmoid, |x| 1.0 / (1.0 + libm::exp(-x)), -30.0, 30.0) < 4e-7);
        assert!(worst(erf, libm::erf, -6.0, 6.0) < 6e-7);
    }
}
