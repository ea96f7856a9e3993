//! `pseudoword train --dry-run`: what would happen, what memory it takes and about how long.
//!
//! Two steps, where the run has as many, and one evaluation are made and thrown away. Figures that are measured are called
//! so; the rest are estimates.

use std::time::Instant;

use serde_json::{Value, json};

use super::request::Request;
use crate::base::bytes;
use crate::base::process::peak_memory;
use crate::base::text::counted;
use crate::cli::output::{Output, span};
use crate::config::{TrainConfig, WordConfig};
use crate::event::Event;
use crate::train::{RunState, TrainJob, quality, usual};
use crate::{Error, Result};

/// Steps that are tried at most. The first one warms up caches and compiles kernels.
const MOST_STEPS: u32 = 2;

/// What was measured, in seconds.
#[derive(Default)]
struct Timings {
    encoding: f64,
    evaluation: f64,
    step: f64,
}

/// Tries the first steps, and prints what the run would do and what it would take.
pub(super) async fn run(mut request: Request<'_>, out: &mut Output) -> Result<()> {
    let (session, _) = request.session(out).await?;
    let config = request.config().clone();
    // The trial has no previews: what they need stays in memory as it will in the run, which the measurement is of.
    let _decoder = if request.loading().decoder { Some(session.model().decoder(&mut |_| ()).await?) } else { None };
    let input = request.input();
    if let Some(state) = request.state() {
        // Whether it can resume at all.
        session.resume(&config, input.clone(), state)?;
    }
    // No more than the run has: a replay may hold no others.
    let steps = config.steps().min(MOST_STEPS);
    let trial = TrainConfig { steps: Some(steps), eval_every: 0, preview_every: 0, early_stop: false, ..config };
    let measured = Timings::by_trying(session.train(&trial, input)?, steps).await?;
    print(&request, &measured, out)
}

/// Prints the answer: sentences for people, figures for programs.
fn print(request: &Request<'_>, measured: &Timings, out: &mut Output) -> Result<()> {
    let config = request.config();
    let made = request.state().map_or(0, RunState::step);
    let left = config.steps().saturating_sub(made);
    let seconds = measured.run(config, left);
    let memory = peak_memory();
    let gpu = request.device.device.memory_pool_usage();
    let gpu = gpu.map(|usage| usage.bytes_reserved as f64 / f64::from(1 << 20));
    let (action, sentence) = action(request, left);
    let folder = request.folder.display();
    let mut lines = vec![
        format!("{sentence} {folder} (this is a dry run: nothing is written)"),
        format!(
            "  what:    {}, from {} pictures, on the model {}, {}",
            words(config),
            request.pictures.len(),
            request.model.name,
            request.device.name
        ),
        format!(
            "  how:     {left} steps of {} samples, learning rate {}{}",
            request.samples_per_step(),
            request.rate(),
            if usual::is_relative(config) { " in usual lengths" } else { "" }
        ),
        format!(
            "  time:    about {}; measured just now: {} a step, {} an evaluation, {} for the pictures; previews and the trying of the word are estimated",
            span(seconds),
            short(measured.step),
            short(measured.evaluation),
            short(measured.encoding)
        ),
        format!(
            "  memory:  {} at the peak of the steps that were tried (measured){}",
            bytes::measured(memory),
            gpu.map_or(String::new(), |gpu| format!(
                "; {} on the GPU, which may be part of it",
                bytes::measured(Some(gpu))
            ))
        ),
    ];
    if let Some(usual) = &request.usual {
        lines.insert(3, format!("  usual:   {usual}"));
    }
    let object = json!({
        "event": "dry-run", "action": action, "folder": folder.to_string(), "steps": config.steps(), "vectors": config.vectors(), "lr": request.rate(), "usual": request.usual, "made": made,
        "seconds": seconds, "step_s": measured.step, "evaluation_s": measured.evaluation, "encoding_s": measured.encoding,
        "peak_memory_mb": memory, "gpu_memory_mb": gpu, "device": request.device.name,
    });
    out.result(&lines, &with_second(object, config))
}

