//! The change of the denoiser along some paths if every image of a set gets its influence as mass.

use std::ops::Range;

use burn::tensor::{Tensor, TensorData};
use datasway_diffusion::DiffusionError;
use datasway_diffusion::device::widest_float;

use super::adjoint::{AdjointInfluence, AdjointPoint};
use super::stacked::{Evaluation, Level, StackedImages, gradients, reference, weighted};
use crate::density::{MeasureComparison, ReferenceDensity};
use crate::measure::wide_values;
use crate::trajectory::Trajectory;
use datasway_image_products::{PathMasses, PathRows, path_moments};

/// Images beside some paths: their masses along these are kept, if those of all paths fit, for products with several gradients.
pub(super) struct StackedChanges<'a> {
    images: &'a StackedImages,
    /// The paths with what their points are compared with.
    trajectory: Trajectory,
    weighted: Vec<usize>,
    /// The rows and masses of all paths.
    kept: Option<(PathRows<'a>, PathMasses)>,
}

impl<'a> StackedChanges<'a> {
    /// Images beside paths whose points are compared with something known.
    pub fn new(images: &'a StackedImages, trajectory: &Trajectory) -> Result<Self, DiffusionError> {
        let mut changes = Self::unread(images, trajectory.clone());
        if changes.fits() {
            changes.kept = Some(changes.masses(changes.all(), false)?);
        }
        Ok(changes)
    }

    /// The images beside paths that are compared with these images, as a pass over them finds them.
    pub fn with_own(
        images: &'a StackedImages,
        comparison: &MeasureComparison<'_>,
        mut trajectory: Trajectory,
    ) -> Result<Self, DiffusionError> {
        let [n, d] = trajectory.samples.dims();
        let x = &trajectory.samples;
        let on = (&x.device(), widest_float(&x.device()));
        for point in &mut trajectory.points {
            let (sigma, weight) = comparison.level(point.sigma);
            point.reference = ReferenceDensity {
                sigma,
                log_density: Tensor::zeros([n], on),
                denoised: None,
                weight,
            };
        }
        let means = comparison.bandwidth.is_some();
        let mut changes = Self::unread(images, trajectory);
        let count = changes.weighted.len();
        let mut densities = vec![0.0; count * n];
        let mut denoised = vec![0.0; usize::from(means) * count * n * d];
        for paths in changes.passes() {
            let (rows, masses) = changes.masses(paths.clone(), means)?;
            for place in 0..count {
                let of_pass = place * paths.len()..(place + 1) * paths.len();
                let whole = place * n + paths.start..place * n + paths.end;
                densities[whole.clone()].copy_from_slice(&masses.log_densities[of_pass.clone()]);
                if let Some(means) = &masses.means {
                    let means = &means[of_pass.start * d..of_pass.end * d];
                    denoised[whole.start * d..whole.end * d].copy_from_slice(means);
                }
            }
            if paths == changes.all() {
                changes.kept = Some((rows, masses));
            }
        }
        for (place, &p) in changes.weighted.iter().enumerate() {
            let rows = place * n..(place + 1) * n;
            let q = TensorData::new(densities[rows.clone()].to_vec(), [n]);
            let means = means.then(|| {
                let means = denoised[rows.start * d..rows.end * d].to_vec();
                Tensor::from_data(TensorData::new(means, [n, d]), on)
            });
            let reference = &mut changes.trajectory.points[p].reference;
            reference.log_density = Tensor::from_data(q, on);
            reference.denoised = means;
        }
        Ok(changes)
    }

    fn unread(images: &'a StackedImages, trajectory: Trajectory) -> Self {
        let weights = trajectory.points.iter().map(|p| p.reference.weight);
        Self {
            images,
            weighted: weighted(weights),
            trajectory,
            kept: None,
        }
    }

    /// The paths with what their points are compared with.
    pub fn trajectory(&self) -> &Trajectory {
        &self.trajectory
    }

    /// The indices of all paths.
    fn all(&self) -> Range<usize> {
        0..self.trajectory.samples.dims()[0]
    }

    /// Ranges of paths that are taken together; none if no evaluation has a weight.
    fn passes(&self) -> Vec<Range<usize>> {
        if self.weighted.is_empty() {
            return Vec::new();
        }
        let passes = self.images.passes(self.all().end, self.weighted.len(), 1);
        passes.collect()
    }

    /// True if all paths are taken together.
    fn fits(&self) -> bool {
        self.passes() == [self.all()]
    }

    fn masses(
        &self,
        paths: Range<usize>,
        means: bool,
    ) -> Result<(PathRows<'a>, PathMasses), DiffusionError> {
        let levels = self.weighted.iter().map(|&p| {
            let point = &self.trajectory.points[p];
            Level {
                sigma: point.reference.sigma,
                weight: point.reference.weight,
                x: &point.x,
            }
        });
        let rows = self.images.rows(&levels.collect::<Vec<_>>(), paths)?;
        let masses = PathMasses::new(&rows, &self.images.places, means);
        Ok((rows, masses))
    }

    /// The change of the denoiser at each evaluation, `[n, d]` each, if every image of the set gets as mass its influence on
    /// the only functional with these `G_p`.
    pub fn with(&self, influence: &AdjointInfluence) -> Result<Vec<Tensor<2>>, DiffusionError> {
        let [n, d] = self.trajectory.samples.dims();
        let mut changes = vec![vec![0.0; n * d]; influence.evaluations()];
        for paths in self.passes() {
            let block = paths.start * d..paths.end * d;
            let moments = match &self.kept {
                Some((rows, masses)) => self.moments(influence, rows, masses, paths)?,
                None => {
                    let (rows, masses) = self.masses(paths.clone(), false)?;
                    self.moments(influence, &rows, &masses, paths)?
                }
            };
            for (p, moment) in self.weighted.iter().zip(moments.chunks_exact(block.len())) {
                changes[*p][block.clone()].copy_from_slice(moment);
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
