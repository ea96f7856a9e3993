//! What a person should know of a text before it becomes a prompt: for front ends that show it while it is typed.

use serde::Serialize;

use super::aliases::{inside, prefixed};
use super::chunks::looked_at;
use super::foreign::Foreign;
use super::language::parse;
use super::scan::occurrences;
use super::tokenizer::ClipTokenizer;
use super::unknown::unknown_names;
use crate::config::PromptSyntax;

/// What a text is as a prompt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PromptInfo {
    /// Tokens of all of it, without start and end.
    pub tokens: usize,
    /// How many there is room for, in as many stretches as the prompt has.
    pub room: usize,
    /// How many those are.
    pub stretches: usize,
    /// The learned words that it names, once each, whether they fit or not.
    pub words: Vec<NamedWord>,
    /// What looks like the name of one and is not known, or could be that of several.
    pub unknown: Vec<UnknownName>,
    /// The end that does not fit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lost: Option<String>,
    /// What other languages read as more than text, and what as: in this one it is text.
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

/// What can be told of a text without a model, where `words` are the names of learned words: what looks like the name of another, and what
/// is text in its language and more than text in others.
pub fn without_model(text: &str, syntax: PromptSyntax, words: &[String]) -> (Vec<UnknownName>, Vec<Foreign>) {
    let text = looked_at(text);
    let also = words.iter().filter_map(|word| inside(word)).map(prefixed);
    let names: Vec<String> = words.iter().cloned().chain(also).collect();
    let known: Vec<_> = occurrences(text, &names).map(|(_, at)| at).collect();
    let unknown = unknown_names(text, &known).into_iter().map(|text| UnknownName { text, suggestion: None });
    (unknown.collect(), parse(text, syntax, words).notes)
}

impl ClipTokenizer {
    /// What a text is as a prompt in a language; `others` are embeddings that are at hand besides those that were added.
    pub fn info(&self, text: &str, syntax: PromptSyntax, others: &[String]) -> PromptInfo {
        let prompt = self.read(text, syntax);
        let named = self.named_in(text, syntax);
        let words = self.words().filter(|(token, _)| named.contains(token));
        let unclear = self.unclear_in(text).into_iter().map(|unclear| (unclear.name, None));
        let unknown = self.unknown_names(text, others).into_iter().chain(unclear);
        PromptInfo {
            tokens: prompt.length,
            room: self.room() * prompt.chunks.len(),
            stretches: prompt.chunks.len(),
            words: words.map(|(token, vectors)| NamedWord { token: token.to_owned(), vectors }).collect(),
            unknown: unknown.map(|(text, near)| UnknownName { text, suggestion: near.map(str::to_owned) }).collect(),
            lost: prompt.fallen,
            notes: self.notes(text, syntax),
        }
    }

    /// What in a prompt is text in its language, and more than text in others.
    pub fn notes(&self, text: &str, syntax: PromptSyntax) -> Vec<Foreign> {
        parse(looked_at(text), syntax, &self.words).notes
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
        let read = |text: &str, syntax| tokenizer.info(text, syntax, &[]);
        let text = "a (<my-peach>:1.2) and <mypeach>, <MY-PEACH>";
        let info = read(text, PromptSyntax::Plain);
        assert_eq!(info.words, [NamedWord { token: "<my-peach>".to_owned(), vectors: 2 }]);
        let unknown = UnknownName { text: "<mypeach>".to_owned(), suggestion: Some("<my-peach>".to_owned()) };
        assert_eq!(info.unknown, [unknown]);
        assert_eq!((info.room, info.lost), (75, None));
        assert!(info.notes[0].means == "a weight" && info.notes[0].code == "weight", "{:?}", info.notes);
        // The two brackets, the colon and the number are no tokens where they are a weight.
        let weighted = read(text, PromptSyntax::A1111);
        assert_eq!((weighted.notes.len(), &weighted.words), (0, &info.words));
        assert!(weighted.tokens < info.tokens, "{} {}", weighted.tokens, info.tokens);

        // As many as the prompt has ids between start and end.
        let plain = read("a photo of <my-peach>", PromptSyntax::A1111);
        assert_eq!(plain.tokens, tokenizer.encode("a photo of").len() + 2);
        let long = format!("{}<my-peach>", "a ".repeat(74));
        let both = read(&long, PromptSyntax::A1111);
        assert_eq!((both.tokens, both.room, both.stretches, both.lost), (76, 150, 2, None));
        let long = read(&long, PromptSyntax::Plain);
        assert_eq!((long.tokens, long.lost.as_deref()), (76, Some("<my-peach>")));
        assert_eq!(long.words.len(), 1);
        // The same is unknown without a model, and noted, whether a command looks like a name or not.
        let text = format!("{text}, <lora:x:1> <b>");
        let prefixed = without_model("embedding:My-Peach.pt", PromptSyntax::A1111, &["<my-peach>".to_owned()]);
        assert_eq!(prefixed.0, []);
        let (unknown, notes) = without_model(&text, PromptSyntax::Plain, &["<my-peach>".to_owned()]);
        assert_eq!(unknown, [UnknownName { text: "<mypeach>".to_owned(), suggestion: None }]);
        assert_eq!(notes, tokenizer.notes(&text, PromptSyntax::Plain));
        assert_eq!(notes.iter().map(|note| note.code).collect::<Vec<_>>(), ["weight", "lora"]);
        let empty = serde_json::to_value(read("", PromptSyntax::A1111)).unwrap();
        let expected =
            serde_json::json!({"tokens": 0, "room": 75, "stretches": 1, "words": [], "unknown": [], "notes": []});
        assert_eq!(empty, expected);
    }
}
