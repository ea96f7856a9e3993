//! A run under way: its job is asked for events, everybody is told of them, and what is learned is kept, come what may.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::Ingredients;
use super::folder::{self, RunFolder};
use super::report::Report;
use super::state_files::{self, Attempt, Found, Keeper};
use super::watchdog;
use crate::base::failpoints::{self, Failure};
use crate::base::files;
use crate::cli::args::Shared;
use crate::cli::faults::interrupt::{self, Interrupt};
use crate::cli::open::{self, ModelId, Word};
use crate::cli::output::Output;
use crate::cli::output::json;
use crate::cli::{exit, panics, wording};
use crate::config::{SampleConfig, TrainConfig};
use crate::embedding::Embedding;
use crate::error::Kind;
use crate::event::Event;
use crate::gpu::{self, Chosen};
use crate::sample::Label;
use crate::train::{RunState, TrainJob};
use crate::{Error, Result, ops};

/// Pauses between the attempts to write a word.
const PAUSES: [Duration; 3] = [Duration::from_millis(100), Duration::from_millis(500), Duration::from_secs(2)];

/// A run and everybody who is told about it.
pub(super) struct Run<'a> {
    pub job: TrainJob,
    pub config: &'a TrainConfig,
    pub model: ModelId,
    pub words: Vec<Word>,
    pub folder: RunFolder,
    pub keeper: Keeper,
    /// The state after the last event, whatever has become of the job since.
    pub latest: Vec<u8>,
    pub report: Arc<Mutex<Report>>,
    pub record: Option<&'a Path>,
    /// Whether it has been said that the word cannot be written under way, since it last could.
    pub unwritten: bool,
    pub out: &'a mut Output,
}

