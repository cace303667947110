//! Sensitivities with one imperfection at a time, then with all of them together.

use burn::tensor::{DType, Device};
use datasway_diffusion::DiffusionError;
use datasway_diffusion::denoiser::Denoiser;
use datasway_diffusion::sampler::{FrozenNoise, Sampler};
use datasway_diffusion::schedule::karras;
use datasway_sensitivity::density::{ClosedForm, ProbabilityFlow, Trace};
use datasway_sensitivity::jacobian_trace::{Colouring, ProbeLaw};
use datasway_sensitivity::measure::Mixture;
use datasway_sensitivity::trajectory::tangent::TangentSolution;
use datasway_stats::median;

use super::agreement::{Agreement, agreement, difference, times};
use crate::problems::problem::{Problem, log_ratio_rows, rows, sensitivity_rows};
use crate::problems::random_mixture::{Perturbation, RandomMixture};

/// Masses at which predictions are compared with true samples.
pub const MASSES: [f64; 4] = [0.001, 0.01, 0.1, 0.5];
/// Number of steps, if it is not the factor.
const STEPS: usize = 64;
/// Lowest noise level above 0.
const SIGMA_MIN: f64 = 0.02;
/// Highest noise level, if it is not the factor.
const SIGMA_MAX: f64 = 80.0;
/// Below this log r the direction moves a sample too little for errors of r to matter.
const NEGLIGIBLE_LOG_RATIO: f64 = -3.0;
/// Number of steps of a cheap run.
const CHEAP_STEPS: usize = 18;
/// Number of probes of a cheap run.
const CHEAP_PROBES: usize = 4;

/// A mixture, a network that was trained on it, and the settings of the samples.
pub struct RobustnessConfig<'a> {
    /// Name of the mixture in tables.
    pub name: &'a str,
    /// The mixture; a Gaussian beside it is added.
    pub mixture: &'a RandomMixture,
    /// Number of rows and of columns, if the points are images.
    pub side: Option<usize>,
    /// A score model trained on the mixture, in f32.
    pub network: &'a dyn Denoiser,
    /// Number of samples.
    pub samples: usize,
    /// Seed of their noise and of the probes.
    pub seed: u64,
}

/// A departure from the closed form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Factor {
    /// No departure.
    None,
    /// Estimate of the trace.
    Trace,
    /// Gaussian at the highest noise level.
    GaussianStart,
    /// Number of steps, with the closed-form density.
    StepsClosedForm,
    /// Number of steps, with the probability-flow density.
    Steps,
    /// Highest noise level.
    SigmaMax,
    /// Score learned by a network.
    LearnedScore,
    /// All departures of a cheap run.
    Together,
}

impl Factor {
    /// Name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Trace => "trace",
            Self::GaussianStart => "Gaussian start",
            Self::StepsClosedForm => "steps, closed form",
            Self::Steps => "steps",
            Self::SigmaMax => "sigma_max",
            Self::LearnedScore => "learned score",
            Self::Together => "together",
        }
    }
}

/// Agreement of one factor at one setting with the true samples at one mass.
#[derive(Debug, Clone)]
pub struct Finding {
    /// Name of the mixture.
    pub case: String,
    /// Departure from the closed form.
    pub factor: Factor,
    /// Value of the factor.
    pub setting: String,
    /// Products with the Jacobian for the density, for each evaluation of D.
    pub products: usize,
    /// η.
    pub mass: f64,
    /// Agreement of ηδ with `x_η − x`.
    pub agreement: Agreement,
    /// Largest `|log r̂ − log r|` on the trajectory while r > e⁻³, median over the samples.
    pub log_ratio_error: f64,
}

/// ρ and ν in one precision.
struct Measures {
    data: Mixture<'static>,
    direction: Mixture<'static>,
    dtype: DType,
}

impl Measures {
    fn new(mixture: &RandomMixture, dtype: DType) -> Result<Self, DiffusionError> {
        let device = Device::flex();
        Ok(Self {
            data: mixture.data(&device, dtype)?,
            direction: mixture.direction(Perturbation::Add, &device, dtype)?,
            dtype,
        })
    }

