//! Reliability of measurements and standard errors by the jackknife.

/// Reliability of the mean of `n` measurements, given that of one (Spearman and Brown 1910).
pub fn spearman_brown(n: usize, reliability: f64) -> f64 {
    let n = n as f64;
    n * reliability / (1.0 + (n - 1.0) * reliability)
}

/// Jackknife standard error of a statistic, given its values without each one of the observations.
pub fn jackknife_error(leave_one_out: &[f64]) -> f64 {
    let n = leave_one_out.len() as f64;
    let mean = leave_one_out.iter().sum::<f64>() / n;
    let squares: f64 = leave_one_out.iter().map(|v| (v - mean).powi(2)).sum();
    (squares * (n - 1.0) / n).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reliability_grows_with_the_number_of_measurements() {
        assert!((spearman_brown(2, 0.5) - 2.0 / 3.0).abs() < 1e-12);
        assert_eq!(spearman_brown(1, 0.3), 0.3);
    }

    /// For a mean the jackknife is the usual standard error.
    #[test]
    fn the_jackknife_of_a_mean_is_its_standard_error() {
        let values: [f64; 4] = [1.0, 2.0, 4.0, 7.0];
        let sum: f64 = values.iter().sum();
        let without = values.map(|v| (sum - v) / 3.0);
        let mean = sum / 4.0;
        let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
        let expected = (squares / 3.0 / 4.0).sqrt();
        assert!((jackknife_error(&without) - expected).abs() < 1e-12);
    }
}
