//! Numbers as they are typed on the command line: what is not one is answered with what it must be.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::OnceLock;

use super::Span;

/// A count.
pub fn count(typed: &str) -> Result<u32, String> {
    typed.parse().map_err(|_| why_not_whole(typed, u64::from(u32::MAX)))
}

/// A seed that must be known again, for a run that is resumed.
pub fn seed(typed: &str) -> Result<u64, String> {
    typed.parse().map_err(|_| match typed {
        "-1" => "a run needs a seed of its own, with which it is resumed: a whole number from 0".to_owned(),
        _ => why_not_whole(typed, u64::MAX),
    })
}

static DRAWN: OnceLock<u64> = OnceLock::new();

/// A seed, or -1 for any.
pub fn any_seed(typed: &str) -> Result<u64, String> {
    match typed {
        // As many as other programs draw from: such a seed can be typed there, too.
        "-1" => Ok(*DRAWN.get_or_init(|| RandomState::new().build_hasher().finish() & u64::from(u32::MAX))),
        _ => typed.parse().map_err(|_| format!("{}, or -1 for any", why_not_whole(typed, u64::MAX))),
    }
}

/// The seed that was drawn, if any was asked for.
pub fn drawn_seed() -> Option<u64> {
    DRAWN.get().copied()
}

/// From one whole number up to another.
pub fn span(typed: &str) -> Result<Span, String> {
    typed.parse()
}

/// A number.
pub fn number(typed: &str) -> Result<f64, String> {
    typed.parse().map_err(|_| {
        let with_point = typed.replacen(',', ".", 1);
        match with_point.parse::<f64>() {
            Ok(_) => format!("write it with a point: {with_point}"),
            Err(_) => "it is not a number, such as 0.5 or 1e-3".to_owned(),
        }
    })
}

fn why_not_whole(typed: &str, most: u64) -> String {
    match typed.parse::<f64>() {
        Ok(value) if value < 0.0 => "it must be a whole number from 0".to_owned(),
        Ok(value) if value >= most as f64 => format!("it must be at most {most}"),
        Ok(_) => "it must be a whole number, written in digits".to_owned(),
        Err(_) => "it is not a number: give a whole one, in digits".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_a_number_is_answered_with_what_it_must_be() {
        for (typed, part) in [
            ("-1", "from 0"),
            ("1.5", "whole"),
            ("1e3", "digits"),
            ("4294967296", "at most 4294967295"),
            ("1e99", "at most"),
            ("many", "not a number"),
            ("", "not a number"),
            ("1,000", "not a number"),
        ] {
            let said = count(typed).unwrap_err();
            assert!(said.contains(part), "{typed}: {said}");
        }
        for (typed, part) in [("0,5", "0.5"), ("half", "not a number"), ("", "not a number"), ("1.2.3", "not a number")]
        {
            let said = number(typed).unwrap_err();
            assert!(said.contains(part), "{typed}: {said}");
        }
        assert_eq!((count("7"), number("1e-3"), seed("18446744073709551615")), (Ok(7), Ok(1e-3), Ok(u64::MAX)));
        assert!(
            seed("-1").unwrap_err().contains("resumed") && seed("18446744073709551616").unwrap_err().contains("most")
        );
        assert!(any_seed("-2").unwrap_err().contains("-1 for any"));
        let drawn = any_seed("-1").unwrap();
        assert!(drawn <= u64::from(u32::MAX) && drawn_seed() == Some(drawn) && any_seed("-1") == Ok(drawn));
    }
}
