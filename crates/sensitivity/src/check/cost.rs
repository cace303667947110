//! Time and memory of a model, and of the ranking that is asked for.

use anyhow::Result;
use datasway_diffusion::DiffusionError;
use datasway_diffusion::denoiser::Denoiser;
use datasway_diffusion::sampler::Sampler;
use datasway_fs::process::{measured, peak_memory};
use datasway_fs::{counted, plural};
use datasway_sensitivity::density::DensityEstimator;
use datasway_sensitivity::sensitivities;
use datasway_sensitivity::{
    CLIPPED_SAMPLES, Direction, SelectedImages, SensitivityConfig, TrainedModel,
};
use serde::Serialize;

use super::peaks::Peaks;
use super::plan::duration;
use super::progress::CheckProgress;

/// Share of the training images in each change of the data that is tried.
const SHARE_OF_CHANGE: usize = 10;

/// Measured and estimated cost.
#[derive(Serialize)]
pub struct RunCost {
    /// Seconds of one denoised sample, in a batch.
    seconds_per_forward: f64,
    /// Seconds of one denoised sample with its products with J along the changes.
    seconds_with_products: f64,
    /// Samples that were computed together to measure this.
    measured_batch: usize,
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
    /// The bandwidth that was chosen; none where the density is not blurred.
    #[serde(skip)]
    bandwidth: Option<f64>,
    /// Peak memory of loading the model in bytes; none where the system does not tell.
    #[serde(skip)]
    peak_of_loading: Option<u64>,
}

/// The place of the step that is measured.
pub struct TrialPlace<'a> {
    /// The model's denoiser, which moves the bar.
    pub denoiser: &'a dyn Denoiser,
    /// The noise level of the step.
    pub sigma: f64,
    /// The bar.
    pub progress: &'a CheckProgress,
}

impl RunCost {
    /// The cost of the run of `config` with so many changes of the data, from one evaluation of `batch` of its samples. None if
    /// the model's output is not finite.
    ///
    /// The memory is the larger of the peak so far, which is that of loading, and of the peak of that evaluation with the results of
    /// all samples. Where `batch` is below the run's, what each sample adds to the peak is that from one sample to `batch`.
    ///
    /// # Errors
    /// If the model fails.
    pub fn measure(
        model: &TrainedModel,
        config: &SensitivityConfig,
        place: &TrialPlace<'_>,
        [batch, changes]: [usize; 2],
    ) -> Result<Option<Self>> {
        let directions = directions(model, changes)?;
        let trial = SensitivityConfig {
            samples: batch,
            sampler: Sampler::Euler,
            sigmas: vec![place.sigma, 0.0],
            ..config.clone()
        };
        let loading = peak_memory();
        let Some(trial) = Trial::run(model, &directions, &trial, place)? else {
            return Ok(None);
        };
        let evaluations = config.sampler.steps(&config.sigmas);
        let evaluations = evaluations.iter().map(|step| step.stages.len()).sum();
        // Noise, samples, zero check and derivatives: in memory, as the arrays of a file, and as the file.
        let results = 3 * 4 * config.samples * (3 + changes) * model.images.shape.dim();
        let per_sample = trial.per_sample;
        let path = per_sample.evaluation * (config.samples * evaluations) as f64;
        let run_batch = config.batch.min(config.samples);
        let mut cost = Self {
            seconds_per_forward: per_sample.forward,
            seconds_with_products: per_sample.with_products,
            measured_batch: batch,
            seconds_per_evaluation: per_sample.evaluation,
            seconds_before: trial.before,
            samples: config.samples,
            changes,
            evaluations,
            seconds: path,
            bandwidth: trial.bandwidth,
            peak_of_loading: loading,
            memory: trial.peak(run_batch).map(|peak| {
                let running = peak + results as u64;
                loading.map_or(running, |loading| loading.max(running))
            }),
        };
        cost.seconds += cost.seconds_beside_samples(model, config);
        Ok(Some(cost))
    }

