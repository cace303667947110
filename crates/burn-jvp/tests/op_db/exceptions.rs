//! Samples that do not agree, each with the reason.

use crate::fixture::Case;

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
    /// Whether the exception covers a failure of a case.
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

/// All exceptions.
pub const EXCEPTIONS: &[Exception] = &[];
