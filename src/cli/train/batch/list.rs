//! A list of words to learn, in TOML or CSV: the settings of each, by the names of the options of `train`.
//!
//! What stands at the top of a TOML file counts for every word; what a word has of its own counts instead, and what is
//! typed counts before both. Paths count from the current folder, as if they had been typed.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

use clap::{CommandFactory, FromArgMatches};
use serde_json::Value;

use crate::base::files;
use crate::base::text::quoted;
use crate::cli::args::{Cli, Command, TrainArgs};
use crate::cli::settings::{self, PICTURES};
use crate::cli::train::names;
use crate::cli::train::request::{RUNS, check_words};
use crate::cli::{sentence, wording};
use crate::{Error, Result};

/// The key of the words in TOML.
const WORD: &str = "word";
/// What is between several values in a cell of CSV.
const BETWEEN: char = ';';
/// Words that are named of those that have the same problem.
const NAMED: usize = 3;
/// What says how a list is worked on, and is no setting of a word.
const TYPED_ONLY: [&str; 8] = ["config", "batch", "index", "shard", "together", "dry-run", "resume", "overwrite"];
/// What is typed once for the whole list.
const OF_THE_LIST: [&str; 5] = ["--batch", "--index", "--shard", "--together", "--out"];

/// Settings by name.
type Settings = Vec<(String, Value)>;

/// A list as it stands in its file.
#[derive(Debug)]
pub(in crate::cli) struct List {
    /// Its file.
    pub file: PathBuf,
    top: Settings,
    words: Vec<Settings>,
}

/// A list, and the arguments of the command that names it.
#[derive(Debug)]
pub(in crate::cli) struct TypedList {
    pub list: List,
    pub typed: Vec<OsString>,
}

/// A word of a list.
pub(super) struct Word {
    /// Its place in the list, from 0.
    pub index: usize,
    pub args: TrainArgs,
    /// The folder of its run.
    pub folder: PathBuf,
}

impl Word {
    /// Its token, or both of them.
    pub fn name(&self) -> String {
        self.args.config.tokens().join(" and ")
    }
}

impl List {
    /// Reads a list; what its name does not say is taken for TOML.
    ///
    /// # Errors
    /// [`Error::Read`], [`Error::BadFile`] if it is no list.
    pub fn read(file: &Path) -> Result<Self> {
        let text = files::read_text(file)?;
        let is_csv = file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("csv"));
        let parsed = if is_csv { of_csv(&text) } else { of_toml(&text) };
        let (top, words) = parsed.map_err(|reason| bad(file, reason))?;
        if words.is_empty() {
            return Err(bad(file, "there is no word in it".to_owned()));
        }
        Ok(Self { file: file.to_owned(), top, words })
    }

    /// How many words there are.
    pub fn len(&self) -> usize {
        self.words.len()
    }

    /// What stands at the top and is not of a word, as arguments: options of every command, and the folder for all runs.
    ///
    /// # Errors
    /// [`Error::BadFile`] for what is no option, or cannot have its value.
    pub fn shared(&self) -> Result<Vec<String>> {
        let command = Cli::command();
        let is_shared = |(name, _): &&(String, Value)| name == "out" || is_of_every_command(&command, name);
        let shared: Settings = self.top.iter().filter(is_shared).cloned().collect();
        let (options, _) = settings::arguments(&command, &shared).map_err(|reason| bad(&self.file, reason))?;
        Ok(options)
    }

    /// Every word, with what was typed; and what is wrong with those that are none. `out` is the folder for all runs.
    pub(super) fn words(&self, typed: &[OsString], out: Option<&Path>) -> (Vec<Word>, Problems) {
        let mut command = Cli::command();
        let typed = settings::without(typed, &OF_THE_LIST);
        let root = out.unwrap_or(Path::new(RUNS));
        let top: Settings = self.top.iter().filter(|(name, _)| name != "out").cloned().collect();
        let top: Settings = top.into_iter().filter(|(name, _)| !is_of_every_command(&command, name)).collect();
        let (mut words, mut problems) = (Vec::new(), Problems::default());
        for (index, settings) in self.words.iter().enumerate() {
            match word(&mut command, &top, settings, &typed) {
                Ok(args) => {
                    let own = args.out.clone().unwrap_or_else(|| names::stem(&args.config.tokens()).into());
                    words.push(Word { index, folder: root.join(&own), args: TrainArgs { out: Some(own), ..args } });
                }
                Err(reason) => problems.add(index, &token(settings), reason),
            }
        }
        alone(&words, &mut problems);
        for word in &mut words {
            word.args.out = Some(word.folder.clone());
        }
        (words, problems)
    }
}

