//! What else a learned word may be called in a prompt: `embedding:name` for a word `<name>`, and the name of its file without the
//! ending, which is its name in A1111 and ComfyUI.
//!
//! A word's own name comes first: what is the name of one word is no other name of another. What two words could be called is
//! the name of neither, and [`ClipTokenizer::unclear_in`] says so.

use std::collections::BTreeMap;

use super::scan::{key, occurrences};
use super::tokenizer::{ClipTokenizer, Origin, Word};
use super::unknown::PREFIX;

/// What diffusers calls every file: the name of none.
const EVERY_FILE: &str = "learned_embeds";

/// A name that several words could have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unclear {
    /// As a text has it, or as the words could be called.
    pub name: String,
    /// The words' own names.
    pub tokens: Vec<String>,
}

impl AsRef<str> for Unclear {
    fn as_ref(&self) -> &str {
        &self.name
    }
}

/// What is between the angle brackets of a name.
pub fn inside(token: &str) -> Option<&str> {
    token.strip_prefix('<')?.strip_suffix('>').map(str::trim).filter(|inside| !inside.is_empty())
}

/// Whether the name of a file says which word is in it.
pub fn is_name(stem: &str) -> bool {
    stem.chars().any(char::is_alphabetic) && !stem.starts_with(EVERY_FILE) && super::check_token(stem).is_ok()
}

/// `embedding:name`.
pub fn prefixed(name: &str) -> String {
    format!("{PREFIX}{name}")
}

impl ClipTokenizer {
    /// Lets a word that was given be called like its file, too: as `embedding:stem`, and by the stem alone unless that is made of
    /// ordinary words ([`is_ordinary`](Self::is_ordinary)).
    pub fn call_by_file(&mut self, token: &str, stem: &str) {
        let own = key(token);
        let word = self.words.iter_mut().find(|word| word.origin == Origin::Given && word.key == own);
        if let Some(word) = word.filter(|_| is_name(stem)) {
            word.file = Some(stem.to_owned());
            self.name_again();
        }
    }

    /// Whether a text is nothing but words of the vocabulary, which would be read as a learned word in any sentence that has them.
    pub fn is_ordinary(&self, text: &str) -> bool {
        let mut words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
        words.all(|word| self.in_vocabulary(word))
    }

    /// Names in a text that several words could have, so that they are none; each once.
    pub fn unclear_in(&self, text: &str) -> Vec<Unclear> {
        let mut found: Vec<Unclear> = Vec::new();
        for (number, at) in occurrences(text, &self.unclear) {
            let unclear = &self.unclear[number];
            if !found.iter().any(|other| other.tokens == unclear.tokens) {
                found.push(Unclear { name: text[at].to_owned(), tokens: unclear.tokens.clone() });
            }
        }
        found
    }

