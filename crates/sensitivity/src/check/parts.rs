//! The parts of a check, one after the other: trials of the runs, precision, losses, samples.

use std::time::Instant;

use anyhow::{Result, anyhow};
use burn::tensor::{DType, Tensor};
use datasway_diffusion::DiffusionError;
use datasway_diffusion::denoiser::Denoiser;
use datasway_diffusion::device::widest_float;
use datasway_diffusion::sampler::{FrozenNoise, sample};
use datasway_sensitivity::density::Bandwidth;
use datasway_sensitivity::fit::{self, FitOptions, ModelFit, PathPrecision, References};
use datasway_sensitivity::influence::Functional;
use datasway_sensitivity::{CLIPPED_SAMPLES, ClipDifference, SensitivityConfig};

use super::arguments::CheckArgs;
use super::cost::{RunCost, TrialPlace};
use super::influence_cost::{InfluenceCost, InfluenceTrial};
use super::noise_range::noise_range;
use super::plan::{
    CheckPlan, CheckSize, Speed, TimeLimit, clip_seconds, duration, loss_seconds,
    precision_seconds, sample_seconds, trial_seconds,
};
use super::progress::{CheckProgress, Watched};
use crate::influence::functional_spec;
use crate::model_arguments::Candidate;

/// Noise levels of equal ratio, beside those around the scale of the data.
const LEVELS: usize = 12;

/// A check that can be run.
pub struct Check<'a> {
    arguments: &'a CheckArgs,
    candidate: &'a Candidate,
    config: &'a SensitivityConfig,
    losses: FitOptions,
    /// Root mean square deviation of a pixel from its mean.
    scale: f64,
    size: CheckSize,
    speed: Speed,
    /// The bandwidth, once it has been chosen.
    bandwidth: Option<f64>,
    /// The functionals of the influences that are estimated.
    functionals: Vec<Box<dyn Functional>>,
    limit: TimeLimit,
    progress: CheckProgress,
}

/// The results of a check.
pub struct CheckResults {
    /// The images and samples.
    pub plan: CheckPlan,
    /// Time and memory of the ranking that is asked for; none if the model's output is not finite.
    pub cost: Option<RunCost>,
    /// Time and memory of the influences that are asked for; none if the model's output is not finite.
    pub influence_cost: Option<InfluenceCost>,
    /// The effect of single precision on one path; none if it was not measured, or a sample is not finite.
    pub precision: Option<PathPrecision>,
    /// The losses.
    pub fit: ModelFit,
    /// Samples, `[n, d]`; none where they are not finite.
    pub samples: Option<Vec<f32>>,
    /// The difference that the `clip_sample` of the scheduler would make.
    pub clip_sample: Option<ClipDifference>,
}

impl<'a> Check<'a> {
    /// The check of a model on data. The bar begins, and the model's speed is measured.
    ///
    /// # Errors
    /// If a functional is not understood or does not fit the model, or the model fails.
    pub fn new(
        arguments: &'a CheckArgs,
        candidate: &'a Candidate,
        config: &'a SensitivityConfig,
    ) -> Result<Self> {
        let model = &candidate.model;
        let functionals = arguments.functionals.iter();
        let functionals = functionals
            .map(|text| functional_spec::parse(text, config.samples, model))
            .collect::<Result<Vec<_>>>()?;
        let progress = CheckProgress::new()?;
        progress.begin("timing the model", 0.0, 0);
        let scale = fit::data_scale(&model.images);
        let losses = FitOptions {
            sigmas: fit::sigma_grid(noise_range(config), scale, LEVELS),
            batch: config.batch,
            seed: config.seed,
        };
        let stages = config.sampler.steps(&config.sigmas);
        let size = CheckSize {
            evaluations_per_image: losses.evaluations(candidate.raw.is_some()),
            comparisons_per_image: losses.sigmas.len(),
            evaluations_per_sample: stages.iter().map(|step| step.stages.len()).sum(),
            images: model.images.len(),
            batch: config.batch,
            run_batch: config.batch.min(config.samples),
            changes: arguments.changes,
            functionals: functionals.len(),
            needs_products: functionals.iter().any(|f| f.needs_density()),
            clips: model.clip.is_some(),
            has_double: widest_float(&model.device) == DType::F64,
        };
        let speed = Speed::measure(model, config)?;
        Ok(Self {
            arguments,
            candidate,
            config,
            losses,
            scale,
            size,
            speed,
            bandwidth: None,
            functionals,
            limit: TimeLimit {
                minutes: arguments.minutes,
                trials: 0.0,
            },
            progress,
        })
    }

