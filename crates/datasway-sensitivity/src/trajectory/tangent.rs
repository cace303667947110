//! The exact tangent of the discrete sampler: how each sample moves with the mass of a direction.
//!
//! For `ρ_η ∝ ρ + ην` the denoiser changes as `∂_ηD = r·(D^ν − D)`, `r = p^ν/p^ρ` (Theorem 3.1 of
//! arXiv 2509.23092 in denoiser form); some densities compare ν with ρ at another noise level and bring a D of their
//! own ([`ReferenceDensity`](crate::density::ReferenceDensity)). Each step of a sampler is linear in x, D and fresh noise, so the table of
//! coefficients that moves x moves `δ = dx/dη` as well, with `J·δ + ∂_ηD` in D's place, the noise left out
//! because it is frozen, and δ = 0 at the start: there the sample is the same noise for every η.
//!
//! **Sign.** Adding the mass η of ν moves a sample by `η·δ`. Removing it, with ν inside ρ, is η < 0 with the
//! same δ: the sample moves by `−|η|·δ`.

use burn::tensor::Tensor;
use datasway_diffusion::denoiser::{Denoiser, check_points};
use datasway_diffusion::sampler::{FrozenNoise, Sampler, add_noise};
use datasway_diffusion::{DiffusionError, schedule};

use crate::density::LogDensity;
use crate::measure::{Measure, widest};
use crate::trajectory::second_order::{second_directional_derivative, second_order_forcing};

/// Samples with their sensitivities to K directions.
#[derive(Debug, Clone)]
pub struct TangentSolution {
    /// The samples at σ = 0, `[n, d]`.
    pub samples: Tensor<2>,
    /// `δ = dx₀/dη` for each direction, `[K, n, d]`. Where the density ratio overflows, δ is not finite:
    /// nothing is clamped.
    pub sensitivities: Tensor<3>,
    /// `γ = d²x₀/dη²` for the directions for which it was asked, `[C, n, d]`; none if for none.
    pub curvatures: Option<Tensor<3>>,
    /// Noise level at the first evaluation of each step, S in all.
    pub sigmas: Vec<f64>,
    /// `q^ρ = log p^ρ + (d/2)·log 2πσ²` at the first evaluation of each step, `[S, n]`.
    pub log_density: Tensor<2>,
    /// `log r` there for each direction, `[K, S, n]`.
    pub log_ratio: Tensor<3>,
    /// Variance of each `log_density` over the choice of probes, `[S, n]`, where it can be told.
    pub log_density_variance: Option<Tensor<2>>,
    /// What it cost.
    pub evaluations: Evaluations,
}

/// Evaluations of the network for each sample.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Evaluations {
    /// Denoised points.
    pub path: usize,
    /// Products with the Jacobian for the log-density; 0 where it is known in closed form.
    pub density: usize,
    /// Products with the Jacobian for δ.
    pub tangent: usize,
    /// Products with the Jacobian for γ, two thirds of them at points of their own beside the path.
    pub curvature: usize,
}

/// What is carried from noise to samples, and how.
#[derive(Clone, Copy)]
pub struct TangentSolver<'a> {
    /// The denoiser of ρ.
    pub model: &'a dyn Denoiser,
    /// Every ν.
    pub directions: &'a [&'a dyn Measure],
    /// log p^ρ.
    pub density: &'a dyn LogDensity,
    /// The sampler.
    pub sampler: &'a Sampler,
    /// Its noise levels, ending with 0.
    pub sigmas: &'a [f64],
    /// Its fresh noise.
    pub noise: &'a FrozenNoise,
    /// Number of directions, the first ones, for which γ is carried beside δ ([`curvature`](crate::trajectory::second_order)).
    pub curvatures: usize,
}

/// Samples `model` from the standard normal `start`, `[n, d]`, and carries along each path the
/// sensitivity to every direction ([`TangentSolver::sample_with_tangents`] without γ).
///
/// # Errors
/// As [`TangentSolver::sample_with_tangents`].
pub fn sample_with_tangents(
    model: &dyn Denoiser,
    directions: &[&dyn Measure],
    density: &dyn LogDensity,
    sampler: &Sampler,
    sigmas: &[f64],
    start: Tensor<2>,
    noise: &FrozenNoise,
) -> Result<TangentSolution, DiffusionError> {
    let path = TangentSolver {
        model,
        directions,
        density,
        sampler,
        sigmas,
        noise,
        curvatures: 0,
    };
    path.sample_with_tangents(start)
}

