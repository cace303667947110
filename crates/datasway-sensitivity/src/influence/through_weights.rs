//! Samples and the influence of every training image on functionals of them, through the weights of the model.
//!
//! A functional f of a sample has the gradient `g = ∂f/∂θ` in the weights. With `u = (G + λ)⁻¹·g` image j has the influence
//! `a_j = −⟨∇ℓ_j − ∇L_ρ, u⟩` ([`learner`](crate::learner)). Each functional of each sample is a right-hand side of its own.

use std::time::Instant;

use datasway_diffusion::DiffusionError;

use super::batched::{Influences, check_candidates, check_counts, sample};
use super::functional::Functional;
use super::ranked::{RankedImage, strongest};
use crate::config::ResolvedConfig;
use crate::learner::{CurvatureInverse, DataPoints, Learner, SolverReport, weight_gradients};
use crate::measure::ImagePoints;

/// Right-hand sides that are solved together if no sample has more, each of the size of the weights.
const SOLVED_TOGETHER: usize = 16;

/// The largest number of right-hand sides that are solved together for so many functionals of so many samples.
pub fn solved_together(functionals: usize, samples: usize) -> usize {
    functionals * samples_together(functionals).min(samples)
}

/// Samples whose functionals are solved together.
fn samples_together(functionals: usize) -> usize {
    (SOLVED_TOGETHER / functionals.max(1)).max(1)
}

/// The influence of images on functionals through the weights, for samples in parts of any size.
///
/// The parts share the regularised inverse of the curvature. Parts of whole batches have the numbers of all samples together.
pub struct WeightInfluenceSolver<'a> {
    learner: Learner<'a>,
    inverse: CurvatureInverse<'a>,
    images: &'a ImagePoints,
    candidates: Option<&'a ImagePoints>,
    functionals: &'a [Box<dyn Functional>],
}

/// Draws the samples of `config` and computes the influence of every training image on every functional through the
/// weights. The `strongest` proponents and opponents of each sample are kept. The density of `config` is that of
/// functionals that need one.
///
/// `candidates` are images outside the training set, whose influence if they were added is computed as well. `progress` receives
/// the fraction of the work that is done, from 0 to 1.
///
/// # Errors
/// If there is no sample, no batch or no functional, shapes do not fit, an option is out of its range, or the model fails.
pub fn compute_through_weights(
    learner: &Learner<'_>,
    images: &ImagePoints,
    candidates: Option<&ImagePoints>,
    functionals: &[Box<dyn Functional>],
    config: &ResolvedConfig,
    strongest: usize,
    mut progress: impl FnMut(f64),
) -> Result<(Influences, SolverReport), DiffusionError> {
    check_counts(config, functionals)?;
    let started = Instant::now();
    let others = candidates.map_or(0, ImagePoints::count);
    let work = with_draws_of_copies(learner, images)
        .influence_work(functionals.len() * config.samples, others);
    let (mut done, total) = (0, work as f64);
    let mut advance = |work: usize| {
        done += work;
        progress(done as f64 / total);
    };
    let solver =
        WeightInfluenceSolver::new(learner, images, candidates, functionals, &mut advance)?;
    let (mut results, report) = solver.compute(config, strongest, &mut advance)?;
    results.seconds = started.elapsed().as_secs_f64();
    Ok((results, report))
}

impl<'a> WeightInfluenceSolver<'a> {
    /// The inverse of the curvature of `learner`, for influences on these functionals. `progress` receives the work that is done, in
    /// the units of [`Learner::influence_work`].
    ///
    /// # Errors
    /// If shapes do not fit, an option is out of its range, or the model fails.
    pub fn new(
        learner: &Learner<'a>,
        images: &'a ImagePoints,
        candidates: Option<&'a ImagePoints>,
        functionals: &'a [Box<dyn Functional>],
        progress: &mut dyn FnMut(usize),
    ) -> Result<Self, DiffusionError> {
        check_candidates(images, candidates)?;
        let learner = with_draws_of_copies(learner, images);
        Ok(Self {
            inverse: learner.inverse(progress)?,
            learner,
            images,
            candidates,
            functionals,
        })
    }

