//! Samples and the influence of every training image on functionals of them, in batches of samples and chunks of images.

use std::time::Instant;

use burn::tensor::{DType, Tensor};
use datasway_diffusion::DiffusionError;
use datasway_diffusion::denoiser::Denoiser;
use datasway_diffusion::device::widest_float;

use super::adjoint::{AdjointInfluence, chunks};
use super::functional::{Functional, FunctionalContext};
use super::running_sum::RunningSum;
use crate::config::{Batch, ResolvedConfig};
use crate::measure::ImagePoints;
use crate::tensors::{finite_samples, values};
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
    /// Noise level of each evaluation on the path, P in all; none, P = 0, for influences through the weights, which are
    /// not a sum over the path.
    pub sigmas: Vec<f32>,
    /// The mean of `r_j` over the training images at each evaluation, `[n, P]`; 0 below the cut-off.
    ///
    /// The mean is 1 if the estimated density is that of these images. It is far from 1 where the estimate is wrong at
    /// them.
    pub balance: Vec<f32>,
    /// The influences on each functional.
    pub functionals: Vec<FunctionalInfluences>,
    /// Wall time, in seconds.
    pub seconds: f64,
}

/// The influences on one functional f.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FunctionalInfluences {
    /// Name of the functional.
    pub name: String,
    /// f of each sample, `[n]`.
    pub values: Vec<f32>,
    /// ∇f, `[n, d]`.
    pub gradients: Vec<f32>,
    /// `a_j = df/dη` for mass η added at training image j, `[n, m]`. Removing one image of m is η = −1/m.
    pub influence: Vec<f32>,
    /// The mean over the training images of the absolute contribution of evaluation p to `a_j`, `[n, P]`.
    pub strength: Vec<f32>,
    /// The mean of `a_j` over all training images, `[n]`.
    ///
    /// More of the same data changes nothing, so this should be 0. Its size is the model's own error, which is in every
    /// `a_j`.
    pub residuals: Vec<f32>,
    /// For each sample the images that raise f most, the strongest first.
    pub proponents: Vec<Vec<RankedImage>>,
    /// For each sample the images that lower f most, the strongest first.
    pub opponents: Vec<Vec<RankedImage>>,
}

/// The influence of one training image on one sample.
#[derive(Debug, Clone, PartialEq)]
pub struct RankedImage {
    /// Index of the image.
    pub image: usize,
    /// `a_j`.
    pub influence: f32,
    /// Contribution of each evaluation, P numbers.
    pub along: Vec<f32>,
}

/// Draws the samples of `config` and computes the influence of every training image on every functional. The `strongest`
/// proponents and opponents of each sample are kept with their contributions along the path.
///
/// One chunk of images is in memory at a time, so memory grows with the number of images by the results only.
/// `progress` receives the fraction of the work that is done, from 0 to 1.
///
/// # Errors
/// If there is no sample, no batch or no functional, shapes do not fit, the density cannot follow the sampler, or a model
/// fails.
pub fn compute(
    model: &dyn Denoiser,
    images: &ImagePoints,
    functionals: &[Box<dyn Functional>],
    config: &ResolvedConfig,
    strongest: usize,
    mut progress: impl FnMut(f64),
) -> Result<Influences, DiffusionError> {
    check_counts(config, functionals)?;
    let started = Instant::now();
    let mut results = Influences::empty(model.dim(), images.set().len(), functionals);
    for batch in config.batches() {
        let fraction =
            |done: f64| (batch.first as f64 + batch.count as f64 * done) / config.samples as f64;
        let trajectory = sample(model, images, &batch, config)?;
        let pulled = results.append_samples(model, images, functionals, &batch, &trajectory)?;
        let precision = widest_float(images.device());
        let adjoint = AdjointInfluence::new(&trajectory, pulled, precision);
        progress(fraction(0.5));
        let influences = BatchInfluences::accumulate(&adjoint, images, |done| {
            progress(fraction(0.5 + done / 2.0));
        })?;
        results.append_influences(&batch, &adjoint, images, influences, strongest)?;
        progress(fraction(1.0));
    }
    results.seconds = started.elapsed().as_secs_f64();
    Ok(results)
}

