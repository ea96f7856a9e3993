//! What a machine has to give.

/// The memory of a machine, as far as it is known. A GPU's is filled in where its adapter is known (`cli::outlook`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Machine {
    /// Bytes that are free for the device to use.
    pub free: Option<u64>,
    /// The largest buffer that the device takes, in bytes.
    pub largest_buffer: Option<u64>,
}

impl Machine {
    /// The processor's memory: what Linux says is available, bounded by the control group that the program is in.
    #[cfg(not(target_family = "wasm"))]
    pub fn processor() -> Self {
        let read = |path: &str| std::fs::read_to_string(path).ok();
        let available = read("/proc/meminfo").and_then(|text| available(&text));
        let number = |path: &str| read(path)?.trim().parse::<u64>().ok();
        let group = number("/sys/fs/cgroup/memory.max")
            .zip(number("/sys/fs/cgroup/memory.current"))
            .map(|(most, used)| most.saturating_sub(used));
        let free = available.into_iter().chain(group).min();
        Self { free, largest_buffer: None }
    }
}

/// What `/proc/meminfo` says can be taken without pushing other programs out.
#[cfg(not(target_family = "wasm"))]
fn available(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
}

#[cfg(all(test, not(target_family = "wasm")))]
mod tests {
    use super::*;

    #[test]
    fn linux_says_what_is_available() {
        let text = "MemTotal:       24000000 kB\nMemFree:         100 kB\nMemAvailable:   21000000 kB\n";
        assert_eq!(available(text), Some(21_000_000 * 1024));
        assert_eq!(available("MemTotal: 1 kB"), None);
        if cfg!(target_os = "linux") {
            assert!(Machine::processor().free.is_some_and(|free| free > 1 << 20));
        }
    }
}
