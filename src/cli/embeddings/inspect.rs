//! `pseudoword inspect`: what an embedding file holds, and which words of a model's vocabulary are near.

use serde_json::{Value, json};

use super::came_of_it;
use super::learned_on::{self, UsedModel, Verdict};
use super::read::{self, Contents};
use crate::Result;
use crate::base::math::norm;
use crate::cli::args::{InspectArgs, Shared};
use crate::cli::locate;
use crate::cli::output::Output;
use crate::embedding::{Encoder, FileEmbedding, NamedBy, Vectors};
use crate::model::vocabularies;
use crate::parts::Part;
use crate::source::fetch::EmbeddingFile;
use crate::text::Vocabulary;
use crate::weights::samples;

/// Words of the vocabulary that are listed for a vector.
const NEAREST: usize = 5;
/// Vectors whose neighbours are listed.
const LISTED: usize = 8;

/// Describes each source.
pub async fn run(args: &InspectArgs, shared: &Shared, out: &mut Output) -> Result<()> {
    let mut known = None;
    let sources = args.sources.iter().flat_map(|source| came_of_it::files_of(source));
    for (number, typed) in sources.enumerate() {
        let file = locate::embedding(&typed, shared, out).await?;
        let opened = read::read(&file)?;
        // Only now: a file that cannot be read must not cost a model's download.
        if known.is_none() {
            let source = locate::model(shared, out).await?;
            let (vocabularies, samples) = (vocabularies(&*source).await?, samples::of(&*source, Part::Unet).await);
            known = Some((source, vocabularies, samples.ok().flatten()));
        }
        if let Some((source, vocabularies, samples)) = &known {
            if number > 0 {
                out.line("")?;
            }
            let used = UsedModel { unet_hash: None, unet_samples: samples.as_deref(), file: source.single_file() };
            for word in opened.reading.embeddings() {
                let came_of_it = came_of_it::read(&typed, word.token.as_deref());
                let fits =
                    word.encoders.iter().all(|vectors| vocabularies.iter().any(|words| words.width() == vectors.width));
                let learned_on = match learned_on::names_a_model(&word.metadata) {
                    true if fits => Some(learned_on::compare(&word.metadata, &used, out).await?),
                    true => Some(Verdict::Other),
                    false => None,
                };
                let model = source.name();
                let asked = shared.model.is_some();
                let (file, opened, came_of_it) = (&file, &opened, came_of_it.as_ref());
                let report = Report { word, file, opened, model: &model, asked, vocabularies, learned_on, came_of_it };
                out.result(&report.lines(), &report.object())?;
            }
        }
    }
    Ok(())
}

/// One embedding of a file, and what it is compared with.
struct Report<'a> {
    word: &'a FileEmbedding,
    file: &'a EmbeddingFile,
    opened: &'a Contents,
    model: &'a str,
    /// Whether that model was asked for.
    asked: bool,
    /// Of each of the model's text encoders.
    vocabularies: &'a [Vocabulary<'a>],
    /// Whether it was learned on that model, where the file names one.
    learned_on: Option<Verdict>,
    /// What came of the run whose folder it lies in.
    came_of_it: Option<&'a Value>,
}

