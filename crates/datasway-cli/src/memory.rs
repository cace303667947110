//! Checks of the machine's memory before a large computation.

use anyhow::{Result, ensure};

/// Memory in bytes that is assumed if the system does not report it.
const ASSUMED: u64 = 16 << 30;

/// Memory in bytes that this process may use.
pub fn total() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    let machine = kib.map_or(ASSUMED, |kib| kib.saturating_mul(1024));
    // A container may have a lower limit.
    let allowed = std::fs::read_to_string("/sys/fs/cgroup/memory.max").unwrap_or_default();
    allowed
        .trim()
        .parse()
        .map_or(machine, |allowed: u64| machine.min(allowed))
}

/// Refuses a computation that needs more memory than this machine has. `advice` says how to reduce it.
///
/// # Errors
/// A sentence with both sizes.
pub fn ensure_room(bytes: u128, what: &str, advice: &str) -> Result<()> {
    let gib = |bytes: u128| bytes as f64 / (1u64 << 30) as f64;
    let total = u128::from(total());
    ensure!(
        bytes <= total,
        "{what} need {:.1} GiB of memory, and there are {:.1} on this machine: {advice}",
        gib(bytes),
        gib(total)
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_there_is_is_refused() {
        assert!(total() > 1 << 20);
        ensure_room(1, "they", "").unwrap();
        let error = ensure_room(u128::MAX, "the results", "ask for less").unwrap_err();
        let error = error.to_string();
        assert!(error.starts_with("the results need ") && error.ends_with(": ask for less"));
    }
}
