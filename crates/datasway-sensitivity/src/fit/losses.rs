//! Denoising losses of a model, of the best linear denoiser and of the blurred training images.

use burn::tensor::{DType, Device, Tensor};
use datasway_data::{Dataset, PixelMoments};
use datasway_diffusion::DiffusionError;
use datasway_diffusion::denoiser::Denoiser;
use datasway_diffusion::random::{RandomStream, generator, normal};

use super::linear::{Linear, LinearKind, measured_images};
use crate::density::{Bandwidth, Smoothed};
use crate::measure::{Empirical, ImagePoints};

/// Factors of the noise level that the model is told.
const FACTORS: [f64; 5] = [0.25, 0.5, 1.0, 2.0, 4.0];

/// Options of [`References::measure`].
#[derive(Debug, Clone, PartialEq)]
pub struct FitOptions {
    /// Noise levels, ascending.
    pub sigmas: Vec<f64>,
    /// Images that are denoised together.
    pub batch: usize,
    /// Seed of the noise.
    pub seed: u64,
}

impl FitOptions {
    /// Evaluations of the network for each image, with those of another set of weights if `has_other`.
    pub fn evaluations(&self, has_other: bool) -> usize {
        self.sigmas.len() * (1 + usize::from(has_other)) + FACTORS.len()
    }
}

/// The losses at one noise level.
#[derive(Debug, Clone, PartialEq)]
pub struct LevelLoss {
    /// Noise level.
    pub sigma: f64,
    /// Loss of the model.
    pub model: f64,
    /// Loss of the best linear denoiser, that of a Gaussian.
    pub linear: f64,
    /// Loss of the blurred training images, with which `sensitivity` compares directions. They are data of their own, so their
    /// denoiser is no good one of the images themselves where the blur is wide.
    pub blurred: f64,
    /// Loss of another set of weights.
    pub other: Option<f64>,
}

/// A model's denoising losses on its data.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelFit {
    /// The losses at each noise level, ascending.
    pub levels: Vec<LevelLoss>,
    /// Root mean square deviation of a pixel from its mean, s.
    pub data_scale: f64,
    /// Loss at noise level s where the model is told another one: pairs of the factor and the loss.
    pub told: Vec<(f64, f64)>,
    /// The second moments that the linear denoiser has.
    pub linear: LinearKind,
    /// Bandwidth of the blurred training images.
    pub bandwidth: f64,
    /// Images whose loss was measured.
    pub images: usize,
}

/// `count` noise levels of a range at equal ratios, and s/2, s, 2s, 4s and 8s for data of scale s where they are in the range.
pub fn sigma_grid([low, high]: [f64; 2], scale: f64, count: usize) -> Vec<f64> {
    let ratio = (high / low).powf(1.0 / count.saturating_sub(1).max(1) as f64);
    let mut sigmas: Vec<f64> = (0..count).map(|i| low * ratio.powi(i as i32)).collect();
    let around = [0.5, 1.0, 2.0, 4.0, 8.0].map(|factor| factor * scale);
    sigmas.extend(around.iter().filter(|s| (low..=high).contains(*s)));
    sigmas.sort_by(f64::total_cmp);
    sigmas
}

/// The root mean square deviation of a pixel from its mean over the images.
pub fn data_scale(images: &Dataset) -> f64 {
    let variance = PixelMoments::of(images, false).variance;
    let mean = variance.iter().map(|v| f64::from(*v)).sum::<f64>() / variance.len().max(1) as f64;
    mean.sqrt()
}

/// The denoisers that a model is compared with, and the images.
pub struct References {
    points: ImagePoints,
    /// Images whose loss is measured, evenly spaced.
    measured: usize,
    /// The best linear denoiser.
    linear: Linear,
    /// The blurred training images.
    blurred: Smoothed<Empirical>,
    data_scale: f64,
}

impl References {
    /// The denoisers of images, with their mirror images if `mirrored`, for the losses on `measured` of them.
    ///
    /// # Errors
    /// If there are fewer than two different images.
    pub fn new(
        images: &Dataset,
        mirrored: bool,
        bandwidth: Bandwidth,
        measured: usize,
        device: &Device,
    ) -> Result<Self, DiffusionError> {
        let points = ImagePoints::new(images, mirrored, device);
        Ok(Self {
            linear: Linear::of(&points, measured, device)?,
            measured,
            blurred: Smoothed {
                data: Empirical::of_images(images, mirrored, device)?,
                bandwidth: bandwidth.value(images, mirrored, device)?,
            },
            data_scale: data_scale(images),
            points,
        })
    }

    /// Measures the losses of a model on the images. `other` has other weights of the same model.
    ///
    /// # Errors
    /// If shapes do not fit, or a denoiser fails.
    pub fn measure(
        &self,
        model: &dyn Denoiser,
        other: Option<&dyn Denoiser>,
        options: &FitOptions,
    ) -> Result<ModelFit, DiffusionError> {
        let places = measured_images(self.points.set().len(), self.measured);
        let places: Vec<usize> = places.collect();
        let count = places.len();
        let draws = Draws {
            clean: self.points.points(places.into_iter()),
            batch: options.batch.max(1),
            seed: options.seed,
        };
        let mut levels = Vec::with_capacity(options.sigmas.len());
        for &sigma in &options.sigmas {
            let of_network =
                |network: &dyn Denoiser| draws.loss(sigma, |noisy| network.denoise(noisy, sigma));
            levels.push(LevelLoss {
                sigma,
                model: of_network(model)?,
                linear: draws.loss(sigma, |noisy| self.linear.denoise(noisy, sigma))?,
                blurred: draws.loss(sigma, |noisy| self.blurred.denoise(noisy, sigma))?,
                other: other.map(of_network).transpose()?,
            });
        }
        let scale = self.data_scale;
        let mut told = Vec::with_capacity(FACTORS.len());
        for factor in FACTORS {
            let loss = draws.loss(scale, |noisy| model.denoise(noisy, factor * scale))?;
            told.push((factor, loss));
        }
        Ok(ModelFit {
            levels,
            data_scale: scale,
            told,
            linear: self.linear.kind(),
            bandwidth: self.blurred.bandwidth,
            images: count,
        })
    }
}

/// Images with noise that is a function of seed and batch.
struct Draws {
    clean: Tensor<2>,
    batch: usize,
    seed: u64,
}

impl Draws {
    /// `mean of ‖D(y + σn) − y‖²/d`.
    fn loss(
        &self,
        sigma: f64,
        denoise: impl Fn(Tensor<2>) -> Result<Tensor<2>, DiffusionError>,
    ) -> Result<f64, DiffusionError> {
        let [n, d] = self.clean.dims();
        let mut sum = 0.0;
        for first in (0..n).step_by(self.batch) {
            let clean = self.clean.clone();
            let clean = clean.slice_dim(0, first..(first + self.batch).min(n));
            let mut rng = generator(self.seed, RandomStream::LossDraw, [first as u64]);
            let noise = normal(&mut rng, clean.dims(), &clean.device());
            let denoised = denoise(clean.clone() + noise * sigma)?.cast(DType::F32);
            let error = (denoised - clean).powi_scalar(2).sum();
            sum += f64::from(error.into_scalar::<f32>());
        }
        Ok(sum / (n * d) as f64)
    }
}
