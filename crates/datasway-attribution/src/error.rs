//! Errors of attribution methods.

use datasway_diffusion::DiffusionError;

/// Error of an attribution method.
#[derive(Debug, thiserror::Error)]
pub enum AttributionError {
    /// Options of a method are out of range, contradict each other or do not fit the data.
    #[error("{0}")]
    Options(String),
    /// A model or one of its derivatives failed, or a setting is out of its range.
    #[error(transparent)]
    Model(#[from] DiffusionError),
}
