//! The derivative of a learner that looks at patches, the *local score machine* of Kamb and Ganguli (arXiv 2412.20292).
//!
//! A convolutional network with a small field of view cannot tell training images apart beyond a patch around each pixel. The
//! ideal learner so limited has for every pixel i a posterior of its own, over the training images' patches `Ω_i` around that pixel:
//!
//! `D_i(x) = Σ_j w_ij·y_ji`, `w_ij ∝ e_ij = exp(−‖x − y_j‖²_{Ω_i}/2σ²)`,
//!
//! and its derivative in the mass of ν is Theorem 3.1 of arXiv 2509.23092 pixel by pixel:
//!
//! `∂_ηD_i = r_i·(D_i^ν − D_i^ρ) = mean_{j∈ν} e_ij·(y_ji − D_i^ρ) / mean_{j∈ρ} e_ij`.
//!
//! Patches beyond the border of the image end there. With a bandwidth h the images are blurred as in
//! [`Smoothed`](crate::density::Smoothed): `√(σ² + h²)` in σ's place and the weight `σ²/(σ² + h²)`.
//! The patch at each noise level is the one whose learner matches the network's own D best on its samples' paths.

use burn::tensor::{DType, Device, Tensor, TensorData};
use data::{Dataset, Shape};
use diffusion::DiffusionError;
use diffusion::denoiser::Denoiser;
use diffusion::sampler::FrozenNoise;
use rayon::prelude::*;

use crate::density::ClosedForm;
use crate::experiment::{Settings, values};
use crate::measure::{Empirical, points};
use crate::path::Path;

/// Half widths that are tried: patches of 1, 3, 5, … pixels; beyond the last stands the whole image.
const HALVES: [usize; 7] = [0, 1, 2, 3, 4, 5, 7];
/// Samples of the first batch on whose paths the patch is chosen.
const CALIBRATED: usize = 16;

/// Predictions by patches.
#[derive(Debug, Clone)]
pub struct Local {
    /// For each direction δ of every sample, `[n, d]`.
    pub deltas: Vec<Vec<f32>>,
    /// Noise level, half width of the patch (none: the whole image), and the mean square between the learner's D and the
    /// network's: with that patch, and with the whole image.
    pub patches: Vec<Calibrated>,
}

/// The patch at a noise level.
#[derive(Debug, Clone, Copy)]
pub struct Calibrated {
    /// The noise level.
    pub sigma: f64,
    /// Half width of the patch, in pixels; none for the whole image.
    pub half: Option<usize>,
    /// Mean square of its D minus the network's.
    pub error: f64,
    /// The same for the whole image.
    pub whole: f64,
}

/// δ of the samples of `settings` by the derivative of the patch learner of `data` with this bandwidth, in the direction of each
/// set of images.
///
/// # Errors
/// If shapes do not fit or the model fails.
pub fn run(
    model: &dyn Denoiser,
    data: &Dataset,
    directions: &[&Dataset],
    mirrored: bool,
    bandwidth: f64,
    settings: &Settings,
    device: &Device,
) -> Result<Local, DiffusionError> {
    let d = model.dim();
    let set = |images: &Dataset| values(points(images, mirrored, device));
    let rho = set(data)?;
    let nus = directions
        .iter()
        .map(|images| set(images))
        .collect::<Result<Vec<_>, _>>()?;
    // The density is asked for its place in the path only.
    let anchor = Empirical::of_images(&data.subset(&[0, 1]), false, device)?;
    let mut all = Local {
        deltas: vec![Vec::new(); nus.len()],
        patches: Vec::new(),
    };
    for first in (0..settings.samples).step_by(settings.batch) {
        let n = settings.batch.min(settings.samples - first);
        let noise = FrozenNoise::new(settings.seed).starting_at(first as u64);
        let path = Path::record(
            model,
            &ClosedForm(&anchor),
            &settings.sampler,
            &settings.sigmas,
            noise.start([n, d], device, DType::F32),
            &noise,
        )?;
        let mut changes = Vec::new();
        for point in &path.points {
            let learner = Learner {
                shape: data.shape,
                sigma: point.sigma,
                bandwidth,
            };
            let x = values(point.x.clone())?;
            let known = all.patches.iter().find(|p| p.sigma == point.sigma);
            let half = match known {
                Some(known) => known.half,
                None => {
                    let found = learner.calibrate(&x, &values(point.denoised.clone())?, &rho);
                    all.patches.push(found);
                    found.half
                }
            };
            let parts: Vec<Vec<Vec<f32>>> = x
                .par_chunks(d)
                .map(|x| learner.change(x, half, &rho, &nus))
                .collect();
            let stacked: Vec<f32> = (0..nus.len())
                .flat_map(|k| parts.iter().flat_map(move |part| part[k].iter().copied()))
                .collect();
            let stacked = TensorData::new(stacked, [nus.len(), n, d]);
            changes.push(Tensor::<3>::from_data(stacked, device));
        }
        let moved = values(path.push_forward(model, &changes)?)?;
        for (delta, moved) in all.deltas.iter_mut().zip(moved.chunks_exact(n * d)) {
            delta.extend_from_slice(moved);
        }
    }
    Ok(all)
}

