//! What `pseudoword train` is asked for: read, checked and gathered once, for the run, the dry run and the run that
//! resumes.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::folder;
use super::lock::Lock;
use super::names;
use super::pictures;
use super::scratch::Scratch;
use super::state_files::ResumableRun;
use super::workplace::Workplace;
use crate::base::files;
use crate::cli::args::{Captions, OnDeviceLost, Shared, TrainArgs};
use crate::cli::embeddings::read::{self, ActiveEmbedding, EmbeddingArgument};
use crate::cli::load::ModelId;
use crate::cli::outlook::Outlook;
use crate::cli::output::Output;
use crate::cli::wording::quoted;
use crate::config::{Checkpointing, Masks, TrainConfig, WordSettings};
use crate::event::{Event, WarningCode};
use crate::gpu::Chosen;
use crate::model::{Loading, ModelConfig, OpenedModel};
use crate::plan::{MemoryPlan, WeightBytes};
use crate::session::Session;
use crate::text::ClipTokenizer;
use crate::text::check_token;
use crate::train::{RunState, TrainInput, TrainJob, usual};
use crate::{Error, Result};

/// The folder of the folders of runs, where no other is given.
pub(super) const RUNS: &str = "runs";

/// Everything that a run needs to begin, and to begin again on another device.
pub(super) struct Request<'a> {
    pub args: &'a TrainArgs,
    pub shared: &'a Shared,
    /// The settings, with what the model decides, or the run that is in the folder.
    pub config: TrainConfig,
    /// Which of them were left open, and what they are usual for.
    pub usual: Option<String>,
    pub device: Chosen,
    workplace: &'a Workplace,
    /// How many times the device had been started again when this began to use it.
    pub restarts: u32,
    opened: Rc<OpenedModel>,
    /// Its hash is known once it has been loaded.
    pub model: ModelId,
    embeddings: Vec<EmbeddingArgument>,
    /// How many stretches the prompt of the previews has.
    stretches: usize,
    input: TrainInput,
    /// The names of the pictures.
    pub pictures: Vec<String>,
    /// What the user should know about what was read and asked for: reported, for the run's log.
    pub concerns: Vec<Event>,
    pub folder: PathBuf,
    /// Where the run works, if not there.
    pub scratch: Option<Scratch>,
    /// Ours until the end; none for a dry run, which writes nothing.
    pub lock: Option<Lock>,
    /// The run that is in the folder.
    pub resumable: Option<ResumableRun>,
}

/// A job, and the embeddings that its prompts can use besides its own.
pub(super) struct LoadedJob {
    pub job: TrainJob,
    pub embeddings: Vec<ActiveEmbedding>,
}

