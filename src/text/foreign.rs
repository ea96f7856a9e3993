//! What in a prompt was meant for something that is not here: the name of an embedding that nobody gave, and the prompt
//! languages of other programs. All of it is text, like the rest of the prompt; a user should know that.
//!
//! What is ordinary text stays unsaid: `a <3 heart`, `(a hill)`, `16:9`, `<b>`, `C++`, a headline in capitals.

use crate::base::text::quoted;
use std::fmt;
use std::ops::Range;

use serde::Serialize;

/// Names in angle brackets are no longer than this, and have at most so many spaces.
const LONGEST_NAME: usize = 40;
const MOST_SPACES: usize = 3;

/// Of what is quoted in a warning, so much is shown.
const SHOWN: usize = 40;

/// Tags that prompts have from being copied out of pages.
const HTML: [&str; 24] = [
    "a", "b", "i", "u", "s", "p", "br", "hr", "em", "li", "ul", "ol", "tt", "h1", "h2", "h3", "div", "sub", "sup",
    "img", "code", "span", "font", "strong",
];

/// Options that Midjourney takes behind a prompt.
const OPTIONS: [&str; 16] = [
    "ar", "aspect", "c", "chaos", "iw", "niji", "no", "q", "quality", "s", "seed", "style", "stylize", "tile", "v", "w",
];

/// Something in a prompt that other programs read as more than text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Foreign {
    /// The place, shortened.
    pub quoted: String,
    /// What it is there.
    pub means: &'static str,
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", quoted(&self.quoted), self.means)
    }
}

