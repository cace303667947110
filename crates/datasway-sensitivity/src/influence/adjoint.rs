//! Influence of data points along recorded paths.
//!
//! Adding the mass η at a point y changes the denoiser by `∂_ηD = r_y·(y − D)`, `r_y = p^y/p^ρ`: Theorem 3.1 of
//! arXiv 2509.23092 for ν = δ_y, whose denoiser is y everywhere. With the `G_p` of a functional's gradient
//! ([`Trajectory::pull_back`]) the functional changes by
//!
//! `a_y = Σ_p r_y(x_p)·⟨G_p, y − D_p⟩`
//!
//! per unit of mass. One backward pass serves all points, and each point needs two inner products with every evaluation.
//! For any group of points, the mean of their `a_y` is `⟨∇f, δ⟩` with the group as direction.

use std::ops::Range;

use burn::tensor::{DType, Tensor};

use crate::density::ReferenceDensity;
use crate::trajectory::{Trajectory, TrajectoryPoint};

/// Influence of data points on K functionals of each sample of one batch.
#[derive(Debug, Clone)]
pub struct AdjointInfluence {
    pub(super) points: Vec<TrajectoryPoint>,
    /// `G_p`, `[K, n, d]` each.
    pub(super) pulled: Vec<Tensor<3>>,
    /// Number of evaluations of each step, S numbers.
    steps: Vec<usize>,
    /// Precision of squared distances and of differences from D, which lose digits where σ is far below the size of the
    /// points.
    precision: DType,
}

/// The contribution of one evaluation to the influence of m points.
#[derive(Debug, Clone)]
pub struct StepContribution {
    /// The term of the evaluation in `a_y`, `[K, n, m]`, in the precision of distances.
    pub influence: Tensor<3>,
    /// `r_y`, `[n, m]`, in the precision of distances; none where the comparison has no weight.
    pub ratios: Option<Tensor<2>>,
}

impl AdjointInfluence {
    /// The influences along a path with its `G_p`, `[K, n, d]` each. Distances and sums are computed in `precision`.
    pub fn new(trajectory: &Trajectory, pulled: Vec<Tensor<3>>, precision: DType) -> Self {
        Self {
            points: trajectory.points.clone(),
            pulled,
            steps: trajectory.evaluations_by_step(),
            precision,
        }
    }

    /// Number of evaluations of each step, S numbers.
    pub fn evaluations_by_step(&self) -> &[usize] {
        &self.steps
    }

    /// Number of evaluations on the path, P.
    pub fn evaluations(&self) -> usize {
        self.points.len()
    }

    /// `a_y` of points `[m, d]`, `[K, n, m]`, in the precision of the points.
    pub fn total(&self, points: &Tensor<2>) -> Tensor<3> {
        let terms = self.contributions(points).into_iter().map(|c| c.influence);
        let sum = terms.reduce(|sum, term| sum + term);
        sum.unwrap_or_else(|| unreachable!("a path has evaluations"))
            .cast(points.dtype())
    }

    /// The contribution of each evaluation to `a_y` of points `[m, d]`, P in all.
    pub fn contributions(&self, points: &Tensor<2>) -> Vec<StepContribution> {
        let points = PointsWithNorms::new(points, self.precision);
        let evaluations = self.points.iter().zip(&self.pulled);
        evaluations
            .map(|(point, pulled)| self.contribution(point, pulled, &points))
            .collect()
    }

    fn contribution(
        &self,
        point: &TrajectoryPoint,
        pulled: &Tensor<3>,
        y: &PointsWithNorms,
    ) -> StepContribution {
        let ([k, n, d], m) = (pulled.dims(), y.count());
        let Some(ratios) = ratios(point, y) else {
            let on = (&pulled.device(), self.precision);
            return StepContribution {
                influence: Tensor::zeros([k, n, m], on),
                ratios: None,
            };
        };
        // w·⟨G, y − D⟩ = w·⟨G, y⟩ − w·⟨G, D⟩
        let pulled = pulled.clone().cast(self.precision) * point.reference.weight;
        let with_points = pulled.clone().reshape([k * n, d]);
        let with_points = with_points.matmul(y.transposed.clone()).reshape([k, n, m]);
        let center = point.center().clone().cast(self.precision);
        let with_center = (pulled * center.unsqueeze_dim::<3>(0)).sum_dim(2);
        StepContribution {
            influence: (with_points - with_center) * ratios.clone().unsqueeze_dim::<3>(0),
            ratios: Some(ratios),
        }
    }

