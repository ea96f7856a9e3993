//! The engine's sentences in the command line's words: a setting is an option.

use crate::Error;
use crate::event::Event;
use crate::setting::{self, Setting};

fn option(setting: Setting) -> Option<String> {
    Some(format!("--{}", setting.key()))
}

/// A sentence.
pub(super) fn worded(sentence: &str) -> String {
    setting::worded(sentence, &option)
}

/// What an error says.
pub(super) fn of_error(error: &Error) -> String {
    error.worded(&option)
}

/// The same in lines for people.
pub(super) fn lines_of(error: &Error) -> Vec<String> {
    error.worded_lines(&option)
}

/// An event.
pub(super) fn of_event(event: &Event) -> Event {
    event.worded(&option)
}

#[cfg(test)]
mod tests {
    use super::super::args::Cli;
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn every_setting_is_an_option() {
        let command = Cli::command();
        let options: Vec<&str> = command
            .get_arguments()
            .chain(command.get_subcommands().flat_map(|command| command.get_arguments()))
            .filter_map(|argument| argument.get_long())
            .collect();
        for setting in Setting::ALL {
            assert!(options.contains(&setting.key()), "{setting}");
        }
    }
}
