//! The facade: a loaded model, the embeddings that were added to it, and the jobs that can be started.

mod list;

use std::cell::OnceCell;
use std::rc::Rc;

use burn::tensor::Device;
use serde::Serialize;

use crate::base::math::mean_norm;
use crate::base::text::quoted;
use crate::config::{PromptSyntax, SampleConfig, TrainConfig};
use crate::embedding::{Embedding, Vectors};
use crate::event::Event;
use crate::model::{Loading, Model, OpenedModel};
use crate::sample::SampleJob;
use crate::source::Source;
use crate::text::scan::key;
use crate::text::{ClipTokenizer, Rows, TextEncoder, Tokenizers, Vocabulary};
use crate::train::{Pace, RunState, TrainInput, TrainJob, file_can_hold};
use crate::weights::Storage;
use crate::{Error, Result};
pub use list::{ListedWord, TrainList};

/// Words of the vocabulary that are named as the nearest of an embedding.
const NEAREST: usize = 5;

/// A model in use. A clone shares the model, and has embeddings of its own.
#[derive(Clone)]
pub struct Session {
    model: Rc<Model>,
    tokenizers: Tokenizers,
    rows: Rows,
    embeddings: Vec<Embedding>,
    /// How long the vector of a word usually is for each text encoder, once that was asked for.
    typical: OnceCell<Vec<f64>>,
}

/// What an embedding is beside a model's own words.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AboutEmbedding {
    /// What it is called.
    pub token: String,
    /// How many vectors it has.
    pub vectors: usize,
    /// Width of a vector for the first text encoder.
    pub width: usize,
    /// Widths of a vector for each text encoder.
    pub widths: Vec<usize>,
    /// The family of models that it is for.
    pub family: &'static str,
    /// Mean Euclidean norm of its vectors: of those for the text encoder whose own words they are least like in this.
    pub norm: f64,
    /// The median of the vocabulary's, for the same text encoder.
    pub typical: f64,
}

/// A word of the vocabulary that is near.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NearWord {
    /// Its spelling.
    pub word: String,
    /// The cosine between its vector and the nearest one of the embedding.
    pub similarity: f64,
    /// The text encoder whose vocabulary it is from, where there are several: `clip_l` or `clip_g`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encoder: Option<&'static str>,
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
        Ok(Self {
            model,
            tokenizers: opened.tokenizers.clone(),
            rows,
            embeddings: Vec::new(),
            typical: OnceCell::new(),
        })
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
        self.model.config.check_embedding(&embedding, file)?;
        self.tokenizers.add_word(&embedding.token, embedding.vectors())?;
        let of_encoder = |vectors: &Vectors| Rows { values: vectors.rows.clone(), width: vectors.width };
        let rows: Vec<Rows> = embedding.encoders.iter().map(of_encoder).collect();
        self.rows.values.extend(Rows::side_by_side(&rows).values);
        self.embeddings.push(embedding);
        Ok(())
    }

    /// Lets prompts call an embedding like its file, too ([`ClipTokenizer::call_by_file`]).
    pub fn call_by_file(&mut self, token: &str, stem: &str) {
        self.tokenizers.call_by_file(token, stem);
    }

    /// Removes an embedding and gives it back; none if no embedding has this token. Jobs that were started keep theirs.
    pub fn remove_embedding(&mut self, token: &str) -> Option<Embedding> {
        let rows = self.tokenizers.remove_word(token)?;
        self.rows.values.drain(rows.start * self.rows.width..rows.end * self.rows.width);
        let removed = key(token);
        let at = self.embeddings.iter().position(|embedding| key(&embedding.token) == removed)?;
        Some(self.embeddings.remove(at))
    }

    /// The embedding of a token.
    ///
    /// # Errors
    /// [`Error::Usage`] if none was added that is called so.
    pub fn embedding(&self, token: &str) -> Result<&Embedding> {
        let embedding = self.embeddings.iter().find(|embedding| embedding.token == token);
        embedding.ok_or_else(|| Error::Usage(format!("there is no embedding {shown}", shown = quoted(token))))
    }

    /// Calls an embedding otherwise from now on. Jobs that were started keep its name.
    ///
    /// # Errors
    /// [`Error::Usage`] if there is none, [`Error::BadToken`] and [`Error::TokenTaken`] if it cannot be called so; then it
    /// keeps its name.
    pub fn rename_embedding(&mut self, token: &str, other: &str) -> Result<()> {
        let before = self.embedding(token)?.clone();
        file_can_hold(other)?;
        self.remove_embedding(token);
        let renamed = Embedding { token: other.to_owned(), ..before.clone() };
        // Its own name is free now, so that a letter of it may become a capital.
        self.add_embedding(renamed, other).or_else(|refused| self.add_embedding(before, token).and(Err(refused)))
    }

    /// What an embedding that was added is beside the words of the model.
    ///
    /// # Errors
    /// [`Error::Usage`] if there is none of this token.
    pub fn about(&self, token: &str) -> Result<AboutEmbedding> {
        let embedding = self.embedding(token)?;
        let medians = || self.model.text_encoders.iter().map(|encoder| encoder.model.median_row_norm()).collect();
        let typical = self.typical.get_or_init(medians).iter().copied();
        let norms = embedding.encoders.iter().map(|vectors| mean_norm(&vectors.rows, vectors.width));
        let apart = |(norm, typical): &(f64, f64)| (norm / typical).ln().abs();
        let (norm, typical) = norms.zip(typical).max_by(|a, b| apart(a).total_cmp(&apart(b))).unwrap_or_default();
        let widths = embedding.widths();
        Ok(AboutEmbedding {
            token: embedding.token.clone(),
            vectors: embedding.vectors(),
            width: embedding.width(),
            family: Embedding::family(&widths),
            widths,
            norm,
            typical,
        })
    }

    /// The words of each text encoder's vocabulary that are nearest to one of an embedding's vectors for it, best first. It is
    /// compared with each of them, which a browser takes a good part of a second for where there are 49,408.
    ///
    /// # Errors
    /// [`Error::Usage`] if there is none of this token.
    pub fn nearest(&self, token: &str) -> Result<Vec<NearWord>> {
        let embedding = self.embedding(token)?;
        let several = embedding.encoders.len() > 1;
        let near = |(encoder, vectors): (&TextEncoder, &Vectors)| {
            let nearest = Vocabulary::of(encoder).nearest(&vectors.rows, NEAREST).into_iter();
            let encoder = several.then(|| vectors.encoder.name());
            nearest.map(|(word, similarity)| NearWord { word, similarity, encoder }).collect::<Vec<_>>()
        };
        Ok(self.model.text_encoders.iter().zip(&embedding.encoders).flat_map(near).collect())
    }

    /// A prompt without its embeddings, for comparison: each is replaced by the phrase that it started from, or by
    /// nothing if it started from none. None if the prompt has no embedding in it.
    pub fn without(&self, prompt: &str, syntax: PromptSyntax) -> Option<String> {
        without(prompt, syntax, self.tokenizer(), &self.embeddings)
    }

    /// Starts generating pictures.
    pub fn sample(&self, prompt: &str, config: &SampleConfig) -> Result<SampleJob> {
        SampleJob::new(self.model.clone(), self.tokenizers.clone(), &self.rows, prompt, config)
    }

    /// Starts training an embedding. Nothing is computed until the job is asked for its first event.
    pub fn train(&self, config: &TrainConfig, input: TrainInput) -> Result<TrainJob> {
        TrainJob::new(self.model.clone(), self.tokenizers.clone(), self.rows.clone(), config, input)
    }

    /// Starts training embeddings, one for each of a list of words, several at a time: what [`TrainList::next`] gives are the
    /// events of all of them. A word that cannot be made ready is an error in its place, and ends nothing but itself.
    pub fn train_list<I>(&self, words: I, pace: Pace) -> TrainList<I::IntoIter>
    where
        I: IntoIterator<Item = Result<ListedWord>>,
    {
        TrainList::new(self.clone(), words.into_iter(), pace)
    }

    /// Resumes a run from its state ([`TrainJob::state`]), given what it was started with.
    ///
    /// # Errors
    /// [`Error::Changed`], naming every input that has changed.
    pub fn resume(&self, config: &TrainConfig, input: TrainInput, state: &RunState) -> Result<TrainJob> {
        let config = state.as_begun(config, self.model.config.architecture);
        let mut job = self.train(&config, state.input_as_begun(input))?;
        job.restore(state)?;
        Ok(job)
    }
}

