//! The state of a run: everything that moves, as a file of a few kilobytes, so that a run resumes where it was.
//!
//! Every random choice is a function of the seed and the step, so no generator is in it, and a run that resumes makes
//! the numbers that it would have made without a break. What does not move (settings, pictures, the model) is only
//! named, by hashes: a run resumes with the same inputs or not at all.
//!
//! The file is eight bytes of signature, the SHA-256 of all that follows, and a safetensors file whose metadata key
//! `run` holds the rest as JSON. Every damaged byte is found. Each part of a job writes its own numbers and keys and
//! reads them back; nobody else knows what they mean.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::draws::TIMESTEPS;
use super::identity::Inputs;
use super::usual::is_relative;
use super::{MakeCaptions, TrainInput};
use crate::config::{Backgrounds, Masks, Span, TrainConfig};
use crate::embedding::ModelFamily;
use crate::parts::Architecture;
use crate::{Error, Result};

const SIGNATURE: &[u8; 8] = b"PSWDRUN1";

/// The state of a run after some step. Cheap to take; [`to_bytes`](Self::to_bytes) makes the file.
#[derive(Debug, Clone)]
pub struct RunState {
    version: String,
    step: u32,
    /// Where the run ends: below the configured number once it has converged.
    steps: u32,
    inputs: Arc<Inputs>,
    /// What the parts of the job have written apart from numbers, by key.
    parts: Map<String, Value>,
    numbers: BTreeMap<String, Numbers>,
}

/// Numbers of one kind, exactly.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Numbers {
    F32(Vec<f32>),
    F64(Vec<f64>),
}

impl RunState {
    /// An empty state, for the parts of a job to write themselves into.
    pub(super) fn new(step: u32, steps: u32, inputs: Arc<Inputs>) -> Self {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        Self { version, step, steps, inputs, parts: Map::new(), numbers: BTreeMap::new() }
    }

