//! A median for inner loops.

/// The median by selection, in linear time. NaN counts as the largest value; the median of an empty list is NaN.
pub fn fast_median(values: &[f64]) -> f64 {
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
    use crate::quantile;

    #[test]
    fn the_median_is_the_middle_quantile() {
        for values in [
            &[][..],
            &[3.0],
            &[4.0, 1.0],
            &[5.0, 1.0, 2.0],
            &[9.0, 1.0, 2.0, 4.0],
        ] {
            let (median, quantile) = (fast_median(values), quantile(values, 0.5));
            assert!(median == quantile || median.is_nan() && quantile.is_nan());
        }
    }
}
