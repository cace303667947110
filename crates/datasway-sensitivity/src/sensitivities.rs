//! Samples of a model and their sensitivities to several directions, batch by batch.

use std::time::Instant;

use burn::tensor::{DType, Device, Tensor};
use datasway_diffusion::DiffusionError;
use datasway_diffusion::denoiser::Denoiser;
use datasway_diffusion::sampler::{FrozenNoise, Sampler};

use crate::density::{Cutoff, DensityEstimator};
use crate::measure::{Empirical, Measure};
use crate::trajectory::second_order::trust_radius;
use crate::trajectory::tangent::{Evaluations, TangentSolver};

/// What is computed, apart from the model and the directions.
#[derive(Debug, Clone)]
pub struct SensitivityConfig {
    /// Samples to draw.
    pub samples: usize,
    /// Samples propagated together; results do not depend on it beyond rounding.
    pub batch: usize,
    /// The sampler.
    pub sampler: Sampler,
    /// Its noise levels, ending with 0.
    pub sigmas: Vec<f64>,
    /// How log p^ρ is estimated.
    pub density: DensityEstimator,
    /// Noise level below which the directions move nothing; 0 for none.
    pub cutoff: f64,
    /// Seed of starting noise and fresh noise.
    pub seed: u64,
    /// Whether the second derivatives γ are carried too, which tell how far δ can be trusted.
    pub curvature: bool,
    /// The whole training set ρ, for the zero check [`Sensitivities::residuals`]; none to leave the check out.
    pub whole: Option<Empirical>,
}

/// Samples, sensitivities and log-densities on the CPU, in f32.
#[derive(Debug, Clone, PartialEq)]
pub struct Sensitivities {
    /// Entries of one sample, d.
    pub dim: usize,
    /// Unit starting noise, `[n, d]`.
    pub noise: Vec<f32>,
    /// The samples, `[n, d]`.
    pub samples: Vec<f32>,
    /// `δ = dx₀/dη` for each direction, each `[n, d]`.
    pub deltas: Vec<Vec<f32>>,
    /// `γ = d²x₀/dη²` for each direction, each `[n, d]`; none if they were not asked for.
    pub curvatures: Option<Vec<Vec<f32>>>,
    /// δ with the whole training set as direction, `[n, d]`; none if it was not asked for. More of the same data changes
    /// nothing, so it should be 0. What it is instead is the model's own error `D^ρ − D`, which is in every δ. Where ρ
    /// and D of the comparison are one measure it is 0 identically and costs nothing.
    pub residuals: Option<Vec<f32>>,
    /// Noise level at the start of each step, S in all.
    pub sigmas: Vec<f32>,
    /// `q^ρ = log p^ρ + (d/2)·log 2πσ²` there, `[n, S]`.
    pub log_density: Vec<f32>,
    /// `log r` there for each direction, each `[n, S]`.
    pub log_ratios: Vec<Vec<f32>>,
    /// Standard deviation of `log_density` over the choice of probes, `[n, S]`; none if it cannot be told.
    pub log_density_deviation: Option<Vec<f32>>,
    /// What it cost.
    pub cost: Cost,
}

/// Network evaluations for each sample, and seconds in all.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Cost {
    /// Evaluations of the network and products with its Jacobian, for each sample.
    pub evaluations: Evaluations,
    /// Wall time of everything, in seconds.
    pub total: f64,
    /// Of it, the time of the samples alone: evaluations times the time of one, measured on the first batch.
    pub path: f64,
    /// Of it, the extra time for the products with the Jacobian that the log-density needs.
    pub density: f64,
    /// Of it, the extra time for the products with the Jacobian that the sensitivities need.
    pub tangent: f64,
    /// Of it, the extra time for their second derivatives.
    pub curvature: f64,
}

impl Sensitivities {
    /// Number of samples.
    pub fn count(&self) -> usize {
        self.samples.len() / self.dim
    }

