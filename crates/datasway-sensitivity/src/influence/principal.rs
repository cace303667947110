//! The direction along which training images move a sample most.

use burn::tensor::Tensor;
use datasway_diffusion::DiffusionError;
use datasway_diffusion::device::has_own_memory;
use datasway_diffusion::random::{RandomStream, generator, normal};

use super::adjoint::{AdjointInfluence, chunks, forcings};
use super::functional::{Functional, FunctionalContext, ValueAndGradient};
use super::running_sum::RunningSum;
use super::stacked::StackedImages;
use super::stacked_changes::StackedChanges;
use crate::tensors::{rows_dot, values};

/// `f(x) = ⟨u, x − x₀⟩`: the displacement from the sample x₀ along the direction u in which training images move it most.
///
/// u is the top eigenvector of `M = (1/m)·Σ_j δ_j·δ_jᵀ`, where `δ_j` is the sensitivity of x₀ to training image j. The
/// power method needs no single δ_j: the adjoint gives all `a_j = ⟨δ_j, u⟩` at once, and the tangent of the weighted images
/// gives `M·u = (1/m)·Σ_j a_j·δ_j`. The sign of u is such that its entries have a positive sum.
///
/// The iteration stops when a multiplication turns no sample's u by more than `SMALLEST_TURN`, and after a number of
/// multiplications in any case.
#[derive(Debug, Clone, Copy)]
pub struct Principal {
    /// Largest number of multiplications by M, each a backward and a forward pass and one pass over the images. Their masses along the paths are kept if they fit.
    pub iterations: usize,
}

impl Functional for Principal {
    fn name(&self) -> &str {
        "principal"
    }

    fn needs_density(&self) -> bool {
        true
    }

    fn value_and_gradient(
        &self,
        context: &FunctionalContext<'_>,
    ) -> Result<ValueAndGradient, DiffusionError> {
        let x = &context.trajectory.samples;
        let images = StackedImages::new(context.images);
        let stacked = (!has_own_memory(context.images.device()))
            .then(|| StackedChanges::new(&images, context.trajectory))
            .transpose()?;
        let mut u = unit(start(context));
        for _ in 0..self.iterations {
            let next = unit(multiply(context, stacked.as_ref(), u.clone())?);
            let turned = largest_turn(&u, &next)?;
            u = next;
            if turned <= SMALLEST_TURN {
                break;
            }
        }
        let sign = u.clone().sum_dim(1).sign();
        Ok(ValueAndGradient {
            values: Tensor::zeros([x.dims()[0]], (&x.device(), x.dtype())),
            gradients: u * sign,
        })
    }
}

/// An angle in radians, of the size of rounding in f32, below which u counts as found.
pub const SMALLEST_TURN: f32 = 1e-6;

/// The largest sine of the angles between the rows of two tensors of unit rows; the signs of the rows do not matter.
fn largest_turn(before: &Tensor<2>, after: &Tensor<2>) -> Result<f32, DiffusionError> {
    let cosines = rows_dot(before.clone(), after.clone());
    let apart = after.clone() - before.clone() * cosines;
    let sines = values(rows_dot(apart.clone(), apart).sqrt())?;
    // A sine that is no number is no reason to stop.
    Ok(sines
        .into_iter()
        .fold(0.0, |top, sine| if sine <= top { top } else { sine }))
}

/// A random vector for each sample, which does not depend on the batch.
fn start(context: &FunctionalContext<'_>) -> Tensor<2> {
    let x = &context.trajectory.samples;
    let [n, d] = x.dims();
    let rows = (context.first..context.first + n).map(|i| {
        let mut rng = generator(0, RandomStream::Probe, [i as u64]);
        normal(&mut rng, [1, d], &x.device()).cast(x.dtype())
    });
    Tensor::cat(rows.collect(), 0)
}

/// `M·u`, `[n, d]`.
fn multiply(
    context: &FunctionalContext<'_>,
    stacked: Option<&StackedChanges<'_>>,
    u: Tensor<2>,
) -> Result<Tensor<2>, DiffusionError> {
    let pulled = context
        .trajectory
        .pull_back(context.model, u.unsqueeze_dim(0))?;
    let influence = AdjointInfluence::new(context.trajectory, pulled, context.precision);
    let changes = match stacked {
        Some(stacked) => stacked.with(&influence)?,
        None => changes(context, &influence),
    };
    let changes: Vec<Tensor<3>> = (changes.into_iter())
        .map(|change| change.unsqueeze_dim(0))
        .collect();
    let moved = context.trajectory.push_forward(context.model, &changes)?;
    Ok(moved.squeeze_dim::<2>(0) / context.images.set().len() as f64)
}

/// The change of the denoiser at each evaluation, `[n, d]` each, if every image gets its influence as mass: the form on
/// devices with their own memory.
fn changes(context: &FunctionalContext<'_>, influence: &AdjointInfluence) -> Vec<Tensor<2>> {
    let evaluations = context.trajectory.points.len();
    let mut changes = vec![RunningSum::<2>::default(); evaluations];
    for range in chunks(context.images.set().len()) {
        let copies = context.images.with_mirrors(range);
        // An image and its mirror image share its mass.
        let share = 1.0 / copies.len() as f64;
        let mut weights = RunningSum::<3>::default();
        for points in &copies {
            weights.add(influence.total(points) * share);
        }
        let Some(weights) = weights.into_sum() else {
            continue;
        };
        let weights = weights.squeeze_dim::<2>(0) * share;
        for points in &copies {
            let forcings = forcings(context.trajectory, points, &weights, context.precision);
            for (change, forcing) in changes.iter_mut().zip(forcings) {
                change.add(forcing);
            }
        }
    }
    changes
        .into_iter()
        .filter_map(RunningSum::into_sum)
        .collect()
}

/// Every row divided by its length. Scaled first, because squares of large numbers overflow.
fn unit(v: Tensor<2>) -> Tensor<2> {
    let v = v.clone() / v.abs().max_dim(1).clamp_min(f32::MIN_POSITIVE);
    let length = (v.clone() * v.clone()).sum_dim(1).sqrt();
    v / length.clamp_min(f32::MIN_POSITIVE)
}
