//! Samples and the influence of every training image on functionals of them, batch by batch, chunk by chunk.

use std::time::Instant;

use burn::tensor::{DType, Tensor};
use datasway_diffusion::DiffusionError;
use datasway_diffusion::denoiser::Denoiser;
use datasway_diffusion::device::widest_float;
use datasway_diffusion::sampler::FrozenNoise;

use super::functional::{Functional, FunctionalContext};
use super::{AdjointInfluence, chunks};
use crate::density::Cutoff;
use crate::measure::ImagePoints;
use crate::sensitivities::{SensitivityConfig, finite_samples, values};
use crate::trajectory::Trajectory;

/// Samples and influences on the CPU, in f32.
#[derive(Debug, Clone, PartialEq)]
pub struct Influences {
    /// Entries of one sample, d.
    pub dim: usize,
    /// Number of training images, m.
    pub images: usize,
    /// The samples, `[n, d]`.
    pub samples: Vec<f32>,
    /// Noise level of each evaluation on the path, P in all.
    pub sigmas: Vec<f32>,
    /// The mean of `r_j` over the training images at each evaluation, `[n, P]`: 1 if the density ρ is compared with is that of
    /// these images, and far from it where another estimate of that density misjudges them; 0 below the cut-off.
    pub balance: Vec<f32>,
    /// For each functional.
    pub functionals: Vec<FunctionalInfluences>,
    /// Wall time, in seconds.
    pub seconds: f64,
}

/// The influences on one functional.
#[derive(Debug, Clone, PartialEq)]
pub struct FunctionalInfluences {
    /// Its name.
    pub name: String,
    /// f of each sample, `[n]`.
    pub values: Vec<f32>,
    /// ∇f, `[n, d]`.
    pub gradients: Vec<f32>,
    /// `a_j = df/dη` for mass η added at training image j, `[n, m]`. Removing one image of m is η = −1/m.
    pub influence: Vec<f32>,
    /// The mean over the training images of what evaluation p adds to `|a_j|`, `[n, P]`.
    pub strength: Vec<f32>,
    /// The mean of `a_j` over all training images, `[n]`: what more of the same data does, which should be 0. What it is
    /// instead is the model's own error, which is in every `a_j`.
    pub residuals: Vec<f32>,
    /// For each sample the images that raise f most, the strongest first.
    pub top: Vec<Vec<RankedImage>>,
    /// For each sample the images that lower f most, the strongest first.
    pub bottom: Vec<Vec<RankedImage>>,
}

/// One training image and one sample.
#[derive(Debug, Clone, PartialEq)]
pub struct RankedImage {
    /// Index of the image.
    pub image: usize,
    /// `a_j`.
    pub influence: f32,
    /// What each evaluation adds to it, P numbers.
    pub along: Vec<f32>,
}

/// Draws the samples of `settings` and finds the influence of every training image on every functional, keeping `kept` images
/// at either end. Of the images one chunk at a time is in memory, so what a run needs grows with their number only
/// by the results.
///
/// `progress` is told the part of the whole, from 0 to 1, that is done.
///
/// # Errors
/// If there is nothing to do, shapes do not fit, the density cannot follow the sampler, or a model fails.
pub fn compute(
    model: &dyn Denoiser,
    images: &ImagePoints,
    functionals: &[Box<dyn Functional>],
    settings: &SensitivityConfig,
    kept: usize,
    mut progress: impl FnMut(f64),
) -> Result<Influences, DiffusionError> {
    if settings.samples == 0 || settings.batch == 0 || functionals.is_empty() {
        return Err(DiffusionError::Invalid(
            "influences need at least one sample, one in a batch and one functional".to_owned(),
        ));
    }
    let (started, d, m) = (Instant::now(), model.dim(), images.set().len());
    let precision = widest_float(images.device());
    let mut all = Influences {
        dim: d,
        images: m,
        samples: Vec::new(),
        sigmas: Vec::new(),
        balance: Vec::new(),
        functionals: functionals
            .iter()
            .map(|f| FunctionalInfluences::new(f.name()))
            .collect(),
        seconds: 0.0,
    };
    for first in (0..settings.samples).step_by(settings.batch) {
        let n = settings.batch.min(settings.samples - first);
        let noise = FrozenNoise::new(settings.seed).starting_at(first as u64);
        let density = Cutoff {
            density: settings.density.starting_at(first as u64),
            sigma: settings.cutoff,
        };
        let path = Trajectory::sample(
            model,
            &density,
            &settings.sampler,
            &settings.sigmas,
            noise.start([n, d], images.device(), DType::F32),
            &noise,
        )?;
        let samples = values(path.samples.clone())?;
        all.samples.extend(finite_samples(samples, d, first)?);
        let scene = FunctionalContext {
            model,
            path: &path,
            first,
            images,
            precision,
        };
        let mut gradients = Vec::new();
        for (found, functional) in all.functionals.iter_mut().zip(functionals) {
            let at = functional.differentiate(&scene)?;
            found.values.extend(values(at.values)?);
            found.gradients.extend(values(at.gradients.clone())?);
            gradients.push(at.gradients);
        }
        let pulled = path.pull_back(model, Tensor::stack(gradients, 0))?;
        let influence = AdjointInfluence::new(&path, pulled, precision);
        let done = |part: f64| (first as f64 + n as f64 * part) / settings.samples as f64;
        progress(done(0.5));
        let batch = Batch::collect(&influence, images, |part| progress(done(0.5 + part / 2.0)))?;
        all.sigmas = path.points.iter().map(|p| p.sigma as f32).collect();
        all.balance.extend(batch.balance);
        for (k, found) in all.functionals.iter_mut().enumerate() {
            let rows = &batch.influence[k * n * m..(k + 1) * n * m];
            let evaluations = path.points.len();
            let strength = &batch.strength[k * n * evaluations..(k + 1) * n * evaluations];
            found.influence.extend_from_slice(rows);
            found.strength.extend_from_slice(strength);
            for (i, row) in rows.chunks_exact(m).enumerate() {
                let sum: f64 = row.iter().map(|a| f64::from(*a)).sum();
                found.residuals.push((sum / m as f64) as f32);
                let (top, bottom) = ends(row, kept);
                let keep = |picked: Vec<usize>| keep(&influence, images, [k, i], row, picked);
                found.top.push(keep(top)?);
                found.bottom.push(keep(bottom)?);
            }
        }
        progress(done(1.0));
    }
    all.seconds = started.elapsed().as_secs_f64();
    Ok(all)
}

