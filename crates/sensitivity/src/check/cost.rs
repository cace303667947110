//! Time and memory of a model, and of the run that is asked for.

use std::time::Instant;

use anyhow::Result;
use datasway_diffusion::DiffusionError;
use datasway_diffusion::sampler::Sampler;
use datasway_fs::process::{measured, peak_memory};
use datasway_sensitivity::sensitivities;
use datasway_sensitivity::{Direction, SelectedImages, SensitivityConfig, TrainedModel};
use serde::Serialize;

use crate::resolution::resolve;

/// Share of the training images in each change of the data that is tried.
const SHARE_OF_CHANGE: usize = 10;

/// Measured and estimated cost.
#[derive(Serialize)]
pub struct RunCost {
    /// Seconds of one denoised sample, in a batch.
    seconds_per_forward: f64,
    /// Seconds of one denoised sample with its products with J along the changes.
    seconds_with_products: f64,
    /// Seconds of the same with the comparison of densities.
    seconds_per_evaluation: f64,
    /// Seconds before the first sample: the bandwidth.
    seconds_before: f64,
    /// Samples of the run.
    samples: usize,
    /// Changes of the data of the run.
    changes: usize,
    /// Evaluations of the network for each sample of the run.
    evaluations: usize,
    /// Estimated seconds of the run.
    seconds: f64,
    /// Estimated peak memory of the run in bytes; null where the system does not tell.
    memory: Option<u64>,
}

impl RunCost {
    /// The cost of the run of `config` with so many changes of the data, from one evaluation of a batch of it at the noise level
    /// `sigma`. None if the model's output is not finite.
    ///
    /// The memory is the larger of the peak so far, which is that of loading, and of the peak of that evaluation with the results of
    /// all samples.
    ///
    /// # Errors
    /// If the model fails.
    pub fn measure(
        model: &TrainedModel,
        config: &SensitivityConfig,
        sigma: f64,
        changes: usize,
    ) -> Result<Option<Self>> {
        let directions = directions(model, changes)?;
        let trial = SensitivityConfig {
            samples: config.batch.min(config.samples),
            sampler: Sampler::Euler,
            sigmas: vec![sigma, 0.0],
            ..config.clone()
        };
        let loading = peak_memory();
        let (trial, cost) = measured(|| Trial::run(model, &directions, &trial));
        let Some(trial) = trial? else {
            return Ok(None);
        };
        let evaluations = config.sampler.steps(&config.sigmas);
        let evaluations = evaluations.iter().map(|step| step.stages.len()).sum();
        // Noise, samples, zero check and derivatives: in memory, as the arrays of a file, and as the file.
        let results = 3 * 4 * config.samples * (3 + changes) * model.images.shape.dim();
        let per_sample = trial.per_sample;
        Ok(Some(Self {
            seconds_per_forward: per_sample.forward,
            seconds_with_products: per_sample.with_products,
            seconds_per_evaluation: per_sample.evaluation,
            seconds_before: trial.before,
            samples: config.samples,
            changes,
            evaluations,
            seconds: trial.before + per_sample.evaluation * (config.samples * evaluations) as f64,
            memory: cost.peak.map(|peak| {
                let running = peak + results as u64;
                loading.map_or(running, |loading| loading.max(running))
            }),
        }))
    }

    /// The cost in one line.
    pub fn text(&self) -> String {
        let memory = self.memory.map_or(String::new(), |bytes| {
            format!(" and {} MiB of memory", bytes >> 20)
        });
        format!(
            "{:.4} s a sample forward, {:.4} s with {} products with J: {} samples by {} evaluations take about {:.0} s{memory}",
            self.seconds_per_forward,
            self.seconds_with_products,
            self.changes,
            self.samples,
            self.evaluations,
            self.seconds
        )
    }
}

/// Changes of the data: each adds a tenth of the training images.
fn directions(model: &TrainedModel, changes: usize) -> Result<Vec<Direction>> {
    let m = model.images.len();
    let size = (m / SHARE_OF_CHANGE).max(1);
    let direction = |k: usize| {
        let indices: Vec<usize> = (0..size).map(|i| (k + i * m / size) % m).collect();
        let images = model.images.subset(&indices);
        let images = SelectedImages::new("a tenth", &images, true, model.mirrored, &model.device)?;
        Ok(Direction::add(images))
    };
    (0..changes).map(direction).collect()
}

/// The seconds of a trial.
struct Trial {
    before: f64,
    per_sample: SampleSeconds,
}

/// Seconds of one evaluation of a sample in a batch.
struct SampleSeconds {
    forward: f64,
    with_products: f64,
    evaluation: f64,
}

impl Trial {
    /// Runs one batch of one step; none if the output is not finite.
    fn run(
        model: &TrainedModel,
        directions: &[Direction],
        config: &SensitivityConfig,
    ) -> Result<Option<Self>> {
        let started = Instant::now();
        let mut resolved = resolve(model, config)?;
        let before = started.elapsed().as_secs_f64();
        let measures: Vec<_> = directions.iter().map(Direction::measure).collect();
        let samples = resolved.samples;
        let denoiser = model.score_model.denoiser();
        let mut compute = |samples: usize| {
            resolved.samples = samples;
            sensitivities::compute(denoiser, &measures, &resolved, &model.device, |_| ())
        };
        // The first evaluation pays for what the later ones share.
        let results = match compute(1).and_then(|_| compute(samples)) {
            Ok(results) => results,
            Err(DiffusionError::NotFinite(_)) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let cost = results.cost;
        let with_products = cost.path + cost.tangent + cost.density;
        // The total has one evaluation of the path, and one forward and one with products to tell their time.
        let evaluation = (cost.total - cost.path - with_products).max(with_products);
        let per_sample = |seconds: f64| seconds / samples as f64;
        Ok(Some(Self {
            before,
            per_sample: SampleSeconds {
                forward: per_sample(cost.path),
                with_products: per_sample(with_products),
                evaluation: per_sample(evaluation),
            },
        }))
    }
}
