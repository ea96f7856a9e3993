//! Prompts of any length: a text encoder has places for 75 tokens between start and end, so a prompt becomes stretches of
//! so many, and each is encoded by itself.
//!
//! Where one ends is a rule of each language's program:
//!
//! - A1111 and Forge (`modules/sd_hijack_clip.py`, `tokenize_line`): where it is full. If there is a comma among its last
//!   20 tokens, what is behind that goes to the next one; so does what is behind `BREAK`, however much room is left.
//! - ComfyUI (`comfy/sd1_clip.py`, `tokenize_with_weights`): what stands between brackets and learned words goes to the next one as
//!   a whole, if it does not fit and has fewer than 8 tokens. (Until 2025 that was what stands between white space.)
//! - compel (`embeddings_provider.py`, without truncation, as InvokeAI uses it): where it is full.
//! - Without a language there is one stretch, and what does not fit is cut off, as diffusers does.
//!
//! A learned word is never cut in any of them: it goes to the next stretch as a whole. There are no more than [`MOST`], and of a text
//! that is much longer than they can take no more than [`LONGEST`] bytes are looked at, so that anything may be pasted.

use super::language::{Part, parse};
use super::prompt::{Chunk, Tokens};
use super::tokenizer::{ClipTokenizer, Origin};
use crate::config::PromptSyntax;

/// How many stretches a prompt may have: what is behind them falls away.
pub const MOST: usize = 8;
/// How far back a comma may be, in tokens, for A1111 to end a stretch behind it (`comma_padding_backtrack`).
const COMMA_REACH: usize = 20;
/// How many bytes of a prompt are looked at: English takes less than three thousand for all stretches.
pub const LONGEST: usize = 16 << 10;
/// From so many tokens on ComfyUI cuts what stands between brackets (`max_word_length`).
const LARGE: usize = 8;

/// A token of a prompt.
#[derive(Debug, Clone, Copy)]
struct Token {
    id: u32,
    weight: f32,
    /// Its place in the prompt as it was typed.
    at: usize,
    /// The learned word that it is a vector of.
    word: Option<usize>,
}

/// Where a stretch may end.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Rule {
    Anywhere,
    BehindCommas { comma: Option<u32> },
    BetweenBrackets,
}

/// Tokens that become stretches.
struct Stretches {
    room: usize,
    rule: Rule,
    full: Vec<Vec<Token>>,
    open: Vec<Token>,
    /// The place behind the last comma in the open one.
    behind_comma: Option<usize>,
}

impl Stretches {
    fn close(&mut self) {
        self.full.push(std::mem::take(&mut self.open));
        self.behind_comma = None;
    }

    /// Makes room for a token where the open stretch is full.
    fn make_room(&mut self, is_comma: bool) {
        if self.open.len() < self.room {
            return;
        }
        // A comma itself stands nowhere better than it does.
        let behind = self.behind_comma.filter(|behind| !is_comma && self.open.len() - (behind - 1) <= COMMA_REACH);
        let moved = behind.map_or_else(Vec::new, |behind| self.open.split_off(behind));
        self.close();
        self.open = moved;
    }

    /// A token that stands for itself.
    fn push(&mut self, token: Token) {
        let is_comma = matches!(self.rule, Rule::BehindCommas { comma } if comma == Some(token.id));
        self.make_room(is_comma);
        self.open.push(token);
        if is_comma {
            self.behind_comma = Some(self.open.len());
        }
    }

    /// Tokens that go to the next stretch together.
    fn push_whole(&mut self, tokens: &[Token]) {
        self.make_room(false);
        if self.open.len() + tokens.len() > self.room {
            self.close();
        }
        self.open.extend(tokens);
    }

    /// What stands between brackets and learned words.
    fn push_text(&mut self, tokens: &[Token]) {
        if self.rule == Rule::BetweenBrackets && tokens.len() < LARGE {
            self.push_whole(tokens);
        } else {
            tokens.iter().for_each(|token| self.push(*token));
        }
    }
}

