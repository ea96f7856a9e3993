//! The run that the page can resume: its two generations of state in the browser's storage.

use serde_json::json;
use wasm_bindgen::prelude::*;

use super::plain;
use super::storage::Folder;
use crate::source::Problem;
use crate::train::generations::{Damaged, GENERATIONS, Generations, Saved, Store, Whole, newest_first, turn};

/// The files, in the folder of the run.
const PLACES: [&str; GENERATIONS] = ["state-0", "state-1"];

/// The states of the run that the page can resume.
pub(super) type RunStates = Generations<Slots>;

/// Files that are written in turn.
pub(super) struct Slots(Folder);

impl Slots {
    pub fn of(folder: Folder) -> Self {
        Self(folder)
    }

    fn path(place: usize) -> String {
        format!("run/{}", PLACES[place])
    }
}

impl Store for Slots {
    type Problem = Problem;

    fn name(&self, place: usize) -> String {
        PLACES[place].to_owned()
    }

    async fn read(&self) -> Result<Vec<(usize, Result<Vec<u8>, String>)>, Problem> {
        let mut found = Vec::new();
        for place in 0..PLACES.len() {
            let path = Self::path(place);
            if let (Some(file), Some(bytes)) = (self.0.file(&path).await?, self.0.read(&path).await?) {
                found.push((file.last_modified(), place, bytes));
            }
        }
        Ok(newest_first(found).into_iter().map(|(place, bytes)| (place, Ok(bytes))).collect())
    }

    async fn write(&self, state: &[u8], keep: Option<usize>) -> Result<usize, Problem> {
        let place = turn(keep);
        self.0.write(&Self::path(place), state).await?;
        Ok(place)
    }
}

/// What was found, as the page gets it: `undefined`, `{step, steps, warning?}` and the state's bytes, or `{unusable}`.
pub(super) fn found(saved: Saved) -> Result<JsValue, JsValue> {
    let described = |damaged: &[Damaged]| {
        let each: Vec<String> = damaged.iter().map(|one| format!("{}: {}", one.name, one.reason)).collect();
        each.join("; ")
    };
    let problems = (!saved.damaged.is_empty()).then(|| described(&saved.damaged));
    match (saved.whole, problems) {
        (None, None) => Ok(JsValue::UNDEFINED),
        (None, unusable) => plain(&json!({"unusable": unusable})),
        (Some(Whole { state, bytes, .. }), warning) => {
            let about = plain(&json!({"step": state.step(), "steps": state.steps(), "warning": warning}))?;
            js_sys::Reflect::set(&about, &"state".into(), &js_sys::Uint8Array::from(bytes.as_slice()))?;
            Ok(about)
        }
    }
}
