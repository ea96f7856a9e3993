//! The state of a run: everything that moves, as a file of a few kilobytes, so that a run goes on where it was.
//!
//! Every random choice is a function of the seed and the step, so no generator is in it, and a run that goes on makes the
//! numbers that it would have made without a break. What does not move (settings, pictures, the model) is only named, by
//! hashes: a run goes on with the same inputs or not at all.
//!
//! The file is eight bytes of signature, the SHA-256 of all that follows, and a safetensors file whose metadata key `run`
//! holds the rest as JSON. Every damaged byte is found.

use std::collections::{BTreeMap, HashMap};

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::watch::Good;
use super::{TrainInput, TrainJob, TrainPicture};
use crate::config::TrainConfig;
use crate::model::Model;
use crate::text::Rows;
use crate::{Error, Result};

const SIGNATURE: &[u8; 8] = b"PSWDRUN1";
/// Settings that may be changed under way: they say what is shown and kept, and what happens in trouble that is still to come.
const FREE: [&str; 4] = ["preview-every", "preview-prompt", "save-every", "on-divergence"];
/// Before the names of what belongs to the moment that a run could go back to.
const GOOD: &str = "good ";

/// The state of a run after some step.
#[derive(Debug, Clone)]
pub struct RunState {
    pub(super) about: About,
    pub(super) numbers: BTreeMap<String, Numbers>,
}

/// Numbers of one kind, exactly.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Numbers {
    F32(Vec<f32>),
    F64(Vec<f64>),
}

/// What moves and is counted.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Counts {
    /// Steps made or left out.
    pub step: u32,
    /// Steps left out, in all and since the last one that was made.
    pub skipped: u32,
    pub skipped_in_a_row: u32,
    /// The numbers of those among the last ones.
    #[serde(default)]
    pub recently_skipped: Vec<u32>,
    /// The last step after which an evaluation and a preview were made.
    pub evaluated: Option<u32>,
    pub previewed: Option<u32>,
    /// Times that the learning rate was halved.
    #[serde(default)]
    pub halvings: u32,
}

/// What of a state is words and counts.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct About {
    pub version: String,
    #[serde(flatten)]
    pub counts: Counts,
    /// Where the run ends: below the configured number once it has converged.
    pub steps: u32,
    pub optimiser_steps: i32,
    /// A moment to go back to: its counts, times that the rows had moved, losses that early stopping had seen.
    #[serde(default)]
    pub good: Option<(Counts, i32, usize)>,
    pub inputs: Inputs,
}

/// What a run was started with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Inputs {
    /// The settings as text, by the names that the user gave them: read as numbers they might come back off by one digit.
    config: BTreeMap<String, String>,
    /// Hashes of everything else, by what to call it.
    hashes: BTreeMap<String, String>,
}

impl Inputs {
    pub fn of(config: &TrainConfig, model: &Model, known: &Rows, input: &TrainInput) -> Self {
        let config = match serde_json::to_value(config) {
            Ok(Value::Object(fields)) => {
                let bound = fields.into_iter().filter(|(key, _)| !FREE.contains(&key.as_str()));
                bound.map(|(key, value)| (key, value.to_string())).collect()
            }
            _ => BTreeMap::new(),
        };
        let mut hashes = BTreeMap::from([
            (format!("the model {}", model.name), model.fingerprint.clone()),
            ("the other words".to_owned(), hash([bytemuck::cast_slice(&known.values)])),
        ]);
        if let Some(templates) = &input.templates {
            hashes.insert("the captions".to_owned(), hash(templates.iter().flat_map(|text| [text.as_bytes(), b"\n"])));
        }
        if let Some(replay) = &input.replay {
            hashes.insert("the file of choices (--replay)".to_owned(), replay.hash.clone());
        }
        if let Some(init) = &input.init {
            hashes.insert("the word it starts from".to_owned(), hash([bytemuck::cast_slice(init.rows())]));
        }
        for (set, pictures) in [("picture", &input.pictures), ("unseen picture", &input.unseen)] {
            // Their order decides which is drawn.
            for (i, TrainPicture { picture, caption }) in pictures.iter().enumerate() {
                let pixels = picture.on_white();
                let size = [pixels.width().to_le_bytes(), pixels.height().to_le_bytes()].concat();
                let caption = caption.as_deref().unwrap_or_default();
                let hash = hash([&size, pixels.as_raw().as_slice(), caption.as_bytes()]);
                hashes.insert(format!("{set} {}, {}", i + 1, picture.name), hash);
            }
        }
        Self { config, hashes }
    }