/// The patch learner at a noise level.
struct Learner {
    shape: Shape,
    sigma: f64,
    bandwidth: f64,
}

/// `Σ_j e_ij` and `Σ_j e_ij·y_ji` of a set.
struct Sums {
    mass: Vec<f32>,
    image: Vec<f32>,
}

impl Learner {
    /// `1/2σ_h²`.
    fn precision(&self) -> f32 {
        (0.5 / (self.sigma.powi(2) + self.bandwidth.powi(2))) as f32
    }

    /// `w = σ²/(σ² + h²)`.
    fn weight(&self) -> f32 {
        (self.sigma.powi(2) / (self.sigma.powi(2) + self.bandwidth.powi(2))) as f32
    }

    /// The patch with which D matches the network's best at points x.
    fn calibrate(&self, x: &[f32], network: &[f32], rho: &[f32]) -> Calibrated {
        let d = self.shape.dim();
        let error = |half: Option<usize>| {
            let pairs = x.par_chunks(d).zip(network.par_chunks(d)).take(CALIBRATED);
            let sum: f64 = pairs
                .map(|(x, network)| {
                    let offset = self.nearest(x, half, &[rho]);
                    let sums = self.sums(x, half, rho, &offset);
                    let own = self.denoised(x, &sums);
                    let both = own.iter().zip(network);
                    both.map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>()
                })
                .sum();
            sum / x.len().min(CALIBRATED * d) as f64
        };
        let whole = error(None);
        let mut best = Calibrated {
            sigma: self.sigma,
            half: None,
            error: whole,
            whole,
        };
        for half in HALVES {
            let error = error(Some(half));
            if error < best.error {
                best = Calibrated {
                    half: Some(half),
                    error,
                    ..best
                };
            }
        }
        best
    }

    /// `x + w·(D_h − x)`.
    fn denoised(&self, x: &[f32], sums: &Sums) -> Vec<f32> {
        let (plane, w) = (sums.mass.len(), self.weight());
        let entries = x.iter().zip(&sums.image).enumerate();
        entries
            .map(|(i, (x, image))| x + w * (image / sums.mass[i % plane] - x))
            .collect()
    }

    /// `w·mean_ν e·(y − D^ρ)/mean_ρ e`, d numbers for each ν.
    fn change(
        &self,
        x: &[f32],
        half: Option<usize>,
        rho: &[f32],
        nus: &[Vec<f32>],
    ) -> Vec<Vec<f32>> {
        let mut sets: Vec<&[f32]> = vec![rho];
        sets.extend(nus.iter().map(Vec::as_slice));
        let offset = self.nearest(x, half, &sets);
        let data = self.sums(x, half, rho, &offset);
        let plane = data.mass.len();
        nus.iter()
            .map(|nu| {
                let sums = self.sums(x, half, nu, &offset);
                let scale = self.weight() * rho.len() as f32 / nu.len() as f32;
                (0..x.len())
                    .map(|i| {
                        let (all, part) = (data.mass[i % plane], sums.mass[i % plane]);
                        scale * (sums.image[i] - part * (data.image[i] / all)) / all
                    })
                    .collect()
            })
            .collect()
    }

