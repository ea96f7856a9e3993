//! The status that the program ends with: the only place where it is a number.

use super::faults::interrupt::{SIGPIPE, USER_SIGNAL};
use crate::Error;
use crate::error::Kind;

/// What whoever started the program, a person or a scheduler, can do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Nothing is left to do.
    Nothing,
    /// The same command ends in the same way: something must be changed first.
    Change,
    /// The same command may succeed later or on another machine. A run goes on from its last saved state.
    TryAgain,
    /// Nothing failed: the same command goes on from where this one was stopped.
    Resume,
}

impl Next {
    /// All of them, as `--help` lists them.
    pub const ALL: [Self; 4] = [Self::Nothing, Self::Change, Self::TryAgain, Self::Resume];

    /// How programs call it.
    pub fn key(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Change => "change",
            Self::TryAgain => "try-again",
            Self::Resume => "resume",
        }
    }

    /// What statuses have in common after which this can be done.
    pub fn heading(self) -> &'static str {
        match self {
            Self::Nothing => "Done",
            Self::Change => "Final: the same command ends in the same way",
            Self::TryAgain => "Try again: it may succeed later or on another machine",
            Self::Resume => "Resumable: the same command goes on from there",
        }
    }
}

/// Every status, its meaning, and what can be done next, as `--help` prints them.
pub const STATUSES: &[(u8, &str, Next)] = &[
    (0, "done", Next::Nothing),
    (1, "internal error", Next::Change),
    (USAGE, "usage: an invalid option, token or combination of options", Next::Change),
    (3, "bad input: a picture, model, embedding or configuration file", Next::Change),
    (4, "numbers became NaN or infinite; a run has saved its last good vector", Next::Change),
    (5, "no usable GPU, or the GPU failed", Next::TryAgain),
    (6, "network: a download failed or was not what it should be; what arrived is kept", Next::TryAgain),
    (7, "a file could not be read or written, or another run is using the folder", Next::TryAgain),
    (8, "not enough memory, found out before the work or during it", Next::TryAgain),
    (SOME_FAILED, "some words of a list failed; the same command goes on with them", Next::TryAgain),
    (129, "the terminal went away (SIGHUP); what there was has been saved", Next::Resume),
    (130, "interrupted (Ctrl-C); what there was has been saved", Next::Resume),
    (128 + USER_SIGNAL, "told that it will be ended (SIGUSR1); what there was has been saved", Next::Resume),
    (
        128 + SIGPIPE,
        "nobody reads the output, and words of a list are left; what there was has been saved",
        Next::Resume,
    ),
    (143, "asked to end (SIGTERM); what there was has been saved", Next::Resume),
];

/// The status for arguments that cannot be understood, whoever finds that out: clap or the engine.
pub(super) const USAGE: u8 = 2;

/// The status where some words of a list were learned and others failed.
pub(super) const SOME_FAILED: u8 = 9;

/// The number of Ctrl-C's signal.
const SIGINT: u8 = 2;

/// What can be done next after an error.
pub(super) fn next(error: &Error) -> Next {
    let status = status(error);
    STATUSES.iter().find(|(other, ..)| *other == status).map_or(Next::Change, |(.., next)| *next)
}

/// The status to end with after an error: one of [`STATUSES`].
pub fn status(error: &Error) -> u8 {
    match error.kind() {
        Kind::Internal => 1,
        Kind::Usage => USAGE,
        Kind::Input => 3,
        Kind::Numeric => 4,
        Kind::Gpu => 5,
        Kind::Network => 6,
        Kind::Disk | Kind::DiskFull => 7,
        Kind::Memory => 8,
        Kind::SomeFailed => SOME_FAILED,
        // As shells report a process that a signal ended.
        Kind::Interrupted => 128 + if let Error::Interrupted { signal } = error { *signal } else { SIGINT },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Problem;

    #[test]
    fn a_signal_is_in_the_status_and_every_status_is_in_the_table() {
        let ended = |signal: u8| status(&Error::Interrupted { signal });
        assert_eq!([ended(1), ended(2), ended(15)], [129, 130, 143]);
        assert_eq!(ended(USER_SIGNAL), 128 + USER_SIGNAL);
        assert_eq!(status(&Error::Source(Problem::Interrupted)), 130);
        let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
        assert_eq!(status(&Error::Write { path: "word".into(), source: full }), 7);
        let next = |code: u8| STATUSES.iter().find(|(status, ..)| *status == code).map(|(.., next)| *next);
        for code in [ended(1), ended(2), ended(USER_SIGNAL), ended(15)] {
            assert_eq!(next(code), Some(Next::Resume), "{code}");
        }
        assert_eq!([next(USAGE), next(7)], [Some(Next::Change), Some(Next::TryAgain)]);
    }

    #[test]
    fn a_status_is_listed_once_and_what_comes_next_has_a_heading() {
        for (i, (status, meaning, next)) in STATUSES.iter().enumerate() {
            assert!(STATUSES[..i].iter().all(|(other, ..)| other != status), "{status}: {meaning}");
            assert!(Next::ALL.contains(next), "{status}: {meaning}");
        }
    }
}