impl Run<'_> {
    pub fn tell(&mut self, event: &Event) -> Result<()> {
        self.report().note(event);
        if let Some(trouble) = self.folder.note(event) {
            self.out.event(&trouble)?;
        }
        self.out.event(event)
    }

    fn report(&self) -> MutexGuard<'_, Report> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is to be known of the folder and of a run that goes on.
    pub fn concerns(&self, found: Option<&Found>, chosen: &Chosen) -> Vec<Event> {
        let mut events: Vec<Event> =
            self.folder.lock_warning().map(|text| Event::warning("no-lock", text)).into_iter().collect();
        let Some(found) = found else { return events };
        events.extend(found.warning.as_ref().map(|text| Event::warning("damaged-state", text)));
        let (was, now) = (found.state.version(), env!("CARGO_PKG_VERSION"));
        if was != now {
            let text =
                format!("the run was begun with pseudoword {was}, this is {now}: its numbers may come out otherwise");
            events.push(Event::warning("other-version", text));
        }
        if let Some((kind, name)) =
            self.folder.device().filter(|(kind, name)| (kind.as_str(), name) != (chosen.kind, &chosen.name))
        {
            let text =
                format!("the run was on {kind}: {name} before: its numbers may come out a little otherwise here");
            events.push(Event::warning("other-device", text));
        }
        events
    }

    /// Ends the program if the GPU never answers again.
    pub fn watch(&self, chosen: &Chosen, shared: &Shared, folder: &Path) {
        if chosen.kind == "cpu" && failpoints::pass("watch-cpu").is_none() {
            return;
        }
        let (report, folder, json) = (self.report.clone(), folder.to_owned(), shared.json);
        watchdog::watch(move |error| {
            // Whoever waits holds no lock.
            let written =
                report.lock().unwrap_or_else(PoisonError::into_inner).write(&folder, &rescue_folder(&folder), error);
            let place = written.map_or(String::new(), |path| format!(" (a report is in {})", path.display()));
            let kept = format!("what was learned is in {}", folder.join(state_files::STATE).display());
            let text = format!("{}; {kept}{place}", wording::of_error(error));
            eprintln!("error: {text}");
            if json {
                let _told = json::error_line(exit::status(error), &text);
            }
            std::process::exit(exit::status(error).into());
        });
    }

    /// Works until the end, which is given, or until the user asks to stop.
    pub async fn drive(&mut self, interrupt: &Interrupt) -> Result<Option<Event>> {
        let mut done = None;
        while !interrupt.asked() {
            let Some(event) = panics::caught_in(self.job.next()).await? else { break };
            if !matches!(event, Event::Denoise { .. } | Event::Load { .. } | Event::Encode { .. }) {
                self.latest = self.job.state();
            }
            match event {
                // Told when everything is written.
                event @ Event::Done { .. } => done = Some(event),
                Event::Preview { step, .. } => self.preview(step)?,
                Event::Step { step, of, .. } => {
                    self.tell(&event)?;
                    self.keep()?;
                    if self.config.save_every > 0 && step % self.config.save_every == 0 && step < of {
                        self.checkpoint()?;
                    }
                    pass_failpoints();
                }
                event => {
                    self.tell(&event)?;
                    if matches!(event, Event::Skipped { .. } | Event::Rewound { .. }) {
                        self.keep()?;
                    }
                }
            }
        }
        Ok(done)
    }

    /// Saves the state, if it is time for that. A failure costs nothing as long as the memory holds the run.
    fn keep(&mut self) -> Result<()> {
        match self.keeper.due() {
            true => self.keep_now(),
            false => Ok(()),
        }
    }

    fn keep_now(&mut self) -> Result<()> {
        let mut attempt = self.keeper.save(&self.latest);
        if let Attempt::Failed(_) | Attempt::Still = attempt
            && self.folder.make_again().unwrap_or(false)
        {
            let text =
                format!("the folder {} was gone; it is made again, and the run goes on", self.folder.path().display());
            self.tell(&Event::warning("folder-gone", text))?;
            attempt = self.keeper.save(&self.latest);
        }
        match attempt {
            // Not in the log, where it would be every other line.
            Attempt::Saved => self.out.event(&self.saved_state()),
            Attempt::Again(since) => {
                let text = format!(
                    "the state of the run is saved again, after {}",
                    crate::cli::output::span(since.as_secs_f64())
                );
                self.tell(&Event::warning("saved-again", text))?;
                self.out.event(&self.saved_state())
            }
            Attempt::Failed(error) => {
                let text = format!(
                    "{error} ({} bytes are needed); training goes on in memory, and saving is tried again",
                    self.latest.len()
                );
                self.tell(&Event::warning("not-saved", text))
            }
            Attempt::Still => Ok(()),
        }
    }

    fn saved_state(&self) -> Event {
        Event::Saved { what: "state".to_owned(), path: self.keeper.path().display().to_string() }
    }

    /// Writes the word as it is under way. That it cannot be written is said once, and no reason to stop.
    fn checkpoint(&mut self) -> Result<()> {
        let saved = self.folder.save_word(&self.word());
        let known = std::mem::replace(&mut self.unwritten, saved.is_err());
        match saved {
            Ok(path) => self.tell(&Event::Saved { what: "checkpoint".to_owned(), path: path.display().to_string() }),
            Err(_) if known => Ok(()),
            Err(error) => self.tell(&Event::warning("not-saved", format!("{error}; training goes on in memory"))),
        }
    }

    /// Saves the preview that is ready.
    fn preview(&mut self, step: u32) -> Result<()> {
        let Some((_, picture)) = self.job.take_preview() else { return Ok(()) };
        // As the job makes them: the defaults with the run's seed.
        let config = SampleConfig { seed: self.config.seed, ..SampleConfig::default() };
        let mut words = self.words.clone();
        let word = self.word();
        words.push(Word { token: word.token.clone(), hash: word.hash(), model_hash: None });
        let label = Label {
            prompt: self.job.preview_prompt(),
            config: &config,
            seed: Some(config.seed),
            size: picture.dimensions(),
            model: &self.model.name,
            model_hash: self.model.hash.as_deref(),
            embeddings: &open::hashes(&words),
        };
        let mut text = label.text();
        text.push(("training step".to_owned(), step.to_string()));
        match self.folder.save_preview(step, &picture, &text) {
            Ok(path) => self.tell(&Event::Preview { step, path: Some(path.display().to_string()) }),
            Err(error) => self.tell(&Event::warning("no-preview", format!("{error}; training goes on"))),
        }
    }

    /// The word as it is now, with the model it belongs to.
    fn word(&self) -> Embedding {
        let mut word = self.job.embedding();
        word.metadata.insert("base-model".to_owned(), self.model.name.clone());
        if let Some(hash) = &self.model.hash {
            word.metadata.insert("model-hash".to_owned(), hash.clone());
        }
        word
    }

    /// Starts the device again and takes the run up where it was.
    pub async fn start_again(&mut self, lost: &Chosen, mut ingredients: Ingredients<'_>) -> Result<()> {
        let chosen = gpu::again(lost)?;
        panics::forget();
        self.tell(&chosen.event())?;
        self.report().now_on(&chosen);
        let state = RunState::read(&self.latest, "the state in memory")?;
        let (job, _words) = ingredients.job(&chosen, Some(&state), self.out).await?;
        self.job = job;
        Ok(())
    }

    /// Saves what there is, however it came to an end, and says so.
    pub fn end(mut self, ended: Result<Option<Event>>) -> Result<()> {
        let step = self.job.step();
        // A job that goes back to a good vector when it fails is at a good state; of one that broke, the last is.
        if matches!(ended, Ok(_) | Err(Error::Numeric { .. })) {
            self.latest = self.job.state();
        }
        let unread = matches!(&ended, Err(error) if crate::cli::is_closed_pipe(error));
        if unread {
            self.out.hush();
        }
        // Before the first step the word is its initialiser, which nobody needs to keep; but a run that was taken back there
        // has left something worse.
        let worth_it = step > 0 || matches!(ended, Err(Error::Numeric { .. }));
        let saved = if worth_it { self.leave().map(Some) } else { Ok(None) };
        let (done, path) = match (ended, saved) {
            (Ok(done), Ok(path)) => (done, path),
            // The reader of our output went away: that is all there is to it.
            (Err(error), Ok(_)) if unread => return Err(error),
            (Err(error), saved) => {
                if let Ok(Some(path)) = &saved {
                    self.out.message(&format!("the word as it was after step {step}: {}", path.display()));
                }
                self.leave_report(&error);
                // What was lost besides is worse than why the run ended.
                return Err(saved.err().unwrap_or(error));
            }
            (Ok(_), Err(error)) => {
                self.leave_report(&error);
                return Err(error);
            }
        };
        let path = path.as_ref().map(|path| path.display().to_string());
        match (&done, &path) {
            (Some(done), _) => self.tell(done)?,
            (None, Some(path)) => {
                let of = self.config.steps;
                self.out
                    .message(&format!("stopped after step {step} of {of}: {path}; the same command goes on from here"));
            }
            (None, None) => self.out.message("stopped before the first step: nothing was learned, nothing is saved"),
        }
        if let Some(path) = path {
            self.out.line(&path)?;
        }
        done.map(drop).ok_or_else(interrupt::reason)
    }

    /// Leaves a report of what somebody else must look at: not of what the user typed or asked for.
    fn leave_report(&mut self, error: &Error) {
        if !matches!(error.kind(), Kind::Internal | Kind::Numeric | Kind::Gpu | Kind::Disk | Kind::DiskFull) {
            return;
        }
        let folder = self.folder.path().to_owned();
        let written = self.report().write(&folder, &rescue_folder(&folder), error);
        if let Some(path) = written {
            self.out.message(&format!("a report for those who help (no pictures, no prompts): {}", path.display()));
        }
    }

    /// Writes the state and the word, then what was asked for beside it, then what is nice to have.
    fn leave(&mut self) -> Result<PathBuf> {
        let path = self.leave_word()?;
        self.tell(&Event::Saved { what: "embedding".to_owned(), path: path.display().to_string() })?;
        if let (Some(record), Some(bytes)) = (self.record, self.job.record()) {
            files::write_whole(record, &bytes)?;
            self.tell(&Event::Saved { what: "record".to_owned(), path: record.display().to_string() })?;
        }
        let title = format!("{}: {} steps on {}", self.config.token, self.job.step(), self.model.name);
        match self.folder.draw(&title, self.job.preview_prompt()) {
            Ok(events) => events.iter().try_for_each(|event| self.tell(event))?,
            Err(error) => self.tell(&Event::warning("not-drawn", format!("{error}; the word is saved")))?,
        }
        Ok(path)
    }

    /// Writes the state and the word: into the folder, or when that fails again and again into the system's folder for
    /// temporary files, which is often on another disk.
    fn leave_word(&mut self) -> Result<PathBuf> {
        let word = self.word();
        let (mut kept, mut left, mut trouble) = (false, None, None);
        for pause in [Duration::ZERO].iter().chain(&PAUSES) {
            std::thread::sleep(*pause);
            let written = self.folder.make_again().and_then(|_made| {
                kept = kept
                    || match self.keeper.save(&self.latest) {
                        Attempt::Saved | Attempt::Again(_) => true,
                        Attempt::Failed(_) | Attempt::Still => false,
                    };
                self.folder.save_word(&word)
            });
            match written {
                Ok(path) if kept => {
                    self.out.event(&self.saved_state())?;
                    return Ok(path);
                }
                Ok(path) => left = Some(path),
                Err(error) => {
                    if trouble.is_none() {
                        self.out.message(&format!("{error}; trying again"));
                    }
                    trouble = Some(error);
                }
            }
        }
        if let Some(path) = left {
            let text = format!("{} could not be saved: the run cannot go on from here", self.keeper.path().display());
            self.tell(&Event::warning("not-saved", text))?;
            return Ok(path);
        }
        let bytes = word.to_safetensors();
        let elsewhere = rescue_folder(self.folder.path());
        let rescued = files::make_folder(&elsewhere)
            .and_then(|()| files::write_whole(&elsewhere.join(folder::WORD), &bytes))
            // The word is what matters; the state only saves time.
            .map(|()| files::write_whole(&elsewhere.join(state_files::STATE), &self.latest).is_ok());
        let source = match trouble {
            Some(Error::Write { source, .. }) => source,
            other => std::io::Error::other(other.map_or_else(String::new, |error| error.to_string())),
        };
        let path = self.folder.path().join(folder::WORD);
        Err(Error::NotKept { path, bytes: bytes.len(), source, rescued: rescued.ok().map(|_state| elsewhere) })
    }
}