    /// Reads a state. `file` is its name for messages.
    ///
    /// # Errors
    /// [`Error::BadFile`] for anything that was not written whole by [`to_bytes`](Self::to_bytes).
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
        let about = header.metadata().as_ref().and_then(|metadata| metadata.get("run")).ok_or("it has no metadata")?;
        let other = |error: serde_json::Error| format!("it was written by another version of pseudoword ({error})");
        let mut parts: Map<String, Value> = serde_json::from_str(about).map_err(other)?;
        let step = serde_json::from_value(parts.get("step").cloned().unwrap_or_default()).map_err(other)?;
        let mut take = |key: &str| parts.remove(key).unwrap_or_default();
        let version = serde_json::from_value(take("version")).map_err(other)?;
        let steps = serde_json::from_value(take("steps")).map_err(other)?;
        let inputs = Arc::new(serde_json::from_value(take("inputs")).map_err(other)?);
        let numbers = tensors.iter().map(|(name, view)| {
            let values = match view.dtype() {
                Dtype::F32 => Numbers::F32(view.data().as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect()),
                Dtype::F64 => Numbers::F64(view.data().as_chunks().0.iter().map(|b| f64::from_le_bytes(*b)).collect()),
                other => return Err(format!("{name} is {other:?}")),
            };
            Ok((name.to_owned(), values))
        });
        let numbers = numbers.collect::<Result<_, _>>()?;
        Ok(Self { version, step, steps, inputs, parts, numbers })
    }

    /// The state as a file.
    pub fn to_bytes(&self) -> Vec<u8> {
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
        let mut about = self.parts.clone();
        about.insert("version".to_owned(), self.version.clone().into());
        about.insert("step".to_owned(), self.step.into());
        about.insert("steps".to_owned(), self.steps.into());
        about.insert("inputs".to_owned(), serde_json::to_value(&*self.inputs).unwrap_or_default());
        let metadata = HashMap::from([("run".to_owned(), Value::Object(about).to_string())]);
        let body = safetensors::serialize(views, Some(metadata)).unwrap_or_default();
        [SIGNATURE.as_slice(), &Sha256::digest(&body), &body].concat()
    }

    /// Steps made so far.
    pub fn step(&self) -> u32 {
        self.step
    }

    /// Steps in all.
    pub fn steps(&self) -> u32 {
        self.steps
    }

    /// Settings for resuming the run with a model of an architecture: what they leave open is as the run was begun, also where another
    /// version had something else as its usual value. Older versions took the samples of a step together in models with two
    /// text encoders, too; the first had no masks, and later ones looked for none.
    pub fn as_begun(&self, config: &TrainConfig, architecture: Architecture) -> TrainConfig {
        let inputs = &self.inputs;
        let config = &if inputs.knows_backgrounds() { config.clone() } else { before_backgrounds(config) };
        let open = TrainConfig {
            steps: config.steps.or_else(|| inputs.number("steps")),
            vectors: config.vectors.or_else(|| inputs.number("vectors")),
            second_vectors: config
                .second_vectors
                .or_else(|| config.second_token.as_ref().and_then(|_| inputs.number("second-vectors"))),
            lr: config.lr.or_else(|| (!is_relative(config)).then(|| inputs.rate(config.recipe, architecture))),
            masks: if self.knows_masks() { config.masks } else { Some(Masks::Off) },
            context_weight: config.context_weight.or_else(|| inputs.context_weight()),
            ..config.clone()
        };
        let [size, passes] = open.batch(ModelFamily::Sd1);
        let older = TrainConfig { batch_size: Some(size), gradient_accumulation: Some(passes), ..open.clone() };
        if inputs.has_batch_of(&older) { older } else { open }
    }

    /// Whether it was begun by a version that had masks.
    pub fn knows_masks(&self) -> bool {
        self.inputs.knows_masks()
    }

    /// What the run is resumed with: where it is left open whether captions are made, as the run was begun. Those of older
    /// versions made none.
    #[must_use]
    pub fn input_as_begun(&self, mut input: TrainInput) -> TrainInput {
        if input.make_captions == MakeCaptions::Usually && !self.inputs.makes_captions() {
            input.make_captions = MakeCaptions::Never;
        }
        input
    }

    /// Whether the run ended before all its steps were made, because its loss had settled.
    pub fn converged(&self) -> bool {
        self.steps < self.inputs.steps()
    }

    /// Which of two states of a run is the later one; equal where they are not of the same run. Steps are made again only
    /// after a rewind, which halves the learning rate.
    pub(crate) fn order(&self, other: &RunState) -> Ordering {
        let progress = |state: &RunState| (state.get_or_default::<u32>("halvings").unwrap_or_default(), state.step);
        if self.inputs == other.inputs { progress(self).cmp(&progress(other)) } else { Ordering::Equal }
    }

    /// The version of the program that wrote it.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Refuses to resume with other inputs.
    ///
    /// # Errors
    /// [`Error::Changed`] with every input that is not what it was.
    pub(super) fn check(&self, now: &Inputs, architecture: Architecture) -> Result<()> {
        let changes = self.inputs.changes(now, self.step, architecture);
        if changes.is_empty() { Ok(()) } else { Err(Error::Changed { step: self.step, changes }) }
    }

    /// Writes a value under a key.
    pub(super) fn put(&mut self, key: &str, value: &impl Serialize) {
        self.parts.insert(key.to_owned(), serde_json::to_value(value).unwrap_or_default());
    }

    /// Writes every field of a struct under its own name.
    pub(super) fn put_all(&mut self, fields: &impl Serialize) {
        if let Ok(Value::Object(fields)) = serde_json::to_value(fields) {
            self.parts.extend(fields);
        }
    }

    /// Writes numbers under a name.
    pub(super) fn put_numbers(&mut self, name: String, numbers: Numbers) {
        self.numbers.insert(name, numbers);
    }

    /// The value under a key, which must be there.
    pub(super) fn get<T: DeserializeOwned>(&self, key: &str) -> Result<T> {
        let value = self.parts.get(key).ok_or_else(|| self.lacks(key))?;
        serde_json::from_value(value.clone()).map_err(|_| self.lacks(key))
    }

    /// The value under a key, or the default where there is none: states of older versions lack some.
    pub(super) fn get_or_default<T: DeserializeOwned + Default>(&self, key: &str) -> Result<T> {
        if self.parts.contains_key(key) { self.get(key) } else { Ok(T::default()) }
    }

    /// A struct whose fields were written under their own names.
    pub(super) fn all<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_value(Value::Object(self.parts.clone())).map_err(|error| self.lacks(&error.to_string()))
    }

    /// Numbers of a kind and length that must be there.
    pub(super) fn f32s(&self, name: &str, count: usize) -> Result<Vec<f32>> {
        match self.numbers.get(name) {
            Some(Numbers::F32(values)) if values.len() == count => Ok(values.clone()),
            _ => Err(self.lacks(name)),
        }
    }

    /// As [`f32s`](Self::f32s); of any length where no count is given.
    pub(super) fn f64s(&self, name: &str, count: Option<usize>) -> Result<Vec<f64>> {
        match self.numbers.get(name) {
            Some(Numbers::F64(values)) if count.is_none_or(|count| values.len() == count) => Ok(values.clone()),
            _ => Err(self.lacks(name)),
        }
    }

    fn lacks(&self, what: &str) -> Error {
        let reason = format!("it lacks {what}: it was written by pseudoword {}", self.version);
        Error::BadFile { file: "the state of the run".to_owned(), reason }
    }
}

