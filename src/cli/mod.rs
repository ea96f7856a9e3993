//! The command line: arguments become a job, its events become lines, its result goes to standard output.
//!
//! Standard output carries the result and nothing else (with `--json`, the events); everything else goes to standard
//! error.

mod args;
mod bench;
mod captions;
mod collect;
mod compare;
mod doctor;
mod embeddings;
pub mod exit;
mod faults;
mod generate;
mod host;
mod idle;
mod kernels;
mod like;
mod load;
mod locate;
mod models;
mod nearby;
mod outlook;
mod output;
mod predict;
mod prompt;
mod report;
mod serve;
mod settings;
mod train;
mod wording;

use std::borrow::Cow;
use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{CommandFactory, FromArgMatches};

pub use args::Cli;
use args::Command;
pub use faults::panics;
use output::{Output, json, terminal};

use crate::base::failpoints;
use crate::base::text::{one_line, quoted};
use crate::setting::Setting;
use crate::{Error, Result};

/// Where a failed write to standard output says it was.
const STDOUT: &str = "standard output";

/// Reads the arguments.
///
/// # Errors
/// The status to end with, once help, the version or what is wrong has been printed.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> std::result::Result<Cli, ExitCode> {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let json = arguments.iter().any(|argument| argument == "--json");
    let expanded = settings::expand(arguments).map_err(|error| report(&error, json))?;
    let mut cli = read(&expanded.arguments).map_err(|error| {
        show(&error, &expanded.arguments);
        if error.use_stderr() && json {
            let _written = json::error_line(exit::USAGE, &sentence(&error.to_string()));
        }
        ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(exit::USAGE))
    })?;
    expanded.complete(&mut cli);
    Ok(cli)
}

/// What clap makes of the arguments, with another tip where it takes an option's value that begins with a hyphen for an
/// option: after the `--` that it advises everything would be something else.
fn read(arguments: &[OsString]) -> std::result::Result<Cli, clap::Error> {
    parsed(arguments).map_err(|mut error| {
        if error.kind() == ErrorKind::UnknownArgument
            && let Some(ContextValue::String(unknown)) = error.get(ContextKind::InvalidArg)
            && let Some((option, value)) = meant_as_value(unknown, arguments)
        {
            let tip = format!("to give {} to {option}, write {option}={}", quoted(&value), wording::quoted(&value));
            error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
        }
        error
    })
}

/// As [`clap::Parser::try_parse_from`], with the options of `generate` that were typed.
fn parsed(arguments: &[OsString]) -> std::result::Result<Cli, clap::Error> {
    let matches = Cli::command().try_get_matches_from(arguments)?;
    let mut cli = Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut Cli::command()))?;
    if let (Command::Generate(args), Some((_, matches))) = (&mut cli.command, matches.subcommand()) {
        // Of settings that are no options of this command it does not want to be asked.
        let ids: Vec<&str> = matches.ids().map(|id| id.as_str()).collect();
        let is_typed = |setting: &&Setting| {
            let id = setting.key().replace('-', "_");
            ids.contains(&id.as_str()) && matches.value_source(&id) == Some(ValueSource::CommandLine)
        };
        args.typed = Setting::ALL.iter().filter(is_typed).copied().collect();
    }
    Ok(cli)
}

/// The option that takes a value and has an unknown argument behind it, and that argument as it was typed.
fn meant_as_value(unknown: &str, arguments: &[OsString]) -> Option<(String, String)> {
    let command = Cli::command();
    let takes_value = |option: &str| {
        let all = command.get_subcommands().flat_map(clap::Command::get_arguments).chain(command.get_arguments());
        let mut all = all.filter(|argument| argument.get_action().takes_values());
        option.strip_prefix("--").is_some_and(|name| all.any(|argument| argument.get_long() == Some(name)))
    };
    arguments.windows(2).find_map(|pair| {
        let [option, value] = pair else { return None };
        let (option, value) = (option.to_str()?, value.to_str()?);
        (value.starts_with(unknown) && takes_value(option)).then(|| (option.to_owned(), value.to_owned()))
    })
}

