//! Random Gaussian mixtures, reproducible from a seed.

use std::f64::consts::PI;

use burn::tensor::{DType, Device, Tensor, TensorData};
use datasway_diffusion::DiffusionError;
use datasway_diffusion::random::{RandomStream, generator};
use datasway_sensitivity::measure::{Gaussian, Mixture, gaussian_mixture};
use nalgebra::{DMatrix, DVector};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

/// Weights of the components of ρ.
const WEIGHTS: [f64; 3] = [0.4, 0.3, 0.3];
/// Distance of the mean of each component from the origin.
const RADIUS: f64 = 2.0;
/// Typical variance of a component along an axis.
const VARIANCE: f64 = 0.5;
/// Variance of a separated component along an axis.
/// The standard deviation is a seventh of a unit, and the means are two units or more apart.
const SEPARATED_VARIANCE: f64 = 0.02;
/// Variance of a pixel in one component of [`RandomMixture::images`].
const PIXEL_VARIANCE: f64 = 0.1;
/// Number of components of ρ, and ν where it is added.
const COMPONENTS: usize = WEIGHTS.len() + 1;

/// Covariances of the components of a mixture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Covariances {
    /// One covariance for all components.
    Equal,
    /// A different covariance for each component.
    Unequal,
}

/// A change of the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Perturbation {
    /// Mass of a Gaussian ν beside ρ is added.
    Add,
    /// Mass of the last component ν of ρ is removed.
    Remove,
}

impl Perturbation {
    /// Sign of η: +1 for adding, −1 for removing.
    pub fn sign(self) -> f64 {
        match self {
            Self::Add => 1.0,
            Self::Remove => -1.0,
        }
    }

    /// Upper limit of |η|, exclusive: the weight of ν in ρ if it is removed.
    pub fn max_mass(self) -> f64 {
        match self {
            Self::Add => f64::INFINITY,
            Self::Remove => WEIGHTS[WEIGHTS.len() - 1],
        }
    }
}

/// A Gaussian `N(m, L·Lᵀ)`.
#[derive(Debug, Clone)]
struct Component {
    mean: Vec<f64>,
    /// L.
    root: DMatrix<f64>,
}

impl Component {
    /// `L·Lᵀ` row by row, exactly symmetric.
    fn covariance(&self) -> Vec<f64> {
        let matrix = &self.root * self.root.transpose();
        let symmetric = (&matrix + matrix.transpose()) * 0.5;
        symmetric.as_slice().to_vec()
    }
}

/// A mixture ρ of three Gaussians and a fourth Gaussian beside them, in d dimensions.
#[derive(Debug, Clone)]
pub struct RandomMixture {
    components: Vec<Component>,
}

impl RandomMixture {
    /// Overlapping components: means in random directions, covariances with random axes.
    ///
    /// The logarithms of the variances of a component are uniform over ±1, and over ±√(10/d) above d = 10.
    /// Otherwise the divergence between components of unequal covariance would grow with d and they would not overlap.
    pub fn new(d: usize, covariances: Covariances, seed: u64) -> Self {
        Self::random(d, covariances, VARIANCE, seed)
    }

    /// Separated components, with means and axes as in [`RandomMixture::new`].
    pub fn separated(d: usize, covariances: Covariances, seed: u64) -> Self {
        Self::random(d, covariances, SEPARATED_VARIANCE, seed)
    }

    fn random(d: usize, covariances: Covariances, variance: f64, seed: u64) -> Self {
        let spread = (10.0 / d as f64).sqrt().min(1.0);
        let mut components: Vec<Component> = (0..COMPONENTS)
            .map(|component| {
                let mut rng = generator(seed, RandomStream::Measure, [component as u64, d as u64]);
                Component {
                    mean: scaled(
                        StandardNormal.sample_iter(&mut rng).take(d).collect(),
                        RADIUS,
                    ),
                    root: random_root(&mut rng, d, variance, spread),
                }
            })
            .collect();
        if covariances == Covariances::Equal {
            let shared = components[0].root.clone();
            components
                .iter_mut()
                .for_each(|component| component.root = shared.clone());
        }
        Self { components }
    }

    /// Grey images of `side`² pixels.
    ///
    /// The means are slow random waves.
    /// The covariance of two pixels falls with their distance, with a different range for each component.
    pub fn images(side: usize, seed: u64) -> Self {
        let components = (0..COMPONENTS)
            .map(|component| {
                let mut rng = generator(
                    seed,
                    RandomStream::Measure,
                    [component as u64, side as u64, 1],
                );
                Component {
                    mean: scaled(wave(&mut rng, side), RADIUS),
                    root: smooth_root(side, 1.0 + 0.25 * component as f64),
                }
            })
            .collect();
        Self { components }
    }

    /// Dimension d of a point.
    pub fn dim(&self) -> usize {
        self.components[0].mean.len()
    }

