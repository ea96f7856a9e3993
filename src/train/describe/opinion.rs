//! What the model itself thinks of pictures: with which of some captions it removes noise from each best.
//!
//! The diffusion classifier of Li et al. ("Your Diffusion Model is Secretly a Zero-Shot Classifier", ICCV 2023, arXiv
//! 2303.16203): with every caption the same noise is removed at the same timesteps, so that what differs between two losses is
//! what the captions make of it. Here a caption is only believed if its loss is clearly below that of every other.

use std::ops::Range;

use super::super::dataset::CachedLatents;
use super::super::learner::Learner;
use super::super::sample::Sample;
use crate::Result;
use crate::noise::{Noise, Stream};
use crate::ops::{self, Var};
use crate::text::Prompt;

/// The timesteps, as shares of all: with less noise there is little left for a caption to say, with more little to see.
const TIMESTEPS: Range<f64> = 0.3..0.96;
/// By how many of its standard errors a mean difference has to be above zero.
const CLEARLY: f64 = 2.0;

/// The losses of a picture: for each caption one for each draw of noise.
pub(super) type Losses = Vec<Vec<f64>>;

/// Which of some captions fits best.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Best {
    /// Its place.
    pub index: usize,
    /// How sure that is: the probability that its mean loss is below that of the next best.
    pub sure: f64,
}

/// A view of a picture, and captions that it may have.
pub(super) type Proposal<'a> = (&'a CachedLatents, Vec<String>);

