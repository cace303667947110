//! Second derivative γ of a sample in η, and the trust radius of the first-order prediction.
//!
//! With `a = D^ν − D` the perturbed denoiser is `D_η = D + ηr·a/(1 + ηr)`. On a path that moves by `ηδ + η²γ/2` its second
//! derivative in η is
//!
//! `J·γ + ∂²D[δ, δ] + 2·∂_x(r·a)·δ − 2r²·a`, with `∂_x(r·a)·δ = r·(⟨a, δ⟩/σ²·a + (J^ν − J)·δ)`.
//!
//! The gradient of log r is `a/σ²`, so the density must be that of the model itself. The coefficients of a sampler's step
//! move γ as they move x and δ. Only `∂²D[δ, δ]` needs more than first-order tangents: a central difference of `J·δ` along
//! δ. No term needs ρ_η.

use burn::tensor::{DType, Tensor};
use datasway_diffusion::DiffusionError;
use datasway_diffusion::denoiser::Denoiser;

use crate::measure::Measure;

/// The ratio of the second-order to the first-order term up to which a prediction is trusted.
pub const TOLERANCE: f64 = 0.1;

/// The largest |η| for which the first-order prediction `ηδ` is trusted, where the second-order term is [`TOLERANCE`] times
/// the first: `η²‖γ‖/2 = TOLERANCE·η‖δ‖`. δ and γ have d entries. It is infinite for γ = 0, and 0 if δ or γ is not finite.
pub fn trust_radius(delta: &[f64], gamma: &[f64]) -> f64 {
    let norm = |v: &[f64]| v.iter().map(|x| x * x).sum::<f64>().sqrt();
    let (delta, gamma) = (norm(delta), norm(gamma));
    match gamma {
        0.0 => f64::INFINITY,
        _ if delta.is_finite() && gamma.is_finite() => 2.0 * TOLERANCE * delta / gamma,
        _ => 0.0,
    }
}

/// `∂²D[δ, δ]`, `[K, n, d]`, at the points x `[n, d]` along K directions δ `[K, n, d]`.
///
/// The result is a central difference of `J·δ` with a step of `reach·σ` along δ to either side. Where δ = 0, it is 0.
///
/// # Errors
/// If the model cannot be differentiated.
pub fn second_directional_derivative(
    model: &dyn Denoiser,
    x: &Tensor<2>,
    sigma: f64,
    delta: &Tensor<3>,
) -> Result<Tensor<3>, DiffusionError> {
    let [count, n, d] = delta.dims();
    let reach = match x.dtype() {
        DType::F64 => 1e-4,
        _ => 1e-2,
    };
    let length = delta.clone().powi_scalar(2).sum_dim(2).sqrt();
    let h = length.clamp_min(1e-30).recip() * (reach * sigma);
    let shift = delta.clone() * h.clone();
    let x = x.clone().unsqueeze_dim::<3>(0);
    // The points on both sides of the path, [2·K·n, d], with one tangent each.
    let points = Tensor::cat(vec![x.clone() + shift.clone(), x - shift], 0);
    let tangents = delta.clone().repeat_dim(0, 2);
    let rows = [2 * count * n, d];
    let (_, products) = model.jvp(
        points.reshape(rows),
        sigma,
        tangents.reshape(rows).unsqueeze_dim::<3>(0),
    )?;
    let products = products.reshape([2 * count, n, d]);
    let (ahead, behind) = (
        products.clone().slice_dim(0, 0..count),
        products.slice_dim(0, count..),
    );
    Ok((ahead - behind) / (h * 2.0))
}

/// `2·∂_x(r·a)·δ − 2r²·a` for one direction, `[n, d]`.
///
/// # Errors
/// If ν cannot be differentiated.
pub(crate) fn second_order_forcing(
    direction: &dyn Measure,
    x: &Tensor<2>,
    sigma: f64,
    delta: Tensor<2>,
    j_delta: Tensor<2>,
    a: Tensor<2>,
    r: Tensor<2>,
) -> Result<Tensor<2>, DiffusionError> {
    let tangent = delta.clone().unsqueeze_dim::<3>(0);
    let moved = direction.jvp(x.clone(), sigma, tangent)?.1;
    let along = (a.clone() * delta).sum_dim(1) / (sigma * sigma);
    let cross = a.clone() * along + moved.squeeze_dim::<2>(0) - j_delta;
    Ok((cross - a * r.clone()) * r * 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_where_the_second_order_is_a_tenth_of_the_first() {
        // η²·2/2 = 0.1·η·5.
        assert!((trust_radius(&[3.0, 4.0], &[0.0, 2.0]) - 0.5).abs() < 1e-12);
        assert_eq!(trust_radius(&[3.0, 4.0], &[0.0, 0.0]), f64::INFINITY);
        assert_eq!(trust_radius(&[f64::NAN, 4.0], &[0.0, 2.0]), 0.0);
        assert_eq!(trust_radius(&[3.0, 4.0], &[0.0, f64::INFINITY]), 0.0);
    }
}
