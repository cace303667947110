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
    pub(super) points: Vec<AdjointPoint>,
    /// Number of evaluations of each step, S numbers.
    steps: Vec<usize>,
    /// Precision of squared distances and of differences from D, which lose digits where σ is far below the size of the
    /// points.
    precision: DType,
}

/// One evaluation of n paths, with its gradients and what points are compared with.
#[derive(Debug, Clone)]
pub(super) struct AdjointPoint {
    /// Point of the evaluation, `[n, d]`.
    pub x: Tensor<2>,
    /// Noise level of the comparison.
    pub sigma: f64,
    /// The weight of the comparison.
    pub weight: f64,
    /// `q^ρ`, `[n]`.
    pub log_density: Tensor<1>,
    /// `G_p`, `[K, n, d]`.
    pub pulled: Tensor<3>,
    /// `⟨G_p, D_p⟩`, `[K, n]`, in the precision of distances.
    pub at_center: Tensor<2>,
}

/// `⟨G, D⟩`, `[K, n]`, in a precision.
pub(super) fn at_center(pulled: &Tensor<3>, center: &Tensor<2>, precision: DType) -> Tensor<2> {
    let center = center.clone().cast(precision).unsqueeze_dim::<3>(0);
    let products = pulled.clone().cast(precision) * center;
    products.sum_dim(2).squeeze_dim::<2>(2)
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
        let points = trajectory.points.iter().zip(pulled);
        let points = points.map(|(point, pulled)| AdjointPoint {
            x: point.x.clone(),
            sigma: point.reference.sigma,
            weight: point.reference.weight,
            log_density: point.reference.log_density.clone(),
            at_center: at_center(&pulled, point.center(), precision),
            pulled,
        });
        let steps = trajectory.evaluations_by_step();
        Self::with_points(points.collect(), steps, precision)
    }

    /// The influences along a path whose steps have so many evaluations each.
    pub(super) fn with_points(
        points: Vec<AdjointPoint>,
        steps: Vec<usize>,
        precision: DType,
    ) -> Self {
        Self {
            points,
            steps,
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
        let evaluations = self.points.iter();
        evaluations
            .map(|point| self.contribution(point, &points))
            .collect()
    }

    fn contribution(&self, point: &AdjointPoint, y: &PointsWithNorms) -> StepContribution {
        let ([k, n, d], m) = (point.pulled.dims(), y.count());
        let (levels, q) = ([point.sigma, point.weight], &point.log_density);
        let Some(ratios) = ratios(&point.x, levels, q, y) else {
            let on = (&point.pulled.device(), self.precision);
            return StepContribution {
                influence: Tensor::zeros([k, n, m], on),
                ratios: None,
            };
        };
        // w·⟨G, y − D⟩ = w·⟨G, y⟩ − w·⟨G, D⟩
        let pulled = point.pulled.clone().cast(self.precision) * point.weight;
        let with_points = pulled.reshape([k * n, d]);
        let with_points = with_points.matmul(y.transposed.clone()).reshape([k, n, m]);
        let with_center = (point.at_center.clone() * point.weight).unsqueeze_dim::<3>(2);
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
        let of_functional = |point: &AdjointPoint| AdjointPoint {
            x: point.x.clone().slice_dim(0, i..i + 1),
            sigma: point.sigma,
            weight: point.weight,
            log_density: point.log_density.clone().slice_dim(0, i..i + 1),
            pulled: (point.pulled.clone().slice_dim(0, k..k + 1)).slice_dim(1, i..i + 1),
            at_center: (point.at_center.clone().slice_dim(0, k..k + 1)).slice_dim(1, i..i + 1),
        };
        Self {
            points: self.points.iter().map(of_functional).collect(),
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
        let ReferenceDensity {
            sigma,
            weight,
            log_density,
            ..
        } = &point.reference;
        let Some(ratios) = ratios(&point.x, [*sigma, *weight], log_density, &y) else {
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
fn ratios(
    x: &Tensor<2>,
    [sigma, weight]: [f64; 2],
    log_density: &Tensor<1>,
    y: &PointsWithNorms,
) -> Option<Tensor<2>> {
    if weight == 0.0 {
        return None;
    }
    let x = x.clone().cast(y.transposed.dtype());
    let squares = (x.clone() * x.clone()).sum_dim(1);
    let distances = squares + y.squares.clone() - x.matmul(y.transposed.clone()) * 2.0;
    let q = log_density.clone().cast(distances.dtype());
    let log = distances / (-2.0 * sigma * sigma) - q.unsqueeze_dim::<2>(1);
    Some(log.exp())
}
