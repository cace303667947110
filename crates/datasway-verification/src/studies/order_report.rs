//! Report of the order of convergence.

use burn::tensor::{DType, Device};
use datasway_diffusion::sampler::Sampler;
use datasway_report::section::{Figure, Section, Table, rounded, scientific};
use datasway_report::{Axes, Corner, Curve, line_plot};
use datasway_stats::quantile;

use super::order::{MIN_FIT_POINTS, OrderConfig, ResidualCurve, residuals};
use crate::problems::random_mixture::{Covariances, Perturbation, RandomMixture};
use crate::{StudyError, StudyScale};

/// Samplers with their names.
const SAMPLERS: [(&str, Sampler); 3] = [
    ("Euler", Sampler::Euler),
    ("Heun", Sampler::Heun),
    (
        "SDE (noise frozen)",
        Sampler::Stochastic {
            s_churn: 8.0,
            s_min: 0.05,
            s_max: 50.0,
            s_noise: 1.003,
        },
    ),
];
/// Number of masses in each decade; every third is written to the file.
const PER_DECADE: u32 = 6;
/// Ratio of a residual to the prediction above which the prediction is lost.
const LOST: f64 = 0.1;

/// Residuals of one mixture, change, sampler and precision.
struct Case {
    d: usize,
    covariances: Covariances,
    change: Perturbation,
    sampler: &'static str,
    dtype: DType,
    /// Median over the samples.
    curve: ResidualCurve,
}

/// Section of the report with the orders of convergence.
///
/// # Errors
/// If a sampler fails or a plot cannot be drawn.
pub fn section(scale: &StudyScale<'_>) -> Result<Section, StudyError> {
    let cases = cases(scale)?;
    Ok(Section {
        title: "Order of convergence",
        text: vec![
            "The residual ‖x_η − x − ηδ‖ of the median sample against η, over mixtures of equal and unequal covariances, added to and \
             removed from. A right derivative leaves a residual of second order: slope 2 on logarithmic axes. The slope is fitted between \
             ten times the rounding floor and a twentieth of the prediction."
                .to_owned(),
            rounding(&cases),
        ],
        tables: vec![summary(&cases), all_residuals(&cases)],
        figures: vec![figure(&cases)?],
    })
}

fn cases(scale: &StudyScale<'_>) -> Result<Vec<Case>, StudyError> {
    let mut cases = Vec::new();
    let dimensions: &[usize] = if scale.quick { &[2, 10] } else { &[2, 10, 100] };
    for &d in dimensions {
        for covariances in [Covariances::Equal, Covariances::Unequal] {
            let mixture = RandomMixture::new(d, covariances, scale.seed);
            for change in [Perturbation::Add, Perturbation::Remove] {
                for (sampler, kind) in SAMPLERS {
                    scale.report_progress(format!("order of convergence: d = {d}, {sampler}"));
                    for dtype in [DType::F64, DType::F32] {
                        let config = OrderConfig {
                            sampler: kind,
                            steps: scale.scaled(18, 6),
                            samples: scale.scaled(32, 6),
                            seed: scale.seed,
                            per_decade: PER_DECADE,
                            dtype,
                        };
                        cases.push(Case {
                            d,
                            covariances,
                            change,
                            sampler,
                            dtype,
                            curve: residuals(&mixture, change, &config, &Device::flex())?.median(),
                        });
                    }
                }
            }
        }
    }
    Ok(cases)
}

/// Smallest and largest of some values.
fn span(values: impl Iterator<Item = f64>) -> String {
    let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| {
        (low.min(v), high.max(v))
    });
    if low <= high {
        format!("{} to {}", rounded(low), rounded(high))
    } else {
        "–".to_owned()
    }
}

