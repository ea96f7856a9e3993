//! The one source of randomness.
//!
//! Every random choice of a job is a pure function of (seed, step, stream): nothing is carried from one step to the
//! next, so a resumed run continues exactly, and adding a draw to one stream never shifts another. The generator is
//! Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011), in integer arithmetic alone.
//! Normals use `libm`, whose code is the same on every target, instead of the platform's mathematics: native and wasm
//! builds give bit-equal numbers on any machine.
//!
//! Layout, to reproduce it elsewhere: the key is (seed low word, seed high word); the counter is
//! (block index, step low word, step high word, stream); a block's four words are used in order.

use std::f64::consts::TAU;

/// What a draw is for. The numbers are stable forever: resumed runs and published results depend on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Stream {
    /// Which picture each sample shows.
    Picture = 0,
    /// Whether it is mirrored.
    Flip = 1,
    /// The draw from the VAE's posterior.
    Posterior = 2,
    /// The timestep of each sample.
    Timestep = 3,
    /// The noise that the U-Net has to find.
    Noise = 4,
    /// The caption template.
    Caption = 5,
    /// The starting noise of a generation.
    Latents = 6,
    /// The fresh noise of ancestral sampling.
    Ancestral = 7,
    /// As `Picture`, for the fixed evaluation batch.
    EvalPicture = 8,
    /// As `Posterior`, for the fixed evaluation batch.
    EvalPosterior = 9,
    /// As `Timestep`, for the fixed evaluation batch.
    EvalTimestep = 10,
    /// As `Noise`, for the fixed evaluation batch.
    EvalNoise = 11,
    /// As `Caption`, for the fixed evaluation batch.
    EvalCaption = 12,
    /// The start of vectors that no initialiser gives.
    Init = 13,
    /// As `Flip`, for the fixed evaluation batch.
    EvalFlip = 14,
    /// Whether a caption is nothing but the token.
    CaptionDropout = 15,
    /// The noise by which captions are compared.
    Describe = 16,
    /// The scene that a word is put into, to see whether the rest of a prompt still works.
    Scene = 17,
    /// The noise that pictures are made from, and looked at through, to see what a word that was learned is worth.
    Quality = 18,
    /// The noise under which the model looks for a thing.
    Locate = 19,
    /// Which of its backgrounds a picture has.
    Background = 20,
    /// As `Background`, for the fixed evaluation batch.
    EvalBackground = 21,
    /// Whether a sentence has only one of two words, and which.
    Alone = 22,
}

/// The random numbers of one seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Noise {
    seed: u64,
}

impl Noise {
    /// Takes the seed of a job.
    pub fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// Opens the numbers of one stream in one step, from their beginning.
    pub fn draws(&self, step: u64, stream: Stream) -> Draws {
        let (step_low, step_high) = words(step);
        let (key_low, key_high) = words(self.seed);
        Draws {
            key: [key_low, key_high],
            counter: [0, step_low, step_high, stream as u32],
            block: [0; 4],
            used: 4,
            spare: None,
        }
    }
}

/// A sequence of numbers; 2^34 words long, after which it would repeat.
#[derive(Debug, Clone)]
pub struct Draws {
    key: [u32; 2],
    counter: [u32; 4],
    block: [u32; 4],
    used: usize,
    spare: Option<f32>,
}

impl Draws {
    /// Draws 32 random bits.
    pub fn next_u32(&mut self) -> u32 {
        if self.used == self.block.len() {
            self.block = philox4x32_10(self.counter, self.key);
            self.counter[0] = self.counter[0].wrapping_add(1);
            self.used = 0;
        }
        self.used += 1;
        self.block[self.used - 1]
    }

    /// Draws a number in `0..n`, each equally likely (Lemire, arXiv 1805.10941: multiply, reject the biased few).
    ///
    /// # Panics
    /// If `n` is zero: there is nothing to choose from.
    pub fn below(&mut self, n: u32) -> u32 {
        assert!(n > 0, "a choice among nothing");
        let threshold = n.wrapping_neg() % n;
        loop {
            let (low, high) = words(u64::from(self.next_u32()) * u64::from(n));
            if low >= threshold {
                return high;
            }
        }
    }

