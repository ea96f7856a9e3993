//! What a run was started with, as a file that starts it again: `train --config runs/x/settings.json`.
//!
//! The file is a JSON object of the options of `train` by their long names, and `pictures`. It stands for having given
//! them: options on the command line come after it, and override it.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::Path;
use std::rc::Rc;

use clap::{ArgAction, CommandFactory};
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value, json};

use super::args::{Cli, Command, Shared, TrainArgs};
use super::locate;
use super::train::{List, TypedList};
use crate::base::files;
use crate::config::{TrainConfig, option_name};
use crate::{Error, Result};

/// The key of the pictures, which are not an option.
pub(super) const PICTURES: &str = "pictures";

/// Options that say where settings come from, and are none themselves.
const NO_SETTINGS: [&str; 5] = ["config", "batch", "index", "shard", "together"];

/// Options that a repeated run does not have from the one before: where it writes and what becomes of files that are
/// there, what is printed, and how files are got. Every other option is recorded, as a test below sees to.
#[cfg(test)]
const NOT_RECORDED: [&str; 14] = [
    "out",
    "scratch",
    "overwrite",
    "resume",
    "config",
    "dry-run",
    "record",
    "offline",
    "json",
    "quiet",
    "batch",
    "index",
    "shard",
    "together",
];

/// The settings of a run, which it has decided. Paths are absolute, so that they hold from everywhere.
pub(super) fn of(args: &TrainArgs, config: &TrainConfig, shared: &Shared) -> Value {
    let mut settings = match serde_json::to_value(config) {
        Ok(Value::Object(fields)) => fields,
        _ => Map::new(),
    };
    let many = |paths: &[std::path::PathBuf]| paths.iter().map(|path| absolute(path)).collect::<Vec<_>>();
    settings.insert(PICTURES.to_owned(), json!(many(&args.pictures)));
    settings.insert("unseen".to_owned(), json!(many(&args.unseen)));
    settings.insert("captions".to_owned(), json!(option_name(&args.captions)));
    settings.insert("mask-folder".to_owned(), json!(args.mask_folder.as_deref().map(absolute)));
    settings.insert("template".to_owned(), json!(args.template.as_deref().map(absolute)));
    settings.insert("replay".to_owned(), json!(args.replay.as_deref().map(absolute)));
    settings.insert("device".to_owned(), json!(option_name(&shared.device)));
    settings.insert("precision".to_owned(), json!(option_name(&shared.precision)));
    settings.insert("on-device-lost".to_owned(), json!(option_name(&args.on_device_lost)));
    // A repository or an address is not a path.
    let place = |typed: &Path| if typed.exists() { absolute(typed) } else { typed.display().to_string() };
    settings.insert("model".to_owned(), json!(shared.model.as_deref().map(place)));
    settings.insert("base".to_owned(), json!(shared.base.as_deref().map(place)));
    settings.insert("prediction-type".to_owned(), json!(shared.prediction_type.as_ref().map(option_name)));
    settings.insert("weights".to_owned(), json!(option_name(&shared.weights)));
    let embeddings = args.embeddings.iter().map(|typed| {
        let (source, name) = locate::source_and_name(typed);
        format!("{}{}", place(Path::new(source)), name.map_or_else(String::new, |name| format!("={name}")))
    });
    settings.insert("embedding".to_owned(), json!(embeddings.collect::<Vec<_>>()));
    for (name, init) in [("init", &args.config.init), ("second-init", &args.config.second_init)] {
        if let Some(init) = init.as_ref().filter(|init| locate::names_an_embedding_file(init)) {
            settings.insert(name.to_owned(), json!(absolute(Path::new(init))));
        }
    }
    // What is not set need not be read back.
    settings.retain(|_, value| !value.is_null() && *value != json!([]) && *value != json!(false));
    Value::Object(settings)
}

fn absolute(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string()
}

/// What was typed, with what stands in the files that it names.
pub(super) struct Expanded {
    pub arguments: Vec<OsString>,
    /// The pictures in the file of settings.
    pictures: Vec<String>,
    /// The list of words.
    list: Option<Rc<TypedList>>,
}

/// The arguments with those of the file after `--config` or at the top of the list after `--batch`, if there is one, put
/// before everything else after `train`.
///
/// # Errors
/// [`Error::Read`], [`Error::BadFile`] naming what is not an option.
pub(super) fn expand(mut arguments: Vec<OsString>) -> Result<Expanded> {
    let mut expanded = Expanded { arguments: Vec::new(), pictures: Vec::new(), list: None };
    let train = arguments.iter().position(|argument| argument == "train");
    let named = |option| train.and_then(|train| value_of(option, &arguments[train..]));
    let mut options = Vec::new();
    if let Some(file) = named("--batch") {
        let list = List::read(Path::new(&file))?;
        options = list.shared()?;
        expanded.list = Some(Rc::new(TypedList { list, typed: arguments.clone() }));
    } else if let Some(file) = named("--config") {
        (options, expanded.pictures) = read(Path::new(&file))?;
    }
    if let (Some(train), false) = (train, options.is_empty()) {
        // What is given twice counts as given last, and behind `train` more than before it: everything typed comes after the file's.
        let rest = arguments.split_off(train + 1);
        let before = arguments.drain(1..train).collect::<Vec<_>>();
        arguments.extend(options.into_iter().map(OsString::from).chain(before).chain(rest));
    }
    Ok(Expanded { arguments, ..expanded })
}