    /// Runs all parts.
    ///
    /// # Errors
    /// If the model or the comparison fails.
    pub fn run(mut self) -> Result<CheckResults> {
        // Before the comparison, whose memory a run does not need.
        let (cost, influence_cost) = self.costs()?;
        let plan = self.plan();
        let precision = if plan.precision {
            self.precision()?
        } else {
            None
        };
        let fit = self.fit(&plan)?;
        let samples = self.samples(&plan)?;
        let clip = |samples: &Vec<f32>| self.clip_difference(samples);
        let clip_sample = samples.as_ref().map(clip).transpose()?.flatten();
        self.progress.finish();
        Ok(CheckResults {
            plan,
            cost,
            influence_cost,
            precision,
            fit,
            samples,
            clip_sample,
        })
    }

    fn plan(&self) -> CheckPlan {
        CheckPlan::new(&self.size, &self.speed, self.limit, self.arguments.images)
    }

    /// Time and memory of the ranking and of the influences that are asked for. The speed is then that of a batch of the ranking, and
    /// the bar has its plan.
    fn costs(&mut self) -> Result<(Option<RunCost>, Option<InfluenceCost>)> {
        let (size, speed) = (self.size, self.speed);
        let trial = |evaluations: f64| {
            let batch = size.trial(&speed, evaluations, self.limit.seconds());
            (batch, trial_seconds(&speed, evaluations, batch))
        };
        let (ranked, ranking_seconds) = trial(size.evaluations_of_ranking());
        let (influenced, influence_seconds) = trial(size.evaluations_of_influences());
        self.limit.trials = ranking_seconds + influence_seconds;
        let planned = self.limit.trials + self.plan().seconds;
        self.progress.plan(planned);
        self.progress.tell(format!(
            "{:.4} s a sample forward: the check takes about {}",
            speed.forward,
            duration(planned)
        ));
        let started = Instant::now();
        let cost = self.ranking_cost(ranked, ranking_seconds)?;
        let influence_cost = match &cost {
            Some(ranking) => Some(self.influence_cost(ranking, influenced, influence_seconds)?),
            None => None,
        };
        self.limit.trials = started.elapsed().as_secs_f64();
        if let Some(cost) = &cost {
            let [forward, comparison] = cost.seconds_per_evaluation();
            self.bandwidth = cost.bandwidth();
            self.speed = Speed {
                forward,
                comparison,
                ..self.speed
            };
        }
        let plan = self.plan();
        (self.progress).plan(ranking_seconds + influence_seconds + plan.seconds);
        self.progress.tell(plan.text());
        Ok((cost, influence_cost))
    }

    /// Time and memory of the ranking, from a step of `batch` samples.
    fn ranking_cost(&self, batch: usize, seconds: f64) -> Result<Option<RunCost>> {
        // A path, a forward and one with products for the first sample and for the batch.
        self.progress
            .begin("a step of the run", seconds, 3 * (1 + batch));
        let model = &self.candidate.model;
        let watched = self.watched(model.score_model.denoiser());
        let sizes = [batch, self.arguments.changes];
        RunCost::measure(model, self.config, &self.trial_place(&watched), sizes)
    }

    /// Time and memory of the influences, from the network's products with `batch` samples.
    fn influence_cost(
        &self,
        ranking: &RunCost,
        batch: usize,
        seconds: f64,
    ) -> Result<InfluenceCost> {
        let products = 2 + if self.size.needs_products { 2 } else { 0 };
        self.progress
            .begin("influences", seconds, products * (1 + batch));
        let model = &self.candidate.model;
        let watched = self.watched(model.score_model.denoiser());
        let trial = InfluenceTrial {
            model,
            config: self.config,
            functionals: &self.functionals,
            ranking,
        };
        let place = self.trial_place(&watched);
        trial.measure(&place, batch, self.limit.seconds_of_images())
    }

