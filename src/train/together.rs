//! Steps of several jobs in shared passes: a step of one word is too little work for a large GPU.
//!
//! Learned rows stand behind a text encoder's vocabulary. So those of all jobs are put into one table, and the ids of each
//! job's prompts are moved to where its own rows are: text encoders and U-Net then see one batch, and one backward pass gives the
//! gradient of each job's rows. (What keeps the rest of a prompt alive is left to each: it needs no U-Net, and is little.) Every job moves its rows by itself, with the numbers that it would have made alone but for
//! the rounding of a larger batch.

use std::ops::Range;
use std::time::Duration;

use burn::tensor::Tensor;

use super::learner::Learner;
use super::loss::DiffusionLoss;
use super::sample::Sample;
use super::{JobPhase, TrainJob};
use crate::ops::{self, Var, backward};
use crate::text::{Prompt, Rows};
use crate::{Error, Result};

/// A job and the samples of its step.
type OfJob<'a> = (&'a Learner, &'a [Sample]);

/// Makes the next step of every job that is [due](TrainJob::is_at_step): of those whose samples can be in one batch, in shared
/// passes. What comes of it is told by each job's [`next`](TrainJob::next), a failure of its step too.
///
/// # Errors
/// What fails for all of them, above all [`Error::GpuMemory`], [`Error::GpuLost`] and [`Error::Gpu`]: then none has moved, and none
/// does any more, as when this is dropped before its end: `next` has nothing to tell. A job's
/// [`snapshot`](TrainJob::snapshot) is where it was before.
pub async fn step_together(jobs: &mut [&mut TrainJob]) -> Result<()> {
    let mut begun = Vec::new();
    for job in jobs.iter_mut() {
        // A job that fails in its step does nothing more.
        let is_due = job.is_at_step();
        let step = if is_due { job.begin_step().map(Some) } else { Ok(None) };
        if is_due {
            job.phase = JobPhase::Done;
        }
        begun.push(step.unwrap_or_else(|error| {
            job.fail(error);
            None
        }));
    }
    let mut left: Vec<usize> = (0..jobs.len()).filter(|job| begun[*job].is_some()).collect();
    let mut made: Vec<Option<(f64, Vec<f32>)>> = jobs.iter().map(|_| None).collect();
    while let Some(first) = left.first().copied() {
        let of = |job: usize| begun[job].as_ref().map(|begun| (&jobs[job].learner, begun.samples.as_slice()));
        let fits = |job: &usize| of(first).zip(of(*job)).is_some_and(|(first, other)| is_one_batch(first, other));
        let (group, others): (Vec<usize>, Vec<usize>) =
            left.iter().copied().partition(|job| *job == first || fits(job));
        let group_of: Vec<OfJob<'_>> = group.iter().filter_map(|job| of(*job)).collect();
        let gradients = match group_of.as_slice() {
            [(learner, samples)] => vec![learner.gradient(samples).await?],
            several => gradients(several).await?,
        };
        group.into_iter().zip(gradients).for_each(|(job, gradient)| made[job] = Some(gradient));
        left = others;
    }
    for ((job, begun), made) in jobs.iter_mut().zip(begun).zip(made) {
        if let Some((begun, made)) = begun.zip(made)
            && let Err(error) = job.end_step(begun, made)
        {
            job.fail(error);
        }
    }
    Ok(())
}

impl TrainJob {
    /// Whether all that it has to say was said, and the next thing that it does is a step.
    pub fn is_at_step(&self) -> bool {
        self.pending.is_empty() && self.failed.is_none() && matches!(self.phase, JobPhase::Step)
    }

    /// Ends with an error, which is the last thing that it says.
    pub(crate) fn fail(&mut self, error: Error) {
        self.phase = JobPhase::Done;
        self.failed = Some(error);
    }
}

/// Whether samples of two jobs can be in one batch.
fn is_one_batch((one, its): OfJob<'_>, (other, samples): OfJob<'_>) -> bool {
    let size = |samples: &[Sample]| samples.first().map(|sample| sample.size);
    one.loss.agrees(&other.loss) && size(its) == size(samples)
}

