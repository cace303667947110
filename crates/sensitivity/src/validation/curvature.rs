//! The second derivative of a sample in the mass: how soon the first stops telling the truth.
//!
//! With `a = D^ν − D` the perturbed denoiser is `D_η = D + ηr·a/(1 + ηr)`, so on a path that moves by
//! `ηδ + η²γ/2` its second derivative in η is
//!
//! `J·γ + ∂²D[δ, δ] + 2·∂_x(r·a)·δ − 2r²·a`, with `∂_x(r·a)·δ = r·(⟨a, δ⟩/σ²·a + (J^ν − J)·δ)`,
//!
//! as the gradient of log r is `a/σ²`. The coefficients of a sampler's step move γ as they move x and δ. Only
//! `∂²D[δ, δ]` needs more than tangents of first order: a central difference of `J·δ` along δ. Nothing of it needs ρ_η.

use burn::tensor::{DType, Tensor};
use diffusion::DiffusionError;
use diffusion::denoiser::Denoiser;
use diffusion::sampler::add_noise;

use super::problem::{Problem, rows};
use super::statistics::norm;
use crate::density::Density;
use crate::measure::Measure;

/// How samples move with the mass, to second order.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    /// `δ = dx₀/dη` of each sample.
    pub delta: Vec<Vec<f64>>,
    /// `γ = d²x₀/dη²` of each sample.
    pub gamma: Vec<Vec<f64>>,
}

impl Curve {
    /// The mass at which the term of second order is the part `tolerance` of the first, `η²‖γ‖/2 = tolerance·η‖δ‖`,
    /// for each sample.
    pub fn limits(&self, tolerance: f64) -> Vec<f64> {
        let pairs = self.delta.iter().zip(&self.gamma);
        let limit =
            |(delta, gamma): (&Vec<f64>, &Vec<f64>)| 2.0 * tolerance * norm(delta) / norm(gamma);
        pairs.map(limit).collect()
    }
}

/// δ and γ of a problem by a model of ρ and an estimate of its density, which must not bring a denoiser of its own
/// ([`Reference::denoised`](crate::density::Reference)).
///
/// # Errors
/// As [`propagate`](crate::tangent::propagate).
pub fn curve(
    problem: &Problem<'_>,
    model: &dyn Denoiser,
    density: &dyn Density,
) -> Result<Curve, DiffusionError> {
    let steps = problem.sampler.steps(&problem.sigmas);
    density.check(&steps)?;
    let mut x = problem.start.clone() * problem.sigmas[0];
    let (mut delta, mut gamma) = (x.zeros_like(), x.zeros_like());
    let mut path = density.begin(&x, problem.sigmas[0])?;
    for (k, step) in steps.iter().enumerate() {
        x = add_noise(x, step, k, &problem.noise);
        let probes = path.probes(&x, k);
        let (mut points, mut deltas, mut gammas) = (Vec::new(), Vec::new(), Vec::new());
        let (mut denoised, mut firsts, mut seconds) = (Vec::new(), Vec::new(), Vec::new());
        for (j, stage) in step.stages.iter().enumerate() {
            let carried = Tensor::stack::<3>(vec![delta.clone(), gamma.clone()], 0);
            let tangents = match &probes {
                Some(probes) => Tensor::cat(vec![carried, probes.clone()], 0),
                None => carried,
            };
            let (mean, products) = model.jvp(x.clone(), stage.sigma, tangents)?;
            let part = |k: usize| products.clone().slice_dim(0, k..k + 1).squeeze_dim::<2>(0);
            let log_density = path.at(&x, stage.sigma)?.log_density;
            let here = Here {
                x: &x,
                delta: &delta,
                sigma: stage.sigma,
                denoised: &mean,
                j_delta: part(0),
                log_density,
            };
            let (first, second) = here.forcing(model, problem.direction)?;
            firsts.push(part(0) + first);
            seconds.push(part(1) + second);
            let rest = probes.as_ref().map(|_| products.clone().slice_dim(0, 2..));
            path.advance(stage, rest, j + 1 == step.stages.len());
            points.push(x.clone());
            deltas.push(delta.clone());
            gammas.push(gamma.clone());
            denoised.push(mean);
            x = stage.next(&points, &denoised).unwrap_or(x);
            delta = stage.next(&deltas, &firsts).unwrap_or(delta);
            gamma = stage.next(&gammas, &seconds).unwrap_or(gamma);
        }
    }
    Ok(Curve {
        delta: rows(&delta)?,
        gamma: rows(&gamma)?,
    })
}

