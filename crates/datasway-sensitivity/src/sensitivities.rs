//! Samples of a model and their sensitivities to several directions, batch by batch.

use std::time::Instant;

use burn::tensor::{Device, Tensor};
use datasway_diffusion::DiffusionError;
use datasway_diffusion::denoiser::Denoiser;

use crate::config::{Batch, ResolvedConfig};
use crate::density::DensityEstimator;
use crate::measure::{Empirical, Measure};
use crate::tensors::{finite_samples, layer, norm, values};
use crate::trajectory::second_order::trust_radius;
use crate::trajectory::tangent::{Evaluations, TangentSolution, TangentSolver};

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
    /// Standard error of δ by the draws of the training loss for each direction, as a norm over the pixels, each `[n]`; none if it
    /// was not asked for, or no loss was drawn.
    pub draw_noise: Option<Vec<Vec<f32>>>,
    /// `γ = d²x₀/dη²` for each direction, each `[n, d]`; none if they were not asked for.
    pub curvatures: Option<Vec<Vec<f32>>>,
    /// δ with the whole training set as direction, `[n, d]`; none if the zero check was not asked for.
    ///
    /// More of the same data changes nothing, so this should be 0. Its size is the model's own error `D^ρ − D`, which
    /// is in every δ. Where ρ and D of the comparison belong to one measure it is 0 identically and costs nothing.
    pub residuals: Option<Vec<f32>>,
    /// Part of each step in `‖δ‖` for each direction, each `[n, S]`, which adds up to it
    /// ([`Trajectory::step_parts`](crate::trajectory::Trajectory::step_parts)); none if they were not asked for.
    pub step_parts: Option<Vec<Vec<f32>>>,
    /// Noise level at the start of each step, S in all. Sensitivities through the weights, which compare no densities, have them
    /// with the parts of the steps only; S = 0 without.
    pub sigmas: Vec<f32>,
    /// `q^ρ = log p^ρ + (d/2)·log 2πσ²` at these levels, `[n, S]`; none where no densities are compared.
    pub log_density: Vec<f32>,
    /// `log r` at these levels for each direction, each `[n, S]`; none where no densities are compared.
    pub log_ratios: Vec<Vec<f32>>,
    /// Standard deviation of `log_density` over the choice of probes, `[n, S]`; none if it cannot be estimated.
    pub log_density_deviation: Option<Vec<f32>>,
    /// Evaluations and time.
    pub cost: TimeBreakdown,
}

/// Network evaluations for each sample, and seconds for all samples.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct TimeBreakdown {
    /// Evaluations of the network and products with its Jacobian, for each sample.
    pub evaluations: Evaluations,
    /// Wall time of the whole computation, in seconds.
    pub total: f64,
    /// Seconds of `total` for the samples alone: evaluations times the time of one, measured on the first batch.
    pub path: f64,
    /// Extra seconds for the products with the Jacobian that the log-density needs.
    pub density: f64,
    /// Extra seconds for the products with the Jacobian that the sensitivities need.
    pub tangent: f64,
    /// Extra seconds for the second derivatives.
    pub curvature: f64,
}

impl TimeBreakdown {
    /// Takes the parts of the first batch for those of every one of `batches`.
    pub fn extend_first_batch(&mut self, batches: f64) {
        for part in [
            &mut self.path,
            &mut self.density,
            &mut self.tangent,
            &mut self.curvature,
        ] {
            *part *= batches;
        }
    }
}

impl Sensitivities {
    /// Number of samples, n.
    pub fn count(&self) -> usize {
        self.samples.len() / self.dim
    }

    /// A sample, d entries.
    pub fn sample(&self, sample: usize) -> &[f32] {
        self.row(&self.samples, sample)
    }

    /// Sensitivity of a sample to a direction, d entries.
    pub fn delta(&self, direction: usize, sample: usize) -> &[f32] {
        self.row(&self.deltas[direction], sample)
    }

    /// `‖δ(ρ)‖` of a sample, its zero check; none if it was not asked for.
    pub fn residual(&self, sample: usize) -> Option<f64> {
        Some(norm(self.row(self.residuals.as_ref()?, sample)))
    }

    /// Standard error of a sample's sensitivity to a direction by the draws of the loss; none if it was not asked for.
    pub fn draw_noise(&self, direction: usize, sample: usize) -> Option<f64> {
        let norms = &self.draw_noise.as_ref()?[direction];
        Some(f64::from(norms[sample]))
    }

    /// The largest |η| up to which a sample's sensitivity to a direction is trusted; none without γ.
    pub fn trust_radius(&self, direction: usize, sample: usize) -> Option<f64> {
        let gamma = self.row(&self.curvatures.as_ref()?[direction], sample);
        let wide = |row: &[f32]| row.iter().map(|v| f64::from(*v)).collect::<Vec<f64>>();
        Some(trust_radius(
            &wide(self.delta(direction, sample)),
            &wide(gamma),
        ))
    }

    /// `log r` of a sample along its path, S numbers; none where no densities are compared.
    pub fn log_ratio(&self, direction: usize, sample: usize) -> &[f32] {
        let steps = self.sigmas.len();
        let ratios = self.log_ratios[direction].get(sample * steps..(sample + 1) * steps);
        ratios.unwrap_or_default()
    }

    /// Parts of the steps in `‖δ‖` of a sample, S numbers; none if they were not asked for.
    pub fn step_parts(&self, direction: usize, sample: usize) -> Option<&[f32]> {
        let steps = self.sigmas.len();
        let parts = &self.step_parts.as_ref()?[direction];
        Some(&parts[sample * steps..(sample + 1) * steps])
    }

