//! Order of convergence, and where rounding takes over.

use anyhow::Result;
use burn::tensor::{DType, Device};
use datasway_diffusion::sampler::Sampler;
use datasway_report::{Axes, Corner, Curve, line_plot};
use datasway_stats::quantile;
use datasway_verification::problems::random_mixture::{Covariances, Perturbation, RandomMixture};
use datasway_verification::studies::order::{MIN_FIT_POINTS, Order, Setting, order};

use super::StudyScale;
use super::section::{Figure, Section, Table, raw, short};

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
/// Masses in each decade; every third goes to the file.
const PER_DECADE: u32 = 6;
/// A residual of this part of the prediction makes it useless.
const USELESS: f64 = 0.1;

/// One curve of residuals.
struct Case {
    d: usize,
    covariances: Covariances,
    change: Perturbation,
    sampler: &'static str,
    dtype: DType,
    order: Order,
}

pub fn section(effort: &StudyScale) -> Result<Section> {
    let mut cases = Vec::new();
    let dimensions: &[usize] = if effort.quick {
        &[2, 10]
    } else {
        &[2, 10, 100]
    };
    for &d in dimensions {
        for covariances in [Covariances::Equal, Covariances::Unequal] {
            let mixture = RandomMixture::new(d, covariances, effort.seed);
            for change in [Perturbation::Add, Perturbation::Remove] {
                for (sampler, kind) in SAMPLERS {
                    effort.says(format!("order of convergence: d = {d}, {sampler}"));
                    for dtype in [DType::F64, DType::F32] {
                        let setting = Setting {
                            sampler: kind,
                            steps: effort.size(18, 6),
                            samples: effort.size(32, 6),
                            seed: effort.seed,
                            per_decade: PER_DECADE,
                            dtype,
                        };
                        cases.push(Case {
                            d,
                            covariances,
                            change,
                            sampler,
                            dtype,
                            order: order(&mixture, change, &setting, &Device::flex())?,
                        });
                    }
                }
            }
        }
    }
    Ok(Section {
        title: "Order of convergence",
        text: vec![
            "The residual ‖x_η − x − ηδ‖ of the median sample against η, over mixtures of equal and unequal covariances, added to and \
             removed from. A right derivative leaves a residual of second order: slope 2 on logarithmic axes. The slope is fitted between \
             ten times the rounding floor and a twentieth of the prediction."
                .to_owned(),
            rounding(&cases),
        ],
        tables: vec![summary(&cases), residuals(&cases)],
        figures: vec![figure(&cases)?],
    })
}

/// Lowest and highest of some values.
fn span(values: impl Iterator<Item = f64>) -> String {
    let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| {
        (low.min(v), high.max(v))
    });
    match low <= high {
        true => format!("{} to {}", short(low), short(high)),
        false => "–".to_owned(),
    }
}

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
                let of =
                    |case: &&Case| case.d == d && case.sampler == sampler && case.dtype == dtype;
                let typical: Vec<_> = cases.iter().filter(of).map(|c| c.order.typical()).collect();
                let fits = typical.iter().filter_map(|residuals| residuals.fitted());
                let slopes: Vec<f64> = fits.map(|line| line.slope).collect();
                let lengths = typical.iter().map(|residuals| {
                    let range = residuals.asymptotic();
                    match (range.first(), range.last()) {
                        (Some(first), Some(last)) => (last.0 / first.0).log10(),
                        _ => 0.0,
                    }
                });
                table.rows.push(vec![
                    d.to_string(),
                    sampler.to_owned(),
                    precision(dtype).to_owned(),
                    format!("{} of {}", slopes.len(), typical.len()),
                    format!(
                        "{:.3} to {:.3}",
                        quantile(&slopes, 0.0),
                        quantile(&slopes, 1.0)
                    ),
                    span(lengths),
                    span(typical.iter().map(|r| r.floor())),
                    span(
                        typical
                            .iter()
                            .map(|r| r.floor() / (USELESS * r.sensitivity)),
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

fn residuals(cases: &[Case]) -> Table {
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
        let typical = case.order.typical();
        let points = typical.masses.iter().zip(&typical.residuals);
        for (mass, residual) in points.step_by(3) {
            table.rows.push(vec![
                case.d.to_string(),
                format!("{:?}", case.covariances).to_lowercase(),
                format!("{:?}", case.change).to_lowercase(),
                case.sampler.replace(" (noise frozen)", ""),
                precision(case.dtype).to_owned(),
                raw(*mass),
                raw(*residual),
                raw(typical.sensitivity),
            ]);
        }
    }
    table
}

/// What becomes of η = 1e-6 in both precisions.
fn rounding(cases: &[Case]) -> String {
    let relative = |dtype: DType| {
        let of = cases.iter().filter(move |case| case.dtype == dtype);
        span(of.map(|case| {
            let typical = case.order.typical();
            // The first of the masses at or above 1e-6.
            let at = typical.masses.partition_point(|mass| *mass < 0.99e-6);
            typical.residuals[at] / (typical.masses[at] * typical.sensitivity)
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

fn figure(cases: &[Case]) -> Result<Figure> {
    let shown = |case: &&Case| {
        case.covariances == Covariances::Unequal
            && case.change == Perturbation::Add
            && case.sampler == SAMPLERS[1].0
            && case.d != 2
    };
    let log = |mass: f64, value: f64| (mass.log10(), value.log10());
    let mut curves: Vec<Curve> = cases
        .iter()
        .filter(shown)
        .map(|case| {
            let typical = case.order.typical();
            let points = typical.masses.iter().zip(&typical.residuals);
            Curve {
                name: format!("d = {}, {}", case.d, precision(case.dtype)),
                points: points
                    .map(|(mass, residual)| log(*mass, *residual))
                    .collect(),
            }
        })
        .collect();
    curves.push(Curve {
        name: "slope 2".to_owned(),
        points: vec![log(1e-7, 1e-15), log(1.0, 0.1)],
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
