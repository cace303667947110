//! Noise levels of a sampler, from `sigma_max` down to 0.

use crate::{DiffusionError, range};

/// Largest number of sampler steps.
pub const MAX_STEPS: usize = 10_000;
/// Lowest positive noise level of a sampler. Below it, noise is lost in the rounding of single precision.
pub const LOWEST: f64 = 1e-6;
/// Highest noise level of a sampler. Above it, images are lost in the rounding of single precision.
pub const HIGHEST: f64 = 1e6;

/// EDM's lowest noise level above 0 (Karras et al. 2022, Table 1).
pub const SIGMA_MIN: f64 = 0.002;
/// EDM's highest noise level.
pub const SIGMA_MAX: f64 = 80.0;
/// EDM's exponent of the spacing of noise levels.
pub const RHO: f64 = 7.0;

/// The grid of [`karras`] with EDM's settings.
pub fn edm(steps: usize) -> Vec<f64> {
    karras(steps, SIGMA_MIN, SIGMA_MAX, RHO)
}

/// The grid of Karras et al. 2022, equation 5: `steps` levels from `sigma_max` to `sigma_min`, evenly
/// spaced in `σ^(1/rho)`, then 0. A sampler takes one step between neighbours, `steps` in all.
///
/// ```
/// let sigmas = datasway_diffusion::schedule::karras(18, 0.002, 80.0, 7.0);
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

/// The grid of [`karras`] for checked settings.
///
/// # Errors
/// A sentence that names the number that is out of its range.
pub fn checked(
    steps: usize,
    sigma_min: f64,
    sigma_max: f64,
    rho: f64,
) -> Result<Vec<f64>, DiffusionError> {
    range::check("the number of steps", steps, 1..=MAX_STEPS)?;
    range::check("sigma_min", sigma_min, LOWEST..=HIGHEST)?;
    range::check("sigma_max", sigma_max, LOWEST..=HIGHEST)?;
    range::check("rho", rho, 0.1..=100.0)?;
    if sigma_max <= sigma_min {
        return Err(DiffusionError::Invalid(format!(
            "sigma_max, {sigma_max}, must be larger than sigma_min, {sigma_min}"
        )));
    }
    let sigmas = karras(steps, sigma_min, sigma_max, rho);
    check(&sigmas)?;
    Ok(sigmas)
}

/// Checks that noise levels are in the range that single precision carries, strictly decreasing, and end with 0.
///
/// # Errors
/// [`DiffusionError::Invalid`] with the first condition that fails.
pub fn check(sigmas: &[f64]) -> Result<(), DiffusionError> {
    let bad = |message: &str| Err(DiffusionError::Invalid(message.to_owned()));
    let [above @ .., _] = sigmas else {
        return bad("a sampler needs at least one step: two noise levels, the last of them 0");
    };
    if above.is_empty() || sigmas.len() > MAX_STEPS + 1 {
        return bad(&format!("a sampler takes between 1 and {MAX_STEPS} steps"));
    }
    for (k, sigma) in above.iter().enumerate() {
        let name = format!("noise level {k}, set by sigma_min, sigma_max and rho,");
        range::check(&name, *sigma, LOWEST..=HIGHEST)?;
    }
    if sigmas.last() != Some(&0.0) {
        return bad("noise levels must end with 0, where the samples are");
    }
    if sigmas.windows(2).any(|pair| pair[0] <= pair[1]) {
        return bad("noise levels must decrease: sigma_max must be larger than sigma_min");
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

    #[test]
    fn a_number_out_of_range_is_named() {
        const NAN: f64 = f64::NAN;
        for (steps, low, high, rho, says) in [
            (0, 0.002, 80.0, 7.0, "steps"),
            (usize::MAX, 0.002, 80.0, 7.0, "steps"),
            (18, 0.0, 80.0, 7.0, "sigma_min"),
            (18, -1.0, 80.0, 7.0, "sigma_min"),
            (18, NAN, 80.0, 7.0, "sigma_min"),
            (18, 0.002, 1e30, 7.0, "sigma_max"),
            (18, 0.002, f64::INFINITY, 7.0, "sigma_max"),
            (18, 0.002, NAN, 7.0, "sigma_max"),
            (18, 0.002, 80.0, 0.0, "rho"),
            (18, 0.002, 80.0, NAN, "rho"),
            (18, 80.0, 0.002, 7.0, "larger than sigma_min"),
            (18, 80.0, 80.0, 7.0, "larger than sigma_min"),
        ] {
            let error = checked(steps, low, high, rho).unwrap_err().to_string();
            assert!(error.contains(says), "{steps} {low} {high} {rho}: {error}");
        }
        assert_eq!(checked(18, 0.002, 80.0, 7.0).unwrap(), edm(18));
        for bad in [&[][..], &[0.0], &[1e30, 0.0], &[NAN, 0.0], &[-1.0, 0.0]] {
            assert!(check(bad).is_err(), "{bad:?}");
        }
    }
}