    fn row<'a>(&self, rows: &'a [f32], sample: usize) -> &'a [f32] {
        &rows[sample * self.dim..(sample + 1) * self.dim]
    }

    /// Results of no samples for `count` directions of d entries.
    fn empty(dim: usize, count: usize, config: &ResolvedConfig) -> Self {
        Self {
            dim,
            noise: Vec::new(),
            samples: Vec::new(),
            deltas: vec![Vec::new(); count],
            draw_noise: None,
            curvatures: config.curvature.then(|| vec![Vec::new(); count]),
            residuals: config.zero_check.as_ref().map(|_| Vec::new()),
            step_parts: config.by_step.then(|| vec![Vec::new(); count]),
            sigmas: Vec::new(),
            log_density: Vec::new(),
            log_ratios: vec![Vec::new(); count],
            log_density_deviation: None,
            cost: TimeBreakdown::default(),
        }
    }

    /// Appends a batch that started at `noise`. The tangent after those of the directions is that of the zero check.
    fn append(
        &mut self,
        batch: &Batch<'_>,
        noise: Tensor<2>,
        solution: TangentSolution,
    ) -> Result<(), DiffusionError> {
        let (count, added) = (self.deltas.len(), batch.count * self.dim);
        let deltas = solution.sensitivities;
        self.noise.extend(values(noise)?);
        self.samples
            .extend(finite_samples(solution.samples, batch.first)?);
        self.log_density
            .extend(values(solution.log_density.transpose())?);
        if let Some(residuals) = &mut self.residuals {
            if deltas.dims()[0] > count {
                residuals.extend(values(layer(&deltas, count))?);
            } else {
                residuals.resize(residuals.len() + added, 0.0);
            }
        }
        for k in 0..count {
            self.deltas[k].extend(values(layer(&deltas, k))?);
            if let (Some(curvatures), Some(gamma)) = (&mut self.curvatures, &solution.curvatures) {
                curvatures[k].extend(values(layer(gamma, k))?);
            }
            if let (Some(parts), Some(added)) = (&mut self.step_parts, &solution.step_parts) {
                parts[k].extend(values(layer(added, k).transpose())?);
            }
            self.log_ratios[k].extend(values(layer(&solution.log_ratio, k).transpose())?);
        }
        if let Some(variance) = solution.log_density_variance {
            let deviations = self.log_density_deviation.get_or_insert_default();
            deviations.extend(values(variance.sqrt().transpose())?);
        }
        Ok(())
    }
}

/// Draws the samples of `config` and propagates their sensitivities to every direction.
///
/// `progress` receives the number of samples that each batch adds.
///
/// # Errors
/// If there is no sample, no batch or no direction, shapes do not fit, the density cannot follow the sampler, or the
/// model fails.
pub fn compute(
    model: &dyn Denoiser,
    directions: &[&dyn Measure],
    config: &ResolvedConfig,
    device: &Device,
    mut progress: impl FnMut(usize),
) -> Result<Sensitivities, DiffusionError> {
    if config.samples == 0 || config.batch == 0 {
        return Err(DiffusionError::Invalid(
            "the number of samples and the batch must be at least 1".to_owned(),
        ));
    }
    let started = Instant::now();
    let training_set = propagated_zero_check(config).map(|training_set| training_set as _);
    let measures: Vec<&dyn Measure> = directions.iter().copied().chain(training_set).collect();
    let curvatures = if config.curvature {
        directions.len()
    } else {
        0
    };
    let mut results = Sensitivities::empty(model.dim(), directions.len(), config);
    for batch in config.batches() {
        let start = batch.start(model.dim(), device)?;
        let solver = TangentSolver {
            model,
            directions: &measures,
            density: &batch.density,
            sampler: &config.sampler,
            sigmas: &config.sigmas,
            noise: &batch.noise,
            curvatures,
            step_parts: if config.by_step { directions.len() } else { 0 },
        };
        let solution = solver.sample_with_tangents(start.clone())?;
        if batch.first == 0 {
            results.cost = time_breakdown(model, &start, config.sigmas[0], solution.evaluations)?;
        }
        results.sigmas = solution.sigmas.iter().map(|sigma| *sigma as f32).collect();
        results.append(&batch, start, solution)?;
        progress(batch.count);
    }
    let batches = config.samples as f64 / config.batch.min(config.samples) as f64;
    results.cost.extend_first_batch(batches);
    results.cost.total = started.elapsed().as_secs_f64();
    Ok(results)
}

/// The training set as a direction, if its δ has to be computed. A comparison with a D of its own compares ρ with
/// itself, so that δ(ρ) = 0 there.
fn propagated_zero_check(config: &ResolvedConfig) -> Option<&Empirical> {
    match &config.density {
        DensityEstimator::Smoothed(_) => None,
        DensityEstimator::ProbabilityFlow { .. } | DensityEstimator::Empirical(_) => {
            config.zero_check.as_ref()
        }
    }
}

/// The network's time in one batch. The time of one denoised batch and of one with its products is measured; each is
/// multiplied by the evaluations, and the products are shared out by their number.
fn time_breakdown(
    model: &dyn Denoiser,
    x: &Tensor<2>,
    sigma: f64,
    evaluations: Evaluations,
) -> Result<TimeBreakdown, DiffusionError> {
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
    let seconds_per_product = (with_products - plain).max(0.0) / products.max(1) as f64;
    Ok(TimeBreakdown {
        evaluations,
        total: 0.0,
        path: plain * evaluations.path as f64,
        density: seconds_per_product * evaluations.density as f64,
        tangent: seconds_per_product * evaluations.tangent as f64,
        // Two products of three are at points of their own.
        curvature: (seconds_per_product + plain * 2.0 / 3.0) * evaluations.curvature as f64,
    })
}
