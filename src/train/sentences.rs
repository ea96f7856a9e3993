//! The sentences that a run learns from, and what a user should know of them: that a word is not in them, or has no room there; that they
//! name what nobody knows.

use std::collections::BTreeSet;

use super::templates::fill_all;
use super::{TrainInput, previews, words};
use crate::base::text::{counted, quoted};
use crate::config::{TrainConfig, WordConfig, WordSettings};
use crate::event::{Event, WarningCode};
use crate::sample::check::{give_its_file, plain_text, unknown_name};
use crate::text::ClipTokenizer;
use crate::text::foreign::foreign_syntax;
use crate::{Error, Result};

/// Every text that a run reads: its sentences, and the prompt of its previews.
pub fn texts(config: &TrainConfig, input: &TrainInput) -> Vec<String> {
    let mut texts: Vec<String> = sentences(config, input).into_iter().map(|sentence| sentence.text).collect();
    texts.extend(unseen(config, input).into_iter().map(|sentence| sentence.text));
    texts.extend((config.preview_every > 0).then(|| previews::prompt(config)));
    texts
}

/// A sentence that may be drawn for a picture.
struct Sentence {
    text: String,
    /// What to call it in a message.
    name: String,
}

/// The sentences that are learned from: those of a replay, or the captions, and the templates for pictures without.
fn sentences(config: &TrainConfig, input: &TrainInput) -> Vec<Sentence> {
    if let Some(replay) = &input.replay {
        let captions: BTreeSet<&str> = replay.captions(config.steps()).collect();
        let named = |text: &str| Sentence {
            text: text.to_owned(),
            name: format!("the caption {} of the replay", quoted(&shortened(text))),
        };
        return captions.into_iter().map(named).collect();
    }
    let captions = input.pictures.iter().filter_map(|picture| {
        let text = fill_all(picture.caption.as_ref()?, &config.tokens());
        Some(Sentence { text, name: format!("the caption of {}", picture.picture.name) })
    });
    let mut sentences: Vec<Sentence> = captions.collect();
    if input.pictures.iter().any(|picture| picture.caption.is_none()) {
        let templates: Vec<String> = input.templates.clone().unwrap_or_else(|| words::sentences(config));
        sentences.extend(templates.iter().map(|template| {
            let name = format!("the sentence {}", quoted(&shortened(template)));
            Sentence { text: fill_all(template, &config.tokens()), name }
        }));
    }
    sentences
}

/// The captions that the loss on unseen pictures is computed with.
fn unseen(config: &TrainConfig, input: &TrainInput) -> Vec<Sentence> {
    let captions = input.unseen.iter().filter_map(|picture| {
        let text = fill_all(picture.caption.as_ref()?, &config.tokens());
        Some(Sentence { text, name: format!("the caption of {}", picture.picture.name) })
    });
    captions.collect()
}

fn shortened(text: &str) -> String {
    let mut shown: String = text.chars().take(60).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}

/// What a text lacks of the words that are learned.
pub(super) struct Lack {
    /// As the end of a sentence about it.
    pub why: String,
    /// Whether it is room.
    is_full: bool,
    /// The word of two that it has no room for, while it has the other.
    only: Option<String>,
}

/// What a prompt lacks: room for a word that it names, or every word. `learned` are the words that it has with all of their vectors, `named`
/// those that are in its text.
pub(super) fn lack(config: &TrainConfig, learned: &[String], named: &[&str]) -> Option<Lack> {
    let is_learned = |word: &WordConfig<'_>| learned.iter().any(|learned| learned == word.token);
    let missing: Vec<WordConfig<'_>> = config.words().filter(|word| !is_learned(word)).collect();
    let all = missing.len() == config.words().count();
    if let Some(word) = missing.iter().find(|word| named.contains(&word.token)) {
        let (token, vectors) = (word.token, counted(u64::from(word.vectors), "vector"));
        let only = (!all).then(|| token.to_owned());
        return Some(Lack { why: format!("has no room for {token} ({vectors})"), is_full: true, only });
    }
    all.then(|| {
        let why = match config.tokens()[..] {
            [first, second] => format!("has neither {first} nor {second} in it"),
            _ => format!("does not have {} in it", config.token),
        };
        Lack { why, is_full: false, only: None }
    })
}

