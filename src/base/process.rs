//! What the system reports about this process, where it does (on Linux).

/// The most memory that the process has had, in megabytes.
pub fn peak_memory() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let kilobytes = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix("kB")?.trim().parse::<f64>().ok());
    kilobytes.map(|kilobytes| kilobytes / 1024.0)
}

/// Seconds for which the thread that asks has computed.
pub fn computed_here() -> Option<f64> {
    nanoseconds(&std::fs::read_to_string("/proc/thread-self/schedstat").ok()?).map(|time| time as f64 / 1e9)
}

/// The time that a thread has computed, as the first number of its `schedstat`.
fn nanoseconds(schedstat: &str) -> Option<u64> {
    schedstat.split_whitespace().next()?.parse().ok()
}

/// Seconds for which this process's threads whose names begin so have computed.
pub fn computed_by(threads: &str) -> Option<f64> {
    let mut sum = 0;
    // A thread that ends meanwhile is left out.
    for task in std::fs::read_dir("/proc/self/task").ok()?.flatten() {
        let read = |file: &str| std::fs::read_to_string(task.path().join(file)).unwrap_or_default();
        if read("comm").starts_with(threads) {
            sum += nanoseconds(&read("schedstat")).unwrap_or(0);
        }
    }
    (sum > 0).then_some(sum as f64 / 1e9)
}

/// How many programs wanted a processor over the last minute.
pub fn load_average() -> Option<f64> {
    std::fs::read_to_string("/proc/loadavg").ok()?.split_whitespace().next()?.parse().ok()
}
