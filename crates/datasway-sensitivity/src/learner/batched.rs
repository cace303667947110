//! Samples of a model and their sensitivities through its weights, batch by batch.

use std::time::Instant;

use burn::tensor::Device;
use datasway_diffusion::DiffusionError;
use datasway_diffusion::sampler::FrozenNoise;

use super::draws::DataPoints;
use super::solve::{DampedSolution, Learner};
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
    ) -> Result<(Sensitivities, DampedSolution), DiffusionError> {
        if config.samples == 0 || config.batch == 0 {
            return Err(DiffusionError::Invalid(
                "the number of samples and the batch must be at least 1".to_owned(),
            ));
        }
        let started = Instant::now();
        let steps = config.sampler.steps(&config.sigmas);
        let evaluations: usize = steps.iter().map(|step| step.stages.len()).sum();
        let solving = self.weight_tangent_work(groups.len());
        let total = (solving + config.samples * evaluations * groups.len()) as f64;
        let mut done = 0;
        let solution = self.weight_tangent(groups, &mut |work| {
            done += work;
            progress(done as f64 / total);
        })?;
        let solved = started.elapsed().as_secs_f64();
        let mut results = Sensitivities {
            dim: self.model.dim(),
            noise: Vec::new(),
            samples: Vec::new(),
            deltas: vec![Vec::new(); groups.len()],
            curvatures: None,
            residuals: None,
            step_parts: config.by_step.then(|| vec![Vec::new(); groups.len()]),
            sigmas: step_levels(config),
            log_density: Vec::new(),
            log_ratios: vec![Vec::new(); groups.len()],
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
                &solution.solutions,
                &config.sampler,
                &config.sigmas,
                start.clone(),
                &noise,
            )?;
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
                for (k, rows) in rows.iter_mut().enumerate() {
                    rows.extend(values(layer(&parts, k).transpose())?);
                }
            }
            results.samples.extend(finite_samples(samples, first)?);
            for (k, deltas) in results.deltas.iter_mut().enumerate() {
                deltas.extend(values(layer(&delta, k))?);
            }
            let sampled = (first + count) * evaluations * groups.len();
            progress((solving + sampled) as f64 / total);
        }
        let seconds = started.elapsed().as_secs_f64();
        results.cost = TimeBreakdown {
            evaluations: Evaluations {
                path: evaluations,
                tangent: evaluations * groups.len(),
                ..Evaluations::default()
            },
            total: seconds,
            tangent: seconds - solved,
            ..TimeBreakdown::default()
        };
        Ok((results, solution))
    }
}

/// The noise level at the start of each step, if the parts of the steps are computed.
fn step_levels(config: &SensitivityConfig) -> Vec<f32> {
    let steps = config.sigmas.len().saturating_sub(1);
    let levels = config.sigmas.iter().take(steps);
    let levels = levels.filter(|_| config.by_step);
    levels.map(|sigma| *sigma as f32).collect()
}
