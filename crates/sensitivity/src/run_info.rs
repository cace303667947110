//! Run information for the terminal, the page and `summary.json`.

use std::fmt;

use datasway_fs::{grouped, plural};
use datasway_sensitivity::density::{Bandwidth, DensityEstimator, DensityKind, TraceKind};
use datasway_sensitivity::learner::{
    DELAY, Damping, FiniteTraining, LearnerConfig, PreconditionerKind, SolverReport,
};
use datasway_sensitivity::{
    ClipDifference, ResolvedConfig, SensitivityConfig, Through, TrainedModel,
};
use serde::Serialize;

/// A sampler by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SamplerKind {
    /// First order.
    Euler,
    /// Second order.
    Heun,
    /// Second order after fresh noise.
    Stochastic,
}

impl fmt::Display for SamplerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Euler => "euler",
            Self::Heun => "heun",
            Self::Stochastic => "stochastic",
        })
    }
}

/// A sampler and its noise levels.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct SamplerInfo {
    /// The sampler.
    pub sampler: SamplerKind,
    /// Number of steps.
    pub steps: usize,
    /// Lowest noise level above 0.
    pub sigma_min: f64,
    /// Highest noise level.
    pub sigma_max: f64,
}

/// Options and results of the solver for the derivative of the weights.
#[derive(Debug, Clone, Serialize)]
pub struct LearnerInfo {
    curvature_draws: usize,
    gradient_draws: Option<usize>,
    image_draws: Option<usize>,
    /// True if two solutions have half of the draws each.
    draw_noise: bool,
    /// λ as a fraction of the largest eigenvalue.
    #[serde(skip_serializing_if = "Option::is_none")]
    relative_damping: Option<f64>,
    /// The training whose length stands in for λ.
    #[serde(skip_serializing_if = "Option::is_none")]
    training: Option<TrainingInfo>,
    /// The preconditioner of the solver with a λ.
    #[serde(skip_serializing_if = "Option::is_none")]
    preconditioner: Option<PreconditionerKind>,
    tolerance: f64,
    largest_eigenvalue: f64,
    /// λ.
    #[serde(skip_serializing_if = "Option::is_none")]
    damping: Option<f64>,
    iterations: usize,
    /// The relative residual after each iteration, for each right-hand side.
    residuals: Vec<Vec<f64>>,
    /// The estimated relative error after each iteration, for each right-hand side; with several linearisations those of the later
    /// ones follow.
    errors: Vec<Vec<f64>>,
    /// The relative change of δ of the first samples by the last iterations, for each right-hand side.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    delta_changes: Vec<f64>,
}

/// The training whose length regularises the change of the weights.
#[derive(Debug, Clone, Serialize)]
struct TrainingInfo {
    steps: u64,
    learning_rate: f64,
    warmup: u64,
    ema_decay: f64,
    batch: usize,
}

impl From<FiniteTraining> for TrainingInfo {
    fn from(training: FiniteTraining) -> Self {
        let FiniteTraining {
            optimization,
            batch,
        } = training;
        Self {
            steps: optimization.steps,
            learning_rate: optimization.learning_rate,
            warmup: optimization.warmup,
            ema_decay: optimization.ema_decay,
            batch,
        }
    }
}

impl LearnerInfo {
    /// The options of a tangent with its solution.
    pub fn of_tangent(config: &LearnerConfig, report: SolverReport) -> Self {
        Self {
            gradient_draws: Some(config.gradient_draws),
            ..Self::new(config, report)
        }
    }

    /// The options of influences with their solutions.
    pub fn of_influences(config: &LearnerConfig, report: SolverReport) -> Self {
        Self {
            image_draws: Some(config.image_draws),
            ..Self::new(config, report)
        }
    }

    fn new(config: &LearnerConfig, report: SolverReport) -> Self {
        let iterations = report.errors.iter().map(Vec::len).max();
        let (relative_damping, training) = match config.damping {
            Damping::Fraction(fraction) => (Some(fraction), None),
            Damping::Training(training) => (None, Some(TrainingInfo::from(training))),
        };
        Self {
            curvature_draws: config.curvature_draws,
            gradient_draws: None,
            image_draws: None,
            draw_noise: config.draw_noise,
            relative_damping,
            training,
            preconditioner: relative_damping.map(|_| config.preconditioner),
            tolerance: config.tolerance,
            largest_eigenvalue: report.largest_eigenvalue,
            damping: report.damping,
            iterations: iterations.unwrap_or(0),
            residuals: report.residuals,
            errors: report.errors,
            delta_changes: report.delta_changes,
        }
    }

    /// The largest relative change of δ by the last iterations; none where no δ was computed.
    fn delta_change(&self) -> Option<f64> {
        self.delta_changes.iter().copied().reduce(f64::max)
    }

