//! What a word that was learned is worth, found out with the model that it was learned on when a run ends.
//!
//! In a few [scenes](super::scenes) that the model knows, pictures are made with the word and, from the same noise, with the words that it
//! started from ([`pictures`]). What the U-Net sees of them says whether the thing is there and whether the rest of the prompt still
//! decides ([`measure`]); what follows is said in words ([`report`]). States that the run kept on its way are tried in the same scenes, and
//! one of them is the result of the run if it is clearly better than the last.
//!
//! All of it is a function of the seed, the pictures and the states that were kept, which are part of the run's state: a run that is
//! interrupted, here too, finds the same.
//!
//! Two words that were learned together are tried together, in scenes that have both, against the two that they started from: what is said is
//! said of both.

mod measure;
mod pictures;
mod report;

use std::collections::VecDeque;

use self::measure::{Seen, Tried};
use self::pictures::{LOOKS, Making, Manner, STEPS, Trial, channels_last, look};
pub use self::report::{AdviceCode, Quality, TriedState};
use self::report::{Evidence, Held};
use super::TrainJob;
use super::evaluations::Evaluations;
use super::learner::Learner;
use super::scenes::Subject;
use super::state::{Numbers, RunState};
use super::verdict::BEGUN;
use super::words::Words;
use crate::Result;
use crate::config::{self, Init, Keep, TrainConfig};
use crate::event::Event;
use crate::model::ModelConfig;
use crate::noise::Noise;
use crate::text::Rows;

/// Scenes that a word is tried in, and how many in a row are made from the same noise.
const SCENES: usize = 8;
const GROUP: usize = 4;
/// The states on the way that are kept, as shares of all steps.
const KEPT: [f64; 2] = [0.5, 0.75];
/// By how many of its standard errors a state must be better than the last to take its place: of 8 scenes, one of two states that are no
/// better is above that in 2 of 100 runs.
const CLEARLY: f64 = 3.0;

/// What a run's state has them under.
const REPORT: &str = "quality";
const STATES: &str = "kept states";

/// What a word is compared with.
enum Start {
    /// The words that it started from; of two words those of each.
    Phrases(Vec<String>),
    /// The rows that it started from, of another word.
    Rows(Vec<f32>),
}

/// A state of the word.
#[derive(Debug, Clone, PartialEq)]
struct Kept {
    step: u32,
    rows: Vec<f32>,
}

/// The trying of a word once it is learned.
pub(super) struct Judging {
    /// What it is compared with; none if it is not tried.
    start: Option<Start>,
    keep: Keep,
    manner: Manner,
    /// What is tried together.
    subject: Subject,
    kind: config::Kind,
    /// The steps after which the state is kept.
    due: Vec<u32>,
    kept: Vec<Kept>,
    work: Option<Work>,
    result: Option<Quality>,
}

/// What is under way.
struct Work {
    scenes: Vec<(usize, String)>,
    training: Vec<Seen>,
    /// The pictures without the word, with it as it is, and with each state that was kept.
    trials: Vec<Trial>,
    seen: Vec<Vec<Seen>>,
    /// Which scenes of which trial are still to be made, together.
    waiting: VecDeque<(usize, std::ops::Range<usize>)>,
    making: Option<Making>,
    done: u32,
    total: u32,
}

impl TrainJob {
    /// What the embedding is worth, once it was tried at the end of a run.
    pub fn quality(&self) -> Option<&Quality> {
        self.judging.quality(self.step())
    }

    /// Whether the embedding is still to be tried, if the run ends here.
    pub fn is_to_be_tried(&self) -> bool {
        self.judging.is_due(self.step())
    }
}

impl Judging {
    /// `pictures` says whether there are pictures to compare with: a file of choices may be all that is learned from.
    pub fn new(config: &TrainConfig, words: &Words, rows: &Rows, pictures: bool) -> Self {
        // What numbers that were drawn make of a scene says nothing.
        let drawn = words.iter().any(|word| matches!(word.init, Init::Random));
        let start = words.phrases().map(Start::Phrases).or_else(|| Some(Start::Rows(rows.values.clone())));
        let start = start.filter(|_| !drawn);
        let steps = config.steps();
        let wanted = config.quality == config::Quality::Auto && steps >= BEGUN && pictures;
        let due = KEPT.map(|share| (f64::from(steps) * share) as u32);
        Self {
            start: start.filter(|_| wanted),
            keep: config.keep,
            manner: Manner { noise: Noise::new(config.seed), pooling: config.pooling },
            subject: match words.pair() {
                Some(thing_first) => Subject::Pair { thing_first },
                None => Subject::One(words.thing().kind, words.len()),
            },
            kind: words.thing().kind,
            due: if wanted { due.to_vec() } else { Vec::new() },
            kept: Vec::new(),
            work: None,
            result: None,
        }
    }

