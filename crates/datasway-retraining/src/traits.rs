//! What the samples that move far have in common.

use datasway_data::Dataset;
use serde::Serialize;

use crate::RetrainError;
use crate::execute::Executor;
use crate::jobs::Run;
use datasway_stats::spearman_or_zero as spearman;

/// Spearman's correlations, over the samples of one seed, of the norm of the real change with properties that the sample had
/// before it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MovementCorrelates {
    /// The variant.
    pub variant: String,
    /// The seed.
    pub seed: String,
    /// The direction.
    pub direction: String,
    /// With the distance to the nearest training image: positive if outliers move far.
    pub outlier: f64,
    /// With the distance to the nearest image of ν: negative if samples like ν move far.
    pub distance: f64,
    /// With the difference of the distances to the nearest image of ν and to the nearest training image not of ν, without sign:
    /// negative if samples on the boundary between the two move far.
    pub margin: f64,
    /// With the largest log r on the sample's path, by the first estimator: positive if samples that theory weighs move far.
    pub log_ratio: f64,
}

impl MovementCorrelates {
    /// The traits of one run in every direction; `real` holds the norms of the real changes, `[directions, n]`.
    ///
    /// # Errors
    /// If a result cannot be read.
    pub fn find(
        executor: &Executor<'_>,
        run: &Run,
        real: &[Vec<f64>],
    ) -> Result<Vec<Self>, RetrainError> {
        let (setup, experiment) = (executor.setup, &executor.setup.experiment);
        let flip = setup.config.flip;
        let read = |job: usize, name: &str| executor.array(job, name);
        let samples = read(run.base, "samples")?.values;
        let log_ratios = read(run.predictions[0], "max_log_ratio")?.values;
        let to_data = Distances::new(&samples, &setup.images, flip);
        let outliers = to_data.nearest(|_| true);
        let changes = setup.changes.iter().enumerate();
        let traits = changes.map(|(k, change)| {
            let norms = &real[k];
            let with = |trait_: &[f64]| spearman(trait_, norms);
            let inside = |image: usize| change.indices.binary_search(&image).is_ok();
            let near = match change.indices.is_empty() {
                true => Distances::new(&samples, &change.images, flip).nearest(|_| true),
                false => to_data.nearest(inside),
            };
            let rest = to_data.nearest(|image| !inside(image));
            let margins: Vec<f64> = near.iter().zip(&rest).map(|(a, b)| (a - b).abs()).collect();
            let ratios = &log_ratios[k * norms.len()..(k + 1) * norms.len()];
            let ratios: Vec<f64> = ratios.iter().map(|r| f64::from(*r)).collect();
            Self {
                variant: experiment.variants[run.variant].name().to_owned(),
                seed: experiment.seeds[run.seed].to_string(),
                direction: change.direction.name(),
                outlier: with(&outliers),
                distance: with(&near),
                margin: with(&margins),
                log_ratio: with(&ratios),
            }
        });
        Ok(traits.collect())
    }
}

/// `‖x_i − y_j‖` of samples and images, `[n, m]`; to an image's mirror image, if training shows that too and it is nearer.
struct Distances {
    rows: Vec<Vec<f32>>,
}

impl Distances {
    fn new(samples: &[f32], images: &Dataset, flip: bool) -> Self {
        let (d, width) = (images.shape.dim(), images.shape.width);
        let mut rows = vec![Vec::with_capacity(images.len()); samples.len() / d];
        for j in 0..images.len() {
            let image: Vec<f32> = images.values(j).collect();
            let mirror: Vec<f32> = match flip {
                true => image
                    .chunks_exact(width)
                    .flat_map(|r| r.iter().rev().copied())
                    .collect(),
                false => image.clone(),
            };
            for (row, x) in rows.iter_mut().zip(samples.chunks_exact(d)) {
                let squared =
                    |y: &[f32]| -> f32 { x.iter().zip(y).map(|(x, y)| (x - y).powi(2)).sum() };
                row.push(squared(&image).min(squared(&mirror)).sqrt());
            }
        }
        Self { rows }
    }

    /// The smallest distance of each sample to some of the images.
    fn nearest(&self, of: impl Fn(usize) -> bool) -> Vec<f64> {
        let nearest = |row: &Vec<f32>| {
            let distances = row.iter().enumerate().filter(|(j, _)| of(*j));
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
        let with = Distances::new(&sample, &images, true);
        assert_eq!(with.nearest(|_| true), [0.0]);
        let others = with.nearest(|j| j != 3)[0];
        assert!(others > 0.1 && others.is_finite(), "{others}");
        let without = Distances::new(&sample, &images, false);
        assert!(without.nearest(|j| j == 3)[0] > 0.1);
        assert_eq!(without.nearest(|_| false), [f64::INFINITY]);
    }
}
