//! The bug report that a failed run leaves: one file, without pictures, prompts and names.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::names::BUG_REPORT;
use crate::base::files::{make_folder, write_whole};
use crate::base::process::peak_memory;
use crate::base::text;
use crate::cli::load::ModelId;
use crate::cli::{exit, wording};
use crate::config::TrainConfig;
use crate::event::Event;
use crate::gpu::{self, Chosen};
use crate::{Error, ops};

/// How many of the last events are in a report.
const EVENTS: usize = 60;
/// Settings that the user words.
const PRIVATE: [&str; 5] = ["token", "init", "second-token", "second-init", "preview-prompt"];
/// Fields of events that hold no name, path or sentence of the user's. Every other field is listed in the tests.
const PUBLIC: [&str; 35] = [
    "event",
    "kind",
    "products",
    "part",
    "done",
    "total",
    "outside",
    "vectors",
    "steps",
    "recipe",
    "lr",
    "samples_per_step",
    "checkpointing",
    "step",
    "of",
    "norm",
    "loss",
    "grad_norm",
    "row_norm",
    "secs",
    "reason",
    "skipped",
    "on",
    "initial",
    "code",
    "to",
    "level",
    "shows",
    "advice-code",
    "overfitted",
    "scenes",
    "last",
    "best",
    "kept",
    "states",
];

/// What a bug report would say now.
#[derive(Clone)]
pub(super) struct BugReport {
    about: Value,
    events: VecDeque<Value>,
}

impl BugReport {
    /// Everything that is known before the work.
    pub fn new(config: &TrainConfig, pictures: usize, model: &ModelId, chosen: &Chosen) -> Self {
        let mut config = serde_json::to_value(config).unwrap_or_default();
        if let Value::Object(fields) = &mut config {
            fields.retain(|name, _| !PRIVATE.contains(&name.as_str()));
        }
        let about = json!({
            "pseudoword": env!("CARGO_PKG_VERSION"), "os": std::env::consts::OS, "architecture": std::env::consts::ARCH,
            "device": device(chosen), "model_hash": model.hash, "pictures": pictures, "config": config,
        });
        Self { about, events: VecDeque::new() }
    }

    /// The run continues on another device.
    pub fn now_on(&mut self, chosen: &Chosen) {
        self.about["device"] = device(chosen);
    }

    /// Remembers what happened.
    pub fn note(&mut self, event: &Event) {
        if let Ok(Value::Object(fields)) = serde_json::to_value(event) {
            let public = fields.into_iter().filter(|(name, _)| PUBLIC.contains(&name.as_str()));
            self.events.push_back(Value::Object(public.collect::<Map<_, _>>()));
        }
        if self.events.len() > EVENTS {
            self.events.pop_front();
        }
    }

    /// Writes it into the run's folder, or where that is not possible into another; gives where, if anywhere.
    pub fn write(&self, folder: &Path, elsewhere: &Path, error: &Error) -> Option<PathBuf> {
        let mut report = self.about.clone();
        report["error"] = json!({"code": exit::status(error), "message": wording::of_error(error)});
        report["peak_memory_mb"] = json!(peak_memory());
        report["waiting_for_the_device_s"] = json!(ops::waiting().map(|waiting| waiting.as_secs_f64()));
        report["events"] = json!(self.events);
        let text = serde_json::to_string_pretty(&report).map(text::json_seen).unwrap_or_default();
        [folder, elsewhere].into_iter().find_map(|folder| {
            let path = folder.join(BUG_REPORT);
            make_folder(folder).and_then(|()| write_whole(&path, text.as_bytes())).ok().map(|()| path)
        })
    }
}

