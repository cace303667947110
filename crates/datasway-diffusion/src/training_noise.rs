//! The distribution of a model's training noise levels.

use datasway_stats::normal_quantile;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_distr::Open01;

use crate::loss::NoiseDistribution;

/// The distribution of the noise levels that a model was trained on.
#[derive(Debug, Clone, PartialEq)]
pub enum TrainingNoise {
    /// `ln σ ~ N(mean, std²)`, as EDM trains.
    LogNormal(NoiseDistribution),
    /// The same in a range; a level outside is moved to its end.
    LogNormalWithin(NoiseDistribution, [f64; 2]),
    /// Ascending levels, all as likely: the table of a discrete schedule.
    Levels(Vec<f64>),
}

impl TrainingNoise {
    /// The noise level below which a part `quantile` of (0, 1) of all levels is.
    ///
    /// # Panics
    /// If there are no levels.
    pub fn quantile(&self, quantile: f64) -> f64 {
        match self {
            Self::LogNormal(noise) => log_normal(noise, quantile),
            Self::LogNormalWithin(noise, [lowest, highest]) => {
                log_normal(noise, quantile).clamp(*lowest, *highest)
            }
            Self::Levels(levels) => {
                let index = (quantile * levels.len() as f64) as usize;
                levels[index.min(levels.len() - 1)]
            }
        }
    }

    /// Draws `n` noise levels.
    ///
    /// # Panics
    /// If there are no levels.
    pub fn sample(&self, rng: &mut ChaCha8Rng, n: usize) -> Vec<f64> {
        let uniform = std::iter::repeat_with(|| rng.sample(Open01));
        uniform.take(n).map(|q: f64| self.quantile(q)).collect()
    }

    /// The distribution of the levels times a factor.
    pub fn scaled(self, factor: f64) -> Self {
        // ln(f·σ) = ln σ + ln f
        let moved = |noise: NoiseDistribution| NoiseDistribution {
            mean: noise.mean + factor.ln(),
            ..noise
        };
        match self {
            Self::LogNormal(noise) => Self::LogNormal(moved(noise)),
            Self::LogNormalWithin(noise, range) => {
                Self::LogNormalWithin(moved(noise), range.map(|sigma| factor * sigma))
            }
            Self::Levels(levels) => {
                Self::Levels(levels.into_iter().map(|sigma| factor * sigma).collect())
            }
        }
    }

    /// The distribution within a range of noise levels.
    pub fn within(self, range: [f64; 2]) -> Self {
        match self {
            Self::LogNormal(noise) | Self::LogNormalWithin(noise, _) => {
                Self::LogNormalWithin(noise, range)
            }
            Self::Levels(levels) => Self::Levels(levels),
        }
    }
}

/// `exp(mean + std·Φ⁻¹(q))`.
fn log_normal(noise: &NoiseDistribution, quantile: f64) -> f64 {
    (noise.mean + noise.std * normal_quantile(quantile)).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_of_a_table_are_its_levels_evenly() {
        let noise = TrainingNoise::Levels(vec![0.1, 0.5, 2.0, 9.0]);
        let quantiles = [1e-9, 0.24, 0.26, 0.5, 0.76, 1.0 - 1e-12].map(|q| noise.quantile(q));
        assert_eq!(quantiles, [0.1, 0.1, 0.5, 2.0, 9.0, 9.0]);
    }

    #[test]
    fn levels_that_are_drawn_are_within_the_range_and_have_the_quantiles() {
        use crate::random::{RandomStream, generator};
        let range = [0.05, 2.0];
        let noise = TrainingNoise::LogNormal(NoiseDistribution::EDM).within(range);
        let mut rng = generator(1, RandomStream::TrainingNoise, [0]);
        let mut levels = noise.sample(&mut rng, 20_000);
        levels.sort_by(f64::total_cmp);
        assert_eq!([levels[0], levels[levels.len() - 1]], range);
        for quantile in [0.2, 0.5, 0.8] {
            let drawn = levels[(quantile * levels.len() as f64) as usize];
            let ratio = drawn / noise.quantile(quantile);
            assert!((ratio - 1.0).abs() < 0.05, "{quantile}: {ratio}");
        }
        let table = TrainingNoise::Levels(vec![1.0, 3.0]).within(range);
        assert!(table.sample(&mut rng, 50).contains(&3.0));
    }
}
