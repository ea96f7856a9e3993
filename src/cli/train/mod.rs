//! `pseudoword train`: pictures in, a file with a word out.

mod drive;
mod dry_run;
mod folder;
mod lock;
mod log;
pub(super) mod pictures;
mod report;
mod state_files;
mod watchdog;

use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use self::drive::Run;
use self::folder::{RunFolder, about};
use self::lock::Lock;
use self::report::Report;
use self::state_files::Keeper;
use super::args::{OnDeviceLost, Shared, TrainArgs, WeightStorage};
use super::faults::interrupt::Interrupt;
use super::open::{self, ModelId, Word};
use super::output::Output;
use super::{embeddings, find, panics, settings};
use crate::base::files;
use crate::config::{Init, TrainConfig};
use crate::event::Event;
use crate::gpu::{self, Chosen};
use crate::model::{Loading, ModelConfig};
use crate::plan::{self, MemoryPlan, WeightBytes};
use crate::source::Source;
use crate::text::ClipTokenizer;
use crate::train::{RunState, TrainInput, TrainJob};
use crate::{Error, Result};

/// What a job is made of, to make it once more on another device.
pub(super) struct Ingredients<'a> {
    args: &'a TrainArgs,
    weights: WeightStorage,
    source: Rc<dyn Source>,
    model: ModelId,
    embeddings: Vec<open::Read>,
    input: TrainInput,
}

/// Trains.
pub(super) async fn run(args: &TrainArgs, shared: &Shared, out: &mut Output) -> Result<()> {
    // Whatever can be wrong is found out before the model is loaded.
    let source = find::model_for(shared, &planned(&args.config), out).await?;
    let config = ModelConfig::read(&*source).await?;
    let embeddings = open::embeddings(&args.embeddings, shared, out).await?;
    let mut tokenizer = ClipTokenizer::load(&*source, config.text().vocab_size, config.prompt_length()).await?;
    for (embedding, ..) in &embeddings {
        tokenizer.add_word(&embedding.token, embedding.vectors())?;
    }
    let phrase = args.config.init.as_ref().filter(|init| !pictures::names_a_file(init));
    crate::train::check(&args.config, &Init::of_phrase(phrase), &config, &tokenizer)?;
    tokenizer.add_word(&args.config.token, args.config.vectors.max(1) as usize)?;
    let side = args.config.resolution.unwrap_or_else(|| config.resolution());
    let gathered = pictures::gather(args, side)?;
    let path = args.out.clone().unwrap_or_else(|| default_folder(&args.config.token));
    files::check_writable(&path)?;
    if let Some(record) = &args.record {
        if record.exists() && !args.overwrite {
            let text = format!("{} is there already: give --record another name, or --overwrite", record.display());
            return Err(Error::Usage(text));
        }
        files::check_writable(files::folder_of(record))?;
    }
    let lock = if args.dry_run { None } else { Some(Lock::take(&path)?) };
    let found = folder::find(&path, args.overwrite, args.resume)?;

    let interrupt = Interrupt::listen(shared.quiet)?;
    let model = ModelId::named(&*source);
    let input = gathered.input;
    let mut ingredients = Ingredients { args, weights: shared.weights, source, model, embeddings, input };
    let chosen = gpu::choose(shared.device)?;
    out.event(&chosen.event())?;
    let state = found.as_ref().map(|found| &found.state);
    let Some(lock) = lock else {
        return dry_run::run(&ingredients.dry_run(&path, &chosen, state, gathered.events), out).await;
    };
    let names: Vec<String> = ingredients.input.pictures.iter().map(|picture| picture.picture.name.clone()).collect();
    let (job, words) = ingredients.job(&chosen, state, out).await.map_err(|error| advised(error, &path))?;
    if let Some(state) = state.filter(|state| is_finished(&path, state, args.config.steps, &job)) {
        return finished(&path, state, out);
    }

    let about = about(&args.config, &names, &ingredients.model.name, ingredients.model.hash.as_deref());
    let settings = settings::of(args, shared);
    let folder = match &found {
        Some(found) => {
            found.make_way(&path)?;
            RunFolder::go_on(&path, lock, about, &settings, found.state.step())?
        }
        None => RunFolder::begin(&path, lock, about, &settings)?,
    };
    let report = Report::new(&args.config, names.len(), &ingredients.model, &chosen);
    let mut run = Run {
        latest: job.state(),
        job,
        config: &args.config,
        model: ingredients.model.clone(),
        words,
        keeper: Keeper::new(&path),
        folder,
        report: Arc::new(Mutex::new(report)),
        record: args.record.as_deref(),
        unwritten: false,
        out,
    };
    run.watch(&chosen, shared, &path);
    run.folder.note(&chosen.event());
    for event in gathered.events.iter().chain(&run.concerns(found.as_ref(), &chosen)) {
        run.tell(event)?;
    }
    let mut ended = panics::caught_in(run.drive(&interrupt)).await;
    if let Err(lost @ Error::GpuLost { .. }) = &ended
        && args.on_device_lost == OnDeviceLost::Resume
    {
        let step = run.job.step();
        run.tell(&Event::warning("gpu-lost", format!("step {step}: {lost}. It is started again, once")))?;
        ended = match run.start_again(&chosen, ingredients).await {
            Ok(()) => panics::caught_in(run.drive(&interrupt)).await,
            Err(error) => Err(error),
        };
    }
    run.end(ended)
}

