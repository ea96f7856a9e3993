//! The engine's sentences in the command line's words: a setting is an option.

use crate::Error;
use crate::embedding::Refusal;
use crate::event::Event;
use crate::setting::{self, Setting};
use crate::text::name::like;

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

/// A word of a command line, as a shell takes it.
pub(super) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else if cfg!(windows) {
        format!("\"{word}\"")
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// The refusal of a name that the embedding of `source` has, with what to type after `before` to give it another.
pub(super) fn renamed(error: Error, before: &str, source: &str) -> Error {
    error.called_otherwise(|name| format!("{before} {}", quoted(&format!("{source}={name}"))))
}

/// What cannot be done with the embedding of `source` under the name that it has, with what to type to give it
/// another.
pub(super) fn unwritable(refusal: &Refusal, token: &str, source: &str, command: impl Fn(&str) -> String) -> String {
    let said = refusal.to_string();
    let typed = command(&quoted(&format!("{source}={}", like(token))));
    if said.ends_with("choose another token") { format!("{said}: {typed}") } else { said }
}

/// Why the file of `source` is not taken, with the command to type where the name of the embedding in it would help.
pub(super) fn refused(refusal: &Refusal, file: &str, source: &str, command: impl Fn(&str) -> String) -> Error {
    let name = match refusal {
        Refusal::Several { .. } | Refusal::NoSuchEmbedding { .. } => Some("NAME"),
        Refusal::Unnamed => Some("<my-thing>"),
        _ => None,
    };
    let typed = name.map(|name| format!(": {}", command(&quoted(&format!("{source}={name}")))));
    Error::BadFile { file: file.to_owned(), reason: format!("{refusal}{}", typed.unwrap_or_default()) }
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
    fn which_of_several_is_said_by_a_name() {
        let several = Refusal::Several { names: vec!["\"<a>\"".to_owned(), "\"<b>\"".to_owned()] };
        let refused = |refusal, file| refused(refusal, file, file, |typed| format!("-e {typed}")).to_string();
        let said = refused(&several, "two.bin");
        assert!(said.contains("\"<b>\": -e ") && said.contains("two.bin=NAME"), "{said}");
        assert!(refused(&Refusal::Unnamed, "raw.pt").contains("raw.pt=<my-thing>"));
        assert_eq!(refused(&Refusal::Empty, "x"), format!("x: {}", Refusal::Empty));
    }

    #[test]
    #[cfg(unix)]
    fn a_word_reaches_a_program_as_it_is() {
        for word in ["a b", "<my-cat>", "it's", "", "a=b", "$HOME", "x.pt", "~", "`"] {
            let echoed = std::process::Command::new("sh").args(["-c", &format!("printf %s {}", quoted(word))]).output();
            assert_eq!(String::from_utf8(echoed.unwrap().stdout).unwrap(), word);
        }
        assert_eq!(quoted("words/photo.pt"), "words/photo.pt");
    }

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