fn device(chosen: &Chosen) -> Value {
    let started = gpu::started(chosen);
    let adapter = started.as_ref().map(|started| format!("{:?}", started.info()));
    let limits = started.as_ref().map(|started| format!("{:?}", started.limits()));
    let half = ops::half_products_of(&chosen.device).map(ops::HalfMethod::name);
    json!({
        "kind": chosen.kind, "name": chosen.name, "reason": chosen.reason, "adapter": adapter, "limits": limits, "f16": half,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::event::{EvaluatedOn, Part, PlannedWord, WarningCode};

    /// Fields of events that stay out of a report: what users called something, wrote or keep, and what nobody asks
    /// for who reads one.
    const KEPT_OUT: [&str; 22] = [
        "name", "file", "prepared", "token", "init", "path", "what", "text", "number", "files", "rate", "left",
        "count", "ratio", "prompt", "settings", "given", "masks", "caption", "parts", "advice", "second",
    ];

    /// One event of each kind, with all of its fields: each leads to the next, so that a new one does not compile here.
    fn after(event: &Event) -> Option<Event> {
        let text = String::new;
        Some(match event {
            Event::Device { .. } => Event::Precision { products: text(), reason: text() },
            Event::Precision { .. } => {
                Event::TakenUp { path: text(), prompt: Some(text()), settings: Map::new(), given: Vec::new() }
            }
            Event::TakenUp { .. } => {
                let (done, total, rate, left) = (0, Some(0), 0.0, Some(0.0));
                Event::Fetch { file: text(), number: 1, files: 1, done, total, rate, left }
            }
            Event::Fetch { .. } => Event::Load { part: Part::Unet, done: 0, total: 0 },
            Event::Load { .. } => Event::Encode { done: 0, total: 0, name: text(), prepared: text() },
            Event::Encode { .. } => Event::Locate { done: 0, total: 0, name: text() },
            Event::Locate { .. } => Event::Describe { done: 0, total: 0, name: text() },
            Event::Describe { .. } => {
                Event::Caption { name: text(), caption: Some(text()), parts: Vec::new(), backgrounds: Vec::new() }
            }
            Event::Caption { .. } => Event::Masks { outside: 0.1, masks: Vec::new() },
            Event::Masks { .. } => Event::Plan {
                token: text(),
                vectors: 1,
                init: text(),
                second: Some(PlannedWord::default()),
                steps: 1,
                recipe: text(),
                lr: 0.1,
                samples_per_step: 1,
                checkpointing: false,
            },
            Event::Plan { .. } => Event::Resumed { step: 1, of: 1 },
            Event::Resumed { .. } => Event::FirstGradient { norm: 1.0 },
            Event::FirstGradient { .. } => {
                Event::Step { step: 1, of: 1, loss: 1.0, lr: 0.1, grad_norm: 1.0, row_norm: 1.0, secs: 1.0 }
            }
            Event::Step { .. } => Event::Skipped { step: 1, reason: text(), skipped: 1 },
            Event::Skipped { .. } => Event::Rewound { step: 1, to: 0, lr: 0.1, reason: text() },
            Event::Rewound { .. } => Event::Evaluation { on: EvaluatedOn::Unseen, step: 1, loss: 1.0, initial: 1.0 },
            Event::Evaluation { .. } => Event::Preview { step: 1, path: Some(text()) },
            Event::Preview { .. } => Event::Denoise { step: 1, of: 1, secs: 1.0 },
            Event::Denoise { .. } => Event::Pictures { count: 1 },
            Event::Pictures { .. } => Event::Saved { what: text(), path: text() },
            Event::Saved { .. } => Event::Warning { code: WarningCode::Log, text: text() },
            Event::Warning { .. } => Event::Converged { step: 1, ratio: 1.0 },
            Event::Converged { .. } => Event::Trying { done: 1, total: 1 },
            Event::Trying { .. } => Event::Quality(Box::default()),
            Event::Quality(_) => Event::Done { steps: 1, secs: 1.0 },
            Event::Done { .. } => return None,
        })
    }

    #[test]
    fn every_field_of_an_event_is_public_or_kept_out() {
        let first = Event::Device { kind: String::new(), name: String::new(), reason: String::new() };
        let mut fields = BTreeSet::new();
        for event in std::iter::successors(Some(first), after) {
            let Ok(Value::Object(event)) = serde_json::to_value(event) else { panic!("not an object") };
            fields.extend(event.into_iter().map(|(name, _)| name));
        }
        let listed: Vec<&str> = PUBLIC.into_iter().chain(KEPT_OUT).collect();
        assert_eq!(fields, listed.iter().map(|name| (*name).to_owned()).collect(), "every field is listed");
        assert_eq!(fields.len(), listed.len(), "none is in both lists");
    }

    #[test]
    fn nothing_that_a_user_wrote_is_in_a_report() {
        let config = TrainConfig {
            token: "<secret>".to_owned(),
            init: Some("secret".to_owned()),
            preview_prompt: Some("a secret".to_owned()),
            steps: Some(300),
            ..TrainConfig::default()
        };
        let chosen = gpu::choose(gpu::DeviceChoice::Cpu).unwrap();
        let model = ModelId { name: "secret".to_owned(), hash: None };
        let mut report = BugReport::new(&config, 3, &model, &chosen);
        report.note(&Event::Encode { done: 1, total: 3, name: "secret.png".to_owned(), prepared: "secret".to_owned() });
        report.note(&Event::warning(WarningCode::SamePicture, "secret.png is secret.png"));
        for step in 0..100 {
            report.note(&Event::Skipped { step, reason: "the loss is not a finite number".to_owned(), skipped: 1 });
        }
        let folder = tempfile::tempdir().unwrap();
        let path = report.write(&folder.path().join("a"), folder.path(), &Error::Internal("x".to_owned())).unwrap();
        let text = std::fs::read_to_string(path).unwrap();
        assert!(!text.contains("secret"), "{text}");
        assert!(text.contains("\"steps\": 300") && text.contains("not a finite number"), "{text}");
        assert_eq!(report.events.len(), EVENTS);
    }
}
