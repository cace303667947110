//! One imperfection at a time, then all together: what each does to δ.

use burn::tensor::{DType, Device};
use datasway_diffusion::DiffusionError;
use datasway_diffusion::denoiser::Denoiser;
use datasway_diffusion::sampler::{FrozenNoise, Sampler};
use datasway_diffusion::schedule::karras;

use super::agreement::{Agreement, agreement, difference, times};
use crate::problems::problem::{Problem, rows, sensitivity_rows};
use crate::problems::random_mixture::{Perturbation, RandomMixture};
use datasway_sensitivity::density::{ClosedForm, ProbabilityFlow, Trace};
use datasway_sensitivity::jacobian_trace::{Colouring, ProbeLaw};
use datasway_sensitivity::measure::GaussianMixture;
use datasway_sensitivity::trajectory::tangent::TangentSolution;
use datasway_stats::median;

/// Masses at which predictions are compared with the truth.
pub const MASSES: [f64; 4] = [0.001, 0.01, 0.1, 0.5];
/// Steps, where they are not the factor.
const STEPS: usize = 64;
/// Lowest noise level above 0.
const SIGMA_MIN: f64 = 0.02;
/// Highest noise level, where it is not the factor.
const SIGMA_MAX: f64 = 80.0;
/// Below this log r the direction moves a sample too little for errors of r to matter.
const SILENT: f64 = -3.0;
/// Steps and probes of a user in a hurry.
const FEW: (usize, usize) = (18, 4);

/// A mixture, a network that learned it, and how much is drawn.
pub struct Study<'a> {
    /// Name in the tables.
    pub name: &'a str,
    /// The mixture; a Gaussian beside it is added.
    pub mixture: &'a RandomMixture,
    /// Rows and columns, where the points are pictures.
    pub side: Option<usize>,
    /// A score learned from the mixture, in f32.
    pub network: &'a dyn Denoiser,
    /// Samples.
    pub samples: usize,
    /// Seed of their noise and of the probes.
    pub seed: u64,
}

/// One factor at one setting, against the truth at one mass.
#[derive(Debug, Clone)]
pub struct Finding {
    /// The mixture.
    pub case: String,
    /// What is changed from the closed form.
    pub factor: &'static str,
    /// To which value.
    pub setting: String,
    /// Products with the Jacobian for the density, for each evaluation of the path.
    pub products: usize,
    /// η.
    pub mass: f64,
    /// ηδ against `x_η − x`.
    pub agreement: Agreement,
    /// Largest `|log r̂ − log r|` on the path while r > e⁻³, median over the samples.
    pub log_ratio_error: f64,
}

/// ρ and ν in one precision.
struct Measures {
    data: GaussianMixture,
    direction: GaussianMixture,
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

