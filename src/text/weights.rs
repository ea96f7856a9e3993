//! What the weights of a prompt do to its hidden states, as each language's program has it.

use std::ops::Range;

use burn::tensor::{Device, Tensor};

use super::prompt::Chunk;

/// Weights below this count as this in compel: nearer to 0 a share would grow beyond all bounds.
const LEAST: f64 = 1e-5;

/// The weights of some stretches, `[n, T, 1]`.
fn of(chunks: &[&Chunk], device: &Device) -> Tensor<3> {
    let length = chunks.first().map_or(0, |chunk| chunk.ids.len());
    let each = |chunk: &&Chunk| chunk.weights.clone().unwrap_or_else(|| vec![1.0; length]);
    let values: Vec<f32> = chunks.iter().flat_map(each).collect();
    Tensor::<1>::from_floats(values.as_slice(), device).reshape([chunks.len(), length, 1])
}

/// A1111 and Forge (`modules/sd_emphasis.py`, "Original"): states `[n, T, D]` times their weights, each stretch scaled back
/// to the mean that it had. Where the weighted mean is 0, or the ratio of the two is not finite, the stretch is not scaled, as in
/// stable-diffusion.cpp.
pub fn with_mean_kept(states: Tensor<3>, chunks: &[&Chunk]) -> Tensor<3> {
    let mean = |states: &Tensor<3>| states.clone().mean_dim(2).mean_dim(1);
    let before = mean(&states);
    let weighed = states.clone() * of(chunks, &states.device());
    let after = mean(&weighed);
    let nothing = after.clone().equal_elem(0.0);
    let ratio = before / after.mask_fill(nothing.clone(), 1.0);
    let odd = ratio.clone().is_finite().bool_not().bool_or(nothing);
    weighed * ratio.mask_fill(odd, 1.0)
}

/// ComfyUI (`comfy/sd1_clip.py`) and, for weights above 1, compel: what states `[n, T, D]` have more than those of the empty
/// prompt `[1, T, D]`, times their weights.
pub fn from_empty(states: Tensor<3>, empty: &Tensor<3>, chunks: &[&Chunk]) -> Tensor<3> {
    let weights = of(chunks, &states.device());
    (states - empty.clone()) * weights + empty.clone()
}

/// Neighbouring tokens of one weight below 1, which compel also looks at the prompt without.
#[derive(Debug, Clone, PartialEq)]
pub struct Lessened {
    weight: f32,
    /// Its tokens: the number of a stretch, and places there.
    pub at: Vec<(usize, Range<usize>)>,
}

impl Lessened {
    /// How much the prompt without these tokens counts, beside the prompt itself, which counts once.
    pub fn share(&self) -> f64 {
        let weight = f64::from(self.weight).max(LEAST);
        ((1.0 - weight) * std::f64::consts::FRAC_PI_2).tan()
    }

    /// All of a prompt.
    pub fn of(chunks: &[&Chunk]) -> Vec<Self> {
        let mut found: Vec<Self> = Vec::new();
        let mut last = None;
        for (number, chunk) in chunks.iter().enumerate() {
            for place in chunk.text.clone() {
                let weight = chunk.weights.as_ref().map_or(1.0, |weights| weights[place]);
                if weight < 1.0 {
                    if last != Some(weight) {
                        found.push(Self { weight, at: Vec::new() });
                    }
                    if let Some(lessened) = found.last_mut() {
                        match lessened.at.last_mut() {
                            Some((of, places)) if *of == number => places.end = place + 1,
                            _ => lessened.at.push((number, place..place + 1)),
                        }
                    }
                }
                last = Some(weight);
            }
        }
        found
    }
}