impl TangentSolver<'_> {
    /// Samples the model from the standard normal `start`, `[n, d]`, and carries along each path the sensitivity
    /// to every direction: K tangents, one primal, one call of [`jvp`](Denoiser::jvp) per evaluation.
    ///
    /// # Errors
    /// If there is no direction, shapes or noise levels do not fit, the density cannot follow the
    /// sampler or brings a denoiser of its own where γ is asked for, or the model fails.
    pub fn sample_with_tangents(
        &self,
        start: Tensor<2>,
    ) -> Result<TangentSolution, DiffusionError> {
        let Self {
            model,
            directions,
            density,
            sampler,
            sigmas,
            noise,
            curvatures,
        } = *self;
        schedule::check(sigmas)?;
        check_points(&start, model.dim())?;
        for direction in directions {
            check_points(&start, direction.dim())?;
        }
        let (count, [n, d]) = (directions.len(), start.dims());
        if count == 0 {
            return Err(DiffusionError::Invalid(
                "sensitivities need at least one direction: give --add or --remove".to_owned(),
            ));
        }
        let steps = sampler.steps(sigmas);
        density.check(&steps)?;

        let mut x = start * sigmas[0];
        let mut delta = Tensor::<3>::zeros([count, n, d], (&x.device(), x.dtype()));
        let curvatures = curvatures.min(count);
        let first = |stack: &Tensor<3>| stack.clone().slice_dim(0, 0..curvatures);
        let mut gamma = (curvatures > 0).then(|| first(&delta));
        let mut path = density.begin(&x, sigmas[0])?;
        let mut evaluations = Evaluations::default();
        let (mut levels, mut log_density, mut log_ratio) = (Vec::new(), Vec::new(), Vec::new());
        let mut variances = Vec::new();

        for (k, step) in steps.iter().enumerate() {
            x = add_noise(x, step, k, noise);
            let probes = path.probes(&x, k);
            let (mut points, mut denoised) = (Vec::new(), Vec::new());
            let (mut deltas, mut changes) = (Vec::new(), Vec::new());
            let (mut gammas, mut second_changes) = (Vec::new(), Vec::new());
            for (j, stage) in step.stages.iter().enumerate() {
                let carried = std::iter::once(&delta).chain(&gamma);
                let tangents: Vec<Tensor<3>> = carried.chain(&probes).cloned().collect();
                let (mean, products) =
                    model.jvp(x.clone(), stage.sigma, Tensor::cat(tangents, 0))?;
                evaluations.path += 1;
                evaluations.tangent += count;
                evaluations.curvature += 3 * curvatures;
                evaluations.density += products.dims()[0] - count - curvatures;
                let j_delta = products.clone().slice_dim(0, 0..count);
                let data = path.at(&x, stage.sigma)?;
                if curvatures > 0 && data.denoised.is_some() {
                    return Err(DiffusionError::Unsupported(
                        "the curvature follows the model's own denoiser: leave the bandwidth out"
                            .to_owned(),
                    ));
                }
                let center = widest(data.denoised.unwrap_or_else(|| mean.clone()));
                let reference = widest(data.log_density);

                let (mut ratios, mut forcings, mut seconds) = (Vec::new(), Vec::new(), Vec::new());
                for (k, direction) in directions.iter().enumerate() {
                    let (q, target) = direction.evaluate(x.clone(), data.sigma)?;
                    // Differences of what is large and nearly alike, so nothing is rounded before them.
                    let a = widest(target) - center.clone();
                    let ratio = widest(q) - reference.clone();
                    let r = ratio.clone().exp().unsqueeze_dim::<2>(1);
                    if k < curvatures && data.weight != 0.0 {
                        let part = |stack: &Tensor<3>| {
                            stack.clone().slice_dim(0, k..k + 1).squeeze_dim::<2>(0)
                        };
                        let (delta, j_delta) = (part(&delta), part(&j_delta));
                        seconds.push(second_order_forcing(
                            *direction,
                            &x,
                            stage.sigma,
                            delta,
                            j_delta,
                            a.clone().cast(x.dtype()),
                            r.clone().cast(x.dtype()),
                        )?);
                    }
                    // Not 0·r: r may have overflowed.
                    forcings.push(match data.weight {
                        0.0 => x.zeros_like(),
                        weight => (a * (r * weight)).cast(x.dtype()),
                    });
                    ratios.push(ratio);
                }
                if j == 0 {
                    levels.push(stage.sigma);
                    log_density.push(reference);
                    variances.extend(path.variance());
                    log_ratio.push(Tensor::stack::<2>(ratios, 0));
                }
                let rest = probes
                    .as_ref()
                    .map(|_| products.clone().slice_dim(0, count + curvatures..));
                path.advance(stage, rest, j + 1 == step.stages.len());

                if let Some(now) = gamma {
                    let mut second = products.slice_dim(0, count..count + curvatures)
                        + second_directional_derivative(model, &x, stage.sigma, &first(&delta))?;
                    if !seconds.is_empty() {
                        second = second + Tensor::stack::<3>(seconds, 0);
                    }
                    gammas.push(now.clone());
                    second_changes.push(second);
                    gamma = Some(stage.next(&gammas, &second_changes).unwrap_or(now));
                }
                points.push(x.clone());
                denoised.push(mean);
                deltas.push(delta.clone());
                changes.push(j_delta + Tensor::stack::<3>(forcings, 0));
                x = stage.next(&points, &denoised).unwrap_or(x);
                delta = stage.next(&deltas, &changes).unwrap_or(delta);
            }
        }
        Ok(TangentSolution {
            samples: x,
            sensitivities: delta,
            curvatures: gamma,
            sigmas: levels,
            log_density: Tensor::stack(log_density, 0),
            log_ratio: Tensor::stack(log_ratio, 1),
            log_density_variance: (!variances.is_empty()).then(|| Tensor::stack(variances, 0)),
            evaluations,
        })
    }
}
