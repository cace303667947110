//! The best linear denoiser of a set of images, as far as their number allows.

use burn::tensor::{Device, Tensor};
use datasway_diffusion::DiffusionError;
use datasway_diffusion::denoiser::Denoiser;
use datasway_diffusion::device::widest_float;

use super::low_rank::LowRank;
use crate::measure::{Gaussian, ImagePoints};

/// Largest number of entries of an image for which the whole covariance is used; above it, the directions in which images vary most.
const MOST_ENTRIES: usize = 1024;
/// Images for each entry, or for each direction, below which the covariance is not estimated.
const IMAGES_PER_ENTRY: usize = 2;
/// Largest number of points of the covariance.
const MOST_POINTS: usize = 16_384;
/// Largest number of entries of all points of the directions: 128 MiB in single precision.
const MOST_NUMBERS: usize = 1 << 25;
/// Largest number of directions.
const MOST_DIRECTIONS: usize = 512;
/// Smallest number of directions; with fewer, the variances say more.
const LEAST_DIRECTIONS: usize = 16;

/// The second moments of the images that a linear denoiser has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinearKind {
    /// The covariance.
    Covariance,
    /// The variances in this number of directions in which the images vary most, and the mean variance in all others.
    LowRank(usize),
    /// The variance of each entry.
    Variances,
}

/// The best linear denoiser of a set of images.
pub(super) enum Linear {
    /// Of the covariance or of the variances.
    Gaussian(Gaussian, LinearKind, Device),
    /// Of the directions in which images vary most.
    LowRank(LowRank),
}

impl Linear {
    /// The denoiser of a set of points. Those of the first `measured` images, evenly spaced, are left out where directions are
    /// chosen: among few images they would be the directions of these very images.
    ///
    /// # Errors
    /// If there are no points, or all are the same.
    pub fn of(
        points: &ImagePoints,
        measured: usize,
        device: &Device,
    ) -> Result<Self, DiffusionError> {
        let (m, d) = (points.count(), points.dim());
        if d > MOST_ENTRIES {
            let others = others(points, measured);
            let held = others.len().min(MOST_NUMBERS / d).min(MOST_POINTS);
            let rank = MOST_DIRECTIONS.min(held / IMAGES_PER_ENTRY);
            if rank >= LEAST_DIRECTIONS {
                let fitted = points.points((0..held).map(|i| others[i * others.len() / held]));
                return Ok(Self::LowRank(LowRank::fitted(&fitted, rank)?));
            }
        }
        let held = m.min(MOST_POINTS);
        let diagonal = d > MOST_ENTRIES || held < IMAGES_PER_ENTRY * d;
        let fitted = points.points((0..held).map(|i| i * m / held));
        let gaussian = Gaussian::fitted(&fitted.cast(widest_float(device)), diagonal)?;
        let kind = if diagonal {
            LinearKind::Variances
        } else {
            LinearKind::Covariance
        };
        Ok(Self::Gaussian(gaussian, kind, device.clone()))
    }

    /// The second moments that it has.
    pub fn kind(&self) -> LinearKind {
        match self {
            Self::Gaussian(_, kind, _) => *kind,
            Self::LowRank(low_rank) => LinearKind::LowRank(low_rank.rank()),
        }
    }

    /// The denoised points, `[n, d]`.
    ///
    /// # Errors
    /// If the points are of another dimension.
    pub fn denoise(&self, x: Tensor<2>, sigma: f64) -> Result<Tensor<2>, DiffusionError> {
        match self {
            Self::Gaussian(gaussian, _, device) => {
                gaussian.denoise(x.cast(widest_float(device)), sigma)
            }
            Self::LowRank(low_rank) => Ok(low_rank.denoise(x, sigma)),
        }
    }
}

/// The places of `count` images whose loss is measured, evenly spaced among m.
pub(super) fn measured_images(m: usize, count: usize) -> impl Iterator<Item = usize> {
    let count = count.clamp(1, m.max(1));
    (0..count).map(move |i| i * m / count)
}

/// The points of all images but those whose loss is measured.
fn others(points: &ImagePoints, measured: usize) -> Vec<usize> {
    let m = points.set().len();
    let mut is_measured = vec![false; m];
    measured_images(m, measured).for_each(|i| is_measured[i] = true);
    // The points after the images are their mirror images.
    let free = |point: &usize| !is_measured[point % m];
    (0..points.count()).filter(free).collect()
}