    /// A setting as text.
    fn setting(&self, name: &str) -> &str {
        self.config.get(name).map_or("null", String::as_str)
    }

    fn steps(&self) -> u32 {
        self.setting("steps").parse().unwrap_or_default()
    }

    /// A line for every difference to what a run goes on with that has made some steps.
    fn changes(&self, now: &Inputs, made: u32) -> Vec<String> {
        let mut changes = Vec::new();
        for (name, now_is) in &now.config {
            let was = self.setting(name);
            if was == now_is {
                continue;
            }
            let mut change = format!("--{name} was {was}, it is {now_is}");
            if name == "steps" {
                // At a constant rate the steps made so far are those of a longer run too.
                match self.setting("lr-schedule") == "\"constant\"" {
                    true if now.steps() >= made => continue,
                    true => change.push_str(&format!(", and {made} are made")),
                    false => change.push_str(
                        " (the learning rate was planned for so many; only with --lr-schedule constant can that change)",
                    ),
                }
            }
            changes.push(change);
        }
        for (name, hash) in &self.hashes {
            match now.hashes.get(name) {
                None => changes.push(format!("{name} is missing")),
                Some(now) if now != hash => changes.push(format!("{name} is another")),
                Some(_) => {}
            }
        }
        let new = now.hashes.keys().filter(|name| !self.hashes.contains_key(*name));
        changes.extend(new.map(|name| format!("{name} is new")));
        changes
    }
}

impl RunState {
    /// Reads a state. `file` is its name for messages.
    ///
    /// # Errors
    /// [`Error::BadFile`] for anything that was not written whole by [`TrainJob::state`](super::TrainJob::state).
    pub fn read(bytes: &[u8], file: &str) -> Result<Self> {
        Self::parse(bytes).map_err(|reason| Error::BadFile { file: file.to_owned(), reason })
    }