    /// Sensitivity of a sample to a direction, d entries.
    pub fn delta(&self, direction: usize, sample: usize) -> &[f32] {
        &self.deltas[direction][sample * self.dim..(sample + 1) * self.dim]
    }

    /// `‖δ(ρ)‖` of a sample, its own zero check; none if it was not asked for.
    pub fn residual(&self, sample: usize) -> Option<f64> {
        let residuals = self.residuals.as_ref()?;
        Some(norm(&residuals[sample * self.dim..(sample + 1) * self.dim]))
    }

    /// The largest |η| up to which a sample's sensitivity to a direction is trusted; none without γ.
    pub fn trust_radius(&self, direction: usize, sample: usize) -> Option<f64> {
        let gamma = &self.curvatures.as_ref()?[direction];
        let wide = |row: &[f32]| row.iter().map(|v| f64::from(*v)).collect::<Vec<f64>>();
        let gamma = wide(&gamma[sample * self.dim..(sample + 1) * self.dim]);
        Some(trust_radius(&wide(self.delta(direction, sample)), &gamma))
    }

    /// `log r` of a sample along its path.
    pub fn log_ratio(&self, direction: usize, sample: usize) -> &[f32] {
        let steps = self.sigmas.len();
        &self.log_ratios[direction][sample * steps..(sample + 1) * steps]
    }
}

/// Samples of a batch, `[n, d]`, if all of them are finite.
///
/// # Errors
/// [`DiffusionError::NotFinite`] that names the first that is not.
pub(crate) fn finite_samples(
    samples: Vec<f32>,
    d: usize,
    first: usize,
) -> Result<Vec<f32>, DiffusionError> {
    match samples.iter().position(|value| !value.is_finite()) {
        None => Ok(samples),
        Some(at) => Err(DiffusionError::NotFinite(format!(
            "sample {} is not finite: the model diverged when it was trained, or the sampler's noise levels are beyond those that \
             it was trained on",
            first + at / d
        ))),
    }
}

/// The length of a row.
pub(crate) fn norm(row: &[f32]) -> f64 {
    let squares = row.iter().map(|v| f64::from(*v).powi(2));
    squares.sum::<f64>().sqrt()
}

