//! A run in progress: its job is asked for events, which are reported, and what is learned is saved, come what may.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::bug_report::BugReport;
use super::folder::{self, RunFolder};
use super::lock::Lock;
use super::masks;
use super::request::{LoadedJob, Request};
use super::state_files::{Keeper, ResumableRun, SaveOutcome};
use super::watchdog::{self, Watch};
use crate::base::{failpoints, files};
use crate::cli::args::OnDeviceLost;
use crate::cli::embeddings::read::{self, ActiveEmbedding};
use crate::cli::faults::interrupt::Interrupt;
use crate::cli::faults::on_demand;
use crate::cli::output::{Output, json, span, terminal};
use crate::cli::{exit, panics, settings, wording};
use crate::embedding::Embedding;
use crate::event::{Event, WarningCode};
use crate::train::{RunState, TrainJob, step_together};
use crate::{Error, Result, gpu, ops};

/// Where a run does not go on by itself.
pub(super) enum Rest {
    /// Its next step is due.
    AtStep,
    /// Nothing is left to do, or somebody asks to stop; with what is to be said if it is done.
    Ended(Option<Event>),
}

/// A run, and everybody to whom it reports.
pub(super) struct Run<'a> {
    pub request: Request<'a>,
    pub job: TrainJob,
    /// The embeddings that prompts can use besides the new ones.
    embeddings: Vec<ActiveEmbedding>,
    pub folder: RunFolder,
    pub keeper: Keeper,
    /// The run after the last event, no matter what has become of the job since.
    pub latest: RunState,
    bug_report: Arc<Mutex<BugReport>>,
    /// Whether the embedding cannot be saved during the run, which is reported once.
    unsaved: bool,
    /// Whether the device was started again: once is enough.
    restarted: bool,
    pub out: Output,
}

impl<'a> Run<'a> {
    /// Begins a run in its folder, or resumes the one that is there; reports what the user should know about it.
    pub fn begin(
        mut request: Request<'a>,
        lock: Lock,
        loaded: LoadedJob,
        resumable: Option<ResumableRun>,
        out: Output,
    ) -> Result<Self> {
        let resumable = request.begin_in_scratch(resumable)?;
        let (path, model) = (request.place(), &request.model);
        let about = folder::about(request.config(), &request.pictures, &model.name, model.hash.as_deref());
        let settings = settings::of(request.args, request.config(), request.shared);
        let mut concerns = Vec::new();
        concerns.extend(lock.warning.as_ref().map(|text| Event::warning(WarningCode::NoLock, text)));
        let (folder, keeper) = match resumable {
            Some(ResumableRun { state, warning, keeper }) => {
                let folder = RunFolder::resume(path, lock, about, &settings, state.step())?;
                concerns.extend(warning.map(|text| Event::warning(WarningCode::DamagedState, text)));
                concerns.extend(differences(&state, &folder, &request.device));
                concerns.extend(other_precision(&folder, &request.device));
                (folder, keeper)
            }
            None => (RunFolder::begin(path, lock, about, &settings)?, Keeper::new(path)),
        };
        let bug_report = BugReport::new(request.config(), request.pictures.len(), model, &request.device);
        let LoadedJob { job, embeddings } = loaded;
        let mut run = Self {
            latest: job.snapshot(),
            job,
            embeddings,
            folder,
            keeper,
            bug_report: Arc::new(Mutex::new(bug_report)),
            unsaved: false,
            restarted: false,
            request,
            out,
        };
        run.folder.note(&run.request.device.event());
        if run.folder.products() != "f32" || products(&run.request.device) != "f32" {
            run.folder.note(&precision(&run.request.device));
        }
        // What was found out before the model was loaded has been printed.
        for event in &run.request.concerns.clone() {
            run.note(event)?;
        }
        concerns.iter().try_for_each(|event| run.report(event))?;
        run.folder.forget_masks();
        Ok(run)
    }

    /// Reports an event to everybody, once if it was known before the run.
    pub fn report(&mut self, event: &Event) -> Result<()> {
        if matches!(event, Event::Warning { .. }) && self.request.concerns.contains(event) {
            return Ok(());
        }
        self.note(event)?;
        self.out.event(event)
    }

    /// Writes an event into the run's log and keeps it for a bug report.
    fn note(&mut self, event: &Event) -> Result<()> {
        self.bug_report().note(event);
        match self.folder.note(event) {
            Some(trouble) => self.out.event(&trouble),
            None => Ok(()),
        }
    }