    /// The least distance of any image of the sets, pixel by pixel: what exponents are counted from.
    fn nearest(&self, x: &[f32], half: Option<usize>, sets: &[&[f32]]) -> Vec<f32> {
        let plane = self.shape.height * self.shape.width;
        let mut least = vec![f32::INFINITY; plane];
        let mut window = Window::new(self.shape);
        for y in sets.iter().flat_map(|set| set.chunks_exact(x.len())) {
            let distances = window.distances(x, y, half);
            for (least, distance) in least.iter_mut().zip(distances) {
                *least = least.min(*distance);
            }
        }
        least
    }

    fn sums(&self, x: &[f32], half: Option<usize>, set: &[f32], offset: &[f32]) -> Sums {
        let plane = offset.len();
        let mut sums = Sums {
            mass: vec![0.0; plane],
            image: vec![0.0; x.len()],
        };
        let mut window = Window::new(self.shape);
        let mut weights = vec![0.0f32; plane];
        let scale = -self.precision();
        for y in set.chunks_exact(x.len()) {
            let distances = window.distances(x, y, half);
            for ((weight, distance), offset) in weights.iter_mut().zip(distances).zip(offset) {
                *weight = exp(scale * (distance - offset));
            }
            for (mass, weight) in sums.mass.iter_mut().zip(&weights) {
                *mass += weight;
            }
            for (image, y) in sums
                .image
                .chunks_exact_mut(plane)
                .zip(y.chunks_exact(plane))
            {
                for ((image, y), weight) in image.iter_mut().zip(y).zip(&weights) {
                    *image += y * weight;
                }
            }
        }
        sums
    }
}

/// Buffers for the distances of patches.
struct Window {
    shape: Shape,
    squares: Vec<f32>,
    rows: Vec<f32>,
    sums: Vec<f32>,
}

impl Window {
    fn new(shape: Shape) -> Self {
        let plane = vec![0.0; shape.height * shape.width];
        Self {
            shape,
            squares: plane.clone(),
            rows: plane.clone(),
            sums: plane,
        }
    }

    /// `‖x − y‖²` over the patch around every pixel, all channels.
    fn distances(&mut self, x: &[f32], y: &[f32], half: Option<usize>) -> &[f32] {
        let (height, width) = (self.shape.height, self.shape.width);
        let plane = height * width;
        self.squares.fill(0.0);
        for (x, y) in x.chunks_exact(plane).zip(y.chunks_exact(plane)) {
            for ((square, x), y) in self.squares.iter_mut().zip(x).zip(y) {
                *square += (x - y) * (x - y);
            }
        }
        let Some(half) = half else {
            let total = self.squares.iter().sum();
            self.sums.fill(total);
            return &self.sums;
        };
        if half == 0 {
            return &self.squares;
        }
        for (row, squares) in self
            .rows
            .chunks_exact_mut(width)
            .zip(self.squares.chunks_exact(width))
        {
            row.copy_from_slice(squares);
            for shift in 1..=half.min(width - 1) {
                for (sum, right) in row.iter_mut().zip(&squares[shift..]) {
                    *sum += right;
                }
                for (sum, left) in row[shift..].iter_mut().zip(squares) {
                    *sum += left;
                }
            }
        }
        for r in 0..height {
            let sums = &mut self.sums[r * width..(r + 1) * width];
            sums.fill(0.0);
            let window = r.saturating_sub(half)..(r + half + 1).min(height);
            for row in self.rows[window.start * width..window.end * width].chunks_exact(width) {
                for (sum, row) in sums.iter_mut().zip(row) {
                    *sum += row;
                }
            }
        }
        &self.sums
    }
}

/// `eˣ` for x ≤ 0 to 2·10⁻⁷, 0 below −87: a polynomial for 2ᶠ, |f| ≤ 1/2, and the exponent set by hand, so that loops over it
/// become vector instructions.
fn exp(x: f32) -> f32 {
    const MAGIC: f32 = 12_582_912.0;
    let t = (x * std::f32::consts::LOG2_E).max(-126.0);
    let shifted = t + MAGIC;
    let f = t - (shifted - MAGIC);
    let p = 1.0
        + f * (0.693_147_2
            + f * (0.240_226_5
                + f * (0.055_504_11
                    + f * (0.009_618_129 + f * (0.001_333_355_8 + f * 0.000_154_035)))));
    f32::from_bits(p.to_bits().wrapping_add(shifted.to_bits() << 23))
}
