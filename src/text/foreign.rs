//! What in a prompt is more than text in another program's language, and text in the one that it is read in: a user should
//! know that.
//!
//! What is ordinary text stays unsaid: `(a hill)`, `16:9`, `C++`, a headline in capitals.

use crate::base::text::{beginning, quoted};
use crate::config::PromptSyntax;
use std::fmt;
use std::ops::Range;

use serde::Serialize;

/// Of what is quoted in a warning, so much is shown.
const SHOWN: usize = 40;

/// Options that Midjourney takes behind a prompt.
const OPTIONS: [&str; 16] = [
    "ar", "aspect", "c", "chaos", "iw", "niji", "no", "q", "quality", "s", "seed", "style", "stylize", "tile", "v", "w",
];

/// What a place of a prompt is in some language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// `(x:1.3)`.
    Weight,
    /// `((x))`.
    MoreWeight,
    /// `[x]`.
    LessWeight,
    /// `x++`, `(x)--`, `(x)1.3`.
    Signs,
    /// `x::2`.
    Colons,
    /// `(x:1.2.3)`, where a weight is read.
    NotAWeight,
    /// Weights whose product no number can be.
    Beyond,
    /// `[a|b]`.
    Turns,
    /// `[a:b:0.5]`.
    Change,
    /// `{a|b}`.
    Choice,
    /// `<lora:x:1>`, `withLora(x, 1)`.
    Lora,
    /// `<hypernet:x:1>`.
    Hypernetwork,
    /// Other names in angle brackets with a colon.
    Command,
    /// `BREAK`.
    Break,
    /// `AND`.
    And,
    /// `__name__`.
    Wildcard,
    /// `\(`.
    Escape,
    /// `\[`.
    SquareEscape,
    /// `--ar`.
    Option,
    /// `(a, b).blend(`, and in compel `a.swap(`.
    Function,
}

impl Kind {
    /// What is said of it.
    fn means(self) -> &'static str {
        match self {
            Self::Weight | Self::Signs | Self::Colons => "a weight",
            Self::MoreWeight => "more weight",
            Self::LessWeight => "less weight",
            Self::NotAWeight => "not a number that a weight can be",
            Self::Beyond => "together more weight than a number can be",
            Self::Turns => "taking turns",
            Self::Change => "a change on the way",
            Self::Choice => "a choice at random",
            Self::Lora => "a LoRA, which this program does not have",
            Self::Hypernetwork => "a hypernetwork, which this program does not have",
            Self::Command => "a command",
            Self::Break => "a new stretch of tokens",
            Self::And => "prompts side by side",
            Self::Wildcard => "a word out of a file",
            Self::Escape | Self::SquareEscape => "an escape: brackets are text anyway",
            Self::Option => "an option",
            Self::Function => "a function",
        }
    }

    /// A name for programs: one for each meaning.
    fn code(self) -> &'static str {
        match self {
            Self::Weight | Self::Signs | Self::Colons => "weight",
            Self::MoreWeight => "more",
            Self::LessWeight => "less",
            Self::NotAWeight => "number",
            Self::Beyond => "beyond",
            Self::Turns => "turns",
            Self::Change => "change",
            Self::Choice => "choice",
            Self::Lora => "lora",
            Self::Hypernetwork => "hypernet",
            Self::Command => "command",
            Self::Break => "break",
            Self::And => "and",
            Self::Wildcard => "wildcard",
            Self::Escape | Self::SquareEscape => "escape",
            Self::Option => "option",
            Self::Function => "function",
        }
    }

    /// Whether a language reads something else than text there, or knows it as ordinary text.
    fn is_known_to(self, syntax: PromptSyntax) -> bool {
        match self {
            Self::Weight | Self::MoreWeight => matches!(syntax, PromptSyntax::A1111 | PromptSyntax::ComfyUi),
            // Where brackets mean nothing at all, square ones are as ordinary as any.
            Self::LessWeight => matches!(syntax, PromptSyntax::A1111 | PromptSyntax::Plain),
            Self::Break | Self::SquareEscape => syntax == PromptSyntax::A1111,
            Self::Escape => syntax != PromptSyntax::Plain,
            Self::Signs => syntax == PromptSyntax::Compel,
            _ => false,
        }
    }
}

/// Something in a prompt that other programs read as more than text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Foreign {
    /// The place, shortened.
    pub quoted: String,
    /// What it is there.
    pub means: &'static str,
    /// The same for programs, which stays when the words change.
    pub code: &'static str,
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", quoted(&self.quoted), self.means)
    }
}

