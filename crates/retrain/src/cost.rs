//! What a computation costs.

use std::time::Instant;

use crate::store::Array;

/// Time and memory.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Cost {
    /// Wall time.
    pub seconds: f64,
    /// Largest resident memory of the whole process meanwhile, in MiB, where the system tells (Linux).
    pub peak: Option<f64>,
}

impl Cost {
    /// For a result file; memory that is not known is not a number.
    pub fn array(self) -> Array {
        Array {
            shape: vec![2],
            values: vec![self.seconds as f32, self.peak.unwrap_or(f64::NAN) as f32],
        }
    }

    /// Reads it back.
    pub fn of(array: &Array) -> Self {
        let value = |i: usize| array.values.get(i).map_or(f64::NAN, |v| f64::from(*v));
        Self {
            seconds: value(0),
            peak: Some(value(1)).filter(|peak| peak.is_finite()),
        }
    }
}

/// Does some work and says what it cost.
pub(crate) fn measured<T>(work: impl FnOnce() -> T) -> (T, Cost) {
    // Linux forgets the peak so far when 5 is written here (proc(5)); where that fails, the peak is the process's own.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    let started = Instant::now();
    let result = work();
    let seconds = started.elapsed().as_secs_f64();
    (
        result,
        Cost {
            seconds,
            peak: peak(),
        },
    )
}

/// `VmHWM` of /proc/self/status, in MiB.
fn peak() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kib: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib / 1024.0)
}
