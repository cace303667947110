//! A sum of tensors with the shape of the first term.

use burn::tensor::Tensor;

/// The sum of the tensors added so far; none before the first.
#[derive(Debug, Clone, Default)]
pub(super) struct RunningSum<const D: usize>(Option<Tensor<D>>);

impl<const D: usize> RunningSum<D> {
    pub(super) fn add(&mut self, term: Tensor<D>) {
        self.0 = Some(match self.0.take() {
            Some(sum) => sum + term,
            None => term,
        });
    }

    pub(super) fn into_sum(self) -> Option<Tensor<D>> {
        self.0
    }
}
