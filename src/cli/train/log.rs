//! The log of a run: one JSON object per line, and only whole lines, no matter what happens to the disk.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::Serialize;
use serde_json::Value;

use super::names::LOG;
use crate::base::text;

/// Lines that cannot be written wait, up to this many bytes of them.
const WAITING: usize = 16 << 20;

/// A log that is being written.
pub(super) struct Log {
    path: PathBuf,
    file: File,
    waiting: Vec<u8>,
    begun: Instant,
    /// Seconds of the run before it was interrupted.
    before: f64,
}

impl Log {
    /// Starts a new log.
    pub fn create(path: &Path) -> io::Result<Self> {
        Ok(Self::with(path, File::create(path)?, 0.0))
    }

    /// Opens a log to add to it; gives what is in it.
    pub fn resume(path: &Path) -> io::Result<(Self, Vec<Value>)> {
        let text = match fs::read(path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error),
        };
        // A line that was cut off when the disk was full is skipped.
        let entries: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let before = entries.last().and_then(|entry| entry["elapsed"].as_f64()).unwrap_or_default();
        let mut log = Self::with(path, OpenOptions::new().append(true).create(true).open(path)?, before);
        if !text.is_empty() && !text.ends_with('\n') {
            log.waiting.push(b'\n');
        }
        Ok((log, entries))
    }

    fn with(path: &Path, file: File, before: f64) -> Self {
        Self { path: path.to_owned(), file, waiting: Vec::new(), begun: Instant::now(), before }
    }

    /// Adds an entry with its time. What cannot be written waits for the next.
    ///
    /// # Errors
    /// The system's; the entry is kept.
    pub fn add(&mut self, entry: &impl Serialize) -> io::Result<()> {
        #[derive(Serialize)]
        struct Line<'a, T> {
            elapsed: f64,
            #[serde(flatten)]
            entry: &'a T,
        }
        let elapsed = ((self.before + self.begun.elapsed().as_secs_f64()) * 1000.0).round() / 1000.0;
        let line = text::json(&Line { elapsed, entry })?;
        if self.waiting.len() + line.len() < WAITING {
            self.waiting.extend(line.into_bytes());
            self.waiting.push(b'\n');
        }
        self.flush()
    }

    /// Continues in a folder that was made again.
    pub fn again(&mut self) -> io::Result<()> {
        self.file = OpenOptions::new().append(true).create(true).open(&self.path)?;
        self.flush()
    }

    fn flush(&mut self) -> io::Result<()> {
        crate::base::failpoints::pass_file(LOG, "write")?;
        // Usually one whole line in one write, unbuffered: the log is complete up to the moment of any failure.
        while !self.waiting.is_empty() {
            match self.file.write(&self.waiting) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => drop(self.waiting.drain(..count)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_log_continues_after_a_line_that_was_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.jsonl");
        let mut log = Log::create(&path).unwrap();
        log.add(&json!({"event": "step", "step": 1})).unwrap();
        drop(log);
        let mut bytes = fs::read(&path).unwrap();
        bytes.extend(b"{\"elapsed\":0.1,\"ev");
        fs::write(&path, bytes).unwrap();
        let (mut log, entries) = Log::resume(&path).unwrap();
        assert_eq!(entries.len(), 1);
        log.add(&json!({"event": "step", "step": 2})).unwrap();
        let (_, entries) = Log::resume(&path).unwrap();
        assert_eq!(entries.iter().map(|entry| entry["step"].as_u64().unwrap()).collect::<Vec<_>>(), [1, 2]);
    }
}