/// What the words of a list cannot be learned for.
#[derive(Default)]
pub(super) struct Problems {
    /// The words that have a problem, by what it is, in the order of the list.
    found: BTreeMap<(usize, String), Vec<String>>,
    /// Where the problem is in that order.
    known: HashMap<String, usize>,
}

impl Problems {
    pub fn add(&mut self, index: usize, token: &str, reason: String) {
        let first = *self.known.entry(reason.clone()).or_insert(index);
        let name = if token.is_empty() { index.to_string() } else { format!("{index} ({token})") };
        self.found.entry((first, reason)).or_default().push(name);
    }

    /// Refuses the list if there are any: all of them at once.
    ///
    /// # Errors
    /// [`Error::BadList`].
    pub fn refuse(self, file: &Path) -> Result<()> {
        if self.found.is_empty() {
            return Ok(());
        }
        let line = |((_, reason), words): ((usize, String), Vec<String>)| {
            let named = words[..words.len().min(NAMED)].join(", ");
            let more = words.len().saturating_sub(NAMED);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            format!("{named}{more}: {reason}")
        };
        Err(Error::BadList { file: file.display().to_string(), problems: self.found.into_iter().map(line).collect() })
    }
}

/// The arguments of a word: what is typed comes last, and so counts first.
fn word(
    command: &mut clap::Command,
    top: &Settings,
    settings: &Settings,
    typed: &[OsString],
) -> std::result::Result<TrainArgs, String> {
    if let Some((name, _)) = settings.iter().find(|(name, _)| is_of_every_command(command, name)) {
        return Err(format!("{name} is the same for all words of a list: put it at the top, or on the command line"));
    }
    let mut named = top.iter().chain(settings).map(|(name, _)| name.as_str());
    if let Some(name) = named.find(|name| TYPED_ONLY.contains(name)) {
        return Err(format!("{name} cannot stand in a list: it is typed beside --batch"));
    }
    if top.iter().any(|(name, _)| name == "record") {
        return Err("record is one file: give each word one of its own".to_owned());
    }
    let (mut options, mut pictures) = settings::arguments(command, top)?;
    let (own, own_pictures) = settings::arguments(command, settings)?;
    options.extend(own);
    if !own_pictures.is_empty() {
        pictures = own_pictures;
    }
    let train = typed.iter().position(|argument| argument == "train").map_or(0, |train| train + 1);
    let (before, after) = typed.split_at(train);
    let arguments: Vec<OsString> = ["pseudoword".into(), "train".into()]
        .into_iter()
        .chain(options.into_iter().map(OsString::from))
        .chain(before.iter().skip(1).filter(|argument| *argument != "train").cloned())
        .chain(after.iter().cloned())
        .chain(std::iter::once("--".into()))
        .chain(pictures.into_iter().map(OsString::from))
        .collect();
    let matches = command.try_get_matches_from_mut(arguments).map_err(|error| sentence(&error.to_string()))?;
    let cli = Cli::from_arg_matches(&matches).map_err(|error| sentence(&error.to_string()))?;
    let Command::Train(args) = cli.command else { return Err("it is no word".to_owned()) };
    check_words(&args.config).map_err(|error| wording::of_error(&error))?;
    Ok(*args)
}

