//! The program: arguments in, an exit status out; everything in between is `pseudoword::cli`.

use std::process::ExitCode;

use pseudoword::cli;

fn main() -> ExitCode {
    let arguments = match cli::parse(std::env::args_os()) {
        Ok(arguments) => arguments,
        Err(status) => return status,
    };
    cli::panics::keep_quiet();
    let ended = cli::panics::caught(|| cli::run(&arguments));
    cli::finish(&arguments, ended)
}
