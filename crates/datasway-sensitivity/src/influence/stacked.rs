//! Influences and weighted sums of all images of a set, which are read once for all evaluations of some paths.
//!
//! The form on devices that share the memory of the images. On others the products are tensors (`accumulated.rs`).

use std::ops::Range;

use burn::tensor::{Tensor, TensorData};
use datasway_diffusion::DiffusionError;

use super::accumulated::BatchInfluences;
use super::adjoint::AdjointInfluence;
use crate::image_products::{ImageTiles, PathEvaluation, PathRows, path_influences, path_moments};
use crate::measure::{ImagePoints, wide_values};

/// Rows of points and gradients of one pass; more paths are taken in turn, so that memory is bounded.
const MAX_ROWS: usize = 2048;

/// The places of all images of a set in its storage.
fn places(images: &ImagePoints) -> Vec<usize> {
    let set = images.set();
    (0..set.len()).map(|i| set.place(i)).collect()
}

impl AdjointInfluence {
    /// Ranges of samples whose rows fit into one pass.
    fn passes(&self) -> impl Iterator<Item = Range<usize>> {
        let [k, n, _] = self.pulled[0].dims();
        let rows = self.evaluations() * (1 + k);
        let width = (MAX_ROWS / rows.max(1)).clamp(1, n);
        (0..n)
            .step_by(width)
            .map(move |first| first..(first + width).min(n))
    }

    /// The evaluations whose comparison has a weight.
    fn weighted(&self) -> Vec<usize> {
        let all = 0..self.evaluations();
        all.filter(|&p| self.points[p].reference.weight != 0.0)
            .collect()
    }

    /// The rows of some evaluations of a range of samples.
    fn rows<'a>(
        &self,
        tiles: &'a ImageTiles,
        evaluations: &[usize],
        samples: Range<usize>,
    ) -> Result<PathRows<'a>, DiffusionError> {
        let functionals = self.pulled[0].dims()[0];
        let of_samples =
            |tensor: &Tensor<2>| wide_values(&tensor.clone().slice_dim(0, samples.clone()));
        let evaluation = |&p: &usize| {
            let (point, pulled) = (&self.points[p], &self.pulled[p]);
            let log_densities = point.reference.log_density.clone();
            Ok(PathEvaluation {
                sigma: point.reference.sigma,
                weight: point.reference.weight,
                points: of_samples(&point.x)?,
                log_densities: wide_values(&log_densities.slice_dim(0, samples.clone()))?,
                centers: of_samples(point.center())?,
                gradients: wide_values(&pulled.clone().slice_dim(1, samples.clone()))?,
            })
        };
        let evaluations = evaluations.iter().map(evaluation);
        let evaluations: Vec<PathEvaluation> =
            evaluations.collect::<Result<_, DiffusionError>>()?;
        Ok(PathRows::new(
            tiles,
            samples.len(),
            functionals,
            evaluations,
        ))
    }

    /// The influences of all images of a set, with the parts of the steps if `by_step`. `progress` receives the fraction that
    /// is done.
    pub(super) fn stacked_influences(
        &self,
        images: &ImagePoints,
        by_step: bool,
        mut progress: impl FnMut(f64),
    ) -> Result<BatchInfluences, DiffusionError> {
        let ([k, n, _], evaluations) = (self.pulled[0].dims(), self.evaluations());
        let (m, weighted) = (images.set().len(), self.weighted());
        let (tiles, places) = (images.tiles(), places(images));
        let steps = self.weighted_by_step(&weighted);
        let s = if by_step { steps.len() } else { 0 };
        let mut results = BatchInfluences {
            influence: vec![0.0; k * n * m],
            by_step: vec![0.0; k * n * s * m],
            strength: vec![0.0; k * n * evaluations],
            balance: vec![0.0; n * evaluations],
        };
        if weighted.is_empty() {
            return Ok(results);
        }
        for samples in self.passes() {
            let (first, width) = (samples.start, samples.len());
            let rows = self.rows(&tiles, &weighted, samples)?;
            let pass = path_influences(&rows, &places, by_step.then_some(&steps[..]), |images| {
                let done = first as f64 + width as f64 * images as f64 / m as f64;
                progress(done / n as f64);
            });
            for functional in 0..k {
                for i in 0..width {
                    let (row, of_pass) = (functional * n + first + i, functional * width + i);
                    let put = |whole: &mut [f32], part: &[f32], length: usize| {
                        let part = &part[of_pass * length..(of_pass + 1) * length];
                        whole[row * length..(row + 1) * length].copy_from_slice(part);
                    };
                    put(&mut results.influence, &pass.influence, m);
                    put(&mut results.by_step, &pass.by_step, s * m);
                    for (place, &p) in weighted.iter().enumerate() {
                        let sum = pass.strength[(functional * weighted.len() + place) * width + i];
                        results.strength[row * evaluations + p] = (sum / m as f64) as f32;
                    }
                }
            }
            for i in 0..width {
                for (place, &p) in weighted.iter().enumerate() {
                    let mean = pass.balance[place * width + i] / m as f64;
                    results.balance[(first + i) * evaluations + p] = mean as f32;
                }
            }
        }
        Ok(results)
    }

    /// Number of the given evaluations in each step.
    fn weighted_by_step(&self, weighted: &[usize]) -> Vec<usize> {
        let mut start = 0;
        let steps = self.evaluations_by_step().iter().map(|count| {
            let range = start..start + count;
            start = range.end;
            weighted.iter().filter(|p| range.contains(p)).count()
        });
        steps.collect()
    }

    /// The change of the denoiser at each evaluation, `[n, d]` each, if every image of the set gets its influence on the only
    /// functional as mass.
    pub(super) fn stacked_changes(
        &self,
        images: &ImagePoints,
    ) -> Result<Vec<Tensor<2>>, DiffusionError> {
        let ([_, n, d], weighted) = (self.pulled[0].dims(), self.weighted());
        let (tiles, places) = (images.tiles(), places(images));
        let mut changes = vec![vec![0.0; n * d]; self.evaluations()];
        if !weighted.is_empty() {
            for samples in self.passes() {
                let block = samples.start * d..samples.end * d;
                let rows = self.rows(&tiles, &weighted, samples)?;
                let moments = path_moments(&rows, &places);
                for (p, moment) in weighted.iter().zip(moments.chunks_exact(block.len())) {
                    changes[*p][block.clone()].copy_from_slice(moment);
                }
            }
        }
        let x = &self.points[0].x;
        let tensors = changes.into_iter().map(|change| {
            Tensor::from_data(TensorData::new(change, [n, d]), (&x.device(), x.dtype()))
        });
        Ok(tensors.collect())
    }
}
