//! The direction in which a sample moves most when training images gain or lose weight.

use burn::tensor::Tensor;
use datasway_diffusion::DiffusionError;
use datasway_diffusion::random::{RandomStream, generator, normal};

use super::functional::{Functional, FunctionalContext, ValueAndGradient};
use super::{AdjointInfluence, chunks, forcings};

/// `f(x) = ⟨u, x − x₀⟩` with u the top eigenvector of `M = (1/m)·Σ_j δ_j·δ_jᵀ`, where `δ_j` is the sensitivity of the sample x₀ to
/// training image j: the distance of the sample from where it is now, along the line on which it moves most.
///
/// By the power method, without any δ_j: the adjoint gives all `a_j = ⟨δ_j, u⟩` at once, and the tangent of the weighted
/// images gives `M·u = (1/m)·Σ_j a_j·δ_j`. The sign of u is such that its entries sum to a positive number.
#[derive(Debug, Clone, Copy)]
pub struct Principal {
    /// Multiplications by M, each a sweep back and one forward.
    pub iterations: usize,
}

impl Functional for Principal {
    fn name(&self) -> &str {
        "principal"
    }

    fn differentiate(
        &self,
        scene: &FunctionalContext<'_>,
    ) -> Result<ValueAndGradient, DiffusionError> {
        let x = &scene.path.samples;
        let mut u = unit(start(scene));
        for _ in 0..self.iterations {
            u = unit(multiply(scene, u)?);
        }
        let sign = u.clone().sum_dim(1).sign();
        Ok(ValueAndGradient {
            values: Tensor::zeros([x.dims()[0]], (&x.device(), x.dtype())),
            gradients: u * sign,
        })
    }
}

/// A random vector for each sample, the same whatever the batch.
fn start(scene: &FunctionalContext<'_>) -> Tensor<2> {
    let x = &scene.path.samples;
    let [n, d] = x.dims();
    let rows = (scene.first..scene.first + n).map(|i| {
        let mut rng = generator(0, RandomStream::Probe, [i as u64]);
        normal(&mut rng, [1, d], &x.device()).cast(x.dtype())
    });
    Tensor::cat(rows.collect(), 0)
}

/// `M·u`, `[n, d]`.
fn multiply(scene: &FunctionalContext<'_>, u: Tensor<2>) -> Result<Tensor<2>, DiffusionError> {
    let pulled = scene.path.pull_back(scene.model, u.unsqueeze_dim(0))?;
    let influence = AdjointInfluence::new(scene.path, pulled, scene.precision);
    let mut changes: Option<Vec<Tensor<2>>> = None;
    for range in chunks(scene.images.set().len()) {
        let points = scene.images.with_mirrors(range);
        // An image and its mirror image share its mass.
        let share = 1.0 / points.len() as f64;
        let parts = points.iter().map(|points| influence.of(points) * share);
        let Some(weights) = parts.reduce(|sum, part| sum + part) else {
            continue;
        };
        let weights = weights.squeeze_dim::<2>(0) * share;
        for points in &points {
            let parts = forcings(scene.path, points, &weights, scene.precision);
            changes = Some(match changes.take() {
                None => parts,
                Some(sums) => sums.into_iter().zip(parts).map(|(a, b)| a + b).collect(),
            });
        }
    }
    let changes = changes.unwrap_or_default();
    let changes: Vec<Tensor<3>> = changes.into_iter().map(|f| f.unsqueeze_dim(0)).collect();
    let moved = scene.path.push_forward(scene.model, &changes)?;
    Ok(moved.squeeze_dim::<2>(0) / scene.images.set().len() as f64)
}

/// Every row divided by its length. Scaled first, because squares of large numbers overflow.
fn unit(v: Tensor<2>) -> Tensor<2> {
    let v = v.clone() / v.abs().max_dim(1).clamp_min(f32::MIN_POSITIVE);
    let length = (v.clone() * v.clone()).sum_dim(1).sqrt();
    v / length.clamp_min(f32::MIN_POSITIVE)
}