/// What open settings meant before things were put before plain backgrounds, when every model learned from all timesteps.
fn before_backgrounds(config: &TrainConfig) -> TrainConfig {
    TrainConfig {
        masks: config.masks.or(Some(Masks::Given)),
        backgrounds: config.backgrounds.or(Some(Backgrounds::Kept)),
        timesteps: config.timesteps.or(Some(Span { from: 0, to: TIMESTEPS })),
        ..config.clone()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A state after this many steps, as it is written.
    pub fn state_at(step: u32) -> Vec<u8> {
        RunState { step, ..state() }.to_bytes()
    }

    /// After the learning rate was halved some times.
    pub fn rewound_to(step: u32, halvings: u32) -> Vec<u8> {
        let mut state = RunState { step, ..state() };
        state.put("halvings", &halvings);
        state.to_bytes()
    }

    #[test]
    fn states_of_a_run_are_ordered_by_what_was_made() {
        let read = |bytes: Vec<u8>| RunState::parse(&bytes).unwrap();
        let (early, late, rewound) = (read(state_at(25)), read(state_at(50)), read(rewound_to(30, 1)));
        assert_eq!((late.order(&early), early.order(&late)), (Ordering::Greater, Ordering::Less));
        assert_eq!((rewound.order(&late), rewound.order(&rewound)), (Ordering::Greater, Ordering::Equal));
        let inputs =
            serde_json::from_value(serde_json::json!({"config": {}, "hashes": {"picture 1": "other"}})).unwrap();
        let other_run = RunState { inputs: Arc::new(inputs), ..early };
        assert_eq!(late.order(&other_run), Ordering::Equal);
    }

    fn state() -> RunState {
        let mut state = RunState::new(7, 9, Arc::default());
        state.put("good", &Some((1, 0.1)));
        state.put_all(&serde_json::json!({"step": 7, "evaluated": 0}));
        state.put_numbers("rows".to_owned(), Numbers::F32(vec![1.5, -0.1]));
        state.put_numbers("history".to_owned(), Numbers::F64(vec![0.1 + 0.2]));
        state
    }

    #[test]
    fn a_state_is_read_as_it_was_written() {
        let back = RunState::read(&state().to_bytes(), "x").unwrap();
        assert_eq!(back.numbers, state().numbers);
        assert_eq!((back.step(), back.steps(), back.version()), (7, 9, env!("CARGO_PKG_VERSION")));
        assert_eq!(back.get::<Option<(u32, f64)>>("good").unwrap(), Some((1, 0.1)));
        assert_eq!(back.get_or_default::<u32>("nothing").unwrap(), 0);
        assert!(back.get::<u32>("nothing").is_err() && back.get::<u32>("good").is_err());
        assert_eq!(back.to_bytes(), state().to_bytes());
    }

    #[test]
    fn every_damaged_byte_and_every_cut_is_found() {
        let bytes = state().to_bytes();
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << (at % 8);
            assert!(RunState::read(&damaged, "x").is_err(), "byte {at}");
            assert!(RunState::read(&bytes[..at], "x").is_err(), "cut at {at}");
        }
    }
}
