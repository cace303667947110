//! Random Gaussian mixtures with overlapping components, the same on every run.

use burn::tensor::{DType, Device};
use diffusion::DiffusionError;
use diffusion::random::{Purpose, generator};
use nalgebra::DMatrix;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use crate::measure::GaussianMixture;

/// Weights of the components of ρ.
const WEIGHTS: [f64; 3] = [0.4, 0.3, 0.3];
/// Distance of every component's mean from the origin.
const RADIUS: f64 = 2.0;
/// Typical variance of a component along an axis.
const VARIANCE: f64 = 0.5;

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
pub enum Change {
    /// ν is a Gaussian beside ρ; its mass is added.
    Add,
    /// ν is the last component of ρ; its mass is taken away.
    Remove,
}

impl Change {
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

/// ρ of three Gaussians and a fourth beside them, in d dimensions.
#[derive(Debug, Clone)]
pub struct Mixture {
    means: Vec<Vec<f64>>,
    covariances: Vec<Vec<f64>>,
}

impl Mixture {
    /// Means in random directions, covariances with random axes.
    ///
    /// The logarithms of the variances of one component spread over ±1, above d = 10 over ±√(10/d): the
    /// divergence between components of unequal covariance would grow with d otherwise, and nothing would overlap.
    pub fn new(d: usize, covariances: Covariances, seed: u64) -> Self {
        let count = WEIGHTS.len() + 1;
        let spread = (10.0 / d as f64).sqrt().min(1.0);
        let mut drawn = (0..count as u64).map(|part| {
            let mut rng = generator(seed, Purpose::Measure, [part, d as u64]);
            (mean(&mut rng, d), covariance(&mut rng, d, spread))
        });
        let (means, mut all): (Vec<_>, Vec<_>) = drawn.by_ref().unzip();
        if covariances == Covariances::Equal {
            all = vec![all[0].clone(); count];
        }
        Self {
            means,
            covariances: all,
        }
    }

    /// Entries of one point, d.
    pub fn dim(&self) -> usize {
        self.means[0].len()
    }

    /// ρ.
    ///
    /// # Errors
    /// If d = 0.
    pub fn data(&self, device: &Device, dtype: DType) -> Result<GaussianMixture, DiffusionError> {
        let count = WEIGHTS.len();
        let (means, covariances) = (&self.means[..count], &self.covariances[..count]);
        GaussianMixture::new(&WEIGHTS, means, covariances, device, dtype)
    }

    /// ν.
    ///
    /// # Errors
    /// If d = 0.
    pub fn direction(
        &self,
        change: Change,
        device: &Device,
        dtype: DType,
    ) -> Result<GaussianMixture, DiffusionError> {
        let part = match change {
            Change::Add => WEIGHTS.len(),
            Change::Remove => WEIGHTS.len() - 1,
        };
        let only = part..part + 1;
        let (means, covariances) = (&self.means[only.clone()], &self.covariances[only]);
        GaussianMixture::new(&[1.0], means, covariances, device, dtype)
    }
}

fn mean(rng: &mut ChaCha8Rng, d: usize) -> Vec<f64> {
    let direction: Vec<f64> = StandardNormal.sample_iter(rng).take(d).collect();
    let length = direction.iter().map(|x| x * x).sum::<f64>().sqrt();
    direction.iter().map(|x| RADIUS * x / length).collect()
}

/// `U·diag(v)·Uᵀ`, row by row, with random axes U.
fn covariance(rng: &mut ChaCha8Rng, d: usize, spread: f64) -> Vec<f64> {
    let normal: Vec<f64> = StandardNormal.sample_iter(&mut *rng).take(d * d).collect();
    let axes = DMatrix::from_vec(d, d, normal).qr().q();
    let variances = DMatrix::from_fn(d, d, |i, j| match i == j {
        true => VARIANCE * (spread * rng.random_range(-1.0..1.0f64)).exp(),
        false => 0.0,
    });
    let matrix = &axes * variances * axes.transpose();
    // Symmetric to the last bit, as a covariance must be.
    let symmetric = (&matrix + matrix.transpose()) * 0.5;
    symmetric.as_slice().to_vec()
}
