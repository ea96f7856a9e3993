//! Many words on one model: a list goes in, events come out.

use std::iter::Enumerate;

use web_time::Instant;

use super::Session;
use crate::Result;
use crate::config::TrainConfig;
use crate::event::Event;
use crate::train::{Pace, RunState, TrainInput, TrainJob, step_together};

/// A word of a list.
#[derive(Debug)]
pub struct ListedWord {
    /// How it is learned.
    pub config: TrainConfig,
    /// From what.
    pub input: TrainInput,
    /// Where it was before, if it goes on from there ([`TrainJob::snapshot`]).
    pub state: Option<RunState>,
}

impl From<(TrainConfig, TrainInput)> for ListedWord {
    /// One that begins.
    fn from((config, input): (TrainConfig, TrainInput)) -> Self {
        Self { config, input, state: None }
    }
}

/// Words that are being learned, some of them at the same time ([`Session::train_list`]).
///
/// An error is the end of one word, not of the list; one of the device is that of all words that were in a pass, whose jobs still
/// have their [snapshots](TrainJob::snapshot). A device that failed does not come back by itself: drop the list, and begin another
/// on a new one, in smaller passes if its memory was full. Each word is asked for when its turn comes, so that the pictures of
/// all of them need not be in memory at once.
pub struct TrainList<I> {
    session: Session,
    waiting: Enumerate<I>,
    /// Those that were begun and have not ended, each with its place in the list.
    jobs: Vec<(usize, TrainJob)>,
    pace: Pace,
    /// The word that ended with the last event.
    ended: Option<usize>,
}

impl<I: Iterator<Item = Result<ListedWord>>> TrainList<I> {
    pub(crate) fn new(session: Session, words: I, pace: Pace) -> Self {
        Self { session, waiting: words.enumerate(), jobs: Vec::new(), pace, ended: None }
    }

    /// The job of a word, from its first event until the event after its last: what it has learned, its pictures, its state.
    pub fn job(&mut self, index: usize) -> Option<&mut TrainJob> {
        self.jobs.iter_mut().find(|(of, _)| *of == index).map(|(_, job)| job)
    }

    /// Works until the next event, given with the place of its word in the list, from 0; none when all words have ended.
    pub async fn next(&mut self) -> Option<(usize, Result<Event>)> {
        if let Some(ended) = self.ended.take() {
            self.jobs.retain(|(index, _)| *index != ended);
        }
        loop {
            if let Some(refused) = self.begin() {
                return Some(refused);
            }
            if self.jobs.is_empty() {
                return None;
            }
            let Some((index, job)) = self.jobs.iter_mut().find(|(_, job)| !job.is_at_step()) else {
                self.step().await;
                continue;
            };
            let (index, event) = (*index, job.next().await);
            match event {
                Ok(Some(event)) => return Some((index, Ok(event))),
                Ok(None) => self.jobs.retain(|(other, _)| *other != index),
                Err(error) => {
                    self.ended = Some(index);
                    return Some((index, Err(error)));
                }
            }
        }
    }

    /// Begins words as long as there is a place for one; gives what refuses one.
    fn begin(&mut self) -> Option<(usize, Result<Event>)> {
        while self.jobs.len() < self.pace.most() {
            let (index, word) = self.waiting.next()?;
            let begun = word.and_then(|ListedWord { config, input, state }| match state {
                Some(state) => self.session.resume(&config, input, &state),
                None => self.session.train(&config, input),
            });
            match begun {
                Ok(job) => self.jobs.push((index, job)),
                Err(error) => return Some((index, Err(error))),
            }
        }
        None
    }

