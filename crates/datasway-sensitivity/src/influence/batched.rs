//! Samples and the influence of every training image on functionals of them, in batches of samples and chunks of images.

use std::time::Instant;

use burn::tensor::Tensor;
use datasway_diffusion::denoiser::Denoiser;
use datasway_diffusion::device::{has_own_memory, widest_float};
use datasway_diffusion::{DiffusionError, schedule};

use super::accumulated::BatchInfluences;
use super::adjoint::AdjointInfluence;
use super::functional::{Functional, FunctionalContext};
use super::ranked::{RankedImage, ranked_images, strongest};
use super::stacked::influences_of_own;
use crate::config::{Batch, ResolvedConfig};
use crate::density::{LogDensity, MeasureComparison, NoDensity};
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
    /// Noise level at the start of each step, S in all; none where the parts of the steps were not asked for.
    pub step_sigmas: Vec<f32>,
    /// Number of candidates, c: images outside the training set whose influence is computed as well; 0 for none.
    pub candidates: usize,
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
    /// Part of each step of the sampler in `a_j`, `[n, S, m]`, which adds up to it; empty if it was not asked for.
    pub by_step: Vec<f32>,
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
    /// The influences of the candidates; none without candidates.
    pub candidates: Option<CandidateInfluences>,
}

/// The influences of images outside the training set on one functional, if they were added to it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CandidateInfluences {
    /// `a_y = df/dη` for mass η added at candidate y, `[n, c]`. Adding one image to m is η = 1/m.
    pub influence: Vec<f32>,
    /// Part of each step in `a_y`, `[n, S, c]`; empty if it was not asked for.
    pub by_step: Vec<f32>,
    /// For each sample the candidates that would raise f most, the strongest first.
    pub proponents: Vec<Vec<RankedImage>>,
    /// For each sample the candidates that would lower f most, the strongest first.
    pub opponents: Vec<Vec<RankedImage>>,
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
    progress: impl FnMut(f64),
) -> Result<Influences, DiffusionError> {
    compute_with_candidates(
        model,
        images,
        None,
        functionals,
        config,
        strongest,
        progress,
    )
}