/// How much memory a run will need.
pub(super) fn planned(config: &TrainConfig) -> impl Fn(&ModelConfig, WeightBytes, bool) -> MemoryPlan {
    move |model, weights, on_cpu| {
        let side = config.resolution.unwrap_or_else(|| model.resolution());
        let job = plan::Job { height: side, width: side, batch: config.batch_size };
        let recompute = crate::train::recomputes(config, model);
        let previews = (config.preview_every > 0).then(|| plan::Job::preview(model));
        MemoryPlan::training(model, weights, job, recompute, previews, on_cpu)
    }
}

/// What of a model a run needs.
pub(super) fn loading(config: &TrainConfig) -> Loading {
    Loading { decoder: config.preview_every > 0, hash: true, ..Loading::default() }
}

/// `runs/` and what of the token can be in a file's name.
fn default_folder(token: &str) -> PathBuf {
    let stem: String = token.chars().filter(|c| c.is_alphanumeric() || "-_".contains(*c)).collect();
    Path::new("runs").join(if stem.is_empty() { "word" } else { &stem })
}

/// What to do about inputs that changed.
fn advised(error: Error, folder: &Path) -> Error {
    match error {
        Error::Changed { step, mut changes } => {
            changes.push(format!(
                "(the run is in {}: give another --out to leave it, or --overwrite to begin anew there)",
                folder.display()
            ));
            Error::Changed { step, changes }
        }
        other => other,
    }
}

/// Whether all steps are made and everything is written: a run may have been killed between the two.
fn is_finished(folder: &Path, state: &RunState, steps: u32, job: &TrainJob) -> bool {
    let word = embeddings::read_file(&folder.join(folder::WORD));
    (state.step() >= steps || (state.converged() && state.step() == state.steps()))
        && word.is_ok_and(|word| word.rows() == job.embedding().rows())
        && folder.join(folder::CURVE).exists()
}

/// Says that there is nothing left to do.
fn finished(folder: &Path, state: &RunState, out: &mut Output) -> Result<()> {
    let path = folder.join(folder::WORD);
    let why = if state.converged() { ", for its loss had settled" } else { "" };
    out.message(&format!(
        "this run is finished: {} steps are made{why}. --overwrite begins it anew; with --lr-schedule constant a run can go \
         on with more --steps",
        state.step()
    ));
    let path = path.display().to_string();
    out.event(&Event::Saved { what: "embedding".to_owned(), path: path.clone() })?;
    out.event(&Event::Done { steps: state.step(), secs: 0.0 })?;
    out.line(&path)
}

impl<'a> Ingredients<'a> {
    /// Loads the model onto a device and makes the job, at its beginning or where a state has it.
    pub async fn job(
        &mut self,
        chosen: &Chosen,
        state: Option<&RunState>,
        out: &mut Output,
    ) -> Result<(TrainJob, Vec<Word>)> {
        let (planned, loading) = (planned(&self.args.config), loading(&self.args.config));
        let opened = open::on_device(chosen, self.source.clone(), self.weights, &planned, loading, out);
        let mut session = panics::caught_in(opened).await?;
        self.model.hash.clone_from(&session.model().unet_hash);
        let words = open::add_words(&mut session, self.embeddings.clone(), &self.model, out)?;
        let input = match self.args.on_device_lost {
            // Nobody asks for them again: pictures are large.
            OnDeviceLost::Stop => std::mem::take(&mut self.input),
            OnDeviceLost::Resume => self.input.clone(),
        };
        let job = match state {
            Some(state) => session.resume(&self.args.config, input, state)?,
            None => session.train(&self.args.config, input)?,
        };
        Ok((job, words))
    }

    fn dry_run<'b>(
        &'b self,
        folder: &'b Path,
        chosen: &'b Chosen,
        state: Option<&'b RunState>,
        events: Vec<Event>,
    ) -> dry_run::Question<'b> {
        dry_run::Question {
            args: self.args,
            weights: self.weights,
            source: &self.source,
            model: &self.model,
            embeddings: &self.embeddings,
            input: &self.input,
            folder,
            chosen,
            state,
            events,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_names_its_folder() {
        assert_eq!(default_folder("<my-peach>"), Path::new("runs/my-peach"));
        assert_eq!(default_folder("../../*"), Path::new("runs/word"));
    }
}
