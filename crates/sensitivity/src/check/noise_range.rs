//! The noise levels of a sampler that a check covers.

use datasway_sensitivity::SensitivityConfig;

/// The lowest noise level above 0 and the highest one of the sampler.
pub fn noise_range(config: &SensitivityConfig) -> [f64; 2] {
    let mut levels = config.sigmas.iter().copied().filter(|sigma| *sigma > 0.0);
    let highest = levels.next().unwrap_or(1.0);
    [levels.next_back().unwrap_or(highest), highest]
}