/// Slopes and rounding floors, one row for each dimension, sampler and precision.
fn summary(cases: &[Case]) -> Table {
    let mut dimensions: Vec<usize> = cases.iter().map(|case| case.d).collect();
    dimensions.dedup();
    let mut table = Table::new(
        "order",
        Some(format!(
            "Fitted slopes and the decades of η they are fitted over: lowest and highest of the four cases (equal or unequal covariances, \
             added or removed) of each row, as far as there are {MIN_FIT_POINTS} masses to fit. Floor: what rounding leaves of the residual. Lost below: the η at which that floor is a tenth of \
             the prediction."
        )),
        &[
            "d",
            "sampler",
            "precision",
            "fitted",
            "slope",
            "decades",
            "floor",
            "lost below η =",
        ],
    );
    for dtype in [DType::F64, DType::F32] {
        for &d in &dimensions {
            for (sampler, _) in SAMPLERS {
                let is_of_row =
                    |case: &&Case| case.d == d && case.sampler == sampler && case.dtype == dtype;
                let curves: Vec<_> = cases.iter().filter(is_of_row).map(|c| &c.curve).collect();
                let lines = curves.iter().filter_map(|curve| curve.line());
                let slopes: Vec<f64> = lines.map(|line| line.slope).collect();
                let decades = curves.iter().map(|curve| {
                    let range = curve.asymptotic();
                    match (range.first(), range.last()) {
                        (Some(first), Some(last)) => (last.0 / first.0).log10(),
                        _ => 0.0,
                    }
                });
                table.rows.push(vec![
                    d.to_string(),
                    sampler.to_owned(),
                    precision(dtype).to_owned(),
                    format!("{} of {}", slopes.len(), curves.len()),
                    format!(
                        "{:.3} to {:.3}",
                        quantile(&slopes, 0.0),
                        quantile(&slopes, 1.0)
                    ),
                    span(decades),
                    span(curves.iter().map(|curve| curve.floor())),
                    span(
                        curves
                            .iter()
                            .map(|curve| curve.floor() / (LOST * curve.sensitivity)),
                    ),
                ]);
            }
        }
    }
    table
}

fn precision(dtype: DType) -> &'static str {
    match dtype {
        DType::F64 => "f64",
        _ => "f32",
    }
}

/// Residuals of all cases, for the file.
fn all_residuals(cases: &[Case]) -> Table {
    let columns = [
        "d",
        "covariances",
        "change",
        "sampler",
        "precision",
        "mass",
        "residual",
        "sensitivity",
    ];
    let mut table = Table::new("order-residuals", None, &columns);
    for case in cases {
        let points = case.curve.masses.iter().zip(&case.curve.residuals);
        for (mass, residual) in points.step_by(3) {
            table.rows.push(vec![
                case.d.to_string(),
                format!("{:?}", case.covariances).to_lowercase(),
                format!("{:?}", case.change).to_lowercase(),
                case.sampler.replace(" (noise frozen)", ""),
                precision(case.dtype).to_owned(),
                scientific(*mass),
                scientific(*residual),
                scientific(case.curve.sensitivity),
            ]);
        }
    }
    table
}

/// Residuals at η = 1e-6 in both precisions.
fn rounding(cases: &[Case]) -> String {
    let relative = |dtype: DType| {
        let curves = cases.iter().filter(move |case| case.dtype == dtype);
        span(curves.map(|Case { curve, .. }| {
            // The first mass of 1e-6 or above.
            let i = curve.masses.partition_point(|mass| *mass < 0.99e-6);
            curve.residuals[i] / (curve.masses[i] * curve.sensitivity)
        }))
    };
    format!(
        "Why η = 1e-6 fails in f32: a number near 1 is stored to 6·10⁻⁸ there, and every step of the sampler rounds again, so two samples \
         of the same noise differ by the floor below whatever η is, while the change to be seen is ηδ. At η = 1e-6 the residual is {} of \
         the prediction in f32 and {} in f64. It is the finite difference that fails: δ itself is no difference of two samples and has \
         the ordinary relative precision of f32.",
        relative(DType::F32),
        relative(DType::F64)
    )
}

fn figure(cases: &[Case]) -> Result<Figure, StudyError> {
    let is_shown = |case: &&Case| {
        case.covariances == Covariances::Unequal
            && case.change == Perturbation::Add
            && case.sampler == SAMPLERS[1].0
            && case.d != 2
    };
    let logarithms = |mass: f64, value: f64| (mass.log10(), value.log10());
    let mut curves: Vec<Curve> = cases
        .iter()
        .filter(is_shown)
        .map(|case| {
            let points = case.curve.masses.iter().zip(&case.curve.residuals);
            Curve {
                name: format!("d = {}, {}", case.d, precision(case.dtype)),
                points: points
                    .map(|(mass, residual)| logarithms(*mass, *residual))
                    .collect(),
            }
        })
        .collect();
    curves.push(Curve {
        name: "slope 2".to_owned(),
        points: vec![logarithms(1e-7, 1e-15), logarithms(1.0, 0.1)],
    });
    let axes = Axes {
        x_label: "log₁₀ η".to_owned(),
        y_label: "log₁₀ ‖x_η − x − ηδ‖".to_owned(),
        legend: Corner::UpperLeft,
        ..Axes::default()
    };
    Ok(Figure {
        file: "order".to_owned(),
        caption: "Residuals of the median sample, Heun, unequal covariances, adding: parallel to the line of slope 2 until rounding."
            .to_owned(),
        svg: line_plot(&axes, &curves)?,
    })
}