    /// As [`RunState::read`]; what is wrong, without the file.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let rest = bytes.strip_prefix(SIGNATURE).ok_or("this is not the state of a run")?;
        let (sum, body) = rest.split_at_checked(32).ok_or("the state of the run is cut off")?;
        if Sha256::digest(body).as_slice() != sum {
            return Err("the state of the run is damaged".to_owned());
        }
        let tensors = SafeTensors::deserialize(body).map_err(|error| error.to_string())?;
        let (_, header) = SafeTensors::read_metadata(body).map_err(|error| error.to_string())?;
        let about = header.metadata().as_ref().and_then(|metadata| metadata.get("run")).ok_or("it says nothing")?;
        let about: About = serde_json::from_str(about)
            .map_err(|error| format!("it was written by another version of pseudoword ({error})"))?;
        let numbers = tensors.iter().map(|(name, view)| {
            let values = match view.dtype() {
                Dtype::F32 => Numbers::F32(view.data().as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect()),
                Dtype::F64 => Numbers::F64(view.data().as_chunks().0.iter().map(|b| f64::from_le_bytes(*b)).collect()),
                other => return Err(format!("{name} is {other:?}")),
            };
            Ok((name.to_owned(), values))
        });
        Ok(Self { numbers: numbers.collect::<Result<_, _>>()?, about })
    }

    pub(super) fn write(&self) -> Vec<u8> {
        let bytes: Vec<(&String, Dtype, Vec<u8>)> = self
            .numbers
            .iter()
            .map(|(name, numbers)| match numbers {
                Numbers::F32(values) => (name, Dtype::F32, values.iter().flat_map(|v| v.to_le_bytes()).collect()),
                Numbers::F64(values) => (name, Dtype::F64, values.iter().flat_map(|v| v.to_le_bytes()).collect()),
            })
            .collect();
        let views = bytes.iter().filter_map(|(name, dtype, bytes)| {
            let count = bytes.len() / (dtype.bitsize() / 8);
            // The length fits by construction.
            TensorView::new(*dtype, vec![count], bytes).ok().map(|view| (name.as_str(), view))
        });
        let about = serde_json::to_string(&self.about).unwrap_or_default();
        let metadata = HashMap::from([("run".to_owned(), about)]);
        let body = safetensors::serialize(views, Some(metadata)).unwrap_or_default();
        [SIGNATURE.as_slice(), &Sha256::digest(&body), &body].concat()
    }

    /// Steps made so far.
    pub fn step(&self) -> u32 {
        self.about.counts.step
    }

    /// Steps in all.
    pub fn steps(&self) -> u32 {
        self.about.steps
    }

    /// Whether the run ended before all its steps were made, because its loss had settled.
    pub fn converged(&self) -> bool {
        self.about.steps < self.about.inputs.steps()
    }

    /// The version of the program that wrote it.
    pub fn version(&self) -> &str {
        &self.about.version
    }

    /// # Errors
    /// [`Error::Changed`] with every input that is not what it was.
    pub(super) fn check(&self, now: &Inputs) -> Result<()> {
        let step = self.step();
        match self.about.inputs.changes(now, step) {
            changes if changes.is_empty() => Ok(()),
            changes => Err(Error::Changed { step, changes }),
        }
    }

    /// Numbers of a kind and length that must be there.
    pub(super) fn f32s(&self, name: &str, count: usize) -> Result<Vec<f32>> {
        match self.numbers.get(name) {
            Some(Numbers::F32(values)) if values.len() == count => Ok(values.clone()),
            _ => Err(self.lacks(name)),
        }
    }

    pub(super) fn f64s(&self, name: &str, count: Option<usize>) -> Result<Vec<f64>> {
        match self.numbers.get(name) {
            Some(Numbers::F64(values)) if count.is_none_or(|count| values.len() == count) => Ok(values.clone()),
            _ => Err(self.lacks(name)),
        }
    }

    /// What belongs to the moment that the run could go back to, as a state of its own.
    fn good(&self) -> Self {
        let numbers = self
            .numbers
            .iter()
            .filter_map(|(name, numbers)| name.strip_prefix(GOOD).map(|name| (name.to_owned(), numbers.clone())));
        Self { numbers: numbers.collect(), about: self.about.clone() }
    }

    fn lacks(&self, name: &str) -> Error {
        let reason = format!("it lacks {name}: it was written by pseudoword {}", self.about.version);
        Error::BadFile { file: "the state of the run".to_owned(), reason }
    }
}

impl TrainJob {
    /// Everything that moves, as a file: with the same inputs, [`Session::resume`](crate::session::Session::resume) goes
    /// on from here as if there had been no break. A few kilobytes; may be asked for between any two events.
    pub fn state(&self) -> Vec<u8> {
        let mut numbers = self.optimiser.state();
        let initial = match self.evaluations.is_empty() {
            true => self.initial.clone(),
            false => self.evaluations.iter().filter_map(|evaluation| evaluation.initial).collect(),
        };
        numbers.insert("initial losses".to_owned(), Numbers::F64(initial));
        if let Some(early_stop) = &self.early_stop {
            numbers.insert("loss history".to_owned(), Numbers::F64(early_stop.history().to_vec()));
        }
        let good = self.watch.good.as_ref().map(|good| {
            numbers.extend(good.optimiser.state().into_iter().map(|(name, values)| (format!("{GOOD}{name}"), values)));
            (good.counts.clone(), good.optimiser.steps(), good.losses)
        });
        let about = About {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            counts: self.counts.clone(),
            steps: self.config.steps,
            optimiser_steps: self.optimiser.steps(),
            good,
            inputs: self.inputs.clone(),
        };
        RunState { about, numbers }.write()
    }