/// One point of a path, with δ and what is known of ρ there.
struct Here<'a> {
    x: &'a Tensor<2>,
    delta: &'a Tensor<2>,
    sigma: f64,
    denoised: &'a Tensor<2>,
    j_delta: Tensor<2>,
    log_density: Tensor<1>,
}

impl Here<'_> {
    /// `r·a` and `∂²D[δ, δ] + 2·∂_x(r·a)·δ − 2r²·a`.
    fn forcing(
        self,
        model: &dyn Denoiser,
        direction: &dyn Measure,
    ) -> Result<(Tensor<2>, Tensor<2>), DiffusionError> {
        let (q, target) = direction.evaluate(self.x.clone(), self.sigma)?;
        let ratio = (q - self.log_density).exp().unsqueeze_dim::<2>(1);
        let a = target - self.denoised.clone();
        let delta = self.delta;
        let product = |model: &dyn Denoiser, x: Tensor<2>| -> Result<Tensor<2>, DiffusionError> {
            let tangent = delta.clone().unsqueeze_dim::<3>(0);
            Ok(model.jvp(x, self.sigma, tangent)?.1.squeeze_dim::<2>(0))
        };
        let along = (a.clone() * delta.clone()).sum_dim(1) / (self.sigma * self.sigma);
        let spread = product(&direction, self.x.clone())? - self.j_delta;
        let cross = ratio.clone() * (a.clone() * along + spread);

        // To either side by h·‖δ‖, a small part of σ; where δ = 0 so is the difference.
        let reach = match self.x.dtype() {
            DType::F64 => 1e-4,
            _ => 1e-2,
        };
        let length = delta.clone().powi_scalar(2).sum_dim(1).sqrt();
        let h = length.clamp_min(1e-30).recip() * (reach * self.sigma);
        let shift = delta.clone() * h.clone();
        let ahead = product(model, self.x.clone() + shift.clone())?;
        let behind = product(model, self.x.clone() - shift)?;
        let bend = (ahead - behind) / (h * 2.0);
        let second = bend + cross * 2.0 - a.clone() * ratio.clone().powi_scalar(2) * 2.0;
        Ok((a * ratio, second))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::density::ClosedForm;
    use crate::validation::mixtures::{Change, Covariances, Mixture};
    use burn::tensor::Device;
    use diffusion::sampler::{FrozenNoise, Sampler};
    use diffusion::schedule::karras;

    /// γ against `(x_η − 2x + x_−η)/η²`, by samples of the exactly perturbed mixture.
    #[test]
    fn the_second_derivative_is_that_of_the_samples() {
        let device = Device::flex();
        let mixture = Mixture::new(5, Covariances::Unequal, 1);
        let data = mixture.data(&device, DType::F64).expect("ρ");
        let direction = mixture
            .direction(Change::Remove, &device, DType::F64)
            .expect("ν");
        let samplers = [
            Sampler::Heun,
            Sampler::Stochastic {
                s_churn: 8.0,
                s_min: 0.05,
                s_max: 50.0,
                s_noise: 1.003,
            },
        ];
        for sampler in samplers {
            let noise = FrozenNoise::new(3);
            let problem = Problem {
                data: &data,
                direction: &direction,
                sampler,
                sigmas: karras(12, 0.05, 20.0, 7.0),
                start: noise.start([6, 5], &device, DType::F64),
                noise,
            };
            let found = curve(&problem, &data, &ClosedForm(&data)).expect("a curve");
            let at = |mass| rows(&problem.moved(mass).expect("samples")).expect("rows");
            let h = 1e-4;
            let (ahead, middle, behind) = (at(h), at(0.0), at(-h));
            for i in 0..6 {
                let entries = ahead[i].iter().zip(&middle[i]).zip(&behind[i]);
                let second: Vec<f64> = entries
                    .map(|((a, m), b)| (a - 2.0 * m + b) / (h * h))
                    .collect();
                let gap: Vec<f64> = second
                    .iter()
                    .zip(&found.gamma[i])
                    .map(|(a, b)| a - b)
                    .collect();
                let error = norm(&gap) / norm(&second);
                assert!(error < 1e-4, "{sampler:?}, sample {i}: {error:e}");
            }
        }
    }

    #[test]
    fn the_limit_is_where_the_second_order_is_a_tenth_of_the_first() {
        let curve = Curve {
            delta: vec![vec![3.0, 4.0]],
            gamma: vec![vec![0.0, 2.0]],
        };
        // η²·2/2 = 0.1·η·5.
        assert!((curve.limits(0.1)[0] - 0.5).abs() < 1e-12);
    }
}
