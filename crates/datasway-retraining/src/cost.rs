//! The cost of a computation as an array of a result file.

use datasway_fs::arrays::Array;
use datasway_fs::process::Cost;

/// Name of the array.
pub(crate) const NAME: &str = "cost";

/// Bytes of a MiB.
const MIB: f64 = 1_048_576.0;

/// `[seconds, peak memory in MiB]`; NaN for unknown memory.
pub(crate) fn to_array(cost: Cost) -> Array {
    let peak = peak_mib(cost).unwrap_or(f64::NAN);
    Array {
        shape: vec![2],
        values: vec![cost.seconds as f32, peak as f32],
    }
}

/// The inverse of [`to_array`]; unknown entries are NaN seconds and no memory.
pub(crate) fn from_array(array: Option<&Array>) -> Cost {
    let value = |index: usize| {
        let value = array.and_then(|array| array.values.get(index));
        value.map_or(f64::NAN, |v| f64::from(*v))
    };
    let peak = Some(value(1)).filter(|peak| peak.is_finite());
    Cost {
        seconds: value(0),
        peak: peak.map(|mib| (mib * MIB) as u64),
    }
}

/// The peak memory in MiB.
pub(crate) fn peak_mib(cost: Cost) -> Option<f64> {
    cost.peak.map(|bytes| bytes as f64 / MIB)
}