/// Checks that there are samples, batches and functionals.
pub(super) fn check_counts(
    config: &ResolvedConfig,
    functionals: &[Box<dyn Functional>],
) -> Result<(), DiffusionError> {
    if config.samples == 0 || config.batch == 0 || functionals.is_empty() {
        return Err(DiffusionError::Invalid(
            "influences need at least one sample, one in a batch and one functional".to_owned(),
        ));
    }
    Ok(())
}

/// The paths of a batch.
pub(super) fn sample(
    model: &dyn Denoiser,
    images: &ImagePoints,
    batch: &Batch<'_>,
    config: &ResolvedConfig,
) -> Result<Trajectory, DiffusionError> {
    let shape = [batch.count, model.dim()];
    let start = batch.noise.start(shape, images.device(), DType::F32);
    Trajectory::sample(
        model,
        &batch.density,
        &config.sampler,
        &config.sigmas,
        start,
        &batch.noise,
    )
}

impl Influences {
    /// Number of samples.
    pub fn count(&self) -> usize {
        self.samples.len() / self.dim
    }

    /// `a_j` of every image on a functional of a sample, m numbers.
    pub fn row<'a>(&self, functional: &'a FunctionalInfluences, sample: usize) -> &'a [f32] {
        &functional.influence[sample * self.images..(sample + 1) * self.images]
    }

    /// Results of no samples.
    pub(super) fn empty(dim: usize, images: usize, functionals: &[Box<dyn Functional>]) -> Self {
        let functionals = functionals.iter().map(|functional| FunctionalInfluences {
            name: functional.name().to_owned(),
            ..FunctionalInfluences::default()
        });
        Self {
            dim,
            images,
            samples: Vec::new(),
            sigmas: Vec::new(),
            balance: Vec::new(),
            functionals: functionals.collect(),
            seconds: 0.0,
        }
    }

    /// Appends the samples of a batch and the functionals of them, and pulls their gradients back to the `G_p`.
    pub(super) fn append_samples(
        &mut self,
        model: &dyn Denoiser,
        images: &ImagePoints,
        functionals: &[Box<dyn Functional>],
        batch: &Batch<'_>,
        trajectory: &Trajectory,
    ) -> Result<Vec<Tensor<3>>, DiffusionError> {
        let samples = trajectory.samples.clone();
        self.samples.extend(finite_samples(samples, batch.first)?);
        self.sigmas = trajectory.points.iter().map(|p| p.sigma as f32).collect();
        let precision = widest_float(images.device());
        let context = FunctionalContext {
            model,
            trajectory,
            first: batch.first,
            images,
            precision,
        };
        let mut gradients = Vec::new();
        for (results, functional) in self.functionals.iter_mut().zip(functionals) {
            let evaluated = functional.value_and_gradient(&context)?;
            results.values.extend(values(evaluated.values)?);
            results
                .gradients
                .extend(values(evaluated.gradients.clone())?);
            gradients.push(evaluated.gradients);
        }
        trajectory.pull_back(model, Tensor::stack(gradients, 0))
    }

    /// Appends the influences of a batch, with its strongest images.
    fn append_influences(
        &mut self,
        batch: &Batch<'_>,
        adjoint: &AdjointInfluence,
        images: &ImagePoints,
        influences: BatchInfluences,
        count: usize,
    ) -> Result<(), DiffusionError> {
        let (n, m, evaluations) = (batch.count, self.images, adjoint.evaluations());
        self.balance.extend(influences.balance);
        let rows = influences.influence.chunks_exact(n * m);
        let strengths = influences.strength.chunks_exact(n * evaluations);
        let functionals = self.functionals.iter_mut().zip(rows.zip(strengths));
        for (k, (results, (rows, strength))) in functionals.enumerate() {
            results.influence.extend_from_slice(rows);
            results.strength.extend_from_slice(strength);
            for (i, row) in rows.chunks_exact(m).enumerate() {
                let sum: f64 = row.iter().map(|a| f64::from(*a)).sum();
                results.residuals.push((sum / m as f64) as f32);
                let ranked = |picked| ranked_images(adjoint, images, [k, i], row, picked);
                let (proponents, opponents) = strongest(row, count);
                results.proponents.push(ranked(proponents)?);
                results.opponents.push(ranked(opponents)?);
            }
        }
        Ok(())
    }
}

