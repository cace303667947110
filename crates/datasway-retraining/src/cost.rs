//! The cost of a computation in a result file.

use datasway_fs::process::Cost;

use crate::store::Array;

/// Bytes of a MiB.
const MIB: f64 = 1_048_576.0;

/// `[seconds, peak MiB]`; memory that is not known is not a number.
pub(crate) fn to_array(cost: Cost) -> Array {
    let peak = cost.peak.map_or(f64::NAN, |bytes| bytes as f64 / MIB);
    Array {
        shape: vec![2],
        values: vec![cost.seconds as f32, peak as f32],
    }
}

/// Reads it back.
pub(crate) fn from_array(array: &Array) -> Cost {
    let value = |i: usize| array.values.get(i).map_or(f64::NAN, |v| f64::from(*v));
    let peak = Some(value(1)).filter(|peak| peak.is_finite());
    Cost {
        seconds: value(0),
        peak: peak.map(|mib| (mib * MIB) as u64),
    }
}

/// The peak in MiB.
pub(crate) fn peak_mib(cost: Cost) -> Option<f64> {
    cost.peak.map(|bytes| bytes as f64 / MIB)
}