    pub fn bug_report(&self) -> MutexGuard<'_, BugReport> {
        self.bug_report.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the program if the GPU never answers again.
    pub fn watch(&self) -> Option<Watch> {
        if self.request.device.kind == "cpu" && failpoints::pass("watch-cpu").is_none() {
            return None;
        }
        let (report, folder, json) = (self.bug_report.clone(), self.request.folder.clone(), self.request.shared.json);
        let state = self.keeper.path();
        Some(watchdog::watch(move |error| {
            // A thread that waits for the GPU holds no lock.
            let report = report.lock().unwrap_or_else(PoisonError::into_inner);
            let written = report.write(&folder, &rescue_folder(&folder), error);
            let place = written.map_or(String::new(), |path| format!(" (a bug report is in {})", path.display()));
            let text = format!("{}; what was learned is in {}{place}", wording::of_error(error), state.display());
            terminal::say(&format!("error: {text}"));
            if json {
                let _written = json::error_line(exit::status(error), &text);
            }
            std::process::exit(exit::status(error).into());
        }))
    }

    /// Works until the end, which is given, or until the user asks to stop.
    pub async fn drive(&mut self, interrupt: &Interrupt) -> Result<Option<Event>> {
        loop {
            match self.to_step(interrupt).await? {
                Rest::Ended(done) => return Ok(done),
                Rest::AtStep => {
                    if let Err(error) = panics::caught_in(step_together(&mut [&mut self.job])).await {
                        self.recover(error).await?;
                    }
                }
            }
        }
    }

    /// Works until the next step is due, or to the end.
    pub async fn to_step(&mut self, interrupt: &Interrupt) -> Result<Rest> {
        loop {
            match panics::caught_in(self.work_to_step(interrupt)).await {
                Err(error) => self.recover(error).await?,
                rest => return rest,
            }
        }
    }

    /// Goes on after an error, if it can: a GPU that is lost is started again once, where that is wanted.
    ///
    /// # Errors
    /// The same error, if it is the end.
    pub async fn recover(&mut self, error: Error) -> Result<()> {
        match error {
            Error::GpuLost { .. } if self.request.args.on_device_lost == OnDeviceLost::Resume && !self.restarted => {
                self.restarted = true;
                let text = format!("step {}: {error}. The GPU is restarted, once", self.job.step());
                self.report(&Event::warning(WarningCode::GpuLost, text))?;
                self.restart().await
            }
            error => Err(error),
        }
    }

    async fn work_to_step(&mut self, interrupt: &Interrupt) -> Result<Rest> {
        let mut done = None;
        while !interrupt.asked() {
            if self.job.is_at_step() {
                return Ok(Rest::AtStep);
            }
            let Some(event) = panics::caught_in(self.job.next()).await? else { break };
            if !matches!(
                event,
                Event::Denoise { .. } | Event::Load { .. } | Event::Encode { .. } | Event::Trying { .. }
            ) {
                self.latest = self.job.snapshot();
                self.folder.check()?;
            }
            match event {
                // Reported when everything is written.
                event @ Event::Done { .. } => done = Some(event),
                Event::Preview { step, .. } => self.save_preview(step)?,
                // Not in the log, where it would be a hundred lines.
                event @ Event::Trying { .. } => self.out.event(&event)?,
                event @ Event::Masks { .. } => {
                    self.report(&event)?;
                    masks::unsure(&event).iter().try_for_each(|warning| self.report(warning))?;
                    self.save_masks(&event)?;
                }
                Event::Step { step, of, .. } => {
                    self.report(&event)?;
                    self.save_state_if_due()?;
                    let every = self.request.config().save_every;
                    if every > 0 && step % every == 0 && step < of {
                        self.save_embedding()?;
                    }
                    self.publish_if_due()?;
                    on_demand::pass("step");
                }
                event => {
                    self.report(&event)?;
                    if matches!(event, Event::Skipped { .. } | Event::Rewound { .. }) {
                        self.save_state_if_due()?;
                    }
                }
            }
        }
        Ok(Rest::Ended(done))
    }

    /// Starts the device again, and resumes after the last event.
    async fn restart(&mut self) -> Result<()> {
        self.request.restart()?;
        let event = self.request.device.event();
        self.report(&event)?;
        self.bug_report().now_on(&self.request.device);
        self.job = self.request.job(Some(&self.latest), &mut self.out).await?.job;
        Ok(())
    }

    /// Saves the state, if it is time for that. A failure costs nothing as long as the memory holds the run.
    fn save_state_if_due(&mut self) -> Result<()> {
        if !self.keeper.due() {
            return Ok(());
        }
        let bytes = self.latest.to_bytes();
        let mut attempt = self.keeper.save(&bytes);
        if let SaveOutcome::Failed(_) | SaveOutcome::Still = attempt
            && self.folder.make_again().unwrap_or(false)
        {
            let folder = self.folder.path().display();
            let text = format!("the folder {folder} was gone; it has been made again, and training continues");
            self.report(&Event::warning(WarningCode::FolderGone, text))?;
            attempt = self.keeper.save(&bytes);
        }
        match attempt {
            // Not in the log, where it would be every other line.
            SaveOutcome::Saved => self.out.event(&self.saved_state()),
            SaveOutcome::Again(since) => {
                let since = span(since.as_secs_f64());
                let text = format!("the state of the run is saved again, for the first time in {since}");
                self.report(&Event::warning(WarningCode::SavedAgain, text))?;
                self.out.event(&self.saved_state())
            }
            SaveOutcome::Failed(error) => {
                let needed = bytes.len();
                let text = format!(
                    "{error} ({needed} bytes are needed); training continues in memory, and saving will be tried again"
                );
                self.report(&Event::warning(WarningCode::NotSaved, text))
            }
            SaveOutcome::Still => Ok(()),
        }
    }

