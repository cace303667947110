//! Report of the validity range of predictions and of its predictors.

use burn::tensor::{DType, Device};
use datasway_diffusion::DiffusionError;
use datasway_diffusion::sampler::{FrozenNoise, Sampler};
use datasway_diffusion::schedule::karras;
use datasway_report::section::{Figure, Section, Table, rounded, scientific};
use datasway_report::{Axes, Corner, Curve, ReportError, line_plot, scatter};
use datasway_sensitivity::density::ProbabilityFlow;
use datasway_sensitivity::measure::Measure;
use datasway_sensitivity::trajectory::second_order::TOLERANCE;
use datasway_stats::{median, quantile, spearman};

use super::learned_score::LearnedScore;
use super::validity::{Censored, RadiusPredictor, Validity};
use crate::problems::point_clouds::{CloudShape, DirectionSupport, MODE_MASS, PointCloud};
use crate::problems::problem::{Problem, trust_radii};
use crate::problems::random_mixture::{Covariances, Perturbation, RandomMixture};
use crate::{StudyError, StudyScale};

/// Masses at which predictions are compared with true samples, as far as the measure stays positive.
const MASSES: [f64; 9] = [0.003, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0];
/// Lowest noise level of mixtures above 0.
const MIXTURE_SIGMA_MIN: f64 = 0.02;
/// Mass at which samples that jump are counted, one of [`MASSES`].
const JUMP_MASS: f64 = 0.05;
/// Relative error above which a sample has jumped.
const JUMP_ERROR: f64 = 0.5;

/// A kind of change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    AddInside,
    AddOutside,
    RemoveInside,
}

impl Change {
    /// Name in tables.
    fn name(self) -> &'static str {
        match self {
            Self::AddInside => "add, inside",
            Self::AddOutside => "add, outside",
            Self::RemoveInside => "remove, inside",
        }
    }

    fn support(self) -> DirectionSupport {
        match self {
            Self::AddInside | Self::RemoveInside => DirectionSupport::Inside,
            Self::AddOutside => DirectionSupport::Outside,
        }
    }

    /// Sign of η.
    fn sign(self) -> f64 {
        match self {
            Self::AddInside | Self::AddOutside => 1.0,
            Self::RemoveInside => -1.0,
        }
    }
}

/// Validity of the predictions of one problem.
struct Case {
    /// Name of the data.
    data: String,
    change: Change,
    /// Name of the shape, for a cloud of points whose modes do not overlap.
    separated_cloud: Option<&'static str>,
    validity: Validity,
}

impl Case {
    fn predicted(&self, predictor: RadiusPredictor) -> &[f64] {
        self.validity.predicted.by(predictor)
    }

    /// Spearman correlation of predicted and true radii over the samples.
    fn sample_rank(&self, predictor: RadiusPredictor) -> f64 {
        spearman(self.predicted(predictor), &true_radii(&self.validity))
    }
}

fn true_radii(validity: &Validity) -> Vec<f64> {
    let radii = validity.sample_radii();
    radii.iter().map(|radius| radius.value()).collect()
}

/// Section of the report with true and predicted validity radii of mixtures, clouds of points and learned scores.
///
/// # Errors
/// If a model fails or a plot cannot be drawn.
pub fn section(scale: &StudyScale<'_>, scores: &[LearnedScore]) -> Result<Section, StudyError> {
    let mut cases = mixtures(scale)?;
    cases.extend(clouds(scale)?);
    let learned = learned_scores(scale, scores)?;
    Ok(Section {
        title: "How far the prediction reaches",
        text: vec![
            format!(
                "The limit of a prediction is the largest |η| at which its median relative error stays below {TOLERANCE}. It can be announced \
                 without the truth: a sample moves by ηδ + η²γ/2 + …, so the error is near η‖γ‖/(2‖δ‖), and γ = d²x₀/dη² follows the same path \
                 as δ for about four times the products with the Jacobian. Beside it, two numbers that cost nothing: 1/(10·max r) on the path, \
                 and 1/‖δ‖."
            ),
            conclusion(&cases),
            jumps(&cases),
        ],
        tables: vec![predictors(&cases), learned, table(&cases), errors(&cases)],
        figures: figures(&cases)?,
    })
}

