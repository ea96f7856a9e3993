//! One file, from an address to its place: resumed where an earlier attempt ended, verified, and only then published.
//!
//! Runs over [`Transport`](super::transport::Transport) (how bytes come) and [`PartialFile`] (where they grow), so the same
//! rules hold natively and in a page:
//! - bytes are only ever added to bytes of the same version: `If-Range` with the entity tag that they came with (or,
//!   where there is none, a SHA-256 that is known beforehand), and `Content-Range` is checked; otherwise it starts from
//!   zero (a page may not send `If-Range` to another origin, see `web/network.rs`: there a SHA-256 that is known guards
//!   what is put together, and elsewhere the entity tag of the answer does);
//! - a cut connection, 408, 429 and 5xx are tried again, nothing else is;
//! - length and SHA-256 are checked where they are known, and pages and pointers are not mistaken for files;
//! - when something goes wrong, the partial file stays if it can be resumed and is removed if it cannot.

use web_time::Instant;

use super::link::Link;
use super::progress::{Meter, Report};
use super::retry::{Setback, Tries, notify};
use super::transport::Response;
use super::verify::{Check, FileRequest, a_page, may_be_a_page};
use super::{LocalFuture, Problem};

/// Where a file grows until it is complete; outlives the program.
pub trait PartialFile {
    /// Bytes that are there so far.
    fn length(&self) -> u64;

    /// The entity tag with which they came, as the server wrote it.
    fn validator(&self) -> Option<&str>;

    /// Forgets the bytes, and notes the entity tag of those that will come.
    fn restart<'a>(&'a mut self, validator: Option<&'a str>) -> LocalFuture<'a, Result<(), Problem>>;

    /// Adds bytes at the end.
    fn append<'a>(&'a mut self, bytes: &'a [u8]) -> LocalFuture<'a, Result<(), Problem>>;

    /// Bytes that are there, from `start`, at most `most` of them.
    fn read(&mut self, start: u64, most: usize) -> LocalFuture<'_, Result<Vec<u8>, Problem>>;

    /// Makes the file durable and gives it its name. Called once, after everything was verified.
    fn publish(&mut self) -> LocalFuture<'_, Result<(), Problem>>;
}

/// How a successful download ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The file is whole, verified and published.
    Whole {
        /// Its length in bytes.
        length: u64,
        /// Its SHA-256, lower-case hexadecimal.
        sha256: String,
        /// The server's entity tag.
        validator: Option<String>,
    },
    /// The copy that was mentioned in the request is still what the server has.
    Unchanged,
}

/// Bytes after which an attempt counts as progress, so that a server which cuts every connection at once is given up.
const PROGRESS: u64 = 1 << 20;
/// Bytes that are read at a time from what is there.
const CHUNK: usize = 1 << 20;

/// Fetches a file.
///
/// # Errors
/// A [`Problem`]; the partial file then holds what can be resumed.
pub async fn download(
    link: &Link<'_>,
    request: &FileRequest,
    part: &mut dyn PartialFile,
    meter: &mut Meter,
    report: &mut Report<'_>,
) -> Result<Outcome, Problem> {
    let mut download = Download { link, request, part, meter, report, check: Check::new(), old: false };
    download.meter.begin(&request.name, request.size);
    download.take_stock().await?;
    let mut tries = Tries::new(link.patience);
    let mut mark = download.part.length();
    loop {
        let setback = match download.attempt().await {
            Ok(arrived) => return Ok(arrived),
            Err(setback) => setback,
        };
        let here = download.part.length();
        if here >= mark.saturating_add(PROGRESS) {
            tries.progressed();
        } else if here > mark {
            tries.connected();
        }
        mark = mark.max(here);
        tries.pause(link.transport, &request.name, with_kept(setback, here, request.size), download.report).await?;
    }
}

/// The same setback, saying how many bytes are safe.
fn with_kept(setback: Setback, here: u64, size: Option<u64>) -> Setback {
    let Setback::Again { wait, mut problem } = setback else { return setback };
    match &mut problem {
        Problem::Unreachable { kept, .. } | Problem::Busy { kept, .. } => *kept = here,
        Problem::Cut { done, total, .. } => (*done, *total) = (here, size),
        _ => {}
    }
    Setback::Again { wait, problem }
}