/// Refuses folders that are not inside the one for all runs (unless they are given as a whole), and those that are in each other.
fn alone(words: &[Word], problems: &mut Problems) {
    let mut folders: Vec<(PathBuf, &Word)> = Vec::new();
    for word in words {
        let own = word.args.out.as_deref().unwrap_or(&word.folder);
        let mut parts = own.components();
        let is_name = parts.clone().next().is_some()
            && parts.all(|part| !matches!(part, Component::ParentDir | Component::CurDir));
        if is_name {
            // On some systems capitals make no difference.
            let whole = std::path::absolute(&word.folder).unwrap_or_else(|_| word.folder.clone());
            folders.push((PathBuf::from(whole.display().to_string().to_lowercase()), word));
        } else {
            let out = own.display();
            problems.add(
                word.index,
                &word.name(),
                format!("out is {out}: it must be the name of a folder in --out, or a whole path"),
            );
        }
    }
    // What is inside of a folder comes right behind it.
    folders.sort_by(|(one, a), (other, b)| one.cmp(other).then(a.index.cmp(&b.index)));
    for pair in folders.windows(2) {
        let [(outer, first), (inner, second)] = pair else { continue };
        if inner.starts_with(outer) {
            let (folder, first) = (second.folder.display(), first.index);
            let reason = if inner == outer {
                format!("its folder would be {folder}, which is that of {first}: give it a folder of its own (out)")
            } else {
                format!("its folder would be {folder}, inside of that of {first}: give it one beside it (out)")
            };
            problems.add(second.index, &second.name(), reason);
        }
    }
}

/// Whether an option is none of `train`.
fn is_of_every_command(command: &clap::Command, name: &str) -> bool {
    command.get_arguments().any(|option| option.get_long() == Some(name))
}

fn token(settings: &Settings) -> String {
    let found = settings.iter().find(|(name, _)| name == "token");
    found.and_then(|(_, token)| token.as_str()).unwrap_or_default().to_owned()
}

fn bad(file: &Path, reason: String) -> Error {
    Error::BadFile { file: file.display().to_string(), reason }
}

type Parsed = std::result::Result<(Settings, Vec<Settings>), String>;

fn of_toml(text: &str) -> Parsed {
    let not_toml = |error: toml::de::Error| {
        let line = error.span().map_or(1, |span| text[..span.start].matches('\n').count() + 1);
        format!("it is not TOML: line {line}: {}", error.message())
    };
    let mut top: toml::Table = text.parse().map_err(not_toml)?;
    let words = match top.remove(WORD) {
        Some(toml::Value::Array(words)) => words,
        Some(_) => return Err(format!("{WORD} must be tables: [[{WORD}]] before the settings of each")),
        None => Vec::new(),
    };
    let settings =
        |table: toml::Table| table.into_iter().map(|(name, value)| (name, plain(value))).collect::<Settings>();
    let word = |(index, word): (usize, toml::Value)| match word {
        toml::Value::Table(table) => Ok(settings(table)),
        other => Err(format!("{WORD} {index} must be a table, not {other}")),
    };
    let words = words.into_iter().enumerate().map(word).collect::<std::result::Result<_, _>>()?;
    Ok((settings(top), words))
}

/// The same in JSON. What that has no form for is left as it is written, for the option to refuse: a number that is none, a date.
fn plain(value: toml::Value) -> Value {
    match value {
        toml::Value::String(text) => Value::from(text),
        toml::Value::Integer(number) => Value::from(number),
        toml::Value::Boolean(on) => Value::from(on),
        toml::Value::Float(number) if number.is_finite() => Value::from(number),
        toml::Value::Float(number) => Value::from(number.to_string()),
        toml::Value::Datetime(date) => Value::from(date.to_string()),
        toml::Value::Array(values) => values.into_iter().map(plain).collect(),
        toml::Value::Table(table) => table.into_iter().map(|(name, value)| (name, plain(value))).collect(),
    }
}

