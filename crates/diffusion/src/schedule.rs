//! Noise levels of a sampler, from `sigma_max` down to 0.

use crate::DiffusionError;

/// EDM's lowest noise level above 0 (Karras et al. 2022, Table 1).
pub const SIGMA_MIN: f64 = 0.002;
/// EDM's highest noise level.
pub const SIGMA_MAX: f64 = 80.0;
/// EDM's spacing of the levels between.
pub const RHO: f64 = 7.0;

/// The grid with EDM's own levels.
pub fn edm(steps: usize) -> Vec<f64> {
    karras(steps, SIGMA_MIN, SIGMA_MAX, RHO)
}

/// The grid of Karras et al. 2022, equation 5: `steps` levels from `sigma_max` to `sigma_min`, evenly
/// spaced in `σ^(1/rho)`, then 0. A sampler takes one step between neighbours, `steps` in all.
///
/// ```
/// let sigmas = diffusion::schedule::karras(18, 0.002, 80.0, 7.0);
/// assert_eq!(sigmas.len(), 19);
/// assert_eq!((sigmas[0], sigmas[18]), (80.0, 0.0));
/// ```
pub fn karras(steps: usize, sigma_min: f64, sigma_max: f64, rho: f64) -> Vec<f64> {
    let (low, high) = (sigma_min.powf(1.0 / rho), sigma_max.powf(1.0 / rho));
    let level = |i: usize| match i {
        0 => sigma_max, // exactly, without the rounding of the two powers
        i if i + 1 == steps => sigma_min,
        i => (high + i as f64 / (steps - 1) as f64 * (low - high)).powf(rho),
    };
    (0..steps).map(level).chain([0.0]).collect()
}

/// Checks that noise levels are finite, strictly decreasing, and end with 0.
///
/// # Errors
/// [`DiffusionError::Config`] that says which of these fails.
pub fn check(sigmas: &[f64]) -> Result<(), DiffusionError> {
    let bad = |message: &str| Err(DiffusionError::Config(message.to_owned()));
    if sigmas.len() < 2 {
        return bad("a sampler needs at least one step: two noise levels, the last of them 0");
    }
    if sigmas.iter().any(|sigma| !sigma.is_finite()) {
        return bad("noise levels must be finite: check sigma_min, sigma_max and rho");
    }
    if sigmas.windows(2).any(|pair| pair[0] <= pair[1]) {
        return bad("noise levels must decrease: sigma_max must be larger than sigma_min");
    }
    if sigmas.last() != Some(&0.0) {
        return bad("noise levels must end with 0, where the samples are");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn karras_decreases_from_max_to_zero() {
        let sigmas = karras(18, 0.002, 80.0, 7.0);
        assert!(check(&sigmas).is_ok());
        assert_eq!(sigmas[17], 0.002);
        assert_eq!(karras(1, 0.002, 80.0, 7.0), [80.0, 0.0]);
        assert!(check(&karras(5, 80.0, 0.002, 7.0)).is_err());
        assert!(check(&[1.0, 0.5]).is_err());
    }
}
