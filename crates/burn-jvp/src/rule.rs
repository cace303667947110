//! Rules of custom operations, which the crate that defines an operation supplies.

use crate::dual::Dual;
use burn::backend::ir::CustomOpIr;
use std::borrow::Cow;

/// The forward-mode derivative of one custom operation.
///
/// Rules are registered by [`Jvp::with_rules`](crate::Jvp::with_rules) and checked by
/// [`check_jvp`](crate::check::check_jvp).
pub trait CustomRule: Send + Sync {
    /// The id under which the operation is recorded ([`CustomOpIr::id`]).
    fn id(&self) -> &str;

    /// The outputs with their K tangents from the inputs with theirs, both in the order of the operation `op`, which
    /// holds the scalars and the shapes.
    ///
    /// The tangents of an input are `[k, *shape]` or, for zero, `None`; those of an output are the same. If no input
    /// has a tangent, no output needs one. The primal of an output is what the operation itself gives.
    ///
    /// # Errors
    /// A [`Refusal`] if the rule does not cover the scalars of the operation or the inputs that have tangents.
    fn jvp(&self, op: &CustomOpIr, inputs: Vec<Dual>, k: usize) -> Result<Vec<Dual>, Refusal>;
}

/// The reason why a rule does not cover an operation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refusal(Cow<'static, str>);

impl Refusal {
    /// The reason `reason`, a clause that completes "no forward-mode rule for …: ".
    pub fn new(reason: impl Into<Cow<'static, str>>) -> Self {
        Self(reason.into())
    }

    /// The refusal of an operation for which there is no rule.
    pub fn unknown() -> Self {
        Self::new("burn-jvp knows no derivative of it")
    }
}
