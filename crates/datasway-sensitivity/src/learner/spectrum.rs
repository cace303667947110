//! The largest eigenvalue of the curvature, by Lanczos's method.

use burn_jvp::ParameterTangents;
use datasway_diffusion::DiffusionError;

use super::curvature::Curvature;
use super::lanczos::KrylovSpaces;

/// The largest eigenvalue of a curvature, from `iterations` products.
///
/// It is that of the Krylov space of `start`, a stack of one, and bounds that of the curvature from below. A few iterations
/// find it to a percent where it stands out.
///
/// # Errors
/// If `start` is zero, a number is not finite, or a product fails.
pub fn largest_eigenvalue(
    curvature: &dyn Curvature,
    start: &ParameterTangents,
    iterations: usize,
    progress: &mut dyn FnMut(usize),
) -> Result<f64, DiffusionError> {
    let length = start.dot(start).iter().sum::<f64>().sqrt();
    if !(length.is_finite() && length > 0.0) {
        return Err(DiffusionError::NotFinite(format!(
            "the direction from which the spectrum is explored has the length {length}"
        )));
    }
    let mut space = KrylovSpaces::new(start)?;
    for _ in 0..iterations.max(1) {
        let product = curvature.product(space.newest(), progress)?;
        space.extend(product)?;
        if space.is_exhausted() {
            break;
        }
    }
    Ok(space.largest_eigenvalue())
}
