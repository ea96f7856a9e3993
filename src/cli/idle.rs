//! What was given to a command that has no use for it: options of every command, and variables of the environment.

use super::args::{Cli, Command, EmbeddingsCommand, ModelsCommand, Shared, WeightStorage};
use super::output::Output;
use crate::Result;
use crate::event::{Event, WarningCode};
use crate::gpu::{DeviceChoice, Precision};
use crate::text::likeness::nearest;

/// How the names of our variables begin.
const PREFIX: &str = "PSEUDOWORD_";

/// The variables that the program and its tests know, without what they begin with (docs/ENVIRONMENT.md).
const VARIABLES: [&str; 7] = ["HOME", "CACHE", "REFERENCE", "FAILPOINTS", "KILLS", "BLESS", "WRITE"];

/// The options of every command that a command has a use for. (`--offline` is kept by those too that fetch nothing.)
struct Uses {
    device: bool,
    model: bool,
    /// What is said about a model that is given.
    about_model: bool,
    weights: bool,
}

impl Uses {
    fn of(command: &Command) -> Self {
        let [device, model, weights] = match command {
            Command::Train(_) | Command::Generate(_) | Command::Captions(_) | Command::Bench(_) => [true; 3],
            // It has an argument for the model.
            Command::Models { command: Some(ModelsCommand::Convert(_)) } => {
                return Self { device: false, model: false, about_model: true, weights: true };
            }
            Command::Prompt(_) | Command::Inspect(_) | Command::Models { command: None } => [false, true, false],
            Command::Embeddings { command: EmbeddingsCommand::Show { .. } } => [false, true, false],
            Command::Doctor(args) => [args.kernels.is_none(), false, false],
            Command::Collect(_) | Command::Convert(_) | Command::Embeddings { .. } | Command::Serve(_) => [false; 3],
        };
        Self { device, model, about_model: model, weights }
    }

    /// The options that were given and are of no use.
    fn idle(&self, shared: &Shared) -> Vec<&'static str> {
        let given = [
            ("--device", self.device, shared.device != DeviceChoice::default()),
            ("--precision", self.device, shared.precision != Precision::default()),
            ("--model", self.model, shared.model.is_some()),
            ("--base", self.about_model, shared.base.is_some()),
            ("--prediction-type", self.about_model, shared.prediction_type.is_some()),
            ("--weights", self.weights, shared.weights != WeightStorage::default()),
        ];
        given.into_iter().filter(|(_, used, given)| *given && !used).map(|(option, ..)| option).collect()
    }
}

/// Reports it.
pub(super) fn report(cli: &Cli, out: &mut Output) -> Result<()> {
    let command = name(&cli.command);
    for option in Uses::of(&cli.command).idle(&cli.shared) {
        let text = format!("{option} has no effect: {command} has no use for it");
        out.event(&Event::warning(WarningCode::NoEffect, text))?;
    }
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    names.filter_map(|name| unknown_variable(&name)).try_for_each(|event| out.event(&event))
}

fn name(command: &Command) -> &'static str {
    match command {
        Command::Train(_) => "train",
        Command::Generate(_) => "generate",
        Command::Captions(_) => "captions",
        Command::Collect(_) => "collect",
        Command::Prompt(_) => "prompt",
        Command::Inspect(_) => "inspect",
        Command::Convert(_) => "convert",
        Command::Embeddings { .. } => "embeddings",
        Command::Models { command: Some(ModelsCommand::Convert(_)) } => "models convert",
        Command::Models { command: None } => "models",
        Command::Doctor(args) if args.kernels.is_some() => "doctor --kernels",
        Command::Doctor(_) => "doctor",
        Command::Bench(_) => "bench",
        Command::Serve(_) => "serve",
    }
}

/// A warning about a variable whose name looks like one of ours and is not.
fn unknown_variable(name: &str) -> Option<Event> {
    let bare = name.strip_prefix(PREFIX)?;
    if VARIABLES.contains(&bare) {
        return None;
    }
    let meant = nearest(bare, VARIABLES).map_or_else(String::new, |meant| format!("; did you mean {PREFIX}{meant}?"));
    let text = format!("the variable {name} of the environment is not one of this program, so it has no effect{meant}");
    Some(Event::warning(WarningCode::UnknownVariable, text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    fn idle(typed: &str) -> Vec<&'static str> {
        let cli = Cli::try_parse_from(typed.split_whitespace()).unwrap();
        Uses::of(&cli.command).idle(&cli.shared)
    }

    #[test]
    fn options_that_a_command_has_no_use_for_are_named() {
        let all = "--device cpu --model m --base b --prediction-type epsilon --weights f16 --offline";
        for used in ["train a.png --token t", "generate p", "bench"] {
            assert_eq!(idle(&format!("pseudoword {used} {all}")), [""; 0], "{used}");
        }
        assert_eq!(idle(&format!("pseudoword models {all}")), ["--device", "--weights"]);
        let converting = idle("pseudoword models convert m out --device cpu --model m --base b --weights f16");
        assert_eq!(converting, ["--device", "--model"]);
        assert_eq!(idle(&format!("pseudoword serve {all}")).len(), 5);
        assert_eq!(idle("pseudoword convert a b --model m --offline"), ["--model"]);
        assert_eq!(idle("pseudoword embeddings show <t> --model m --weights f32"), ["--weights"]);
        assert_eq!(idle("pseudoword embeddings list --offline --weights f32"), ["--weights"]);
        assert_eq!(idle("pseudoword doctor --device gpu --precision f16 --model m"), ["--model"]);
        assert_eq!(idle("pseudoword doctor --device gpu --precision f16 --kernels k"), ["--device", "--precision"]);
    }

    #[test]
    fn variables_that_are_none_of_ours_are_named_with_what_may_be_meant() {
        let said = |name: &str| unknown_variable(name).map(|event| format!("{event:?}"));
        assert!(said("PSEUDOWORD_CACHE_DIR").unwrap().contains("did you mean PSEUDOWORD_CACHE?"));
        assert!(said("PSEUDOWORD_COLOUR").is_some_and(|said| !said.contains("mean")));
        assert_eq!((said("PSEUDOWORD_HOME"), said("HOME"), said("PSEUDOWORDS")), (None, None, None));
    }
}