fn mixtures(scale: &StudyScale<'_>) -> Result<Vec<Case>, DiffusionError> {
    let device = Device::flex();
    let mut cases = Vec::new();
    for d in [2, 10, 100] {
        for covariances in [Covariances::Equal, Covariances::Unequal] {
            let mixture = RandomMixture::new(d, covariances, scale.seed);
            for perturbation in [Perturbation::Add, Perturbation::Remove] {
                scale.report_progress(format!("reach: mixture, d = {d}"));
                let kind = format!("{covariances:?}").to_lowercase();
                let change = match perturbation {
                    Perturbation::Add => Change::AddOutside,
                    Perturbation::Remove => Change::RemoveInside,
                };
                let data = mixture.data(&device, DType::F64)?;
                let direction = mixture.direction(perturbation, &device, DType::F64)?;
                let problem = problem(scale, &data, &direction, MIXTURE_SIGMA_MIN, DType::F64);
                cases.push(Case {
                    data: format!("mixture, d = {d}, {kind} covariances"),
                    change,
                    separated_cloud: None,
                    validity: validity(&problem, change.sign(), perturbation.max_mass())?,
                });
            }
        }
    }
    Ok(cases)
}

fn clouds(scale: &StudyScale<'_>) -> Result<Vec<Case>, DiffusionError> {
    let (device, points) = (Device::flex(), scale.scaled(2_000, 400));
    let mut cases = Vec::new();
    for shape in CloudShape::ALL {
        let name = shape.name();
        for (blur, is_separated) in [(0.05, true), (0.3, false)] {
            let cloud = PointCloud {
                shape,
                blur,
                seed: scale.seed,
            };
            let data = cloud.data(points, &device, DType::F64)?;
            for (change, max_mass) in [
                (Change::AddInside, f64::INFINITY),
                (Change::RemoveInside, MODE_MASS),
                (Change::AddOutside, f64::INFINITY),
            ] {
                scale.report_progress(format!("reach: {name}"));
                let direction =
                    cloud.direction(change.support(), points / 4, &device, DType::F64)?;
                let problem = problem(scale, &data, &direction, shape.sigma_min(), DType::F64);
                let modes = if is_separated { "apart" } else { "overlapping" };
                cases.push(Case {
                    data: format!("{name}, modes {modes}"),
                    change,
                    separated_cloud: is_separated.then_some(name),
                    validity: validity(&problem, change.sign(), max_mass)?,
                });
            }
        }
    }
    Ok(cases)
}

/// A problem of the section's size.
fn problem<'a>(
    scale: &StudyScale<'_>,
    data: &'a dyn Measure,
    direction: &'a dyn Measure,
    sigma_min: f64,
    dtype: DType,
) -> Problem<'a> {
    let noise = FrozenNoise::new(scale.seed);
    let shape = [scale.scaled(48, 6), data.dim()];
    Problem {
        data,
        direction,
        sampler: Sampler::Heun,
        sigmas: karras(scale.scaled(24, 8), sigma_min, 40.0, 7.0),
        start: noise.start(shape, &Device::flex(), dtype),
        noise,
    }
}

/// Validity of a problem at all masses below `max_mass`.
fn validity(problem: &Problem<'_>, sign: f64, max_mass: f64) -> Result<Validity, DiffusionError> {
    let masses: Vec<f64> = MASSES.into_iter().filter(|mass| *mass < max_mass).collect();
    Validity::measure(problem, sign, &masses)
}

/// Trust radii of learned scores with their own densities, against the true radii of the mixtures.
fn learned_scores(
    scale: &StudyScale<'_>,
    scores: &[LearnedScore],
) -> Result<Table, DiffusionError> {
    let device = Device::flex();
    let mut table = Table::new(
        "reach-learned",
        Some(
            "The limit that a learned score announces with its own density, nothing in closed form but ν, and the real one of the exact \
             mixture. Medians; rank: Spearman with the real limits over the samples."
                .to_owned(),
        ),
        &["learned", "announced", "by the closed form", "real", "rank", "rank, closed form"],
    );
    for score in scores {
        let (name, mixture) = (score.case.name(), &score.mixture);
        scale.report_progress(format!("reach: announced by a learned score, {name}"));
        let measures = |dtype| -> Result<_, DiffusionError> {
            let direction = mixture.direction(Perturbation::Add, &device, dtype)?;
            Ok((mixture.data(&device, dtype)?, direction))
        };
        let (data, direction) = measures(DType::F64)?;
        let exact = problem(scale, &data, &direction, MIXTURE_SIGMA_MIN, DType::F64);
        let exact = validity(&exact, 1.0, f64::INFINITY)?;
        let (data, direction) = measures(DType::F32)?;
        let learned = problem(scale, &data, &direction, MIXTURE_SIGMA_MIN, DType::F32);
        let density = ProbabilityFlow {
            start: mixture.moments(false, &device, DType::F32)?,
            trace: score.trace,
        };
        let solution = learned.second_order_tangents(score.network.as_ref(), &density)?;
        let predicted = trust_radii(&solution)?;
        let truth = true_radii(&exact);
        let closed_form = exact.predicted.by(RadiusPredictor::Curvature);
        table.rows.push(vec![
            name.to_owned(),
            rounded(median(&predicted)),
            rounded(median(closed_form)),
            exact.radius().to_string(),
            rounded(spearman(&predicted, &truth)),
            rounded(spearman(closed_form, &truth)),
        ]);
    }
    Ok(table)
}

