//! Samples of a model and their sensitivities through its weights, batch by batch.

use std::ops::Range;
use std::time::Instant;

use burn::tensor::{Device, Tensor};
use burn_jvp::ParameterTangents;
use datasway_diffusion::DiffusionError;
use datasway_diffusion::sampler::FrozenNoise;

use super::draws::DataPoints;
use super::first_samples::FirstSamples;
use super::inverse::CurvatureSolution;
use super::solve::Learner;
use super::step_parts::weight_step_parts;
use super::tangent::sample_with_weight_tangents;
use crate::config::SensitivityConfig;
use crate::sensitivities::{Sensitivities, TimeBreakdown};
use crate::tensors::{finite_samples, layer, values};
use crate::trajectory::tangent::Evaluations;

/// `dθ/dη` of K groups, with which samples in parts of any size are propagated.
#[derive(Debug, Clone)]
pub struct WeightDerivative {
    /// The K derivatives, and the progress of the solver.
    pub solution: CurvatureSolution,
    /// A draw of the error of each; none without [`draw_noise`](super::LearnerConfig::draw_noise).
    pub noise: Option<ParameterTangents>,
}

impl Learner<'_> {
    /// Draws the samples of `config` and propagates `dθ/dη` of every group through the sampler. Of the options those of
    /// samples, sampler and seed have an effect; no densities are compared.
    ///
    /// With [`draw_noise`](super::LearnerConfig::draw_noise), δ is that of the mean of two solutions, and half of their difference gives its noise
    /// ([`halved_weight_tangent`](Self::halved_weight_tangent)).
    ///
    /// `progress` receives the fraction of the work that is done, from 0 to 1.
    ///
    /// # Errors
    /// If there is no sample, no batch or no group, an option is out of its range, or the model fails.
    pub fn sensitivities(
        &self,
        groups: &[&dyn DataPoints],
        config: &SensitivityConfig,
        device: &Device,
        progress: &mut dyn FnMut(f64),
    ) -> Result<(Sensitivities, CurvatureSolution), DiffusionError> {
        check_counts(config)?;
        let started = Instant::now();
        let (k, solving) = (groups.len(), self.weight_derivative_work(groups.len()));
        let total = (solving + config.samples * evaluations(config) * k) as f64;
        let mut done = 0;
        let mut advance = |work: usize| {
            done += work;
            progress(done as f64 / total);
        };
        let derivative = self.weight_derivative(groups, config, device, &mut advance)?;
        let solved = started.elapsed().as_secs_f64();
        // The solver stops as early as it can.
        let mut done = solving;
        let mut advance = |work: usize| {
            done += work;
            progress(done as f64 / total);
        };
        let samples = 0..config.samples;
        let mut results =
            self.sensitivities_along(&derivative, config, samples, device, &mut advance)?;
        results.cost.total += solved;
        Ok((results, derivative.solution))
    }

    /// `dθ/dη` of every group, with a draw of its error if the noise of the draws is measured. It is solved until δ of the first
    /// samples of `config` stands still too.
    ///
    /// `progress` receives the work that is done, of [`weight_derivative_work`](Self::weight_derivative_work) at most.
    ///
    /// # Errors
    /// As [`weight_tangent`](Self::weight_tangent).
    pub fn weight_derivative(
        &self,
        groups: &[&dyn DataPoints],
        config: &SensitivityConfig,
        device: &Device,
        progress: &mut dyn FnMut(usize),
    ) -> Result<WeightDerivative, DiffusionError> {
        let samples = FirstSamples::new(self.model, config, device)?;
        if self.config.draw_noise {
            let halved = self.halved_weight_tangent(groups, Some(&samples), progress)?;
            Ok(WeightDerivative {
                solution: halved.mean,
                noise: Some(halved.noise),
            })
        } else {
            Ok(WeightDerivative {
                solution: self.weight_tangent_for(groups, Some(&samples), progress)?,
                noise: None,
            })
        }
    }

    /// The work of [`weight_derivative`](Self::weight_derivative) for K groups, in the units of its progress.
    pub fn weight_derivative_work(&self, groups: usize) -> usize {
        if self.config.draw_noise {
            self.halved_weight_tangent_work(groups)
        } else {
            self.weight_tangent_work(groups)
        }
    }

    /// Draws some of the samples of `config` and propagates `derivative` through the sampler. A range of whole batches has the
    /// numbers that it has among all samples.
    ///
    /// `progress` receives the evaluations of each batch, times K.
    ///
    /// # Errors
    /// If there is no sample or no batch, or the model fails.
    pub fn sensitivities_along(
        &self,
        derivative: &WeightDerivative,
        config: &SensitivityConfig,
        samples: Range<usize>,
        device: &Device,
        progress: &mut dyn FnMut(usize),
    ) -> Result<Sensitivities, DiffusionError> {
        check_counts(config)?;
        let started = Instant::now();
        let WeightDerivative { solution, noise } = derivative;
        let (k, evaluations) = (solution.solutions.k(), evaluations(config));
        let tangents = [Some(solution.solutions.clone()), noise.clone()];
        let tangents: Vec<ParameterTangents> = tangents.into_iter().flatten().collect();
        let tangents = ParameterTangents::concat(&tangents);
        let mut results = empty(self.model.dim(), derivative, config);
        for first in samples.clone().step_by(config.batch) {
            let count = config.batch.min(samples.end - first);
            let noise = FrozenNoise::new(config.seed).starting_at(first as u64);
            let start = config.start.rows(&noise, [count, results.dim], device)?;
            results.noise.extend(values(start.clone())?);
            let (drawn, delta) = sample_with_weight_tangents(
                self.model,
                &tangents,
                &config.sampler,
                &config.sigmas,
                start.clone(),
                &noise,
            )?;
            if let Some(draw_noise) = &mut results.draw_noise {
                for (j, norms) in draw_noise.iter_mut().enumerate() {
                    norms.extend(values(row_norms(layer(&delta, k + j)))?);
                }
            }
            let delta = delta.slice_dim(0, 0..k);
            if let Some(rows) = &mut results.step_parts {
                let parts = weight_step_parts(
                    self.model,
                    &solution.solutions,
                    &config.sampler,
                    &config.sigmas,
                    start,
                    &noise,
                    delta.clone(),
                )?;
                for (j, rows) in rows.iter_mut().enumerate() {
                    rows.extend(values(layer(&parts, j).transpose())?);
                }
            }
            results.samples.extend(finite_samples(drawn, first)?);
            for (j, deltas) in results.deltas.iter_mut().enumerate() {
                deltas.extend(values(layer(&delta, j))?);
            }
            progress(count * evaluations * k);
        }
        let seconds = started.elapsed().as_secs_f64();
        results.cost = TimeBreakdown {
            evaluations: Evaluations {
                path: evaluations,
                tangent: evaluations * tangents.k(),
                ..Evaluations::default()
            },
            total: seconds,
            tangent: seconds,
            ..TimeBreakdown::default()
        };
        Ok(results)
    }
}

