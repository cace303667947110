//! The distribution of a model's training noise levels.

use datasway_stats::normal_quantile;

use crate::loss::NoiseDistribution;

/// The distribution of the noise levels that a model was trained on.
#[derive(Debug, Clone, PartialEq)]
pub enum TrainingNoise {
    /// `ln σ ~ N(mean, std²)`, as EDM trains.
    LogNormal(NoiseDistribution),
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
            Self::LogNormal(noise) => (noise.mean + noise.std * normal_quantile(quantile)).exp(),
            Self::Levels(levels) => {
                let index = (quantile * levels.len() as f64) as usize;
                levels[index.min(levels.len() - 1)]
            }
        }
    }
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
}