/// The losses of a picture with each of some captions, for so many draws of noise, which are the same for all captions and pictures. Of a
/// picture that has several views, each with as many captions, they are looked at in turn.
///
/// # Errors
/// Those of the device.
pub(super) async fn losses(learner: &Learner, noise: Noise, views: &[Proposal<'_>], draws: usize) -> Result<Losses> {
    let model = &learner.model;
    let rows = Var::constant(learner.rows().tensor(&model.device));
    let prompt = |text: &String| learner.tokenizers.prompt(text);
    let prompts: Vec<Vec<Prompt>> = views.iter().map(|(_, captions)| captions.iter().map(prompt).collect()).collect();
    let count = prompts.first().map_or(0, Vec::len);
    let steps = model.config.scheduler.num_train_timesteps as f64;
    let sample = |draw: usize| {
        let share = TIMESTEPS.start + (TIMESTEPS.end - TIMESTEPS.start) * (draw as f64 + 0.5) / draws as f64;
        let view = views[draw % views.len()].0;
        let noise = noise.draws(draw as u64, Stream::Describe).normals(view.mean.len());
        Sample::of_mean(view, model.config.vae.scaling_factor as f32, (steps * share) as usize, noise)
    };
    let mut losses = vec![Vec::new(); count];
    let pairs: Vec<(usize, usize)> = (0..draws).flat_map(|draw| (0..count).map(move |i| (draw, i))).collect();
    for pairs in pairs.chunks(learner.batch_size) {
        let samples: Vec<Sample> = pairs.iter().map(|(draw, _)| sample(*draw)).collect();
        let prompts: Vec<Prompt> = pairs.iter().map(|(draw, i)| prompts[draw % views.len()][*i].clone()).collect();
        let each = ops::read(learner.loss.each(&samples, &prompts, &rows)).await?;
        for ((_, i), loss) in pairs.iter().zip(each) {
            losses[*i].push(f64::from(loss));
        }
    }
    Ok(losses)
}

/// Takes from each picture's losses what the captions do to all pictures: a caption may fit none of them, and be worse than
/// another for every one. What is left says which pictures a caption fits better than it fits the rest.
pub(super) fn compared(pictures: &[&Losses]) -> Vec<Losses> {
    let count = pictures.len() as f64;
    let without = |losses: &Losses| {
        let caption = |(c, own): (usize, &Vec<f64>)| {
            let draw = |(d, loss): (usize, &f64)| loss - pictures.iter().map(|other| other[c][d]).sum::<f64>() / count;
            own.iter().enumerate().map(draw).collect()
        };
        losses.iter().enumerate().map(caption).collect()
    };
    pictures.iter().map(|losses| without(losses)).collect()
}

/// What captions do to the losses of all pictures alike, beside what they do to those of each: the ratio of the variances.
pub(super) fn common_share(pictures: &[&Losses]) -> f64 {
    let centred = |losses: Vec<f64>| {
        let middle = mean(&losses);
        losses.into_iter().map(move |loss| loss - middle)
    };
    let by_caption = |losses: &Losses| losses.iter().map(|draws| mean(draws)).collect();
    let each: Vec<Vec<f64>> = pictures.iter().map(|losses| centred(by_caption(losses)).collect()).collect();
    let count = each.len() as f64;
    let captions = each.first().map_or(0, Vec::len);
    let common: Vec<f64> = (0..captions).map(|c| each.iter().map(|of| of[c]).sum::<f64>() / count).collect();
    let squares = |values: &mut dyn Iterator<Item = f64>| values.map(|value| value * value).sum::<f64>();
    let own = each.iter().map(|of| squares(&mut of.iter().zip(&common).map(|(of, common)| of - common))).sum::<f64>();
    squares(&mut common.iter().copied()) * count / own
}

/// The caption whose losses are clearly least.
pub(super) fn clearly_least(losses: &Losses) -> Option<Best> {
    let index = (0..losses.len()).min_by(|a, b| mean(&losses[*a]).total_cmp(&mean(&losses[*b])))?;
    // In standard errors: the least that any other is above it.
    let above = |other: &[f64]| {
        let differences: Vec<f64> = other.iter().zip(&losses[index]).map(|(a, b)| a - b).collect();
        let (mean, count) = (mean(&differences), differences.len() as f64);
        let variance = differences.iter().map(|d| (d - mean).powi(2)).sum::<f64>() / (count - 1.0);
        mean / (variance / count).sqrt()
    };
    let others = losses.iter().enumerate().filter(|(i, _)| *i != index);
    let least = others.map(|(_, other)| above(other)).reduce(f64::min)?;
    // Not where it is NaN.
    (least >= CLEARLY).then(|| Best { index, sure: 0.5 * (1.0 + libm::erf(least / std::f64::consts::SQRT_2)) })
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn above(base: [f64; 4], by: [f64; 4]) -> Vec<f64> {
        base.iter().zip(by).map(|(base, by)| base + by).collect()
    }

    #[test]
    fn only_what_is_clearly_least_is_believed() {
        let base = [0.9, 0.2, 0.5, 0.4];
        let (least, clear) = (base.to_vec(), above(base, [0.02, 0.03, 0.02, 0.03]));
        let unclear = above(base, [0.2, -0.1, 0.1, -0.05]);
        let best = clearly_least(&vec![clear.clone(), least.clone()]).unwrap();
        assert!(best.index == 1 && best.sure > 0.999, "{best:?}");
        assert_eq!(clearly_least(&vec![clear, least.clone(), unclear]), None);
        assert_eq!(clearly_least(&vec![least.clone(), least.clone()]), None);
        assert_eq!((clearly_least(&vec![least.clone()]), clearly_least(&vec![])), (None, None));
        assert_eq!(clearly_least(&vec![least, vec![f64::NAN; 4]]), None);
    }

    #[test]
    fn what_captions_do_to_all_pictures_is_not_held_against_one() {
        let base = [0.9, 0.2, 0.5, 0.4];
        // The second caption is worse for both, but less so for the second picture.
        let first = vec![base.to_vec(), above(base, [0.32, 0.33, 0.32, 0.33])];
        let second = vec![base.to_vec(), above(base, [0.12, 0.13, 0.12, 0.13])];
        let best = |losses: &Losses| clearly_least(losses).map(|best| best.index);
        assert_eq!([&first, &second].map(best), [Some(0), Some(0)]);
        let found: Vec<_> = compared(&[&first, &second]).iter().map(best).collect();
        assert_eq!(found, [Some(0), Some(1)]);
    }

    #[test]
    fn what_is_common_to_all_pictures_is_measured_beside_what_each_has() {
        let losses = |means: [f64; 3]| means.map(|mean| vec![mean - 0.1, mean + 0.1]).to_vec();
        // The captions do +1, 0, -1 to both, and 0.5, 0, -0.5 more to the first and less to the second.
        let (first, second) = (losses([3.5, 2.0, 0.5]), losses([2.5, 2.0, 1.5]));
        let common = common_share(&[&first, &second]);
        assert!((common - 2.0 * 2.0 / 1.0).abs() < 1e-12, "{common}");
        // How hard a picture is whatever is said of it does not matter.
        let harder = losses([7.5, 7.0, 6.5]);
        assert!((common_share(&[&first, &harder]) - common).abs() < 1e-12);
        assert_eq!(common_share(&[&first, &first]), f64::INFINITY);
    }
}