    /// The influences on the samples of `config`, as [`compute_through_weights`] has them. `progress` is that of [`new`](Self::new).
    ///
    /// # Errors
    /// As [`compute_through_weights`].
    pub fn compute(
        &self,
        config: &ResolvedConfig,
        strongest: usize,
        progress: &mut dyn FnMut(usize),
    ) -> Result<(Influences, SolverReport), DiffusionError> {
        let Self {
            learner,
            images,
            candidates,
            functionals,
            ..
        } = *self;
        check_counts(config, functionals)?;
        let started = Instant::now();
        let (k, model) = (functionals.len(), learner.model);
        let mut report: Option<SolverReport> = None;
        let mut results = Influences::empty(model.dim(), images, candidates, functionals);
        let others = candidates.map(|candidates| candidates as &dyn DataPoints);
        let together = samples_together(k);
        for batch in config.batches() {
            let compared = functionals.iter().any(|f| f.needs_density());
            let trajectory = sample(model, images, &batch, compared, config)?;
            let pulled =
                results.append_samples(model, images, functionals, &batch, &trajectory, None)?;
            for first in (0..batch.count).step_by(together) {
                let samples = first..(first + together).min(batch.count);
                let right = weight_gradients(model, &trajectory, &pulled, samples)?;
                let solution = self.inverse.apply(&right, progress)?;
                match &mut report {
                    Some(report) => report.append(solution.report),
                    None => report = Some(solution.report),
                }
                let influences = learner.influences_with(others, &solution.solutions, progress)?;
                for (column, row) in influences.training_set.iter().enumerate() {
                    results.append_row(column % k, row, strongest);
                }
                for (column, row) in influences.others.iter().flatten().enumerate() {
                    results.append_candidate_row(column % k, row, strongest);
                }
            }
        }
        results.sigmas.clear();
        results.seconds = started.elapsed().as_secs_f64();
        // check_counts leaves no run without a sample.
        Ok((results, report.expect("there is a sample")))
    }
}

/// The learner with the draws of an image shared out between it and its mirror image.
fn with_draws_of_copies<'a>(learner: &Learner<'a>, images: &ImagePoints) -> Learner<'a> {
    let mut learner = *learner;
    let copies = images.count() / images.set().len().max(1);
    learner.config.image_draws = learner.config.image_draws.div_ceil(copies.max(1));
    learner
}

impl Influences {
    /// Appends the influences of all points on a functional of the next sample.
    fn append_row(&mut self, functional: usize, points: &[f64], count: usize) {
        let m = self.images;
        let row = share_mass(points, m);
        let (proponents, opponents) = strongest(&row, count);
        let results = &mut self.functionals[functional];
        results.proponents.push(ranked(&row, proponents));
        results.opponents.push(ranked(&row, opponents));
        let sum: f64 = row.iter().map(|a| f64::from(*a)).sum();
        results.residuals.push((sum / m as f64) as f32);
        results.influence.extend(row);
    }

    /// Appends the influences of all candidates on a functional of the next sample.
    fn append_candidate_row(&mut self, functional: usize, points: &[f64], count: usize) {
        let row = share_mass(points, self.candidates);
        let (proponents, opponents) = strongest(&row, count);
        let results = self.functionals[functional]
            .candidates
            .get_or_insert_default();
        results.proponents.push(ranked(&row, proponents));
        results.opponents.push(ranked(&row, opponents));
        results.influence.extend(row);
    }
}

/// The influences of m images from those of their points: an image and its mirror image share its mass.
fn share_mass(points: &[f64], m: usize) -> Vec<f32> {
    let copies = (points.len() / m) as f64;
    let image = |j: usize| points.iter().skip(j).step_by(m).sum::<f64>() / copies;
    (0..m).map(|j| image(j) as f32).collect()
}

/// The picked images, which have no contributions along the path.
fn ranked(row: &[f32], picked: Vec<usize>) -> Vec<RankedImage> {
    let ranked = picked.into_iter().map(|image| RankedImage {
        image,
        influence: row[image],
        along: Vec::new(),
    });
    ranked.collect()
}
