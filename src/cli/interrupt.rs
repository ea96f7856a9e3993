//! Ctrl-C: the first asks the job to finish its step and save, the second ends the program.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::{Error, Result};

/// Whether the user has asked to stop.
#[derive(Clone)]
pub(super) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Listens from now on to Ctrl-C and to requests to terminate or hang up.
    pub fn listen(quiet: bool) -> Result<Self> {
        let asked = Arc::new(AtomicBool::new(false));
        let seen = asked.clone();
        ctrlc::set_handler(move || {
            if seen.swap(true, Ordering::SeqCst) {
                std::process::exit(Error::Interrupted.exit_code().into());
            }
            if !quiet {
                let _told = writeln!(std::io::stderr(), "\nstopping after this step; Ctrl-C again stops at once");
            }
        })
        .map_err(|error| Error::Internal(format!("cannot listen to Ctrl-C: {error}")))?;
        Ok(Self(asked))
    }

    /// Whether to stop.
    pub fn asked(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}