impl Report<'_> {
    fn token(&self) -> &str {
        read::token_of(self.word, self.file).unwrap_or_default()
    }

    /// The vectors' Euclidean norms.
    fn norms(vectors: &Vectors) -> Vec<f64> {
        vectors.rows.chunks(vectors.width.max(1)).map(norm).collect()
    }

    /// The vocabulary with vectors of the width of these; none if the model has no such text encoder.
    fn vocabulary(&self, vectors: &Vectors) -> Option<&Vocabulary<'_>> {
        self.vocabularies.iter().find(|vocabulary| vocabulary.width() == vectors.width)
    }

    /// For each vector, the words near it.
    fn nearest(vectors: &Vectors, vocabulary: &Vocabulary<'_>) -> Vec<Vec<(String, f64)>> {
        vectors.rows.chunks(vectors.width).take(LISTED).map(|row| vocabulary.nearest(row, NEAREST)).collect()
    }

    /// What is said of the vectors for one text encoder beside the words of the model.
    fn beside_words(&self, vectors: &Vectors) -> Vec<String> {
        let of = match vectors.encoder {
            Encoder::Unnamed => String::new(),
            named => format!("{}: ", named.name()),
        };
        let lengths = some(&Self::norms(vectors), |norm| format!("{norm:.3}"));
        let mut lines = vec![format!("  lengths       {of}{lengths}")];
        let Some(vocabulary) = self.vocabulary(vectors) else {
            let widths: Vec<String> = self.vocabularies.iter().map(|words| words.width().to_string()).collect();
            lines.push(format!(
                "  nearest       unknown: its words are {} wide in {}; give --model one that fits",
                widths.join(" and "),
                self.model
            ));
            return lines;
        };
        let norms = vocabulary.norms();
        lines.push(format!(
            "                (words of {}: {:.3} to {:.3}, half of them below {:.3})",
            self.model, norms.least, norms.most, norms.median
        ));
        for (i, near) in Self::nearest(vectors, vocabulary).iter().enumerate() {
            let near: Vec<String> = near.iter().map(|(word, cosine)| format!("{word} {cosine:.2}")).collect();
            let head = if i == 0 { "  nearest       " } else { "                " };
            lines.push(format!("{head}{}", near.join(", ")));
        }
        lines
    }

    /// Where no model was asked for, it is compared with the one that stands in for it, and that is said.
    fn learned_on_in_words(&self, verdict: Verdict) -> String {
        match verdict {
            _ if self.asked => verdict.sentence().to_owned(),
            Verdict::Same => self.model.to_owned(),
            Verdict::Other => format!("another model than {}; --model says whether it is yours", self.model),
            Verdict::CannotBeTold | Verdict::Rounded => {
                format!("a model that {} cannot be compared with; --model says whether it is yours", self.model)
            }
        }
    }

    fn lines(&self) -> Vec<String> {
        let (word, file) = (self.word, self.file);
        let named = match word.named_by {
            NamedBy::Key => "the key of its tensor",
            NamedBy::Field => "a name in the file",
            _ if file.token.is_some() => "the name it is stored or published under",
            NamedBy::FileName => "the file's name",
            NamedBy::Nobody => "the file has no name for it: give it one with =NAME",
        };
        let mut lines = vec![file.origin.clone(), format!("  token         {} ({named})", self.token())];
        if let Some(token) = file.token.as_deref().filter(|token| *token != self.token()) {
            lines.push(format!("  published as  {token}"));
        }
        lines.extend(file.kind.as_ref().map(|kind| format!("  kind          {kind}")));
        for vectors in &word.encoders {
            let encoder = match vectors.encoder {
                Encoder::Unnamed => String::new(),
                named => format!(" for {}", named.name()),
            };
            let family = vectors.family();
            lines.push(format!("  vectors       {}{encoder}, {} wide ({family})", vectors.count(), vectors.width));
        }
        let (format, container, bytes) = (word.format, word.container, self.opened.bytes.len());
        lines.push(match self.opened.other.as_deref() {
            Some(other) => {
                let which = if read::is_first_of(other, &file.name) { "first" } else { "second" };
                format!("  format        {format} ({container}), the {which} is {}", other.display())
            }
            None => format!("  format        {format} in a {container} file, {bytes} bytes"),
        });
        lines.extend(word.encoders.iter().flat_map(|vectors| self.beside_words(vectors)));
        lines.extend(word.metadata.iter().map(|(key, value)| format!("  {key:<13} {value}")));
        lines.extend(self.learned_on.map(|verdict| format!("  learned on    {}", self.learned_on_in_words(verdict))));
        lines.extend(self.came_of_it.into_iter().flat_map(came_of_it::lines));
        lines.push(format!("  SHA-256       {}", self.opened.hash));
        lines.extend(file.pictures.iter().map(|picture| format!("  learned from  {picture}")));
        lines.extend(word.notes.iter().map(|note| format!("  note          {note}")));
        lines
    }

    fn object(&self) -> Value {
        let (word, file) = (self.word, self.file);
        let parts: Vec<Value> = word
            .encoders
            .iter()
            .map(|vectors| {
                let near = |near: Vec<(String, f64)>| -> Vec<Value> {
                    near.into_iter().map(|(word, cosine)| json!({"word": word, "cosine": cosine})).collect()
                };
                let nearest = self.vocabulary(vectors).map(|vocabulary| Self::nearest(vectors, vocabulary));
                let nearest = nearest.map(|rows| rows.into_iter().map(near).collect::<Vec<_>>());
                json!({
                    "encoder": vectors.encoder.name(), "vectors": vectors.count(), "width": vectors.width,
                    "family": vectors.family(), "norms": Self::norms(vectors), "nearest": nearest,
                })
            })
            .collect();
        let notes: Vec<String> = word.notes.iter().map(ToString::to_string).collect();
        json!({
            "event": "embedding", "source": file.origin, "token": self.token(), "published_as": file.token,
            "kind": file.kind, "format": word.format.to_string(), "container": word.container.to_string(),
            "bytes": self.opened.bytes.len(), "sha256": self.opened.hash, "parts": parts, "metadata": word.metadata,
            "pictures": file.pictures, "notes": notes, "model": self.model,
            "learned_on": self.learned_on.map(Verdict::name), "run": self.came_of_it,
        })
    }
}

/// The first of many, and how many more.
fn some<T>(all: &[T], shown: impl Fn(&T) -> String) -> String {
    let first: Vec<String> = all.iter().take(LISTED).map(shown).collect();
    let more = all.len().saturating_sub(LISTED);
    if more == 0 { first.join(", ") } else { format!("{} and {more} more", first.join(", ")) }
}
