//! Samples of a model and their sensitivities through its weights, batch by batch.

use std::time::Instant;

use burn::tensor::{Device, Tensor};
use burn_jvp::ParameterTangents;
use datasway_diffusion::DiffusionError;
use datasway_diffusion::sampler::FrozenNoise;

use super::draws::DataPoints;
use super::inverse::CurvatureSolution;
use super::solve::Learner;
use super::step_parts::weight_step_parts;
use super::tangent::sample_with_weight_tangents;
use crate::config::SensitivityConfig;
use crate::sensitivities::{Sensitivities, TimeBreakdown};
use crate::tensors::{finite_samples, layer, values};
use crate::trajectory::tangent::Evaluations;

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
        if config.samples == 0 || config.batch == 0 {
            return Err(DiffusionError::Invalid(
                "the number of samples and the batch must be at least 1".to_owned(),
            ));
        }
        let started = Instant::now();
        let steps = config.sampler.steps(&config.sigmas);
        let evaluations: usize = steps.iter().map(|step| step.stages.len()).sum();
        let k = groups.len();
        let draw_noise = self.config.draw_noise;
        let solving = if draw_noise {
            self.halved_weight_tangent_work(k)
        } else {
            self.weight_tangent_work(k)
        };
        let total = (solving + config.samples * evaluations * k) as f64;
        let mut done = 0;
        let mut advance = |work: usize| {
            done += work;
            progress(done as f64 / total);
        };
        let (solution, noise) = if draw_noise {
            let halved = self.halved_weight_tangent(groups, &mut advance)?;
            (halved.mean, Some(halved.noise))
        } else {
            (self.weight_tangent(groups, &mut advance)?, None)
        };
        let tangents = [Some(solution.solutions.clone()), noise];
        let tangents: Vec<ParameterTangents> = tangents.into_iter().flatten().collect();
        let tangents = ParameterTangents::concat(&tangents);
        let solved = started.elapsed().as_secs_f64();
        let mut results = Sensitivities {
            dim: self.model.dim(),
            noise: Vec::new(),
            samples: Vec::new(),
            deltas: vec![Vec::new(); k],
            draw_noise: draw_noise.then(|| vec![Vec::new(); k]),
            curvatures: None,
            residuals: None,
            step_parts: config.by_step.then(|| vec![Vec::new(); k]),
            sigmas: step_levels(config),
            log_density: Vec::new(),
            log_ratios: vec![Vec::new(); k],
            log_density_deviation: None,
            cost: TimeBreakdown::default(),
        };
        for first in (0..config.samples).step_by(config.batch) {
            let count = config.batch.min(config.samples - first);
            let noise = FrozenNoise::new(config.seed).starting_at(first as u64);
            let start = config.start.rows(&noise, [count, results.dim], device)?;
            results.noise.extend(values(start.clone())?);
            let (samples, delta) = sample_with_weight_tangents(
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
            results.samples.extend(finite_samples(samples, first)?);
            for (j, deltas) in results.deltas.iter_mut().enumerate() {
                deltas.extend(values(layer(&delta, j))?);
            }
            let sampled = (first + count) * evaluations * k;
            progress((solving + sampled) as f64 / total);
        }
        let seconds = started.elapsed().as_secs_f64();
        results.cost = TimeBreakdown {
            evaluations: Evaluations {
                path: evaluations,
                tangent: evaluations * tangents.k(),
                ..Evaluations::default()
            },
            total: seconds,
            tangent: seconds - solved,
            ..TimeBreakdown::default()
        };
        Ok((results, solution))
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
