//! The facade: a loaded model, the embeddings that were added to it, and the jobs that can be started.

use std::rc::Rc;

use burn::tensor::Device;

use crate::config::{SampleConfig, TrainConfig};
use crate::embedding::Embedding;
use crate::event::Event;
use crate::model::{Loading, Model, OpenedModel};
use crate::sample::SampleJob;
use crate::source::Source;
use crate::text::scan::key;
use crate::text::{ClipTokenizer, Rows, Tokenizers};
use crate::train::{RunState, TrainInput, TrainJob};
use crate::weights::Storage;
use crate::{Error, Result};

/// A model in use.
pub struct Session {
    model: Rc<Model>,
    tokenizers: Tokenizers,
    rows: Rows,
    embeddings: Vec<Embedding>,
}

impl Session {
    /// Loads a model onto a device, reporting its progress to `events`.
    pub async fn open(source: Rc<dyn Source>, device: &Device, events: &mut dyn FnMut(Event)) -> Result<Self> {
        Self::load(source, device, Loading::default(), events).await
    }

    /// As [`Session::open`], with the storage of the weights chosen by the caller.
    pub async fn open_with(
        source: Rc<dyn Source>,
        device: &Device,
        storage: Option<Storage>,
        events: &mut dyn FnMut(Event),
    ) -> Result<Self> {
        Self::load(source, device, Loading { storage, ..Loading::default() }, events).await
    }

    /// As [`Session::open`], with everything about loading chosen by the caller.
    pub async fn load(
        source: Rc<dyn Source>,
        device: &Device,
        loading: Loading,
        events: &mut dyn FnMut(Event),
    ) -> Result<Self> {
        Self::of(&OpenedModel::read(source).await?, device, loading, events).await
    }

    /// As [`Session::load`], with a model whose small files have been read.
    pub async fn of(
        opened: &OpenedModel,
        device: &Device,
        loading: Loading,
        events: &mut dyn FnMut(Event),
    ) -> Result<Self> {
        let model = Model::load(opened, device, loading, events).await?;
        let rows = Rows { values: Vec::new(), width: model.config.word_width() };
        Ok(Self { model, tokenizers: opened.tokenizers.clone(), rows, embeddings: Vec::new() })
    }

    /// The model.
    pub fn model(&self) -> &Rc<Model> {
        &self.model
    }

    /// The first text encoder's tokenizer, with the tokens that were added.
    pub fn tokenizer(&self) -> &ClipTokenizer {
        self.tokenizers.first()
    }

    /// The tokenizers of all text encoders, with the tokens that were added.
    pub fn tokenizers(&self) -> &Tokenizers {
        &self.tokenizers
    }

    /// The embeddings that were added.
    pub fn embeddings(&self) -> &[Embedding] {
        &self.embeddings
    }

    /// The vectors of the embeddings that were added, in the order of their ids.
    pub fn rows(&self) -> &Rows {
        &self.rows
    }

    /// Makes an embedding usable in prompts. `file` is for messages.
    ///
    /// # Errors
    /// [`Error::WrongWidth`] if it belongs to another kind of model, [`Error::TokenTaken`] if its token is in use.
    pub fn add_embedding(&mut self, embedding: Embedding, file: &str) -> Result<()> {
        if embedding.width() != self.rows.width {
            return Err(Error::wrong_width(file, embedding.width(), self.rows.width));
        }
        self.tokenizers.add_word(&embedding.token, embedding.vectors())?;
        self.rows.values.extend(embedding.rows());
        self.embeddings.push(embedding);
        Ok(())
    }

    /// Removes an embedding and gives it back; none if no embedding has this token. Jobs that were started keep theirs.
    pub fn remove_embedding(&mut self, token: &str) -> Option<Embedding> {
        let rows = self.tokenizers.remove_word(token)?;
        self.rows.values.drain(rows.start * self.rows.width..rows.end * self.rows.width);
        let removed = key(token);
        let at = self.embeddings.iter().position(|embedding| key(&embedding.token) == removed)?;
        Some(self.embeddings.remove(at))
    }

    /// A prompt without its embeddings, for comparison: each is replaced by the phrase that it started from, or by
    /// nothing if it started from none. None if the prompt has no embedding in it.
    pub fn without(&self, prompt: &str) -> Option<String> {
        without(prompt, self.tokenizer(), &self.embeddings)
    }

    /// Starts generating pictures.
    pub fn sample(&self, prompt: &str, config: &SampleConfig) -> Result<SampleJob> {
        SampleJob::new(self.model.clone(), self.tokenizers.clone(), &self.rows, prompt, config)
    }

    /// Starts training an embedding. Nothing is computed until the job is asked for its first event.
    pub fn train(&self, config: &TrainConfig, input: TrainInput) -> Result<TrainJob> {
        TrainJob::new(self.model.clone(), self.tokenizers.clone(), self.rows.clone(), config, input)
    }

    /// Resumes a run from its state ([`TrainJob::state`]), given what it was started with.
    ///
    /// # Errors
    /// [`Error::Changed`], naming every input that has changed.
    pub fn resume(&self, config: &TrainConfig, input: TrainInput, state: &RunState) -> Result<TrainJob> {
        let mut job = self.train(config, input)?;
        job.restore(state)?;
        Ok(job)
    }
}

/// As [`Session::without`], for embeddings that a tokenizer knows before there is a session.
pub fn without<'a>(
    prompt: &str,
    tokenizer: &ClipTokenizer,
    embeddings: impl IntoIterator<Item = &'a Embedding> + Clone,
) -> Option<String> {
    if tokenizer.prompt(prompt).words.is_empty() {
        return None;
    }
    let init = |token: &str| {
        let embedding = embeddings.clone().into_iter().find(|embedding| embedding.token == token);
        let init = embedding.and_then(|embedding| embedding.metadata.get("init"));
        init.filter(|init| is_phrase(init)).cloned().unwrap_or_default()
    };
    let without = tokenizer.replace_words(prompt, init);
    // An embedding that is left out leaves two spaces behind.
    Some(without.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// Whether the record of what an embedding started from can be written in a prompt: random numbers and other embeddings
/// cannot.
fn is_phrase(init: &str) -> bool {
    !init.starts_with("random (")
        && init.chars().all(|c| c.is_alphanumeric() || c.is_whitespace() || "'-,.".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_phrases_can_stand_in_for_an_embedding() {
        assert!(is_phrase("apple") && is_phrase("a big teddy-bear"));
        assert!(!is_phrase("random (object)") && !is_phrase("<my-cat>"));
    }
}