impl Expanded {
    /// Takes the pictures of the settings file where none were given, and the list.
    pub fn complete(self, cli: &mut Cli) {
        if let Command::Train(args) = &mut cli.command {
            if args.pictures.is_empty() {
                args.pictures = self.pictures.into_iter().map(Into::into).collect();
            }
            args.list = self.list;
        }
    }
}

/// What is given to an option among arguments.
fn value_of(option: &str, arguments: &[OsString]) -> Option<OsString> {
    // What is given twice counts as given last.
    let (mut arguments, mut last) = (arguments.iter(), None);
    while let Some(argument) = arguments.next() {
        if argument == option {
            last = arguments.next().cloned();
        } else if let Some(value) =
            argument.to_str().and_then(|argument| argument.strip_prefix(option)?.strip_prefix('='))
        {
            last = Some(OsStr::new(value).to_owned());
        }
    }
    last
}

/// Arguments without some options and what is given to them.
pub(super) fn without(arguments: &[OsString], options: &[&str]) -> Vec<OsString> {
    let (mut arguments, mut kept) = (arguments.iter(), Vec::new());
    while let Some(argument) = arguments.next() {
        let name = argument.to_str().unwrap_or_default();
        if options.contains(&name) {
            arguments.next();
        } else if !options.iter().any(|option| name.strip_prefix(option).is_some_and(|rest| rest.starts_with('='))) {
            kept.push(argument.clone());
        }
    }
    kept
}

/// A file's settings in their order. One that is there twice is refused: a JSON object would keep the last in silence.
struct Given(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Given {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Given;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with the options of train")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Given, A::Error> {
                let mut fields: Vec<(String, Value)> = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, Value>()? {
                    if fields.iter().any(|(other, _)| *other == name) {
                        return Err(A::Error::custom(format!("{name} is given twice")));
                    }
                    fields.push((name, value));
                }
                Ok(Given(fields))
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

fn read(path: &Path) -> Result<(Vec<String>, Vec<String>)> {
    let bad = |reason: String| Error::BadFile { file: path.display().to_string(), reason };
    let Given(settings) = serde_json::from_str(&files::read_text(path)?).map_err(|error| {
        bad(if error.is_data() {
            format!("it is not an object of settings: {error}")
        } else {
            format!("it is not JSON: {error}")
        })
    })?;
    arguments(&Cli::command(), &settings).map_err(bad)
}

/// What the settings of a run stand for: the options as they would be typed, and the pictures.
///
/// # Errors
/// Which of them is no option of `train`, or cannot have the value that it has.
pub(super) fn arguments(
    command: &clap::Command,
    settings: &[(String, Value)],
) -> std::result::Result<(Vec<String>, Vec<String>), String> {
    let (mut options, mut pictures) = (Vec::new(), Vec::new());
    for (name, value) in settings {
        let plain = |value: &Value| match value {
            Value::String(text) => Ok(text.clone()),
            Value::Number(number) => Ok(number.to_string()),
            other => Err(format!("{name} cannot be {other}")),
        };
        let values = match value {
            Value::Array(values) => values.iter().map(plain).collect::<std::result::Result<Vec<_>, _>>()?,
            Value::Null | Value::Bool(_) => Vec::new(),
            value => vec![plain(value)?],
        };
        match name.as_str() {
            PICTURES => pictures = values,
            name => {
                let Some(option) = option(command, name) else {
                    return Err(if name.is_empty() {
                        "a value has no name".to_owned()
                    } else {
                        format!("there is no option --{name}")
                    });
                };
                let (takes_value, takes_many) = (option.get_action().takes_values(), takes_many(option));
                match value {
                    Value::Null => {}
                    Value::Bool(on) if !takes_value => options.extend(on.then(|| format!("--{name}"))),
                    _ if !takes_value => return Err(format!("{name} is true or false, not {value}")),
                    Value::Bool(_) => return Err(format!("{name} cannot be {value}")),
                    Value::Array(_) if !takes_many => return Err(format!("{name} is one value, not {value}")),
                    _ => options.extend(values.iter().map(|value| format!("--{name}={value}"))),
                }
            }
        }
    }
    Ok((options, pictures))
}

/// The option of this name that a run's settings may have: one of `train`, or of every command.
pub(super) fn option<'a>(command: &'a clap::Command, name: &str) -> Option<&'a clap::Arg> {
    let train = command.find_subcommand("train");
    let mut options = train.into_iter().flat_map(|train| train.get_arguments()).chain(command.get_arguments());
    options.find(|option| option.get_long() == Some(name) && !NO_SETTINGS.contains(&name))
}

