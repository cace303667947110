//! Influences and weighted sums of all images of a set, for all evaluations of some paths at once.
//!
//! The form on devices that share the memory of the images. On others the products are tensors (`accumulated.rs`).
//!
//! If the density that a path is compared with is that of the same images, it is not computed before: the distances that it needs
//! are those of the influences, so that two products with all images do everything.

use std::ops::Range;

use burn::tensor::{Tensor, TensorData};
use datasway_diffusion::DiffusionError;
use datasway_diffusion::device::widest_float;

use super::accumulated::BatchInfluences;
use super::adjoint::{AdjointInfluence, AdjointPoint, at_center};
use super::assembled::Assembled;
use crate::density::MeasureComparison;
use crate::measure::{ImagePoints, wide_values};
use crate::trajectory::Trajectory;
use datasway_image_products::{
    Groups, ImageTiles, PathEvaluation, PathGradients, PathRows, Reference, bytes_of_pair,
    path_influences,
};

/// Rows of points and gradients of one pass; more paths are taken in turn, so that memory is bounded.
const MAX_ROWS: usize = 2048;

/// Bytes that a pass keeps for its rows and all images; one path is taken in any case.
pub const MAX_KEPT: usize = 256 << 20;

/// The images of a set beside some paths.
pub(super) struct StackedImages {
    tiles: ImageTiles,
    /// Places of the images in the storage of their set, m.
    pub places: Vec<usize>,
}

/// Known numbers of an evaluation: noise level and weight of the comparison, and the points, `[n, d]`.
pub(super) struct Level<'a> {
    pub sigma: f64,
    pub weight: f64,
    pub x: &'a Tensor<2>,
}

impl StackedImages {
    pub fn new(images: &ImagePoints) -> Self {
        let set = images.set();
        Self {
            tiles: images.tiles(),
            places: (0..set.len()).map(|i| set.place(i)).collect(),
        }
    }

    /// Number of images, m.
    fn count(&self) -> usize {
        self.places.len()
    }

    /// Ranges of n paths of so many evaluations whose rows fit into one pass with K functionals.
    pub fn passes(
        &self,
        n: usize,
        evaluations: usize,
        functionals: usize,
    ) -> impl Iterator<Item = Range<usize>> {
        let rows = MAX_ROWS / (evaluations * (1 + functionals)).max(1);
        let pair = bytes_of_pair(self.tiles.copies(), functionals);
        let kept = MAX_KEPT / (evaluations * pair * self.count()).max(1);
        let width = rows.min(kept).clamp(1, n);
        (0..n)
            .step_by(width)
            .map(move |first| first..(first + width).min(n))
    }

    /// The rows of some evaluations of a range of paths.
    pub fn rows(
        &self,
        levels: &[Level<'_>],
        paths: Range<usize>,
    ) -> Result<PathRows<'_>, DiffusionError> {
        let evaluations = levels.iter().map(|level| {
            Ok(PathEvaluation {
                sigma: level.sigma,
                weight: level.weight,
                points: wide_values(&level.x.clone().slice_dim(0, paths.clone()))?,
            })
        });
        let evaluations: Vec<PathEvaluation> =
            evaluations.collect::<Result<_, DiffusionError>>()?;
        Ok(PathRows::new(&self.tiles, paths.len(), evaluations))
    }
}

/// The gradients of some evaluations of a range of paths, `[K, n, d]` each.
pub(super) fn gradients(
    rows: &PathRows<'_>,
    pulled: &[&Tensor<3>],
    paths: Range<usize>,
) -> Result<PathGradients, DiffusionError> {
    let functionals = pulled[0].dims()[0];
    let of_paths = |pulled: &&Tensor<3>| {
        let pulled = (*pulled).clone();
        wide_values(&pulled.slice_dim(1, paths.clone()))
    };
    let evaluations: Vec<Vec<f64>> = pulled
        .iter()
        .map(of_paths)
        .collect::<Result<_, DiffusionError>>()?;
    Ok(PathGradients::new(rows, functionals, &evaluations))
}

/// Indices of the evaluations whose comparison has a weight.
pub(super) fn weighted(weights: impl Iterator<Item = f64>) -> Vec<usize> {
    let all = weights.enumerate().filter(|(_, weight)| *weight != 0.0);
    all.map(|(p, _)| p).collect()
}

/// Number of the given evaluations in each step.
fn weighted_by_step(steps: &[usize], weighted: &[usize]) -> Vec<usize> {
    let mut start = 0;
    let steps = steps.iter().map(|count| {
        let range = start..start + count;
        start = range.end;
        weighted.iter().filter(|p| range.contains(p)).count()
    });
    steps.collect()
}

/// Influences, and the paths that they were computed along with what the images are compared with there.
pub(super) type WithAdjoint = (BatchInfluences, AdjointInfluence);

