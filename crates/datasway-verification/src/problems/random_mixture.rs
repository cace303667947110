//! Random Gaussian mixtures, the same on every run.

use std::f64::consts::PI;

use burn::tensor::{DType, Device, Tensor, TensorData};
use datasway_diffusion::DiffusionError;
use datasway_diffusion::random::{RandomStream, generator};
use nalgebra::{DMatrix, DVector};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use datasway_sensitivity::measure::{Gaussian, GaussianMixture};

/// Weights of the components of ρ.
const WEIGHTS: [f64; 3] = [0.4, 0.3, 0.3];
/// Distance of every component's mean from the origin.
const RADIUS: f64 = 2.0;
/// Typical variance of a component along an axis.
const VARIANCE: f64 = 0.5;
/// The same where components keep apart: a seventh of a unit wide, with two units and more between them.
const APART_VARIANCE: f64 = 0.02;
/// Variance of a pixel in one component of [`RandomMixture::pictures`].
const PICTURE_VARIANCE: f64 = 0.1;
/// The components of ρ, and ν where it is added.
const PARTS: usize = WEIGHTS.len() + 1;

/// Whether the components of a mixture share their covariance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Covariances {
    /// One covariance for all.
    Equal,
    /// To each its own.
    Unequal,
}

/// What happens to the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Perturbation {
    /// ν is a Gaussian beside ρ; its mass is added.
    Add,
    /// ν is the last component of ρ; its mass is taken away.
    Remove,
}

impl Perturbation {
    /// +1 for adding, −1 for removing.
    pub fn sign(self) -> f64 {
        match self {
            Self::Add => 1.0,
            Self::Remove => -1.0,
        }
    }

    /// The mass |η| that must not be reached: the weight of ν in ρ where it is taken away.
    pub fn limit(self) -> f64 {
        match self {
            Self::Add => f64::INFINITY,
            Self::Remove => WEIGHTS[WEIGHTS.len() - 1],
        }
    }
}

/// One Gaussian, `N(m, L·Lᵀ)`.
#[derive(Debug, Clone)]
struct Part {
    mean: Vec<f64>,
    /// L.
    root: DMatrix<f64>,
}

impl Part {
    /// `L·Lᵀ`, row by row, symmetric to the last bit.
    fn covariance(&self) -> Vec<f64> {
        let matrix = &self.root * self.root.transpose();
        let symmetric = (&matrix + matrix.transpose()) * 0.5;
        symmetric.as_slice().to_vec()
    }
}

/// ρ of three Gaussians and a fourth beside them, in d dimensions.
#[derive(Debug, Clone)]
pub struct RandomMixture {
    parts: Vec<Part>,
}

impl RandomMixture {
    /// Overlapping components: means in random directions, covariances with random axes.
    ///
    /// The logarithms of the variances of one component spread over ±1, above d = 10 over ±√(10/d): the
    /// divergence between components of unequal covariance would grow with d otherwise, and nothing would overlap.
    pub fn new(d: usize, covariances: Covariances, seed: u64) -> Self {
        Self::random(d, covariances, VARIANCE, seed)
    }

    /// The same with components that keep apart.
    pub fn separated(d: usize, covariances: Covariances, seed: u64) -> Self {
        Self::random(d, covariances, APART_VARIANCE, seed)
    }

    fn random(d: usize, covariances: Covariances, variance: f64, seed: u64) -> Self {
        let spread = (10.0 / d as f64).sqrt().min(1.0);
        let mut parts: Vec<Part> = (0..PARTS)
            .map(|part| {
                let mut rng = generator(seed, RandomStream::Measure, [part as u64, d as u64]);
                Part {
                    mean: scaled(
                        StandardNormal.sample_iter(&mut rng).take(d).collect(),
                        RADIUS,
                    ),
                    root: random_root(&mut rng, d, variance, spread),
                }
            })
            .collect();
        if covariances == Covariances::Equal {
            let shared = parts[0].root.clone();
            parts.iter_mut().for_each(|part| part.root = shared.clone());
        }
        Self { parts }
    }

