//! What a GPU's driver reports when it likes, and not to the call that caused it.

use std::sync::{Mutex, PoisonError};

use crate::{Error, Result};

/// The first thing that went wrong on the GPU without anybody waiting for it.
static FAULT: Mutex<Option<Fault>> = Mutex::new(None);

/// Something that the driver reports when it likes, and not to the call that caused it.
#[derive(Debug, Clone)]
enum Fault {
    Memory(String),
    Other(String),
}

/// Notes what a driver reports, in place of the panic that is the default.
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

/// Forgets a failure: of a device that is gone, or of work that was only a trial.
#[cfg(not(target_family = "wasm"))]
pub(crate) fn forgive() {
    *FAULT.lock().unwrap_or_else(PoisonError::into_inner) = None;
}

/// Whether an error's words are those of the runtime for a device that is gone: on the way through its layers the kind of
/// the error is lost, the words are not.
pub(crate) fn is_loss(words: &str) -> bool {
    words.contains("device is poisoned") || words.contains("device was lost")
}

/// The words of a driver, without the backtraces that come after them.
pub(crate) fn first_line(words: &str) -> String {
    words.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("no reason was given").to_owned()
}