/// As much of a text as is looked at, to the end of a word.
pub(super) fn looked_at(text: &str) -> &str {
    if text.len() <= LONGEST {
        return text;
    }
    let text = &text[..text.floor_char_boundary(LONGEST)];
    let end = text.rfind(char::is_whitespace).filter(|end| *end > LONGEST / 2);
    &text[..end.unwrap_or(text.len())]
}

impl ClipTokenizer {
    /// Turns a prompt that is written in a language into ids with weights, in as many stretches as it needs and may have.
    pub fn read(&self, text: &str, syntax: PromptSyntax) -> Tokens {
        let rule = match syntax {
            PromptSyntax::A1111 => Rule::BehindCommas { comma: self.encode(",").first().copied() },
            PromptSyntax::ComfyUi => Rule::BetweenBrackets,
            PromptSyntax::Compel => Rule::Anywhere,
            PromptSyntax::Plain => return self.prompt(text),
        };
        let mut stretches =
            Stretches { room: self.room(), rule, full: Vec::new(), open: Vec::new(), behind_comma: None };
        let (whole, text) = (text, looked_at(text));
        for part in parse(text, syntax, &self.words).parts {
            match part {
                Part::Break { .. } => stretches.close(),
                Part::Word { word, weight, at } => {
                    let token = |id: &u32| Token { id: *id, weight, at: at.start, word: Some(word) };
                    stretches.push_whole(&self.words[word].ids.iter().map(token).collect::<Vec<_>>());
                }
                Part::Text { text, weight, places } => {
                    let Ok(encoding) = self.inner.encode(text, false) else { continue };
                    let ids = encoding.get_ids().iter().zip(encoding.get_offsets());
                    let token = |(id, (at, _)): (&u32, &(usize, usize))| Token {
                        id: *id,
                        weight,
                        at: places.in_prompt(*at),
                        word: None,
                    };
                    stretches.push_text(&ids.map(token).collect::<Vec<_>>());
                }
            }
        }
        if !stretches.open.is_empty() || stretches.full.is_empty() {
            stretches.close();
        }
        self.finished(whole, stretches.full)
    }

    fn finished(&self, text: &str, mut stretches: Vec<Vec<Token>>) -> Tokens {
        let length = stretches.iter().map(Vec::len).sum();
        let beyond = stretches.split_off(stretches.len().min(MOST));
        let first = beyond.iter().flatten().next().map_or(looked_at(text).len(), |token| token.at);
        let fallen = Some(text[first..].trim().to_owned()).filter(|fallen| !fallen.is_empty());
        let mut words: Vec<String> = Vec::new();
        for word in stretches.iter().flatten().filter_map(|token| token.word) {
            let word = &self.words[word];
            if word.origin != Origin::Hidden && !words.contains(&word.token) {
                words.push(word.token.clone());
            }
        }
        Tokens { chunks: stretches.iter().map(|tokens| self.chunk(tokens)).collect(), length, fallen, words }
    }

