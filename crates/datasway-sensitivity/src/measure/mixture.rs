//! Weighted sums of measures, such as the perturbed data `ρ + ην`.

use burn::tensor::{DType, Device, Tensor};
use datasway_diffusion::DiffusionError;
use datasway_diffusion::denoiser::{Denoiser, check_points, check_tangents};

use super::{Gaussian, Measure};
use crate::tensors::widest;

/// `Σ_c π_c·μ_c / Σ_c π_c`. A weight may be negative where it removes mass that another component has.
///
/// With the responsibilities `a_c = π_c·p_c/Σ π·p`, which sum to one, `D = Σ a_c·D_c` and, as the gradient of
/// `log p_c` is `(D_c − x)/σ²`, `J·v = Σ a_c·[J_c·v + (D_c − D)·⟨D_c − D, v⟩/σ²]`.
pub struct Mixture<'a> {
    components: Vec<(f64, Box<dyn Measure + 'a>)>,
    total: f64,
}

impl std::fmt::Debug for Mixture<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let weights: Vec<f64> = self
            .components
            .iter()
            .map(|component| component.0)
            .collect();
        f.debug_struct("Mixture")
            .field("weights", &weights)
            .finish()
    }
}

/// The perturbed data `ρ_η ∝ ρ + ην`, with the mass η of ν added (η > 0) or removed (η < 0, with ν inside ρ).
///
/// # Errors
/// If the dimensions differ or 1 + η is not positive.
pub fn perturbed<'a>(
    data: &'a dyn Measure,
    direction: &'a dyn Measure,
    mass: f64,
) -> Result<Mixture<'a>, DiffusionError> {
    Mixture::new(vec![(1.0, Box::new(data)), (mass, Box::new(direction))])
}

/// A mixture of Gaussians from its weights, its means, d numbers each, and its covariances, d×d numbers each, row by
/// row.
///
/// # Errors
/// If the numbers of weights, means and covariances differ, the weights are not positive or do not sum to one, or a
/// component is not a Gaussian ([`Gaussian::new`]) of the same dimension.
pub fn gaussian_mixture(
    weights: &[f64],
    means: &[Vec<f64>],
    covariances: &[Vec<f64>],
    device: &Device,
    dtype: DType,
) -> Result<Mixture<'static>, DiffusionError> {
    let bad = |message: String| Err(DiffusionError::Invalid(message));
    if weights.len() != means.len() || weights.len() != covariances.len() {
        return bad(format!(
            "{} weights, {} means and {} covariances: a mixture needs one of each per component",
            weights.len(),
            means.len(),
            covariances.len()
        ));
    }
    if let Some(weight) = weights.iter().find(|w| !(w.is_finite() && **w > 0.0)) {
        return bad(format!(
            "the weights of a mixture must be positive, got {weight}"
        ));
    }
    let total: f64 = weights.iter().sum();
    if (total - 1.0).abs() > 1e-9 {
        return bad(format!(
            "the weights of a mixture must sum to 1, but sum to {total}"
        ));
    }
    let mut components: Vec<(f64, Box<dyn Measure>)> = Vec::new();
    for ((weight, mean), covariance) in weights.iter().zip(means).zip(covariances) {
        let gaussian = Gaussian::new(mean, covariance, device, dtype)?;
        components.push((*weight, Box::new(gaussian)));
    }
    Mixture::new(components)
}

