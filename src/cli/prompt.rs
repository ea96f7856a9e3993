//! `pseudoword prompt`: how a prompt is understood. Nothing is computed, and no weights are read.

use serde_json::{Value, json};

use super::args::{PromptArgs, Shared};
use super::embeddings::read;
use super::generate::{kept_tokens, unused};
use super::locate;
use super::output::Output;
use crate::Result;
use crate::base::text::{counted, one_line};
use crate::config::{PromptSyntax, option_name};
use crate::sample;
use crate::text::{Chunk, ClipTokenizer, Prompt, Tokenizers, readable};

/// Shows each prompt.
///
/// # Errors
/// What is wrong with the model or an embedding.
pub(super) async fn run(args: &PromptArgs, shared: &Shared, out: &mut Output) -> Result<()> {
    let mut embeddings = read::given(&args.embeddings, shared, out).await?;
    let given = embeddings.len();
    let opened = locate::described(shared, out).await?;
    let texts: Vec<&str> = args.prompts.iter().map(String::as_str).collect();
    embeddings.extend(read::kept_in(&texts, &embeddings, opened.tokenizers.first(), out)?);
    let tokenizers = read::tokenizers(&embeddings, &opened)?;
    let syntax = args.prompt_syntax;
    let mut said = unused(&texts, syntax, &embeddings[..given], tokenizers.first());
    let kept = kept_tokens();
    for prompt in &args.prompts {
        for event in sample::about_prompt("prompt", prompt, syntax, tokenizers.first(), &kept) {
            if !said.contains(&event) {
                said.push(event);
            }
        }
    }
    said.iter().try_for_each(|event| out.event(event))?;
    for (number, text) in args.prompts.iter().enumerate() {
        if number > 0 {
            out.line("")?;
        }
        let shown = Shown { text, syntax, prompt: tokenizers.read(text, syntax), tokenizers: &tokenizers };
        out.result(&shown.lines(), &shown.object())?;
    }
    Ok(())
}

/// A prompt that was read.
struct Shown<'a> {
    text: &'a str,
    syntax: PromptSyntax,
    prompt: Prompt,
    tokenizers: &'a Tokenizers,
}

/// Tokens in a row that have one weight, or are one learned word.
struct Run {
    weight: f32,
    /// Its text in bytes, since a character may be several tokens.
    text: Vec<u8>,
    word: bool,
}

impl Shown<'_> {
    /// For people.
    fn lines(&self) -> Vec<String> {
        let tokenizer = self.tokenizers.first();
        let tokens = self.prompt.tokens();
        let stretches = tokens.chunks.len();
        let mut lines = vec![
            one_line(self.text).into_owned(),
            format!("  language      {}", option_name(&self.syntax)),
            format!(
                "  tokens        {} in {stretches} {} of {}",
                tokens.length,
                if stretches == 1 { "stretch" } else { "stretches" },
                tokenizer.room()
            ),
        ];
        for (number, chunk) in tokens.chunks.iter().enumerate() {
            let mut head = format!("  stretch {:<5} ", number + 1);
            for run in runs(chunk, tokenizer) {
                let weight = if run.weight == 1.0 { String::new() } else { rounded(run.weight) };
                lines.push(format!("{head}{weight:<7}{}", one_line(readable(&run.text).trim_end())));
                head = " ".repeat(16);
            }
            let ids: Vec<String> = chunk.ids[chunk.text.clone()].iter().map(ToString::to_string).collect();
            lines.push(format!("{head}ids    {}", if ids.is_empty() { "none".to_owned() } else { ids.join(" ") }));
        }
        let words = tokenizer.named_in(self.text, self.syntax);
        for (token, vectors) in tokenizer.words().filter(|(token, _)| words.contains(token)) {
            let lost = if tokens.words.iter().any(|word| word == token) { "" } else { ", which do not fit" };
            let vectors = counted(vectors as u64, "vector");
            lines.push(format!("  learned       {token}, {vectors}{lost}"));
        }
        lines
    }

    /// For programs.
    fn object(&self) -> Value {
        let each = self.tokenizers.clone().into_each();
        let encoders = self.prompt.encoders.iter().zip(&each);
        let encoders = encoders
            .map(|(tokens, tokenizer)| tokens.chunks.iter().map(|chunk| stretch(chunk, tokenizer)).collect::<Vec<_>>());
        let encoders: Vec<_> = encoders.collect();
        let info = self.tokenizers.first().info(self.text, self.syntax, &[]);
        json!({
            "event": "prompt", "text": self.text, "syntax": self.syntax, "tokens": info.tokens, "room": info.room,
            "encoders": encoders, "words": info.words, "unknown": info.unknown, "lost": info.lost, "notes": info.notes,
        })
    }
}

/// A stretch, for programs: all of its ids, and what each of the text's is.
fn stretch(chunk: &Chunk, tokenizer: &ClipTokenizer) -> Value {
    let tokens = chunk.text.clone().map(|place| {
        let id = chunk.ids[place];
        let mut token = json!({"id": id, "weight": weight(chunk, place)});
        match tokenizer.word_of(id) {
            Some((word, vector)) => {
                token["word"] = json!(word);
                token["vector"] = json!(vector);
            }
            None => token["text"] = json!(readable(&spelled(id, tokenizer))),
        }
        token
    });
    json!({"ids": chunk.ids, "tokens": tokens.collect::<Vec<_>>()})
}

fn weight(chunk: &Chunk, place: usize) -> f32 {
    chunk.weights.as_ref().map_or(1.0, |weights| weights[place])
}

/// The bytes of a token of the vocabulary, with a space behind them where it ends a word.
fn spelled(id: u32, tokenizer: &ClipTokenizer) -> Vec<u8> {
    let (mut bytes, ends) = tokenizer.bytes_of(id);
    bytes.extend(ends.then_some(b' '));
    bytes
}

fn runs(chunk: &Chunk, tokenizer: &ClipTokenizer) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for place in chunk.text.clone() {
        let (id, weight) = (chunk.ids[place], weight(chunk, place));
        match (tokenizer.word_of(id), runs.last_mut()) {
            (Some((_, vector)), Some(_)) if vector > 0 => {}
            (Some((word, _)), _) => runs.push(Run { weight, text: word.as_bytes().to_vec(), word: true }),
            (None, Some(run)) if run.weight == weight && !run.word => run.text.extend(spelled(id, tokenizer)),
            (None, _) => runs.push(Run { weight, text: spelled(id, tokenizer), word: false }),
        }
    }
    runs
}

/// A weight with as many digits as people look at.
fn rounded(weight: f32) -> String {
    let digits = format!("{weight:.3}");
    let digits = digits.trim_end_matches('0').trim_end_matches('.');
    // Beyond all that is usual.
    if digits.len() > 6 || digits == "0" && weight != 0.0 { format!("{weight:e} ") } else { digits.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_rounded_for_people() {
        let shown = [1.3, 1.1, 1.0 / 1.1, 2.0, -0.5, 0.0].map(rounded);
        assert_eq!(shown, ["1.3", "1.1", "0.909", "2", "-0.5", "0"]);
        assert_eq!(rounded(1e30).trim(), "1e30");
    }
}