/// True radius and median predicted radius of the cases whose true radius is not censored.
fn uncensored(cases: &[Case], predictor: RadiusPredictor) -> Vec<(f64, f64)> {
    let pair = |case: &Case| match case.validity.radius() {
        Censored::Exact(radius) => Some((radius, median(case.predicted(predictor)))),
        Censored::Below(_) | Censored::Above(_) => None,
    };
    cases.iter().filter_map(pair).collect()
}

/// Quality of a predictor over all cases.
struct PredictorQuality {
    /// Spearman correlation of predicted and true radii over the cases.
    across: f64,
    /// Spearman correlation over the samples of a case, median over the cases.
    within: f64,
    /// True radius divided by the predicted one, median over the cases.
    factor: f64,
    /// 0.1 and 0.9 quantiles of the same ratio.
    tenths: [f64; 2],
}

impl PredictorQuality {
    fn new(cases: &[Case], predictor: RadiusPredictor) -> Self {
        let (truth, predicted): (Vec<f64>, Vec<f64>) =
            uncensored(cases, predictor).into_iter().unzip();
        let factors: Vec<f64> = truth.iter().zip(&predicted).map(|(a, b)| a / b).collect();
        let ranks = cases.iter().map(|case| case.sample_rank(predictor));
        Self {
            across: spearman(&truth, &predicted),
            within: median(&ranks.collect::<Vec<f64>>()),
            factor: median(&factors),
            tenths: [0.1, 0.9].map(|q| quantile(&factors, q)),
        }
    }
}

fn conclusion(cases: &[Case]) -> String {
    let [curvature, density_ratio, length] =
        RadiusPredictor::ALL.map(|predictor| PredictorQuality::new(cases, predictor));
    let [low, high] = curvature.tenths;
    format!(
        "Over {} cases whose limit was found among the masses, the limit announced by the curvature ranks them to {:.3} (Spearman), and \
         the samples within a case to {:.2} (median). Real over announced: {:.2} (tenths {low:.2} to {high:.2}), so no \
         calibration is needed. The largest r ranks the cases to {:.2} only, the size of δ to {:.2}.",
        uncensored(cases, RadiusPredictor::Curvature).len(),
        curvature.across,
        curvature.within,
        curvature.factor,
        density_ratio.across,
        length.across
    )
}

/// Samples that move to another mode, which a median over samples does not show.
fn jumps(cases: &[Case]) -> String {
    let curvature = RadiusPredictor::Curvature;
    // True where the trust radius is below the mass, for samples that jump and for those that are predicted well.
    let (mut jumped, mut valid) = (Vec::new(), Vec::new());
    for case in cases {
        let Validity { masses, errors, .. } = &case.validity;
        let index = masses.iter().position(|mass| *mass == JUMP_MASS);
        let errors = index.map_or(&[][..], |index| &errors[index]);
        for (error, radius) in errors.iter().zip(case.predicted(curvature)) {
            let is_warned = *radius < JUMP_MASS;
            if *error > JUMP_ERROR {
                jumped.push(is_warned);
            } else if *error < TOLERANCE {
                valid.push(is_warned);
            }
        }
    }
    let samples: usize = cases
        .iter()
        .map(|case| case.predicted(curvature).len())
        .sum();
    let percentage = |warned: &[bool]| {
        let count = warned.iter().filter(|is_warned| **is_warned).count();
        100.0 * count as f64 / warned.len() as f64
    };
    format!(
        "A median hides the few that jump: adding the mass η of a mode that the data do not have must carry η/(1 + η) of the samples there, and \
         no derivative at η = 0 sees them leave. At |η| = {JUMP_MASS}, {:.1} % of all {samples} samples are wrong by more than {JUMP_ERROR}; the curvature \
         had announced a limit below {JUMP_MASS} for {:.0} % of them, and for {:.0} % of the samples that are right to {TOLERANCE}.",
        100.0 * jumped.len() as f64 / samples as f64,
        percentage(&jumped),
        percentage(&valid)
    )
}

