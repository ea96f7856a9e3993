//! `pseudoword train --dry-run`: what would happen, what memory it takes and about how long.
//!
//! Two steps and one evaluation are made and thrown away; figures that are measured are called so, and the rest estimates.

use std::path::Path;
use std::rc::Rc;
use std::time::Instant;

use serde_json::json;

use crate::cli::args::{TrainArgs, WeightStorage};
use crate::cli::open::{self, ModelId, Read};
use crate::cli::output::Output;
use crate::cli::output::span;
use crate::config::{SampleConfig, TrainConfig};
use crate::event::Event;
use crate::gpu::Chosen;
use crate::source::Source;
use crate::train::{RunState, TrainInput, learning_rate};
use crate::{Error, Result};

/// Steps that are tried. The first one warms up caches and compiles kernels.
const STEPS: u32 = 2;

/// A run that somebody thinks of.
pub(super) struct Question<'a> {
    pub args: &'a TrainArgs,
    pub weights: WeightStorage,
    pub source: &'a Rc<dyn Source>,
    pub model: &'a ModelId,
    pub embeddings: &'a [Read],
    pub input: &'a TrainInput,
    pub folder: &'a Path,
    pub chosen: &'a Chosen,
    /// Of the run that is in the folder.
    pub state: Option<&'a RunState>,
    pub events: Vec<Event>,
}

/// What was measured, in seconds.
#[derive(Default)]
struct Measured {
    encoding: f64,
    evaluation: f64,
    step: f64,
}

/// Answers.
pub(super) async fn run(question: &Question<'_>, out: &mut Output) -> Result<()> {
    for event in &question.events {
        out.event(event)?;
    }
    let config = &question.args.config;
    let planned = super::planned(config);
    let source = question.source.clone();
    let loading = super::loading(config);
    let mut session = open::on_device(question.chosen, source, question.weights, &planned, loading, out).await?;
    // The trial has no previews: what they need stays in memory as it will in the run, which the measurement is of.
    let _decoder = if loading.decoder { Some(session.model().decoder(&mut |_| ()).await?) } else { None };
    let model = ModelId { hash: session.model().unet_hash.clone(), ..question.model.clone() };
    open::add_words(&mut session, question.embeddings.to_vec(), &model, out)?;
    if let Some(state) = question.state {
        // Whether it can go on at all.
        session.resume(config, question.input.clone(), state)?;
    }

    let trial = TrainConfig { steps: STEPS, eval_every: 0, preview_every: 0, early_stop: false, ..config.clone() };
    let mut job = session.train(&trial, question.input.clone())?;
    let mut measured = Measured::default();
    let mut last = Instant::now();
    while measured.step == 0.0 {
        let Some(event) = job.next().await? else { break };
        match event {
            Event::Plan { .. } => measured.encoding = last.elapsed().as_secs_f64(),
            Event::Evaluation { .. } => measured.evaluation += last.elapsed().as_secs_f64(),
            Event::Step { step: STEPS, secs, .. } => measured.step = secs,
            Event::Encode { .. } | Event::Load { .. } => continue,
            _ => {}
        }
        last = Instant::now();
    }
    if measured.step == 0.0 {
        return Err(Error::Numeric { step: STEPS, reason: "the steps that were tried came to nothing".to_owned() });
    }

    let made = question.state.map_or(0, RunState::step);
    let left = config.steps.saturating_sub(made);
    let seconds = measured.run(config, left);
    let memory = crate::base::process::peak_memory();
    let gpu = question.chosen.device.memory_pool_usage().map(|usage| usage.bytes_reserved as f64 / f64::from(1 << 20));
    let (action, sentence) = action(question, left);
    let folder = question.folder.display();
    let megabytes = |memory: Option<f64>| memory.map_or("unknown".to_owned(), |memory| format!("{memory:.0} MB"));
    let lines = [
        format!("{sentence} {folder} (this is a dry run: nothing is written)"),
        format!(
            "  what:    {} in {} vectors, from {} pictures, on the model {}, {}",
            config.token,
            config.vectors,
            question.input.pictures.len(),
            question.model.name,
            question.chosen.name
        ),
        format!(
            "  how:     {left} steps of {} samples, learning rate {}",
            config.batch_size * config.gradient_accumulation,
            learning_rate::peak(config)
        ),
        format!(
            "  time:    about {}; measured just now: {} a step, {} an evaluation, {} for the pictures; previews are estimated",
            span(seconds),
            short(measured.step),
            short(measured.evaluation),
            short(measured.encoding)
        ),
        format!(
            "  memory:  {} at the peak of the steps that were tried (measured){}",
            megabytes(memory),
            gpu.map_or(String::new(), |gpu| format!(", {gpu:.0} MB of it or besides on the GPU"))
        ),
    ];
    let object = json!({
        "event": "dry-run", "action": action, "folder": folder.to_string(), "steps": config.steps, "made": made,
        "seconds": seconds, "step_s": measured.step, "evaluation_s": measured.evaluation, "encoding_s": measured.encoding,
        "peak_memory_mb": memory, "gpu_memory_mb": gpu, "device": question.chosen.name,
    });
    out.result(&lines.join("\n"), &object)
}

fn action(question: &Question<'_>, left: u32) -> (&'static str, String) {
    match question.state {
        Some(state) if left == 0 || state.converged() => ("finished", "there is a finished run in".to_owned()),
        Some(state) => ("go-on", format!("would go on after step {} with the run in", state.step())),
        None if question.args.overwrite => ("begin-anew", "would begin anew in".to_owned()),
        None => ("begin", "would begin a run in".to_owned()),
    }
}

/// A short time, as exactly as it is worth.
fn short(secs: f64) -> String {
    if secs < 1.0 { format!("{:.0} ms", secs * 1000.0) } else { span(secs) }
}

impl Measured {
    /// Seconds that so many steps would take, with what comes between them.
    fn run(&self, config: &TrainConfig, steps: u32) -> f64 {
        let times = |every: u32| steps.checked_div(every).map_or(1, |count| count + 1);
        let evaluations = if config.early_stop { steps } else { times(config.eval_every) + 1 };
        // A preview is a denoising of one picture with guidance: two predictions a step, each like a sample's evaluation.
        let prediction = self.evaluation / f64::from(config.eval_size.max(1));
        let preview = prediction * 2.0 * f64::from(SampleConfig::default().steps);
        let previews = if config.preview_every == 0 { 0 } else { times(config.preview_every) };
        self.encoding
            + self.step * f64::from(steps)
            + self.evaluation * f64::from(evaluations)
            + preview * f64::from(previews)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_between_steps_is_counted() {
        let measured = Measured { encoding: 3.0, evaluation: 2.0, step: 1.0 };
        let config = TrainConfig { eval_every: 0, preview_every: 0, ..TrainConfig::default() };
        assert_eq!(measured.run(&config, 10), 3.0 + 10.0 + 2.0 * 2.0);
        let early = TrainConfig { early_stop: true, ..config };
        assert_eq!(measured.run(&early, 10), 3.0 + 10.0 + 10.0 * 2.0);
    }
}