/// The influences of the images that a path is compared with, whose density is not known before. The `G_p` are `[K, n, d]` each.
pub(super) fn influences_of_own(
    images: &ImagePoints,
    comparison: &MeasureComparison<'_>,
    trajectory: &Trajectory,
    pulled: Vec<Tensor<3>>,
    by_step: bool,
    mut progress: impl FnMut(f64),
) -> Result<WithAdjoint, DiffusionError> {
    let stacked = StackedImages::new(images);
    let levels = trajectory.points.iter().map(|point| {
        let (sigma, weight) = comparison.level(point.sigma);
        Level {
            sigma,
            weight,
            x: &point.x,
        }
    });
    let levels: Vec<Level<'_>> = levels.collect();
    let (own_center, dtype) = (
        comparison.bandwidth.is_some(),
        widest_float(images.device()),
    );
    let evaluations = levels.iter().zip(&pulled).zip(&trajectory.points);
    let evaluations: Vec<Evaluation<'_>> = evaluations
        .map(|((level, pulled), point)| Evaluation {
            level,
            pulled,
            log_density: None,
            at_center: (!own_center).then(|| at_center(pulled, &point.denoised, dtype)),
        })
        .collect();
    let steps = trajectory.evaluations_by_step();
    let assembled = stacked.influences(&evaluations, &steps, by_step, &mut progress)?;
    let [k, n, ..] = assembled.shape;
    let on = (images.device(), dtype);
    let points = evaluations.iter().enumerate().map(|(p, evaluation)| {
        let q = assembled.log_densities[p * n..(p + 1) * n].to_vec();
        let at_center = assembled.at_center[p * k * n..(p + 1) * k * n].to_vec();
        AdjointPoint {
            x: evaluation.level.x.clone(),
            sigma: evaluation.level.sigma,
            weight: evaluation.level.weight,
            log_density: Tensor::from_data(TensorData::new(q, [n]), on),
            pulled: evaluation.pulled.clone(),
            at_center: Tensor::from_data(TensorData::new(at_center, [k, n]), on),
        }
    });
    let adjoint = AdjointInfluence::with_points(points.collect(), steps, dtype);
    Ok((assembled.results, adjoint))
}

/// An evaluation with its gradient and what is known of ρ.
pub(super) struct Evaluation<'a> {
    level: &'a Level<'a>,
    /// G, `[K, n, d]`.
    pulled: &'a Tensor<3>,
    /// q, `[n]`; that of the images if absent.
    log_density: Option<Tensor<1>>,
    /// `⟨G, D⟩`, `[K, n]`; that of the images if absent.
    at_center: Option<Tensor<2>>,
}

impl StackedImages {
    /// The influences of all images. `progress` receives the fraction that is done.
    fn influences(
        &self,
        evaluations: &[Evaluation<'_>],
        steps: &[usize],
        by_step: bool,
        progress: &mut impl FnMut(f64),
    ) -> Result<Assembled, DiffusionError> {
        let ([k, n, _], m) = (evaluations[0].pulled.dims(), self.count());
        let weighted = weighted(evaluations.iter().map(|e| e.level.weight));
        let steps = if by_step {
            weighted_by_step(steps, &weighted)
        } else {
            Vec::new()
        };
        let mut assembled = Assembled::new([k, n, evaluations.len(), steps.len(), m]);
        if weighted.is_empty() {
            return Ok(assembled);
        }
        let groups = Groups::of(&steps);
        let evaluations: Vec<&Evaluation<'_>> = weighted.iter().map(|&p| &evaluations[p]).collect();
        let levels = evaluations.iter().map(|e| Level { ..*e.level });
        let levels: Vec<Level<'_>> = levels.collect();
        for paths in self.passes(n, weighted.len(), k) {
            let (first, width) = (paths.start, paths.len());
            let done = |images: usize| {
                let fraction = images as f64 / m as f64;
                progress((first as f64 + width as f64 * fraction) / n as f64);
            };
            let rows = self.rows(&levels, paths.clone())?;
            let pulled: Vec<&Tensor<3>> = evaluations.iter().map(|e| e.pulled).collect();
            let gradients = gradients(&rows, &pulled, paths.clone())?;
            let pass = path_influences(
                &rows,
                &gradients,
                &reference(&evaluations, paths.clone())?,
                &self.places,
                &groups,
                done,
            );
            assembled.take(&pass, &weighted, paths);
        }
        Ok(assembled)
    }
}

/// Reference of ρ at the rows of a range of paths.
pub(super) fn reference(
    evaluations: &[&Evaluation<'_>],
    paths: Range<usize>,
) -> Result<Reference, DiffusionError> {
    let mut reference = Reference::default();
    for evaluation in evaluations {
        if let Some(q) = &evaluation.log_density {
            let q = wide_values(&q.clone().slice_dim(0, paths.clone()))?;
            reference.log_densities.get_or_insert_default().extend(q);
        }
    }
    let functionals = evaluations[0].pulled.dims()[0];
    for k in 0..functionals {
        for evaluation in evaluations {
            if let Some(at_center) = &evaluation.at_center {
                let of_functional = at_center.clone().slice_dim(0, k..k + 1);
                let row = wide_values(&of_functional.slice_dim(1, paths.clone()))?;
                reference.at_center.get_or_insert_default().extend(row);
            }
        }
    }
    Ok(reference)
}

impl AdjointPoint {
    pub fn level(&self) -> Level<'_> {
        Level {
            sigma: self.sigma,
            weight: self.weight,
            x: &self.x,
        }
    }

    pub fn evaluation<'a>(&'a self, level: &'a Level<'a>) -> Evaluation<'a> {
        Evaluation {
            level,
            pulled: &self.pulled,
            log_density: Some(self.log_density.clone()),
            at_center: Some(self.at_center.clone()),
        }
    }
}

impl AdjointInfluence {
    /// The influences of all images of a set, with the parts of the steps if `by_step`. `progress` receives the fraction that
    /// is done.
    pub(super) fn stacked_influences(
        &self,
        images: &ImagePoints,
        by_step: bool,
        mut progress: impl FnMut(f64),
    ) -> Result<BatchInfluences, DiffusionError> {
        let stacked = StackedImages::new(images);
        let levels: Vec<Level<'_>> = self.points.iter().map(AdjointPoint::level).collect();
        let evaluations = self.points.iter().zip(&levels);
        let evaluations: Vec<Evaluation<'_>> = evaluations
            .map(|(point, level)| point.evaluation(level))
            .collect();
        let steps = self.evaluations_by_step();
        let assembled = stacked.influences(&evaluations, steps, by_step, &mut progress)?;
        Ok(assembled.results)
    }
}