    fn problem(&self, config: &RobustnessConfig<'_>, steps: usize, sigma_max: f64) -> Problem<'_> {
        let noise = FrozenNoise::new(config.seed);
        let shape = [config.samples, config.mixture.dim()];
        Problem {
            data: &self.data,
            direction: &self.direction,
            sampler: Sampler::Heun,
            sigmas: karras(steps, SIGMA_MIN, sigma_max, 7.0),
            start: noise.start(shape, &Device::flex(), self.dtype),
            noise,
        }
    }
}

/// True changes and density ratios of the samples of one sampler.
struct Truth {
    /// `x_η − x` for each of [`MASSES`].
    changes: Vec<Vec<Vec<f64>>>,
    /// `log r` of each step (rows) and sample.
    log_ratio: Vec<Vec<f64>>,
}

impl Truth {
    /// The truth of a problem, with its tangents in closed form.
    fn new(problem: &Problem<'_>) -> Result<(Self, TangentSolution), DiffusionError> {
        let exact = problem.exact_tangents()?;
        let samples = rows(&exact.samples)?;
        let change = |mass| {
            let perturbed = rows(&problem.perturbed_samples(mass)?)?;
            Ok(difference(&perturbed, &samples))
        };
        let changes: Result<_, DiffusionError> = MASSES.into_iter().map(change).collect();
        let truth = Self {
            changes: changes?,
            log_ratio: log_ratio_rows(&exact)?,
        };
        Ok((truth, exact))
    }

    /// Largest `|log r̂ − log r|` of a sample while the direction moves it, median over the samples.
    fn log_ratio_error(&self, estimates: &[Vec<f64>]) -> f64 {
        let errors = (0..self.log_ratio[0].len()).map(|sample| {
            let steps = self.log_ratio.iter().zip(estimates);
            let pairs = steps.map(|(truth, estimate)| (truth[sample], estimate[sample]));
            let relevant = pairs.filter(|(truth, _)| *truth > NEGLIGIBLE_LOG_RATIO);
            relevant.fold(0.0, |largest: f64, (truth, estimate)| {
                largest.max((truth - estimate).abs())
            })
        });
        median(&errors.collect::<Vec<f64>>())
    }
}

/// Compares every factor at every setting with the true samples.
///
/// # Errors
/// As [`Problem::tangents`].
pub fn run(config: &RobustnessConfig<'_>) -> Result<Vec<Finding>, DiffusionError> {
    let mut study = Study {
        config,
        double: Measures::new(config.mixture, DType::F64)?,
        single: Measures::new(config.mixture, DType::F32)?,
        findings: Vec::new(),
    };
    let problem = study.double.problem(config, STEPS, SIGMA_MAX);
    let (truth, exact) = Truth::new(&problem)?;
    study.add(Factor::None, "closed form", &truth, &exact)?;
    study.vary_trace(&truth)?;
    study.vary_start(&truth)?;
    study.vary_steps()?;
    study.vary_sigma_max()?;
    study.learned_score(&truth)?;
    study.all_together()?;
    Ok(study.findings)
}

/// Findings of one mixture as they are computed.
struct Study<'a> {
    config: &'a RobustnessConfig<'a>,
    double: Measures,
    single: Measures,
    findings: Vec<Finding>,
}

