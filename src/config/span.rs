//! From one whole number up to another.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// From one whole number up to another, written `120..180`. What the second one means is said where a span is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span {
    /// The first.
    pub from: u32,
    /// The second.
    pub to: u32,
}

impl FromStr for Span {
    type Err = String;

    fn from_str(typed: &str) -> Result<Self, String> {
        let bounds = typed.split_once("..").map(|(from, to)| (from.trim().parse(), to.trim().parse()));
        let Some((Ok(from), Ok(to))) = bounds else {
            return Err(
                "write it as two whole numbers from 0 with two points between them, such as 120..180".to_owned()
            );
        };
        Ok(Self { from, to })
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.from, self.to)
    }
}

impl TryFrom<String> for Span {
    type Error = String;

    fn try_from(written: String) -> Result<Self, String> {
        written.parse()
    }
}

impl From<Span> for String {
    fn from(span: Span) -> Self {
        span.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_read_as_it_is_written() {
        let span = Span { from: 120, to: 180 };
        assert_eq!("120..180".parse(), Ok(span));
        assert_eq!("120 .. 180".parse(), Ok(span));
        assert_eq!(span.to_string(), "120..180");
        assert_eq!(serde_json::to_string(&span).unwrap(), "\"120..180\"");
        assert_eq!(serde_json::from_str::<Span>("\"120..180\"").unwrap(), span);
        for wrong in ["", "120", "120-180", "..180", "120..", "-1..5", "a..b", "1..2..3", "1.5..2"] {
            assert!(wrong.parse::<Span>().unwrap_err().contains("120..180"), "{wrong}");
        }
    }
}
