//! An embedding for SDXL as diffusers' trainer writes it: two files, each with the vectors for one text encoder under the token.

use std::collections::BTreeMap;

use super::learned::{Encoder, FileEmbedding, Format, NamedBy, Reading};
use super::refusal::{Refusal, shown};

/// What the name of the second file has more.
const MARK: &str = "_2";
/// What diffusers puts after the names of files that it writes while it is training.
const STEPS: &str = "-steps-";

/// What the file for the second text encoder is called, by the name of the first: `learned_embeds_2.safetensors`,
/// `learned_embeds_2-steps-500.safetensors`.
pub fn second_of(name: &str) -> Option<String> {
    let (stem, rest) = taken_apart(name)?;
    (!stem.is_empty()).then(|| format!("{stem}{MARK}{rest}"))
}

/// What the file for the first text encoder is called, by the name of the second; none if this is not named like a second.
pub fn first_of(name: &str) -> Option<String> {
    let (stem, rest) = taken_apart(name)?;
    let stem = stem.strip_suffix(MARK).filter(|stem| !stem.is_empty())?;
    Some(format!("{stem}{rest}"))
}

/// A name in front of the place of the mark, and behind it.
fn taken_apart(name: &str) -> Option<(&str, &str)> {
    let at = name.rfind(STEPS).or_else(|| name.rfind('.'))?;
    Some((&name[..at], &name[at..]))
}

/// The embeddings of two files: for each of the first, its vectors for the second text encoder. What only the second has is left
/// out.
///
/// # Errors
/// [`Refusal::NotAPair`] with what does not fit.
pub fn join(first: Reading, second: &Reading) -> Result<Reading, Refusal> {
    let one = first.embeddings().len() == 1 && second.embeddings().len() == 1;
    let whole = |word: &FileEmbedding| {
        let found = second.embeddings().iter().find(|other| names_agree(word, other, one));
        let other = found.ok_or_else(|| not_a_pair(format!("only one of them has {}", name_of(word))))?;
        joined(word, other)
    };
    Ok(Reading::from_all(first.embeddings().iter().map(whole).collect::<Result<_, _>>()?))
}

/// Whether two files mean one embedding. A file's name says so only where there is no other.
fn names_agree(word: &FileEmbedding, other: &FileEmbedding, one: bool) -> bool {
    let own = |word: &FileEmbedding| matches!(word.named_by, NamedBy::Key | NamedBy::Field);
    if own(word) && own(other) { word.token == other.token } else { one }
}

fn joined(first: &FileEmbedding, second: &FileEmbedding) -> Result<FileEmbedding, Refusal> {
    let ([l], [g]) = (first.encoders.as_slice(), second.encoders.as_slice()) else {
        return Err(not_a_pair("one of them has vectors for both text encoders".to_owned()));
    };
    if l.count() != g.count() {
        return Err(not_a_pair(format!(
            "{} has {} vectors in one and {} in the other",
            name_of(first),
            l.count(),
            g.count()
        )));
    }
    if l.width >= g.width {
        let reason = format!("their vectors are {} and {} wide, where SDXL's are 768 and 1280", l.width, g.width);
        return Err(not_a_pair(reason));
    }
    let (mut l, mut g) = (l.clone(), g.clone());
    (l.encoder, g.encoder) = (Encoder::ClipL, Encoder::ClipG);
    // What the second says in addition; of what both say, the first counts.
    let metadata: BTreeMap<String, String> =
        second.metadata.clone().into_iter().chain(first.metadata.clone()).collect();
    Ok(FileEmbedding {
        encoders: vec![l, g],
        format: Format::Pair,
        metadata,
        notes: first.notes.iter().chain(&second.notes).cloned().collect(),
        ..first.clone()
    })
}

fn name_of(word: &FileEmbedding) -> String {
    word.token.as_deref().map_or_else(|| "the embedding".to_owned(), shown)
}

fn not_a_pair(reason: String) -> Refusal {
    Refusal::NotAPair { reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_file_is_found_by_the_name_of_the_first() {
        for (first, second) in [
            ("learned_embeds.safetensors", "learned_embeds_2.safetensors"),
            ("learned_embeds-steps-500.safetensors", "learned_embeds_2-steps-500.safetensors"),
            ("my.cat.bin", "my.cat_2.bin"),
        ] {
            assert_eq!(second_of(first).as_deref(), Some(second));
            assert_eq!(first_of(second).as_deref(), Some(first));
        }
        assert_eq!(
            (first_of("cat.bin"), first_of("_2.bin"), second_of(".bin"), second_of("cat")),
            (None, None, None, None)
        );
    }
}
