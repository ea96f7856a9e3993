//! The module that reads embedding files, on its own, and what has to be true of anything it reads.

#[path = "../../src/base"]
pub mod base {
    pub mod text;
}
#[path = "../../src/embedding/mod.rs"]
pub mod embedding;

use embedding::{Embedding, Layout, Reading, limits, read, write};

/// Reads a file, and checks what comes of it: no panic, nothing out of bounds, messages that fit on a line; and what
/// can be written again is read back the same.
pub fn check(bytes: &[u8], name: &str) {
    let reading = match read(bytes, name) {
        Ok(reading) => reading,
        Err(refusal) => {
            let message = refusal.to_string();
            let clean = !message.is_empty() && message.len() < 2000 && !message.chars().any(char::is_control);
            assert!(clean, "{message:?}");
            return;
        }
    };
    assert!((1..=limits::EMBEDDINGS).contains(&reading.embeddings().len()));
    assert_eq!(matches!(reading, Reading::One(_)), reading.embeddings().len() == 1);
    for word in reading.embeddings() {
        for part in &word.encoders {
            assert!((1..=limits::VECTORS).contains(&part.count()) && (1..=limits::WIDTH).contains(&part.width));
            assert_eq!(part.count() * part.width, part.rows.len());
            assert!(part.rows.iter().all(|value| value.is_finite()));
        }
        for note in &word.notes {
            assert!(!note.to_string().is_empty());
        }
        let Ok(word) = word.clone().into_embedding(Some("<fuzz>")) else { continue };
        // diffusers' two files are not written as one.
        let fits = |layout: &Layout| layout.holds(word.encoders.len()) && *layout != Layout::Pair;
        for layout in Layout::ALL.into_iter().filter(fits) {
            let bytes = write(&word, layout).expect("what was read can be written");
            let back = Embedding::read(&bytes, "x", None).expect("what was written can be read");
            let rows = |word: &Embedding| word.encoders.iter().flat_map(|part| part.rows.clone()).collect::<Vec<_>>();
            let bits = |word: &Embedding| rows(word).iter().map(|value| value.to_bits()).collect::<Vec<_>>();
            assert_eq!((&back.token, back.widths(), bits(&back)), (&word.token, word.widths(), bits(&word)));
        }
    }
}
