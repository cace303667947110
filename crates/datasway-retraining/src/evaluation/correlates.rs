//! Rank correlations of the real change with properties of the sample.

use datasway_data::Dataset;
use datasway_stats::spearman_or_zero as spearman;

use crate::RetrainError;
use crate::jobs::{Replicate, Workspace};
use crate::prepared::PreparedExperiment;
use crate::resolved::ResolvedDirection;

/// Spearman's correlations, over the samples of one seed, of the norm of the real change with properties of the sample before the
/// change.
#[derive(Debug, Clone, PartialEq)]
pub struct MovementCorrelates {
    /// The variant, as an index in the experiment.
    pub variant: usize,
    /// The seed.
    pub seed: u64,
    /// The direction, as an index in the experiment.
    pub direction: usize,
    /// Correlation with the distance to the nearest training image; positive if outliers move far.
    pub outlier: f64,
    /// Correlation with the distance to the nearest image of ν; negative if samples like ν move far.
    pub distance: f64,
    /// Correlation with the absolute difference of the distances to the nearest image of ν and to the nearest training image not of
    /// ν; negative if samples on the boundary between the two move far.
    pub margin: f64,
    /// Correlation with the largest log r on the path of the sample by the first estimator of the density; positive if samples with a
    /// large predicted weight move far. None if no density is estimated.
    pub log_ratio: Option<f64>,
}

impl MovementCorrelates {
    /// The correlates of one replicate in every direction; `norms` are those of the real changes, `[directions, n]`.
    ///
    /// # Errors
    /// If a result cannot be read.
    pub fn compute(
        workspace: &Workspace<'_>,
        replicate: &Replicate,
        norms: &[Vec<f64>],
    ) -> Result<Vec<Self>, RetrainError> {
        let experiment = workspace.experiment;
        let samples = workspace.array(replicate.base, "samples")?.values;
        let estimators = experiment.spec.estimators.iter();
        let mut jobs = estimators.zip(&replicate.sensitivities);
        let density = jobs.find(|(estimator, _)| estimator.density().is_some());
        let log_ratios = density.map(|(_, job)| workspace.array(*job, "max_log_ratio"));
        let log_ratios = log_ratios.transpose()?;
        let to_data = Distances::new(&samples, &experiment.images, experiment.config.flip());
        let outlier_distances = to_data.nearest(|_| true);
        let directions = experiment.directions.iter().enumerate();
        let correlates = directions.map(|(k, direction)| {
            let norms = &norms[k];
            let distances = DistancesToMeasure::new(&samples, experiment, direction, &to_data);
            let log_ratio = log_ratios.as_ref().map(|log_ratios| {
                let log_ratios = log_ratios.row(k).iter().map(|r| f64::from(*r));
                spearman(&log_ratios.collect::<Vec<f64>>(), norms)
            });
            Self {
                variant: replicate.variant,
                seed: replicate.seed,
                direction: k,
                outlier: spearman(&outlier_distances, norms),
                distance: spearman(&distances.inside, norms),
                margin: spearman(&distances.margins(), norms),
                log_ratio,
            }
        });
        Ok(correlates.collect())
    }
}

/// Distances of the samples to the measure ν of a direction.
struct DistancesToMeasure {
    /// Distance to the nearest image of ν.
    inside: Vec<f64>,
    /// Distance to the nearest training image that is not of ν.
    outside: Vec<f64>,
}

impl DistancesToMeasure {
    fn new(
        samples: &[f32],
        experiment: &PreparedExperiment,
        direction: &ResolvedDirection,
        to_data: &Distances,
    ) -> Self {
        let is_inside = |image: usize| direction.indices.binary_search(&image).is_ok();
        let inside = if direction.indices.is_empty() {
            Distances::new(samples, &direction.images, experiment.config.flip()).nearest(|_| true)
        } else {
            to_data.nearest(is_inside)
        };
        Self {
            inside,
            outside: to_data.nearest(|image| !is_inside(image)),
        }
    }

    /// Absolute differences of the two distances, 0 on the boundary.
    fn margins(&self) -> Vec<f64> {
        let pairs = self.inside.iter().zip(&self.outside);
        pairs.map(|(a, b)| (a - b).abs()).collect()
    }
}

/// Distances `‖x_i − y_j‖` of samples and images, `[n, m]`.
/// If training mirrors images, the distance to the mirror image counts if it is smaller.
struct Distances {
    rows: Vec<Vec<f32>>,
}

impl Distances {
    fn new(samples: &[f32], images: &Dataset, flip: bool) -> Self {
        let (d, width) = (images.shape.dim(), images.shape.width);
        let mut rows = vec![Vec::with_capacity(images.len()); samples.len() / d];
        for j in 0..images.len() {
            let image: Vec<f32> = images.values(j).collect();
            let mut mirror = image.clone();
            if flip {
                for row in mirror.chunks_exact_mut(width) {
                    row.reverse();
                }
            }
            for (row, x) in rows.iter_mut().zip(samples.chunks_exact(d)) {
                let squared =
                    |y: &[f32]| -> f32 { x.iter().zip(y).map(|(x, y)| (x - y).powi(2)).sum() };
                row.push(squared(&image).min(squared(&mirror)).sqrt());
            }
        }
        Self { rows }
    }

    /// The smallest distance of each sample to one of the images for which `is_candidate` is true.
    fn nearest(&self, is_candidate: impl Fn(usize) -> bool) -> Vec<f64> {
        let nearest = |row: &Vec<f32>| {
            let distances = row.iter().enumerate().filter(|(j, _)| is_candidate(*j));
            distances
                .map(|(_, d)| f64::from(*d))
                .fold(f64::INFINITY, f64::min)
        };
        self.rows.iter().map(nearest).collect()
    }
}

#[cfg(test)]
mod tests {
    use datasway_data::{LoadOptions, Source};

    use super::*;

    #[test]
    fn distances_know_mirror_images_and_groups() {
        let options = LoadOptions {
            size: Some(8),
            ..LoadOptions::default()
        };
        let images = datasway_data::load(&Source::parse("faces:6").unwrap(), &options).unwrap();
        let mirror: Vec<f32> = images.values(3).collect();
        let mirror = mirror.chunks_exact(8).flat_map(|r| r.iter().rev().copied());
        let sample: Vec<f32> = mirror.collect();
        let mirrored = Distances::new(&sample, &images, true);
        assert_eq!(mirrored.nearest(|_| true), [0.0]);
        let others = mirrored.nearest(|j| j != 3)[0];
        assert!(others > 0.1 && others.is_finite(), "{others}");
        let plain = Distances::new(&sample, &images, false);
        assert!(plain.nearest(|j| j == 3)[0] > 0.1);
        assert_eq!(plain.nearest(|_| false), [f64::INFINITY]);
    }
}