    fn problem(&self, study: &Study<'_>, steps: usize, sigma_max: f64) -> Problem<'_> {
        let noise = FrozenNoise::new(study.seed);
        let shape = [study.samples, study.mixture.dim()];
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

/// What really happens to the samples of one sampler.
struct Truth {
    /// `x_η − x` for each of [`MASSES`].
    changes: Vec<Vec<Vec<f64>>>,
    /// `log r` of each step (rows) and sample.
    log_ratio: Vec<Vec<f64>>,
}

impl Truth {
    fn of(problem: &Problem<'_>) -> Result<(Self, TangentSolution), DiffusionError> {
        let exact = problem.exact()?;
        let samples = rows(&exact.samples)?;
        let change = |mass| Ok(difference(&rows(&problem.moved(mass)?)?, &samples));
        let changes: Result<_, DiffusionError> = MASSES.into_iter().map(change).collect();
        let truth = Self {
            changes: changes?,
            log_ratio: log_ratio(&exact)?,
        };
        Ok((truth, exact))
    }

    /// The largest `|log r̂ − log r|` of a sample while the direction has a say, median over the samples.
    fn log_ratio_error(&self, found: &[Vec<f64>]) -> f64 {
        let errors = (0..self.log_ratio[0].len()).map(|sample| {
            let steps = self.log_ratio.iter().zip(found);
            let pairs = steps.map(|(truth, found)| (truth[sample], found[sample]));
            let heard = pairs.filter(|(truth, _)| *truth > SILENT);
            heard.fold(0.0, |most: f64, (truth, found)| {
                most.max((truth - found).abs())
            })
        });
        median(&errors.collect::<Vec<f64>>())
    }
}

fn log_ratio(propagation: &TangentSolution) -> Result<Vec<Vec<f64>>, DiffusionError> {
    let first = propagation.log_ratio.clone().slice_dim(0, 0..1);
    rows(&first.squeeze_dim::<2>(0))
}

/// Findings of one study as they come.
struct Findings<'a> {
    study: &'a Study<'a>,
    all: Vec<Finding>,
}

impl Findings<'_> {
    fn add(
        &mut self,
        factor: &'static str,
        setting: impl ToString,
        truth: &Truth,
        found: &TangentSolution,
    ) -> Result<(), DiffusionError> {
        let (delta, ratio) = (sensitivity_rows(found)?, log_ratio(found)?);
        let log_ratio_error = truth.log_ratio_error(&ratio);
        for (mass, real) in MASSES.into_iter().zip(&truth.changes) {
            self.all.push(Finding {
                case: self.study.name.to_owned(),
                factor,
                setting: setting.to_string(),
                products: found.evaluations.density / found.evaluations.path,
                mass,
                agreement: agreement(&times(&delta, mass), real),
                log_ratio_error,
            });
        }
        Ok(())
    }
}

/// Every factor of a study.
///
/// # Errors
/// As [`sample_with_tangents`](datasway_sensitivity::trajectory::tangent::sample_with_tangents).
pub fn study(study: &Study<'_>) -> Result<Vec<Finding>, DiffusionError> {
    let measures = Measures::new(study.mixture, DType::F64)?;
    let single = Measures::new(study.mixture, DType::F32)?;
    let mut findings = Findings {
        study,
        all: Vec::new(),
    };
    let problem = measures.problem(study, STEPS, SIGMA_MAX);
    let (truth, exact) = Truth::of(&problem)?;
    findings.add("none", "closed form", &truth, &exact)?;

    let flow = |trace, diagonal, dtype| -> Result<ProbabilityFlow, DiffusionError> {
        let start = study.mixture.moments(diagonal, &Device::flex(), dtype)?;
        Ok(ProbabilityFlow { start, trace })
    };
    for (name, trace) in traces(study) {
        let found = problem.predicted(&measures.data, &flow(trace, false, DType::F64)?)?;
        findings.add("trace", name, &truth, &found)?;
    }
    let best = best(study);
    for diagonal in [false, true] {
        let density = flow(best, diagonal, DType::F64)?;
        let found = problem.predicted(&measures.data, &density)?;
        let name = if diagonal {
            "variances only"
        } else {
            "full covariance"
        };
        findings.add("Gaussian start", name, &truth, &found)?;
    }
    for steps in [8, 16, 32, 64, 128, 256] {
        let problem = measures.problem(study, steps, SIGMA_MAX);
        let (truth, exact) = Truth::of(&problem)?;
        findings.add("steps, closed form", steps, &truth, &exact)?;
        let found = problem.predicted(&measures.data, &flow(best, false, DType::F64)?)?;
        findings.add("steps", steps, &truth, &found)?;
    }
    for sigma_max in [2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0] {
        let problem = measures.problem(study, STEPS, sigma_max);
        let (truth, _) = Truth::of(&problem)?;
        let found = problem.predicted(&measures.data, &flow(best, false, DType::F64)?)?;
        findings.add("sigma_max", sigma_max, &truth, &found)?;
    }

    let learned = single.problem(study, STEPS, SIGMA_MAX);
    let found = learned.predicted(study.network, &ClosedForm(&single.data))?;
    findings.add("learned score", "closed-form density", &truth, &found)?;
    let (_, probes) = FEW;
    for trace in [best, Trace::rademacher(probes, study.seed)] {
        let name = match trace == best {
            true => "its own density, best trace".to_owned(),
            _ => format!("its own density, {probes} probes"),
        };
        let found = learned.predicted(study.network, &flow(trace, false, DType::F32)?)?;
        findings.add("learned score", name, &truth, &found)?;
    }

    let (steps, probes) = FEW;
    let (truth, _) = Truth::of(&measures.problem(study, steps, SIGMA_MAX))?;
    let density = flow(Trace::rademacher(probes, study.seed), true, DType::F32)?;
    let found = single
        .problem(study, steps, SIGMA_MAX)
        .predicted(study.network, &density)?;
    let name = format!("learned, {steps} steps, {probes} probes, variances only");
    findings.add("together", name, &truth, &found)?;
    Ok(findings.all)
}

fn traces(study: &Study<'_>) -> Vec<(String, Trace)> {
    let mut traces = vec![("exact".to_owned(), Trace::Exact)];
    for (name, law) in [
        ("Rademacher", ProbeLaw::Rademacher),
        ("Gaussian", ProbeLaw::Gaussian),
    ] {
        for probes in [1, 4, 16, 64] {
            let trace = Trace::Hutchinson {
                law,
                probes,
                seed: study.seed,
                first: 0,
            };
            traces.push((format!("{name}, {probes}"), trace));
        }
    }
    for period in [2, 4] {
        traces.extend(
            probing(study, period).map(|(count, trace)| (format!("probing, {count}"), trace)),
        );
    }
    traces
}

/// Probing of pictures, and its number of probes.
fn probing(study: &Study<'_>, period: usize) -> Option<(usize, Trace)> {
    let side = study.side?;
    let colouring = Colouring {
        shape: [1, side, side],
        period,
    };
    let trace = Trace::Probing {
        colouring,
        seed: study.seed,
        first: 0,
    };
    Some((colouring.count(), trace))
}

/// The trace where it is not the factor: exact, or for pictures probed with 16 colours, which costs a quarter.
fn best(study: &Study<'_>) -> Trace {
    probing(study, 4).map_or(Trace::Exact, |(_, trace)| trace)
}