/// Whether no word goes on behind a text.
pub(super) fn is_edge(before: &str) -> bool {
    !before.chars().next_back().is_some_and(is_word_char)
}

/// What words are made of, as regular expressions have it.
pub(super) fn is_word_char(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// What other programs read as more than text, in order; each kind once. Here nothing is.
pub fn foreign_syntax(text: &str) -> Vec<Foreign> {
    notes(text, PromptSyntax::Plain, &[], Vec::new())
}

/// What is text in a language, and more in others, in order; each kind once. `words` are the places of learned words, in
/// order, and `read` is what the language's reader found itself.
pub(super) fn notes(
    text: &str,
    syntax: PromptSyntax,
    words: &[Range<usize>],
    read: Vec<(Range<usize>, Kind)>,
) -> Vec<Foreign> {
    let mut found = groups(text, syntax, words);
    found.extend(commands(text));
    found.extend(keywords(text, syntax));
    found.extend(marks(text, syntax));
    found.retain(|(at, kind)| !kind.is_known_to(syntax) && !is_within(at, words));
    found.extend(read);
    found.sort_by_key(|(at, _)| at.start);
    let mut each: Vec<Foreign> = Vec::new();
    for (at, kind) in found {
        let (means, code) = (kind.means(), kind.code());
        if !each.iter().any(|other| other.code == code) {
            each.push(Foreign { quoted: beginning(&text[at], SHOWN), means, code });
        }
    }
    each
}

/// Whether a place is in one of some words, which are in order.
fn is_within(at: &Range<usize>, words: &[Range<usize>]) -> bool {
    let behind = words.partition_point(|word| word.start <= at.start);
    words[..behind].last().is_some_and(|word| at.end <= word.end)
}

/// Brackets that are open.
struct Open {
    bracket: char,
    at: usize,
    /// Whether there is a `|` in them so far.
    bar: bool,
}

/// Brackets: `(x:1.3)`, `((x))`, `[x]`, `[a|b]`, `[a:b:0.5]`, `{a|b}`.
fn groups(text: &str, syntax: PromptSyntax, words: &[Range<usize>]) -> Vec<(Range<usize>, Kind)> {
    let (mut open, mut found): (Vec<Open>, _) = (Vec::new(), Vec::new());
    // How many are open of each kind: none is looked for in vain.
    let mut counts = [0_usize; 3];
    let kind = |c: char| match c {
        '(' | ')' => 0,
        '[' | ']' => 1,
        _ => 2,
    };
    // The round group that was closed last, and the colon that came last.
    let (mut closed, mut colon): (Option<Range<usize>>, _) = (None, 0);
    let mut words = words.iter().peekable();
    for (at, c) in text.char_indices() {
        while words.next_if(|word| word.end <= at).is_some() {}
        let in_word = words.peek().is_some_and(|word| word.start <= at);
        match c {
            _ if in_word || text[..at].ends_with('\\') => {}
            ':' => colon = at,
            '|' => {
                if let Some(group) = open.last_mut() {
                    group.bar = true;
                }
            }
            '(' | '[' | '{' => {
                open.push(Open { bracket: c, at, bar: false });
                counts[kind(c)] += 1;
            }
            ')' | ']' | '}' if counts[kind(c)] > 0 => {
                let mut bar = false;
                while let Some(group) = open.pop() {
                    counts[kind(group.bracket)] -= 1;
                    bar |= group.bar;
                    if kind(group.bracket) != kind(c) {
                        continue;
                    }
                    let (whole, inside) = (group.at..at + 1, &text[group.at + 1..at]);
                    let twice = closed.as_ref() == Some(&(group.at + 1..at));
                    let number = colon.checked_sub(group.at + 1).map(|colon| inside.split_at(colon));
                    let weighted = number.is_some_and(|(before, number)| is_weighted(before, &number[1..], c, syntax));
                    found.extend(match c {
                        ')' if weighted => Some((whole.clone(), Kind::Weight)),
                        ')' if twice => Some((whole.clone(), Kind::MoreWeight)),
                        ']' if bar => Some((whole.clone(), Kind::Turns)),
                        ']' if weighted => Some((whole.clone(), Kind::Change)),
                        ']' if !inside.trim_start().is_empty() => Some((whole.clone(), Kind::LessWeight)),
                        '}' if bar => Some((whole.clone(), Kind::Choice)),
                        _ => None,
                    });
                    closed = (c == ')').then_some(whole);
                    break;
                }
                if let Some(group) = open.last_mut() {
                    group.bar |= bar;
                }
            }
            _ => {}
        }
    }
    found
}

/// Whether a group ends with a number behind a colon, as weights do: a fraction, or 0 to 2. Times of day, proportions
/// (`16:9`) and pages do not count, but in square brackets where those have a meaning.
fn is_weighted(before: &str, number: &str, bracket: char, syntax: PromptSyntax) -> bool {
    const LONGEST: usize = 32;
    if number.len() > LONGEST {
        return false;
    }
    let any = bracket == ']' && syntax == PromptSyntax::A1111;
    let weight = match number.trim() {
        number if any => number.parse::<f64>().is_ok(),
        fraction if fraction.contains('.') => fraction.parse::<f64>().is_ok(),
        _ => ["0", "1", "2", "-1"].contains(&number),
    };
    weight && (any || before.chars().next_back().is_some_and(|c| !c.is_ascii_digit()))
}

/// `<lora:name:0.8>` and its kind.
fn commands(text: &str) -> impl Iterator<Item = (Range<usize>, Kind)> {
    text.match_indices('<').filter_map(|(start, _)| {
        let inside = &text[start + 1..];
        let length = inside.find(['<', '>', '\n']).filter(|end| inside[*end..].starts_with('>'))?;
        let (name, rest) = inside[..length].split_once(':')?;
        let command = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        let address = rest.starts_with("//") || name.eq_ignore_ascii_case("mailto");
        let kind = match name.to_ascii_lowercase().as_str() {
            "lora" | "lyco" | "locon" | "loha" => Kind::Lora,
            "hypernet" => Kind::Hypernetwork,
            _ => Kind::Command,
        };
        (command && !address).then_some((start..start + length + 2, kind))
    })
}

/// `BREAK` and `AND`, if not everything is in capitals. (A1111 reads them there, too.)
fn keywords(text: &str, syntax: PromptSyntax) -> Vec<(Range<usize>, Kind)> {
    if syntax != PromptSyntax::A1111 && !text.chars().any(char::is_lowercase) {
        return Vec::new();
    }
    let keywords = [("BREAK", Kind::Break), ("AND", Kind::And)];
    let places = keywords
        .into_iter()
        .flat_map(|(keyword, kind)| text.match_indices(keyword).map(move |(at, _)| (at..at + keyword.len(), kind)));
    let alone =
        |at: &Range<usize>| is_edge(&text[..at.start]) && !text[at.end..].chars().next().is_some_and(is_word_char);
    places.filter(|(at, _)| alone(at)).collect()
}

/// `word++`, `(a word)--`, `__name__`, and brackets behind a backslash.
fn marks(text: &str, syntax: PromptSyntax) -> Vec<(Range<usize>, Kind)> {
    let mut found = Vec::new();
    for word in words(text) {
        let shown = &text[word.clone()];
        found.extend(signs(shown).map(|at| (word.start + at.start..word.start + at.end, Kind::Signs)));
        let wildcard = shown.trim_matches(|c: char| c.is_ascii_punctuation() && c != '_');
        let named = wildcard.strip_prefix("__").and_then(|name| name.strip_suffix("__"));
        if named.is_some_and(|name| name.chars().any(char::is_alphanumeric)) {
            found.push((word, Kind::Wildcard));
        }
    }
    found.extend(weights_and_calls(text, syntax));
    for (at, _) in text.match_indices('\\') {
        match text[at + 1..].chars().next() {
            Some('(' | ')') => found.push((at..at + 2, Kind::Escape)),
            Some('[' | ']') => found.push((at..at + 2, Kind::SquareEscape)),
            _ => {}
        }
    }
    found
}

/// What compel reads as a weight, or looks like it, in text without white space: `word++`, `words)-`, `words)1.3`.
pub(super) fn signs(word: &str) -> Option<Range<usize>> {
    let word = word.trim_end_matches([',', '.', ';', ')']);
    let body = word.trim_end_matches(['+', '-']);
    let letters = body.chars().filter(|c| c.is_alphabetic()).count();
    let name = ["notepad", "libstdc"].iter().any(|name| body.eq_ignore_ascii_case(name));
    let group = word.trim_end_matches(|c: char| c == '.' || c.is_ascii_digit());
    let number =
        group.ends_with(')') && word[group.len()..].contains('.') && word[group.len()..].parse::<f64>().is_ok();
    let signs = &word[body.len()..];
    let weighted =
        if body.ends_with(')') { !signs.is_empty() } else { signs.starts_with("++") && letters > 1 && !name };
    (weighted || number).then_some(0..word.len())
}

/// `cat::2`, `(a, b).blend(0.5, 0.5)`, `withLora(x)`, and options behind a prompt (`--ar 16:9`).
fn weights_and_calls(text: &str, syntax: PromptSyntax) -> Vec<(Range<usize>, Kind)> {
    let mut found = Vec::new();
    for word in words(text) {
        let shown = &text[word.clone()];
        let weight = shown.split_once("::").map(|(before, weight)| (before, weight.trim_end_matches([',', '.', ';'])));
        if weight.is_some_and(|(before, weight)| before.contains(char::is_alphabetic) && weight.parse::<f64>().is_ok())
        {
            found.push((word.clone(), Kind::Colons));
        }
        if shown.strip_prefix("--").is_some_and(|name| OPTIONS.contains(&name)) {
            found.push((word, Kind::Option));
        }
    }
    for call in [".blend(", ".and(", ".swap(", ".add(", ".attend("] {
        for (at, _) in text.match_indices(call) {
            // Of a group; where the language has them, of a word as well.
            let group = text[..at].ends_with([')', '"']);
            if group || syntax == PromptSyntax::Compel {
                found.push((at - usize::from(group)..at + call.len(), Kind::Function));
            }
        }
    }
    let loras = ["useLora(", "withLora("].into_iter().flat_map(|call| text.match_indices(call));
    found.extend(loras.map(|(at, call)| (at..at + call.len(), Kind::Lora)));
    found
}

/// The stretches between white space.
fn words(text: &str) -> impl Iterator<Item = Range<usize>> {
    text.split_whitespace().map(|word| {
        let start = word.as_ptr() as usize - text.as_ptr() as usize;
        start..start + word.len()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::unknown::unknown_names;

    fn quoted(text: &str) -> Vec<String> {
        foreign_syntax(text).into_iter().map(|foreign| foreign.quoted).collect()
    }

    #[test]
    fn ordinary_text_is_not_remarked_on() {
        for text in [
            "a <3 heart",
            "x < y and y > z",
            "a <b>bold</b> sign<br>with <i>tags</i> and <a href=x>links</a>",
            "<!-- a comment --> <-- an arrow -->",
            "5 * 3 = 15, *stars* around, 2*2, f**k",
            "* a list\n* of things",
            "<|endoftext|> <|startoftext|>",
            "mail <mailto:a@b.c>, see <https://example.org/x>",
            "a (small) house [in the sun] {and} (a tree (on a hill))",
            "16:9, (ratio 16:9), at 10:30 (or 11:30), (John 3:16), title: subtitle, (see page:3), ratio 3::2",
            "A CAT AND A DOG, BREAK THE ICE",
            "C++ and g++, notepad++, a plus+, rock-, 2 + 2",
            "embedding: what it is; the embedding of a gem",
            "__ and snake_case_name, __",
            "std::move, Hill::Top, a toy -- and a hill, {a} and [b]",
            "BREAKFAST at the sea, HANDS, ANDES in snow",
            "",
        ] {
            assert_eq!(unknown_names(text, &[]), [""; 0], "{text}");
            assert_eq!(quoted(text), [""; 0], "{text}");
        }
    }

    #[test]
    fn the_syntax_of_other_programs_is_found() {
        for (text, expected) in [
            ("a (wobblefox:1.3) toy", "(wobblefox:1.3)"),
            ("a ((red)) toy", "((red))"),
            ("a (red (toy:0.8), old:1.1)", "(red (toy:0.8), old:1.1)"),
            ("a toy <lora:shiny:0.5>", "<lora:shiny:0.5>"),
            ("a toy BREAK a hill", "BREAK"),
            ("a toy AND a hill :0.5", "AND"),
            ("a [red|green] toy", "[red|green]"),
            ("a [red:green:0.5] toy", "[red:green:0.5]"),
            ("a {red|green} toy", "{red|green}"),
            ("a red++ toy", "red++"),
            ("a (red toy)- here", "toy)-"),
            ("a __colour__ toy", "__colour__"),
            (r"fox \(animal\)", r"\("),
            ("a toy -\x2dar 16:9", "-\x2dar"),
            ("toy::2 hill", "toy::2"),
            ("(a toy, a hill).blend(0.5, 0.5)", ").blend("),
        ] {
            assert_eq!(quoted(text), [expected], "{text}");
        }
        assert_eq!(quoted("(a:1.1), (b:1.2) <lora:x:1> BREAK c"), ["(a:1.1)", "<lora:x:1>", "BREAK"]);
    }
}