    /// Keeps the state after a step, if it is one of those.
    pub fn notice(&mut self, step: u32, rows: &[f32]) {
        if self.due.contains(&step) {
            self.forget_after(step - 1);
            self.kept.push(Kept { step, rows: rows.to_vec() });
        }
    }

    /// Forgets what was kept after a step: the run goes on from there.
    pub fn forget_after(&mut self, step: u32) {
        self.kept.retain(|kept| kept.step <= step);
    }

    /// Whether the word is to be tried, if this step is the last.
    pub fn is_due(&self, step: u32) -> bool {
        self.start.is_some() && step >= BEGUN && self.quality(step).is_none()
    }

    /// What was found, if the word was tried as it is after this step.
    pub fn quality(&self, step: u32) -> Option<&Quality> {
        self.result.as_ref().filter(|quality| quality.last == step)
    }

    /// The rows that are the result after this step, where they are not the last ones; with their step.
    pub fn result(&self, step: u32) -> Option<(u32, &[f32])> {
        let kept = self.quality(step)?.kept;
        self.kept.iter().find(|state| state.step == kept && kept != step).map(|state| (kept, state.rows.as_slice()))
    }

    /// Makes one step of denoising, or looks at pictures, or says what was found.
    ///
    /// # Errors
    /// Those of the device.
    pub async fn advance(&mut self, learner: &Learner, evaluations: &Evaluations, step: u32) -> Result<Event> {
        let mut work = match self.work.take() {
            Some(work) => work,
            None => self.begin(learner),
        };
        if let Some(views) = learner.dataset.pictures.get(work.training.len()) {
            let view = &views[0];
            let scale = learner.model.config.vae.scaling_factor as f32;
            let values: Vec<f32> = view.mean.iter().map(|mean| mean * scale).collect();
            let latents = channels_last(learner, &values, 1, view.size);
            work.training.extend(look(learner, &latents, view.weights.as_deref(), self.manner).await?);
        } else if let Some((trial, scenes)) = work.waiting.front().cloned() {
            let mut making = match work.making.take() {
                Some(making) => making,
                None => {
                    let size = learner.dataset.pictures[0][0].size;
                    Making::new(learner, &work.trials[trial], &work.scenes[scenes], size, self.manner)?
                }
            };
            match making.advance(learner).await? {
                Some(latents) => {
                    work.seen[trial].extend(look(learner, &latents, None, self.manner).await?);
                    work.waiting.pop_front();
                }
                None => work.making = Some(making),
            }
        } else {
            let quality = self.found(&work, learner, evaluations, step);
            self.result = Some(quality.clone());
            return Ok(Event::Quality(Box::new(quality)));
        }
        work.done += 1;
        let event = Event::Trying { done: work.done, total: work.total };
        self.work = Some(work);
        Ok(event)
    }

    fn begin(&self, learner: &Learner) -> Work {
        let scenes = scenes(self.subject, &learner.model.config);
        let owned = |tokens: Vec<&str>| tokens.into_iter().map(str::to_owned).collect::<Vec<_>>();
        let tokens = owned(learner.words.tokens());
        let with = |own: &[f32]| {
            let mut rows = learner.known.clone();
            rows.values.extend(own);
            rows
        };
        let last = learner.optimiser.rows();
        let without = match &self.start {
            Some(Start::Rows(rows)) => Trial { words: tokens.clone(), rows: with(rows) },
            Some(Start::Phrases(phrases)) => Trial { words: phrases.clone(), rows: with(last) },
            None => Trial { words: vec![String::new(); tokens.len()], rows: with(last) },
        };
        let states = std::iter::once(last).chain(self.kept.iter().map(|kept| kept.rows.as_slice()));
        let states = states.map(|rows| Trial { words: tokens.clone(), rows: with(rows) });
        let trials: Vec<Trial> = std::iter::once(without).chain(states).collect();
        let parts = |trial: usize| {
            let starts = (0..SCENES).step_by(learner.batch_size.max(1));
            starts.map(move |start| (trial, start..SCENES.min(start + learner.batch_size.max(1))))
        };
        let waiting: VecDeque<_> = (0..trials.len()).flat_map(parts).collect();
        let total = learner.dataset.pictures.len() + waiting.len() * STEPS;
        let seen = vec![Vec::new(); trials.len()];
        Work { scenes, training: Vec::new(), trials, seen, waiting, making: None, done: 0, total: total as u32 }
    }

    fn found(&self, work: &Work, learner: &Learner, evaluations: &Evaluations, step: u32) -> Quality {
        let tried = |state: usize| Tried::of(&work.training, &work.seen[0], &work.seen[1 + state], GROUP);
        let evidence = Evidence {
            last: step,
            states: std::iter::once(step).chain(self.kept.iter().map(|kept| kept.step)).zip((0..).map(tried)).collect(),
            held: evaluations.held(step).map(|[(best, least), (_, last)]| Held { best, least, last }),
            family: learner.model.config.usual_family(),
            kind: self.kind,
            several: self.subject != Subject::One(self.kind, 1),
            keep: self.keep,
            captioned: learner.dataset.captions.iter().flatten().all(Option::is_some),
        };
        Quality::of(&evidence)
    }

