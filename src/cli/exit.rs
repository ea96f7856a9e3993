//! The status that the program ends with: the only place where it is a number.

use super::faults::interrupt::USER_SIGNAL;
use crate::Error;
use crate::error::Kind;

/// Every status and its meaning, as `--help` prints them.
pub const STATUSES: &[(u8, &str)] = &[
    (0, "done"),
    (1, "internal error"),
    (USAGE, "usage: an invalid option, token or combination of options"),
    (3, "bad input: a picture, model, embedding or configuration file"),
    (4, "numbers became NaN or infinite; a run has saved its last good vector"),
    (5, "no usable GPU, or the GPU failed"),
    (6, "network: a download failed or was not what it should be; what arrived is kept"),
    (7, "a file could not be read or written, or another run is using the folder"),
    (8, "not enough memory, found out before the work or during it"),
    (129, "the terminal went away (SIGHUP); what there was has been saved"),
    (130, "interrupted (Ctrl-C); what there was has been saved"),
    (128 + USER_SIGNAL, "told that it will be ended (SIGUSR1); what there was has been saved"),
    (143, "asked to end (SIGTERM); what there was has been saved"),
];

/// The status for arguments that cannot be understood, whoever finds that out: clap or the engine.
pub(super) const USAGE: u8 = 2;

/// The number of Ctrl-C's signal.
const SIGINT: u8 = 2;

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
        for code in [ended(1), ended(2), ended(USER_SIGNAL), ended(15), USAGE, 7] {
            assert!(STATUSES.iter().any(|(status, _)| *status == code), "{code}");
        }
    }
}