/// Whether an option may be given more than once.
pub(super) fn takes_many(option: &clap::Arg) -> bool {
    matches!(option.get_action(), ArgAction::Append)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    use crate::gpu::Precision;

    fn parse(arguments: &[&str]) -> TrainArgs {
        let arguments = arguments.iter().map(OsString::from).collect();
        let expanded = expand(arguments).unwrap();
        let mut cli = Cli::try_parse_from(&expanded.arguments).unwrap();
        expanded.complete(&mut cli);
        let Command::Train(train) = cli.command else { panic!("not train") };
        *train
    }

    #[test]
    fn a_run_is_started_again_by_what_it_was_started_with() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("settings.json");
        let typed = "pseudoword train a.png b.png --token <p> --lr 3e-3 --no-flip --unseen c.png --lr-schedule linear \
                     --device gpu:41:00.0 --precision f32 --recipe direction --weight-decay 0.1 --model x.safetensors --base owner/name \
                     --prediction-type v-prediction --weights f32 -e w.pt=<a=b> -e kept";
        let typed: Vec<&str> = typed.split_whitespace().collect();
        let first = Cli::try_parse_from(&typed).unwrap();
        let shared = first.shared.clone();
        let Command::Train(first) = first.command else { panic!("not train") };
        std::fs::write(&file, of(&first, &first.config, &shared).to_string()).unwrap();
        let file = file.to_str().unwrap();
        let again = parse(&["pseudoword", "train", "--config", file]);
        assert_eq!(again.config, first.config);
        let repeated = Cli::try_parse_from(
            expand(["pseudoword", "train", "--config", file].map(OsString::from).into()).unwrap().arguments,
        );
        let repeated = repeated.unwrap().shared;
        assert_eq!((&repeated.base, repeated.prediction_type), (&shared.base, shared.prediction_type));
        assert_eq!((&repeated.model, repeated.weights), (&shared.model, shared.weights));
        assert_eq!((repeated.device, repeated.precision), (shared.device, Precision::F32));
        assert_eq!(
            of(&again, &again.config, &repeated),
            of(&first, &first.config, &shared),
            "nothing changes from one repetition to the next"
        );
        assert_eq!(
            again.pictures,
            first.pictures.iter().map(|path| std::path::absolute(path).unwrap()).collect::<Vec<_>>()
        );
        let other =
            parse(&["pseudoword", "train", "d.png", &format!("--config={file}"), "--lr", "1e-3", "--steps", "9"]);
        assert_eq!((other.config.lr, other.config.steps, other.pictures.len()), (Some(1e-3), Some(9), 1));
        let before = ["pseudoword", "--weights", "f16", "--model", "y", "train", "--config", file].map(OsString::from);
        let before = Cli::try_parse_from(expand(before.into()).unwrap().arguments).unwrap().shared;
        assert_eq!((before.model.as_deref(), option_name(&before.weights).as_str()), (Some(Path::new("y")), "f16"));
        assert!(other.config.no_flip);
    }

    #[test]
    fn whatever_changes_a_run_is_recorded() {
        // One value for each option that can have one; a new option must be recorded or be listed as one that is not.
        let folder = tempfile::tempdir().unwrap();
        let init = folder.path().join("start.pt");
        std::fs::write(&init, "").unwrap();
        let command = Cli::command();
        let train = command.find_subcommand("train").unwrap();
        let mut typed = vec!["pseudoword".to_owned(), "train".to_owned(), "p".to_owned()];
        let mut options = Vec::new();
        for option in train.get_arguments().chain(command.get_arguments()) {
            let Some(long) = option.get_long().filter(|long| !["help", "version"].contains(long)) else { continue };
            if NOT_RECORDED.contains(&long) {
                continue;
            }
            let values = option.get_possible_values();
            let value = match long {
                "token" => "<t>",
                "device" => "gpu:1",
                "init" | "second-init" => init.to_str().unwrap(),
                "lr" | "relative-lr" | "beta1" | "snr-gamma" | "caption-dropout" => "0.5",
                "timesteps" | "hold-norm" => "120..180",
                _ => values.last().map_or("8", |value| value.get_name()),
            };
            options.push(long.to_owned());
            match option.get_action() {
                clap::ArgAction::SetTrue => typed.push(format!("--{long}")),
                _ => typed.push(format!("--{long}={value}")),
            }
        }
        let cli = Cli::try_parse_from(&typed).unwrap_or_else(|error| panic!("{error}"));
        let Command::Train(train) = &cli.command else { panic!("not train") };
        let recorded = of(train, &train.config, &cli.shared);
        for option in options {
            assert!(recorded.get(&option).is_some(), "--{option} is not in {recorded}");
        }
    }

    #[test]
    fn what_is_not_a_setting_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x.json");
        for (text, part) in [
            (r#"{"stepps": 3}"#, "--stepps"),
            ("[]", "object"),
            (r#"{"steps": {}}"#, "steps cannot be"),
            (r#"{"steps": false}"#, "steps cannot be"),
            (r#"{"steps": [1, 2]}"#, "steps is one value"),
            (r#"{"no-flip": "yes"}"#, "true or false"),
        ] {
            std::fs::write(&file, text).unwrap();
            let error = read(&file).unwrap_err();
            assert!(error.kind() == crate::error::Kind::Input && error.to_string().contains(part), "{error}");
        }
    }
}