    /// Advice if δ did not stand still when the iterations ended.
    pub fn warning(&self) -> Option<String> {
        let change = self.delta_change()?;
        (change > self.tolerance).then(|| {
            format!(
                "the last {} of the solver still changed δ by {change:.3} of its length: give more --iterations than {}",
                plural(DELAY.min(self.iterations), "iteration"),
                self.iterations
            )
        })
    }

    /// Draws, damping, error and change of δ in one line.
    pub fn text(&self) -> String {
        let last = self.errors.iter().filter_map(|history| history.last());
        let error = last.copied().fold(0.0, f64::max);
        let draws = match (self.gradient_draws, self.image_draws) {
            (Some(count), _) => format!(", {count} of each gradient"),
            (None, Some(count)) => format!(", {count} of each image"),
            (None, None) => String::new(),
        };
        let regularization = match (self.damping, self.relative_damping, &self.training) {
            (Some(damping), Some(fraction), _) => {
                format!("λ = {damping:.3e}, {fraction} of the largest eigenvalue")
            }
            (_, _, Some(training)) => format!(
                "the length of {} at a learning rate of {}",
                plural(training.steps as usize, "step"),
                training.learning_rate
            ),
            _ => "no damping".to_owned(),
        };
        let change = self.delta_change().map_or(String::new(), |change| {
            let last = DELAY.min(self.iterations);
            format!(", of which the last {last} changed δ by {change:.3}")
        });
        let preconditioner = match self.preconditioner {
            Some(PreconditionerKind::Kronecker) => " preconditioned by Kronecker factors",
            Some(PreconditionerKind::None) | None => "",
        };
        format!(
            "{} of the curvature{draws}; {regularization}; {}{preconditioner} to an estimated error of {error:.3}{change}",
            plural(self.curvature_draws, "draw"),
            plural(self.iterations, "iteration")
        )
    }
}

/// A model and the options of a computation, as `summary.json` has them.
#[derive(Debug, Clone, Serialize)]
pub struct RunInfo {
    datasway: &'static str,
    checkpoint: String,
    training_step: Option<u64>,
    /// SHA-256 of the files of a model of another library.
    model_fingerprint: Option<String>,
    data: String,
    fingerprint: String,
    #[serde(flatten)]
    sampler: SamplerInfo,
    through: Through,
    /// The mass of each change; none for a derivative.
    mass: Option<f64>,
    /// Linearisations of a change by a mass; none for a derivative.
    linearizations: Option<usize>,
    density: Option<DensityKind>,
    bandwidth: Option<Bandwidth>,
    /// The bandwidth as a number.
    h: Option<f64>,
    sigma_cut: f64,
    mirrored: bool,
    trace: Option<TraceKind>,
    probes: Option<usize>,
    period: Option<usize>,
    weights: Option<LearnerInfo>,
    /// The difference that the `clip_sample` of a scheduler would make.
    clip_sample: Option<ClipDifference>,
    seed: u64,
    batch: usize,
    #[serde(skip)]
    training_images: usize,
}

impl RunInfo {
    /// The information of a model and of options, before and after their resolution for it.
    pub fn new(
        model: &TrainedModel,
        sampler: SamplerInfo,
        config: &SensitivityConfig,
        resolved: &ResolvedConfig,
    ) -> Self {
        let trace = config.density.trace;
        Self {
            through: Through::Data,
            density: Some(config.density.density),
            bandwidth: config.density.bandwidth,
            h: match &resolved.density {
                DensityEstimator::Smoothed(smoothed) => Some(smoothed.bandwidth),
                DensityEstimator::Empirical(_) | DensityEstimator::ProbabilityFlow { .. } => None,
            },
            sigma_cut: config.cutoff,
            trace: Some(trace.kind),
            probes: Some(trace.probes),
            period: Some(trace.period),
            ..Self::through_weights(model, sampler, config)
        }
    }

    /// The information of a model and of options for the derivative through its weights, before it is computed.
    pub fn through_weights(
        model: &TrainedModel,
        sampler: SamplerInfo,
        config: &SensitivityConfig,
    ) -> Self {
        Self {
            datasway: env!("CARGO_PKG_VERSION"),
            checkpoint: model.name.clone(),
            training_step: model.training.steps,
            model_fingerprint: model.training.model_fingerprint.clone(),
            data: model.training.data.clone(),
            fingerprint: model.images.fingerprint.clone(),
            sampler,
            through: Through::Weights,
            mass: None,
            linearizations: None,
            density: None,
            bandwidth: None,
            h: None,
            sigma_cut: 0.0,
            mirrored: model.mirrored,
            trace: None,
            probes: None,
            period: None,
            weights: None,
            clip_sample: None,
            seed: config.seed,
            batch: config.batch,
            training_images: model.images.len(),
        }
    }

    /// The information of a derivative that is not yet computed.
    pub fn with_through(self, through: Through) -> Self {
        Self { through, ..self }
    }

    /// The information of changes by a finite mass, if there is one, in so many linearisations.
    pub fn with_mass(self, mass: Option<f64>, linearizations: usize) -> Self {
        Self {
            mass,
            linearizations: mass.map(|_| linearizations),
            ..self
        }
    }

