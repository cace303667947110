//! The influence of every data point on functionals of samples, by the adjoint of the sampler.
//!
//! Adding the mass η at a point y changes the denoiser by `∂_ηD = r_y·(y − D)`, `r_y = p^y/p^ρ`: Theorem 3.1 of
//! arXiv 2509.23092 for ν = δ_y, whose denoiser is y everywhere. With the `G_p` of a functional's gradient
//! ([`Trajectory::pull_back`]) the functional changes by
//!
//! `a_y = Σ_p r_y(x_p)·⟨G_p, y − D_p⟩`
//!
//! per unit of mass: one sweep back for all points, and for each of them two inner products with every evaluation. For any
//! group of points, the mean of their `a_y` is `⟨∇f, δ⟩` with the group as direction.

mod batched;
mod functional;
mod log_odds;
mod principal;

use std::ops::Range;

use burn::tensor::{DType, Tensor};

use crate::density::ReferenceDensity;
use crate::trajectory::{Trajectory, TrajectoryPoint};

pub use batched::{FunctionalInfluences, Influences, RankedImage, compute};
pub use functional::{Distance, Functional, FunctionalContext, Linear, ValueAndGradient};
pub use log_odds::LogOdds;
pub use principal::Principal;

/// The influences along one batch of paths on K functionals each.
#[derive(Debug, Clone)]
pub struct AdjointInfluence {
    points: Vec<TrajectoryPoint>,
    /// `G_p`, `[K, n, d]` each.
    pulled: Vec<Tensor<3>>,
    /// Of squared distances and of differences from D, which lose digits where σ is far below the size of the points.
    precision: DType,
}

/// What one evaluation adds.
#[derive(Debug, Clone)]
pub struct StepContribution {
    /// Its part in `a_y`, `[K, n, m]`, in the precision of distances.
    pub influence: Tensor<3>,
    /// `r_y`, `[n, m]`, in the precision of distances; none where points are not compared.
    pub ratios: Option<Tensor<2>>,
}

impl AdjointInfluence {
    /// The influences of a path with its `G_p`; distances and sums are computed in `precision`.
    pub fn new(path: &Trajectory, pulled: Vec<Tensor<3>>, precision: DType) -> Self {
        Self {
            points: path.points.clone(),
            pulled,
            precision,
        }
    }

    /// `a_y` of points `[m, d]`, `[K, n, m]`, in the precision of the points.
    pub fn of(&self, points: &Tensor<2>) -> Tensor<3> {
        let parts = self.along(points).into_iter().map(|share| share.influence);
        let sum = parts.reduce(|sum, part| sum + part);
        sum.unwrap_or_else(|| unreachable!("a path has evaluations"))
            .cast(points.dtype())
    }

    /// The share of each evaluation.
    pub fn along(&self, points: &Tensor<2>) -> Vec<StepContribution> {
        let wide = PointsWithNorms::new(points, self.precision);
        let share = |(point, pulled): (&TrajectoryPoint, &Tensor<3>)| {
            let ([k, n, d], m) = (pulled.dims(), points.dims()[0]);
            let Some(ratios) = ratios(point, &wide) else {
                let on = (&pulled.device(), self.precision);
                return StepContribution {
                    influence: Tensor::zeros([k, n, m], on),
                    ratios: None,
                };
            };
            // w·⟨G, y − D⟩
            let pulled = pulled.clone().cast(self.precision) * point.reference.weight;
            let across = pulled.clone().reshape([k * n, d]);
            let across = across.matmul(wide.transposed.clone()).reshape([k, n, m]);
            let own = pulled * (point.center().clone().cast(self.precision)).unsqueeze_dim::<3>(0);
            StepContribution {
                influence: (across - own.sum_dim(2)) * ratios.clone().unsqueeze_dim::<3>(0),
                ratios: Some(ratios),
            }
        };
        self.points.iter().zip(&self.pulled).map(share).collect()
    }

    /// Functional k and sample i alone.
    pub fn alone(&self, k: usize, i: usize) -> Self {
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
            precision: self.precision,
        }
    }
}

/// The change of the denoiser at each evaluation when each point y gets the mass `w_y` on the paths of sample i,
/// `weights` `[n, m]`: `Σ_y w_y·r_y(x_p)·(y − D_p)`, `[n, d]` each.
pub fn forcings(
    path: &Trajectory,
    points: &Tensor<2>,
    weights: &Tensor<2>,
    precision: DType,
) -> Vec<Tensor<2>> {
    let wide = PointsWithNorms::new(points, precision);
    path.points
        .iter()
        .map(|point| match ratios(point, &wide) {
            None => point.x.zeros_like(),
            Some(ratios) => {
                let masses = ratios * weights.clone().cast(precision) * point.reference.weight;
                let total = masses.clone().sum_dim(1);
                let center = point.center().clone().cast(precision);
                let change = masses.matmul(points.clone().cast(precision)) - center * total;
                change.cast(point.x.dtype())
            }
        })
        .collect()
}

/// ImagePoints handled at a time.
const CHUNK: usize = 1024;

/// The images in chunks.
fn chunks(images: usize) -> impl Iterator<Item = Range<usize>> {
    let starts = (0..images).step_by(CHUNK);
    starts.map(move |start| start..(start + CHUNK).min(images))
}

/// Points and their squared norms, `[1, m]`, in the precision of distances.
struct PointsWithNorms {
    transposed: Tensor<2>,
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
}

/// `r_y(x) = exp(−‖x − y‖²/2σ² − q^ρ(x))`, `[n, m]`, at the noise level of the comparison; none where it moves nothing.
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
