//! The percentile bootstrap (Efron & Tibshirani 1993, ch. 13).

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::quantile;

/// Number of resamples.
const RESAMPLES: usize = 2000;

/// The 95 % percentile interval of a statistic over `n` independent units.
///
/// `statistic` gets the indices of each resample, drawn with replacement. The resamples depend on `n` only, so intervals are
/// reproducible. Returns NaN for `n = 0`.
pub fn bootstrap(n: usize, statistic: impl Fn(&[usize]) -> f64) -> [f64; 2] {
    if n == 0 {
        return [f64::NAN; 2];
    }
    let mut rng = ChaCha8Rng::seed_from_u64(n as u64);
    let mut draw = vec![0; n];
    let statistics: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            draw.iter_mut().for_each(|i| *i = rng.random_range(0..n));
            statistic(&draw)
        })
        .collect();
    [quantile(&statistics, 0.025), quantile(&statistics, 0.975)]
}
