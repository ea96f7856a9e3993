//! What the files in a run's folder are called.

use crate::embedding::second_of;
use crate::formats::is_windows_device;
use crate::train::generations::GENERATIONS;

/// Letters of a name that is made of tokens: some file systems count bytes, up to 255 of them, and letters have up to four.
const LONGEST: usize = 60;

/// The embedding, by the name that diffusers gives it. Where two words are learned, each is called by its token ([`embeddings`]).
const EMBEDDING: &str = "learned_embeds.safetensors";
/// The generations of the state, newest first.
pub const STATES: [&str; GENERATIONS] = ["state", "state.prev"];
/// A state that cannot be read is kept under this name, so that the damage can be examined.
pub const UNREADABLE_STATE: &str = "state.damaged";
pub const LOG: &str = "log.jsonl";
pub const LOSS_CURVE: &str = "loss.png";
pub const MASKS: &str = "masks.png";
pub const PREVIEWS: &str = "previews";
pub const PREVIEW_SHEET: &str = "previews.png";
pub const README: &str = "README.txt";
pub const SETTINGS: &str = "settings.json";
pub const LOCK: &str = "run.lock";
/// What came of the run.
pub const REPORT: &str = "report.json";
pub const BUG_REPORT: &str = "bug-report.json";

/// The files of the embeddings that a run learns, by their tokens.
pub fn embeddings(tokens: &[&str]) -> Vec<String> {
    let &[first, second] = tokens else { return vec![EMBEDDING.to_owned()] };
    let named = |stem: &str| format!("{stem}.safetensors");
    let [first, stem] = [first, second].map(|token| stem(&[token]));
    let (first, second) = (named(&first), named(&stem));
    // On some systems capitals make no difference, and a name with `_2` behind another's is the second half of that.
    let is_half = second_of(&first).as_ref() == Some(&second) || second_of(&second).as_ref() == Some(&first);
    let is_same = first.to_lowercase() == second.to_lowercase();
    let second = if is_half || is_same { named(&format!("{stem}-second")) } else { second };
    vec![first, second]
}

/// Those letters of tokens that can be in a file's name on every system.
pub fn stem(tokens: &[&str]) -> String {
    let letters = |token: &&str| token.chars().filter(|c| c.is_alphanumeric() || "-_".contains(*c)).collect::<String>();
    let words: Vec<String> = tokens.iter().map(letters).filter(|word| !word.is_empty()).collect();
    let stem: String = words.join("-").chars().take(LONGEST).collect();
    match stem.as_str() {
        "" => "word".to_owned(),
        // A device on Windows, where no file or folder can be called so.
        stem if is_windows_device(&stem.to_lowercase()) => format!("{stem}-word"),
        _ => stem,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_words_have_a_file_each_by_their_names() {
        let files = |tokens: &[&str]| embeddings(tokens).join(" ");
        assert_eq!(files(&["<fox>"]), "learned_embeds.safetensors");
        assert_eq!(files(&["<fox>", "ink style"]), "fox.safetensors inkstyle.safetensors");
        for (one, other, file) in [
            ("<a>", "a!", "a-second"),
            ("A", "<a>", "a-second"),
            ("<a>", "a_2", "a_2-second"),
            ("*", "?", "word-second"),
        ] {
            assert_eq!(embeddings(&[one, other])[1], format!("{file}.safetensors"));
        }
        assert_eq!(files(&["a_2", "a"]), "a_2.safetensors a-second.safetensors");
    }
}