    /// Writes itself into a state.
    pub fn save(&self, state: &mut RunState) {
        if self.due.is_empty() {
            return;
        }
        let steps: Vec<u32> = self.kept.iter().map(|kept| kept.step).collect();
        state.put(STATES, &steps);
        for kept in &self.kept {
            state.put_numbers(rows_after(kept.step), Numbers::F32(kept.rows.clone()));
        }
        if let Some(result) = &self.result {
            state.put(REPORT, result);
        }
    }

    /// Reads itself back; a row of a state has so many numbers in all.
    ///
    /// # Errors
    /// Those of a state that was not written by this program.
    pub fn restore(&mut self, state: &RunState, numbers: usize) -> Result<()> {
        let steps: Vec<u32> = state.get_or_default(STATES)?;
        let kept = |step| Ok(Kept { step, rows: state.f32s(&rows_after(step), numbers)? });
        self.kept = steps.into_iter().map(kept).collect::<Result<_>>()?;
        self.result = state.get_or_default(REPORT)?;
        Ok(())
    }
}

/// What the rows of a state that was kept are called.
fn rows_after(step: u32) -> String {
    format!("rows after step {step}")
}

/// Scenes that a model knows, as different as there are, each with the number of its noise.
fn scenes(subject: Subject, model: &ModelConfig) -> Vec<(usize, String)> {
    let all = subject.scenes(model.usual_family());
    // The lists go through one property after the other: those that are picked shift in each round.
    let round = all.len() / SCENES;
    (0..SCENES).map(|i| (i / GROUP, all[i * round + i % round].clone())).collect()
}

/// How many predictions for one sample the trying of a word takes, if all its steps are made.
pub fn predictions(config: &TrainConfig) -> u32 {
    let starts = config.words().all(|word| word.init.is_some());
    if config.quality == config::Quality::Off || config.steps() < BEGUN || !starts {
        return 0;
    }
    // What is looked at goes half the way through the U-Net.
    (SCENES * (2 + KEPT.len()) * (2 * STEPS + LOOKS.div_ceil(2))) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Kind;
    use crate::embedding::ModelFamily;
    use crate::train::TrainInput;

    fn config(steps: u32) -> TrainConfig {
        TrainConfig { steps: Some(steps), init: Some("apple".to_owned()), ..TrainConfig::default() }
    }

    fn judging(config: &TrainConfig) -> Judging {
        let words = Words::new(config, &TrainInput::default());
        Judging::new(config, &words, &Rows { values: vec![1.0], width: 1 }, true)
    }

    #[test]
    fn states_are_kept_on_the_way_and_forgotten_where_the_run_goes_back() {
        let mut judging = judging(&config(100));
        (1..=100).for_each(|step| judging.notice(step, &[step as f32]));
        assert_eq!(judging.kept, [50, 75].map(|step| Kept { step, rows: vec![step as f32] }));
        judging.forget_after(60);
        judging.notice(75, &[9.0]);
        assert_eq!(judging.kept, [(50, 50.0), (75, 9.0)].map(|(step, row)| Kept { step, rows: vec![row] }));
    }

    #[test]
    fn a_word_that_has_only_begun_or_started_from_nothing_is_not_tried() {
        let off = TrainConfig { quality: config::Quality::Off, ..config(300) };
        let random = TrainConfig { init: None, ..config(300) };
        for config in [config(49), off, random] {
            assert!(judging(&config).start.is_none(), "{config:?}");
        }
        assert!(judging(&config(50)).start.is_some());
    }

    #[test]
    fn the_rows_of_the_state_that_is_kept_are_the_result_until_another_step_is_made() {
        let mut judging = judging(&config(100));
        (1..=100).for_each(|step| judging.notice(step, &[step as f32]));
        for (kept, result) in [(75, Some((75, [75.0].as_slice()))), (100, None), (60, None)] {
            judging.result = Some(Quality { last: 100, kept, ..Quality::default() });
            assert_eq!(judging.result(100), result);
            assert!(judging.result(101).is_none() && judging.is_due(101) && !judging.is_due(100));
        }
    }

    #[test]
    fn the_scenes_of_a_noise_differ_and_no_two_are_the_same() {
        let pairs = [true, false].map(|thing_first| Subject::Pair { thing_first });
        for subject in Kind::ALL.map(|kind| Subject::One(kind, 1)).into_iter().chain(pairs) {
            for family in ModelFamily::ALL {
                let all = subject.scenes(family);
                let round = all.len() / SCENES;
                let picked: std::collections::BTreeSet<_> = (0..SCENES).map(|i| &all[i * round + i % round]).collect();
                assert_eq!(picked.len(), SCENES, "{picked:?}");
            }
        }
    }
}
