//! Samples that do not agree, each with the reason.

use crate::fixture::Case;
use std::collections::BTreeSet;

/// A kind of disagreement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Failure {
    /// The value itself is not PyTorch's.
    Value,
    /// The derivative is not PyTorch's.
    Derivative,
    /// The value or the derivative in double precision is PyTorch's to single precision only.
    Rounding,
    /// An operation without a rule.
    Refused,
    /// The function cannot be recorded.
    Recording,
    /// Burn panics.
    Panic,
}

impl Failure {
    /// The failure of numbers at a distance `gap`: rounding where it is small, else `other`.
    pub fn of(gap: f64, other: Self) -> Self {
        if gap <= 1e-6 { Self::Rounding } else { other }
    }
}

/// Samples of one operation that fail in one way.
pub struct Exception {
    /// Name of the operation, with its variant after a slash where it has one.
    pub operation: &'static str,
    /// Positions of the samples. An empty list is all of them.
    pub samples: &'static [usize],
    /// The way in which they fail.
    pub failure: Failure,
    /// The reason.
    pub reason: &'static str,
}

impl Exception {
    /// True if all of the exception is needed, given the samples that it covered.
    pub fn is_needed(&self, covered: &BTreeSet<usize>) -> bool {
        !covered.is_empty() && self.samples.iter().all(|sample| covered.contains(sample))
    }

    /// True if the exception covers a failure of a case.
    pub fn covers(&self, case: &Case, failure: Failure) -> bool {
        let (name, variant) = self
            .operation
            .split_once('/')
            .unwrap_or((self.operation, ""));
        name == case.name
            && variant == case.variant
            && failure == self.failure
            && (self.samples.is_empty() || self.samples.contains(&case.sample))
    }
}

/// An operation whose samples all may fail in one way.
const fn all(failure: Failure, operation: &'static str, reason: &'static str) -> Exception {
    some(failure, operation, &[], reason)
}

/// An operation of which some samples fail in one way.
const fn some(
    failure: Failure,
    operation: &'static str,
    samples: &'static [usize],
    reason: &'static str,
) -> Exception {
    Exception {
        operation,
        samples,
        failure,
        reason,
    }
}

const EVEN_WINDOW: &str =
    "a window of even size: PyTorch has its longer side before the channel, Burn after it";
const HINGE: &str = "a target that is neither 1 nor −1: PyTorch adds both branches, Burn takes one";
const MEAN_SQUARE: &str = "Burn computes the mean square in single precision";

/// All exceptions.
pub const EXCEPTIONS: &[Exception] = &[
    all(
        Failure::Recording,
        "masked_select",
        "the mask decides the shape of the result, and a recording has no values",
    ),
    all(
        Failure::Recording,
        "nn.functional.poisson_nll_loss",
        "Burn reads the targets to check them, and a recording has no values",
    ),
    all(
        Failure::Rounding,
        "nn.functional.poisson_nll_loss",
        "Burn keeps 2π in single precision",
    ),
    all(
        Failure::Rounding,
        "nn.functional.huber_loss",
        "Burn keeps the threshold in single precision",
    ),
    all(
        Failure::Rounding,
        "nn.functional.hardsigmoid",
        "PyTorch keeps the slope 1/6 in single precision",
    ),
    all(
        Failure::Rounding,
        "nn.functional.triplet_margin_loss",
        "PyTorch adds 1e-6 to each difference, Burn does not",
    ),
    all(Failure::Rounding, "nn.functional.rms_norm", MEAN_SQUARE),
    all(Failure::Rounding, "module.RMSNorm", MEAN_SQUARE),
    all(
        Failure::Derivative,
        "scatter_reduce/prod",
        "PyTorch's forward mode gives zeros, against its own reverse mode and differences",
    ),
    some(
        Failure::Value,
        "nn.functional.hinge_embedding_loss",
        &[9],
        HINGE,
    ),
    some(
        Failure::Derivative,
        "nn.functional.hinge_embedding_loss",
        &[9],
        HINGE,
    ),
    some(
        Failure::Value,
        "nn.functional.local_response_norm",
        &[0, 1, 2, 3, 4, 5, 6, 7, 8],
        EVEN_WINDOW,
    ),
    some(
        Failure::Derivative,
        "nn.functional.local_response_norm",
        &[0, 1, 2, 3, 4, 5, 6, 7, 8],
        EVEN_WINDOW,
    ),
    some(
        Failure::Value,
        "module.LocalResponseNorm",
        &[1],
        EVEN_WINDOW,
    ),
    some(
        Failure::Derivative,
        "module.LocalResponseNorm",
        &[1],
        EVEN_WINDOW,
    ),
];