/// The failures of tests that come after a step.
fn pass_failpoints() {
    let failure = failpoints::pass("step");
    let started = || gpu::choose(gpu::DeviceChoice::Gpu).ok().and_then(|chosen| gpu::started(&chosen));
    match failure {
        Some(Failure::GpuLost) => drop(started().map(|started| started.raw().destroy())),
        Some(Failure::GpuInvalid) => {
            if let Some(started) = started() {
                let usage = wgpu::BufferUsages::STORAGE;
                let size = started.limits().max_buffer_size.saturating_add(4);
                let wrong = wgpu::BufferDescriptor { label: Some("too large"), size, usage, mapped_at_creation: false };
                let _invalid = started.raw().create_buffer(&wrong);
            }
        }
        Some(Failure::GpuMemory) => {
            gpu::report(&wgpu::Error::OutOfMemory { source: "not enough memory left".into() });
        }
        Some(Failure::Hang) => {
            let _waiting = ops::Waiting::begin();
            std::thread::sleep(Duration::from_secs(3600));
        }
        _ => {}
    }
}

/// Where a run is left when its own folder does not take it.
fn rescue_folder(folder: &Path) -> PathBuf {
    let name = files::file_name(folder);
    std::env::temp_dir().join(format!("pseudoword-{name}-{}", std::process::id()))
}