/// As [`Session::without`], for embeddings that a tokenizer knows before there is a session.
pub fn without<'a>(
    prompt: &str,
    syntax: PromptSyntax,
    tokenizer: &ClipTokenizer,
    embeddings: impl IntoIterator<Item = &'a Embedding> + Clone,
) -> Option<String> {
    if tokenizer.read(prompt, syntax).words.is_empty() {
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

    #[test]
    fn an_embedding_is_described_and_renamed() {
        let (device, mut quiet) = (crate::gpu::cpu(), |_| ());
        let session = Session::open(Rc::new(crate::mini::source()), &device, &mut quiet);
        let mut session = pollster::block_on(session).unwrap();
        let apple = session.tokenizer().encode("apple")[0] as usize;
        let row = session.model().text().model.token_embedding.row(apple);
        let twice = row.iter().map(|value| 2.0 * value).collect();
        session.add_embedding(Embedding::new("<twice>", row.len(), twice), "twice.pt").unwrap();
        session.add_embedding(Embedding::new("<once>", row.len(), row.clone()), "once.pt").unwrap();
        let about = session.about("<twice>").unwrap();
        assert_eq!((about.vectors, about.width, about.family), (1, row.len(), "pseudoword's mini model"));
        let nearest = session.nearest("<twice>").unwrap();
        assert_eq!(nearest[0].word, "apple");
        assert!((about.norm / session.about("<once>").unwrap().norm - 2.0).abs() < 1e-6, "{about:?}");
        assert!(about.typical > 0.0 && nearest.len() == NEAREST);

        let prompt = |session: &Session, text: &str| session.tokenizer().prompt(text).words;
        session.rename_embedding("<twice>", "<Double>").unwrap();
        session.rename_embedding("<Double>", "<double>").unwrap();
        assert_eq!(prompt(&session, "a <twice> <double> <once>"), ["<double>", "<once>"]);
        assert_eq!(session.nearest("<double>").unwrap(), nearest);
        // A name that cannot be had leaves everything as it was.
        for taken in ["apple", "<ONCE>", "", "__metadata__"] {
            session.rename_embedding("<double>", taken).unwrap_err();
            assert_eq!(prompt(&session, "a <double> <once>"), ["<double>", "<once>"], "{taken}");
            assert_eq!(session.nearest("<double>").unwrap(), nearest);
        }
        assert!(session.rename_embedding("<twice>", "<other>").unwrap_err().to_string().contains("no embedding"));
    }
}
