//! Run information for the terminal, the page and `summary.json`.

use std::fmt;

use datasway_fs::process::peak_memory;
use datasway_sensitivity::density::{Bandwidth, DensityEstimator, DensityKind, TraceKind};
use datasway_sensitivity::{ResolvedConfig, SensitivityConfig, TrainedModel};
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

/// A model and the options of a computation, as `summary.json` has them.
#[derive(Debug, Clone, Serialize)]
pub struct RunInfo {
    datasway: &'static str,
    checkpoint: String,
    training_step: u64,
    data: String,
    fingerprint: String,
    #[serde(flatten)]
    sampler: SamplerInfo,
    density: DensityKind,
    bandwidth: Option<Bandwidth>,
    /// The bandwidth as a number.
    h: Option<f64>,
    sigma_cut: f64,
    mirrored: bool,
    trace: TraceKind,
    probes: usize,
    period: usize,
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
        let header = &model.checkpoint.header;
        let trace = config.density.trace;
        Self {
            datasway: env!("CARGO_PKG_VERSION"),
            checkpoint: model.name.clone(),
            training_step: header.step,
            data: header.data.clone(),
            fingerprint: header.fingerprint.clone(),
            sampler,
            density: config.density.density,
            bandwidth: config.density.bandwidth,
            h: match &resolved.density {
                DensityEstimator::Smoothed(smoothed) => Some(smoothed.bandwidth),
                DensityEstimator::Empirical(_) | DensityEstimator::ProbabilityFlow { .. } => None,
            },
            sigma_cut: config.cutoff,
            mirrored: model.mirrored,
            trace: trace.kind,
            probes: trace.probes,
            period: trace.period,
            seed: config.seed,
            batch: config.batch,
            training_images: model.images.len(),
        }
    }

    /// The training data, as the checkpoint names them.
    pub fn data(&self) -> &str {
        &self.data
    }

    /// Model and training for the terminal: `NAME, trained N steps on DATA`.
    pub fn model(&self) -> String {
        format!(
            "{}, trained {} steps on {}",
            self.checkpoint, self.training_step, self.data
        )
    }

    /// The density that directions are compared with, and the cut-off.
    pub fn density(&self) -> String {
        let density = self.density;
        let mut text = match (density, self.h) {
            (DensityKind::Empirical, None) => density.to_string(),
            (DensityKind::Empirical, Some(h)) => format!("{density}, blurred by h = {h:.3}"),
            (DensityKind::ProbabilityFlow, _) => format!("{density}, {}", self.trace()),
        };
        if self.sigma_cut > 0.0 {
            text += &format!("; directions count from σ = {} up", self.sigma_cut);
        }
        text
    }

    fn trace(&self) -> String {
        match self.trace {
            TraceKind::Hutchinson if self.probes == 1 => "1 probe".to_owned(),
            TraceKind::Hutchinson => format!("{} probes", self.probes),
            TraceKind::Probing => format!(
                "probing with colours that repeat every {} pixels",
                self.period
            ),
            TraceKind::Exact => "exact trace".to_owned(),
        }
    }

    /// Names and values for the page, with the peak memory until now.
    pub fn rows(&self) -> Vec<(String, String)> {
        let SamplerInfo { sampler, steps, .. } = self.sampler;
        let training = format!("{} steps on {}", self.training_step, self.data);
        let mut rows = vec![
            ("Model", self.checkpoint.clone()),
            ("Training", training),
            ("Training images", self.training_images.to_string()),
            ("Data fingerprint", self.fingerprint.clone()),
            ("Sampler", format!("{sampler}, {steps} steps")),
            ("Log-density", self.density()),
            ("Seed", self.seed.to_string()),
            ("Datasway", self.datasway.to_owned()),
        ];
        if let Some(bytes) = peak_memory() {
            rows.push(("Peak memory", format!("{} MiB", bytes >> 20)));
        }
        rows.into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    }
}
