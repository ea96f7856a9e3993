//! What happens, for programs: one JSON object a line on standard output.

use std::io;

use serde::Serialize;
use serde_json::json;

use super::terminal;
use crate::base::text;

/// Writes one object as a line, at once: a reader must not wait for a buffer to fill.
pub fn line(value: &impl Serialize) -> io::Result<()> {
    let mut line = text::json(value)?;
    line.push('\n');
    terminal::bytes(line.as_bytes())
}

/// The last line of a command that failed.
pub fn error_line(code: u8, message: &str) -> io::Result<()> {
    line(&json!({"event": "error", "code": code, "message": message}))
}
