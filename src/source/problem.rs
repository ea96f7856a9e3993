//! What can go wrong between a name that the user typed and a file that can be trusted.
//!
//! Every message says what is wrong, where, and what to do. Bytes that had been downloaded are kept, and the message
//! says so: the same command resumes from there.

use std::path::PathBuf;
use std::time::Duration;

use crate::base::text::quoted;
use crate::error::Kind;
use crate::setting::Setting;

/// A situation in which a source gives no file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// What was typed cannot be an address.
    #[error("{} {reason}", quoted(typed))]
    BadAddress {
        /// As it was typed.
        typed: String,
        /// Why, and what can be given instead.
        reason: String,
    },

    /// Neither here nor, by its form, anywhere else.
    #[error("there is no file or folder {}{hint}", quoted(typed))]
    NoSuchFile {
        /// As it was typed.
        typed: String,
        /// `: ` and what may have been meant; or nothing.
        hint: String,
    },

    /// A setting in the environment cannot be used.
    #[error("the environment variable {name} is {}: {reason}", quoted(value))]
    BadSetting {
        /// Its name.
        name: String,
        /// Its value, never a token.
        value: String,
        /// What is wrong with it.
        reason: String,
    },

    /// The network may not be used and there is no copy here.
    #[error(
        "{what} is not on this machine, and the network is off ({} or HF_HUB_OFFLINE): \
         run it once with the network; after that it is in the cache",
        Setting::Offline
    )]
    Offline {
        /// The file or repository.
        what: String,
    },

    /// No connection.
    #[error(
        "cannot reach {host}: {reason}; check the connection{}{}",
        natively(" and the proxy settings (HTTPS_PROXY)"),
        kept_words(*.kept)
    )]
    Unreachable {
        /// The host.
        host: String,
        /// The system's words.
        reason: String,
        /// Bytes of the file that had come before.
        kept: u64,
    },

    /// A connection that cannot be trusted or understood.
    #[error(
        "the connection to {host} cannot be trusted or understood: {reason}; \
         a proxy or a login page may be in between, or this machine's clock may be wrong; \
         where the network has its own certificates, set SSL_CERT_FILE to them"
    )]
    Insecure {
        /// The host.
        host: String,
        /// What is wrong with it.
        reason: String,
    },

    /// 401 and 403.
    #[error("{what}: {reason}")]
    Denied {
        /// The repository or file.
        what: String,
        /// Whether it is private, gated or the token is wrong, and what to do.
        reason: String,
    },

    /// 404 and 410.
    #[error("{what}: {reason}")]
    NotFound {
        /// The repository, revision or file.
        what: String,
        /// What is not there, and what may have been meant.
        reason: String,
    },

    /// The server is overloaded or broken, and stayed so.
    #[error(
        "{host} answered {status} ({}{}) for {what}{}: try again later{}",
        status_words(*.status),
        if *.status == 429 { natively("; a token in HF_TOKEN raises the limit") } else { "" },
        wait_words(*.wait),
        kept_words(*.kept)
    )]
    Busy {
        /// The host.
        host: String,
        /// The file or repository.
        what: String,
        /// The HTTP status: 408, 429 or 5xx.
        status: u16,
        /// How long the server asked to wait.
        wait: Option<Duration>,
        /// Bytes of the file that had come before.
        kept: u64,
    },

    /// The connection broke again and again.
    #[error("{file}: the connection broke {} ({reason}){}", after(*.done, *.total), kept_words(*.done))]
    Cut {
        /// The file.
        file: String,
        /// Bytes that came, in all attempts.
        done: u64,
        /// The length, if it is known.
        total: Option<u64>,
        /// How it broke the last time.
        reason: String,
    },

    /// More or fewer bytes than stated.
    #[error(
        "{file}: the server sent {found} bytes but announced {expected}; nothing was kept, the server may be at fault"
    )]
    WrongLength {
        /// The file.
        file: String,
        /// Bytes announced.
        expected: u64,
        /// Bytes found.
        found: u64,
    },

    /// Without a stated length, more than such a file can have.
    #[error("{file}: more than {limit} bytes, too large for what it should be; nothing was kept")]
    TooLong {
        /// The file.
        file: String,
        /// The most bytes that were acceptable.
        limit: u64,
    },

    /// Other bytes than stated.
    #[error(
        "{file}: its SHA-256 is {found}, but the source states {expected}; nothing was kept: \
         try again, and if this repeats, do not trust the source"
    )]
    WrongHash {
        /// The file.
        file: String,
        /// The hash that the source states, in hexadecimal.
        expected: String,
        /// That of the bytes.
        found: String,
    },

    /// Something other than the file arrived.
    #[error("{file}: {reason}")]
    NotTheFile {
        /// The file.
        file: String,
        /// What it is and how to get the file.
        reason: String,
    },

    /// A redirection that must not be followed.
    #[error("{from} leads to {to}: {reason}")]
    Redirected {
        /// From where.
        from: String,
        /// To where.
        to: String,
        /// Why it was not followed.
        reason: String,
    },

    /// An answer that makes no sense.
    #[error("{url}: {reason}")]
    BadAnswer {
        /// The address.
        url: String,
        /// What came, and what was expected.
        reason: String,
    },

    /// A repository that does not hold what was wanted.
    #[error("{repo} {reason}")]
    Unfit {
        /// The repository.
        repo: String,
        /// What it lacks or is instead, and what to do.
        reason: String,
    },

    /// Not enough room on the disk.
    #[error(
        "{}: {needed} more bytes are needed and {free} are free; free some space, or set HF_HOME to another disk",
        folder.display()
    )]
    NoSpace {
        /// The folder that is written to.
        folder: PathBuf,
        /// Bytes that are still to come.
        needed: u64,
        /// Bytes that are free.
        free: u64,
    },

    /// A file or folder cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The path.
        path: PathBuf,
        /// The system's words.
        source: std::io::Error,
    },

    /// A file or folder cannot be written.
    #[error("cannot write {}: {source}; if it is not yours, set HF_HOME to a folder that is", path.display())]
    Write {
        /// The path.
        path: PathBuf,
        /// The system's words.
        source: std::io::Error,
    },

    /// A browser's storage, which has no folders that a user could look at.
    #[error("the browser's storage: {reason}")]
    Storage {
        /// What is wrong, and what to do.
        reason: String,
        /// Whether there is no room.
        full: bool,
    },

    /// A model that another tab of the page is getting.
    #[error("another tab of this page is getting {model}: wait until it is there, or stop it in that tab")]
    OtherTab {
        /// What it is asked for by.
        model: String,
    },

    /// The user asked to stop; what was downloaded is kept.
    #[error("interrupted; what was downloaded is kept")]
    Interrupted,
}

