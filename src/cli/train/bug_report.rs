//! The bug report that a failed run leaves: one file, without pictures, prompts and names.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::names::REPORT;
use crate::base::files::{make_folder, write_whole};
use crate::base::process::peak_memory;
use crate::cli::load::ModelId;
use crate::cli::{exit, wording};
use crate::config::TrainConfig;
use crate::event::Event;
use crate::gpu::{self, Chosen};
use crate::{Error, ops};

/// How many of the last events are in a report.
const EVENTS: usize = 60;
/// Settings that the user words.
const PRIVATE: [&str; 3] = ["token", "init", "preview-prompt"];
/// Fields of events that hold no name, path or sentence of the user's.
const PUBLIC: [&str; 24] = [
    "event",
    "kind",
    "part",
    "done",
    "total",
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
        let text = serde_json::to_vec_pretty(&report).unwrap_or_default();
        [folder, elsewhere].into_iter().find_map(|folder| {
            let path = folder.join(REPORT);
            make_folder(folder).and_then(|()| write_whole(&path, &text)).ok().map(|()| path)
        })
    }
}

fn device(chosen: &Chosen) -> Value {
    let started = gpu::started(chosen);
    let adapter = started.as_ref().map(|started| format!("{:?}", started.info()));
    let limits = started.as_ref().map(|started| format!("{:?}", started.limits()));
    json!({"kind": chosen.kind, "name": chosen.name, "reason": chosen.reason, "adapter": adapter, "limits": limits})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_user_wrote_is_in_a_report() {
        let config = TrainConfig {
            token: "<secret>".to_owned(),
            init: Some("secret".to_owned()),
            preview_prompt: Some("a secret".to_owned()),
            ..TrainConfig::default()
        };
        let chosen = gpu::choose(gpu::DeviceChoice::Cpu).unwrap();
        let model = ModelId { name: "secret".to_owned(), hash: None };
        let mut report = BugReport::new(&config, 3, &model, &chosen);
        report.note(&Event::Encode { done: 1, total: 3, name: "secret.png".to_owned(), prepared: "secret".to_owned() });
        report.note(&Event::warning("same-picture", "secret.png is secret.png"));
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
