//! Who holds the lock of a folder, as the lock's file says.

use std::collections::hash_map::RandomState;
use std::fs::{self, File};
use std::hash::{BuildHasher, Hasher};
use std::io::{self, Read, Seek, Write};
use std::path::Path;
use std::sync::LazyLock;
use std::thread;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::cli::output::span;

/// What is written is as long as this, so that it is one write over what was there: whoever reads sees one or the other.
const LENGTH: usize = 512;

/// What this machine is called.
static HOST: LazyLock<String> = LazyLock::new(|| {
    let name = ["/proc/sys/kernel/hostname", "/etc/hostname"].iter().find_map(|path| fs::read_to_string(path).ok());
    let name = name.or_else(|| std::env::var("COMPUTERNAME").or_else(|_| std::env::var("HOSTNAME")).ok());
    name.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).unwrap_or_else(|| "this machine".to_owned())
});

/// A number that Linux gives a machine each time it starts; empty elsewhere.
static BOOT: LazyLock<String> = LazyLock::new(|| {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").map_or_else(|_| String::new(), |id| id.trim().to_owned())
});

/// A process that holds a lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Holder {
    pid: u32,
    host: String,
    /// Names of machines are given twice, and containers have names of their own.
    #[serde(default)]
    boot: String,
    /// Another each time that a lock is taken.
    #[serde(default)]
    id: u64,
    /// Seconds since 1970 by its machine's clock, with which nothing is decided.
    since: u64,
    /// How often it has said that it is there.
    #[serde(default)]
    beat: u64,
}

impl Holder {
    pub fn this_process() -> Self {
        // Its keys are different each time.
        let mut hasher = RandomState::new().build_hasher();
        hasher.write_u32(std::process::id());
        Self {
            pid: std::process::id(),
            host: HOST.clone(),
            boot: BOOT.clone(),
            id: hasher.finish(),
            since: now(),
            beat: 0,
        }
    }

    /// What a lock's file says; none where that is nothing.
    ///
    /// # Errors
    /// The system's: the file is not there, or cannot be read. Windows does not let others read what is locked.
    pub fn at(path: &Path) -> io::Result<Option<Self>> {
        // Opened each time: only then does a file system that machines share look at what the others have written.
        Self::read(&mut File::open(path)?)
    }

    /// The same of a file that is open.
    pub fn read(file: &mut File) -> io::Result<Option<Self>> {
        for _ in 0..3 {
            let mut text = String::new();
            file.rewind()?;
            file.take(4096).read_to_string(&mut text)?;
            match serde_json::from_str(&text) {
                Ok(holder) => return Ok(Some(holder)),
                Err(_) if text.trim().is_empty() => return Ok(None),
                // Where it can be seen that somebody writes, that is soon done.
                Err(_) => thread::sleep(Duration::from_millis(50)),
            }
        }
        Ok(None)
    }

    pub fn write(&self, file: &mut File) -> io::Result<()> {
        let line = format!("{:<1$}\n", serde_json::to_string(self)?, LENGTH - 1);
        file.rewind()?;
        file.write_all(line.as_bytes())?;
        // Other machines see it once it is on the server.
        file.sync_data()
    }

    /// Says once more that it is there.
    pub fn beat(&mut self, file: &mut File) -> io::Result<()> {
        self.beat += 1;
        self.write(file)
    }

    /// Whether it is the same, and not another or the same process at another time, whenever it was last there.
    pub fn is(&self, other: &Self) -> bool {
        (self.pid, self.id, &self.host, &self.boot) == (other.pid, other.id, &other.host, &other.boot)
    }

    /// Whether it is a process of this machine, whose locks the system knows.
    pub fn is_here(&self) -> bool {
        self.host == *HOST && self.boot == *BOOT
    }

    pub fn id(&self) -> u64 {
        self.id
    }

    pub fn name(&self) -> String {
        format!("process {} on {}", self.pid, self.host)
    }
}

/// The holder of a lock in a message.
pub(super) fn described(holder: Option<&Holder>) -> String {
    let Some(holder) = holder else { return "an unknown process".to_owned() };
    format!("{}, started {} ago", holder.name(), span(now().saturating_sub(holder.since) as f64))
}

fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

#[cfg(test)]
impl Holder {
    /// A process of another machine, whose clock is a century ahead.
    pub fn elsewhere() -> Self {
        Self { pid: 12, host: "elsewhere".to_owned(), since: now() + 3_000_000_000, ..Self::this_process() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_holder_is_read_as_it_was_written_over_another() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("lock");
        assert_eq!(Holder::at(&path).unwrap_err().kind(), io::ErrorKind::NotFound);
        let mut file = File::create(&path).unwrap();
        assert_eq!(Holder::at(&path).unwrap(), None);
        let mut holder = Holder { beat: u64::MAX - 1, host: "h".repeat(255), ..Holder::elsewhere() };
        holder.write(&mut file).unwrap();
        assert_eq!(file.metadata().unwrap().len(), LENGTH as u64);
        let before = holder.clone();
        holder.beat(&mut file).unwrap();
        let read = Holder::at(&path).unwrap().unwrap();
        assert!(read == holder && read != before && read.is(&before));
        assert!(!read.is_here() && Holder::this_process().is_here());
        assert!(!Holder::this_process().is(&Holder::this_process()));
        fs::write(&path, "{\"pid\":1").unwrap();
        assert_eq!(Holder::at(&path).unwrap(), None);
        // As versions wrote it that said nothing more.
        fs::write(&path, "{\"host\":\"h\",\"pid\":1,\"since\":2}\n").unwrap();
        assert_eq!(Holder::at(&path).unwrap().unwrap().name(), "process 1 on h");
    }
}