    /// Seconds of the bandwidth, and of the samples with clamped denoised images.
    pub fn seconds_beside_samples(&self, model: &TrainedModel, config: &SensitivityConfig) -> f64 {
        let clipped = CLIPPED_SAMPLES.min(config.samples) * self.evaluations;
        let clipped = (model.clip).map_or(0.0, |_| self.seconds_per_forward * clipped as f64);
        self.seconds_before + clipped
    }

    /// Evaluations of the network for each sample of the run.
    pub fn evaluations(&self) -> usize {
        self.evaluations
    }

    /// Peak memory of loading the model in bytes; none where the system does not tell.
    pub fn peak_of_loading(&self) -> Option<u64> {
        self.peak_of_loading
    }

    /// The bandwidth that was chosen; none where the density is not blurred.
    pub fn bandwidth(&self) -> Option<f64> {
        self.bandwidth
    }

    /// Seconds of an evaluation of one sample in a batch, and of the comparison of densities that goes with it.
    pub fn seconds_per_evaluation(&self) -> [f64; 2] {
        let comparison = self.seconds_per_evaluation - self.seconds_with_products;
        [self.seconds_per_forward, comparison.max(0.0)]
    }

    /// The cost in one line.
    pub fn text(&self) -> String {
        let memory = self.memory.map_or(String::new(), |bytes| {
            format!(" and {} MiB of memory", bytes >> 20)
        });
        format!(
            "ranking: {:.4} s a sample forward, {:.4} s with {}: {} by {} take about {}{memory}",
            self.seconds_per_forward,
            self.seconds_with_products,
            counted(self.changes, "product with J", "products with J"),
            plural(self.samples, "sample"),
            plural(self.evaluations, "evaluation"),
            duration(self.seconds)
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
        let members = Some(model.image_points().indices_of(&indices));
        let images =
            SelectedImages::new("a tenth", &images, members, model.mirrored, &model.device)?;
        Ok(Direction::add(images))
    };
    (0..changes).map(direction).collect()
}

/// The seconds of a trial.
struct Trial {
    before: f64,
    bandwidth: Option<f64>,
    per_sample: SampleSeconds,
    /// Peak of the choice of the bandwidth, in bytes; none where the system does not tell.
    peak_before: Option<u64>,
    peaks: Peaks,
}

/// Seconds of one evaluation of a sample in a batch.
#[derive(Clone, Copy)]
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
        place: &TrialPlace<'_>,
    ) -> Result<Option<Self>> {
        let mut tell = |done: f64| {
            let percent = 100.0 * done;
            (place.progress).note(format!("choosing the bandwidth, {percent:.0} %"));
        };
        let (resolved, choice) = measured(|| model.resolve_with_progress(config, &mut tell));
        let mut resolved = resolved?;
        place.progress.note("a step of the run".to_owned());
        let measures: Vec<_> = directions.iter().map(Direction::measure).collect();
        let samples = resolved.samples;
        let mut compute = |samples: usize| {
            resolved.samples = samples;
            sensitivities::compute(place.denoiser, &measures, &resolved, &model.device, |_| ())
        };
        // The first evaluation pays for what the later ones share.
        let (first, alone) = measured(|| compute(1));
        let (results, together) = measured(|| first.and_then(|_| compute(samples)));
        let results = match results {
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
            before: choice.seconds,
            bandwidth: match &resolved.density {
                DensityEstimator::Smoothed(smoothed) => Some(smoothed.bandwidth),
                DensityEstimator::Empirical(_) | DensityEstimator::ProbabilityFlow { .. } => None,
            },
            per_sample: SampleSeconds {
                forward: per_sample(cost.path),
                with_products: per_sample(with_products),
                evaluation: per_sample(evaluation),
            },
            peak_before: choice.peak,
            peaks: Peaks::new(alone, together, samples),
        }))
    }

    /// The estimated peak with a batch of so many samples, at least that of the trial.
    fn peak(&self, batch: usize) -> Option<u64> {
        Some(self.peaks.with_batch(batch)?.max(self.peak_before?))
    }
}