fn of_csv(text: &str) -> Parsed {
    // Excel begins its files with a mark.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let command = Cli::command();
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.as_bytes());
    let heads = reader.headers().map_err(not_csv)?.clone();
    if let Some((place, _)) =
        heads.iter().enumerate().find(|(place, head)| heads.iter().take(*place).any(|other| other == *head))
    {
        return Err(format!("it has two columns {}", quoted(&heads[place])));
    }
    if heads.len() == 1 && heads[0].contains([BETWEEN, '\t']) {
        return Err(format!("the first line has one cell, {}: between cells there must be commas", quoted(&heads[0])));
    }
    let cell = |(name, text): (&str, &str)| {
        // An empty cell is what is not given.
        (!text.is_empty()).then(|| (name.to_owned(), value(&command, name, text)))
    };
    let row = |record: csv::StringRecord| heads.iter().zip(record.iter()).filter_map(cell).collect::<Settings>();
    let rows = reader.records().map(|record| record.map(row).map_err(not_csv));
    Ok((Vec::new(), rows.collect::<std::result::Result<_, _>>()?))
}

fn not_csv(error: csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::UnequalLengths { pos, expected_len, len } => {
            let line = pos.as_ref().map_or(0, csv::Position::line);
            format!("line {line} has {len} cells, where the first line has {expected_len} names")
        }
        _ => format!("it is not CSV: {error}"),
    }
}

/// What a cell says.
fn value(command: &clap::Command, name: &str, text: &str) -> Value {
    let several =
        || Value::from(text.split(BETWEEN).map(str::trim).filter(|text| !text.is_empty()).collect::<Vec<_>>());
    match settings::option(command, name) {
        _ if name == PICTURES => several(),
        Some(option) if settings::takes_many(option) => several(),
        Some(option) if !option.get_action().takes_values() => {
            text.to_lowercase().parse().map_or_else(|_| Value::from(text), Value::Bool)
        }
        _ => Value::from(text),
    }
}

