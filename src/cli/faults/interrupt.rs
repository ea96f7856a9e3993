//! Requests to stop: the first asks the job to finish its step and save, the second ends the program.
//!
//! Four signals ask: Ctrl-C, a request to terminate, a terminal that goes away, and SIGUSR1, with which schedulers say that a
//! job will soon be ended, where it asks for that. The exit status says which it was.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::cli::exit;
use crate::cli::output::terminal;
use crate::{Error, Result};

/// The number of SIGPIPE: nobody reads what is written. (Nothing listens to it: writing fails.)
pub const SIGPIPE: u8 = 13;

/// The number of SIGUSR1.
pub const USER_SIGNAL: u8 = which::USER;

/// Whether the user has asked to stop.
static ASKED: AtomicBool = AtomicBool::new(false);

/// What listens to requests to stop.
#[derive(Clone, Copy)]
pub struct Interrupt(());

impl Interrupt {
    /// Listens from now on.
    pub fn listen(quiet: bool) -> Result<Self> {
        which::before();
        ctrlc::set_handler(move || {
            if ASKED.swap(true, Ordering::SeqCst) {
                // The files on the disk are complete at every moment.
                std::process::exit(exit::status(&reason()).into());
            }
            if !quiet {
                let again = if which::signal() == which::INTERRUPT { "Ctrl-C again" } else { "another signal" };
                // The terminal has shown a ^C, or is in the middle of a bar.
                terminal::say("");
                terminal::say(&format!("stopping after this step; {again} stops at once"));
            }
        })
        .map_err(|error| Error::Internal(format!("cannot listen to Ctrl-C: {error}")))?;
        which::after();
        Ok(Self(()))
    }

    /// Whether to stop.
    pub fn asked(&self) -> bool {
        asked()
    }
}

/// Whether to stop, for what waits without a listener at hand. Where nobody listens, a request ends the program.
pub fn asked() -> bool {
    ASKED.load(Ordering::SeqCst)
}

/// The interruption as it is reported.
pub fn reason() -> Error {
    Error::Interrupted { signal: which::signal() }
}

/// Which signal it was. `ctrlc` reports that one came, but not which, and the exit status has to say it.
///
/// There is no safe way to learn it with what this program depends on: the standard library and `rustix` install no
/// handlers (the latter only behind `unsafe`), `nix`, which `ctrlc` uses, does so behind `unsafe` too, and nothing in
/// `/proc` remembers a signal that was delivered. So one function of C's is declared here, and nothing else in the
/// program is unsafe.
#[cfg(unix)]
mod which {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

    pub const INTERRUPT: u8 = 2;
    const HANG_UP: u8 = 1;
    const TERMINATE: u8 = 15;
    /// SIGUSR1, whose number systems do not agree on.
    pub const USER: u8 = if cfg!(any(target_os = "linux", target_os = "android")) { 10 } else { 30 };
    /// What the system calls the handler that does nothing, and the failure to set one; no handler (0) is `None` here.
    const IGNORED: usize = 1;
    const FAILED: usize = usize::MAX;

    type Handler = extern "C" fn(i32);

    /// What is promised to the compiler: that `signal` exists with these types, as C11 (7.14.1.1) and POSIX have it,
    /// and that it can be called with whatever they allow. A wrong number is answered with [`FAILED`], memory is not
    /// touched, and a handler lives as long as the program. What can go wrong is left to safe code: what a handler does
    /// when it runs ([`seen`] touches atomics alone), and that a pointer which comes back is called only if it is a
    /// function (Rust makes a null pointer of such a type `None`, the two other special values are sorted out in
    /// [`function`]).
    #[allow(unsafe_code, reason = "declares C's `signal`: see above")]
    mod system {
        unsafe extern "C" {
            pub safe fn signal(number: i32, handler: super::Handler) -> Option<super::Handler>;
        }
    }

    /// The first signal that came.
    static SIGNAL: AtomicU8 = AtomicU8::new(0);
    /// Whether a terminal that goes away is to be ignored, as under `nohup`.
    static STAYS: AtomicBool = AtomicBool::new(false);
    /// What `ctrlc` does with the three that it takes.
    static NEXT: OnceLock<Handler> = OnceLock::new();

    /// What came back from the system, if it is a function that can be called.
    fn function(handler: Option<Handler>) -> Option<Handler> {
        handler.filter(|handler| ![IGNORED, FAILED, seen as Handler as usize].contains(&(*handler as usize)))
    }

    /// Runs inside whatever was interrupted: it may touch only atomics.
    extern "C" fn seen(number: i32) {
        let number = number as u8;
        if number == HANG_UP && STAYS.load(Ordering::SeqCst) {
            return;
        }
        let _first = SIGNAL.compare_exchange(0, number, Ordering::SeqCst, Ordering::SeqCst);
        if let Some(next) = NEXT.get() {
            next(i32::from(number));
        }
    }

    /// To be called before `ctrlc` takes the signals.
    pub fn before() {
        let ignored = system::signal(i32::from(HANG_UP), seen).is_some_and(|handler| handler as usize == IGNORED);
        STAYS.store(ignored, Ordering::SeqCst);
    }

    /// To be called after that: takes the signals itself, and passes them on to `ctrlc`.
    pub fn after() {
        for number in [INTERRUPT, HANG_UP, TERMINATE] {
            if let Some(next) = function(system::signal(i32::from(number), seen)) {
                let _same = NEXT.set(next);
            }
        }
        // `ctrlc` does not know it; what is done about it is the same.
        let _default = system::signal(i32::from(USER), seen);
    }

    /// Its number; Ctrl-C's where none was seen.
    pub fn signal() -> u8 {
        match SIGNAL.load(Ordering::SeqCst) {
            0 => INTERRUPT,
            number => number,
        }
    }
}

/// Elsewhere there is only Ctrl-C.
#[cfg(not(unix))]
mod which {
    pub const INTERRUPT: u8 = 2;
    pub const USER: u8 = 10;

    pub fn before() {}

    pub fn after() {}

    pub fn signal() -> u8 {
        INTERRUPT
    }
}