/// Quality of every predictor.
fn predictors(cases: &[Case]) -> Table {
    let mut table = Table::new(
        "reach-diagnostics",
        Some("How well a limit is announced. Across: Spearman over cases of the announced median with the real limit. Within: Spearman over \
              the samples of a case, median over cases. Real/announced: median and tenths over cases."
            .to_owned()),
        &["announced by", "across", "within", "real/announced", "tenths"],
    );
    for predictor in RadiusPredictor::ALL {
        let quality = PredictorQuality::new(cases, predictor);
        let [low, high] = quality.tenths.map(rounded);
        table.rows.push(vec![
            predictor.name().to_owned(),
            format!("{:.3}", quality.across),
            format!("{:.3}", quality.within),
            rounded(quality.factor),
            format!("{low} to {high}"),
        ]);
    }
    table
}

/// True and predicted radius of every case.
fn table(cases: &[Case]) -> Table {
    let curvature = RadiusPredictor::Curvature;
    let mut table = Table::new(
        "reach",
        Some("The map: the largest |η| with a median error below a tenth, what the curvature announced, and the Spearman over samples.".to_owned()),
        &["data", "change", "limit", "announced", "within"],
    );
    for case in cases {
        table.rows.push(vec![
            case.data.clone(),
            case.change.name().to_owned(),
            case.validity.radius().to_string(),
            rounded(median(case.predicted(curvature))),
            format!("{:.2}", case.sample_rank(curvature)),
        ]);
    }
    table
}

/// Errors of every case at every mass, for the file.
fn errors(cases: &[Case]) -> Table {
    let columns = [
        "data",
        "change",
        "mass",
        "median_error",
        "lower_quartile",
        "upper_quartile",
        "announced_curvature",
        "announced_ratio",
        "announced_size",
    ];
    let mut table = Table::new("reach-errors", None, &columns);
    for case in cases {
        for (mass, errors) in case.validity.masses.iter().zip(&case.validity.errors) {
            let names = [case.data.as_str(), case.change.name()];
            let mut row = names.map(str::to_owned).to_vec();
            row.push(scientific(*mass));
            row.extend([0.5, 0.25, 0.75].map(|q| scientific(quantile(errors, q))));
            let predicted = |predictor| scientific(median(case.predicted(predictor)));
            row.extend(RadiusPredictor::ALL.map(predicted));
            table.rows.push(row);
        }
    }
    table
}

fn axes(x: &str, y: &str) -> Axes {
    Axes {
        x_label: x.to_owned(),
        y_label: y.to_owned(),
        legend: Corner::UpperLeft,
        ..Axes::default()
    }
}

/// True against predicted radii, one dot a case.
fn predictor_figure(
    cases: &[Case],
    predictor: RadiusPredictor,
    file: &str,
) -> Result<Figure, ReportError> {
    let points = uncensored(cases, predictor)
        .into_iter()
        .map(|(truth, predicted)| (predicted.log10(), truth.log10()));
    let dots = Curve {
        points: points.collect(),
        ..Curve::default()
    };
    let axes = axes("log₁₀ announced |η|", "log₁₀ real limit of |η|");
    Ok(Figure {
        file: file.to_owned(),
        caption: format!(
            "Each dot a case: the real limit against the one announced by {}.",
            predictor.name()
        ),
        svg: scatter(&axes, &[dots])?,
    })
}

/// Errors against the mass, one curve a cloud with separated modes.
fn error_figure(cases: &[Case]) -> Result<Figure, ReportError> {
    let outside = cases
        .iter()
        .filter(|case| case.change == Change::AddOutside);
    let curves: Vec<Curve> = outside
        .filter_map(|case| {
            let name = case.separated_cloud?;
            let points = case.validity.masses.iter().zip(&case.validity.errors);
            let points = points.map(|(mass, errors)| (mass.log10(), median(errors).log10()));
            Some(Curve {
                name: name.to_owned(),
                points: points.collect(),
            })
        })
        .collect();
    Ok(Figure {
        file: "reach-errors".to_owned(),
        caption: "Median relative error against η, ν outside, modes apart.".to_owned(),
        svg: line_plot(&axes("log₁₀ η", "log₁₀ relative error"), &curves)?,
    })
}

fn figures(cases: &[Case]) -> Result<Vec<Figure>, ReportError> {
    Ok(vec![
        predictor_figure(cases, RadiusPredictor::Curvature, "reach-curvature")?,
        predictor_figure(cases, RadiusPredictor::DensityRatio, "reach-ratio")?,
        error_figure(cases)?,
    ])
}