    pub fn saved_state(&self) -> Event {
        Event::Saved { what: "state".to_owned(), path: self.keeper.path().display().to_string() }
    }

    /// Saves the embeddings as they are now. A failure is reported once, and is no reason to stop.
    fn save_embedding(&mut self) -> Result<()> {
        let saved = self.folder.save_embeddings(&self.embeddings());
        let known = std::mem::replace(&mut self.unsaved, saved.is_err());
        match saved {
            Ok(paths) => paths.iter().try_for_each(|path| {
                self.report(&Event::Saved { what: "checkpoint".to_owned(), path: path.display().to_string() })
            }),
            Err(_) if known => Ok(()),
            Err(error) => {
                self.report(&Event::warning(WarningCode::NotSaved, format!("{error}; training continues in memory")))
            }
        }
    }

    /// Saves a sheet of what of the pictures counts.
    fn save_masks(&mut self, masks: &Event) -> Result<()> {
        let Some(sheet) = masks::sheet(&self.job.take_masked(), masks) else { return Ok(()) };
        match self.folder.save_masks(&sheet) {
            Ok(saved) => self.report(&saved),
            Err(error) => self.report(&Event::warning(WarningCode::NotDrawn, format!("{error}; training continues"))),
        }
    }

    /// Saves the preview that is ready.
    fn save_preview(&mut self, step: u32) -> Result<()> {
        let Some((_, picture)) = self.job.take_preview() else { return Ok(()) };
        let model = (self.request.model.name.as_str(), self.request.model.hash.as_deref());
        let text = self.job.preview_label(step, &picture, model, &read::hashes(&self.embeddings));
        match self.folder.save_preview(step, &picture, &text) {
            Ok(path) => self.report(&Event::Preview { step, path: Some(path.display().to_string()) }),
            Err(error) => self.report(&Event::warning(WarningCode::NoPreview, format!("{error}; training continues"))),
        }
    }

    /// The embeddings as they are now. Their model is named without the path, which is private.
    pub fn embeddings(&self) -> Vec<Embedding> {
        let mut embeddings = self.job.embeddings();
        for embedding in &mut embeddings {
            embedding.metadata.insert("base-model".to_owned(), self.request.model.name.clone());
        }
        embeddings
    }
}

/// What differs from how the run was before, and may make its numbers differ.
fn differences(state: &RunState, folder: &RunFolder, device: &gpu::Chosen) -> Vec<Event> {
    let mut events = Vec::new();
    let (was, now) = (state.version(), env!("CARGO_PKG_VERSION"));
    if was != now {
        let text = format!("the run was started with pseudoword {was}, this is {now}: results may differ");
        events.push(Event::warning(WarningCode::OtherVersion, text));
    }
    if let Some((kind, name)) =
        folder.device().filter(|(kind, name)| (kind.as_str(), name) != (device.kind, &device.name))
    {
        let text = format!("the run used {kind}: {name} before: results may differ slightly here");
        events.push(Event::warning(WarningCode::OtherDevice, text));
    }
    events
}

/// In which precision products are made on a device.
fn products(device: &gpu::Chosen) -> &'static str {
    if ops::half_products_of(&device.device).is_some() { "f16" } else { "f32" }
}

/// The same as an entry of the run's log.
fn precision(device: &gpu::Chosen) -> Event {
    let way = ops::half_products_of(&device.device).map_or_else(|| "in f32".to_owned(), ops::HalfMethod::name);
    Event::Precision { products: products(device).to_owned(), reason: way }
}

/// A warning where the run made its products in another precision before.
fn other_precision(folder: &RunFolder, device: &gpu::Chosen) -> Option<Event> {
    let (was, now) = (folder.products(), products(device));
    let text = format!(
        "the run made matrix products in {was} before and makes them in {now} here: results may differ slightly"
    );
    (was != now).then(|| Event::warning(WarningCode::OtherDevice, text))
}

/// Where a run is left when its own folder cannot be written.
pub(super) fn rescue_folder(folder: &Path) -> PathBuf {
    let name = files::file_name(folder);
    std::env::temp_dir().join(format!("pseudoword-{name}-{}", std::process::id()))
}
