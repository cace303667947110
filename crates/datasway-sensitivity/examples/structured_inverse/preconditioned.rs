//! Preconditioned conjugate gradients for several right-hand sides, without an end.

use burn_jvp::ParameterTangents;
use datasway_diffusion::DiffusionError;
use datasway_sensitivity::learner::Curvature;

/// An approximation of `(A + λ)⁻¹`, symmetric and positive, applied to K directions.
pub type Preconditioner<'a> = dyn Fn(&ParameterTangents) -> ParameterTangents + 'a;

/// An iterate of `(A + λ)·x_k = b_k`.
pub struct Iterate {
    /// Iterations before it, each of which is a product with A for every right-hand side.
    pub iterations: usize,
    /// The solutions `x_k`.
    pub solutions: ParameterTangents,
    /// `b_k − (A + λ)·x_k`.
    pub residuals: ParameterTangents,
    /// `‖x_k‖²` minus that of the iterate before, in the norm of `A + λ`.
    pub gains: Vec<f64>,
}

/// Calls `visit` with every iterate from `x = 0`, until it returns false.
///
/// # Errors
/// If a product fails.
pub fn iterate(
    curvature: &dyn Curvature,
    damping: f64,
    right: &ParameterTangents,
    precondition: &Preconditioner,
    visit: &mut dyn FnMut(&Iterate) -> bool,
) -> Result<(), DiffusionError> {
    let mut current = Iterate {
        iterations: 0,
        solutions: right.scale(&vec![0.0; right.k()]),
        residuals: right.clone(),
        gains: vec![0.0; right.k()],
    };
    // z = M⁻¹·r, p = z
    let mut improved = precondition(&current.residuals);
    let mut search = improved.clone();
    let mut products = current.residuals.dot(&improved);
    while visit(&current) {
        let moved = damped_product(curvature, damping, &search)?;
        // α = ⟨r, z⟩/⟨p, (A + λ)·p⟩
        let curvatures = search.dot(&moved);
        let steps = quotients(&products, &curvatures);
        let back: Vec<f64> = steps.iter().map(|step| -step).collect();
        current = Iterate {
            iterations: current.iterations + 1,
            solutions: current.solutions.add(&search.scale(&steps)),
            residuals: current.residuals.add(&moved.scale(&back)),
            // α·⟨r, z⟩, as in plain conjugate gradients
            gains: steps.iter().zip(&products).map(|(a, b)| a * b).collect(),
        };
        improved = precondition(&current.residuals);
        // β = ⟨r', z'⟩/⟨r, z⟩
        let next = current.residuals.dot(&improved);
        search = improved.add(&search.scale(&quotients(&next, &products)));
        products = next;
    }
    Ok(())
}

/// `(A + λ)·v_k`.
///
/// # Errors
/// If the product fails.
pub fn damped_product(
    curvature: &dyn Curvature,
    damping: f64,
    directions: &ParameterTangents,
) -> Result<ParameterTangents, DiffusionError> {
    let product = curvature.product(directions, &mut |_| ())?;
    Ok(product.add(&directions.scale(&vec![damping; directions.k()])))
}

fn quotients(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a / b).collect()
}