impl<'a> Request<'a> {
    /// Finds out what is wrong before a model is loaded: the only place that reads, checks and gathers.
    ///
    /// # Errors
    /// What is wrong with the options, the model, the embeddings, the pictures or the folder.
    pub async fn prepare(
        args: &'a TrainArgs,
        shared: &'a Shared,
        workplace: &'a Workplace,
        out: &mut Output,
    ) -> Result<Self> {
        let asked = &args.config;
        check_words(asked)?;
        let embedding_files = names::embeddings(&asked.tokens());
        let folder = args.out.clone().unwrap_or_else(|| default_folder(&asked.tokens()));
        files::check_writable(&folder)?;
        let scratch = args.scratch.as_deref().map(|place| Scratch::new(place, &folder)).transpose()?;
        // What this program has begun itself is gone on with.
        let overwrite = args.overwrite && !workplace.is_put_aside(&folder);
        let find = || match &scratch {
            Some(scratch) if !overwrite => scratch.find(&embedding_files, args.resume),
            _ => folder::find(&folder, &embedding_files, overwrite, args.resume),
        };
        if let Some(record) = &args.record {
            check_record(record, args.overwrite)?;
        }
        let embeddings = read::given(&args.embeddings, shared, out).await?;
        let (mut input, mut concerns) = pictures::gather(args)?;
        let found = crate::train::find_masks(asked, &mut input)?;
        // A run says it itself, once it has looked for others.
        concerns.extend(found.filter(|_| args.dry_run));
        let device = workplace.device(shared)?;
        let opened = workplace.model(shared, &planned(asked, 1, workplace.together()), out).await?;
        // What another process is writing there is found out once the folder is ours.
        let begun = find().ok().flatten();
        let as_begun = |run: &ResumableRun| run.state.as_begun(asked, opened.config.architecture);
        let open = begun.as_ref().map_or_else(|| asked.clone(), as_begun);
        let usual = usual::in_words(&open, &input, &opened.config);
        let config = usual::decided(&open, &opened.config);
        let config = &usual::with_context_weight(&config, &input, opened.config.usual_family());
        let mut tokenizers = read::tokenizers(&embeddings, &opened)?;
        crate::train::check(config, &input, &opened.config, tokenizers.first())?;
        for (word, settings) in config.words().zip(WordSettings::OF_EACH) {
            let added = tokenizers.add_word(word.token, word.vectors as usize);
            added.map_err(|error| otherwise(error, settings))?;
        }
        if let Some(replay) = &input.replay {
            replay.check(config, &opened.config)?;
        }
        let positions = crate::train::side(config, &opened.config) as usize / opened.config.vae.pixels_per_latent();
        crate::train::check_masks(config, &input, [positions; 2])?;
        concerns.extend(crate::train::about_pictures(&input, crate::train::side(config, &opened.config)));
        concerns.extend(crate::train::concerns(config, &input, &tokenizers)?);
        concerns.extend(idle_options(args, &device));
        concerns.extend(unused(config, &input, &embeddings, tokenizers.first()));
        let lock = if args.dry_run { None } else { Some(Lock::take(&folder, &mut |text| out.message(text))?) };
        let resumable = find()?;
        if let (Some(scratch), Some(run)) = (&scratch, &resumable)
            && scratch.has(run)
        {
            let (left, home) = (scratch.folder().display(), folder.display());
            out.message(&format!("going on from what was left in {left}, which is newer than what is in {home}"));
        }
        if resumable.as_ref().is_some_and(|run| !run.state.knows_masks()) {
            // It was begun without masks, and goes on without them.
            concerns.retain(|event| !matches!(event, Event::Masks { .. }));
            input.pictures.iter_mut().chain(&mut input.unseen).for_each(|picture| picture.mask = None);
        }
        if resumable.is_some() && args.record.is_some() {
            let text =
                "a run that resumes cannot be recorded: the choices of its first steps are gone; leave out --record";
            return Err(Error::Usage(text.to_owned()));
        }
        out.event(&device.event())?;
        if args.captions == Captions::Auto && input.pictures.iter().any(|picture| picture.caption.is_some()) {
            out.message("learning with the captions beside the pictures (--captions off turns this off)");
        }
        concerns.iter().try_for_each(|event| out.event(event))?;
        // A dry run has it among its results.
        if let Some(usual) = usual.as_ref().filter(|_| !args.dry_run) {
            out.message(usual);
        }
        Ok(Self {
            model: ModelId::named(&*opened.source),
            pictures: input.pictures.iter().map(|picture| picture.picture.name.clone()).collect(),
            args,
            shared,
            device,
            workplace,
            restarts: workplace.restarts(),
            opened,
            embeddings,
            stretches: crate::train::preview_stretches(config, &tokenizers),
            config: config.clone(),
            usual,
            input,
            concerns,
            folder,
            scratch,
            lock,
            resumable,
        })
    }

    pub fn config(&self) -> &TrainConfig {
        &self.config
    }

    pub fn samples_per_step(&self) -> u32 {
        usual::samples_per_step(&self.config, &self.opened.config)
    }

    pub fn rate(&self) -> f64 {
        usual::rate(&self.config, &self.opened.config)
    }

