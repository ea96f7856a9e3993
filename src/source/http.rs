//! The native transport: `ureq` with `rustls`, blocking, one connection at a time.
//!
//! Certificates are checked against Mozilla's roots (`webpki-roots`), or those that the user names; proxies come from
//! `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`. ureq follows and interprets nothing here: the rules are in `link.rs`.

use std::io::{ErrorKind, Read};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Body as UreqBody, BodyReader, Error as Failure};

use super::transport::{Body, Broken, Fault, Headers, Response, Transport};
use super::url::Url;
use super::{LocalFuture, Problem};

/// Bytes that are read at a time.
const CHUNK: usize = 128 << 10;

/// How long to wait while nothing happens.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// Until there is a connection, encryption included.
    pub connect: Duration,
    /// Until an answer begins.
    pub answer: Duration,
    /// Between two pieces of a body.
    pub stall: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { connect: Duration::from_secs(20), answer: Duration::from_secs(60), stall: Duration::from_secs(60) }
    }
}

/// HTTP over the system's sockets.
pub struct Http(Agent);

impl Http {
    /// Nothing is connected yet. `roots` is a PEM file with the certificates to trust instead of Mozilla's.
    ///
    /// # Errors
    /// [`Problem::BadSetting`] if that file cannot be read or has no certificates.
    pub fn new(timeouts: Timeouts, roots: Option<&Path>) -> Result<Self, Problem> {
        let roots = roots.map_or(Ok(RootCerts::WebPki), |path| {
            let bad = |reason: String| Problem::BadSetting {
                name: "SSL_CERT_FILE".to_owned(),
                value: path.display().to_string(),
                reason,
            };
            let pem = std::fs::read(path).map_err(|error| bad(format!("it cannot be read ({error})")))?;
            let certificates: Vec<_> = parse_pem(&pem)
                .filter_map(|item| match item {
                    Ok(PemItem::Certificate(certificate)) => Some(certificate),
                    _ => None,
                })
                .collect();
            if certificates.is_empty() {
                return Err(bad("it holds no certificates in PEM form".to_owned()));
            }
            Ok(RootCerts::Specific(Arc::new(certificates)))
        })?;
        let config = Agent::config_builder()
            .tls_config(TlsConfig::builder().root_certs(roots).build())
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("pseudoword/", env!("CARGO_PKG_VERSION")))
            .timeout_resolve(Some(timeouts.connect))
            .timeout_connect(Some(timeouts.connect))
            .timeout_send_request(Some(timeouts.connect))
            .timeout_recv_response(Some(timeouts.answer))
            .timeout_per_read(Some(timeouts.stall));
        Ok(Self(config.build().new_agent()))
    }

    fn send(&self, url: &Url, headers: &[(&'static str, String)]) -> Result<Response, Broken> {
        let request =
            headers.iter().fold(self.0.get(url.to_string()), |request, (name, value)| request.header(*name, value));
        let answer = request.call().map_err(broken)?;
        let (head, body) = answer.into_parts();
        let text = |value: &ureq::http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let headers = Headers::new(head.headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))));
        let length = headers.number("content-length");
        Ok(Response { status: head.status.as_u16(), headers, body: Box::new(Incoming::new(body, length)) })
    }
}

impl Transport for Http {
    fn get<'a>(
        &'a self,
        url: &'a Url,
        headers: &'a [(&'static str, String)],
    ) -> LocalFuture<'a, Result<Response, Broken>> {
        Box::pin(async move { self.send(url, headers) })
    }

    fn sleep(&self, time: Duration) -> LocalFuture<'_, ()> {
        Box::pin(async move { std::thread::sleep(time) })
    }
}

struct Incoming {
    reader: BodyReader<'static>,
    /// Bytes that were announced and have not arrived.
    missing: Option<u64>,
}

impl Incoming {
    fn new(body: UreqBody, length: Option<u64>) -> Self {
        // Lengths are judged by `verify`, which knows what is wanted.
        Self { reader: body.into_with_config().limit(u64::MAX).reader(), missing: length }
    }

    fn read(&mut self) -> Result<Option<Vec<u8>>, Broken> {
        let mut bytes = vec![0; CHUNK];
        loop {
            match self.reader.read(&mut bytes) {
                Ok(0) if self.missing.is_some_and(|missing| missing > 0) => {
                    return Err(Broken {
                        fault: Fault::Cut,
                        reason: "the other side closed the connection".to_owned(),
                    });
                }
                Ok(0) => return Ok(None),
                Ok(count) => {
                    bytes.truncate(count);
                    self.missing = self.missing.map(|missing| missing.saturating_sub(count as u64));
                    return Ok(Some(bytes));
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // The head was understood, so a failure from here on broke the transfer.
                Err(error) => return Err(Broken { fault: Fault::Cut, ..broken(Failure::from(error)) }),
            }
        }
    }
}

impl Body for Incoming {
    fn chunk(&mut self) -> LocalFuture<'_, Result<Option<Vec<u8>>, Broken>> {
        Box::pin(async move { self.read() })
    }
}

/// ureq's errors, sorted by what to do about them.
fn broken(failure: Failure) -> Broken {
    use ureq::Timeout;
    let (fault, reason) = match failure {
        Failure::HostNotFound => (Fault::Unreachable, "no such host, or no network".to_owned()),
        Failure::ConnectionFailed => (Fault::Unreachable, "no connection".to_owned()),
        Failure::Timeout(Timeout::Resolve | Timeout::Connect | Timeout::SendRequest) => {
            (Fault::Unreachable, "no answer to the attempt to connect".to_owned())
        }
        Failure::Timeout(_) => (Fault::Cut, "no data for too long".to_owned()),
        Failure::Io(error) => match error.kind() {
            ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::BrokenPipe
            | ErrorKind::UnexpectedEof
            | ErrorKind::TimedOut
            | ErrorKind::WouldBlock => (Fault::Cut, error.to_string()),
            ErrorKind::ConnectionRefused => (Fault::Unreachable, "nothing listens there".to_owned()),
            ErrorKind::InvalidData => (Fault::Refused, error.to_string()),
            // There is no separate kind for names that are not found.
            _ => (Fault::Unreachable, error.to_string()),
        },
        Failure::Rustls(error) => (Fault::Refused, format!("the encrypted connection failed ({error})")),
        Failure::Tls(reason) => (Fault::Refused, format!("the encrypted connection failed ({reason})")),
        Failure::InvalidProxyUrl => (Fault::Refused, "the proxy's address in HTTPS_PROXY is invalid".to_owned()),
        Failure::ConnectProxyFailed(reason) => (Fault::Unreachable, format!("the proxy refused: {reason}")),
        other => (Fault::Refused, other.to_string()),
    };
    Broken { fault, reason }
}

/// The bytes that are free to us where a folder is or will be. None if the system does not know.
pub(super) fn free_bytes(folder: &Path) -> Option<u64> {
    #[cfg(unix)]
    {
        let place = folder.ancestors().find(|place| place.exists())?;
        let about = rustix::fs::statvfs(place).ok()?;
        Some(about.f_bavail.saturating_mul(about.f_frsize))
    }
    #[cfg(not(unix))]
    {
        let _unknown = folder;
        None
    }
}

/// Checks that this many more bytes fit; a system that does not know is assumed to have room.
pub(super) fn check_room(folder: &Path, needed: u64) -> Result<(), Problem> {
    match free_bytes(folder) {
        Some(free) if free < needed => Err(Problem::NoSpace { folder: folder.to_owned(), needed, free }),
        _ => Ok(()),
    }
}