/// Draws the samples of `settings` and propagates their sensitivities to every direction.
///
/// `progress` is told the number of samples that each batch adds.
///
/// # Errors
/// If there is nothing to do, shapes do not fit, the density cannot follow the sampler, or the model
/// fails.
pub fn compute(
    model: &dyn Denoiser,
    directions: &[&dyn Measure],
    settings: &SensitivityConfig,
    device: &Device,
    mut progress: impl FnMut(usize),
) -> Result<Sensitivities, DiffusionError> {
    if settings.samples == 0 || settings.batch == 0 {
        return Err(DiffusionError::Invalid(
            "the number of samples and the batch must be at least 1".to_owned(),
        ));
    }
    let started = Instant::now();
    let d = model.dim();
    // A comparison that brings its own D compares ρ with itself: δ(ρ) = 0 without computing it.
    let whole = match &settings.density {
        DensityEstimator::Smoothed(_) => None,
        DensityEstimator::ProbabilityFlow { .. } | DensityEstimator::Empirical(_) => {
            settings.whole.as_ref()
        }
    };
    let count = directions.len();
    let whole_measure = whole.map(|whole| whole as &dyn Measure);
    let measures: Vec<&dyn Measure> = directions.iter().copied().chain(whole_measure).collect();
    let mut all = Sensitivities {
        dim: d,
        noise: Vec::new(),
        samples: Vec::new(),
        deltas: vec![Vec::new(); count],
        curvatures: settings.curvature.then(|| vec![Vec::new(); count]),
        residuals: settings.whole.as_ref().map(|_| Vec::new()),
        sigmas: Vec::new(),
        log_density: Vec::new(),
        log_ratios: vec![Vec::new(); count],
        log_density_deviation: None,
        cost: Cost::default(),
    };
    for first in (0..settings.samples).step_by(settings.batch) {
        let n = settings.batch.min(settings.samples - first);
        let noise = FrozenNoise::new(settings.seed).starting_at(first as u64);
        let x = noise.start([n, d], device, DType::F32);
        let density = Cutoff {
            density: settings.density.starting_at(first as u64),
            sigma: settings.cutoff,
        };
        let path = TangentSolver {
            model,
            directions: &measures,
            density: &density,
            sampler: &settings.sampler,
            sigmas: &settings.sigmas,
            noise: &noise,
            curvatures: match settings.curvature {
                true => count,
                false => 0,
            },
        };
        let path = path.sample_with_tangents(x.clone())?;
        if first == 0 {
            all.cost = split(model, &x, settings.sigmas[0], path.evaluations)?;
            all.sigmas = path.sigmas.iter().map(|sigma| *sigma as f32).collect();
        }
        all.noise.extend(values(x)?);
        all.samples
            .extend(finite_samples(values(path.samples)?, d, first)?);
        all.log_density
            .extend(values(path.log_density.transpose())?);
        let part =
            |stack: &Tensor<3>, k: usize| stack.clone().slice_dim(0, k..k + 1).squeeze_dim::<2>(0);
        if let Some(residuals) = &mut all.residuals {
            match whole {
                Some(_) => residuals.extend(values(part(&path.sensitivities, count))?),
                None => residuals.resize(residuals.len() + n * d, 0.0),
            }
        }
        for k in 0..count {
            all.deltas[k].extend(values(part(&path.sensitivities, k))?);
            if let (Some(all), Some(gamma)) = (&mut all.curvatures, &path.curvatures) {
                all[k].extend(values(part(gamma, k))?);
            }
            all.log_ratios[k].extend(values(part(&path.log_ratio, k).transpose())?);
        }
        if let Some(variance) = path.log_density_variance {
            let deviations = all.log_density_deviation.get_or_insert_default();
            deviations.extend(values(variance.sqrt().transpose())?);
        }
        progress(n);
    }
    let batches = settings.samples as f64 / settings.batch.min(settings.samples) as f64;
    all.cost.path *= batches;
    all.cost.density *= batches;
    all.cost.tangent *= batches;
    all.cost.curvature *= batches;
    all.cost.total = started.elapsed().as_secs_f64();
    Ok(all)
}

/// The network's time in one batch: the time of one denoised batch and of one with its products,
/// each times the evaluations, the products shared out by their number.
fn split(
    model: &dyn Denoiser,
    x: &Tensor<2>,
    sigma: f64,
    evaluations: Evaluations,
) -> Result<Cost, DiffusionError> {
    let [n, d] = x.dims();
    let products = (evaluations.tangent + evaluations.density) / evaluations.path.max(1);
    let tangents = x.clone().unsqueeze_dim::<3>(0).expand([products, n, d]);
    let time = |work: &dyn Fn() -> Result<Tensor<2>, DiffusionError>| {
        let started = Instant::now();
        values(work()?)?;
        Ok::<f64, DiffusionError>(started.elapsed().as_secs_f64())
    };
    let plain = time(&|| model.denoise(x.clone(), sigma))?;
    let with_products = time(&|| Ok(model.jvp(x.clone(), sigma, tangents.clone())?.0))?;
    let each = (with_products - plain).max(0.0) / products.max(1) as f64;
    Ok(Cost {
        evaluations,
        total: 0.0,
        path: plain * evaluations.path as f64,
        density: each * evaluations.density as f64,
        tangent: each * evaluations.tangent as f64,
        // Two products of three are at points of their own.
        curvature: (each + plain * 2.0 / 3.0) * evaluations.curvature as f64,
    })
}

/// The numbers of a tensor, in f32.
pub(crate) fn values<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>, DiffusionError> {
    let data = tensor.cast(DType::F32).into_data();
    data.try_to_vec::<f32>().map_err(|error| {
        DiffusionError::Unsupported(format!("a tensor could not be read back: {error:?}"))
    })
}
