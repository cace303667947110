//! The options of a run with what the model decides, and the bar of the choice of the bandwidth.

use anyhow::Result;
use datasway_sensitivity::{ResolvedConfig, SensitivityConfig, TrainedModel};
use indicatif::{ProgressBar, ProgressStyle};

/// The options for a model. A bandwidth that has not been chosen before shows a bar meanwhile.
///
/// # Errors
/// If the options do not go together or with the images.
pub fn resolve(model: &TrainedModel, config: &SensitivityConfig) -> Result<ResolvedConfig> {
    let style = ProgressStyle::with_template("choosing the bandwidth {bar:30} {percent} %")?;
    let mut bar: Option<ProgressBar> = None;
    let resolved = model.resolve_with_progress(config, &mut |done| {
        let bar = bar.get_or_insert_with(|| ProgressBar::new(1000).with_style(style.clone()));
        bar.set_position((1000.0 * done) as u64);
    })?;
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    Ok(resolved)
}