    /// Tosses a coin.
    pub fn flip(&mut self) -> bool {
        self.next_u32() >> 31 == 1
    }

    /// Draws a number in `[0, 1)` with 53 random bits: 27 of the next word, 26 of the one after.
    pub fn unit(&mut self) -> f64 {
        let high = u64::from(self.next_u32() >> 5);
        let low = u64::from(self.next_u32() >> 6);
        ((high << 26) | low) as f64 / (1u64 << 53) as f64
    }

    /// Draws from the standard normal distribution.
    ///
    /// Box-Muller gives two at a time (cosine first, then sine); the second is kept for the next call.
    pub fn normal(&mut self) -> f32 {
        if let Some(sine) = self.spare.take() {
            return sine;
        }
        // 1 - u is in (0, 1], so the logarithm is finite.
        let radius = libm::sqrt(-2.0 * libm::log(1.0 - self.unit()));
        let angle = TAU * self.unit();
        self.spare = Some((radius * libm::sin(angle)) as f32);
        (radius * libm::cos(angle)) as f32
    }

    /// Draws `n` numbers from the standard normal distribution.
    pub fn normals(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| self.normal()).collect()
    }
}

/// The low and the high half.
fn words(value: u64) -> (u32, u32) {
    (value as u32, (value >> 32) as u32)
}

