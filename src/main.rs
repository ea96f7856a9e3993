//! The program: arguments in, an exit status out; everything in between is `pseudoword::cli`.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};

use pseudoword::{Error, cli};

/// What the first panic said: the one to report, wherever it happened and whatever it brought down.
static PANIC: Mutex<Option<String>> = Mutex::new(None);

fn main() -> ExitCode {
    let arguments = match cli::parse(std::env::args_os()) {
        Ok(arguments) => arguments,
        Err(status) => return status,
    };
    keep_panics_quiet();
    let ended = catch_unwind(AssertUnwindSafe(|| cli::run(&arguments)));
    cli::finish(&arguments, ended.unwrap_or_else(|panic| Err(bug(&*panic))))
}

/// Panics are bugs, but a backtrace is no message: it is printed only where `RUST_BACKTRACE` asks for it.
fn keep_panics_quiet() {
    let usual = take_hook();
    let verbose = std::env::var_os("RUST_BACKTRACE").is_some_and(|value| value != "0");
    set_hook(Box::new(move |info| {
        let place = info.location().map(|place| format!(" at {}:{}", place.file(), place.line()));
        let words = words(info.payload());
        let mut first = PANIC.lock().unwrap_or_else(PoisonError::into_inner);
        first.get_or_insert_with(|| format!("{words}{}", place.unwrap_or_default()));
        if verbose {
            usual(info);
        }
    }));
}

fn bug(panic: &(dyn Any + Send)) -> Error {
    let first = PANIC.lock().unwrap_or_else(PoisonError::into_inner).take();
    let words = first.unwrap_or_else(|| words(panic));
    // What drivers, wgpu and cubecl say when a buffer cannot be had; they do not return it as an error.
    let memory = ["out of memory", "not enough memory", "outofmemory", "out_of_device_memory", "out_of_host_memory"];
    let lower = words.to_lowercase();
    if memory.iter().any(|mark| lower.contains(mark)) {
        return Error::TooLittleMemory {
            need: "more than the device could give".to_owned(),
            have: format!("it said: {words}"),
            advice:
                "try a smaller batch or smaller pictures, --checkpointing on for training, --weights f16, or --device \
                     cpu"
                .to_owned(),
        };
    }
    Error::Internal(words)
}

fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic without a message".to_owned())
}