    fn chunk(&self, tokens: &[Token]) -> Chunk {
        let ids: Vec<u32> = tokens.iter().map(|token| token.id).collect();
        let weights: Vec<f32> = tokens.iter().map(|token| token.weight).collect();
        let weighted = weights.iter().any(|weight| *weight != 1.0);
        self.framed(&ids, weighted.then_some(&weights))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parts;
    use PromptSyntax::{A1111, ComfyUi, Compel, Plain};

    fn tokenizer() -> ClipTokenizer {
        let source = crate::mini::source();
        pollster::block_on(ClipTokenizer::load(&source, parts::Part::Tokenizer, 3035, 77)).unwrap()
    }

    /// How many ids of the text each stretch has.
    fn lengths(tokens: &Tokens) -> Vec<usize> {
        tokens.chunks.iter().map(|chunk| chunk.text.len()).collect()
    }

    /// The ids of the text, one stretch after the other.
    fn ids(tokens: &Tokens) -> Vec<u32> {
        tokens.chunks.iter().flat_map(|chunk| &chunk.ids[chunk.text.clone()]).copied().collect()
    }

    #[test]
    fn a_short_prompt_without_weights_is_the_same_in_every_language() {
        let mut tokenizer = tokenizer();
        tokenizer.add_word("<fox>", 3).unwrap();
        for text in ["", "a <fox>, a cat on a blue hill", "an apple, 16:9"] {
            for syntax in PromptSyntax::ALL {
                assert_eq!(tokenizer.read(text, syntax), tokenizer.prompt(text), "{text} {syntax:?}");
            }
        }
        assert_eq!(tokenizer.read("(a cat:1.5)", Plain), tokenizer.prompt("(a cat:1.5)"));
    }

    #[test]
    fn a_long_prompt_goes_on_where_a_stretch_is_full() {
        let tokenizer = tokenizer();
        let long = "apple ".repeat(160);
        for syntax in [A1111, ComfyUi, Compel] {
            let tokens = tokenizer.read(&long, syntax);
            assert_eq!((lengths(&tokens), tokens.length, &tokens.fallen), (vec![75, 75, 10], 160, &None));
            for chunk in &tokens.chunks {
                assert_eq!((chunk.ids.len(), chunk.ids[0]), (77, tokenizer.start()));
                assert_eq!((chunk.ids[chunk.text.end], chunk.end), (tokenizer.end(), chunk.text.end));
            }
        }
        let plain = tokenizer.read(&long, Plain);
        assert_eq!((lengths(&plain), plain.fallen.is_some()), (vec![75], true));
    }

    #[test]
    fn what_is_behind_eight_stretches_falls_away_and_is_said() {
        let tokenizer = tokenizer();
        let text = format!("{} the (end:1.2)", "apple ".repeat(600));
        for syntax in [A1111, ComfyUi, Compel] {
            let tokens = tokenizer.read(&text, syntax);
            assert_eq!(
                (lengths(&tokens), tokens.fallen.as_deref().map(|end| end.starts_with("the"))),
                (vec![75; 8], Some(true))
            );
        }
        let broken = tokenizer.read(&"a BREAK ".repeat(9), A1111);
        assert_eq!((broken.chunks.len(), broken.fallen.as_deref()), (8, Some("a BREAK")));
        assert_eq!(tokenizer.read(&"a BREAK ".repeat(8), A1111).fallen, None);
    }

    #[test]
    fn a_learned_word_is_never_cut_and_has_one_weight() {
        let mut tokenizer = tokenizer();
        tokenizer.add_word("<w>", 10).unwrap();
        tokenizer.add_word("<all>", 75).unwrap();
        for (syntax, word) in [(A1111, "(<w>:1.5)"), (ComfyUi, "(<w>:1.5)"), (Compel, "(<w>)1.5")] {
            let tokens = tokenizer.read(&format!("{} {word} apple", "apple ".repeat(70)), syntax);
            assert_eq!(
                (lengths(&tokens), tokens.words.as_slice()),
                (vec![70, 11], &["<w>".to_owned()][..]),
                "{syntax:?}"
            );
            let second = &tokens.chunks[1];
            assert!(second.ids[1..11].iter().all(|id| *id >= 3035), "{syntax:?}");
            let weights = second.weights.as_ref().unwrap();
            assert_eq!(
                (&weights[..12], weights[12..].iter().all(|weight| *weight == 1.0)),
                (&[&[1.0][..], &[1.5; 10], &[1.0]].concat()[..], true)
            );
            assert_eq!(tokens.chunks[0].weights, None);
            // A word of all vectors that there is room for leaves the rest of the prompt as it is.
            let tokens = tokenizer.read("apple, <all>, cat", syntax);
            assert_eq!((lengths(&tokens), tokens.fallen), (vec![2, 75, 2], None), "{syntax:?}");
        }
    }

    #[test]
    fn a1111_ends_a_stretch_behind_a_comma_that_is_near() {
        let tokenizer = tokenizer();
        let text = |before: usize, behind: usize| format!("{}, {}", "apple ".repeat(before), "cat ".repeat(behind));
        // The comma is token 56 of 75: twenty tokens back, itself included.
        assert_eq!(lengths(&tokenizer.read(&text(55, 30), A1111)), [56, 30]);
        assert_eq!(lengths(&tokenizer.read(&text(54, 30), A1111)), [75, 10]);
        // A comma at the very end; one that does not fit any more; and none in other languages.
        assert_eq!(lengths(&tokenizer.read(&text(74, 3), A1111)), [75, 3]);
        assert_eq!(lengths(&tokenizer.read(&text(75, 3), A1111)), [75, 4]);
        for syntax in [ComfyUi, Compel] {
            assert_eq!(lengths(&tokenizer.read(&text(55, 30), syntax)), [75, 11], "{syntax:?}");
        }
        let all = tokenizer.read(&text(55, 30), A1111);
        assert_eq!(ids(&all), tokenizer.encode(&text(55, 30)));
    }

    #[test]
    fn break_ends_a_stretch_and_an_empty_one_counts() {
        let tokenizer = tokenizer();
        for (text, expected) in [
            ("a cat BREAK a dog", vec![2, 2]),
            ("a cat BREAK", vec![2]),
            ("BREAK a cat", vec![0, 2]),
            ("a BREAK BREAK cat", vec![1, 0, 1]),
            ("BREAK", vec![0]),
        ] {
            assert_eq!(lengths(&tokenizer.read(text, A1111)), expected, "{text}");
        }
        assert_eq!(tokenizer.read("a cat BREAK a dog", ComfyUi).chunks.len(), 1);
    }

    #[test]
    fn comfyui_moves_what_is_short_whole_and_cuts_the_rest() {
        let mut tokenizer = tokenizer();
        tokenizer.add_word("<w>", 1).unwrap();
        let of = |text: &str| tokenizer.encode(text).len();
        let (short, large) = ("1234 567", "1234567 89");
        assert_eq!((of(short), of(large)), (7, 9));
        let apples = "apple ".repeat(70);
        for (text, expected) in [
            (format!("{apples} ({short}:1.2)"), [70, 7]),
            (format!("{apples} ({large}:1.2)"), [75, 4]),
            // Nothing separates but brackets, whatever they weigh, and learned words.
            (format!("{apples} {short}"), [75, 2]),
            (format!("{apples} ({short}:1)"), [70, 7]),
            (format!("{apples} <w> {short}"), [71, 7]),
        ] {
            assert_eq!(lengths(&tokenizer.read(&text, ComfyUi)), expected, "{text}");
        }
        assert_eq!(lengths(&tokenizer.read(&format!("{apples} ({short}:1.2)"), A1111)), [75, 2]);
    }

    #[test]
    fn a_text_of_any_length_is_read_in_a_moment() {
        let mut tokenizer = tokenizer();
        tokenizer.add_word("<w>", 2).unwrap();
        for piece in ["apple ", "(", "(<w>:1.1) ", "a,", "BREAK ", "<x>", "\u{1f98a}", "  ", "a+ ", "embedding:x "] {
            let text = piece.repeat(100_000);
            for syntax in PromptSyntax::ALL {
                let started = std::time::Instant::now();
                let tokens = tokenizer.read(&text, syntax);
                let read = started.elapsed();
                tokenizer.info(&text, syntax, &[]);
                println!("{piece:?} {syntax:?}: {read:?}, with all that is said of it {:?}", started.elapsed());
                assert!(tokens.chunks.len() <= MOST && started.elapsed().as_millis() < 2000);
                let lost = tokens.fallen.as_deref().is_some_and(|fallen| text.trim_end().ends_with(fallen));
                assert_eq!(lost, !piece.trim().is_empty(), "{piece:?} {syntax:?}");
            }
        }
    }
}