    /// Forgets the other names, and finds out anew which there are.
    pub(super) fn name_again(&mut self) {
        self.words.retain(|word| word.origin != Origin::Other);
        let own: Vec<&str> = self.words.iter().map(|word| word.key.as_str()).collect();
        let is_own = |name: &str| own.contains(&key(name).as_str());
        let mut names: BTreeMap<String, Vec<(String, usize)>> = BTreeMap::new();
        for (number, word) in self.words.iter().enumerate().filter(|(_, word)| word.origin == Origin::Given) {
            let file = word.file.as_deref().filter(|file| !is_own(file));
            let bare = file.filter(|file| !self.is_ordinary(file)).map(str::to_owned);
            let inside = inside(&word.token).filter(|inside| !is_own(inside));
            for name in bare.into_iter().chain(file.map(prefixed)).chain(inside.map(prefixed)) {
                let words = names.entry(key(&name)).or_default();
                if !is_own(&name) && !words.iter().any(|(_, other)| *other == number) {
                    words.push((name, number));
                }
            }
        }
        self.unclear.clear();
        for (key, words) in names {
            match &words[..] {
                [(name, number)] => {
                    let Word { token, ids, .. } = &self.words[*number];
                    let other = Word {
                        token: token.clone(),
                        ids: ids.clone(),
                        key,
                        origin: Origin::Other,
                        file: Some(name.clone()),
                    };
                    self.words.push(other);
                }
                [(name, _), _, ..] => {
                    let tokens = words.iter().map(|(_, number)| self.words[*number].token.clone()).collect();
                    self.unclear.push(Unclear { name: name.clone(), tokens });
                }
                [] => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::PromptSyntax;
    use crate::parts::Part;

    fn tokenizer(words: &[(&str, &str)]) -> ClipTokenizer {
        let source = crate::mini::source();
        let mut tokenizer = pollster::block_on(ClipTokenizer::load(&source, Part::Tokenizer, 3035, 77)).unwrap();
        for (token, _) in words {
            tokenizer.add_word(token, 2).unwrap();
        }
        words.iter().for_each(|(token, stem)| tokenizer.call_by_file(token, stem));
        tokenizer
    }

    #[test]
    fn a_word_is_found_by_the_name_of_its_file() {
        let tokenizer = tokenizer(&[("innername", "FileStem"), ("<pea>", "learned_embeds"), ("<fruit>", "apple")]);
        for (text, same) in [
            ("a FileStem, red", "a innername, red"),
            ("a filestem, red", "a innername, red"),
            ("(embedding:FILESTEM.pt:1.2)", "(innername:1.2)"),
            ("a embedding:FileStem", "a innername"),
            ("Embedding:Pea.safetensors here", "<pea> here"),
            ("embedding:apple", "<fruit>"),
        ] {
            for syntax in [PromptSyntax::A1111, PromptSyntax::ComfyUi, PromptSyntax::Plain] {
                let (one, other) = (tokenizer.read(text, syntax), tokenizer.read(same, syntax));
                assert_eq!((one.chunks, &one.words), (other.chunks, &other.words), "{text}");
                assert_eq!(tokenizer.named_in(text, syntax), one.words);
            }
            assert_eq!(tokenizer.unknown_names(text, &[]), [], "{text}");
        }
        // Ordinary words, parts of words, and what every file of diffusers is called stay text.
        for text in ["an apple", "FileStems", "my-filestem", "learned_embeds", "a pea"] {
            assert!(tokenizer.named(text).is_empty(), "{text}");
        }
        assert_eq!(tokenizer.words().count(), 3);
    }

    #[test]
    fn own_names_come_first_and_what_two_could_be_called_is_neither() {
        let mut tokenizer =
            tokenizer(&[("zubi", "wobble"), ("<wobble>", "zubi"), ("<a1>", "Plink"), ("<b2>", "plink")]);
        assert_eq!(tokenizer.named("zubi embedding:zubi"), ["zubi"]);
        // The file of one and the letters of the other.
        let unclear = tokenizer.unclear_in("a embedding:wobble and a PLINK");
        let tokens: Vec<Vec<String>> = unclear.iter().map(|unclear| unclear.tokens.clone()).collect();
        assert_eq!(tokens, [["zubi", "<wobble>"], ["<a1>", "<b2>"]]);
        assert_eq!(unclear[1].name, "PLINK");
        assert!(tokenizer.named("plink, embedding:plink").is_empty());
        // Whichever goes, the other has the name; rows stay in order.
        tokenizer.remove_word("<a1>").unwrap();
        assert_eq!((tokenizer.named("plink"), tokenizer.unclear_in("plink")), (vec!["<b2>"], Vec::new()));
        tokenizer.add_word("plink", 1).unwrap();
        assert_eq!(tokenizer.named("plink embedding:plink"), ["plink"]);
        assert_eq!(
            tokenizer.word_of(tokenizer.read("plink", PromptSyntax::Plain).chunks[0].ids[1]),
            Some(("plink", 0))
        );
        assert_eq!(tokenizer.remove_word("plink"), Some(6..7));
        assert_eq!(tokenizer.named("plink"), ["<b2>"]);
    }
}