/// What looks like the name of an embedding; `known` are the places of those that are. Each once, in order.
pub fn unknown_names(text: &str, known: &[Range<usize>]) -> Vec<String> {
    let free = |at: &Range<usize>| known.iter().all(|word| word.end <= at.start || at.end <= word.start);
    let slots = text.match_indices("{}").map(|(at, slot)| at..at + slot.len());
    let mut places: Vec<Range<usize>> = bracketed(text).chain(stars(text)).chain(prefixed(text)).chain(slots).collect();
    places.retain(free);
    places.sort_by_key(|at| at.start);
    let mut names: Vec<String> = Vec::new();
    for at in places {
        let name = text[at].to_owned();
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// `<name>`: not what is compared (`x < y`), nor a tag, nor a command (`<lora:...>`).
fn bracketed(text: &str) -> impl Iterator<Item = Range<usize>> {
    text.match_indices('<').filter_map(|(start, _)| {
        let inside = &text[start + 1..];
        let length = inside.find(['<', '>', '\n']).filter(|end| inside[*end..].starts_with('>'))?;
        let name = &inside[..length];
        let plain = |c: char| c.is_alphanumeric() || " -_.'*".contains(c) || !c.is_ascii();
        let usual = name.chars().next().is_some_and(|c| c.is_alphanumeric() || c == '_')
            && name.chars().any(char::is_alphabetic)
            && name.chars().all(plain)
            && name.chars().count() <= LONGEST_NAME
            && name.matches(' ').count() <= MOST_SPACES
            && !HTML.contains(&name.to_lowercase().as_str());
        usual.then_some(start..start + length + 2)
    })
}

/// `*` and `S*` on their own, as the paper writes its words.
fn stars(text: &str) -> impl Iterator<Item = Range<usize>> {
    text.match_indices('*').filter_map(|(at, _)| {
        let start = if text[..at].ends_with(['S', 's']) { at - 1 } else { at };
        let (before, after) = (&text[..start], &text[at + 1..]);
        let alone = |c: Option<char>| c.is_none_or(|c| c.is_whitespace() || ",.;:!?()".contains(c));
        let alone = alone(before.chars().next_back()) && alone(after.chars().next());
        // `3 * 4`, and the bullet of a list.
        let number = |side: &str, c: Option<char>| !side.is_empty() && c.is_some_and(|c| c.is_ascii_digit());
        let product =
            number(before, before.trim_end().chars().next_back()) && number(after, after.trim_start().chars().next());
        let begins = before.trim_end_matches(' ').chars().next_back().is_none_or(|c| c == '\n');
        let bullet = start == at && begins && after.starts_with(' ') && text.contains('\n');
        (alone && !product && !bullet).then_some(start..at + 1)
    })
}

/// What ComfyUI writes before the name of an embedding.
pub(super) const PREFIX: &str = "embedding:";

/// `embedding:name`.
fn prefixed(text: &str) -> impl Iterator<Item = Range<usize>> {
    let lower = text.to_ascii_lowercase();
    let places: Vec<usize> = lower.match_indices(PREFIX).map(|(at, _)| at).collect();
    places.into_iter().filter_map(|start| {
        let from = start + PREFIX.len();
        let length = text[from..].find(|c: char| c.is_whitespace() || ",:()[]|".contains(c));
        let end = length.map_or(text.len(), |length| from + length);
        (end > from && is_edge(&text[..start])).then_some(start..end)
    })
}

/// Whether no word goes on behind a text.
fn is_edge(before: &str) -> bool {
    !before.chars().next_back().is_some_and(|c| c.is_alphanumeric() || c == '_')
}

/// The place of a word with what other programs write about its name: `embedding:` before it, and behind it the ending of
/// its file.
pub(super) fn with_prefix(text: &str, word: Range<usize>) -> Range<usize> {
    let Some(start) = word.start.checked_sub(PREFIX.len()) else { return word };
    let prefix = text.get(start..word.start);
    if !prefix.is_some_and(|prefix| prefix.eq_ignore_ascii_case(PREFIX)) || !is_edge(&text[..start]) {
        return word;
    }
    let after = text[word.end..].to_ascii_lowercase();
    let ending = [".safetensors", ".pt", ".bin"].into_iter().find(|ending| {
        let behind = after.strip_prefix(ending).map(|behind| behind.chars().next());
        behind.is_some_and(|next| !next.is_some_and(char::is_alphanumeric))
    });
    start..word.end + ending.map_or(0, str::len)
}

/// What other programs read as more than text, in order; each kind once.
pub fn foreign_syntax(text: &str) -> Vec<Foreign> {
    let mut found: Vec<(Range<usize>, &'static str)> = groups(text);
    found.extend(commands(text));
    found.extend(keywords(text));
    found.extend(marks(text));
    found.sort_by_key(|(at, _)| at.start);
    let mut each: Vec<Foreign> = Vec::new();
    for (at, means) in found {
        if !each.iter().any(|other| other.means == means) {
            each.push(Foreign { quoted: shortened(&text[at]), means });
        }
    }
    each
}

fn shortened(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}

/// Brackets: `(x:1.3)`, `((x))`, `[a|b]`, `[a:b:0.5]`, `{a|b}`.
fn groups(text: &str) -> Vec<(Range<usize>, &'static str)> {
    let (mut open, mut found) = (Vec::new(), Vec::new());
    // The round group that was closed last.
    let mut closed: Option<Range<usize>> = None;
    for (at, c) in text.char_indices() {
        match c {
            _ if text[..at].ends_with('\\') => {}
            '(' | '[' | '{' => open.push((c, at)),
            ')' | ']' | '}' => {
                let partner = match c {
                    ')' => '(',
                    ']' => '[',
                    _ => '{',
                };
                let Some(place) = open.iter().rposition(|(other, _)| *other == partner) else { continue };
                let start = open[place].1;
                open.truncate(place);
                let inside = &text[start + 1..at];
                let whole = start..at + 1;
                let twice = closed.as_ref() == Some(&(start + 1..at));
                match c {
                    ')' if is_weighted(inside) => found.push((whole.clone(), "a weight")),
                    ')' if twice => found.push((whole.clone(), "more weight")),
                    ']' if inside.contains('|') => found.push((whole.clone(), "taking turns")),
                    ']' if is_weighted(inside) => found.push((whole.clone(), "a change on the way")),
                    '}' if inside.contains('|') => found.push((whole.clone(), "a choice at random")),
                    _ => {}
                }
                closed = (c == ')').then_some(whole);
            }
            _ => {}
        }
    }
    found
}

/// Whether a group ends with a number behind a colon, as weights do: a fraction, or 0 to 2. Times of day, proportions
/// (`16:9`) and pages do not count.
fn is_weighted(inside: &str) -> bool {
    inside.rsplit_once(':').is_some_and(|(before, number)| {
        let weight = match number.trim() {
            fraction if fraction.contains('.') => fraction.parse::<f64>().is_ok(),
            _ => ["0", "1", "2", "-1"].contains(&number),
        };
        weight && before.chars().next_back().is_some_and(|c| !c.is_ascii_digit())
    })
}

/// `<lora:name:0.8>` and its kind.
fn commands(text: &str) -> impl Iterator<Item = (Range<usize>, &'static str)> {
    text.match_indices('<').filter_map(|(start, _)| {
        let inside = &text[start + 1..];
        let length = inside.find(['<', '>', '\n']).filter(|end| inside[*end..].starts_with('>'))?;
        let (name, rest) = inside[..length].split_once(':')?;
        let command = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        let address = rest.starts_with("//") || name.eq_ignore_ascii_case("mailto");
        let means = match name.to_ascii_lowercase().as_str() {
            "lora" | "lyco" | "locon" | "loha" => "a LoRA, which this program does not have",
            "hypernet" => "a hypernetwork, which this program does not have",
            _ => "a command",
        };
        (command && !address).then_some((start..start + length + 2, means))
    })
}

/// `BREAK` and `AND`, if not everything is in capitals.
fn keywords(text: &str) -> Vec<(Range<usize>, &'static str)> {
    if !text.chars().any(char::is_lowercase) {
        return Vec::new();
    }
    let keywords = [("BREAK", "a new stretch of tokens"), ("AND", "prompts side by side")];
    let places = keywords
        .into_iter()
        .flat_map(|(keyword, means)| text.match_indices(keyword).map(move |(at, _)| (at..at + keyword.len(), means)));
    let alone = |at: &Range<usize>| {
        let next = text[at.end..].chars().next();
        is_edge(&text[..at.start]) && !next.is_some_and(|c| c.is_alphanumeric() || c == '_')
    };
    places.filter(|(at, _)| alone(at)).collect()
}

/// `word++`, `(a word)--`, `__name__`, and brackets behind a backslash.
fn marks(text: &str) -> Vec<(Range<usize>, &'static str)> {
    let mut found = Vec::new();
    for word in words(text) {
        let shown = &text[word.clone()];
        let body = shown.trim_end_matches([',', '.', ';', ')']).trim_end_matches(['+', '-']);
        let signs = shown[body.len()..].trim_end_matches([',', '.', ';', ')']);
        let letters = body.chars().filter(|c| c.is_alphabetic()).count();
        let name = ["notepad", "libstdc"].iter().any(|name| body.eq_ignore_ascii_case(name));
        let weighted =
            if body.ends_with(')') { !signs.is_empty() } else { signs.starts_with("++") && letters > 1 && !name };
        if weighted {
            found.push((word.start..word.start + body.len() + signs.len(), "a weight"));
        }
        let wildcard = shown.trim_matches(|c: char| c.is_ascii_punctuation() && c != '_');
        let named = wildcard.strip_prefix("__").and_then(|name| name.strip_suffix("__"));
        if named.is_some_and(|name| name.chars().any(char::is_alphanumeric)) {
            found.push((word, "a word out of a file"));
        }
    }
    found.extend(weights_and_calls(text));
    let escapes = text.match_indices('\\').filter(|(at, _)| text[at + 1..].starts_with(['(', ')', '[', ']']));
    found.extend(escapes.map(|(at, _)| (at..at + 2, "an escape: brackets are text anyway")));
    found
}

/// `cat::2`, `.blend(0.5, 0.5)`, and options behind a prompt (`--ar 16:9`).
fn weights_and_calls(text: &str) -> Vec<(Range<usize>, &'static str)> {
    let mut found = Vec::new();
    for word in words(text) {
        let shown = &text[word.clone()];
        let weight = shown.split_once("::").map(|(before, weight)| (before, weight.trim_end_matches([',', '.', ';'])));
        if weight.is_some_and(|(before, weight)| before.contains(char::is_alphabetic) && weight.parse::<f64>().is_ok())
        {
            found.push((word.clone(), "a weight"));
        }
        if shown.strip_prefix("--").is_some_and(|name| OPTIONS.contains(&name)) {
            found.push((word, "an option"));
        }
    }
    let calls = [").blend(", ").and(", ").swap("].into_iter().flat_map(|call| text.match_indices(call));
    found.extend(calls.map(|(at, call)| (at..at + call.len(), "a function")));
    found
}

/// The stretches between white space.
fn words(text: &str) -> impl Iterator<Item = Range<usize>> {
    text.split_whitespace().map(|word| {
        let start = word.as_ptr() as usize - text.as_ptr() as usize;
        start..start + word.len()
    })
}

/// The known name that is most like another, if one is at all.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = letters(name);
    let distances = known.into_iter().filter_map(|other| Some((alikeness(&wanted, &letters(other))?, other)));
    distances.min_by_key(|(distance, _)| *distance).map(|(_, other)| other)
}

/// Whether two names are likely to be meant for one another.
pub fn alike(name: &str, other: &str) -> bool {
    alikeness(&letters(name), &letters(other)).is_some()
}

/// The letters and digits of a name, in lower case: people mistake the rest.
fn letters(name: &str) -> Vec<char> {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// How many letters two names are apart; none if they are not alike.
fn alikeness(one: &[char], other: &[char]) -> Option<usize> {
    let (short, long) = if one.len() < other.len() { (one, other) } else { (other, one) };
    if short.is_empty() {
        return None;
    }
    let distance = edits(one, other);
    let begins = short.len() >= 4 && long.starts_with(short);
    (distance <= short.len() / 4 || begins).then_some(distance)
}

/// Letters to insert, leave out or change to make one name of another.
fn edits(one: &[char], other: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.iter().enumerate() {
        let mut before = row[0];
        row[0] = i + 1;
        for (j, b) in other.iter().enumerate() {
            let changed = before + usize::from(a != b);
            before = row[j + 1];
            row[j + 1] = changed.min(before + 1).min(row[j] + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quoted(text: &str) -> Vec<String> {
        foreign_syntax(text).into_iter().map(|foreign| foreign.quoted).collect()
    }

    #[test]
    fn names_that_nobody_knows_are_found() {
        let names = |text: &str| unknown_names(text, &[]).join(" | ");
        for (text, expected) in [
            ("a <nobody> on a <moon rabbit >, a <nobody>", "<nobody> | <moon rabbit >"),
            ("a photo of *", "*"),
            ("a photo of {}", "{}"),
            ("a photo of S*, by day", "S*"),
            ("(*:1.2), embedding:easy-neg, (Embedding:other.pt:1.1)", "* | embedding:easy-neg | Embedding:other.pt"),
            ("<crêpe> <сыр> <cat_2.1>", "<crêpe> | <сыр> | <cat_2.1>"),
        ] {
            assert_eq!(names(text), expected, "{text}");
        }
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
    fn known_names_are_left_alone() {
        let text = "a <cat> and a <dog>";
        assert_eq!(unknown_names(text, std::slice::from_ref(&(2..7))), ["<dog>"]);
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

    #[test]
    fn a_word_takes_its_prefix_along() {
        let with = |text: &str, word: &str| {
            let start = text.find(word).unwrap();
            text[with_prefix(text, start..start + word.len())].to_owned()
        };
        assert_eq!(with("a toy, embedding:fox", "fox"), "embedding:fox");
        assert_eq!(with("(Embedding:fox.pt:1.2)", "fox"), "Embedding:fox.pt");
        assert_eq!(with("embedding:fox.ptx", "fox"), "embedding:fox");
        assert_eq!(with("myembedding:fox", "fox"), "fox");
        assert_eq!(with("embedding: fox", "fox"), "fox");
        assert_eq!(with("é fox", "fox"), "fox");
    }

    #[test]
    fn the_nearest_name_is_suggested() {
        let known = ["<my-peach>", "plinkPot_v2", "zubi"];
        assert_eq!(nearest("<mypeach>", known), Some("<my-peach>"));
        assert_eq!(nearest("plinkpot", known), Some("plinkPot_v2"));
        assert_eq!(nearest("zubi", known), Some("zubi"));
        assert_eq!(nearest("<zub>", known), None);
        assert_eq!((nearest("<nobody>", known), nearest("*", known)), (None, None));
        assert!(alike("Plink-Pot", "plinkPot_v2") && !alike("toy", "plinkPot_v2"));
    }
}
