//! Time and memory of a process.

use std::time::Instant;

/// Time and memory of a piece of work.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cost {
    /// Wall time.
    pub seconds: f64,
    /// Largest resident memory of the process during the work, in bytes; `None` except on Linux.
    pub peak: Option<u64>,
}

/// Does some work and measures its cost.
pub fn measured<T>(work: impl FnOnce() -> T) -> (T, Cost) {
    // Writing 5 resets the peak on Linux (proc(5)). If that fails, the peak is that of the whole process.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    let started = Instant::now();
    let result = work();
    let seconds = started.elapsed().as_secs_f64();
    let peak = peak_memory();
    (result, Cost { seconds, peak })
}

/// Largest resident size of the process so far, in bytes. `None` except on Linux.
pub fn peak_memory() -> Option<u64> {
    status_bytes("VmHWM:")
}

/// Resident size of the process in bytes. `None` except on Linux.
pub fn resident_memory() -> Option<u64> {
    status_bytes("VmRSS:")
}

/// Processor time of all threads so far, in seconds. `None` except on Linux.
pub fn cpu_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The second field is a name in parentheses; user and system time are the 14th and 15th, in hundredths of a second.
    let fields = stat.rsplit_once(')')?.1;
    let mut ticks = fields.split_whitespace().skip(11).map(str::parse::<u64>);
    let (user, system) = (ticks.next()?.ok()?, ticks.next()?.ok()?);
    Some((user + system) as f64 / 100.0)
}

/// A size of /proc/self/status (proc(5)) in bytes.
fn status_bytes(field: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with(field))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(1024 * kib)
}