struct Download<'a, 't> {
    link: &'a Link<'a>,
    request: &'a FileRequest,
    part: &'a mut dyn PartialFile,
    meter: &'a mut Meter,
    report: &'a mut Report<'t>,
    /// Has seen exactly the bytes of the part.
    check: Check,
    /// Whether some of them are from an earlier run.
    old: bool,
}

impl Download<'_, '_> {
    /// Checks what an earlier run left.
    async fn take_stock(&mut self) -> Result<(), Problem> {
        let length = self.part.length();
        if length == 0 {
            return Ok(());
        }
        if length > self.request.size.unwrap_or(self.request.limit) {
            return self.part.restart(None).await;
        }
        while self.check.length() < length {
            let bytes = self.part.read(self.check.length(), CHUNK).await?;
            if bytes.is_empty() {
                return self.discard().await;
            }
            self.check.update(&bytes);
            self.report(0)?;
        }
        self.old = true;
        Ok(())
    }

    fn report(&mut self, new: u64) -> Result<(), Problem> {
        match self.meter.advance(new, self.check.length(), Instant::now()) {
            Some(notice) => notify(self.report, notice),
            None => Ok(()),
        }
    }

    async fn discard(&mut self) -> Result<(), Problem> {
        self.restart(None).await
    }

    async fn restart(&mut self, validator: Option<&str>) -> Result<(), Problem> {
        self.part.restart(validator).await?;
        (self.check, self.old) = (Check::new(), false);
        Ok(())
    }

    async fn attempt(&mut self) -> Result<Outcome, Setback> {
        if self.request.size == Some(self.check.length()) {
            let validator = self.part.validator().map(str::to_owned);
            return self.finish(validator).await;
        }
        let mut headers = vec![("accept-encoding", "identity".to_owned())];
        let here = self.check.length();
        // A weak tag does not promise the same bytes.
        let strong = self.part.validator().filter(|tag| tag.starts_with('"')).map(str::to_owned);
        match strong {
            _ if here == 0 => headers.extend(self.request.unless.clone().map(|tag| ("if-none-match", tag))),
            // Without a tag (some proxies take it away) only a known hash can tell that the ends fit.
            None if self.request.sha256.is_none() => self.discard().await?,
            strong => {
                headers.push(("range", format!("bytes={here}-")));
                headers.extend(strong.map(|tag| ("if-range", tag)));
            }
        }
        let (answer, from) = self.link.get(&self.request.name, &self.request.url, &headers).await?;
        match answer.status {
            200 => self.begin(answer).await,
            206 => self.resume(answer).await,
            304 if self.request.unless.is_some() => Ok(Outcome::Unchanged),
            // There is no such range: what is here belongs to another version.
            416 if self.check.length() > 0 => {
                self.discard().await?;
                Err(self.cut("the file on the server is shorter than the part that is here"))
            }
            _ => Err(self.link.judge(&answer, &self.request.name, &from)),
        }
    }

    fn cut(&self, reason: &str) -> Setback {
        let problem = Problem::Cut {
            file: self.request.name.clone(),
            done: 0,
            total: self.request.size,
            reason: reason.to_owned(),
        };
        Setback::Again { wait: None, problem }
    }

    async fn begin(&mut self, answer: Response) -> Result<Outcome, Setback> {
        self.acceptable(&answer)?;
        let total = answer.headers.number("content-length");
        if let Some(found) = total {
            let file = self.request.name.clone();
            match self.request.size {
                Some(expected) if found != expected => {
                    return Err(Setback::Stop(Problem::WrongLength { file, expected, found }));
                }
                None if found > self.request.limit => {
                    return Err(Setback::Stop(Problem::TooLong { file, limit: self.request.limit }));
                }
                _ => {}
            }
        }
        let tag = answer.headers.get("etag").map(str::to_owned);
        self.restart(tag.as_deref()).await?;
        self.take(answer, total, tag).await
    }

