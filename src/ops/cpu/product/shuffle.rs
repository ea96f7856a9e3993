//! What the compiler makes no vectors of: changing rows and columns of small blocks, and the processor's own conversion of
//! halves. Both through `pulp`'s tokens, each of which is proof that the processor has its instructions.

use half::f16;
use half::slice::HalfFloatSliceExt;

use super::pack::widened;

/// The instructions that there are for it.
#[derive(Clone, Copy)]
pub(in crate::ops::cpu) struct Shuffles {
    #[cfg(target_arch = "x86_64")]
    avx2: Option<pulp::x86::V3>,
    #[cfg(target_arch = "x86_64")]
    avx512: Option<pulp::x86::V4>,
}

impl Shuffles {
    pub(in crate::ops::cpu) fn new() -> Self {
        Self {
            #[cfg(target_arch = "x86_64")]
            avx2: pulp::x86::V3::try_new(),
            #[cfg(target_arch = "x86_64")]
            avx512: pulp::x86::V4::try_new(),
        }
    }

    /// Halves as f32.
    #[inline(always)]
    pub(super) fn widen(self, halves: &[f16], wide: &mut [f32]) {
        #[cfg(target_arch = "x86_64")]
        if let Some(simd) = self.avx512 {
            let (halves, last) = halves.reinterpret_cast().as_chunks::<16>();
            let (wide, end) = wide.as_chunks_mut::<16>();
            for (wide, halves) in wide.iter_mut().zip(halves) {
                *wide = pulp::cast(simd.avx512f._mm512_cvtph_ps(pulp::cast(*halves)));
            }
            for (wide, half) in end.iter_mut().zip(last) {
                *wide = widened(f16::from_bits(*half));
            }
            return;
        }
        for (wide, half) in wide.iter_mut().zip(halves) {
            *wide = widened(*half);
        }
    }

    /// Puts the first `steps` values of all lines side by side: those of a step together, `stride` from those of the step before.
    #[inline(always)]
    pub(super) fn side_by_side<const N: usize>(self, lines: &[[f32; N]], steps: usize, out: &mut [f32], stride: usize) {
        let mut done = 0;
        #[cfg(target_arch = "x86_64")]
        if let (Some(simd), Some(lines)) = (self.avx2, lines.as_array::<8>()) {
            while done + 8 <= steps {
                let mut block = [&[0.0; 8]; 8];
                for (block, line) in block.iter_mut().zip(lines) {
                    *block = line[done..].first_chunk().expect("eight more");
                }
                for (i, step) in turned(simd, block).into_iter().enumerate() {
                    out[(done + i) * stride..][..8].copy_from_slice(&step);
                }
                done += 8;
            }
        }
        for step in done..steps {
            for (line, value) in lines.iter().zip(&mut out[step * stride..]) {
                *value = line[step];
            }
        }
    }
}

/// Rows as columns: by pairs, by fours, by eights.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn turned(simd: pulp::x86::V3, rows: [&[f32; 8]; 8]) -> [[f32; 8]; 8] {
    let avx = simd.avx;
    let zero = avx._mm256_setzero_ps();
    let mut pairs = [zero; 8];
    for i in 0..4 {
        let (even, odd) = (pulp::cast(*rows[2 * i]), pulp::cast(*rows[2 * i + 1]));
        pairs[2 * i] = avx._mm256_unpacklo_ps(even, odd);
        pairs[2 * i + 1] = avx._mm256_unpackhi_ps(even, odd);
    }
    let mut fours = [zero; 8];
    for i in [0, 4] {
        for j in 0..2 {
            let (first, second) = (pulp::cast(pairs[i + j]), pulp::cast(pairs[i + 2 + j]));
            fours[i + 2 * j] = pulp::cast(avx._mm256_unpacklo_pd(first, second));
            fours[i + 2 * j + 1] = pulp::cast(avx._mm256_unpackhi_pd(first, second));
        }
    }
    let mut columns = [[0.0; 8]; 8];
    for i in 0..4 {
        columns[i] = pulp::cast(avx._mm256_permute2f128_ps::<0x20>(fours[i], fours[4 + i]));
        columns[4 + i] = pulp::cast(avx._mm256_permute2f128_ps::<0x31>(fours[i], fours[4 + i]));
    }
    columns
}
