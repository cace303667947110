//! The largest eigenvalue of the curvature, by Lanczos's method.

use burn_jvp::ParameterTangents;
use datasway_diffusion::DiffusionError;
use nalgebra::DMatrix;

use super::curvature::Curvature;

/// The largest eigenvalue of a curvature, from `iterations` products (Lanczos 1950).
///
/// It is the largest eigenvalue of the tridiagonal matrix of the Krylov space of `start`, a stack of one, and bounds that of
/// the curvature from below. A few iterations find it to a percent where it stands out.
///
/// # Errors
/// If `start` is zero, a number is not finite, or a product fails.
pub fn largest_eigenvalue(
    curvature: &dyn Curvature,
    start: &ParameterTangents,
    iterations: usize,
    progress: &mut dyn FnMut(usize),
) -> Result<f64, DiffusionError> {
    let length = |v: &ParameterTangents| v.dot(v).iter().sum::<f64>().sqrt();
    let norm = length(start);
    if !(norm.is_finite() && norm > 0.0) {
        return Err(DiffusionError::NotFinite(format!(
            "the direction from which the spectrum is explored has the length {norm}"
        )));
    }
    let mut vector = start.scale(&[1.0 / norm]);
    let mut previous = vector.scale(&[0.0]);
    let (mut diagonal, mut off_diagonal) = (Vec::new(), Vec::new());
    let mut beta = 0.0;
    for _ in 0..iterations.max(1) {
        // w = A·v_j − β_{j−1}·v_{j−1}, α_j = ⟨w, v_j⟩, β_j·v_{j+1} = w − α_j·v_j
        let product = curvature.product(&vector, progress)?;
        let w = product.add(&previous.scale(&[-beta]));
        let alpha: f64 = w.dot(&vector).iter().sum();
        let w = w.add(&vector.scale(&[-alpha]));
        diagonal.push(alpha);
        beta = length(&w);
        if !beta.is_finite() {
            return Err(DiffusionError::NotFinite(
                "the curvature of the training loss is not finite: the model has diverged"
                    .to_owned(),
            ));
        }
        if beta <= f64::from(f32::EPSILON) * alpha.abs() {
            break;
        }
        off_diagonal.push(beta);
        previous = std::mem::replace(&mut vector, w.scale(&[1.0 / beta]));
    }
    let n = diagonal.len();
    let tridiagonal = DMatrix::from_fn(n, n, |i, j| match i.abs_diff(j) {
        0 => diagonal[i],
        1 => off_diagonal[i.min(j)],
        _ => 0.0,
    });
    Ok(tridiagonal.symmetric_eigenvalues().max())
}