impl<'a> Mixture<'a> {
    /// A mixture of measures; the weights are divided by their sum.
    ///
    /// # Errors
    /// If there are no components, their dimensions differ, or the weights do not have a positive sum.
    pub fn new(components: Vec<(f64, Box<dyn Measure + 'a>)>) -> Result<Self, DiffusionError> {
        let bad = |message: String| Err(DiffusionError::Invalid(message));
        let total: f64 = components.iter().map(|component| component.0).sum();
        if components.is_empty() {
            return bad("a mixture needs at least one part".to_owned());
        }
        if !(total.is_finite() && total > 0.0) {
            return bad(format!(
                "the weights of a mixture must have a positive sum, got {total}: more mass is removed than there is"
            ));
        }
        let dims: Vec<usize> = components
            .iter()
            .map(|component| component.1.dim())
            .collect();
        if dims.iter().any(|dim| *dim != dims[0]) {
            return bad(format!(
                "the parts of a mixture have different dimensions: {dims:?}"
            ));
        }
        Ok(Self { components, total })
    }

    /// `q`, `[n, 1]`, and for each component of positive or negative weight its responsibility `a_c`, `[n, 1]`, and `D_c`,
    /// `[n, d]`.
    fn pass(&self, x: &Tensor<2>, sigma: f64) -> Result<Pass, DiffusionError> {
        check_points(x, self.dim())?;
        let mut terms = Vec::new();
        for (weight, measure) in self.components.iter().filter(|c| c.0 != 0.0) {
            let (q, denoised) = measure.evaluate(x.clone(), sigma)?;
            // Components may compute in different precisions.
            let (q, denoised) = (widest(q), widest(denoised));
            let log = q.unsqueeze_dim::<2>(1) + weight.abs().ln();
            terms.push((weight.signum(), log, denoised));
        }
        let logs = Tensor::cat(terms.iter().map(|term| term.1.clone()).collect(), 1);
        let top = logs.max_dim(1);
        let masses: Vec<Tensor<2>> = terms
            .iter()
            .map(|(sign, log, _)| (log.clone() - top.clone()).exp() * *sign)
            .collect();
        let sum = Tensor::cat(masses.clone(), 1).sum_dim(1);
        if self.components.iter().any(|component| component.0 < 0.0) {
            let least = sum.clone().min().cast(DType::F64).into_scalar::<f64>();
            if least.is_nan() || least <= 0.0 {
                return Err(DiffusionError::NotFinite(
                    "the perturbed density is not positive at a point: more mass is removed there than there is"
                        .to_owned(),
                ));
            }
        }
        Ok(Pass {
            q: top + sum.clone().log() - self.total.ln(),
            responsibilities: masses
                .into_iter()
                .zip(terms)
                .map(|(mass, (_, _, denoised))| (mass / sum.clone(), denoised))
                .collect(),
        })
    }
}

/// The evaluation of all components at some points.
struct Pass {
    q: Tensor<2>,
    responsibilities: Vec<(Tensor<2>, Tensor<2>)>,
}

impl Pass {
    /// `D = Σ a_c·D_c`.
    fn denoised(&self) -> Tensor<2> {
        let terms = self
            .responsibilities
            .iter()
            .map(|(a, d)| d.clone() * a.clone());
        match terms.reduce(|sum, term| sum + term) {
            Some(sum) => sum,
            None => unreachable!("a mixture has components"),
        }
    }
}

impl Denoiser for Mixture<'_> {
    fn dim(&self) -> usize {
        self.components[0].1.dim()
    }

    fn denoise(&self, x: Tensor<2>, sigma: f64) -> Result<Tensor<2>, DiffusionError> {
        Ok(self.pass(&x, sigma)?.denoised().cast(x.dtype()))
    }

    fn jvp(
        &self,
        x: Tensor<2>,
        sigma: f64,
        tangents: Tensor<3>,
    ) -> Result<(Tensor<2>, Tensor<3>), DiffusionError> {
        check_tangents(&x, &tangents)?;
        let (pass, dtype) = (self.pass(&x, sigma)?, x.dtype());
        let denoised = pass.denoised().cast(dtype);
        let mut sum = tangents.zeros_like();
        let components = self.components.iter().filter(|c| c.0 != 0.0);
        for ((_, measure), (a, d)) in components.zip(pass.responsibilities) {
            // a_c·[J_c·v + (D_c − D)·⟨D_c − D, v⟩/σ²]
            let (_, within) = measure.jvp(x.clone(), sigma, tangents.clone())?;
            let (a, d) = (a.cast(dtype), d.cast(dtype));
            let shift = (d - denoised.clone()).unsqueeze_dim::<3>(0);
            let along = (shift.clone() * tangents.clone()).sum_dim(2);
            let between = shift * along / (sigma * sigma);
            sum = sum + (within + between) * a.unsqueeze_dim::<3>(0);
        }
        Ok((denoised, sum))
    }

    symmetric_vjp!();
}

impl Measure for Mixture<'_> {
    fn log_density(&self, x: Tensor<2>, sigma: f64) -> Result<Tensor<1>, DiffusionError> {
        Ok(self.evaluate(x, sigma)?.0)
    }

    fn evaluate(&self, x: Tensor<2>, sigma: f64) -> Result<(Tensor<1>, Tensor<2>), DiffusionError> {
        let pass = self.pass(&x, sigma)?;
        Ok((pass.q.clone().squeeze_dim::<1>(1), pass.denoised()))
    }
}