    /// Grey pictures of `side`² pixels: means of slow random waves, and covariances that fall with the distance of
    /// two pixels, to each component its own range.
    pub fn pictures(side: usize, seed: u64) -> Self {
        let parts = (0..PARTS)
            .map(|part| {
                let mut rng = generator(seed, RandomStream::Measure, [part as u64, side as u64, 1]);
                Part {
                    mean: scaled(wave(&mut rng, side), RADIUS),
                    root: smooth_root(side, 1.0 + 0.25 * part as f64),
                }
            })
            .collect();
        Self { parts }
    }

    /// Entries of one point, d.
    pub fn dim(&self) -> usize {
        self.parts[0].mean.len()
    }

    /// ρ.
    ///
    /// # Errors
    /// If d = 0.
    pub fn data(&self, device: &Device, dtype: DType) -> Result<GaussianMixture, DiffusionError> {
        gaussians(&self.parts[..WEIGHTS.len()], &WEIGHTS, device, dtype)
    }

    /// Points of ρ, `[n, d]`; the i-th depends on the seed and i only.
    pub fn draw(&self, n: usize, seed: u64, device: &Device, dtype: DType) -> Tensor<2> {
        let d = self.dim();
        let mut values = Vec::with_capacity(n * d);
        for i in 0..n as u64 {
            let mut rng = generator(seed, RandomStream::Measure, [i, 0, 2]);
            let mut left: f64 = rng.random();
            let part = WEIGHTS.iter().position(|weight| {
                left -= weight;
                left < 0.0
            });
            let part = &self.parts[part.unwrap_or(0)];
            let normal = DVector::from_iterator(d, StandardNormal.sample_iter(&mut rng).take(d));
            let shift: DVector<f64> = &part.root * normal;
            values.extend(
                part.mean
                    .iter()
                    .zip(&shift)
                    .map(|(mean, shift)| mean + shift),
            );
        }
        Tensor::from_data(TensorData::new(values, [n, d]), (device, dtype))
    }

    /// The Gaussian with the mean and covariance of ρ, or only the variances.
    ///
    /// # Errors
    /// If d = 0.
    pub fn moments(
        &self,
        diagonal: bool,
        device: &Device,
        dtype: DType,
    ) -> Result<Gaussian, DiffusionError> {
        let d = self.dim();
        let weighted = || WEIGHTS.iter().zip(&self.parts);
        let mean = weighted().fold(DVector::zeros(d), |sum, (weight, part)| {
            sum + DVector::from_column_slice(&part.mean) * *weight
        });
        let covariance = weighted().fold(DMatrix::zeros(d, d), |sum, (weight, part)| {
            let shift = DVector::from_column_slice(&part.mean) - &mean;
            let own = DMatrix::from_vec(d, d, part.covariance());
            sum + (own + &shift * shift.transpose()) * *weight
        });
        match diagonal {
            true => {
                let variances: Vec<f64> = covariance.diagonal().iter().copied().collect();
                Gaussian::diagonal(mean.as_slice(), &variances, device, dtype)
            }
            false => Gaussian::new(mean.as_slice(), covariance.as_slice(), device, dtype),
        }
    }

    /// ν.
    ///
    /// # Errors
    /// If d = 0.
    pub fn direction(
        &self,
        change: Perturbation,
        device: &Device,
        dtype: DType,
    ) -> Result<GaussianMixture, DiffusionError> {
        let part = match change {
            Perturbation::Add => WEIGHTS.len(),
            Perturbation::Remove => WEIGHTS.len() - 1,
        };
        gaussians(&self.parts[part..part + 1], &[1.0], device, dtype)
    }
}

