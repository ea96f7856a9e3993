//! What a model's vocabulary reveals about a vector: how long the model's own vectors are, and which of its words are
//! near. (Which words there are, and their ids, is the tokenizer's: `tokenizer`.)

use crate::base::math::{median, norm};
use crate::parts::Part;
use crate::source::{Source, read_text};
use crate::text::{ClipTextConfig, ClipTokenizer};
use crate::weights::{HostTable, Storage, Weights};
use crate::{Error, Result};

const TABLE: &str = "embeddings.token_embedding.weight";

/// A model's tokens with their vectors; the rest of the model is not loaded.
pub struct Vocabulary {
    table: HostTable,
    tokenizer: ClipTokenizer,
}

/// Euclidean norms of a table's rows, rows of zeros left out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Norms {
    /// The shortest.
    pub least: f64,
    /// Half of the rows are shorter.
    pub median: f64,
    /// The longest.
    pub most: f64,
}

impl Vocabulary {
    /// Reads the token table and the tokenizer of a model in the diffusers layout.
    ///
    /// # Errors
    /// As for the text encoder of a model: a missing part, a bad configuration, a table of another shape.
    pub async fn read(source: &dyn Source) -> Result<Self> {
        let [(part, tokenizer), ..] = Part::TEXT_ENCODERS;
        let path = part.config();
        let Some(text) = read_text(source, path).await? else {
            return Err(Error::ModelPartMissing {
                model: source.name(),
                part: part.to_string(),
                expected: path.to_owned(),
            });
        };
        let config = ClipTextConfig::from_json(&text, &source.origin(path, "").0)?;
        let (vocabulary, length) = (config.vocab_size, config.max_position_embeddings);
        let tokenizer = ClipTokenizer::load(source, tokenizer, vocabulary, length).await?;
        // The table stays on the host, so any device will do.
        let (device, mut quiet) = (burn::tensor::Device::default(), |_| ());
        let file = Weights::open(source, part, &device, Storage::AsFile, &mut quiet).await?;
        let prefixed = file.at("text_model");
        let place = if prefixed.has(TABLE) { prefixed } else { file.clone() };
        let table = place.host_table(TABLE, config.vocab_size, config.hidden_size).await?;
        // The other tensors are none of our business, the table is.
        file.finish_except(&[""]).await?;
        Ok(Self { table, tokenizer })
    }

    /// Width of a vector.
    pub fn width(&self) -> usize {
        self.table.width()
    }

    /// How long the model's own vectors are.
    pub fn norms(&self) -> Norms {
        let mut norms: Vec<f64> =
            (0..self.table.len()).map(|row| norm(&self.table.row(row))).filter(|norm| *norm > 0.0).collect();
        norms.sort_by(f64::total_cmp);
        let at = |place: usize| norms.get(place).copied().unwrap_or(0.0);
        Norms { least: at(0), median: median(&norms).unwrap_or_default(), most: at(norms.len().saturating_sub(1)) }
    }

    /// The tokens whose vectors point most nearly where `vector` does, with the cosines, best first.
    pub fn nearest(&self, vector: &[f32], count: usize) -> Vec<(String, f64)> {
        let length = norm(vector);
        let mut found: Vec<(u32, f64)> = (0..self.table.len())
            .filter_map(|row| {
                let values = self.table.row(row);
                let scale = norm(&values) * length;
                let inner: f64 = values.iter().zip(vector).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
                (scale > 0.0).then_some((row as u32, inner / scale))
            })
            .collect();
        found.sort_by(|(_, a), (_, b)| b.total_cmp(a));
        let spelled = |(id, cosine): (u32, f64)| (self.tokenizer.spell(id).trim_end_matches("</w>").to_owned(), cosine);
        found.into_iter().take(count).map(spelled).collect()
    }
}