/// compel, for weights below 1 (`embeddings_provider.py`, `DownweightMode.MASK`): between states `[n, T, D]` and those of the
/// prompt without each of its lessened tokens in turn. `without` has, for each of them, the states of the stretches that they are
/// in, in the order of [`Lessened::at`].
pub fn between(states: Tensor<3>, lessened: &[Lessened], without: Vec<Vec<Tensor<3>>>) -> Tensor<3> {
    let [count, length, width] = states.dims();
    let all: f64 = 1.0 + lessened.iter().map(Lessened::share).sum::<f64>();
    let mut sums: Vec<Tensor<3>> = (0..count).map(|number| states.clone().narrow(0, number, 1)).collect();
    // What a stretch is in a prompt without tokens of other stretches, is itself.
    let mut own = vec![all; count];
    for lessened in lessened {
        lessened.at.iter().for_each(|(number, _)| own[*number] -= lessened.share());
    }
    sums = sums.into_iter().zip(&own).map(|(states, share)| states * (share / all)).collect();
    for (lessened, without) in lessened.iter().zip(without) {
        for ((number, _), states) in lessened.at.iter().zip(without) {
            sums[*number] = sums[*number].clone() + states * (lessened.share() / all);
        }
    }
    Tensor::cat(sums, 0).reshape([count, length, width])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(weights: Option<&[f32]>) -> Chunk {
        Chunk { ids: vec![0; 4], text: 1..3, end: 3, weights: weights.map(<[f32]>::to_vec) }
    }

    fn states(values: [f32; 4]) -> Tensor<3> {
        Tensor::<1>::from_floats(values, &crate::gpu::cpu()).reshape([1, 4, 1])
    }

    fn read(states: Tensor<3>) -> Vec<f32> {
        states.into_data().try_to_vec().unwrap()
    }

    #[test]
    fn the_mean_is_kept_where_there_is_one() {
        let weighted = chunk(Some(&[1.0, 3.0, 1.0, 1.0]));
        assert_eq!(
            read(with_mean_kept(states([1.0, 1.0, 1.0, 1.0]), &[&weighted])),
            [2.0 / 3.0, 2.0, 2.0 / 3.0, 2.0 / 3.0]
        );
        // After weighing the mean is nothing, or it was nothing before.
        let negated = chunk(Some(&[1.0, -3.0, 1.0, 1.0]));
        assert_eq!(read(with_mean_kept(states([1.0; 4]), &[&negated])), [1.0, -3.0, 1.0, 1.0]);
        let untouched = [0.1, -0.2, 0.7, 0.5];
        assert_eq!(read(with_mean_kept(states(untouched), &[&chunk(None)])), untouched);
    }

    #[test]
    fn comfyui_goes_away_from_the_empty_prompt() {
        let weighted = chunk(Some(&[1.0, 2.0, 0.0, 1.0]));
        assert_eq!(
            read(from_empty(states([1.0, 2.0, 3.0, 4.0]), &states([1.0; 4]), &[&weighted])),
            [1.0, 3.0, 1.0, 4.0]
        );
    }

    #[test]
    fn tokens_that_compel_lessens_are_found_across_stretches() {
        let chunks = [chunk(Some(&[1.0, 1.0, 0.5, 1.0])), chunk(Some(&[1.0, 0.5, 0.25, 1.0])), chunk(None)];
        let found = Lessened::of(&chunks.iter().collect::<Vec<_>>());
        assert_eq!(
            found,
            [Lessened { weight: 0.5, at: vec![(0, 2..3), (1, 1..2)] }, Lessened { weight: 0.25, at: vec![(1, 2..3)] },]
        );
        assert!((found[0].share() - 1.0).abs() < 1e-6, "half way");
        assert!(Lessened { weight: -3.0, at: Vec::new() }.share().is_finite());
        // Half way between what it is and what it would be.
        let half = [Lessened { weight: 0.5, at: vec![(0, 1..2)] }];
        let mixed = between(states([2.0; 4]), &half, vec![vec![states([0.0; 4])]]);
        assert!(read(mixed).iter().all(|value| (value - 1.0).abs() < 1e-6));
    }
}
