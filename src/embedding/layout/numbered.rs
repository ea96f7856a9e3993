//! One embedding of several vectors, stored as tokens with numbers: `<cat>`, `<cat>_1`, `<cat>_2`. diffusers takes an
//! embedding apart in this way, and puts `<cat>` in a prompt together again from all tokens that have these names
//! (`loaders/textual_inversion.py`, `_maybe_convert_prompt`).

use std::collections::BTreeMap;

use crate::embedding::learned::{FileEmbedding, Note};
use crate::embedding::limits;

/// The same embeddings, with numbered ones put together.
pub(super) fn joined(words: Vec<FileEmbedding>) -> Vec<FileEmbedding> {
    // Only single vectors of one width: what has several is an embedding of its own.
    let part_of = |word: &FileEmbedding| match word.encoders.as_slice() {
        [vectors] if vectors.count() == 1 => Some((word.token.clone()?, vectors.width)),
        _ => None,
    };
    let places: BTreeMap<(String, usize), usize> =
        words.iter().enumerate().filter_map(|(index, word)| Some((part_of(word)?, index))).collect();
    let mut runs: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for ((token, width), index) in &places {
        let next = |number: usize| places.get(&(format!("{token}_{number}"), *width)).copied();
        let run: Vec<usize> = (1..limits::VECTORS).map_while(next).collect();
        if !run.is_empty() {
            runs.insert(*index, run);
        }
    }
    let taken: Vec<usize> = runs.values().flatten().copied().collect();
    let more = |index: usize| runs.get(&index).filter(|_| !taken.contains(&index));
    let join = |(index, word): (usize, &FileEmbedding)| {
        let mut word = word.clone();
        for other in more(index).into_iter().flatten() {
            if let (Some(all), Some(next)) = (word.encoders.first_mut(), words.get(*other)) {
                all.rows.extend(next.encoders.iter().flat_map(|vectors| &vectors.rows));
                word.notes.extend_from_slice(&next.notes);
            }
        }
        if let Some(run) = more(index) {
            word.notes.push(Note::Joined(run.len() + 1));
        }
        word
    };
    words.iter().enumerate().filter(|(index, _)| !taken.contains(index)).map(join).collect()
}