    /// Puts the run where the state was taken.
    pub(crate) fn restore(&mut self, state: &RunState) -> Result<()> {
        state.check(&self.inputs)?;
        if self.record.is_some() {
            return Err(Error::Usage(
                "the choices of a run that goes on cannot be recorded: half of them are gone".into(),
            ));
        }
        self.optimiser.restore(state, state.about.optimiser_steps)?;
        if let Some((counts, moved, losses)) = &state.about.good {
            let mut optimiser = self.optimiser.clone();
            optimiser.restore(&state.good(), *moved)?;
            self.watch.good = Some(Good { counts: counts.clone(), optimiser, losses: *losses });
        }
        self.initial = state.f64s("initial losses", None)?;
        if let Some(early_stop) = &mut self.early_stop {
            early_stop.restore(state.f64s("loss history", None)?);
        }
        self.counts = state.about.counts.clone();
        if state.converged() {
            self.config.steps = state.steps();
        }
        Ok(())
    }
}

pub(super) fn hash<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A state after so many steps, as it is written.
    pub fn state_at(step: u32) -> Vec<u8> {
        let mut state = state();
        state.about.counts.step = step;
        state.write()
    }

    fn state() -> RunState {
        let inputs = Inputs { config: BTreeMap::new(), hashes: BTreeMap::new() };
        let counts = Counts { step: 7, skipped: 1, evaluated: Some(0), ..Counts::default() };
        let good = Some((Counts::default(), 0, 0));
        let about = About { version: "0".to_owned(), counts, steps: 9, optimiser_steps: 6, good, inputs };
        let numbers = BTreeMap::from([
            ("rows".to_owned(), Numbers::F32(vec![1.5, -0.1])),
            ("history".to_owned(), Numbers::F64(vec![0.1 + 0.2])),
        ]);
        RunState { about, numbers }
    }

    #[test]
    fn a_state_is_read_as_it_was_written() {
        let bytes = state().write();
        let back = RunState::read(&bytes, "x").unwrap();
        assert_eq!(back.numbers, state().numbers);
        assert_eq!((back.step(), back.steps(), &back.about.counts), (7, 9, &state().about.counts));
    }

    #[test]
    fn every_damaged_byte_and_every_cut_is_found() {
        let bytes = state().write();
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << (at % 8);
            assert!(RunState::read(&damaged, "x").is_err(), "byte {at}");
            assert!(RunState::read(&bytes[..at], "x").is_err(), "cut at {at}");
        }
    }

    #[test]
    fn what_changed_is_named() {
        let inputs = |steps: u32, hash: &str, name: &str| Inputs {
            config: BTreeMap::from([("steps".to_owned(), steps.to_string()), ("seed".to_owned(), "0".to_owned())]),
            hashes: BTreeMap::from([(name.to_owned(), hash.to_owned())]),
        };
        assert!(inputs(9, "a", "picture 1, x.png").changes(&inputs(9, "a", "picture 1, x.png"), 3).is_empty());
        let changes = inputs(9, "a", "picture 1, x.png").changes(&inputs(10, "b", "picture 1, x.png"), 3);
        assert!(changes[0].starts_with("--steps was 9, it is 10 (the learning rate was planned"), "{changes:?}");
        assert_eq!(changes[1..], ["picture 1, x.png is another"]);
        let changes = inputs(9, "a", "picture 1, x.png").changes(&inputs(9, "a", "picture 1, y.png"), 3);
        assert_eq!(changes, ["picture 1, x.png is missing", "picture 1, y.png is new"]);
    }

    #[test]
    fn at_a_constant_rate_a_run_can_be_made_longer_but_not_shorter_than_it_is() {
        let inputs = |steps: u32| Inputs {
            config: BTreeMap::from([
                ("steps".to_owned(), steps.to_string()),
                ("lr-schedule".to_owned(), "\"constant\"".to_owned()),
            ]),
            hashes: BTreeMap::new(),
        };
        assert!(inputs(9).changes(&inputs(20), 9).is_empty());
        assert!(inputs(9).changes(&inputs(7), 5).is_empty());
        assert_eq!(inputs(9).changes(&inputs(7), 8), ["--steps was 9, it is 7, and 8 are made"]);
    }
}
