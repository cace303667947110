//! The change of the denoiser along some paths if every image of a set gets its influence as mass.

use std::ops::Range;

use burn::tensor::{Tensor, TensorData};
use datasway_diffusion::DiffusionError;

use super::adjoint::{AdjointInfluence, AdjointPoint};
use super::stacked::{Evaluation, Level, StackedImages, gradients, reference, weighted};
use crate::image_products::{PathMasses, PathRows, path_moments};
use crate::measure::wide_values;
use crate::trajectory::Trajectory;

/// Images whose masses along some paths are kept, if those of all paths fit: for products with several gradients.
pub(super) struct StackedChanges<'a> {
    images: &'a StackedImages,
    trajectory: &'a Trajectory,
    weighted: Vec<usize>,
    /// The rows and masses of all paths.
    kept: Option<(PathRows<'a>, PathMasses)>,
}

impl<'a> StackedChanges<'a> {
    pub fn new(
        images: &'a StackedImages,
        trajectory: &'a Trajectory,
    ) -> Result<Self, DiffusionError> {
        let weights = trajectory.points.iter().map(|p| p.reference.weight);
        let weighted = weighted(weights);
        let mut changes = Self {
            images,
            trajectory,
            weighted,
            kept: None,
        };
        let n = trajectory.samples.dims()[0];
        let mut passes = images.passes(n, changes.weighted.len(), 1);
        if !changes.weighted.is_empty() && passes.next() == Some(0..n) {
            changes.kept = Some(changes.masses(0..n)?);
        }
        Ok(changes)
    }

    fn masses(&self, paths: Range<usize>) -> Result<(PathRows<'a>, PathMasses), DiffusionError> {
        let levels = self.weighted.iter().map(|&p| {
            let point = &self.trajectory.points[p];
            Level {
                sigma: point.reference.sigma,
                weight: point.reference.weight,
                x: &point.x,
            }
        });
        let rows = self.images.rows(&levels.collect::<Vec<_>>(), paths)?;
        let masses = PathMasses::new(&rows, &self.images.places, |_| ());
        Ok((rows, masses))
    }

    /// The change of the denoiser at each evaluation, `[n, d]` each, if every image of the set gets as mass its influence on
    /// the only functional with these `G_p`.
    pub fn with(&self, influence: &AdjointInfluence) -> Result<Vec<Tensor<2>>, DiffusionError> {
        let [n, d] = self.trajectory.samples.dims();
        let mut changes = vec![vec![0.0; n * d]; influence.evaluations()];
        if !self.weighted.is_empty() {
            for paths in self.images.passes(n, self.weighted.len(), 1) {
                let block = paths.start * d..paths.end * d;
                let moments = match &self.kept {
                    Some((rows, masses)) => self.moments(influence, rows, masses, paths)?,
                    None => {
                        let (rows, masses) = self.masses(paths.clone())?;
                        self.moments(influence, &rows, &masses, paths)?
                    }
                };
                for (p, moment) in self.weighted.iter().zip(moments.chunks_exact(block.len())) {
                    changes[*p][block.clone()].copy_from_slice(moment);
                }
            }
        }
        let x = &self.trajectory.samples;
        let tensors = changes.into_iter().map(|change| {
            Tensor::from_data(TensorData::new(change, [n, d]), (&x.device(), x.dtype()))
        });
        Ok(tensors.collect())
    }

    fn moments(
        &self,
        influence: &AdjointInfluence,
        rows: &PathRows<'_>,
        masses: &PathMasses,
        paths: Range<usize>,
    ) -> Result<Vec<f64>, DiffusionError> {
        let points: Vec<&AdjointPoint> = self
            .weighted
            .iter()
            .map(|&p| &influence.points[p])
            .collect();
        let levels: Vec<Level<'_>> = points.iter().map(|point| point.level()).collect();
        let evaluations: Vec<Evaluation<'_>> = (points.iter().zip(&levels))
            .map(|(point, level)| point.evaluation(level))
            .collect();
        let pulled: Vec<&Tensor<3>> = points.iter().map(|point| &point.pulled).collect();
        let mut centers = Vec::new();
        for &p in &self.weighted {
            let center = self.trajectory.points[p].center().clone();
            centers.extend(wide_values(&center.slice_dim(0, paths.clone()))?);
        }
        Ok(path_moments(
            rows,
            &gradients(rows, &pulled, paths.clone())?,
            masses,
            &reference(&evaluations.iter().collect::<Vec<_>>(), paths)?,
            &self.images.places,
            &centers,
        ))
    }
}
