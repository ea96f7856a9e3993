//! A1111's layout, in which tensors and facts about them stand side by side; also CompVis', which it came from.
//!
//! Source: `modules/textual_inversion/textual_inversion.py`.

use super::layout::{Origin, Tensors, part};
use super::learned::{FileEmbedding, Format, NamedBy, Reading};
use super::limits;
use super::refusal::Refusal;

/// Facts of the file about its embedding.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// What it is called.
    pub name: Option<String>,
    /// Steps trained.
    pub step: Option<i64>,
    /// A short hash of the model that it was trained on.
    pub hash: Option<String>,
    /// That model's name.
    pub model: Option<String>,
}

/// The embedding in `string_to_param`, whose key means nothing (`*`); or several, which only their keys distinguish.
pub(super) fn words(
    tensors: &dyn Tensors,
    facts: &Facts,
    format: Format,
    origin: &Origin<'_>,
) -> Result<Reading, Refusal> {
    let count = tensors.named().len();
    if count > limits::EMBEDDINGS {
        return Err(Refusal::too_much("embeddings in the file", count as u64, limits::EMBEDDINGS as u64));
    }
    let mut metadata = origin.metadata.clone();
    let step = facts.step.map(|step| step.to_string());
    for (key, value) in [("steps", step), ("checkpoint-hash", facts.hash.clone()), ("base-model", facts.model.clone())]
    {
        if let Some(value) = value.filter(|value| !value.is_empty() && value.len() <= limits::FACT) {
            metadata.insert(key.to_owned(), value);
        }
    }
    let mut budget = limits::NUMBERS;
    let mut words = Vec::new();
    for (index, named) in tensors.named().iter().enumerate() {
        let (part, notes) = part(tensors, index, super::learned::Encoder::Unnamed, &mut budget)?;
        let (token, named_by) = match (count, &facts.name) {
            (1, Some(name)) if !name.is_empty() => (Some(name.clone()), NamedBy::Field),
            (1, _) => origin.by_file_name(),
            _ => (Some(named.key.clone().into_owned()), NamedBy::Key),
        };
        words.push(FileEmbedding {
            token,
            named_by,
            encoders: vec![part],
            format,
            container: origin.container,
            metadata: metadata.clone(),
            notes,
        });
    }
    Ok(Reading::from_all(words))
}
