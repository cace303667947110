//! Displacements of samples by the removal of the images that a method holds responsible for them.

use datasway_stats::bootstrap;

use crate::RetrainError;
use crate::jobs::{JobId, RemovalJobs, Workspace};

/// Effect of one way to choose the removed images.
#[derive(Debug, Clone, PartialEq)]
pub struct RemovalEffect {
    /// The choice of the images.
    pub removal: Removal,
    /// Displacement of each sample without its images: the distance from the sample of the model of all images.
    pub distances: Vec<f64>,
    /// Mean of the displacements.
    pub mean: f64,
    /// Mean of the displacements over that for random images.
    pub ratio: f64,
    /// Bootstrap 95 % interval of the ratio over samples.
    pub interval: [f64; 2],
    /// The same ratio for the other samples of the experiment, for which the images were not chosen.
    pub other_samples_ratio: f64,
}

/// Choice of the images that are removed for a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// The images that a form of a method holds most responsible, as an index in the removals of the benchmark.
    Responsible(usize),
    /// Random images.
    Random,
}

/// Displacements by counterfactual models of one choice of images.
struct Displacements {
    /// Displacement of the sample of each model.
    chosen: Vec<f64>,
    /// Mean displacement of the other samples, for each model.
    others: Vec<f64>,
}

/// The effects of all removals, in descending order of the mean displacement; none while a model is missing.
///
/// # Errors
/// If a result cannot be read.
pub fn evaluate(
    workspace: &Workspace<'_>,
    jobs: &RemovalJobs,
) -> Result<Option<Vec<RemovalEffect>>, RetrainError> {
    let mut counterfactuals = jobs.responsible.iter().flatten().chain(&jobs.random);
    if !workspace.is_done(jobs.before) || !counterfactuals.all(|&job| workspace.is_done(job)) {
        return Ok(None);
    }
    let random = Displacements::read(workspace, jobs.before, &jobs.random)?;
    let samples: Vec<usize> = (0..random.chosen.len()).collect();
    let removals = (0..).map(Removal::Responsible);
    let removals = removals
        .zip(&jobs.responsible)
        .chain([(Removal::Random, &jobs.random)]);
    let mut effects = Vec::new();
    for (removal, models) in removals {
        let Displacements {
            chosen: distances,
            others,
        } = Displacements::read(workspace, jobs.before, models)?;
        let ratio = |draw: &[usize]| ratio_of_means(&distances, &random.chosen, draw);
        effects.push(RemovalEffect {
            removal,
            mean: distances.iter().sum::<f64>() / distances.len() as f64,
            ratio: ratio(&samples),
            interval: bootstrap(samples.len(), ratio),
            other_samples_ratio: ratio_of_means(&others, &random.others, &samples),
            distances,
        });
    }
    effects.sort_by(|a, b| b.mean.total_cmp(&a.mean));
    Ok(Some(effects))
}

impl Displacements {
    /// The displacements by `models`, the i-th of which is that of sample i, from the samples of the job `before`.
    fn read(
        workspace: &Workspace<'_>,
        before: JobId,
        models: &[JobId],
    ) -> Result<Self, RetrainError> {
        let before = workspace.samples(before)?;
        let (mut chosen, mut others) = (Vec::new(), Vec::new());
        for (i, &model) in models.iter().enumerate() {
            let change = workspace.samples(model)? - before.clone();
            let distances = change.powi_scalar(2).sum_dim(1).sqrt().into_data();
            let distances: Vec<f64> = distances.iter::<f64>().collect();
            let sum_of_others = distances.iter().sum::<f64>() - distances[i];
            chosen.push(distances[i]);
            others.push(sum_of_others / (distances.len() - 1).max(1) as f64);
        }
        Ok(Self { chosen, others })
    }
}

/// The ratio of the means of `values` and of `reference` over samples of these indices.
fn ratio_of_means(values: &[f64], reference: &[f64], samples: &[usize]) -> f64 {
    let sum = |values: &[f64]| samples.iter().map(|&i| values[i]).sum::<f64>();
    sum(values) / sum(reference)
}
