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
    let mut values = values.to_vec();
    let n = values.len();
    if n == 0 {
        return f64::NAN;
    }
    let (below, &mut high, _) = values.select_nth_unstable_by(n / 2, f64::total_cmp);
    match n % 2 {
        1 => high,
        _ => (below.iter().copied().fold(f64::NEG_INFINITY, f64::max) + high) / 2.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_quantile() {
        for values in [
            &[][..],
            &[3.0],
            &[4.0, 1.0],
            &[5.0, 1.0, 2.0],
            &[9.0, 1.0, 2.0, 4.0],
        ] {
            let (median, quantile) = (median(values), quantile(values, 0.5));
            assert!(median == quantile || median.is_nan() && quantile.is_nan());
        }
    }
}
