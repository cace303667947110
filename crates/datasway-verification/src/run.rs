//! All studies in turn.

use datasway_diffusion::checkpoint::Checkpoint;
use datasway_report::Section;

use crate::StudyError;
use crate::scale::StudyScale;
use crate::studies::scaling::{MeasuredCost, Workload};
use crate::studies::{
    order_report, robustness_report, scaling_report, score_field_report, trace_estimators_report,
    validity_report,
};

/// Runs all studies and passes each section of the report to `on_section` as soon as it is complete.
///
/// The trace estimators are compared on the Jacobians of the model in `checkpoint`, too.
/// `measure` runs a workload in a process of its own, since the peak of memory of a process does not fall.
///
/// # Errors
/// If a model fails, a plot cannot be drawn, or `measure` or `on_section` fails.
pub fn verify<E: From<StudyError>>(
    scale: &StudyScale<'_>,
    checkpoint: &Checkpoint,
    measure: &dyn Fn(&Workload) -> Result<MeasuredCost, StudyError>,
    mut on_section: impl FnMut(Section) -> Result<(), E>,
) -> Result<(), E> {
    on_section(order_report::section(scale)?)?;
    let scores = robustness_report::train_scores(scale)?;
    on_section(robustness_report::section(scale, &scores)?)?;
    on_section(trace_estimators_report::section(scale, checkpoint)?)?;
    on_section(score_field_report::section(scale)?)?;
    on_section(validity_report::section(scale, &scores)?)?;
    on_section(scaling_report::section(scale, measure)?)
}