/// Of each job the mean loss of its samples, and the gradient to its new rows of that and of what else counts.
async fn gradients(jobs: &[OfJob<'_>]) -> Result<Vec<(f64, Vec<f32>)>> {
    let mut sums: Vec<(f64, Vec<f32>)> =
        jobs.iter().map(|(learner, _)| (0.0, vec![0.0; learner.optimiser.rows().len()])).collect();
    let passes = |(learner, samples): &OfJob<'_>| samples.chunks(learner.batch_size).len();
    for pass in 0..jobs.iter().map(passes).max().unwrap_or_default() {
        let (mut numbers, mut at_once): (Vec<usize>, Vec<OfJob<'_>>) = (Vec::new(), Vec::new());
        for (number, &(learner, samples)) in jobs.iter().enumerate() {
            if let Some(samples) = samples.chunks(learner.batch_size).nth(pass) {
                numbers.push(number);
                at_once.push((learner, samples));
            }
        }
        for (number, (loss, gradient)) in numbers.into_iter().zip(pass_gradients(&at_once).await?) {
            let share = 1.0 / passes(&jobs[number]) as f64;
            sums[number].0 += loss * share;
            sums[number].1.iter_mut().zip(gradient).for_each(|(sum, value)| *sum += value * share as f32);
        }
    }
    Ok(sums)
}

/// The same of samples that are in one pass.
async fn pass_gradients(jobs: &[OfJob<'_>]) -> Result<Vec<(f64, Vec<f32>)>> {
    let model = &jobs[0].0.model;
    let vocabularies: Vec<usize> =
        model.text_encoders.iter().map(|encoder| encoder.model.token_embedding.len()).collect();
    let mut table = Rows { values: Vec::new(), width: jobs[0].0.known.width };
    let (mut samples, mut prompts, mut losses, mut new_rows) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (learner, own) in jobs {
        let first = table.count();
        prompts.extend(learner.prompts_of(own).iter().map(|prompt| moved(prompt, &vocabularies, first)));
        losses.push((&learner.loss, samples.len()..samples.len() + own.len()));
        samples.extend(own.iter().cloned());
        table.values.extend(learner.rows().values);
        new_rows.push(first + learner.known.count()..table.count());
    }
    let rows = Var::leaf(table.tensor(&model.device));
    let (loss, each) = DiffusionLoss::of_several(&losses, &samples, &prompts, &rows);
    let mut gradients = backward(&loss, Tensor::ones([1], &model.device));
    let all = gradients.take(&rows);
    // The losses travel with the gradients: one reading a pass.
    let mut read = vec![each];
    let mut lengths = Vec::new();
    for ((learner, own), new) in jobs.iter().zip(new_rows) {
        let gradient = gradient_of(learner, own, all.as_ref(), new);
        lengths.push(gradient.as_ref().map_or(0, |gradient| gradient.dims()[0]));
        read.extend(gradient);
    }
    let values = ops::read(Tensor::cat(read, 0)).await?;
    let (each, mut rest) = values.split_at(samples.len());
    let result = losses.into_iter().zip(lengths).map(|((_, own), length)| {
        let (gradient, others) = rest.split_at(length);
        rest = others;
        (each[own].iter().map(|value| f64::from(*value)).sum(), gradient.to_vec())
    });
    Ok(result.collect())
}

/// The gradient to a job's new rows, one number behind the other, given that of the shared loss to the table.
fn gradient_of(learner: &Learner, samples: &[Sample], all: Option<&Tensor<2>>, new: Range<usize>) -> Option<Tensor<1>> {
    let of_loss = all.map(|all| all.clone().narrow(0, new.start, new.len()));
    let known = learner.known.count();
    let of_context = learner.context_gradient(samples).map(|gradient| gradient.narrow(0, known, new.len()));
    let gradient = match (of_loss, of_context) {
        (Some(loss), Some(context)) => Some(loss + context),
        (loss, context) => loss.or(context),
    };
    gradient.map(|gradient| {
        let [count, width] = gradient.dims();
        gradient.reshape([count * width])
    })
}

/// A prompt whose learned words are so many rows further down.
fn moved(prompt: &Prompt, vocabularies: &[usize], by: usize) -> Prompt {
    let mut moved = prompt.clone();
    for (tokens, known) in moved.encoders.iter_mut().zip(vocabularies) {
        let ids = tokens.chunks.iter_mut().flat_map(|chunk| &mut chunk.ids);
        ids.filter(|id| **id as usize >= *known).for_each(|id| *id += by as u32);
    }
    moved
}

/// How many words are learned at the same time, and how many of them share a pass: as many as fit, or as few of these as are
/// found to be fastest.
#[derive(Debug, Clone)]
pub struct Pace {
    most: usize,
    /// The sizes that are still to be tried, the last first; none where the size is given.
    untried: Vec<usize>,
    /// Rounds of the size that is being tried.
    rounds: u32,
    /// The fastest so far, and what a step of one word took then.
    best: Option<(usize, Duration)>,
}

impl Pace {
    /// Rounds in which a size is tried. In the first, kernels are compiled and memory is made.
    const ROUNDS: u32 = 3;

    /// So many words at once.
    pub fn of(words: usize) -> Self {
        Self { most: words.max(1), untried: Vec::new(), rounds: 0, best: None }
    }

    /// As many of up to so many words as is found to be fastest, while they are being learned.
    pub fn found(most: usize) -> Self {
        let most = most.max(1);
        let powers = std::iter::successors(Some(1), |size| Some(2 * size)).take_while(|size| *size < most);
        let mut untried: Vec<usize> = powers.chain([most]).collect();
        untried.reverse();
        Self { untried, ..Self::of(most) }
    }

    /// Words that are being learned at the same time.
    pub fn most(&self) -> usize {
        self.most
    }

    /// How many words share the next pass, of so many that are being learned.
    pub fn size(&self, words: usize) -> usize {
        let best = self.best.map_or(self.most, |(size, _)| size);
        self.untried.last().copied().unwrap_or(best).clamp(1, words.max(1))
    }

    /// No more than so many words are learned at the same time from now on.
    pub fn limit(&mut self, words: usize) {
        self.most = self.most.min(words.max(1));
        self.untried.retain(|size| *size <= self.most);
        self.best = self.best.filter(|(size, _)| *size <= self.most);
    }

    /// A step of each of so many words took so long in passes of a size. Gives the size that was found, once it is.
    pub fn note(&mut self, size: usize, words: usize, took: Duration) -> Option<usize> {
        if self.most == 1 {
            // There is nothing to compare.
            self.untried.clear();
        }
        // At the end of a list there are fewer words.
        let fits = |tried: &usize| *tried <= words;
        if !self.untried.last().is_none_or(fits) {
            self.rounds = 0;
        }
        self.untried.retain(fits);
        if *self.untried.last()? != size {
            return None;
        }
        self.rounds += 1;
        let each = took / words as u32;
        if self.rounds > 1 && self.best.is_none_or(|(_, best)| each < best) {
            self.best = Some((size, each));
        }
        if self.rounds < Self::ROUNDS {
            return None;
        }
        self.rounds = 0;
        self.untried.pop();
        self.best.filter(|_| self.untried.is_empty()).map(|(size, _)| size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fastest_size_is_found() {
        let took = |size: usize| Duration::from_millis(if size == 4 { 100 } else { 200 });
        let mut pace = Pace::found(6);
        let (mut tried, mut found) = (Vec::new(), None);
        while found.is_none() {
            let size = pace.size(6);
            tried.push(size);
            // The first round of each is slow.
            let first = tried.iter().filter(|tried| **tried == size).count() == 1;
            found = pace.note(size, 6, if first { Duration::from_secs(9) } else { took(size) });
        }
        assert_eq!(tried, [1, 1, 1, 2, 2, 2, 4, 4, 4, 6, 6, 6]);
        assert_eq!((found, pace.size(6), pace.size(3), pace.most()), (Some(4), 4, 3, 6));
        assert_eq!(pace.note(4, 6, Duration::from_secs(1)), None);
    }

    #[test]
    fn a_size_that_is_given_is_kept() {
        let mut pace = Pace::of(4);
        assert_eq!((pace.size(4), pace.size(9), pace.size(2), pace.size(0)), (4, 4, 2, 1));
        assert_eq!(pace.note(4, 4, Duration::from_secs(1)), None);
        // Of one size nothing is found out.
        let mut pace = Pace::found(1);
        assert!((0..9).all(|_| pace.note(1, 1, Duration::from_secs(1)).is_none()));
    }

    #[test]
    fn at_the_end_of_a_list_the_sizes_that_are_left_are_compared() {
        let mut pace = Pace::found(4);
        let mut sizes = Vec::new();
        let mut found = None;
        for words in [4, 3, 3, 3, 3, 3, 3, 3, 3] {
            let size = pace.size(words);
            sizes.push(size);
            found = found.or(pace.note(size, words, Duration::from_millis(300 / size as u64)));
        }
        assert_eq!((sizes, found), (vec![1, 1, 1, 2, 2, 2, 2, 2, 2], Some(2)));
        // One that was not tried to its end says nothing: as many as there are.
        let mut pace = Pace::found(4);
        assert_eq!(pace.note(1, 4, Duration::from_secs(1)), None);
        pace.limit(3);
        assert_eq!((pace.most(), pace.size(3)), (3, 1));
    }

    #[test]
    fn what_did_not_fit_is_not_tried_again() {
        let mut pace = Pace::of(8);
        pace.limit(4);
        assert_eq!((pace.size(8), pace.size(3), pace.most()), (4, 3, 4));
        pace.limit(0);
        assert_eq!((pace.size(8), pace.most()), (1, 1));
        let mut pace = Pace::found(8);
        pace.limit(2);
        let sizes: Vec<usize> = (0..12)
            .map(|_| {
                let size = pace.size(2);
                pace.note(size, 2, Duration::from_secs(1));
                size
            })
            .collect();
        assert_eq!(sizes, [1, 1, 1, 2, 2, 2, 1, 1, 1, 1, 1, 1]);
    }
}