/// Ten rounds of the Philox bijection. Constants: table 2 of the paper.
fn philox4x32_10(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    const MULTIPLIER: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
    const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];
    for _ in 0..10 {
        let (low_0, high_0) = words(u64::from(MULTIPLIER[0]) * u64::from(counter[0]));
        let (low_1, high_1) = words(u64::from(MULTIPLIER[1]) * u64::from(counter[2]));
        counter = [high_1 ^ counter[1] ^ key[0], low_1, high_0 ^ counter[3] ^ key[1], low_0];
        key = [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])];
    }
    counter
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors that Random123 publishes for `philox4x32 10` (tests/kat_vectors).
    #[test]
    fn equals_the_known_answers() {
        let pi = [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344];
        let cases = [
            ([0; 4], [0; 2], [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
            ([u32::MAX; 4], [u32::MAX; 2], [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]),
            (pi, [0xa409_3822, 0x299f_31d0], [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]),
        ];
        for (counter, key, expected) in cases {
            assert_eq!(philox4x32_10(counter, key), expected);
        }
    }

    /// Computed by an independent implementation in Python, which also knows nothing of `libm`.
    #[test]
    fn equals_the_golden_values() {
        let noise = Noise::new(0x0123_4567_89ab_cdef);
        let step = 42 | 7 << 32;
        let mut words = noise.draws(step, Stream::Noise);
        let expected =
            [0xdce3_f7ee, 0x2ed3_c5c4, 0x1289_f486, 0xb23d_be82, 0x84c3_a3de, 0xbd33_e801, 0x9115_7e0c, 0x5863_84d2];
        assert_eq!(expected.map(|_| words.next_u32()), expected);

        let bits: Vec<u32> = noise.draws(step, Stream::Noise).normals(4).iter().map(|x| x.to_bits()).collect();
        assert_eq!(bits, [0x3fe5_3017, 0x3f60_42f1, 0xbf8d_5e86, 0xbefc_0dda]);

        let mut choices = noise.draws(step, Stream::Timestep);
        assert_eq!([0; 8].map(|_| choices.below(1000)), [227, 605, 634, 187, 897, 610, 840, 301]);
        let mut tosses = noise.draws(step, Stream::Timestep);
        let expected = [false, true, true, false, true, true, true, false];
        assert_eq!(expected.map(|_| tosses.flip()), expected);
        assert_eq!(noise.draws(step, Stream::Timestep).unit(), 0.227_192_473_453_579_74);
    }

    #[test]
    fn the_numbers_of_the_streams_never_change() {
        use Stream::*;
        let streams = [
            [Picture, Flip, Posterior, Timestep, Noise, Caption, Latents],
            [Ancestral, EvalPicture, EvalPosterior, EvalTimestep, EvalNoise, EvalCaption, Init],
        ];
        let firsts = [
            [0x6627_e8d5, 0x2dce_73e5, 0xdd2f_c514, 0x4d7b_25fc, 0x1c95_48b6, 0x2a49_7e61, 0xdfc6_5b5d],
            [0x710b_8867, 0xd73f_05ca, 0x0c08_671a, 0xe04e_f820, 0xbdd9_f209, 0x67ff_1cfc, 0x5720_5b29],
        ];
        let drawn = streams.map(|row| row.map(|stream| super::Noise::new(0).draws(0, stream).next_u32()));
        assert_eq!(drawn, firsts);
    }

    #[test]
    fn normals_have_the_moments_of_a_normal() {
        let n = 200_000;
        let numbers = Noise::new(7).draws(3, Stream::Noise).normals(n);
        let moment = |k: i32| numbers.iter().map(|x| f64::from(*x).powi(k)).sum::<f64>() / n as f64;
        // Five standard errors of the mean of x^k: sqrt(E[x^2k] - E[x^k]^2) / sqrt(n).
        let allowed = |variance: f64| 5.0 * (variance / n as f64).sqrt();
        assert!(moment(1).abs() < allowed(1.0), "{}", moment(1));
        assert!((moment(2) - 1.0).abs() < allowed(2.0), "{}", moment(2));
        assert!(moment(3).abs() < allowed(15.0), "{}", moment(3));
        assert!((moment(4) - 3.0).abs() < allowed(96.0), "{}", moment(4));
        let next: f64 = numbers.windows(2).map(|pair| f64::from(pair[0] * pair[1])).sum::<f64>() / n as f64;
        assert!(next.abs() < allowed(1.0), "neighbours are correlated: {next}");
    }

    #[test]
    fn choices_are_even() {
        let mut draws = Noise::new(1).draws(0, Stream::Timestep);
        let mut counts = [0u32; 7];
        (0..70_000).for_each(|_| counts[draws.below(7) as usize] += 1);
        assert!(counts.iter().all(|count| count.abs_diff(10_000) < 500), "{counts:?}");
        // Without rejection, a third of this range would be drawn half as often as the rest.
        let n = 3 << 30;
        let low = (0..30_000).filter(|_| draws.below(n) < n / 3).count();
        assert!(low.abs_diff(10_000) < 500, "{low}");
        let heads = (0..10_000).filter(|_| draws.flip()).count();
        assert!(heads.abs_diff(5_000) < 250, "{heads}");
        assert!((0..1_000).all(|_| (0.0..1.0).contains(&draws.unit())));
        assert_eq!(draws.below(1), 0);
    }

    #[test]
    fn seeds_steps_and_streams_are_independent() {
        let n = 20_000;
        let base = Noise::new(5).draws(9, Stream::Noise).normals(n);
        let others = [
            Noise::new(6).draws(9, Stream::Noise),
            Noise::new(5 | 1 << 32).draws(9, Stream::Noise),
            Noise::new(5).draws(10, Stream::Noise),
            Noise::new(5).draws(9 | 1 << 32, Stream::Noise),
            Noise::new(5).draws(9, Stream::Posterior),
            Noise::new(5).draws(9, Stream::EvalNoise),
        ];
        for mut other in others {
            let product: f64 = base.iter().map(|x| f64::from(x * other.normal())).sum::<f64>() / n as f64;
            assert!(product.abs() < 5.0 / (n as f64).sqrt(), "{other:?}: {product}");
        }
    }

    #[test]
    fn draws_start_afresh_and_do_not_depend_on_how_they_are_taken() {
        let noise = Noise::new(11);
        let together = noise.draws(4, Stream::Latents).normals(9);
        let mut draws = noise.draws(4, Stream::Latents);
        let apart: Vec<f32> = (0..9).map(|_| draws.normal()).collect();
        assert_eq!(together, apart);
    }
}