    /// The information with the solution for the weights.
    pub fn with_weights(self, weights: LearnerInfo) -> Self {
        Self {
            through: Through::Weights,
            weights: Some(weights),
            ..self
        }
    }

    /// The information with the difference that clamped denoised images would make, which is told.
    pub fn with_clip_sample(self, clip_sample: Option<ClipDifference>) -> Self {
        datasway_cli::tell_if(clip_sample.map(|difference| difference.text()));
        Self {
            clip_sample,
            ..self
        }
    }

    /// True if the model was trained so many steps on data of this fingerprint, and its files have this fingerprint if it is of
    /// another library.
    pub fn is_of(
        &self,
        fingerprint: &str,
        training_step: Option<u64>,
        model_fingerprint: Option<&str>,
    ) -> bool {
        self.fingerprint == fingerprint
            && self.training_step == training_step
            && self.model_fingerprint.as_deref() == model_fingerprint
    }

    /// The solution for the weights in one line; none through the data.
    pub fn weights(&self) -> Option<String> {
        self.weights.as_ref().map(LearnerInfo::text)
    }

    /// Advice if the solution for the weights is not good enough for δ.
    pub fn weights_warning(&self) -> Option<String> {
        self.weights.as_ref().and_then(LearnerInfo::warning)
    }

    /// The training data, as the checkpoint names them.
    pub fn data(&self) -> &str {
        &self.data
    }

    /// Model and training for the terminal: `NAME, trained N steps on DATA`.
    pub fn model(&self) -> String {
        format!("{}, trained {}", self.checkpoint, self.training())
    }

    /// The training in words: `N steps on DATA`, or `on DATA` where the steps are not known.
    fn training(&self) -> String {
        match self.training_step {
            Some(steps) => format!("{} on {}", plural(steps as usize, "step"), self.data),
            None => format!("on {}", self.data),
        }
    }

    /// The derivative for the terminal: the density that directions are compared with, or the weights.
    pub fn form(&self) -> String {
        match (self.density(), self.moved()) {
            (Some(density), _) => format!("log-density: {density}"),
            (None, Some(moved)) => format!("with the weights {moved}"),
            (None, None) => "through the weights".to_owned(),
        }
    }

    /// The mass by which the weights are moved, in words; none for a derivative.
    fn moved(&self) -> Option<String> {
        let steps = match self.linearizations {
            Some(times) if times > 1 => format!(" in {}", plural(times, "linearization")),
            _ => String::new(),
        };
        self.mass
            .map(|mass| format!("moved for a mass of {mass}{steps}"))
    }

    /// The density that directions are compared with, and the cut-off; none through the weights.
    fn density(&self) -> Option<String> {
        let density = self.density?;
        let mut text = match (density, self.h) {
            (DensityKind::Empirical, None) => density.to_string(),
            (DensityKind::Empirical, Some(h)) => format!("{density}, blurred by h = {h:.3}"),
            (DensityKind::ProbabilityFlow, _) => format!("{density}, {}", self.trace()),
        };
        if self.sigma_cut > 0.0 {
            text += &format!("; directions count from σ = {} up", self.sigma_cut);
        }
        Some(text)
    }

    /// The kind of prediction with its name.
    fn prediction(&self) -> (&'static str, String) {
        match self.moved() {
            None => ("Derivative", format!("through the {}", self.through)),
            Some(moved) => (
                "Finite change",
                format!("samples of the model with the weights {moved}"),
            ),
        }
    }

    fn trace(&self) -> String {
        match (self.trace, self.probes, self.period) {
            (Some(TraceKind::Hutchinson), Some(probes), _) => plural(probes, "probe"),
            (Some(TraceKind::Probing), _, Some(period)) => {
                format!(
                    "probing with colours that repeat every {}",
                    plural(period, "pixel")
                )
            }
            _ => "exact trace".to_owned(),
        }
    }

    /// Names and values for the page. Times and memory are in `summary.json` alone, so that a run that is done again writes the
    /// same page.
    pub fn rows(&self) -> Vec<(String, String)> {
        let SamplerInfo { sampler, steps, .. } = self.sampler;
        let mut rows = vec![
            ("Model", self.checkpoint.clone()),
            ("Training", self.training()),
            ("Training images", grouped(self.training_images)),
            ("Data fingerprint", self.fingerprint.clone()),
            ("Sampler", format!("{sampler}, {}", plural(steps, "step"))),
            self.prediction(),
            ("Seed", self.seed.to_string()),
            ("Datasway", self.datasway.to_owned()),
        ];
        rows.extend(self.density().map(|text| ("Log-density", text)));
        rows.extend(self.weights().map(|text| ("Solution", text)));
        rows.extend(self.weights_warning().map(|text| ("Warning", text)));
        rows.extend(self.clip_sample.map(|clip| ("clip_sample", clip.text())));
        rows.into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    }
}