/// The influences of all images on one batch.
struct BatchInfluences {
    /// `[K, n, m]`.
    influence: Vec<f32>,
    /// `[K, n, P]`.
    strength: Vec<f32>,
    /// `[n, P]`.
    balance: Vec<f32>,
}

impl BatchInfluences {
    fn accumulate(
        adjoint: &AdjointInfluence,
        images: &ImagePoints,
        mut progress: impl FnMut(f64),
    ) -> Result<Self, DiffusionError> {
        let (m, evaluations) = (images.set().len(), adjoint.evaluations());
        let mut influence: Vec<Tensor<3>> = Vec::new();
        let mut strength = vec![RunningSum::<3>::default(); evaluations];
        let mut balance = vec![RunningSum::<2>::default(); evaluations];
        for range in chunks(m) {
            let end = range.end;
            let copies = images.with_mirrors(range);
            // An image and its mirror image are one image, which share its mass.
            let share = 1.0 / copies.len() as f64;
            let mut contributions = vec![RunningSum::<3>::default(); evaluations];
            for points in &copies {
                for (p, contribution) in adjoint.contributions(points).into_iter().enumerate() {
                    contributions[p].add(contribution.influence * share);
                    if let Some(ratios) = contribution.ratios {
                        balance[p].add(ratios.sum_dim(1) * (share / m as f64));
                    }
                }
            }
            let mut total = RunningSum::<3>::default();
            for (contribution, strength) in contributions.into_iter().zip(&mut strength) {
                if let Some(contribution) = contribution.into_sum() {
                    strength.add(contribution.clone().abs().sum_dim(2) / m as f64);
                    total.add(contribution);
                }
            }
            influence.extend(total.into_sum());
            progress(end as f64 / m as f64);
        }
        let strength = strength.into_iter().filter_map(RunningSum::into_sum);
        let zero = adjoint.zero_column();
        let balance = balance
            .into_iter()
            .map(|sum| sum.into_sum().unwrap_or_else(|| zero.clone()));
        Ok(Self {
            influence: values(Tensor::cat(influence, 2))?,
            strength: values(Tensor::cat(strength.collect(), 2))?,
            balance: values(Tensor::cat(balance.collect(), 1))?,
        })
    }
}

/// Indices of the `count` largest positive and of the `count` smallest negative numbers of a row, the strongest first.
/// Numbers that are not finite are left out.
pub(super) fn strongest(row: &[f32], count: usize) -> (Vec<usize>, Vec<usize>) {
    let mut order: Vec<usize> = (0..row.len()).filter(|&j| row[j].is_finite()).collect();
    order.sort_by(|&a, &b| row[b].total_cmp(&row[a]));
    let proponents = order.iter().take(count).copied();
    let opponents = order.iter().rev().take(count).copied();
    (
        proponents.filter(|&j| row[j] > 0.0).collect(),
        opponents.filter(|&j| row[j] < 0.0).collect(),
    )
}

/// The picked images of sample i and functional k, with their contributions along the path.
fn ranked_images(
    adjoint: &AdjointInfluence,
    images: &ImagePoints,
    [k, i]: [usize; 2],
    row: &[f32],
    picked: Vec<usize>,
) -> Result<Vec<RankedImage>, DiffusionError> {
    if picked.is_empty() {
        return Ok(Vec::new());
    }
    let adjoint = adjoint.select(k, i);
    let copies = images.with_mirrors(picked.iter().copied());
    let share = 1.0 / copies.len() as f32;
    let mut curves = vec![vec![0.0; adjoint.evaluations()]; picked.len()];
    for points in &copies {
        for (p, contribution) in adjoint.contributions(points).into_iter().enumerate() {
            for (curve, value) in curves.iter_mut().zip(values(contribution.influence)?) {
                curve[p] += share * value;
            }
        }
    }
    let ranked = picked.into_iter().zip(curves);
    Ok(ranked
        .map(|(image, along)| RankedImage {
            image,
            influence: row[image],
            along,
        })
        .collect())
}