fn check_counts(config: &SensitivityConfig) -> Result<(), DiffusionError> {
    if config.samples == 0 || config.batch == 0 {
        return Err(DiffusionError::Invalid(
            "the number of samples and the batch must be at least 1".to_owned(),
        ));
    }
    Ok(())
}

/// Evaluations of the network for a sample.
fn evaluations(config: &SensitivityConfig) -> usize {
    let steps = config.sampler.steps(&config.sigmas);
    steps.iter().map(|step| step.stages.len()).sum()
}

/// Results of no samples of d entries.
fn empty(d: usize, derivative: &WeightDerivative, config: &SensitivityConfig) -> Sensitivities {
    let lists = || vec![Vec::new(); derivative.solution.solutions.k()];
    Sensitivities {
        dim: d,
        noise: Vec::new(),
        samples: Vec::new(),
        deltas: lists(),
        draw_noise: derivative.noise.as_ref().map(|_| lists()),
        curvatures: None,
        residuals: None,
        step_parts: config.by_step.then(lists),
        sigmas: step_levels(config),
        log_density: Vec::new(),
        log_ratios: lists(),
        log_density_deviation: None,
        cost: TimeBreakdown::default(),
    }
}

/// The norms of the rows of `[n, d]`, `[n]`.
fn row_norms(rows: Tensor<2>) -> Tensor<1> {
    rows.powi_scalar(2).sum_dim(1).sqrt().squeeze_dim(1)
}

/// The noise level at the start of each step, if the parts of the steps are computed.
fn step_levels(config: &SensitivityConfig) -> Vec<f32> {
    let steps = config.sigmas.len().saturating_sub(1);
    let levels = config.sigmas.iter().take(steps);
    let levels = levels.filter(|_| config.by_step);
    levels.map(|sigma| *sigma as f32).collect()
}
