//! Patterns that rules share.

use burn::backend::Dispatch;
use burn::backend::ops::FloatTensorOps;
use burn_jvp::{Dual, RawTensor, Refusal};

/// The inputs of an operation that has `N` of them.
pub(super) fn take<const N: usize>(inputs: Vec<Dual>) -> Result<[Dual; N], Refusal> {
    inputs.try_into().map_err(|_| Refusal::unknown())
}

/// The sum of terms of one shape.
pub(super) fn added<const N: usize>(terms: [Option<RawTensor>; N]) -> Option<RawTensor> {
    terms.into_iter().flatten().reduce(Dispatch::float_add)
}