/// Prints help, the version, or what clap says about the arguments, which it repeats: a script may have put a name into
/// them that nobody has looked at.
fn show(error: &clap::Error, arguments: &[OsString]) {
    let seen = |argument: &OsString| one_line(&argument.to_string_lossy()).into_owned();
    let odd = arguments.iter().any(|argument| matches!(one_line(&argument.to_string_lossy()), Cow::Owned(_)));
    // The same is wrong with arguments in which everything is seen.
    let again =
        if odd { read(&arguments.iter().map(seen).map(OsString::from).collect::<Vec<_>>()).err() } else { None };
    let error = again.as_ref().unwrap_or(error);
    let text = error.render().to_string();
    if text.lines().all(|line| matches!(one_line(line), Cow::Borrowed(_))) {
        // In colours where there are some. If the pipe is closed, nobody is reading.
        let _written = error.print();
    } else {
        text.lines().for_each(terminal::say);
    }
}

/// clap's message on one line, without the usage that follows it.
fn sentence(message: &str) -> String {
    let message = message.split("\n\n").next().unwrap_or_default();
    message.strip_prefix("error: ").unwrap_or(message).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Runs the command that the arguments ask for.
///
/// # Errors
/// What stopped it, for [`finish`].
pub fn run(cli: &Cli) -> Result<()> {
    failpoints::arm();
    join_the_pool();
    let mut out = Output::new(&cli.shared);
    idle::report(cli, &mut out)?;
    pollster::block_on(async {
        match &cli.command {
            Command::Train(args) => train::run(args, &cli.shared, &mut out).await,
            Command::Generate(args) => generate::run(args, &cli.shared, &mut out).await,
            Command::Collect(args) => collect::run(args, &mut out),
            Command::Captions(args) => captions::run(args, &cli.shared, &mut out).await,
            Command::Prompt(args) => prompt::run(args, &cli.shared, &mut out).await,
            Command::Inspect(args) => embeddings::inspect::run(args, &cli.shared, &mut out).await,
            Command::Convert(args) => embeddings::convert::run(args, &cli.shared, &mut out).await,
            Command::Embeddings { command } => embeddings::run(command, &cli.shared, &mut out).await,
            Command::Models { command } => models::run(command.as_ref(), &cli.shared, &mut out).await,
            Command::Doctor(args) => doctor::run(args, &cli.shared, &mut out).await,
            Command::Bench(args) => bench::run(args, &cli.shared, &mut out).await,
            Command::Serve(args) => serve::run(args, &mut out),
        }
    })
}

/// Makes this thread one of the threads that share the processor's work.
///
/// It would otherwise sleep while the others compute, and each of the hundreds of small kernels of a training step
/// would cost two changes of thread. A library must not do this to its callers' threads; a program may.
fn join_the_pool() {
    // Refused where the pool exists already: slower, nothing worse.
    let _refused = rayon::ThreadPoolBuilder::new().use_current_thread().build_global();
}

/// Reports what went wrong, once, and gives the status to end with.
pub fn finish(cli: &Cli, ended: Result<()>) -> ExitCode {
    let Err(error) = ended else { return ExitCode::SUCCESS };
    if is_closed_pipe(&error) { ExitCode::SUCCESS } else { report(&error, cli.shared.json) }
}

/// Reports what went wrong.
fn report(error: &Error, json: bool) -> ExitCode {
    // A user who interrupted a job knows it, and has read what was saved.
    if !matches!(error, Error::Interrupted { .. }) {
        for (number, line) in wording::lines_of(error).iter().enumerate() {
            let head = if number == 0 { "error: " } else { "" };
            terminal::say(&format!("{head}{line}"));
        }
    }
    let status = exit::status(error);
    if json {
        let _written = json::error_line(status, &wording::of_error(error));
    }
    ExitCode::from(status)
}

/// Whether the reader of our standard output went away, as `head` does when it has seen enough: not a failure.
fn is_closed_pipe(error: &Error) -> bool {
    match error {
        Error::Write { path, source } => path == Path::new(STDOUT) && source.kind() == std::io::ErrorKind::BrokenPipe,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(arguments: &[&str]) -> String {
        let arguments: Vec<OsString> = ["pseudoword"].iter().chain(arguments).map(OsString::from).collect();
        read(&arguments).map(drop).unwrap_err().to_string()
    }

    #[test]
    fn a_value_that_begins_with_a_hyphen_is_told_from_an_option() {
        let text = said(&["train", "photos", "--token", "-xy"]);
        assert!(text.contains("--token=-xy") && !text.contains("-- -x"), "{text}");
        assert!(!said(&["train", "photos", "--overwrite", "-xy"]).contains("--overwrite="));
    }
}