    async fn resume(&mut self, answer: Response) -> Result<Outcome, Setback> {
        self.acceptable(&answer)?;
        let range = answer.headers.get("content-range").and_then(content_range);
        let tag = answer.headers.get("etag").map(str::to_owned);
        let same = tag.is_none() || self.part.validator().is_none() || tag.as_deref() == self.part.validator();
        let fits = range.is_some_and(|(start, total)| {
            start == self.check.length()
                && (self.request.size.is_none() || total.is_none() || total == self.request.size)
        });
        if !same || !fits || self.check.length() == 0 {
            // Bytes of two versions, or of the wrong place, are never put together.
            self.discard().await?;
            return Err(self.cut("the server gave another part of the file than was asked for"));
        }
        let tag = self.part.validator().map(str::to_owned);
        self.take(answer, range.and_then(|(_, total)| total), tag).await
    }

    /// Whether an answer of success can be the file.
    fn acceptable(&self, answer: &Response) -> Result<(), Problem> {
        let encoding = answer.headers.get("content-encoding").unwrap_or("identity");
        if !encoding.eq_ignore_ascii_case("identity") {
            let reason = format!("the server sent it compressed ({encoding}) although it was asked not to");
            return Err(Problem::BadAnswer { url: self.request.url.shown(), reason });
        }
        let html = answer.headers.get("content-type").is_some_and(|kind| kind.starts_with("text/html"));
        if html && !may_be_a_page(&self.request.name) {
            return Err(Problem::NotTheFile { file: self.request.name.clone(), reason: a_page().to_owned() });
        }
        Ok(())
    }

    async fn take(
        &mut self,
        mut answer: Response,
        total: Option<u64>,
        tag: Option<String>,
    ) -> Result<Outcome, Setback> {
        self.meter.learn(total);
        loop {
            let chunk = answer.body.chunk().await;
            let chunk = chunk.map_err(|broken| broken.setback(&self.request.url, &self.request.name))?;
            let Some(bytes) = chunk else { break };
            self.check.update(&bytes);
            if let Err(problem) = self.check.so_far(self.request) {
                self.discard().await?;
                return Err(Setback::Stop(problem));
            }
            self.part.append(&bytes).await?;
            self.report(bytes.len() as u64)?;
        }
        if self.request.size.or(total).is_some_and(|total| self.check.length() < total) {
            return Err(self.cut("the server ended early"));
        }
        self.finish(tag).await
    }

    /// All bytes have arrived: verifies and publishes the file.
    async fn finish(&mut self, validator: Option<String>) -> Result<Outcome, Setback> {
        let length = self.check.length();
        let check = std::mem::replace(&mut self.check, Check::new());
        match check.finish(self.request) {
            Ok(sha256) => {
                self.part.publish().await?;
                notify(self.report, self.meter.end(length, Instant::now()))?;
                Ok(Outcome::Whole { length, sha256, validator })
            }
            Err(problem) => {
                let old = self.old;
                self.discard().await?;
                // Only the bytes of an earlier run can be to blame and be replaced.
                if old { Err(Setback::Again { wait: None, problem }) } else { Err(Setback::Stop(problem)) }
            }
        }
    }
}

/// Start and total of `bytes 5-9/10` or `bytes 5-9/*`.
fn content_range(text: &str) -> Option<(u64, Option<u64>)> {
    let (span, total) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (start, end) = span.split_once('-')?;
    let (start, end): (u64, u64) = (start.trim().parse().ok()?, end.trim().parse().ok()?);
    let total = if total.trim() == "*" { None } else { Some(total.trim().parse().ok()?) };
    (start <= end && total.is_none_or(|total| end < total)).then_some((start, total))
}

#[cfg(test)]
mod tests {
    use super::content_range;

    #[test]
    fn ranges_are_read_strictly() {
        assert_eq!(content_range("bytes 5-9/10"), Some((5, Some(10))));
        assert_eq!(content_range("bytes 5-9/*"), Some((5, None)));
        for bad in ["bytes 5-10/10", "bytes 9-5/10", "5-9/10", "bytes */10", "bytes 5-9", "bytes -9/10"] {
            assert_eq!(content_range(bad), None, "{bad}");
        }
    }
}