#[cfg(feature = "native")]
impl From<crate::base::files::WriteError> for Problem {
    fn from(error: crate::base::files::WriteError) -> Self {
        Problem::Write { path: error.path, source: error.source }
    }
}

impl Problem {
    /// What kind of situation this is.
    pub fn kind(&self) -> Kind {
        match self {
            Problem::BadAddress { .. } | Problem::BadSetting { .. } => Kind::Usage,
            Problem::NoSuchFile { .. } | Problem::Unfit { .. } => Kind::Input,
            Problem::NoSpace { .. } | Problem::Storage { full: true, .. } => Kind::DiskFull,
            Problem::Read { source, .. } | Problem::Write { source, .. } => Kind::of_file(source),
            Problem::Storage { full: false, .. } | Problem::OtherTab { .. } => Kind::Disk,
            Problem::Interrupted => Kind::Interrupted,
            _ => Kind::Network,
        }
    }

    /// Whether a cached copy may be used instead: the server could not be asked, which says nothing about the
    /// file.
    pub fn is_absence(&self) -> bool {
        use Problem::{Busy, Cut, Insecure, Offline, Unreachable};
        matches!(self, Offline { .. } | Unreachable { .. } | Insecure { .. } | Busy { .. } | Cut { .. })
    }
}

/// What only users of a command line can do; in a browser it is not said.
pub(super) fn natively(advice: &str) -> &str {
    if cfg!(feature = "native") { advice } else { "" }
}

fn kept_words(bytes: u64) -> String {
    match bytes {
        0 => String::new(),
        bytes => format!("; {bytes} bytes were downloaded and kept{}", natively("; run the same command to resume")),
    }
}

fn after(done: u64, total: Option<u64>) -> String {
    match (done, total) {
        (0, _) => "before any data arrived".to_owned(),
        (done, None) => format!("after {done} bytes"),
        (done, Some(total)) => format!("after {done} of {total} bytes"),
    }
}

fn wait_words(wait: Option<Duration>) -> String {
    wait.map_or_else(String::new, |wait| format!(" and asks to wait {} s", wait.as_secs()))
}

fn status_words(status: u16) -> &'static str {
    match status {
        408 => "the request took too long",
        429 => "too many requests",
        500 => "a server error",
        502 | 504 => "a gateway got no answer",
        503 => "unavailable",
        _ => "an error",
    }
}
