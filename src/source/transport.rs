//! How bytes come: one small trait, which a native program fills with an HTTP client and a page with `fetch`.

use std::time::Duration;

use super::LocalFuture;
use super::url::Url;

/// The network.
pub trait Transport {
    /// Sends one GET and gives the head of the answer, whatever its status. Redirections are not followed where the
    /// platform lets us see them; a page follows them, and drops `Authorization` between origins as `fetch` requires.
    fn get<'a>(
        &'a self,
        url: &'a Url,
        headers: &'a [(&'static str, String)],
    ) -> LocalFuture<'a, Result<Response, Broken>>;

    /// Waits without blocking a browser.
    fn sleep(&self, time: Duration) -> LocalFuture<'_, ()>;
}

/// The body of an answer as it comes in.
pub trait Body {
    /// The next bytes; none at the end. An end before the announced length is [`Broken`].
    fn chunk(&mut self) -> LocalFuture<'_, Result<Option<Vec<u8>>, Broken>>;
}

/// A server's answer, whose body is still to be read.
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// Its headers.
    pub headers: Headers,
    /// The content, in pieces.
    pub body: Box<dyn Body>,
}

/// Headers of an answer; names are compared without case.
#[derive(Debug, Clone, Default)]
pub struct Headers(Vec<(String, String)>);

impl Headers {
    /// Takes headers in their order.
    pub fn new(headers: impl IntoIterator<Item = (String, String)>) -> Self {
        Self(headers.into_iter().collect())
    }

    /// The first header of a name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }

    /// A header that is a number.
    pub(super) fn number(&self, name: &str) -> Option<u64> {
        self.get(name)?.parse().ok()
    }
}

/// A connection that did not come about or did not last.
#[derive(Debug, Clone)]
pub struct Broken {
    /// What kind of failure.
    pub fault: Fault,
    /// The system's words.
    pub reason: String,
}

/// Where a connection broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It never came about: no such host, no answer, no network.
    Unreachable,
    /// It broke or stalled during the transfer.
    Cut,
    /// The other side cannot be trusted or understood: certificates, protocol. Trying again does not help.
    Refused,
}