/// The settings of a word as a JSON object, for tests.
#[cfg(test)]
fn object(settings: &Settings) -> serde_json::Map<String, Value> {
    settings.iter().cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    fn list(name: &str, text: &str) -> Result<List> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(name);
        std::fs::write(&file, text).unwrap();
        List::read(&file)
    }

    fn words(text: &str, typed: &str) -> (Vec<Word>, Vec<String>) {
        let typed: Vec<OsString> = typed.split_whitespace().map(OsString::from).collect();
        let (words, problems) = list("words.toml", text).unwrap().words(&typed, None);
        let refused = problems.refuse(Path::new("words.toml")).err();
        let lines = match refused {
            Some(Error::BadList { problems, .. }) => problems,
            Some(other) => panic!("{other}"),
            None => Vec::new(),
        };
        (words, lines)
    }

    #[test]
    fn what_is_at_the_top_counts_less_than_what_a_word_has_and_that_less_than_what_is_typed() {
        let text = "steps = 40\nlr = 0.01\nseed = 1\ndevice = 'cpu'\nout = 'elsewhere'\n\
                    [[word]]\npictures = ['a.png', '-b.png']\ntoken = '<a>'\n\
                    [[word]]\npictures = ['c']\ntoken = '<b>'\nlr = 0.02\nseed = 2\nout = 'two'\nno-flip = true\n";
        let (words, problems) =
            words(text, "pseudoword --quiet train --batch words.toml --seed=7 --out=here --index 1");
        assert_eq!(problems, [""; 0]);
        let [a, b] = words.as_slice() else { panic!("{} words", words.len()) };
        assert_eq!((a.args.config.lr, b.args.config.lr), (Some(0.01), Some(0.02)));
        assert_eq!((a.args.config.steps, b.args.config.steps), (Some(40), Some(40)));
        assert_eq!((a.args.config.seed, b.args.config.seed), (7, 7));
        assert_eq!((a.args.config.no_flip, b.args.config.no_flip), (false, true));
        assert_eq!(a.args.pictures, [PathBuf::from("a.png"), PathBuf::from("-b.png")]);
        assert_eq!([&a.folder, &b.folder], [&Path::new(RUNS).join("a"), &Path::new(RUNS).join("two")]);
        assert_eq!(list("words.toml", text).unwrap().shared().unwrap(), ["--device=cpu", "--out=elsewhere"]);
    }

    #[test]
    fn all_problems_are_told_at_once_and_each_once() {
        let text = "steps = 0\n[[word]]\npictures = ['a']\ntoken = '<a>'\n[[word]]\npictures = ['a']\ntoken = '<b>'\n\
                    [[word]]\npictures = ['a']\ntoken = '<c>'\nsteps = 3\n\
                    [[word]]\npictures = ['a']\ntoken = '<C>'\nsteps = 3\n\
                    [[word]]\ntoken = '<d>'\nsteps = 3\n[[word]]\npictures = ['a']\nsteps = 3\n\
                    [[word]]\npictures = ['a']\ntoken = '<e>'\nstepps = 3\n\
                    [[word]]\npictures = ['a']\ntoken = '<f>'\nsteps = 3\nmodel = 'x'\n";
        let (_, problems) = words(text, "pseudoword train --batch words.toml");
        let told = |words: &str, part: &str| {
            let found = problems.iter().any(|line| line.starts_with(words) && line.contains(part));
            assert!(found, "{words} {part}: {problems:#?}");
        };
        told("0 (<a>), 1 (<b>): ", "--steps 0");
        told("3 (<C>): ", "that of 2");
        told("4 (<d>): ", "PICTURES");
        told("5: ", "--token");
        told("6 (<e>): ", "no option --stepps");
        told("7 (<f>): ", "top");
        assert_eq!(problems.len(), 6, "{problems:#?}");
    }

    #[test]
    fn a_table_of_cells_is_a_list() {
        let text = "\u{feff}pictures,token,init,steps,no-flip,embedding\na.png;b c.png,<a>,apple,3,true,x.pt;y.pt\n\"d,e.png\",<b>,,,,\n";
        let read = list("words.CSV", text).unwrap();
        let [a, b] = read.words.as_slice() else { panic!("{read:?}") };
        assert_eq!(
            Value::from(object(a)),
            serde_json::json!({"pictures": ["a.png", "b c.png"], "token": "<a>", "init": "apple", "steps": "3", "no-flip": true,
                "embedding": ["x.pt", "y.pt"]})
        );
        assert_eq!(Value::from(object(b)), serde_json::json!({"pictures": ["d,e.png"], "token": "<b>"}));
        let (words, problems) = read.words(&["pseudoword".into(), "train".into()], Some(Path::new("x")));
        problems.refuse(Path::new("words.csv")).unwrap();
        assert_eq!((words[0].args.config.steps, &words[1].folder), (Some(3), &PathBuf::from("x/b")));
    }

    #[test]
    fn what_is_no_list_is_refused_with_its_place() {
        for (name, text, part) in [
            ("a.toml", "", "no word"),
            ("a.toml", "steps = 3\n\nword = 3", "[[word]]"),
            ("a.toml", "steps = 3\nsteps = 4\n[[word]]", "line 2"),
            ("a.toml", "a b", "line 1"),
            ("a.csv", "", "no word"),
            ("a.csv", "token,pictures\n<a>\n", "line 2 has 1 cells"),
            ("a.csv", "token,token\n<a>,<b>\n", "two columns"),
        ] {
            let error = list(name, text).map(drop).unwrap_err();
            assert!(error.kind() == Kind::Input && error.to_string().contains(part), "{text}: {error}");
        }
        let error = list("a.toml", "modell = 'x'\ndevice = [1]\n[[word]]\ntoken='<a>'").unwrap().shared().unwrap_err();
        assert!(error.to_string().contains("device"), "{error}");
    }
}