    /// The place of what is tried: the scale of the data.
    fn trial_place<'b>(&'b self, denoiser: &'b dyn Denoiser) -> TrialPlace<'b> {
        TrialPlace {
            denoiser,
            sigma: self.scale,
            progress: &self.progress,
        }
    }

    /// The denoising losses of the model, of the best linear denoiser and of the blurred training images.
    fn fit(&self, plan: &CheckPlan) -> Result<ModelFit> {
        let model = &self.candidate.model;
        let evaluations = plan.images * self.size.evaluations_per_image;
        let seconds = loss_seconds(&self.size, &self.speed, plan.images);
        self.progress.begin("losses", seconds, evaluations);
        let asked = self.config.density.bandwidth.unwrap_or(Bandwidth::Auto);
        let bandwidth = self.bandwidth.map_or(asked, Bandwidth::Fixed);
        let references = References::new(
            &model.images,
            model.mirrored,
            bandwidth,
            plan.images,
            &model.device,
        )?;
        let raw = self.candidate.raw.as_ref().map(|raw| self.watched(raw));
        let raw = raw.as_ref().map(|raw| raw as _);
        let watched = self.watched(model.score_model.denoiser());
        Ok(references.measure(&watched, raw, &self.losses)?)
    }

    /// The effect of single precision on one path; none if a sample is not finite.
    fn precision(&self) -> Result<Option<PathPrecision>> {
        let seconds = precision_seconds(&self.size, &self.speed);
        let evaluations = 2 * self.size.evaluations_per_sample;
        self.progress
            .begin("double precision", seconds, evaluations);
        let model = &self.candidate.model;
        let double = (self.candidate.double)()?;
        let double = self.watched(double.denoiser());
        let single = self.watched(model.score_model.denoiser());
        match PathPrecision::measure(&single, &double, self.config, &model.device) {
            Ok(precision) => Ok(Some(precision)),
            Err(DiffusionError::NotFinite(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Samples to look at, `[n, d]`; none where the model's samples are not finite.
    fn samples(&self, plan: &CheckPlan) -> Result<Option<Vec<f32>>> {
        let (size, config) = (&self.size, self.config);
        let seconds = sample_seconds(size, &self.speed, plan.samples);
        let evaluations = plan.samples * size.evaluations_per_sample;
        self.progress.begin("samples", seconds, evaluations);
        let model = &self.candidate.model;
        let denoiser = self.watched(model.score_model.denoiser());
        let noise = FrozenNoise::new(config.seed);
        let shape = [plan.samples, denoiser.dim()];
        let start: Tensor<2> = noise.start(shape, &model.device, DType::F32);
        let Ok(samples) = sample(&denoiser, &config.sampler, &config.sigmas, start, &noise) else {
            return Ok(None);
        };
        let values = samples.into_data().try_to_vec::<f32>();
        let values =
            values.map_err(|error| anyhow!("samples could not be read back: {error:?}"))?;
        Ok(Some(values))
    }

    /// The difference that clamped denoised images would make to the samples; none if the scheduler does not clamp.
    fn clip_difference(&self, samples: &[f32]) -> Result<Option<ClipDifference>> {
        let model = &self.candidate.model;
        let Some(range) = model.clip else {
            return Ok(None);
        };
        let denoiser = self.watched(model.score_model.denoiser());
        let count = (samples.len() / denoiser.dim()).min(CLIPPED_SAMPLES);
        let seconds = clip_seconds(&self.size, &self.speed, count);
        let evaluations = count * self.size.evaluations_per_sample;
        self.progress.begin("clamped samples", seconds, evaluations);
        let difference =
            ClipDifference::measure(&denoiser, range, samples, self.config, &model.device)?;
        Ok(Some(difference))
    }

    fn watched<'b>(&'b self, denoiser: &'b dyn Denoiser) -> Watched<'b> {
        Watched {
            denoiser,
            progress: &self.progress,
        }
    }
}
