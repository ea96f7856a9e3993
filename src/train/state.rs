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

use super::{TrainInput, TrainJob, TrainPicture};
use crate::config::TrainConfig;
use crate::model::Model;
use crate::session::Rows;
use crate::{Error, Result};

const SIGNATURE: &[u8; 8] = b"PSWDRUN1";
/// Settings that may be changed under way: they only say what is shown and kept.
const FREE: [&str; 3] = ["preview-every", "preview-prompt", "save-every"];

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

/// What of a state is words and counts.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct About {
    pub version: String,
    pub step: u32,
    /// Where the run ends: below the configured number once it has converged.
    pub steps: u32,
    pub skipped: u32,
    pub skipped_in_a_row: u32,
    pub optimiser_steps: i32,
    pub evaluated: Option<u32>,
    pub previewed: Option<u32>,
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
        if let Some(init) = &input.init {
            hashes.insert("the word it starts from".to_owned(), hash([bytemuck::cast_slice(&init.rows)]));
        }
        for (set, pictures) in [("picture", &input.pictures), ("unseen picture", &input.unseen)] {
            // Their order decides which is drawn.
            for (i, TrainPicture { picture, caption }) in pictures.iter().enumerate() {
                let size = [picture.pixels.width().to_le_bytes(), picture.pixels.height().to_le_bytes()].concat();
                let caption = caption.as_deref().unwrap_or_default();
                let hash = hash([&size, picture.pixels.as_raw().as_slice(), caption.as_bytes()]);
                hashes.insert(format!("{set} {}, {}", i + 1, picture.name), hash);
            }
        }
        Self { config, hashes }
    }

    /// A line for every difference to what a run goes on with.
    fn changes(&self, now: &Inputs) -> Vec<String> {
        let mut changes = Vec::new();
        for (name, now) in &now.config {
            let was = self.config.get(name).map_or("null", String::as_str);
            if was != now {
                changes.push(format!("--{name} was {was}, it is {now}"));
            }
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

    fn parse(bytes: &[u8]) -> Result<Self, String> {
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
        self.about.step
    }

    /// Steps in all.
    pub fn steps(&self) -> u32 {
        self.about.steps
    }

    /// # Errors
    /// [`Error::Changed`] with every input that is not what it was.
    pub(super) fn check(&self, now: &Inputs) -> Result<()> {
        match self.about.inputs.changes(now) {
            changes if changes.is_empty() => Ok(()),
            changes => Err(Error::Changed { step: self.about.step, changes }),
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
        let about = About {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            step: self.step,
            steps: self.config.steps,
            skipped: self.skipped,
            skipped_in_a_row: self.skipped_in_a_row,
            optimiser_steps: self.optimiser.steps(),
            evaluated: self.evaluated,
            previewed: self.previewed,
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
        self.optimiser.restore(state)?;
        self.initial = state.f64s("initial losses", None)?;
        if let Some(early_stop) = &mut self.early_stop {
            early_stop.restore(state.f64s("loss history", None)?);
        }
        let about = &state.about;
        (self.step, self.config.steps) = (about.step, about.steps);
        (self.skipped, self.skipped_in_a_row) = (about.skipped, about.skipped_in_a_row);
        (self.evaluated, self.previewed) = (about.evaluated, about.previewed);
        Ok(())
    }
}

fn hash<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> RunState {
        let inputs = Inputs { config: BTreeMap::new(), hashes: BTreeMap::new() };
        let about = About {
            version: "0".to_owned(),
            step: 7,
            steps: 9,
            skipped: 1,
            skipped_in_a_row: 0,
            optimiser_steps: 6,
            evaluated: Some(0),
            previewed: None,
            inputs,
        };
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
        assert_eq!((back.step(), back.steps(), back.about.evaluated), (7, 9, Some(0)));
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
        assert!(inputs(9, "a", "picture 1, x.png").changes(&inputs(9, "a", "picture 1, x.png")).is_empty());
        let changes = inputs(9, "a", "picture 1, x.png").changes(&inputs(10, "b", "picture 1, x.png"));
        assert_eq!(changes, ["--steps was 9, it is 10", "picture 1, x.png is another"]);
        let changes = inputs(9, "a", "picture 1, x.png").changes(&inputs(9, "a", "picture 1, y.png"));
        assert_eq!(changes, ["picture 1, x.png is missing", "picture 1, y.png is new"]);
    }
}
