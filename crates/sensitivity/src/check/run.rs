//! Run information and results of a check.

use datasway_fs::plural;
use datasway_sensitivity::fit::{LevelLoss, LinearKind, PathPrecision};
use datasway_sensitivity::{ClipDifference, SIDECAR, SensitivityConfig};
use serde::Serialize;

use super::cost::RunCost;
use super::influence_cost::InfluenceCost;
use super::noise_range::noise_range;
use super::parts::CheckResults;
use super::plan::CheckPlan;
use crate::model_arguments::Candidate;

/// The model, the data and the results of a check.
#[derive(Serialize)]
pub struct CheckRun {
    pub datasway: &'static str,
    pub checkpoint: String,
    pub data: String,
    pub fingerprint: String,
    pub training_data: String,
    /// True if the data are those of the training by their fingerprint; none if neither the model nor its sidecar has one.
    pub same_data: Option<bool>,
    /// The data of the training as the sidecar names them; none without a sidecar, or if it names none.
    pub named_data: Option<String>,
    pub images: usize,
    pub mirrored: bool,
    pub sigma_range: Option<[f64; 2]>,
    pub sigma_min: f64,
    pub sigma_max: f64,
    pub seed: u64,
    pub data_scale: f64,
    /// The images and samples of the check, and its planned time.
    pub plan: CheckPlan,
    pub bandwidth: f64,
    /// The second moments of the linear denoiser: `covariance`, `low-rank` or `variances`.
    pub linear: &'static str,
    /// Directions that the linear denoiser knows if it is of low rank.
    pub linear_directions: Option<usize>,
    pub losses: Vec<Level>,
    pub told: Vec<(f64, f64)>,
    /// Time and memory of the ranking that is asked for; none if the model's output is not finite.
    pub cost: Option<RunCost>,
    /// Time and memory of the influences that are asked for; none if the model's output is not finite.
    pub influence_cost: Option<InfluenceCost>,
    /// The effect of single precision on one path; none if there is no other, or a sample is not finite.
    pub precision: Option<PathPrecision>,
    /// The difference that the `clip_sample` of the scheduler would make to the samples.
    pub clip_sample: Option<ClipDifference>,
    pub fits: bool,
    pub reason: Option<String>,
}

/// The losses at a noise level.
#[derive(Serialize)]
pub struct Level {
    pub sigma: f64,
    pub model: f64,
    pub raw_weights: Option<f64>,
    pub linear: f64,
    pub blurred: f64,
}

impl CheckRun {
    /// The results of the check of a model.
    pub fn new(candidate: &Candidate, config: &SensitivityConfig, results: CheckResults) -> Self {
        let fit = results.fit;
        let (model, expected) = (&candidate.model, candidate.fingerprint.as_ref());
        let misfit = fit.misfit();
        let (linear, linear_directions) = match fit.linear {
            LinearKind::Covariance => ("covariance", None),
            LinearKind::LowRank(directions) => ("low-rank", Some(directions)),
            LinearKind::Variances => ("variances", None),
        };
        let [sigma_min, sigma_max] = noise_range(config);
        let level = |level: &LevelLoss| Level {
            sigma: level.sigma,
            model: level.model,
            raw_weights: level.other,
            linear: level.linear,
            blurred: level.blurred,
        };
        Self {
            datasway: env!("CARGO_PKG_VERSION"),
            checkpoint: model.name.clone(),
            data: model.images.name.clone(),
            fingerprint: model.images.fingerprint.clone(),
            training_data: model.training.data.clone(),
            same_data: expected.map(|expected| *expected == model.images.fingerprint),
            named_data: candidate.named_data.clone(),
            images: model.images.len(),
            mirrored: model.mirrored,
            sigma_range: model.training.sigma_range,
            sigma_min,
            sigma_max,
            seed: config.seed,
            data_scale: fit.data_scale,
            bandwidth: fit.bandwidth,
            linear,
            linear_directions,
            losses: fit.levels.iter().map(level).collect(),
            told: fit.told,
            plan: results.plan,
            cost: results.cost,
            influence_cost: results.influence_cost,
            precision: results.precision,
            clip_sample: results.clip_sample,
            fits: misfit.is_none(),
            reason: misfit.map(|misfit| misfit.to_string()),
        }
    }

    /// The relation of the data to those of the training, in words.
    pub fn same_data_text(&self) -> String {
        match (self.same_data, &self.named_data) {
            (Some(true), _) => "the data of the training, by fingerprint".to_owned(),
            (Some(false), _) => "other data than those of the training, by fingerprint".to_owned(),
            (None, Some(named)) if *named == self.training_data => {
                format!("the data that {SIDECAR} names, without a fingerprint")
            }
            (None, Some(named)) => format!("other data than {named}, which {SIDECAR} names"),
            (None, None) => "the model does not name the data of its training".to_owned(),
        }
    }

    /// The second moments of the linear denoiser, in words.
    pub fn linear_text(&self) -> String {
        match self.linear_directions {
            Some(count) => format!("{} of most variance", plural(count, "direction")),
            None => self.linear.to_owned(),
        }
    }
}
