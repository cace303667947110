//! The direction along which training images move a sample most.

use burn::tensor::{Bool, Tensor, TensorData};
use datasway_diffusion::DiffusionError;
use datasway_diffusion::device::has_own_memory;
use datasway_diffusion::random::{RandomStream, generator, normal};

use super::adjoint::{AdjointInfluence, chunks, forcings};
use super::functional::{Functional, FunctionalContext, ValueAndGradient};
use super::ritz::RitzVectors;
use super::running_sum::RunningSum;
use super::stacked::StackedImages;
use super::stacked_changes::StackedChanges;

/// `f(x) = ⟨u, x − x₀⟩`: the displacement from the sample x₀ along the direction u in which training images move it most.
///
/// u is the top eigenvector of `M = (1/m)·Σ_j δ_j·δ_jᵀ`, where `δ_j` is the sensitivity of x₀ to training image j. A product
/// with M needs no single δ_j: the adjoint gives all `a_j = ⟨δ_j, v⟩` at once, and the tangent of the weighted images gives
/// `M·v = (1/m)·Σ_j a_j·δ_j`. The sign of u is such that its entries have a positive sum.
///
/// u is M times the top Ritz vector of the Krylov space of a random start (Lanczos's method). It is found when M turns the Ritz
/// vector by an angle with a sine of at most 0.01, and after a number of multiplications in any case.
#[derive(Debug, Clone, Copy)]
pub struct Principal {
    /// Largest number of multiplications by M, each a backward and a forward pass and one pass over the images. Their masses along the paths are kept if they fit.
    pub iterations: usize,
}

impl Principal {
    /// Revision of the direction. Keys of stored influences contain it. A change that returns another u for the same samples and
    /// images raises it.
    // 2: Lanczos's method (it was the power method).
    pub const REVISION: u32 = 2;
}

impl Default for Principal {
    /// Eight multiplications at most. Six find u of eight samples of the shipped model.
    fn default() -> Self {
        Self { iterations: 8 }
    }
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
        let stacked = match context.own {
            Some(own) => Some(StackedChanges::with_own(
                &images,
                own,
                context.trajectory.clone(),
            )?),
            None if has_own_memory(context.images.device()) => None,
            None => Some(StackedChanges::new(&images, context.trajectory)?),
        };
        let mut space = RitzVectors::new(start(context));
        let mut u = space.multiplied();
        let mut found = vec![false; x.dims()[0]];
        for _ in 0..self.iterations {
            let product = multiply(context, stacked.as_ref(), space.newest().clone())?;
            let turned = space.extend(product)?;
            // What was found stays, so that a sample does not depend on the others of its batch.
            let kept = TensorData::new(found.clone(), [found.len(), 1]);
            let kept = Tensor::<2, Bool>::from_data(kept, &x.device()).expand(x.shape());
            u = space.multiplied().mask_where(kept, u);
            for (found, sine) in found.iter_mut().zip(turned) {
                *found |= sine <= SETTLED;
            }
            if found.iter().all(|found| *found) {
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

/// A sine of the angle between a Ritz vector and its product below which u counts as found.
const SETTLED: f64 = 0.01;

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
    let trajectory = stacked.map_or(context.trajectory, StackedChanges::trajectory);
    let pulled = trajectory.pull_back(context.model, u.unsqueeze_dim(0))?;
    let influence = AdjointInfluence::new(trajectory, pulled, context.precision);
    let changes = match stacked {
        Some(stacked) => stacked.with(&influence)?,
        None => changes(context, &influence),
    };
    let changes: Vec<Tensor<3>> = (changes.into_iter())
        .map(|change| change.unsqueeze_dim(0))
        .collect();
    let moved = trajectory.push_forward(context.model, &changes)?;
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
