//! The influences of all images of a set on one batch of samples, chunk by chunk.

use burn::tensor::Tensor;
use datasway_diffusion::DiffusionError;
use datasway_diffusion::device::has_own_memory;

use super::adjoint::{AdjointInfluence, chunks};
use super::running_sum::RunningSum;
use crate::measure::ImagePoints;
use crate::tensors::values;

/// The influences of all m images of a set on one batch.
pub(super) struct BatchInfluences {
    /// `[K, n, m]`.
    pub influence: Vec<f32>,
    /// The part of each step, `[K, n, S, m]`; empty if it was not asked for.
    pub by_step: Vec<f32>,
    /// `[K, n, P]`.
    pub strength: Vec<f32>,
    /// `[n, P]`.
    pub balance: Vec<f32>,
}

impl BatchInfluences {
    /// The influences of a set, with the parts of the steps if `by_step`. `progress` receives the fraction that is done.
    pub fn accumulate(
        adjoint: &AdjointInfluence,
        images: &ImagePoints,
        by_step: bool,
        mut progress: impl FnMut(f64),
    ) -> Result<Self, DiffusionError> {
        if !has_own_memory(images.device()) {
            return adjoint.stacked_influences(images, by_step, progress);
        }
        let (m, evaluations) = (images.set().len(), adjoint.evaluations());
        let (mut influence, mut parts) = (Vec::<Tensor<3>>::new(), Vec::<Tensor<4>>::new());
        let mut strength = vec![RunningSum::<3>::default(); evaluations];
        let mut balance = vec![RunningSum::<2>::default(); evaluations];
        for range in chunks(m) {
            let end = range.end;
            let copies = images.with_mirrors(range);
            // An image and its mirror image are one image, which share its mass.
            let share = 1.0 / copies.len() as f64;
            let mut contributions = vec![RunningSum::<3>::default(); evaluations];
            for points in &copies {
                for (p, contribution) in adjoint.contributions(points).into_iter().enumerate() {
                    contributions[p].add(contribution.influence * share);
                    if let Some(ratios) = contribution.ratios {
                        balance[p].add(ratios.sum_dim(1) * (share / m as f64));
                    }
                }
            }
            let contributions = contributions.into_iter().filter_map(RunningSum::into_sum);
            let contributions: Vec<Tensor<3>> = contributions.collect();
            if by_step {
                parts.push(Tensor::stack(step_sums(adjoint, &contributions), 2));
            }
            let mut total = RunningSum::<3>::default();
            for (contribution, strength) in contributions.into_iter().zip(&mut strength) {
                strength.add(contribution.clone().abs().sum_dim(2) / m as f64);
                total.add(contribution);
            }
            influence.extend(total.into_sum());
            progress(end as f64 / m as f64);
        }
        let strength = strength.into_iter().filter_map(RunningSum::into_sum);
        let zero = adjoint.zero_column();
        let balance = balance
            .into_iter()
            .map(|sum| sum.into_sum().unwrap_or_else(|| zero.clone()));
        Ok(Self {
            influence: values(Tensor::cat(influence, 2))?,
            by_step: if parts.is_empty() {
                Vec::new()
            } else {
                values(Tensor::cat(parts, 3))?
            },
            strength: values(Tensor::cat(strength.collect(), 2))?,
            balance: values(Tensor::cat(balance.collect(), 1))?,
        })
    }
}

/// The contributions of the evaluations of each step, added: S in all.
fn step_sums(adjoint: &AdjointInfluence, contributions: &[Tensor<3>]) -> Vec<Tensor<3>> {
    let mut contributions = contributions.iter().cloned();
    let steps = adjoint.evaluations_by_step().iter();
    let sums = steps.filter_map(|&count| {
        let of_step = contributions.by_ref().take(count);
        of_step.reduce(|sum, contribution| sum + contribution)
    });
    sums.collect()
}
