//! What a person should know of a text before it becomes a prompt: for front ends that show it while it is typed.

use serde::Serialize;

use super::foreign::{Foreign, foreign_syntax};
use super::tokenizer::ClipTokenizer;

/// What a text is as a prompt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PromptInfo {
    /// Tokens of all of it, without start and end.
    pub tokens: usize,
    /// How many of them fit.
    pub room: usize,
    /// The learned words that it names, once each, whether they fit or not.
    pub words: Vec<NamedWord>,
    /// What looks like the name of one, and is not known.
    pub unknown: Vec<UnknownName>,
    /// The end that does not fit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lost: Option<String>,
    /// What other programs read as more than text, and what as: here it is text.
    pub notes: Vec<Foreign>,
}

/// A learned word in a text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NamedWord {
    /// Its token.
    pub token: String,
    /// How many tokens of a prompt it takes.
    pub vectors: usize,
}

/// A name that nobody knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UnknownName {
    /// As it is written.
    pub text: String,
    /// What may be meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suggestion: Option<String>,
}

impl ClipTokenizer {
    /// What a text is as a prompt; `others` are embeddings that are at hand besides those that were added.
    pub fn info(&self, text: &str, others: &[String]) -> PromptInfo {
        let prompt = self.prompt(text);
        let named = self.named(text);
        let words = self.words().filter(|(token, _)| named.contains(token));
        let unknown = self.unknown_names(text, others).into_iter();
        PromptInfo {
            tokens: prompt.length,
            room: self.length() - 2,
            words: words.map(|(token, vectors)| NamedWord { token: token.to_owned(), vectors }).collect(),
            unknown: unknown.map(|(text, near)| UnknownName { text, suggestion: near.map(str::to_owned) }).collect(),
            lost: prompt.fallen,
            notes: foreign_syntax(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parts::Part;

    #[test]
    fn a_text_is_counted_and_what_it_names_is_found() {
        let source = crate::mini::source();
        let load = ClipTokenizer::load(&source, Part::Tokenizer, 3035, 77);
        let mut tokenizer = pollster::block_on(load).unwrap();
        tokenizer.add_word("<my-peach>", 2).unwrap();
        let info = tokenizer.info("a (<my-peach>:1.2) and <mypeach>, <MY-PEACH>", &[]);
        assert_eq!(info.words, [NamedWord { token: "<my-peach>".to_owned(), vectors: 2 }]);
        let unknown = UnknownName { text: "<mypeach>".to_owned(), suggestion: Some("<my-peach>".to_owned()) };
        assert_eq!(info.unknown, [unknown]);
        assert_eq!((info.room, info.lost), (75, None));
        assert!(info.notes[0].means == "a weight", "{:?}", info.notes);

        // As many as the prompt has ids between start and end.
        let plain = tokenizer.info("a photo of <my-peach>", &[]);
        assert_eq!(plain.tokens, tokenizer.encode("a photo of").len() + 2);
        let long = tokenizer.info(&format!("{}<my-peach>", "a ".repeat(74)), &[]);
        assert_eq!((long.tokens, long.lost.as_deref()), (76, Some("<my-peach>")));
        assert_eq!(long.words.len(), 1);
        let empty = serde_json::to_value(tokenizer.info("", &[])).unwrap();
        let expected = serde_json::json!({"tokens": 0, "room": 75, "words": [], "unknown": [], "notes": []});
        assert_eq!(empty, expected);
    }
}
