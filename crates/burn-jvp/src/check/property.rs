//! The properties of derivatives that are checked, and the error of one that does not hold.

use crate::error::JvpError;
use std::fmt;

/// A property of derivatives that [`check_jvp`](super::check_jvp) verifies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Property {
    /// The value is the function's own, to the bit.
    Value,
    /// The derivatives are those of central differences.
    Difference,
    /// `⟨w, J·v⟩ = ⟨Jᵀ·w, v⟩` with the reverse mode of autodiff.
    Adjoint,
    /// K tangents at once give the derivatives of one at a time.
    Stacking,
    /// The derivatives in one input or parameter at a time add up to those in several.
    Additivity,
    /// Inputs and tangents that are not contiguous in memory, or repeat one number, give the same derivatives.
    Layout,
    /// An empty batch has an empty derivative.
    EmptyBatch,
    /// The derivatives in single precision are those in double precision.
    SinglePrecision,
}

impl fmt::Display for Property {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Value => "the value against the function's own",
            Self::Difference => "the derivative against a central difference",
            Self::Adjoint => "the derivative against autodiff",
            Self::Stacking => "one tangent against K at once",
            Self::Additivity => "one variable at a time against several",
            Self::Layout => "another memory layout against a contiguous one",
            Self::EmptyBatch => "the derivative of an empty batch",
            Self::SinglePrecision => "single against double precision",
        })
    }
}

/// The reason why [`check_jvp`](super::check_jvp) failed.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The derivatives could not be computed.
    #[error(transparent)]
    Jvp(#[from] JvpError),
    /// The arguments cannot be checked.
    #[error("{0}")]
    Arguments(&'static str),
    /// Two results have different shapes or types.
    #[error("{property}: {left} and {right}")]
    Kind {
        /// The property that does not hold.
        property: Property,
        /// Shape and type of the first.
        left: String,
        /// Shape and type of the second.
        right: String,
    },
    /// Two results have different numbers.
    #[error("{property}: a distance of {distance:e} for a norm of {norm:e}")]
    Numbers {
        /// The property that does not hold.
        property: Property,
        /// Distance of the two in the 2-norm.
        distance: f64,
        /// 2-norm of the second.
        norm: f64,
    },
}
