//! Denoising losses of a model, of the best linear denoiser and of the blurred training images.

use burn::tensor::{DType, Device, Tensor};
use datasway_data::{Dataset, PixelMoments};
use datasway_diffusion::DiffusionError;
use datasway_diffusion::denoiser::Denoiser;
use datasway_diffusion::random::{RandomStream, generator, normal};

use super::verdict::Misfit;
use crate::density::Bandwidth;
use crate::measure::{Empirical, Gaussian, ImagePoints};

/// Largest number of entries of an image for which the whole covariance is used; above it, the variances alone.
const MOST_ENTRIES: usize = 1024;
/// Images for each entry below which the covariance is not estimated.
const IMAGES_PER_ENTRY: usize = 2;
/// Largest number of points of the covariance.
const MOST_POINTS: usize = 16_384;
/// Factors of the noise level that the model is told.
const FACTORS: [f64; 5] = [0.25, 0.5, 1.0, 2.0, 4.0];

/// Options of [`measure`].
#[derive(Debug, Clone, PartialEq)]
pub struct FitOptions {
    /// Noise levels, ascending.
    pub sigmas: Vec<f64>,
    /// Images of the data whose loss is measured, evenly spaced.
    pub images: usize,
    /// Images that are denoised together.
    pub batch: usize,
    /// Seed of the noise.
    pub seed: u64,
    /// Blur of the training images.
    pub bandwidth: Bandwidth,
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
    /// True if the linear denoiser knows variances only, because the images have too many entries or are too few.
    pub diagonal: bool,
    /// Bandwidth of the blurred training images.
    pub bandwidth: f64,
    /// Images whose loss was measured.
    pub images: usize,
}

impl ModelFit {
    /// The reason why the model is none of these data; none if it may be.
    pub fn misfit(&self) -> Option<Misfit> {
        Misfit::of(self)
    }
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

/// Measures the losses of a model on the images that it was trained on. `other` has other weights of the same model.
///
/// # Errors
/// If there are fewer than two different images, shapes do not fit, or a denoiser fails.
pub fn measure(
    model: &dyn Denoiser,
    other: Option<&dyn Denoiser>,
    images: &Dataset,
    mirrored: bool,
    options: &FitOptions,
    device: &Device,
) -> Result<ModelFit, DiffusionError> {
    let points = ImagePoints::new(images, mirrored, device);
    let (m, d) = (images.len(), points.dim());
    let count = options.images.clamp(1, m);
    let clean = points.points((0..count).map(|i| i * m / count));
    let held = points.count().min(MOST_POINTS);
    let diagonal = d > MOST_ENTRIES || held < IMAGES_PER_ENTRY * d;
    let fitted = points.points((0..held).map(|i| i * points.count() / held));
    let gaussian = Gaussian::fitted(&fitted.cast(DType::F64), diagonal)?;
    let bandwidth = options.bandwidth.value(images, mirrored, device)?;
    let training_set = Empirical::of_images(images, mirrored, device)?;
    let linear = |x: Tensor<2>, sigma: f64| gaussian.denoise(x.cast(DType::F64), sigma);
    // D(x) = x + σ²/(σ² + h²)·(D_h(x) − x), as `density::Smoothed` has it.
    let blurred = |x: Tensor<2>, sigma: f64| {
        let smoothed_sigma = sigma.hypot(bandwidth);
        let step = training_set.denoise(x.clone(), smoothed_sigma)? - x.clone();
        Ok(x + step * (sigma / smoothed_sigma).powi(2))
    };
    let draws = Draws {
        clean,
        batch: options.batch.max(1),
        seed: options.seed,
    };
    let scale = data_scale(images);
    let mut levels = Vec::with_capacity(options.sigmas.len());
    for &sigma in &options.sigmas {
        let of_network =
            |network: &dyn Denoiser| draws.loss(sigma, |noisy| network.denoise(noisy, sigma));
        levels.push(LevelLoss {
            sigma,
            model: of_network(model)?,
            linear: draws.loss(sigma, |noisy| linear(noisy, sigma))?,
            blurred: draws.loss(sigma, |noisy| blurred(noisy, sigma))?,
            other: other.map(of_network).transpose()?,
        });
    }
    let mut told = Vec::with_capacity(FACTORS.len());
    for factor in FACTORS {
        let loss = draws.loss(scale, |noisy| model.denoise(noisy, factor * scale))?;
        told.push((factor, loss));
    }
    Ok(ModelFit {
        levels,
        data_scale: scale,
        told,
        diagonal,
        bandwidth,
        images: count,
    })
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