    /// Where the run works.
    pub fn place(&self) -> &Path {
        self.scratch.as_ref().map_or(&self.folder, Scratch::folder)
    }

    /// Puts into the scratch folder, if there is one, what the run goes on from.
    pub fn begin_in_scratch(&mut self, resumable: Option<ResumableRun>) -> Result<Option<ResumableRun>> {
        match &mut self.scratch {
            Some(scratch) => scratch.fill(resumable, &names::embeddings(&self.config.tokens())),
            None => Ok(resumable),
        }
    }

    /// The state of the run that is in the folder.
    pub fn state(&self) -> Option<&RunState> {
        self.resumable.as_ref().map(|resumable| &resumable.state)
    }

    /// What the job learns from; large, so it is handed over if it will not be needed again.
    pub fn input(&mut self) -> TrainInput {
        match self.args.on_device_lost {
            OnDeviceLost::Stop => std::mem::take(&mut self.input),
            OnDeviceLost::Resume => self.input.clone(),
        }
    }

    /// Loads the model onto the device, with the embeddings that prompts can use.
    pub async fn session(&mut self, out: &mut Output) -> Result<(Session, Vec<ActiveEmbedding>)> {
        let planned = planned(&self.config, self.stretches, self.workplace.together());
        let outlook = Outlook::new(self.shared, &self.device, &planned);
        let mut session = self.workplace.session(&outlook, &self.opened, self.loading(), out).await?;
        self.model.hash.clone_from(&session.model().unet_hash);
        let embeddings = read::add_to(&mut session, &self.embeddings, &self.model, out).await?;
        Ok((session, embeddings))
    }

    /// Loads the model and makes the job, at its beginning or where a state has it.
    pub async fn job(&mut self, state: Option<&RunState>, out: &mut Output) -> Result<LoadedJob> {
        let (session, embeddings) = self.session(out).await?;
        let input = self.input();
        let job = match state {
            Some(state) => session.resume(self.config(), input, state).map_err(|error| self.advised(error))?,
            None => session.train(self.config(), input)?,
        };
        Ok(LoadedJob { job, embeddings })
    }

    /// Starts the device again after it was lost.
    ///
    /// # Errors
    /// [`Error::NoGpu`] if it does not come back.
    pub fn restart(&mut self) -> Result<()> {
        self.device = self.workplace.restart(self.restarts)?;
        self.restarts = self.workplace.restarts();
        Ok(())
    }

    /// What of the model a run needs.
    pub fn loading(&self) -> Loading {
        Loading { decoder: self.config().preview_every > 0, hash: true, ..Loading::default() }
    }

    /// An error with what to do about inputs that changed.
    fn advised(&self, error: Error) -> Error {
        match error {
            Error::Changed { step, mut changes } => {
                let folder = self.folder.display();
                changes.push(format!(
                    "(the run is in {folder}: give another --out to leave it alone, or --overwrite to start over there)"
                ));
                Error::Changed { step, changes }
            }
            other => other,
        }
    }
}

/// Refuses words that cannot be learned, as far as that is seen without a file or a model.
///
/// # Errors
/// [`Error::OutOfRange`], [`Error::BadToken`] and others about settings.
pub(super) fn check_words(asked: &TrainConfig) -> Result<()> {
    crate::train::check_numbers(asked)?;
    for (token, settings) in asked.tokens().into_iter().zip(WordSettings::OF_EACH) {
        let checked = check_token(token).and_then(|()| crate::train::file_can_hold(token));
        checked.map_err(|error| otherwise(error, settings))?;
    }
    Ok(())
}

/// An error about the token of a word, with another that could be given instead.
fn otherwise(error: Error, settings: WordSettings) -> Error {
    error.called_otherwise(|name| format!("--{} {}", settings.token.key(), quoted(name)))
}

