//! What is allowed on the network, over any transport: which hosts may be asked, which get the token, which
//! redirections are followed, what a status means.

use super::Problem;
use super::problem::natively;
use super::progress::Report;
use super::retry::{Patience, Setback, Tries, retry_after};
use super::settings::Token;
use super::transport::{Headers, Response, Transport};
use super::url::Url;

/// Redirections that are followed for one file.
const REDIRECTS: usize = 10;

/// The network, with the rules for using it.
#[derive(Clone, Copy)]
pub struct Link<'a> {
    /// How bytes come.
    pub transport: &'a dyn Transport,
    /// The Hub: only it gets the token, and only it may be another machine without encryption.
    pub endpoint: &'a Url,
    /// The user's token, if there is one; only the Hub gets it.
    pub token: Option<&'a Token>,
    /// How often a request is repeated.
    pub patience: Patience,
}

impl Link<'_> {
    /// Sends a GET for `what` and follows redirections by the rules. Gives the answer and where it came from.
    pub(super) async fn get(
        &self,
        what: &str,
        url: &Url,
        headers: &[(&'static str, String)],
    ) -> Result<(Response, Url), Setback> {
        self.check(url)?;
        let mut url = url.clone();
        for _ in 0..=REDIRECTS {
            let mut headers = headers.to_vec();
            if let Some(token) = self.token.filter(|_| url.same_origin(self.endpoint)) {
                headers.push(("authorization", token.header()));
            }
            let answer = self.transport.get(&url, &headers).await.map_err(|broken| broken.setback(&url, what))?;
            let location = matches!(answer.status, 301 | 302 | 303 | 307 | 308).then(|| answer.headers.get("location"));
            let Some(location) = location else { return Ok((answer, url)) };
            let to = location.ok_or_else(|| "it does not say where".to_owned()).and_then(|to| url.join(to));
            url = self.follow(&url, to.map_err(|reason| redirected(&url, location.unwrap_or("?"), reason))?)?;
        }
        Err(Setback::Stop(redirected(&url, "yet another address", format!("that was the {REDIRECTS}th time"))))
    }

    /// Whether an address may be asked at all.
    fn check(&self, url: &Url) -> Result<(), Problem> {
        if url.is_https() || url.is_loopback() || url.same_origin(self.endpoint) {
            return Ok(());
        }
        let reason = "is not encrypted: anybody in between could change the file; use https://".to_owned();
        Err(Problem::BadAddress { typed: url.shown(), reason })
    }

    fn follow(&self, from: &Url, to: Url) -> Result<Url, Problem> {
        let no = |reason: &str| Err(redirected(from, &to.shown(), reason.to_owned()));
        if from.is_https() && !to.is_https() {
            return no("that connection would not be encrypted");
        }
        if !from.is_private() && to.is_private() {
            return no("a public server may not send us into a private network");
        }
        match self.check(&to) {
            Ok(()) => Ok(to),
            Err(_) => no("that connection would not be encrypted"),
        }
    }

    /// A small answer, whole: the Hub's about a repository.
    ///
    /// # Errors
    /// The problem that the status means, and [`Problem::TooLong`] beyond `limit` bytes.
    pub async fn read(&self, what: &str, url: &Url, limit: usize, report: &mut Report<'_>) -> Result<Vec<u8>, Problem> {
        let mut tries = Tries::new(self.patience);
        loop {
            match self.read_once(what, url, limit).await {
                Ok(bytes) => return Ok(bytes),
                Err(setback) => tries.pause(self.transport, what, setback, report).await?,
            }
        }
    }

    async fn read_once(&self, what: &str, url: &Url, limit: usize) -> Result<Vec<u8>, Setback> {
        let headers = [("accept", "application/json".to_owned()), ("accept-encoding", "identity".to_owned())];
        let (mut answer, from) = self.get(what, url, &headers).await?;
        if answer.status != 200 {
            return Err(self.judge(&answer, what, &from));
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = answer.body.chunk().await.map_err(|broken| broken.setback(url, what))? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() > limit {
                return Err(Setback::Stop(Problem::TooLong { file: url.shown(), limit: limit as u64 }));
            }
        }
        Ok(bytes)
    }

    /// A piece of a file. A server that only gives whole files is read from their beginning, if the piece is not far from it.
    ///
    /// # Errors
    /// As for [`read`](Self::read); [`Problem::Cut`] where the file ends early.
    #[cfg(any(target_family = "wasm", test))]
    pub async fn piece(
        &self,
        what: &str,
        url: &Url,
        range: std::ops::Range<u64>,
        report: &mut Report<'_>,
    ) -> Result<Vec<u8>, Problem> {
        let mut tries = Tries::new(self.patience);
        loop {
            match self.piece_once(what, url, &range).await {
                Ok(bytes) => return Ok(bytes),
                Err(setback) => tries.pause(self.transport, what, setback, report).await?,
            }
        }
    }

    #[cfg(any(target_family = "wasm", test))]
    async fn piece_once(&self, what: &str, url: &Url, range: &std::ops::Range<u64>) -> Result<Vec<u8>, Setback> {
        /// Bytes that are passed over.
        const NEAR: u64 = 16 << 20;
        let wanted = range.end.saturating_sub(range.start) as usize;
        if wanted == 0 {
            return Ok(Vec::new());
        }
        let bytes = format!("bytes={}-{}", range.start, range.end - 1);
        let headers = [("accept-encoding", "identity".to_owned()), ("range", bytes)];
        let (mut answer, from) = self.get(what, url, &headers).await?;
        let bad = |reason: &str| Setback::Stop(Problem::BadAnswer { url: from.shown(), reason: reason.to_owned() });
        let mut before = match answer.status {
            // A page sees this header only where the server lets it.
            206 => match answer.headers.get("content-range") {
                Some(given) if !given.starts_with(&format!("bytes {}-", range.start)) => {
                    return Err(bad("it gives another piece of the file than was asked for"));
                }
                _ => 0,
            },
            200 if range.start <= NEAR => range.start as usize,
            200 => return Err(bad("it gives no pieces of files")),
            _ => return Err(self.judge(&answer, what, &from)),
        };
        let mut bytes = Vec::with_capacity(wanted);
        while bytes.len() < wanted {
            let Some(chunk) = answer.body.chunk().await.map_err(|broken| broken.setback(url, what))? else {
                let (done, total) = (bytes.len() as u64, Some(wanted as u64));
                let reason = "the file ends early".to_owned();
                let problem = Problem::Cut { file: what.to_owned(), done, total, reason };
                return Err(Setback::Again { wait: None, problem });
            };
            let rest = chunk.get(before..).unwrap_or_default();
            before = before.saturating_sub(chunk.len());
            bytes.extend_from_slice(&rest[..rest.len().min(wanted - bytes.len())]);
        }
        Ok(bytes)
    }

    /// What a status other than success means, and whether to try again.
    pub(super) fn judge(&self, answer: &Response, what: &str, url: &Url) -> Setback {
        let what = what.to_owned();
        let on_hub = url.same_origin(self.endpoint);
        let code = answer.headers.get("x-error-code").unwrap_or_default();
        let says = said(&answer.headers);
        Setback::Stop(match answer.status {
            status @ (408 | 429 | 500 | 502 | 503 | 504) => {
                let wait = retry_after(&answer.headers);
                let host = url.host().to_owned();
                return Setback::Again { wait, problem: Problem::Busy { host, what, status, wait, kept: 0 } };
            }
            status @ (401 | 403) if on_hub => {
                let token = "https://huggingface.co/settings/tokens";
                let reason = match (code, self.token) {
                    ("GatedRepo", None) => format!(
                        "this repository is gated ({status}): accept its terms on its page{}",
                        natively(&format!(", then set HF_TOKEN to a token from {token}"))
                    ),
                    ("GatedRepo", Some(_)) => format!(
                        "this repository is gated ({status}), and the account of your token has no access: accept its \
                         terms on its page, or ask its owner{says}"
                    ),
                    (_, None) => format!(
                        "the Hub has no public repository of this name ({status}): check the spelling{}",
                        natively(&format!("; a private or gated one needs HF_TOKEN set to a token from {token}"))
                    ),
                    (_, Some(_)) => format!(
                        "the token in HF_TOKEN or from `hf auth login` is not accepted for it ({status}): check it at \
                         {token}, or unset it for public repositories{says}"
                    ),
                };
                Problem::Denied { what, reason }
            }
            status @ (401 | 403) => Problem::Denied {
                what,
                reason: format!(
                    "{} does not serve it to everyone ({status}): download it in a browser and give the file's path",
                    url.host()
                ),
            },
            status @ (404 | 410) => Problem::NotFound {
                what,
                reason: match code {
                    "RevisionNotFound" => "the repository has no such branch, tag or commit".to_owned(),
                    "EntryNotFound" => "the repository has no such file".to_owned(),
                    "RepoNotFound" => "the Hub has no such repository: check the spelling".to_owned(),
                    _ if on_hub => format!("not on the Hub ({status}): check the spelling"),
                    _ => format!("{} has no such file ({status})", url.host()),
                },
            },
            451 => Problem::Denied { what, reason: format!("unavailable for legal reasons (451){says}") },
            status => Problem::BadAnswer { url: url.shown(), reason: format!("the server answered {status}{says}") },
        })
    }
}

fn redirected(from: &Url, to: &str, reason: String) -> Problem {
    // A redirection may hold a signature in its query, which must not appear in messages.
    let to = to.split('?').next().unwrap_or_default();
    let to = if to.contains('@') { "an address with a user name".to_owned() } else { to.to_owned() };
    Problem::Redirected { from: from.shown(), to, reason }
}

/// The server's own words, on one line and not too many.
fn said(headers: &Headers) -> String {
    let words: String =
        headers.get("x-error-message").unwrap_or_default().chars().filter(|c| !c.is_control()).take(200).collect();
    if words.is_empty() { words } else { format!("; the server says: {words}") }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::source::LocalFuture;
    use crate::source::transport::{Broken, Fault};

    fn link<'a>(endpoint: &'a Url, transport: &'a dyn Transport) -> Link<'a> {
        Link { transport, endpoint, token: None, patience: Patience::default() }
    }

    struct Nowhere;

    impl Transport for Nowhere {
        fn get<'a>(&'a self, _: &'a Url, _: &'a [(&'static str, String)]) -> LocalFuture<'a, Result<Response, Broken>> {
            Box::pin(async { Err(Broken { fault: Fault::Unreachable, reason: "no network".to_owned() }) })
        }

        fn sleep(&self, _: Duration) -> LocalFuture<'_, ()> {
            Box::pin(async {})
        }
    }

    #[test]
    fn only_safe_redirections_are_followed() {
        let hub = Url::parse("https://hub.example").unwrap();
        let link = link(&hub, &Nowhere);
        let follow = |from: &str, to: &str| link.follow(&Url::parse(from).unwrap(), Url::parse(to).unwrap()).is_ok();
        assert!(follow("https://hub.example/x", "https://cdn.example/y"));
        assert!(follow("http://localhost:1/x", "http://127.0.0.1:2/y"));
        assert!(!follow("https://hub.example/x", "http://cdn.example/y"));
        assert!(!follow("https://localhost/x", "http://localhost/y"));
        for private in ["https://127.0.0.1/", "https://10.0.0.1/", "https://169.254.169.254/latest", "https://[::1]/"] {
            assert!(!follow("https://hub.example/x", private), "{private}");
        }
    }

    #[test]
    fn plain_http_is_for_this_machine_and_a_hub_that_was_named() {
        let hub = Url::parse("http://mirror.example:80").unwrap();
        let link = link(&hub, &Nowhere);
        let may = |url: &str| link.check(&Url::parse(url).unwrap()).is_ok();
        assert!(may("http://localhost/x") && may("http://mirror.example/x") && may("https://any.example/x"));
        assert!(!may("http://any.example/x") && !may("http://mirror.example:8080/x"));
    }

    /// A server that has a file of so many bytes, each its place, and gives them a few at a time.
    struct Counting {
        status: u16,
        content_range: Option<&'static str>,
        length: u8,
    }

    struct Pieces(Vec<Vec<u8>>);

    impl crate::source::transport::Body for Pieces {
        fn chunk(&mut self) -> LocalFuture<'_, Result<Option<Vec<u8>>, Broken>> {
            let next = if self.0.is_empty() { None } else { Some(self.0.remove(0)) };
            Box::pin(async { Ok(next) })
        }
    }

    impl Transport for Counting {
        fn get<'a>(
            &'a self,
            _: &'a Url,
            headers: &'a [(&'static str, String)],
        ) -> LocalFuture<'a, Result<Response, Broken>> {
            let asked = headers.iter().find(|(key, _)| *key == "range").unwrap();
            assert_eq!(asked.1, "bytes=5-11");
            let bytes: Vec<u8> = if self.status == 206 { (5..12).collect() } else { (0..self.length).collect() };
            let given = self.content_range.map(|given| ("content-range".to_owned(), given.to_owned()));
            let body = Box::new(Pieces(bytes.chunks(3).map(<[u8]>::to_vec).collect()));
            let answer = Response { status: self.status, headers: Headers::new(given), body };
            Box::pin(async { Ok(answer) })
        }

        fn sleep(&self, _: Duration) -> LocalFuture<'_, ()> {
            Box::pin(async {})
        }
    }

    #[test]
    fn a_piece_is_the_same_from_servers_that_give_pieces_and_from_others() {
        let hub = Url::parse("https://hub.example").unwrap();
        let piece = |status, content_range, length| {
            let server = Counting { status, content_range, length };
            let mut quiet = |_| std::ops::ControlFlow::Continue(());
            pollster::block_on(link(&hub, &server).piece("x", &hub, 5..12, &mut quiet))
        };
        let wanted: Vec<u8> = (5..12).collect();
        for (status, content_range) in [(206, None), (206, Some("bytes 5-11/90")), (200, None)] {
            assert_eq!(piece(status, content_range, 90).unwrap(), wanted, "{status} {content_range:?}");
        }
        assert!(matches!(piece(206, Some("bytes 6-12/90"), 90), Err(Problem::BadAnswer { .. })));
        assert!(matches!(piece(200, None, 9), Err(Problem::Cut { done: 4, total: Some(7), .. })));
        assert!(matches!(piece(404, None, 90), Err(Problem::NotFound { .. })));
    }

    #[test]
    #[cfg(feature = "native")]
    fn without_a_network_it_is_not_tried_again() {
        let hub = Url::parse("https://hub.example").unwrap();
        let mut notices = Vec::new();
        let mut report = |notice| {
            notices.push(notice);
            std::ops::ControlFlow::Continue(())
        };
        let read = pollster::block_on(link(&hub, &Nowhere).read("x", &hub, 10, &mut report));
        assert!(matches!(read, Err(Problem::Unreachable { .. })));
        assert!(notices.is_empty(), "{notices:?}");
    }
}
