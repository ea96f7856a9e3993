//! What several errors say alike.

use crate::base::text::quoted;

/// Advice to choose another name.
pub(super) fn otherwise(suggestion: &str, instead: &Option<String>) -> String {
    match instead {
        Some(typed) => format!("choose another: {typed}"),
        None => format!("choose another, such as {}", quoted(suggestion)),
    }
}

pub(super) fn short_of_memory(need: &str, have: &str) -> String {
    format!("not enough memory: this needs {need}, but {have}")
}

/// Widths, in words.
pub(super) fn each(widths: &[usize]) -> String {
    widths.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ")
}

/// One indented line for each entry.
pub(super) fn list(lines: &[String]) -> String {
    lines.iter().map(|line| format!("\n  {line}")).collect()
}

/// The first lines of a list, and how many more there are.
pub(super) fn short(lines: &[String]) -> Vec<String> {
    const SHOWN: usize = 10;
    let more = lines.len().saturating_sub(SHOWN);
    let more = (more > 0).then(|| format!("and {more} more"));
    lines.iter().take(SHOWN).cloned().chain(more).collect()
}