/// How much memory runs will need of which so many share a pass, and whose previews have a prompt of so many stretches.
pub(super) fn planned(
    config: &TrainConfig,
    stretches: usize,
    together: usize,
) -> impl Fn(&ModelConfig, WeightBytes, bool) -> Result<MemoryPlan> {
    move |model, weights, on_cpu| {
        let [size, passes] = usual::batch(config, model);
        // What each remembers is decided by what it would be alone.
        let checkpointing =
            if crate::train::recomputes(config, model) { Checkpointing::On } else { Checkpointing::Off };
        let at_once = TrainConfig {
            batch_size: Some(size.saturating_mul(together as u32)),
            gradient_accumulation: Some(passes),
            checkpointing,
            ..config.clone()
        };
        crate::train::memory_plan(&at_once, model, weights, stretches, on_cpu)
    }
}

/// Options of this command that others make useless.
fn idle_options(args: &TrainArgs, device: &Chosen) -> Vec<Event> {
    let mut idle = Vec::new();
    if args.on_device_lost == OnDeviceLost::Resume && device.kind == "cpu" {
        idle.push("--on-device-lost resume has no effect: the processor is not lost as a GPU may be");
    }
    if args.dry_run && args.record.is_some() {
        idle.push("--record has no effect: a dry run writes nothing");
    }
    if args.captions == Captions::On && args.pictures.is_empty() && args.unseen.is_empty() {
        idle.push("--captions on has no effect: there are no pictures");
    }
    if args.mask_folder.is_some() && args.config.masks == Some(Masks::Off) {
        idle.push("--mask-folder has no effect: --masks is off");
    }
    if args.captions == Captions::Made && args.replay.is_some() {
        idle.push("--captions made has no effect: the captions come from --replay");
    }
    if args.template.is_some() && args.replay.is_some() {
        idle.push("--template has no effect: the sentences come from --replay");
    }
    idle.into_iter().map(|text| Event::warning(WarningCode::NoEffect, text)).collect()
}

/// Warnings about embeddings that were given and are in no sentence of the run.
fn unused(
    config: &TrainConfig,
    input: &TrainInput,
    given: &[EmbeddingArgument],
    tokenizer: &ClipTokenizer,
) -> Vec<Event> {
    let texts = crate::train::texts(config, input);
    let named: Vec<&str> = texts.iter().flat_map(|text| tokenizer.named(text)).collect();
    let given = given.iter().filter(|given| !named.contains(&given.embedding.token.as_str()));
    let warned = given.map(|given| {
        let (token, file) = (&given.embedding.token, &given.file);
        let text = format!(
            "the embedding {shown} ({file}) is in no caption and not in the prompt of the previews, so it is not used",
            shown = crate::base::text::quoted(token)
        );
        Event::warning(WarningCode::UnusedEmbedding, text)
    });
    warned.collect()
}

/// Refuses a file of choices that cannot be written.
fn check_record(record: &Path, overwrite: bool) -> Result<()> {
    if record.exists() && !overwrite {
        let text = format!("{} exists already: give --record another name, or --overwrite", record.display());
        return Err(Error::Usage(text));
    }
    files::check_writable(files::folder_of(record))?;
    Ok(())
}

/// `runs/` and what of the tokens can be in a file's name.
fn default_folder(tokens: &[&str]) -> PathBuf {
    Path::new(RUNS).join(names::stem(tokens))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_names_its_folder() {
        assert_eq!(default_folder(&["<my-peach>"]), Path::new("runs/my-peach"));
        assert_eq!(default_folder(&["<fox>", "<ink>"]), Path::new("runs/fox-ink"));
        assert_eq!(default_folder(&["../../*"]), Path::new("runs/word"));
        assert_eq!(default_folder(&["<CON>"]), Path::new("runs/CON-word"));
        let long = "\u{1d400}".repeat(300);
        assert_eq!(default_folder(&[&long]).as_os_str().len(), 5 + 60 * 4);
        assert_eq!(default_folder(&[&long, &long]).as_os_str().len(), 5 + 60 * 4);
    }
}
