//! The names of what is in Replicate's `embeddings.pti`, which stand in a file beside it: `{"TOK": "<s0><s1>"}`, where `<s1>` is the
//! second vector.

use std::collections::{BTreeMap, BTreeSet};

use super::learned::{FileEmbedding, NamedBy, Note, Reading, Vectors};
use super::limits;
use super::refusal::Refusal;

/// What that file is called.
pub const NAMES_FILE: &str = "special_params.json";

/// The embeddings of a file, called as the text of the file beside it says: one for each name, of the vectors that it names.
///
/// # Errors
/// [`Refusal::Damaged`] for a text that is not what Replicate writes, or that names vectors which are not there.
pub fn named(reading: Reading, names: &str) -> Result<Reading, Refusal> {
    let bad = |reason: String| Refusal::damaged(NAMES_FILE, reason);
    let Reading::One(all) = reading else { return Ok(reading) };
    // Only what has no name of its own.
    if matches!(all.named_by, NamedBy::Key | NamedBy::Field) {
        return Ok(Reading::One(all));
    }
    let names: BTreeMap<String, String> =
        serde_json::from_str(names).map_err(|_| bad("it is not an object of texts".to_owned()))?;
    if names.is_empty() || names.len() > limits::EMBEDDINGS {
        return Err(bad(format!("it has {} names", names.len())));
    }
    let mut left: BTreeSet<usize> = (0..all.encoders.first().map_or(0, Vectors::count)).collect();
    let words = names.into_iter().map(|(token, vectors)| {
        let numbers = numbers(&vectors).ok_or_else(|| bad(format!("{} are not vectors", super::shown(&vectors))))?;
        left.retain(|number| !numbers.contains(number));
        of(&all, token, &numbers)
            .ok_or_else(|| bad(format!("there are not as many vectors as {} says", super::shown(&vectors))))
    });
    let named = Reading::from_all(words.collect::<Result<_, _>>()?);
    Ok(if left.is_empty() { named } else { named.with_note(&Note::NotNamed(left.into_iter().collect())) })
}

/// The text that says so of an embedding with all vectors of its file.
pub(super) fn names_of(token: &str, vectors: usize) -> Vec<u8> {
    let numbered: String = (0..vectors).map(|number| format!("<s{number}>")).collect();
    serde_json::json!({ token: numbered }).to_string().into_bytes()
}

/// `<s0><s1>` as numbers.
fn numbers(text: &str) -> Option<Vec<usize>> {
    let inside = text.trim().strip_prefix("<s")?.strip_suffix('>')?;
    let numbers: Vec<usize> = inside.split("><s").map(|number| number.parse().ok()).collect::<Option<_>>()?;
    (numbers.len() <= limits::VECTORS).then_some(numbers)
}

/// The embedding of some vectors of a file; none where it has not so many.
fn of(all: &FileEmbedding, token: String, numbers: &[usize]) -> Option<FileEmbedding> {
    let some = |vectors: &Vectors| {
        let row = |number: &usize| vectors.rows.chunks_exact(vectors.width).nth(*number);
        let rows: Option<Vec<&[f32]>> = numbers.iter().map(row).collect();
        Some(Vectors { rows: rows?.concat(), ..vectors.clone() })
    };
    let encoders = all.encoders.iter().map(some).collect::<Option<_>>()?;
    Some(FileEmbedding { token: Some(token), named_by: NamedBy::Field, encoders, ..all.clone() })
}