/// Warnings about sentences that the embedding is not in, and about what they name that nobody knows.
///
/// # Errors
/// [`Error::Usage`] if no sentence has room for a word.
pub(super) fn about_sentences(
    config: &TrainConfig,
    input: &TrainInput,
    tokenizer: &ClipTokenizer,
) -> Result<Vec<Event>> {
    let sentences = sentences(config, input);
    for (word, settings) in config.words().zip(WordSettings::OF_EACH) {
        let has = |sentence: &Sentence| tokenizer.prompt(&sentence.text).words.iter().any(|other| other == word.token);
        if !sentences.is_empty() && !sentences.iter().any(has) {
            return Err(Error::Usage(no_room(&word, settings, &sentences, tokenizer)));
        }
    }
    let lacking = |sentences: &[Sentence]| -> Vec<(Lack, String)> {
        let of = |sentence: &Sentence| {
            let lack = lack(config, &tokenizer.prompt(&sentence.text).words, &tokenizer.named(&sentence.text))?;
            Some((lack, sentence.name.clone()))
        };
        sentences.iter().filter_map(of).collect()
    };
    let unseen = unseen(config, input);
    let mut events = Vec::new();
    for (is_blind, lacking) in [(false, lacking(&sentences)), (true, lacking(&unseen))] {
        let [(Lack { why, is_full, only }, what), ..] = lacking.as_slice() else { continue };
        let room = tokenizer.length() - 2;
        let room = format!(" behind the text before it (a prompt takes {room} tokens)");
        let room = if *is_full { room.as_str() } else { "" };
        let idle = match (is_blind, only) {
            (false, None) => "nothing is learned from it".to_owned(),
            (false, Some(token)) => format!("nothing of {token} is learned from it"),
            (true, None) => "the loss on its picture says nothing of the embedding".to_owned(),
            (true, Some(token)) => format!("the loss on its picture says nothing of {token}"),
        };
        let count = lacking.len();
        let and_more = if count > 1 { format!(" ({} more are like it)", count - 1) } else { String::new() };
        let text = format!("{what} {why}{room}, so {idle}: shorten or correct it{and_more}");
        events.push(Event::warning(WarningCode::CaptionWithoutEmbedding, text));
    }
    let all: Vec<Sentence> = sentences.into_iter().chain(unseen).collect();
    events.extend(about_text(&all, tokenizer));
    Ok(events)
}

/// Warnings about what sentences have in them that is not what it may be meant to be: the first of each kind.
fn about_text(sentences: &[Sentence], tokenizer: &ClipTokenizer) -> Vec<Event> {
    let mut events = Vec::new();
    for Sentence { text, name } in sentences {
        if let Some(foreign) = foreign_syntax(text).first() {
            events.push(plain_text(&[foreign.to_string()], name));
            break;
        }
    }
    for sentence in sentences {
        let unknown = tokenizer.unknown_names(&sentence.text, &[]);
        if let Some((name, _)) = unknown.first() {
            events.push(unknown_name(name, &sentence.name, &give_its_file()));
            break;
        }
    }
    events
}

/// Why nothing can be learned: no sentence holds the token. Says how many vectors would fit.
fn no_room(word: &WordConfig<'_>, settings: WordSettings, sentences: &[Sentence], tokenizer: &ClipTokenizer) -> String {
    let token = word.token;
    let room = tokenizer.length() - 2;
    let before = |sentence: &Sentence| {
        let at = tokenizer.place_of(&sentence.text, token)?;
        Some(tokenizer.prompt(&sentence.text[..at]).length)
    };
    let Some((fewest, sentence)) =
        sentences.iter().filter_map(|sentence| Some((before(sentence)?, sentence))).min_by_key(|(before, _)| *before)
    else {
        return format!("no caption has {token} in it, so nothing can be learned");
    };
    let (vectors, most) = (word.vectors as usize, room.saturating_sub(fewest));
    let advice = if most > 0 {
        format!("set {} at most {most}, or move {token} nearer to the beginning", settings.vectors)
    } else {
        format!("move {token} nearer to the beginning, or shorten them")
    };
    format!(
        "no caption has room for {token}, which takes {}: a prompt has {room} tokens, and even in {} {} come before it; {advice}",
        counted(vectors as u64, "token"),
        sentence.name,
        counted(fewest as u64, "token"),
    )
}
