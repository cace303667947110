//! Memory limit of a data set.

use crate::DataError;

/// Largest number of pixel bytes on any machine.
const MOST: u64 = 64 << 30;

/// Bytes of `count` images with `channels` channels and `side` pixels a side, if they fit into memory.
pub(crate) fn needed(
    name: &str,
    count: usize,
    channels: usize,
    side: usize,
) -> Result<usize, DataError> {
    let needed = [count, channels, side, side]
        .iter()
        .try_fold(1u64, |product, &factor| product.checked_mul(factor as u64));
    let limit = match needed {
        Some(needed) if needed <= MOST => match available() {
            Some(available) if needed > available => {
                format!("{} are free", gigabytes(available))
            }
            _ => return Ok(needed as usize),
        },
        _ => format!("{} is the most that is held", gigabytes(MOST)),
    };
    Err(DataError::TooLarge {
        name: name.into(),
        needed: needed.map_or("more than can be counted".into(), gigabytes),
        side,
        limit,
    })
}

fn gigabytes(bytes: u64) -> String {
    format!("{:.1} GB", bytes as f64 / 1e9)
}

/// Available memory in bytes, if the system reports it.
fn available() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|l| l.strip_prefix("MemAvailable:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}