    /// Zeros, `[n, 1]`, in the precision of distances.
    pub(super) fn zero_column(&self) -> Tensor<2> {
        let x = &self.points[0].x;
        Tensor::zeros([x.dims()[0], 1], (&x.device(), self.precision))
    }

    /// The influences on functional k of sample i alone.
    pub fn select(&self, k: usize, i: usize) -> Self {
        let row = |tensor: &Tensor<2>| tensor.clone().slice_dim(0, i..i + 1);
        let point = |point: &TrajectoryPoint| TrajectoryPoint {
            sigma: point.sigma,
            x: row(&point.x),
            denoised: row(&point.denoised),
            reference: ReferenceDensity {
                sigma: point.reference.sigma,
                log_density: point.reference.log_density.clone().slice_dim(0, i..i + 1),
                denoised: point.reference.denoised.as_ref().map(row),
                weight: point.reference.weight,
            },
        };
        let pulled = self.pulled.iter().map(|pulled| {
            let functional = pulled.clone().slice_dim(0, k..k + 1);
            functional.slice_dim(1, i..i + 1)
        });
        Self {
            points: self.points.iter().map(point).collect(),
            pulled: pulled.collect(),
            steps: self.steps.clone(),
            precision: self.precision,
        }
    }
}

/// The change of the denoiser at each evaluation, `Σ_y w_y·r_y(x_p)·(y − D_p)`, `[n, d]` each, when the points `[m, d]`
/// get the masses `weights`, `[n, m]`: `w_y` on the path of sample i.
pub fn forcings(
    trajectory: &Trajectory,
    points: &Tensor<2>,
    weights: &Tensor<2>,
    precision: DType,
) -> Vec<Tensor<2>> {
    let y = PointsWithNorms::new(points, precision);
    let forcing = |point: &TrajectoryPoint| {
        let Some(ratios) = ratios(point, &y) else {
            return point.x.zeros_like();
        };
        let masses = ratios * weights.clone().cast(precision) * point.reference.weight;
        let total = masses.clone().sum_dim(1);
        let center = point.center().clone().cast(precision);
        let change = masses.matmul(points.clone().cast(precision)) - center * total;
        change.cast(point.x.dtype())
    };
    trajectory.points.iter().map(forcing).collect()
}

/// Images processed together.
const CHUNK: usize = 1024;

/// The indices of `images` images in chunks.
pub(super) fn chunks(images: usize) -> impl Iterator<Item = Range<usize>> {
    let starts = (0..images).step_by(CHUNK);
    starts.map(move |start| start..(start + CHUNK).min(images))
}

/// Points and their squared norms in the precision of distances.
struct PointsWithNorms {
    /// `[d, m]`.
    transposed: Tensor<2>,
    /// `[1, m]`.
    squares: Tensor<2>,
}

impl PointsWithNorms {
    fn new(points: &Tensor<2>, precision: DType) -> Self {
        let points = points.clone().cast(precision);
        Self {
            squares: (points.clone() * points.clone()).sum_dim(1).transpose(),
            transposed: points.transpose(),
        }
    }

    /// Number of points, m.
    fn count(&self) -> usize {
        self.squares.dims()[1]
    }
}

/// `r_y(x) = exp(−‖x − y‖²/2σ² − q^ρ(x))`, `[n, m]`, at the noise level of the comparison; none where the comparison has
/// no weight.
fn ratios(point: &TrajectoryPoint, y: &PointsWithNorms) -> Option<Tensor<2>> {
    let reference = &point.reference;
    if reference.weight == 0.0 {
        return None;
    }
    let x = point.x.clone().cast(y.transposed.dtype());
    let squares = (x.clone() * x.clone()).sum_dim(1);
    let distances = squares + y.squares.clone() - x.matmul(y.transposed.clone()) * 2.0;
    let q = reference.log_density.clone().cast(distances.dtype());
    let log = distances / (-2.0 * reference.sigma * reference.sigma) - q.unsqueeze_dim::<2>(1);
    Some(log.exp())
}