/// [`compute`], and the influence that `candidates` outside the training set would have if they were added to it: the same
/// sum at other points.
///
/// # Errors
/// As [`compute`], or if the candidates have another shape.
pub fn compute_with_candidates(
    model: &dyn Denoiser,
    images: &ImagePoints,
    candidates: Option<&ImagePoints>,
    functionals: &[Box<dyn Functional>],
    config: &ResolvedConfig,
    strongest: usize,
    mut progress: impl FnMut(f64),
) -> Result<Influences, DiffusionError> {
    check_candidates(images, candidates)?;
    check_counts(config, functionals)?;
    let started = Instant::now();
    let mut results = Influences::empty(model.dim(), images, candidates, functionals);
    for batch in config.batches() {
        let fraction = |done: f64| {
            ((batch.first - config.first) as f64 + batch.count as f64 * done)
                / config.samples as f64
        };
        let own = own_comparison(&batch, images);
        // The density of these images themselves is found together with their influences.
        let trajectory = sample(model, images, &batch, own.is_none(), config)?;
        let own_of = own.as_ref();
        let pulled =
            results.append_samples(model, images, functionals, &batch, &trajectory, own_of)?;
        progress(fraction(0.5));
        let by_step = config.by_step;
        let images_done = |done| progress(fraction(0.5 + done / 2.0));
        let (influences, adjoint) = match own {
            Some(own) => {
                influences_of_own(images, &own, &trajectory, pulled, by_step, images_done)?
            }
            None => {
                let precision = widest_float(images.device());
                let adjoint = AdjointInfluence::new(&trajectory, pulled, precision);
                let influences =
                    BatchInfluences::accumulate(&adjoint, images, by_step, images_done)?;
                (influences, adjoint)
            }
        };
        results.append_influences(&adjoint, images, influences, strongest)?;
        if let Some(candidates) = candidates {
            let influences = BatchInfluences::accumulate(&adjoint, candidates, by_step, |_| ())?;
            results.append_candidates(&adjoint, candidates, influences, strongest)?;
        }
        if by_step {
            results.step_sigmas = config.sigmas.iter().map(|sigma| *sigma as f32).collect();
            results.step_sigmas.pop();
        }
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

/// Checks that there are candidates where they are asked for, of the shape of the training images.
pub(super) fn check_candidates(
    images: &ImagePoints,
    candidates: Option<&ImagePoints>,
) -> Result<(), DiffusionError> {
    match candidates {
        Some(candidates) if candidates.count() == 0 || candidates.dim() != images.dim() => {
            Err(DiffusionError::Shape {
                what: "a set of candidates".to_owned(),
                found: vec![candidates.count(), candidates.dim()],
                expected: vec![candidates.count().max(1), images.dim()],
            })
        }
        Some(_) | None => Ok(()),
    }
}

/// The comparison with these images themselves, on devices that share their memory. q and `⟨G, D⟩` are then sums of the masses and
/// products that the influences consist of, so that the mean influence of all images is 0 whatever the rounding of these.
fn own_comparison<'a>(batch: &'a Batch<'_>, images: &ImagePoints) -> Option<MeasureComparison<'a>> {
    if has_own_memory(images.device()) {
        return None;
    }
    let comparison = batch.density.comparison()?;
    comparison.is_with(images).then_some(comparison)
}

/// The paths of a batch, with its density along them if `compared`.
pub(super) fn sample(
    model: &dyn Denoiser,
    images: &ImagePoints,
    batch: &Batch<'_>,
    compared: bool,
    config: &ResolvedConfig,
) -> Result<Trajectory, DiffusionError> {
    let start = batch.start(model.dim(), images.device())?;
    let density: &dyn LogDensity = if compared {
        &batch.density
    } else {
        schedule::check(&config.sigmas)?;
        let steps = config.sampler.steps(&config.sigmas);
        batch.density.check(&steps)?;
        batch.density.begin(&start, config.sigmas[0])?;
        &NoDensity
    };
    Trajectory::sample(
        model,
        density,
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
    pub(super) fn empty(
        dim: usize,
        images: &ImagePoints,
        candidates: Option<&ImagePoints>,
        functionals: &[Box<dyn Functional>],
    ) -> Self {
        let functionals = functionals.iter().map(|functional| FunctionalInfluences {
            name: functional.name().to_owned(),
            candidates: candidates.map(|_| CandidateInfluences::default()),
            ..FunctionalInfluences::default()
        });
        Self {
            dim,
            images: images.set().len(),
            samples: Vec::new(),
            sigmas: Vec::new(),
            step_sigmas: Vec::new(),
            candidates: candidates.map_or(0, |candidates| candidates.set().len()),
            balance: Vec::new(),
            functionals: functionals.collect(),
            seconds: 0.0,
        }
    }

    /// Appends the samples of a batch and the functionals of them, and pulls their gradients back to the `G_p`. The comparison with the
    /// images themselves is given where the paths have none.
    pub(super) fn append_samples(
        &mut self,
        model: &dyn Denoiser,
        images: &ImagePoints,
        functionals: &[Box<dyn Functional>],
        batch: &Batch<'_>,
        trajectory: &Trajectory,
        own: Option<&MeasureComparison<'_>>,
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
            own,
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
        adjoint: &AdjointInfluence,
        images: &ImagePoints,
        influences: BatchInfluences,
        count: usize,
    ) -> Result<(), DiffusionError> {
        let m = self.images;
        let functionals = self.functionals.len();
        self.balance.extend(influences.balance);
        for (k, results) in self.functionals.iter_mut().enumerate() {
            let rows = part(&influences.influence, k, functionals);
            results.influence.extend_from_slice(rows);
            let by_step = part(&influences.by_step, k, functionals);
            results.by_step.extend_from_slice(by_step);
            let strength = part(&influences.strength, k, functionals);
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
    /// Appends the influences of the candidates on a batch, with its strongest candidates.
    fn append_candidates(
        &mut self,
        adjoint: &AdjointInfluence,
        candidates: &ImagePoints,
        influences: BatchInfluences,
        count: usize,
    ) -> Result<(), DiffusionError> {
        let (c, functionals) = (self.candidates, self.functionals.len());
        for (k, functional) in self.functionals.iter_mut().enumerate() {
            let results = functional.candidates.get_or_insert_default();
            let rows = part(&influences.influence, k, functionals);
            results.influence.extend_from_slice(rows);
            let by_step = part(&influences.by_step, k, functionals);
            results.by_step.extend_from_slice(by_step);
            for (i, row) in rows.chunks_exact(c).enumerate() {
                let ranked = |picked| ranked_images(adjoint, candidates, [k, i], row, picked);
                let (proponents, opponents) = strongest(row, count);
                results.proponents.push(ranked(proponents)?);
                results.opponents.push(ranked(opponents)?);
            }
        }
        Ok(())
    }
}

/// Part k of the numbers of `count` functionals.
fn part(numbers: &[f32], k: usize, count: usize) -> &[f32] {
    let length = numbers.len() / count;
    &numbers[k * length..(k + 1) * length]
}
