//! Samples of a model and their change through its weights, batch by batch.

use std::ops::Range;
use std::time::Instant;

use burn::tensor::{Device, Tensor};
use burn_jvp::ParameterTangents;
use datasway_diffusion::DiffusionError;
use datasway_diffusion::sampler::FrozenNoise;

use super::inverse::CurvatureSolution;
use super::moved_weights::SampleBatch;
use super::solve::Learner;
use super::step_parts::weight_step_parts;
use super::tangent::sample_with_weight_tangents;
use super::weight_change::{ChangedGroups, WeightChange};
use crate::config::SensitivityConfig;
use crate::sensitivities::{Sensitivities, TimeBreakdown};
use crate::tensors::{finite_samples, layer, values};
use crate::trajectory::tangent::Evaluations;

impl Learner<'_> {
    /// Draws the samples of `config` and predicts their change by every group. Of the options those of samples, sampler and seed
    /// have an effect; no densities are compared.
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
        groups: &ChangedGroups<'_>,
        config: &SensitivityConfig,
        device: &Device,
        progress: &mut dyn FnMut(f64),
    ) -> Result<(Sensitivities, CurvatureSolution), DiffusionError> {
        check_counts(config)?;
        let started = Instant::now();
        let (k, solving) = (groups.count(), self.weight_change_work(groups));
        let total = (solving + config.samples * evaluations(config) * k) as f64;
        let mut done = 0;
        let mut advance = |work: usize| {
            done += work;
            progress(done as f64 / total);
        };
        let change = self.weight_change(groups, config, device, &mut advance)?;
        let solved = started.elapsed().as_secs_f64();
        // The solver stops as early as it can.
        let mut done = solving;
        let mut advance = |work: usize| {
            done += work;
            progress(done as f64 / total);
        };
        let samples = 0..config.samples;
        let mut results =
            self.sensitivities_along(&change, config, samples, device, &mut advance)?;
        results.cost.total += solved;
        Ok((results, change.solution))
    }

    /// Draws some of the samples of `config` and predicts their change relative to the mass of each group. A range of whole batches
    /// has the numbers that it has among all samples.
    ///
    /// Without masses it is δ, with `dθ/dη` propagated through the sampler. With masses it is the
    /// difference to the samples of the moved weights, `(x(θ + η·θ') − x(θ))/η`.
    ///
    /// `progress` receives the evaluations of each batch, times K.
    ///
    /// # Errors
    /// If there is no sample or no batch, the parts of the steps are asked for with masses, or the model fails.
    pub fn sensitivities_along(
        &self,
        change: &WeightChange,
        config: &SensitivityConfig,
        samples: Range<usize>,
        device: &Device,
        progress: &mut dyn FnMut(usize),
    ) -> Result<Sensitivities, DiffusionError> {
        check_counts(config)?;
        if config.by_step && change.masses.is_some() {
            return Err(DiffusionError::Invalid(
                "the parts of the steps are those of a derivative: leave out the mass of the groups"
                    .to_owned(),
            ));
        }
        let started = Instant::now();
        let (k, evaluations) = (change.solution.solutions.k(), evaluations(config));
        let mut results = empty(self.model.dim(), change, config);
        for first in samples.clone().step_by(config.batch) {
            let count = config.batch.min(samples.end - first);
            let noise = FrozenNoise::new(config.seed).starting_at(first as u64);
            let start = config.start.rows(&noise, [count, results.dim], device)?;
            let batch = SampleBatch {
                config,
                noise,
                start,
            };
            results.noise.extend(values(batch.start.clone())?);
            match &change.masses {
                None => self.append_tangents(&mut results, change, &batch)?,
                Some(masses) => {
                    let changes = (&change.solution.solutions, &masses[..]);
                    let (drawn, differences) = self.differences(changes, &batch)?;
                    results.samples.extend(drawn);
                    for (deltas, difference) in results.deltas.iter_mut().zip(differences) {
                        deltas.extend(difference);
                    }
                }
            }
            progress(count * evaluations * k);
        }
        let seconds = started.elapsed().as_secs_f64();
        let noises = change.noise.as_ref().map_or(0, ParameterTangents::k);
        let [path, tangent] = match change.masses {
            None => [evaluations, evaluations * (k + noises)],
            Some(_) => [evaluations * (1 + k), 0],
        };
        results.cost = TimeBreakdown {
            evaluations: Evaluations {
                path,
                tangent,
                ..Evaluations::default()
            },
            total: seconds,
            tangent: seconds,
            ..TimeBreakdown::default()
        };
        Ok(results)
    }

    /// Appends a batch of samples with their tangents along the derivative of the weights.
    fn append_tangents(
        &self,
        results: &mut Sensitivities,
        change: &WeightChange,
        batch: &SampleBatch<'_>,
    ) -> Result<(), DiffusionError> {
        let SampleBatch {
            config,
            noise,
            start,
        } = batch;
        let solutions = &change.solution.solutions;
        let tangents = [Some(solutions.clone()), change.noise.clone()];
        let tangents: Vec<ParameterTangents> = tangents.into_iter().flatten().collect();
        let (drawn, delta) = sample_with_weight_tangents(
            self.model,
            &ParameterTangents::concat(&tangents),
            &config.sampler,
            &config.sigmas,
            start.clone(),
            noise,
        )?;
        let k = solutions.k();
        if let Some(draw_noise) = &mut results.draw_noise {
            for (j, norms) in draw_noise.iter_mut().enumerate() {
                norms.extend(values(row_norms(layer(&delta, k + j)))?);
            }
        }
        let delta = delta.slice_dim(0, 0..k);
        if let Some(rows) = &mut results.step_parts {
            let parts = weight_step_parts(
                self.model,
                solutions,
                &config.sampler,
                &config.sigmas,
                start.clone(),
                noise,
                delta.clone(),
            )?;
            for (j, rows) in rows.iter_mut().enumerate() {
                rows.extend(values(layer(&parts, j).transpose())?);
            }
        }
        results
            .samples
            .extend(finite_samples(drawn, noise.first as usize)?);
        for (j, deltas) in results.deltas.iter_mut().enumerate() {
            deltas.extend(values(layer(&delta, j))?);
        }
        Ok(())
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
fn empty(d: usize, change: &WeightChange, config: &SensitivityConfig) -> Sensitivities {
    let lists = || vec![Vec::new(); change.solution.solutions.k()];
    Sensitivities {
        dim: d,
        noise: Vec::new(),
        samples: Vec::new(),
        deltas: lists(),
        draw_noise: change.noise.as_ref().map(|_| lists()),
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
