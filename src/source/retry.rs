//! When a request is repeated, and after how long a pause: only where it helps (408, 429, 5xx, a connection
//! that broke), a few times, and as long as the server asks.

use std::ops::ControlFlow;
use std::time::Duration;

use web_time::SystemTime;

use super::Problem;
use super::progress::{Notice, Report};
use super::transport::{Broken, Fault, Headers, Transport};
use super::url::Url;

/// How often a request is repeated, and how long the pauses are.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Attempts after the first, without progress between them.
    pub again: u32,
    /// The first pause; each further one is twice as long.
    pub pause: Duration,
    /// The longest pause that a server may ask for; beyond it the request fails.
    pub longest: Duration,
}

impl Default for Patience {
    /// Five times, over about 15 seconds.
    fn default() -> Self {
        Self { again: 5, pause: Duration::from_millis(500), longest: Duration::from_secs(120) }
    }
}

/// Why an attempt failed.
pub(super) enum Setback {
    /// Another attempt may succeed; if there is none, this is the error.
    Again { wait: Option<Duration>, problem: Problem },
    /// It would not.
    Stop(Problem),
}

impl From<Problem> for Setback {
    fn from(problem: Problem) -> Self {
        Setback::Stop(problem)
    }
}

impl Broken {
    pub(super) fn setback(self, url: &Url, what: &str) -> Setback {
        let (host, reason) = (url.host().to_owned(), self.reason);
        match self.fault {
            Fault::Unreachable => {
                Setback::Again { wait: None, problem: Problem::Unreachable { host, reason, kept: 0 } }
            }
            Fault::Cut => Setback::Again {
                wait: None,
                problem: Problem::Cut { file: what.to_owned(), done: 0, total: None, reason },
            },
            Fault::Refused => Setback::Stop(Problem::Insecure { host, reason }),
        }
    }
}

/// Counts attempts and pauses between them.
pub(super) struct Tries {
    patience: Patience,
    made: u32,
    /// Whether there was a connection at all: one that never came about will not come about in a second.
    connected: bool,
}

impl Tries {
    pub fn new(patience: Patience) -> Self {
        Self { patience, made: 0, connected: false }
    }

    /// There was progress: as if nothing had been tried yet.
    pub fn progressed(&mut self) {
        (self.made, self.connected) = (0, true);
    }

    /// Some bytes came: the other side exists.
    pub fn connected(&mut self) {
        self.connected = true;
    }

    /// Waits before the next attempt.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn pause(
        &mut self,
        transport: &dyn Transport,
        what: &str,
        setback: Setback,
        report: &mut Report<'_>,
    ) -> Result<(), Problem> {
        let (wait, problem) = match setback {
            Setback::Again { wait, problem } => (wait, problem),
            Setback::Stop(problem) => return Err(problem),
        };
        let hopeless = matches!(problem, Problem::Unreachable { .. }) && !self.connected;
        if hopeless || self.made >= self.patience.again || wait.is_some_and(|wait| wait > self.patience.longest) {
            return Err(problem);
        }
        let doubled = self.patience.pause.saturating_mul(1 << self.made.min(6));
        self.made += 1;
        // Many clients that were cut off together should not all return at the same moment.
        let jitter =
            SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |time| time.subsec_micros() % 512);
        let wait = wait.unwrap_or(doubled.mul_f64(0.75 + f64::from(jitter) / 1024.0)).min(self.patience.longest);
        notify(report, Notice::Again { what: what.to_owned(), reason: problem.to_string(), wait })?;
        let slice = Duration::from_millis(200);
        let mut left = wait;
        while !left.is_zero() {
            transport.sleep(left.min(slice)).await;
            left = left.saturating_sub(slice);
            notify(report, Notice::Tick)?;
        }
        Ok(())
    }
}

/// Reports a notice, and stops where the user wants to.
pub(super) fn notify(report: &mut Report<'_>, notice: Notice) -> Result<(), Problem> {
    match report(notice) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(Problem::Interrupted),
    }
}

/// How long the server asks to wait: `Retry-After` in seconds or as a date, or the Hub's `RateLimit: "api";r=0;t=55`.
pub(super) fn retry_after(headers: &Headers) -> Option<Duration> {
    if let Some(after) = headers.get("retry-after") {
        if let Ok(seconds) = after.parse() {
            return Some(Duration::from_secs(seconds));
        }
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs();
        return Some(Duration::from_secs(http_date(after)?.saturating_sub(now)));
    }
    let limit = headers.get("ratelimit")?;
    let field = |name: &str| limit.split(';').find_map(|field| field.trim().strip_prefix(name)?.parse::<u64>().ok());
    (field("r=") == Some(0)).then(|| field("t=").map(Duration::from_secs)).flatten()
}

/// Seconds since 1970 of `Sun, 06 Nov 1994 08:49:37 GMT`, the only form that servers may send (RFC 9110, 5.6.7).
fn http_date(text: &str) -> Option<u64> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let mut words = text.split_once(", ")?.1.split([' ', ':']);
    let mut number = || words.next();
    let day = number()?.parse::<u64>().ok().filter(|day| (1..=31).contains(day))?;
    let name = number()?;
    let month = MONTHS.iter().position(|month| *month == name)? as u64 + 1;
    let mut number = |most: u64| number()?.parse::<u64>().ok().filter(|number| *number <= most);
    let (year, hour, minute, second) = (number(9999)?, number(23)?, number(59)?, number(60)?);
    // Days since 1970 in a calendar whose years begin in March, so that leap days come last (H. Hinnant,
    // "chrono-Compatible Low-Level Date Algorithms").
    let (year, month) = if month > 2 { (year, month - 3) } else { (year.checked_sub(1)?, month + 9) };
    let days = (year * 365 + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day).checked_sub(719_469)?;
    Some(days * 86_400 + hour * 3600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_say_how_long_to_wait() {
        let of = |name: &str, value: &str| retry_after(&Headers::new([(name.to_owned(), value.to_owned())]));
        assert_eq!(of("Retry-After", "7"), Some(Duration::from_secs(7)));
        assert_eq!(of("Retry-After", "Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::ZERO));
        assert_eq!(of("Retry-After", "soon"), None);
        assert_eq!(of("RateLimit", "\"api\";r=0;t=55"), Some(Duration::from_secs(55)));
        assert_eq!(of("RateLimit", "\"api\";r=10;t=55"), None);
        assert_eq!(http_date("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
        assert_eq!(http_date("Thu, 29 Feb 2024 00:00:00 GMT"), Some(1_709_164_800));
        for bad in
            ["Sun, 06 Nov 99999999999999999999 08:49:37 GMT", "Sun, 06 Nov 18446744073709551615 00:00:00 GMT", "x, 0"]
        {
            assert_eq!(http_date(bad), None);
        }
        assert_eq!(http_date("Thu, 01 Jan 1970 00:00:00 GMT"), Some(0));
    }
}
