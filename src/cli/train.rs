//! `pseudoword train`: pictures in, a file with a word out.

use std::path::{Path, PathBuf};

use super::args::{Shared, TrainArgs};
use super::folder::{RunFolder, about};
use super::interrupt::Interrupt;
use super::label::Label;
use super::open::{self, ModelId, Word};
use super::output::Output;
use super::{files, find, pictures};
use crate::config::{SampleConfig, TrainConfig};
use crate::embedding::Embedding;
use crate::event::Event;
use crate::model::ModelConfig;
use crate::plan::{self, Plan};
use crate::text::ClipTokenizer;
use crate::train::TrainJob;
use crate::{Error, Result};

/// A run and everybody who is told about it.
struct Run<'a> {
    job: TrainJob,
    config: &'a TrainConfig,
    model: ModelId,
    words: Vec<Word>,
    folder: RunFolder,
    record: Option<&'a Path>,
    out: &'a mut Output,
}

/// Trains.
pub(super) async fn run(args: &TrainArgs, shared: &Shared, out: &mut Output) -> Result<()> {
    // Whatever can be wrong is found out before the model is loaded.
    let source = find::model(shared, out).await?;
    let config = ModelConfig::read(&*source).await?;
    let embeddings = open::embeddings(&args.embeddings, shared, out).await?;
    let mut tokenizer =
        ClipTokenizer::load(&*source, config.text.vocab_size, config.text.max_position_embeddings).await?;
    for (embedding, ..) in &embeddings {
        tokenizer.add_word(&embedding.token, embedding.vectors())?;
    }
    let phrase_only = TrainConfig {
        init: args.config.init.clone().filter(|init| !pictures::names_a_file(init)),
        ..args.config.clone()
    };
    crate::train::check(&phrase_only, &config, &tokenizer)?;
    tokenizer.add_word(&args.config.token, args.config.vectors.max(1) as usize)?;
    let side = args.config.resolution.unwrap_or_else(|| config.resolution());
    let gathered = pictures::gather(args, side)?;
    let path = args.out.clone().unwrap_or_else(|| default_folder(&args.config.token));
    RunFolder::check(&path, args.overwrite)?;
    if let Some(record) = &args.record {
        if record.exists() && !args.overwrite {
            let text = format!("{} is there already: give --record another name, or --overwrite", record.display());
            return Err(Error::Usage(text));
        }
        files::check_writable(files::folder_of(record))?;
    }

    let interrupt = Interrupt::listen(shared.quiet)?;
    let model = ModelId::of(&*source).await?;
    let job = plan::Job { height: side, width: side, batch: args.config.batch_size };
    let recompute = crate::train::recomputes(&args.config, &config);
    let previews = args.config.preview_every > 0;
    let planned =
        |model: &ModelConfig, weights, on_cpu| Plan::training(model, weights, job, recompute, previews, on_cpu);
    let (mut session, chosen) = open::session(shared, source, &planned, out).await?;
    let words = open::add_words(&mut session, embeddings, &model, out)?;
    let names: Vec<String> = gathered.input.pictures.iter().map(|picture| picture.picture.name.clone()).collect();
    let job = session.train(&args.config, gathered.input)?;

    let about = about(&args.config, &names, &model.name, model.hash.as_deref());
    let mut folder = RunFolder::create(&path, &about)?;
    folder.note(&chosen.event())?;
    let mut run = Run { job, config: &args.config, model, words, folder, record: args.record.as_deref(), out };
    for event in &gathered.events {
        run.tell(event)?;
    }
    let ended = run.drive(&interrupt).await;
    run.end(ended)
}

/// `runs/` and what of the token can be in a file's name.
fn default_folder(token: &str) -> PathBuf {
    let stem: String = token.chars().filter(|c| c.is_alphanumeric() || "-_".contains(*c)).collect();
    Path::new("runs").join(if stem.is_empty() { "word" } else { &stem })
}

impl Run<'_> {
    fn tell(&mut self, event: &Event) -> Result<()> {
        self.folder.note(event)?;
        self.out.event(event)
    }

    /// Works until the end, which is given, or until the user asks to stop.
    async fn drive(&mut self, interrupt: &Interrupt) -> Result<Option<Event>> {
        let mut done = None;
        while !interrupt.asked() {
            match self.job.next().await? {
                None => break,
                // Told when everything is written.
                Some(event @ Event::Done { .. }) => done = Some(event),
                Some(Event::Preview { step, .. }) => self.preview(step)?,
                Some(event) => {
                    self.tell(&event)?;
                    if let Event::Step { step, of, .. } = event
                        && self.config.save_every > 0
                        && step % self.config.save_every == 0
                        && step < of
                    {
                        self.save("checkpoint")?;
                    }
                }
            }
        }
        Ok(done)
    }

    /// Saves the preview that is ready.
    fn preview(&mut self, step: u32) -> Result<()> {
        let Some((_, picture)) = self.job.take_preview() else { return Ok(()) };
        // As the job makes them: the defaults with the run's seed.
        let config = SampleConfig { seed: self.config.seed, ..SampleConfig::default() };
        let mut words = self.words.clone();
        let word = self.word();
        words.push(Word { token: word.token.clone(), init: None, hash: word.hash(), model_hash: None });
        let label = Label {
            prompt: &self.job.preview_prompt(),
            config: &config,
            seed: Some(config.seed),
            size: picture.dimensions(),
            model: &self.model,
            words: &words,
        };
        let mut text = label.text();
        text.push(("training step".to_owned(), step.to_string()));
        let path = self.folder.save_preview(step, &picture, &text)?;
        self.tell(&Event::Preview { step, path: Some(path.display().to_string()) })
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

    fn save(&mut self, what: &str) -> Result<PathBuf> {
        let path = self.folder.save_word(&self.word())?;
        self.tell(&Event::Saved { what: what.to_owned(), path: path.display().to_string() })?;
        Ok(path)
    }

    /// Saves what there is, however it came to an end, and says so.
    fn end(mut self, ended: Result<Option<Event>>) -> Result<()> {
        let step = self.job.step();
        // Before the first step the word is its initialiser, which nobody needs to keep.
        let saved = if step > 0 { self.leave().map(Some) } else { Ok(None) };
        let done = match ended {
            Ok(done) => done,
            Err(error) => {
                if let Ok(Some(path)) = &saved {
                    self.out.say(&format!("the word as it was after step {step}: {}", path.display()));
                }
                return Err(error);
            }
        };
        let saved = saved?;
        let path = saved.as_ref().map(|path| path.display().to_string());
        match (&done, &path) {
            (Some(done), _) => self.tell(done)?,
            (None, Some(path)) => self.out.say(&format!("stopped after step {step} of {}: {path}", self.config.steps)),
            (None, None) => self.out.say("stopped before the first step: nothing was learned, nothing is saved"),
        }
        if let Some(path) = path {
            self.out.told(&path)?;
        }
        done.map(drop).ok_or(Error::Interrupted)
    }

    /// Writes the word, then what was asked for beside it, then what is nice to have.
    fn leave(&mut self) -> Result<PathBuf> {
        let path = self.save("embedding")?;
        if let (Some(record), Some(bytes)) = (self.record, self.job.record()) {
            files::write_whole(record, &bytes)?;
            self.tell(&Event::Saved { what: "record".to_owned(), path: record.display().to_string() })?;
        }
        let title = format!("{}: {} steps on {}", self.config.token, self.job.step(), self.model.name);
        for event in self.folder.draw(&title, &self.job.preview_prompt())? {
            self.tell(&event)?;
        }
        Ok(path)
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
