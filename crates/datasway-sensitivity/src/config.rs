//! Options of sensitivities and influences, and the same options resolved for one model.

use burn::tensor::{Device, Tensor};
use datasway_data::{Dataset, PixelMoments};
use datasway_diffusion::sampler::{FrozenNoise, Sampler};
use datasway_diffusion::{DiffusionError, schedule};

use crate::density::{Cutoff, DensityConfig, DensityEstimator, LogDensity};
use crate::measure::Empirical;
use crate::starting_noise::StartingNoise;

/// Options of a computation of sensitivities or influences, without a model.
///
/// The default is that of the command `sensitivity`: 64 samples in one batch, Heun's method with 18 steps, and the
/// smoothed training images as density.
#[derive(Debug, Clone, PartialEq)]
pub struct SensitivityConfig {
    /// Number of samples to draw.
    pub samples: usize,
    /// Samples propagated together; results depend on it by rounding only.
    pub batch: usize,
    /// The sampler.
    pub sampler: Sampler,
    /// Noise levels of the sampler, descending to 0.
    pub sigmas: Vec<f64>,
    /// Estimator of log p^ρ.
    pub density: DensityConfig,
    /// Noise level below which the directions do not change the denoiser; 0 for none.
    pub cutoff: f64,
    /// Seed of the starting noise and the fresh noise.
    pub seed: u64,
    /// Starting noise of the samples.
    pub start: StartingNoise,
    /// Computes the second derivatives γ too, which give the trust radius of δ.
    pub curvature: bool,
    /// Computes the part of each step of the sampler too: of δ by a backward pass, of influences at no cost but memory.
    pub by_step: bool,
    /// Computes the sensitivity to the whole training set too, which should be 0.
    pub zero_check: bool,
}

impl Default for SensitivityConfig {
    fn default() -> Self {
        Self {
            samples: 64,
            batch: 64,
            sampler: Sampler::Heun,
            sigmas: schedule::edm(18),
            density: DensityConfig::default(),
            cutoff: 0.0,
            seed: 0,
            start: StartingNoise::Drawn,
            curvature: false,
            by_step: false,
            zero_check: true,
        }
    }
}

impl SensitivityConfig {
    /// The same options for a model of data with these moments, and the images that it was trained on, with their mirror images if `mirrored`.
    ///
    /// # Errors
    /// If the density's options contradict each other, or the images or their moments make no measure.
    pub fn resolve(
        &self,
        moments: &PixelMoments,
        images: &Dataset,
        mirrored: bool,
        device: &Device,
    ) -> Result<ResolvedConfig, DiffusionError> {
        self.resolve_with_progress(moments, images, mirrored, device, &mut |_| ())
    }

    /// [`resolve`](Self::resolve). `progress` is that of [`Bandwidth::value_with_progress`](crate::density::Bandwidth::value_with_progress).
    ///
    /// # Errors
    /// As [`resolve`](Self::resolve).
    pub fn resolve_with_progress(
        &self,
        moments: &PixelMoments,
        images: &Dataset,
        mirrored: bool,
        device: &Device,
        progress: &mut dyn FnMut(f64),
    ) -> Result<ResolvedConfig, DiffusionError> {
        let training_set = || Empirical::of_images(images, mirrored, device);
        Ok(ResolvedConfig {
            first: 0,
            samples: self.samples,
            batch: self.batch,
            sampler: self.sampler,
            sigmas: self.sigmas.clone(),
            density: (self.density)
                .estimator_with_progress(moments, images, mirrored, device, progress)?,
            cutoff: self.cutoff,
            seed: self.seed,
            start: self.start.clone(),
            curvature: self.curvature,
            by_step: self.by_step,
            zero_check: self.zero_check.then(training_set).transpose()?,
        })
    }
}

/// A [`SensitivityConfig`] with the density and the training images of one model.
#[derive(Debug, Clone)]
pub struct ResolvedConfig {
    /// Index of the first sample: 0, or that of a part of a larger number of samples.
    pub first: usize,
    /// Number of samples to draw.
    pub samples: usize,
    /// Samples propagated together; results depend on it by rounding only.
    pub batch: usize,
    /// The sampler.
    pub sampler: Sampler,
    /// Noise levels of the sampler, descending to 0.
    pub sigmas: Vec<f64>,
    /// Estimator of log p^ρ.
    pub density: DensityEstimator,
    /// Noise level below which the directions do not change the denoiser; 0 for none.
    pub cutoff: f64,
    /// Seed of the starting noise and the fresh noise.
    pub seed: u64,
    /// Starting noise of the samples.
    pub start: StartingNoise,
    /// Computes the second derivatives γ too.
    pub curvature: bool,
    /// Computes the part of each step of the sampler too.
    pub by_step: bool,
    /// The whole training set ρ as a direction, whose δ should be 0; none without that check.
    pub zero_check: Option<Empirical>,
}

/// Samples that are propagated together.
pub struct Batch<'a> {
    /// Index of the first sample.
    pub first: usize,
    /// Number of samples, n.
    pub count: usize,
    /// Noise of these samples.
    pub noise: FrozenNoise,
    start: &'a StartingNoise,
    /// log p^ρ, with probes of these samples.
    pub density: Cutoff<Box<dyn LogDensity + 'a>>,
}

impl Batch<'_> {
    /// The starting noise of these samples of d entries, `[n, d]`.
    ///
    /// # Errors
    /// If given noise is that of fewer samples.
    pub fn start(&self, dim: usize, device: &Device) -> Result<Tensor<2>, DiffusionError> {
        self.start.rows(&self.noise, [self.count, dim], device)
    }
}

impl ResolvedConfig {
    /// The parts of one batch each, in order. Computed one by one they have the bytes of the whole.
    ///
    /// # Panics
    /// If the batch size is 0.
    pub fn parts(&self) -> impl Iterator<Item = Self> {
        let starts = (self.first..self.first + self.samples).step_by(self.batch);
        starts.map(|first| Self {
            first,
            samples: self.batch.min(self.first + self.samples - first),
            ..self.clone()
        })
    }

    /// The batches of all samples, in order. Noise and probes belong to a sample, whatever its batch.
    ///
    /// # Panics
    /// If the batch size is 0.
    pub fn batches(&self) -> impl Iterator<Item = Batch<'_>> {
        let end = self.first + self.samples;
        let starts = (self.first..end).step_by(self.batch);
        starts.map(move |first| Batch {
            first,
            count: self.batch.min(end - first),
            noise: FrozenNoise::new(self.seed).starting_at(first as u64),
            start: &self.start,
            density: Cutoff {
                density: self.density.starting_at(first as u64),
                sigma: self.cutoff,
            },
        })
    }
}