impl Study<'_> {
    /// Adds the findings of a prediction at all masses.
    fn add(
        &mut self,
        factor: Factor,
        setting: impl ToString,
        truth: &Truth,
        prediction: &TangentSolution,
    ) -> Result<(), DiffusionError> {
        let deltas = sensitivity_rows(prediction)?;
        let log_ratio_error = truth.log_ratio_error(&log_ratio_rows(prediction)?);
        for (mass, change) in MASSES.into_iter().zip(&truth.changes) {
            self.findings.push(Finding {
                case: self.config.name.to_owned(),
                factor,
                setting: setting.to_string(),
                products: prediction.evaluations.density / prediction.evaluations.path,
                mass,
                agreement: agreement(&times(&deltas, mass), change),
                log_ratio_error,
            });
        }
        Ok(())
    }

    /// The probability-flow density with an estimate of the trace and a Gaussian start, with its variances only if `diagonal`.
    fn flow(
        &self,
        trace: Trace,
        diagonal: bool,
        dtype: DType,
    ) -> Result<ProbabilityFlow, DiffusionError> {
        let device = Device::flex();
        let start = self.config.mixture.moments(diagonal, &device, dtype)?;
        Ok(ProbabilityFlow { start, trace })
    }

    /// The exact score with the probability-flow density.
    fn predict(
        &self,
        steps: usize,
        sigma_max: f64,
        trace: Trace,
        diagonal: bool,
    ) -> Result<TangentSolution, DiffusionError> {
        let problem = self.double.problem(self.config, steps, sigma_max);
        problem.tangents(&self.double.data, &self.flow(trace, diagonal, DType::F64)?)
    }

    fn vary_trace(&mut self, truth: &Truth) -> Result<(), DiffusionError> {
        for (name, trace) in traces(self.config) {
            let prediction = self.predict(STEPS, SIGMA_MAX, trace, false)?;
            self.add(Factor::Trace, name, truth, &prediction)?;
        }
        Ok(())
    }

    fn vary_start(&mut self, truth: &Truth) -> Result<(), DiffusionError> {
        let trace = best_trace(self.config);
        for (name, diagonal) in [("full covariance", false), ("variances only", true)] {
            let prediction = self.predict(STEPS, SIGMA_MAX, trace, diagonal)?;
            self.add(Factor::GaussianStart, name, truth, &prediction)?;
        }
        Ok(())
    }

    fn vary_steps(&mut self) -> Result<(), DiffusionError> {
        let trace = best_trace(self.config);
        for steps in [8, 16, 32, 64, 128, 256] {
            let (truth, exact) = Truth::new(&self.double.problem(self.config, steps, SIGMA_MAX))?;
            self.add(Factor::StepsClosedForm, steps, &truth, &exact)?;
            let prediction = self.predict(steps, SIGMA_MAX, trace, false)?;
            self.add(Factor::Steps, steps, &truth, &prediction)?;
        }
        Ok(())
    }

    fn vary_sigma_max(&mut self) -> Result<(), DiffusionError> {
        let trace = best_trace(self.config);
        for sigma_max in [2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0] {
            let (truth, _) = Truth::new(&self.double.problem(self.config, STEPS, sigma_max))?;
            let prediction = self.predict(STEPS, sigma_max, trace, false)?;
            self.add(Factor::SigmaMax, sigma_max, &truth, &prediction)?;
        }
        Ok(())
    }

    /// The learned score with the closed-form density and with densities of its own.
    fn learned_score(&mut self, truth: &Truth) -> Result<(), DiffusionError> {
        let (config, factor) = (self.config, Factor::LearnedScore);
        let problem = self.single.problem(config, STEPS, SIGMA_MAX);
        let prediction = problem.tangents(config.network, &ClosedForm(&self.single.data))?;
        self.add(factor, "closed-form density", truth, &prediction)?;
        let best = "its own density, best trace".to_owned();
        let cheap = format!("its own density, {CHEAP_PROBES} probes");
        for (name, trace) in [
            (best, best_trace(config)),
            (cheap, Trace::rademacher(CHEAP_PROBES, config.seed)),
        ] {
            let problem = self.single.problem(config, STEPS, SIGMA_MAX);
            let density = self.flow(trace, false, DType::F32)?;
            let prediction = problem.tangents(config.network, &density)?;
            self.add(factor, name, truth, &prediction)?;
        }
        Ok(())
    }

    fn all_together(&mut self) -> Result<(), DiffusionError> {
        let config = self.config;
        let (truth, _) = Truth::new(&self.double.problem(config, CHEAP_STEPS, SIGMA_MAX))?;
        let trace = Trace::rademacher(CHEAP_PROBES, config.seed);
        let density = self.flow(trace, true, DType::F32)?;
        let problem = self.single.problem(config, CHEAP_STEPS, SIGMA_MAX);
        let prediction = problem.tangents(config.network, &density)?;
        let name = format!("learned, {CHEAP_STEPS} steps, {CHEAP_PROBES} probes, variances only");
        self.add(Factor::Together, name, &truth, &prediction)
    }
}

/// All estimates of the trace with their names.
fn traces(config: &RobustnessConfig<'_>) -> Vec<(String, Trace)> {
    let mut traces = vec![("exact".to_owned(), Trace::Exact)];
    for (name, law) in [
        ("Rademacher", ProbeLaw::Rademacher),
        ("Gaussian", ProbeLaw::Gaussian),
    ] {
        for probes in [1, 4, 16, 64] {
            let trace = Trace::Hutchinson {
                law,
                probes,
                seed: config.seed,
                first: 0,
            };
            traces.push((format!("{name}, {probes}"), trace));
        }
    }
    for period in [2, 4] {
        traces.extend(
            probing(config, period).map(|(count, trace)| (format!("probing, {count}"), trace)),
        );
    }
    traces
}

/// Probing of images with its number of probes; none if the points are not images.
fn probing(config: &RobustnessConfig<'_>, period: usize) -> Option<(usize, Trace)> {
    let side = config.side?;
    let colouring = Colouring {
        shape: [1, side, side],
        period,
    };
    let trace = Trace::Probing {
        colouring,
        seed: config.seed,
        first: 0,
    };
    Some((colouring.count(), trace))
}

/// Estimate of the trace if it is not the factor: exact, or for images probing with 16 colours, which costs a quarter.
fn best_trace(config: &RobustnessConfig<'_>) -> Trace {
    probing(config, 4).map_or(Trace::Exact, |(_, trace)| trace)
}