impl Influences {
    /// Number of samples.
    pub fn count(&self) -> usize {
        self.samples.len() / self.dim
    }

    /// `a_j` of every image on a functional of a sample, m numbers.
    pub fn row<'a>(&self, found: &'a FunctionalInfluences, sample: usize) -> &'a [f32] {
        &found.influence[sample * self.images..(sample + 1) * self.images]
    }
}

impl FunctionalInfluences {
    fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            values: Vec::new(),
            gradients: Vec::new(),
            influence: Vec::new(),
            strength: Vec::new(),
            residuals: Vec::new(),
            top: Vec::new(),
            bottom: Vec::new(),
        }
    }
}

/// What the images do to one batch.
struct Batch {
    /// `[K, n, m]`.
    influence: Vec<f32>,
    /// `[K, n, P]`.
    strength: Vec<f32>,
    /// `[n, P]`.
    balance: Vec<f32>,
}

impl Batch {
    fn collect(
        influence: &AdjointInfluence,
        images: &ImagePoints,
        mut progress: impl FnMut(f64),
    ) -> Result<Self, DiffusionError> {
        let m = images.set().len();
        let (mut parts, mut strength, mut balance) = (Vec::new(), Vec::new(), Vec::new());
        for range in chunks(m) {
            let end = range.end;
            let points = images.with_mirrors(range);
            let share = 1.0 / points.len() as f64;
            let mut sum: Option<Tensor<3>> = None;
            let mut along: Vec<Tensor<3>> = Vec::new();
            for points in &points {
                for (p, part) in influence.along(points).into_iter().enumerate() {
                    let part_influence = part.influence * share;
                    // An image and its mirror image are one image.
                    match along.get_mut(p) {
                        Some(other) => *other = other.clone() + part_influence,
                        None => along.push(part_influence),
                    }
                    if let Some(ratios) = part.ratios {
                        add(&mut balance, p, ratios.sum_dim(1) * (share / m as f64));
                    }
                }
            }
            for (p, part) in along.into_iter().enumerate() {
                add(&mut strength, p, part.clone().abs().sum_dim(2) / m as f64);
                sum = Some(match sum {
                    Some(sum) => sum + part,
                    None => part,
                });
            }
            parts.extend(sum);
            progress(end as f64 / m as f64);
        }
        let first = influence.points[0].x.clone();
        let zero = (first.slice_dim(1, 0..1).zeros_like()).cast(influence.precision);
        let balance = (0..influence.points.len())
            .map(|p| {
                balance
                    .get(p)
                    .cloned()
                    .flatten()
                    .unwrap_or_else(|| zero.clone())
            })
            .collect();
        Ok(Self {
            influence: values(Tensor::cat(parts, 2))?,
            strength: values(Tensor::cat(strength.into_iter().flatten().collect(), 2))?,
            balance: values(Tensor::cat(balance, 1))?,
        })
    }
}

/// Adds to the p-th sum.
fn add<const D: usize>(sums: &mut Vec<Option<Tensor<D>>>, p: usize, part: Tensor<D>) {
    if sums.len() <= p {
        sums.resize(p + 1, None);
    }
    sums[p] = Some(match sums[p].take() {
        Some(sum) => sum + part,
        None => part,
    });
}

/// The places of the largest and of the smallest numbers of a row, the strongest first; what is not a number is neither.
fn ends(row: &[f32], count: usize) -> (Vec<usize>, Vec<usize>) {
    let mut order: Vec<usize> = (0..row.len()).filter(|&j| row[j].is_finite()).collect();
    order.sort_by(|&a, &b| row[b].total_cmp(&row[a]));
    let top = order.iter().take(count).copied().filter(|&j| row[j] > 0.0);
    let bottom = order.iter().rev().take(count).copied();
    (top.collect(), bottom.filter(|&j| row[j] < 0.0).collect())
}

/// The picked images of sample i and functional k, with their parts along the path.
fn keep(
    influence: &AdjointInfluence,
    images: &ImagePoints,
    [k, i]: [usize; 2],
    row: &[f32],
    picked: Vec<usize>,
) -> Result<Vec<RankedImage>, DiffusionError> {
    if picked.is_empty() {
        return Ok(Vec::new());
    }
    let one = influence.alone(k, i);
    let points = images.with_mirrors(picked.iter().copied());
    let share = 1.0 / points.len() as f32;
    let mut along = vec![vec![0.0; one.points.len()]; picked.len()];
    for points in &points {
        for (p, part) in one.along(points).into_iter().enumerate() {
            for (curve, value) in along.iter_mut().zip(values(part.influence)?) {
                curve[p] += share * value;
            }
        }
    }
    let images = picked.into_iter().zip(along);
    Ok(images
        .map(|(image, along)| RankedImage {
            image,
            influence: row[image],
            along,
        })
        .collect())
}