    /// A step of every word.
    async fn step(&mut self) {
        let (begun, count) = (Instant::now(), self.jobs.len());
        let size = self.pace.size(count);
        let mut has_failed = false;
        for group in self.jobs.chunks_mut(size) {
            let mut group: Vec<&mut TrainJob> = group.iter_mut().map(|(_, job)| job).collect();
            if let Err(error) = step_together(&mut group).await {
                has_failed = true;
                group.into_iter().for_each(|job| job.fail(error.of_device_again()));
            }
        }
        if !has_failed {
            self.pace.note(size, count, begun.elapsed());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use pollster::block_on;

    use super::*;
    use crate::Error;
    use crate::embedding::Embedding;
    use crate::image::Picture;
    use crate::train::TrainPicture;

    /// A word of one picture.
    fn word(token: &str, init: &str, seed: u64, steps: u32) -> (TrainConfig, TrainInput) {
        let pixel = |x: u32, y: u32| image::Rgb([(3 * x) as u8, (y * seed as u32) as u8, (x + y) as u8]);
        let picture = Picture::new("p.png", image::RgbImage::from_fn(64, 64, pixel));
        let pictures = vec![TrainPicture { picture, caption: Some("a {} on a beach".to_owned()), mask: None }];
        let config = TrainConfig {
            token: token.to_owned(),
            init: Some(init.to_owned()),
            seed,
            steps: Some(steps),
            batch_size: Some(2),
            preview_every: 0,
            eval_every: 2,
            eval_size: 2,
            ..TrainConfig::default()
        };
        (config, TrainInput { pictures, ..TrainInput::default() })
    }

    /// What comes of words: of each the losses of its steps and its embedding, or what ended it.
    fn learned(words: Vec<Result<(TrainConfig, TrainInput)>>, pace: Pace) -> Vec<Result<(Vec<f64>, Embedding)>> {
        let (device, mut quiet) = (crate::gpu::cpu(), |_| ());
        let session = block_on(Session::open(Rc::new(crate::mini::source()), &device, &mut quiet)).unwrap();
        let mut losses: Vec<Vec<f64>> = words.iter().map(|_| Vec::new()).collect();
        let mut learned: Vec<_> = words.iter().map(|_| None).collect();
        let mut list = TrainList::new(session, words.into_iter().map(|word| word.map(ListedWord::from)), pace);
        while let Some((index, event)) = block_on(list.next()) {
            match event {
                Ok(Event::Step { loss, .. }) => losses[index].push(loss),
                Ok(Event::Done { .. }) => {
                    let embedding = list.job(index).unwrap().embedding();
                    learned[index] = Some(Ok((std::mem::take(&mut losses[index]), embedding)));
                }
                Ok(_) => {}
                Err(error) => learned[index] = Some(Err(error)),
            }
        }
        learned.into_iter().map(Option::unwrap).collect()
    }

    #[test]
    fn words_that_are_learned_together_are_what_each_is_alone() {
        let words = || -> Vec<Result<(TrainConfig, TrainInput)>> {
            let two = TrainConfig { vectors: Some(2), snr_gamma: Some(5.0), ..word("<two>", "cat", 3, 4).0 };
            let passes = TrainConfig { gradient_accumulation: Some(2), ..word("<passes>", "apple", 4, 5).0 };
            let weighed = TrainConfig { context_weight: Some(0.3), ..word("<weighed>", "bear", 5, 3).0 };
            vec![
                Ok(word("<one>", "fox", 2, 5)),
                Ok((two, word("<two>", "cat", 3, 4).1)),
                Ok((passes, word("<passes>", "apple", 4, 5).1)),
                Ok((weighed, word("<weighed>", "bear", 5, 3).1)),
                Ok(word("<last>", "car", 6, 5)),
            ]
        };
        let alone = learned(words(), Pace::of(1));
        let together = learned(words(), Pace::of(4));
        let found = learned(words(), Pace::found(3));
        for (number, alone) in alone.into_iter().enumerate() {
            let (losses, embedding) = alone.unwrap();
            assert!(losses.len() >= 3, "{number}");
            for other in [&together, &found] {
                let (other_losses, other) = other[number].as_ref().unwrap();
                assert_eq!(losses.len(), other_losses.len());
                let near = |(a, b): (&f64, &f64)| (a - b).abs() < 1e-5 * a.abs();
                assert!(losses.iter().zip(other_losses).all(near), "{number}: {losses:?}, {other_losses:?}");
                let (one, other) = (&embedding.encoders[0].rows, &other.encoders[0].rows);
                let apart = one.iter().zip(other).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                let moved = 0.005 * losses.len() as f32;
                assert!(apart < 0.02 * moved, "{number}: {apart}");
            }
        }
    }

    #[test]
    fn a_word_goes_on_from_where_it_was() {
        let (device, mut quiet) = (crate::gpu::cpu(), |_| ());
        let session = block_on(Session::open(Rc::new(crate::mini::source()), &device, &mut quiet)).unwrap();
        let listed = |state| -> ListedWord { ListedWord { state, ..word("<one>", "fox", 2, 4).into() } };
        let mut list = session.train_list([Ok(listed(None))], Pace::of(2));
        let (mut halfway, mut whole) = (None, None);
        while let Some((index, event)) = block_on(list.next()) {
            match event.unwrap() {
                Event::Step { step: 2, .. } => halfway = Some(list.job(index).unwrap().snapshot()),
                Event::Done { .. } => whole = Some(list.job(index).unwrap().embedding()),
                _ => {}
            }
        }
        let mut list = session.train_list([Ok(listed(halfway))], Pace::of(2));
        let mut steps = Vec::new();
        while let Some((index, event)) = block_on(list.next()) {
            match event.unwrap() {
                Event::Step { step, .. } => steps.push(step),
                Event::Done { .. } => assert_eq!(Some(list.job(index).unwrap().embedding()), whole),
                _ => {}
            }
        }
        assert_eq!(steps, [3, 4]);
        assert!(list.job(0).is_none());
    }

    #[test]
    fn a_word_that_fails_is_no_end_of_the_others() {
        let diverging = TrainConfig { lr: Some(1e30), ..word("<wild>", "cat", 3, 9).0 };
        let words = vec![
            Ok(word("<one>", "fox", 2, 3)),
            Err(Error::Usage("no such folder".to_owned())),
            Ok((diverging, word("<wild>", "cat", 3, 9).1)),
            Ok(word("apple", "fox", 4, 3)),
            Ok(word("<last>", "car", 5, 3)),
        ];
        let learned = learned(words, Pace::of(3));
        assert!(learned[0].is_ok() && learned[4].is_ok(), "{learned:?}");
        assert!(matches!(&learned[1], Err(Error::Usage(text)) if text == "no such folder"));
        assert!(matches!(&learned[2], Err(Error::Numeric { .. })), "{:?}", learned[2]);
        assert!(matches!(&learned[3], Err(Error::TokenTaken { .. })), "{:?}", learned[3]);
    }
}
