//! The options of a run with what the model decides, and the bar of the choice of the bandwidth.

use anyhow::Result;
use datasway_cli::progress_bar;
use datasway_sensitivity::{ResolvedConfig, SensitivityConfig, TrainedModel};

/// The options for a model. A bandwidth that has not been chosen before shows a bar meanwhile.
///
/// # Errors
/// If the options do not go together or with the images.
pub fn resolve(model: &TrainedModel, config: &SensitivityConfig) -> Result<ResolvedConfig> {
    let bar = progress_bar(1000, "choosing the bandwidth {bar:30} {percent} %")?;
    let at = &mut |done: f64| bar.set_position((1000.0 * done) as u64);
    let resolved = model.resolve_with_progress(config, at)?;
    bar.finish_and_clear();
    Ok(resolved)
}
