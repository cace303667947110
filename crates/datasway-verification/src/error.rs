//! Errors of studies.

use datasway_diffusion::DiffusionError;
use datasway_report::ReportError;

/// Error of a study or of its report.
#[derive(Debug, thiserror::Error)]
pub enum StudyError {
    /// A model or its derivative failed.
    #[error(transparent)]
    Model(#[from] DiffusionError),
    /// A plot or a file could not be made.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// The cost of a workload could not be measured.
    #[error("{0}")]
    Measurement(String),
}