fn gaussians(
    parts: &[Part],
    weights: &[f64],
    device: &Device,
    dtype: DType,
) -> Result<GaussianMixture, DiffusionError> {
    let means: Vec<Vec<f64>> = parts.iter().map(|part| part.mean.clone()).collect();
    let covariances: Vec<Vec<f64>> = parts.iter().map(Part::covariance).collect();
    GaussianMixture::new(weights, &means, &covariances, device, dtype)
}

fn scaled(v: Vec<f64>, length: f64) -> Vec<f64> {
    let now = v.iter().map(|x| x * x).sum::<f64>().sqrt();
    v.iter().map(|x| length * x / now).collect()
}

/// `U·diag(√v)` with random axes U.
fn random_root(rng: &mut ChaCha8Rng, d: usize, variance: f64, spread: f64) -> DMatrix<f64> {
    let normal: Vec<f64> = StandardNormal.sample_iter(&mut *rng).take(d * d).collect();
    let axes = DMatrix::from_vec(d, d, normal).qr().q();
    let deviations = DVector::from_fn(d, |_, _| {
        (variance * (spread * rng.random_range(-1.0..1.0f64)).exp()).sqrt()
    });
    axes * DMatrix::from_diagonal(&deviations)
}

/// Cosines of up to one period across the picture, in random directions and phases.
fn wave(rng: &mut ChaCha8Rng, side: usize) -> Vec<f64> {
    let mut picture = vec![0.0; side * side];
    for _ in 0..3 {
        let mut uniform = |width: f64| rng.random_range(-width..width) * PI;
        let (fx, fy, phase) = (uniform(2.0), uniform(2.0), uniform(1.0));
        for (at, pixel) in picture.iter_mut().enumerate() {
            let (row, column) = ((at / side) as f64, (at % side) as f64);
            *pixel += ((fx * column + fy * row) / side as f64 + phase).cos();
        }
    }
    picture
}

/// The root of `C_ij = v·exp(−‖i − j‖²/2ℓ²)` with a hundredth of v added to the diagonal, i and j being pixels.
fn smooth_root(side: usize, range: f64) -> DMatrix<f64> {
    let d = side * side;
    let covariance = DMatrix::from_fn(d, d, |i, j| {
        let (rows, columns) = ((i / side).abs_diff(j / side), (i % side).abs_diff(j % side));
        let squared = (rows * rows + columns * columns) as f64;
        let white = if i == j { 0.01 } else { 0.0 };
        PICTURE_VARIANCE * ((-squared / (2.0 * range * range)).exp() + white)
    });
    let eigen = covariance.symmetric_eigen();
    let deviations = eigen.eigenvalues.map(|v| v.max(0.0).sqrt());
    eigen.eigenvectors * DMatrix::from_diagonal(&deviations)
}

#[cfg(test)]
mod tests {
    use super::*;
    use datasway_sensitivity::measure::Measure;

    #[test]
    fn points_have_the_moments_of_their_mixture() {
        for mixture in [
            RandomMixture::new(3, Covariances::Unequal, 4),
            RandomMixture::pictures(4, 4),
        ] {
            let (device, n) = (Device::flex(), 20_000);
            let points = mixture.draw(n, 1, &device, DType::F64);
            let exact = mixture
                .moments(false, &device, DType::F64)
                .expect("a Gaussian");
            let fitted = Gaussian::fitted(&points, false).expect("a Gaussian");
            let x = points.slice_dim(0, 0..50);
            let q = |gaussian: &Gaussian| gaussian.log_density(x.clone(), 0.5).expect("q");
            let gap = (q(&exact) - q(&fitted)).abs().max().into_scalar::<f64>();
            assert!(gap < 0.1, "{gap} nats");
        }
    }

    #[test]
    fn no_dimension_is_an_error() {
        let empty = RandomMixture {
            parts: vec![
                Part {
                    mean: vec![],
                    root: DMatrix::zeros(0, 0)
                };
                PARTS
            ],
        };
        let error = empty
            .data(&Device::flex(), DType::F64)
            .expect_err("refused");
        assert!(error.to_string().contains("dimension"), "{error}");
    }
}
