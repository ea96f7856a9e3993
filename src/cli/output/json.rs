//! What happens, for programs: one JSON object a line on standard output.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::json;

/// Writes one object as a line, at once: a reader must not wait for a buffer to fill.
pub fn line(value: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_string(value)?;
    line.push('\n');
    let mut stdout = io::stdout().lock();
    stdout.write_all(line.as_bytes())?;
    stdout.flush()
}

/// The last line of a command that failed.
pub fn error_line(code: u8, message: &str) -> io::Result<()> {
    line(&json!({"event": "error", "code": code, "message": message}))
}
