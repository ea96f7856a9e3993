//! What a model's vocabulary reveals about a vector: how long the model's own vectors are, and which of its words are
//! near. (Which words there are, and their ids, is the tokenizer's: `tokenizer`.)

use std::borrow::Cow;

use crate::base::math::{median, norm};
use crate::parts::Part;
use crate::source::{Source, read_text};
use crate::text::{ClipTextConfig, ClipTokenizer, TextEncoder};
use crate::weights::{HostTable, Storage, Weights};
use crate::{Error, Result, gpu};

const TABLE: &str = "embeddings.token_embedding.weight";

/// A model's tokens with their vectors; the rest of the model need not be loaded.
pub struct Vocabulary<'a> {
    table: Cow<'a, HostTable>,
    tokenizer: Cow<'a, ClipTokenizer>,
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

impl<'a> Vocabulary<'a> {
    /// That of a text encoder that is loaded.
    pub fn of(encoder: &'a TextEncoder) -> Self {
        let (table, tokenizer) = (&encoder.model.token_embedding, &encoder.tokenizer);
        Self { table: Cow::Borrowed(table), tokenizer: Cow::Borrowed(tokenizer) }
    }

    /// Reads the token table of a text encoder and its tokenizer, of a model in the diffusers layout.
    ///
    /// # Errors
    /// As for the text encoder of a model: a missing part, a bad configuration, a table of another shape.
    pub async fn read(source: &dyn Source, part: Part, tokenizer: Part) -> Result<Self> {
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
        let (device, mut quiet) = (gpu::any(), |_| ());
        let file = Weights::open(source, part, &device, Storage::AsFile, &mut quiet).await?;
        let prefixed = file.at("text_model");
        let place = if prefixed.has(TABLE) { prefixed } else { file.clone() };
        let table = place.host_table(TABLE, config.vocab_size, config.hidden_size).await?;
        // The other tensors are none of our business, the table is.
        file.finish_except(&[""]).await?;
        Ok(Self { table: Cow::Owned(table), tokenizer: Cow::Owned(tokenizer) })
    }

    /// Width of a vector.
    pub fn width(&self) -> usize {
        self.table.width()
    }

    /// How long the model's own vectors are.
    pub fn norms(&self) -> Norms {
        let mut norms = self.table.row_norms();
        norms.sort_by(f64::total_cmp);
        let at = |place: usize| norms.get(place).copied().unwrap_or(0.0);
        Norms { least: at(0), median: median(&norms).unwrap_or_default(), most: at(norms.len().saturating_sub(1)) }
    }

    /// The words whose vectors point most nearly where one of some `rows` does, with the cosines, best first. Tokens that are a
    /// piece of many words, or a sign, say nothing to people and are left out.
    pub fn nearest(&self, rows: &[f32], count: usize) -> Vec<(String, f64)> {
        let rows: Vec<(&[f32], f64)> = rows.chunks_exact(self.width().max(1)).map(|row| (row, norm(row))).collect();
        let likeness = |token: u32| {
            let values = self.table.row(token as usize);
            let own = norm(&values);
            let cosines = rows.iter().filter(|(_, length)| own * length > 0.0).map(|(row, length)| {
                let inner: f64 = values.iter().zip(*row).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
                inner / (own * length)
            });
            cosines.max_by(f64::total_cmp).map(|cosine| (token, cosine))
        };
        let mut found: Vec<(u32, f64)> = (0..self.table.len() as u32).filter_map(likeness).collect();
        found.sort_by(|(_, a), (_, b)| b.total_cmp(a));
        let words = found.into_iter().filter_map(|(id, cosine)| Some((word(&self.tokenizer.spell(id))?, cosine)));
        words.take(count).collect()
    }
}

/// The word that a token is, as far as its spelling tells: one of letters that ends where a word does.
fn word(spelled: &str) -> Option<String> {
    let word = spelled.strip_suffix("</w>")?;
    (word.len() > 1 && word.chars().all(|letter| letter.is_ascii_alphabetic())).then(|| word.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_vectors_each_has_its_neighbours() {
        let vocabulary =
            pollster::block_on(Vocabulary::read(&crate::mini::source(), Part::TextEncoder, Part::Tokenizer)).unwrap();
        let id = |word: &str| vocabulary.tokenizer.encode(word)[0] as usize;
        let [apple, taxi] = ["apple", "car"].map(|word| vocabulary.table.row(id(word)));
        let near = |rows: &[f32], count| vocabulary.nearest(rows, count);
        assert_eq!(near(&apple, 1)[0].0, "apple");
        let both = near(&[apple.clone(), taxi.clone()].concat(), 2);
        let mut words: Vec<&str> = both.iter().map(|(word, _)| word.as_str()).collect();
        words.sort_unstable();
        assert_eq!(words, ["apple", "car"]);
        assert!(both.iter().all(|(_, cosine)| (cosine - 1.0).abs() < 1e-6), "{both:?}");
        // Exactly where a piece is, too, there are words near it.
        let piece = (0..vocabulary.table.len() as u32).find(|id| vocabulary.tokenizer.spell(*id) == "ap").unwrap();
        let found = near(&vocabulary.table.row(piece as usize), 3);
        assert!(found.len() == 3 && found.iter().all(|(word, _)| word != "ap"), "{found:?}");
        for (token, is) in
            [("apple</w>", true), ("ap", false), ("a</w>", false), ("ð</w>", false), ("<|endoftext|>", false)]
        {
            assert_eq!(word(token).is_some(), is, "{token}");
        }
        // A vector of zeros points nowhere.
        assert!(near(&vec![0.0; vocabulary.width()], 3).is_empty());
    }
}
