//! Order statistics.

/// The q-quantile of some values, linear between the two nearest (NumPy's default); not a number if there are none.
pub fn quantile(values: &[f64], q: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let Some(last) = sorted.len().checked_sub(1) else {
        return f64::NAN;
    };
    let place = q.clamp(0.0, 1.0) * last as f64;
    let (low, part) = (place.floor() as usize, place.fract());
    match part {
        0.0 => sorted[low],
        part => sorted[low] + part * (sorted[low + 1] - sorted[low]),
    }
}

/// The 0.5-quantile.
pub fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}