/// With what is learned beside the first word, if anything is.
fn with_second(mut object: Value, config: &TrainConfig) -> Value {
    if let Some(second) = config.second() {
        object["second"] = json!({"token": second.token, "vectors": second.vectors, "kind": second.kind});
    }
    object
}

/// What is learned: `<fox> in 2 vectors`.
fn words(config: &TrainConfig) -> String {
    let word = |word: WordConfig<'_>| format!("{} in {}", word.token, counted(u64::from(word.vectors), "vector"));
    config.words().map(word).collect::<Vec<_>>().join(" and ")
}

/// What would happen, for programs and for people.
fn action(request: &Request<'_>, left: u32) -> (&'static str, String) {
    match request.state() {
        Some(state) if left == 0 || state.converged() => ("finished", "there is a finished run in".to_owned()),
        Some(state) => ("go-on", format!("would resume, after step {}, the run in", state.step())),
        None if request.args.overwrite => ("begin-anew", "would start over in".to_owned()),
        None => ("begin", "would begin a run in".to_owned()),
    }
}

/// A short time, as exactly as it is worth.
fn short(secs: f64) -> String {
    if secs < 1.0 { format!("{:.0} ms", secs * 1000.0) } else { span(secs) }
}

impl Timings {
    /// Measures a job by working at it until the last of its steps is made.
    async fn by_trying(mut job: TrainJob, steps: u32) -> Result<Self> {
        let mut measured = Self::default();
        let mut last = Instant::now();
        while measured.step == 0.0 {
            let Some(event) = job.next().await? else { break };
            match event {
                Event::Encode { .. } | Event::Locate { .. } | Event::Describe { .. } | Event::Caption { .. } => {
                    measured.encoding += last.elapsed().as_secs_f64();
                }
                Event::Evaluation { .. } => measured.evaluation += last.elapsed().as_secs_f64(),
                Event::Step { step, secs, .. } if step == steps => measured.step = secs,
                // Weights, which belong to what they are loaded for.
                Event::Load { .. } => continue,
                _ => {}
            }
            last = Instant::now();
        }
        if measured.step == 0.0 {
            return Err(Error::Numeric { step: steps, reason: "the trial steps did not finish".to_owned() });
        }
        Ok(measured)
    }

    /// Seconds that this many steps would take, with what comes between them.
    fn run(&self, config: &TrainConfig, steps: u32) -> f64 {
        let times = |every: u32| steps.checked_div(every).map_or(1, |count| count + 1);
        let evaluations = if config.early_stop { steps } else { times(config.eval_every) + 1 };
        // A preview is a denoising of one picture with guidance: two predictions a step, each like a sample's
        // evaluation.
        let prediction = self.evaluation / f64::from(config.eval_size.max(1));
        let preview = prediction * 2.0 * f64::from(config.preview_steps);
        let previews = if config.preview_every == 0 { 0 } else { times(config.preview_every) };
        self.encoding
            + self.step * f64::from(steps)
            + self.evaluation * f64::from(evaluations)
            + preview * f64::from(previews)
            + prediction * f64::from(quality::predictions(config))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    #[test]
    fn what_comes_between_steps_is_counted() {
        let measured = Timings { encoding: 3.0, evaluation: 2.0, step: 1.0 };
        let config = TrainConfig { eval_every: 0, preview_every: 0, ..TrainConfig::default() };
        assert_eq!(measured.run(&config, 10), 3.0 + 10.0 + 2.0 * 2.0);
        let early = TrainConfig { early_stop: true, ..config };
        assert_eq!(measured.run(&early, 10), 3.0 + 10.0 + 10.0 * 2.0);
        // A word that starts from words is tried when its run ends, unless that is not wanted.
        let words = TrainConfig { init: Some("apple".to_owned()), steps: Some(50), ..early.clone() };
        let off = TrainConfig { quality: config::Quality::Off, ..words.clone() };
        let more = |config| measured.run(config, 50) - measured.run(&early, 50);
        assert!(more(&words) > 50.0 && more(&off) == 0.0);
    }
}