    /// The measure ρ.
    ///
    /// # Errors
    /// If d = 0.
    pub fn data(&self, device: &Device, dtype: DType) -> Result<Mixture<'static>, DiffusionError> {
        gaussians(&self.components[..WEIGHTS.len()], &WEIGHTS, device, dtype)
    }

    /// Points of ρ, `[n, d]`; point i depends on the seed and i only.
    pub fn draw(&self, n: usize, seed: u64, device: &Device, dtype: DType) -> Tensor<2> {
        let d = self.dim();
        let mut values = Vec::with_capacity(n * d);
        for i in 0..n as u64 {
            let mut rng = generator(seed, RandomStream::Measure, [i, 0, 2]);
            let mut left: f64 = rng.random();
            let component = WEIGHTS.iter().position(|weight| {
                left -= weight;
                left < 0.0
            });
            let component = &self.components[component.unwrap_or(0)];
            let normal = DVector::from_iterator(d, StandardNormal.sample_iter(&mut rng).take(d));
            let shift: DVector<f64> = &component.root * normal;
            values.extend(
                component
                    .mean
                    .iter()
                    .zip(&shift)
                    .map(|(mean, shift)| mean + shift),
            );
        }
        Tensor::from_data(TensorData::new(values, [n, d]), (device, dtype))
    }

    /// The Gaussian with the mean and the covariance of ρ, or with its variances only (`diagonal`).
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
        let weighted = || WEIGHTS.iter().zip(&self.components);
        let mean = weighted().fold(DVector::zeros(d), |sum, (weight, component)| {
            sum + DVector::from_column_slice(&component.mean) * *weight
        });
        let covariance = weighted().fold(DMatrix::zeros(d, d), |sum, (weight, component)| {
            let shift = DVector::from_column_slice(&component.mean) - &mean;
            let within = DMatrix::from_vec(d, d, component.covariance());
            sum + (within + &shift * shift.transpose()) * *weight
        });
        if diagonal {
            let variances: Vec<f64> = covariance.diagonal().iter().copied().collect();
            Gaussian::diagonal(mean.as_slice(), &variances, device, dtype)
        } else {
            Gaussian::new(mean.as_slice(), covariance.as_slice(), device, dtype)
        }
    }

    /// The direction ν of a change.
    ///
    /// # Errors
    /// If d = 0.
    pub fn direction(
        &self,
        change: Perturbation,
        device: &Device,
        dtype: DType,
    ) -> Result<Mixture<'static>, DiffusionError> {
        let component = match change {
            Perturbation::Add => WEIGHTS.len(),
            Perturbation::Remove => WEIGHTS.len() - 1,
        };
        gaussians(
            &self.components[component..component + 1],
            &[1.0],
            device,
            dtype,
        )
    }
}

/// A mixture of components with weights that sum to 1.
fn gaussians(
    components: &[Component],
    weights: &[f64],
    device: &Device,
    dtype: DType,
) -> Result<Mixture<'static>, DiffusionError> {
    let means: Vec<Vec<f64>> = components
        .iter()
        .map(|component| component.mean.clone())
        .collect();
    let covariances: Vec<Vec<f64>> = components.iter().map(Component::covariance).collect();
    gaussian_mixture(weights, &means, &covariances, device, dtype)
}

/// A vector with its length changed to `length`.
fn scaled(v: Vec<f64>, length: f64) -> Vec<f64> {
    let norm = v.iter().map(|x| x * x).sum::<f64>().sqrt();
    v.iter().map(|x| length * x / norm).collect()
}

/// `U·diag(√v)` with random axes U and variances v about `variance`.
fn random_root(rng: &mut ChaCha8Rng, d: usize, variance: f64, spread: f64) -> DMatrix<f64> {
    let normal: Vec<f64> = StandardNormal.sample_iter(&mut *rng).take(d * d).collect();
    let axes = DMatrix::from_vec(d, d, normal).qr().q();
    let deviations = DVector::from_fn(d, |_, _| {
        (variance * (spread * rng.random_range(-1.0..1.0f64)).exp()).sqrt()
    });
    axes * DMatrix::from_diagonal(&deviations)
}

/// Sum of three cosines of up to one period across the image, with random directions and phases.
fn wave(rng: &mut ChaCha8Rng, side: usize) -> Vec<f64> {
    let mut image = vec![0.0; side * side];
    for _ in 0..3 {
        let mut uniform = |width: f64| rng.random_range(-width..width) * PI;
        let (fx, fy, phase) = (uniform(2.0), uniform(2.0), uniform(1.0));
        for (i, pixel) in image.iter_mut().enumerate() {
            let (row, column) = ((i / side) as f64, (i % side) as f64);
            *pixel += ((fx * column + fy * row) / side as f64 + phase).cos();
        }
    }
    image
}

/// Root of the covariance `C_ij = v·exp(−‖i − j‖²/2ℓ²)` of pixels i and j, with v/100 added to the diagonal.
fn smooth_root(side: usize, range: f64) -> DMatrix<f64> {
    let d = side * side;
    let covariance = DMatrix::from_fn(d, d, |i, j| {
        let (rows, columns) = ((i / side).abs_diff(j / side), (i % side).abs_diff(j % side));
        let squared = (rows * rows + columns * columns) as f64;
        let white = if i == j { 0.01 } else { 0.0 };
        PIXEL_VARIANCE * ((-squared / (2.0 * range * range)).exp() + white)
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
            RandomMixture::images(4, 4),
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
            components: vec![
                Component {
                    mean: vec![],
                    root: DMatrix::zeros(0, 0)
                };
                COMPONENTS
            ],
        };
        let error = empty
            .data(&Device::flex(), DType::F64)
            .expect_err("refused");
        assert!(error.to_string().contains("dimension"), "{error}");
    }
}
