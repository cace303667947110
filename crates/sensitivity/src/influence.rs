//! The influence of every data point on functionals of samples, by the adjoint of the sampler.
//!
//! Adding the mass η at a point y changes the denoiser by `∂_ηD = r_y·(y − D)`, `r_y = p^y/p^ρ`: Theorem 3.1 of
//! arXiv 2509.23092 for ν = δ_y, whose denoiser is y everywhere. With the `G_p` of a functional's gradient
//! ([`Path::pull_back`]) the functional changes by
//!
//! `a_y = Σ_p r_y(x_p)·⟨G_p, y − D_p⟩`
//!
//! per unit of mass: one sweep back for all points, and for each of them two inner products with every evaluation. For any
//! group of points, the mean of their `a_y` is `⟨∇f, δ⟩` with the group as direction.

use burn::tensor::{DType, Tensor};

use crate::path::{Path, Point};

/// The influences along one batch of paths on K functionals each.
#[derive(Debug, Clone)]
pub struct Influence<'a> {
    path: &'a Path,
    /// `G_p`, `[K, n, d]` each.
    pulled: Vec<Tensor<3>>,
    /// Of squared distances, which lose digits where σ is far below the size of the points.
    precision: DType,
}

impl<'a> Influence<'a> {
    /// The influences of a path with its `G_p`; distances are computed in `precision`.
    pub fn new(path: &'a Path, pulled: Vec<Tensor<3>>, precision: DType) -> Self {
        Self {
            path,
            pulled,
            precision,
        }
    }

    /// `a_y` of points `[m, d]`, `[K, n, m]`.
    pub fn of(&self, points: &Tensor<2>) -> Option<Tensor<3>> {
        self.along(points)
            .into_iter()
            .reduce(|sum, part| sum + part)
    }

    /// The part of each evaluation in `a_y`, `[K, n, m]` each.
    pub fn along(&self, points: &Tensor<2>) -> Vec<Tensor<3>> {
        let wide = Wide::new(points, self.precision);
        let evaluations = self.path.points.iter().zip(&self.pulled);
        evaluations
            .map(|(point, pulled)| {
                let ([k, n, d], m) = (pulled.dims(), points.dims()[0]);
                let Some(ratios) = ratios(point, &wide) else {
                    return Tensor::zeros([k, n, m], (&pulled.device(), pulled.dtype()));
                };
                // ⟨G, y − D⟩
                let across = pulled.clone().reshape([k * n, d]);
                let across = across.matmul(points.clone().transpose()).reshape([k, n, m]);
                let own = pulled.clone() * point.center().clone().unsqueeze_dim::<3>(0);
                (across - own.sum_dim(2)) * ratios.unsqueeze_dim::<3>(0)
            })
            .collect()
    }
}

/// The change of the denoiser at each evaluation when each point y gets the mass `w_y` on the paths of sample i,
/// `weights` `[n, m]`: `Σ_y w_y·r_y(x_p)·(y − D_p)`, `[n, d]` each.
pub fn forcings(
    path: &Path,
    points: &Tensor<2>,
    weights: &Tensor<2>,
    precision: DType,
) -> Vec<Tensor<2>> {
    let wide = Wide::new(points, precision);
    path.points
        .iter()
        .map(|point| match ratios(point, &wide) {
            None => point.x.zeros_like(),
            Some(ratios) => {
                let masses = ratios * weights.clone();
                let total = masses.clone().sum_dim(1);
                masses.matmul(points.clone()) - point.center().clone() * total
            }
        })
        .collect()
}

/// Points and their squared norms, `[1, m]`, in the precision of distances.
struct Wide {
    transposed: Tensor<2>,
    squares: Tensor<2>,
}

impl Wide {
    fn new(points: &Tensor<2>, precision: DType) -> Self {
        let points = points.clone().cast(precision);
        Self {
            squares: (points.clone() * points.clone()).sum_dim(1).transpose(),
            transposed: points.transpose(),
        }
    }
}

/// `r_y(x) = exp(−‖x − y‖²/2σ² − q^ρ(x))`, `[n, m]`, at the noise level of the comparison; none where it moves nothing.
fn ratios(point: &Point, y: &Wide) -> Option<Tensor<2>> {
    let reference = &point.reference;
    if !reference.counts {
        return None;
    }
    let x = point.x.clone().cast(y.transposed.dtype());
    let squares = (x.clone() * x.clone()).sum_dim(1);
    let distances = squares + y.squares.clone() - x.matmul(y.transposed.clone()) * 2.0;
    let q = reference.log_density.clone().cast(distances.dtype());
    let log = distances / (-2.0 * reference.sigma * reference.sigma) - q.unsqueeze_dim::<2>(1);
    Some(log.exp().cast(point.x.dtype()))
}
