//! The only door to standard output and standard error. Lines for people pass it one by one and come out escaped, so
//! that no name or answer of a stranger can move the cursor, set a title or forge a line. (`clippy.toml` keeps the rest
//! of the program from opening a second door.)

#![allow(clippy::disallowed_methods, reason = "this is the one place")]

use std::io::{self, IsTerminal, Write};

use crate::base::text::one_line;

/// A line on standard error. If that is closed, nobody is reading.
pub fn say(line: &str) {
    let _written = writeln!(io::stderr(), "{}", one_line(line));
}

/// Lines of a result on standard output.
pub fn results(lines: &[impl AsRef<str>]) -> io::Result<()> {
    let text: String = lines.iter().map(|line| format!("{}\n", one_line(line.as_ref()))).collect();
    bytes(text.as_bytes())
}

/// Bytes on standard output, as they are: a picture, JSON.
pub fn bytes(bytes: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes).and_then(|()| stdout.flush())
}

/// Whether standard output is a terminal.
pub fn shows_results() -> bool {
    io::stdout().is_terminal()
}

/// Whether standard error is a terminal.
pub fn shows_messages() -> bool {
    io::stderr().is_terminal()
}
