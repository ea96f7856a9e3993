//! Panics are bugs, but a backtrace is not a message: they become errors.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::task::Poll;

use crate::{Error, Result, gpu};

/// The message of the first panic: the one to report, wherever it happened and whatever it brought down.
static PANIC: Mutex<Option<String>> = Mutex::new(None);

/// From now on panics are recorded rather than printed, unless `RUST_BACKTRACE` asks for that too.
pub fn keep_quiet() {
    let usual = take_hook();
    let verbose = std::env::var_os("RUST_BACKTRACE").is_some_and(|value| value != "0");
    set_hook(Box::new(move |info| {
        let place = info.location().map(|place| format!(" at {}:{}", place.file(), place.line()));
        let message = message(info.payload());
        let mut first = PANIC.lock().unwrap_or_else(PoisonError::into_inner);
        first.get_or_insert_with(|| format!("{message}{}", place.unwrap_or_default()));
        if verbose {
            usual(info);
        }
    }));
}

/// Does some work whose panics become errors.
///
/// # Errors
/// Those of the work; [`Error::Internal`] for a panic, or what the GPU's driver had reported before it.
pub fn caught<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(bug(&*panic)))
}

/// As [`caught`], for a future.
pub async fn caught_in<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let mut work = pin!(work);
    poll_fn(move |context| match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))) {
        // A panic on one of the runtime's own threads goes unnoticed otherwise, and numbers that are read after it may
        // be anything.
        Ok(Poll::Ready(Ok(_))) if seen() => Poll::Ready(Err(bug(&"a panic on another thread"))),
        Ok(polled) => polled,
        Err(panic) => Poll::Ready(Err(bug(&*panic))),
    })
    .await
}

/// Forgets what panicked on a device that is given up.
pub fn forget() {
    *PANIC.lock().unwrap_or_else(PoisonError::into_inner) = None;
}

fn seen() -> bool {
    PANIC.lock().unwrap_or_else(PoisonError::into_inner).is_some()
}

fn bug(panic: &(dyn Any + Send)) -> Error {
    let first = PANIC.lock().unwrap_or_else(PoisonError::into_inner).take();
    let message = first.unwrap_or_else(|| message(panic));
    if gpu::is_loss(&message) {
        return Error::GpuLost { during: "the work on it".to_owned(), reason: "the driver has given it up".to_owned() };
    }
    if gpu::is_full(&message) {
        return Error::GpuMemory { reason: message };
    }
    // What the runtime below makes of a GPU that fails is a consequence of the failure, not a bug of its own.
    gpu::check("the work on it").err().unwrap_or(Error::Internal(message))
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic without a message".to_owned())
}
