//! Failures that a GPU's driver reports later, and not to the call that caused them.

use std::sync::{Mutex, PoisonError};

use crate::{Error, Result};

/// The first failure that was reported.
static FAULT: Mutex<Option<Fault>> = Mutex::new(None);

/// A failure that the driver reported.
#[derive(Debug, Clone)]
enum Fault {
    Memory(String),
    Other(String),
}

/// Notes what a driver reports: wgpu's default is to panic.
///
/// The first report is kept: what follows it is its consequence. From then on no value is read ([`check`]).
pub fn report(error: &wgpu::Error) {
    let fault = match error {
        wgpu::Error::OutOfMemory { source } => Fault::Memory(first_line(&source.to_string())),
        wgpu::Error::Validation { description, .. } => {
            let what = "a GPU command was invalid: a bug in pseudoword or in the driver; please report it";
            Fault::Other(format!("{what} ({})", description.split_whitespace().collect::<Vec<_>>().join(" ")))
        }
        wgpu::Error::Internal { description, .. } => Fault::Other(first_line(description)),
    };
    FAULT.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(fault);
}

/// Whether the driver has reported a failure.
///
/// # Errors
/// That failure.
pub fn check(during: &str) -> Result<()> {
    match FAULT.lock().unwrap_or_else(PoisonError::into_inner).clone() {
        None => Ok(()),
        Some(Fault::Memory(reason)) => Err(Error::GpuMemory { reason }),
        Some(Fault::Other(reason)) => Err(Error::Gpu { during: during.to_owned(), reason }),
    }
}

/// Forgets a failure of a lost device, or of work that was only a trial.
pub(crate) fn forgive() {
    *FAULT.lock().unwrap_or_else(PoisonError::into_inner) = None;
}

/// Whether an error's words are those of the runtime for a device that is gone: on the way through its layers the kind
/// of the error is lost, the words are not.
pub(crate) fn is_loss(words: &str) -> bool {
    words.contains("device is poisoned") || words.contains("device was lost")
}

/// Whether words are those of drivers, wgpu and cubecl when a buffer cannot be had; they do not return it as an error.
#[cfg(any(feature = "native", target_family = "wasm"))]
pub(crate) fn is_full(words: &str) -> bool {
    let lower = words.to_lowercase();
    ["out of memory", "not enough memory", "outofmemory", "out_of_device_memory", "out_of_host_memory"]
        .iter()
        .any(|mark| lower.contains(mark))
}

/// The first line of a driver's message: backtraces may come after it.
pub(crate) fn first_line(words: &str) -> String {
    words.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("no reason was given").to_owned()
}
