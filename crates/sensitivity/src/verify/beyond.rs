//! How far the prediction reaches, and how well that is known beforehand.

use anyhow::Result;
use burn::tensor::{DType, Device};
use datasway_diffusion::sampler::{FrozenNoise, Sampler};
use datasway_diffusion::schedule::karras;
use datasway_report::{Axes, Corner, Curve, line_plot, scatter};
use datasway_sensitivity::density::ProbabilityFlow;
use datasway_sensitivity::measure::Measure;
use datasway_sensitivity::trajectory::second_order::TOLERANCE;
use datasway_stats::{median, quantile, spearman};
use datasway_verification::problems::point_clouds::{DirectionSupport, PointCloud, SHAPES, SHARE};
use datasway_verification::problems::problem::{Problem, limits};
use datasway_verification::problems::random_mixture::{Covariances, Perturbation, RandomMixture};
use datasway_verification::studies::validity::{Censored, Validity, validity};

use super::StudyScale;
use super::robustness::Learned;
use super::section::{Figure, Section, Table, raw, short};

/// Masses tried, as far as the measure stays positive.
const MASSES: [f64; 9] = [0.003, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0];
/// The mass at which samples that jump are counted, one of [`MASSES`], and the relative error of a jump.
const JUMP_MASS: f64 = 0.05;
const LOST: f64 = 0.5;
/// Names of what announces a limit.
const WAYS: [&str; 3] = ["curvature", "largest r", "size of δ"];

/// One problem.
struct Case {
    data: String,
    change: &'static str,
    found: Validity,
}

impl Case {
    fn announced(&self, way: usize) -> &[f64] {
        let announced = &self.found.announced;
        match way {
            0 => &announced.curvature,
            1 => &announced.ratio,
            _ => &announced.size,
        }
    }

    /// Spearman over the samples of the announced limit with the real one.
    fn within(&self, way: usize) -> f64 {
        let real: Vec<f64> = self
            .found
            .limits()
            .iter()
            .map(|limit| limit.value())
            .collect();
        spearman(self.announced(way), &real)
    }
}

pub fn section(effort: &StudyScale, learned: &[Learned]) -> Result<Section> {
    let mut cases = mixtures(effort)?;
    cases.extend(clouds(effort)?);
    let by_networks = announced_by_networks(effort, learned)?;
    Ok(Section {
        title: "How far the prediction reaches",
        text: vec![
            format!(
                "The limit of a prediction is the largest |η| at which its median relative error stays below {TOLERANCE}. It can be announced \
                 without the truth: a sample moves by ηδ + η²γ/2 + …, so the error is near η‖γ‖/(2‖δ‖), and γ = d²x₀/dη² follows the same path \
                 as δ for about four times the products with the Jacobian. Beside it, two numbers that cost nothing: 1/(10·max r) on the path, \
                 and 1/‖δ‖."
            ),
            verdict(&cases),
            jumps(&cases),
        ],
        tables: vec![ways(&cases), by_networks, table(&cases), file(&cases)],
        figures: figures(&cases)?,
    })
}

fn mixtures(effort: &StudyScale) -> Result<Vec<Case>> {
    let device = Device::flex();
    let mut cases = Vec::new();
    for d in [2, 10, 100] {
        for covariances in [Covariances::Equal, Covariances::Unequal] {
            let mixture = RandomMixture::new(d, covariances, effort.seed);
            for change in [Perturbation::Add, Perturbation::Remove] {
                effort.says(format!("reach: mixture, d = {d}"));
                let limit = match change {
                    Perturbation::Add => f64::INFINITY,
                    Perturbation::Remove => change.limit(),
                };
                cases.push(Case {
                    data: format!(
                        "mixture, d = {d}, {} covariances",
                        format!("{covariances:?}").to_lowercase()
                    ),
                    change: match change {
                        Perturbation::Add => "add, outside",
                        Perturbation::Remove => "remove, inside",
                    },
                    found: tried(
                        effort,
                        &mixture.data(&device, DType::F64)?,
                        &mixture.direction(change, &device, DType::F64)?,
                        change.sign(),
                        limit,
                        0.02,
                    )?,
                });
            }
        }
    }
    Ok(cases)
}

fn clouds(effort: &StudyScale) -> Result<Vec<Case>> {
    let (device, points) = (Device::flex(), effort.size(2_000, 400));
    let mut cases = Vec::new();
    for shape in SHAPES {
        for (blur, modes) in [(0.05, "apart"), (0.3, "overlapping")] {
            let cloud = PointCloud {
                shape,
                blur,
                seed: effort.seed,
            };
            let data = cloud.data(points, &device, DType::F64)?;
            for (change, place, sign, limit) in [
                ("add, inside", DirectionSupport::Inside, 1.0, f64::INFINITY),
                ("remove, inside", DirectionSupport::Inside, -1.0, SHARE),
                (
                    "add, outside",
                    DirectionSupport::Outside,
                    1.0,
                    f64::INFINITY,
                ),
            ] {
                effort.says(format!("reach: {}", shape.name()));
                let direction = cloud.direction(place, points / 4, &device, DType::F64)?;
                cases.push(Case {
                    data: format!("{}, modes {modes}", shape.name()),
                    change,
                    found: tried(effort, &data, &direction, sign, limit, shape.sigma_min())?,
                });
            }
        }
    }
    Ok(cases)
}

/// A problem of the section's size.
fn problem<'a>(
    effort: &StudyScale,
    data: &'a dyn Measure,
    direction: &'a dyn Measure,
    sigma_min: f64,
    dtype: DType,
) -> Problem<'a> {
    let noise = FrozenNoise::new(effort.seed);
    let shape = [effort.size(48, 6), data.dim()];
    Problem {
        data,
        direction,
        sampler: Sampler::Heun,
        sigmas: karras(effort.size(24, 8), sigma_min, 40.0, 7.0),
        start: noise.start(shape, &Device::flex(), dtype),
        noise,
    }
}

fn tried(
    effort: &StudyScale,
    data: &dyn Measure,
    direction: &dyn Measure,
    sign: f64,
    limit: f64,
    sigma_min: f64,
) -> Result<Validity> {
    let masses: Vec<f64> = MASSES.into_iter().filter(|mass| *mass < limit).collect();
    let problem = problem(effort, data, direction, sigma_min, DType::F64);
    Ok(validity(&problem, sign, &masses)?)
}

/// The limits that learned scores announce with their own densities, held against the real ones of the mixtures.
fn announced_by_networks(effort: &StudyScale, learned: &[Learned]) -> Result<Table> {
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
    for Learned {
        name,
        mixture,
        network,
        trace,
    } in learned
    {
        effort.says(format!("reach: announced by a learned score, {name}"));
        let measures = |dtype| -> Result<_> {
            let direction = mixture.direction(Perturbation::Add, &device, dtype)?;
            Ok((mixture.data(&device, dtype)?, direction))
        };
        let (data, direction) = measures(DType::F64)?;
        let real = tried(effort, &data, &direction, 1.0, f64::INFINITY, 0.02)?;
        let (data, direction) = measures(DType::F32)?;
        let problem = problem(effort, &data, &direction, 0.02, DType::F32);
        let density = ProbabilityFlow {
            start: mixture.moments(false, &device, DType::F32)?,
            trace: *trace,
        };
        let announced = limits(&problem.curved(network.as_ref(), &density)?)?;
        let truth: Vec<f64> = real.limits().iter().map(|limit| limit.value()).collect();
        let closed = &real.announced.curvature;
        table.rows.push(vec![
            name.clone(),
            short(median(&announced)),
            short(median(closed)),
            real.limit().to_string(),
            short(spearman(&announced, &truth)),
            short(spearman(closed, &truth)),
        ]);
    }
    Ok(table)
}

/// Cases whose limit lies among the masses tried: the real limit and the announced median.
fn known(cases: &[Case], way: usize) -> Vec<(f64, f64)> {
    let pair = |case: &Case| match case.found.limit() {
        Censored::At(limit) => Some((limit, median(case.announced(way)))),
        Censored::Below(_) | Censored::Above(_) => None,
    };
    cases.iter().filter_map(pair).collect()
}

/// Spearman across cases; median within them; the median and the tenths of real over announced.
fn quality(cases: &[Case], way: usize) -> [f64; 5] {
    let (real, announced): (Vec<f64>, Vec<f64>) = known(cases, way).into_iter().unzip();
    let factors: Vec<f64> = real.iter().zip(&announced).map(|(a, b)| a / b).collect();
    let within: Vec<f64> = cases.iter().map(|case| case.within(way)).collect();
    [
        spearman(&real, &announced),
        median(&within),
        median(&factors),
        quantile(&factors, 0.1),
        quantile(&factors, 0.9),
    ]
}

fn verdict(cases: &[Case]) -> String {
    let [across, within, factor, low, high] = quality(cases, 0);
    format!(
        "Over {} cases whose limit was found among the masses, the limit announced by the curvature ranks them to {across:.3} (Spearman), and \
         the samples within a case to {within:.2} (median). Real over announced: {factor:.2} (tenths {low:.2} to {high:.2}), so no \
         calibration is needed. The largest r ranks the cases to {:.2} only, the size of δ to {:.2}.",
        known(cases, 0).len(),
        quality(cases, 1)[0],
        quality(cases, 2)[0]
    )
}

/// Samples that the median hides: those that move bodily to another mode.
fn jumps(cases: &[Case]) -> String {
    let mut lost = Vec::new();
    let mut good = Vec::new();
    for case in cases {
        let at = case.found.masses.iter().position(|mass| *mass == JUMP_MASS);
        let errors = at.map_or(&[][..], |at| &case.found.errors[at]);
        for (error, announced) in errors.iter().zip(case.announced(0)) {
            let warned = *announced < JUMP_MASS;
            if *error > LOST {
                lost.push(warned);
            } else if *error < TOLERANCE {
                good.push(warned);
            }
        }
    }
    let samples: usize = cases.iter().map(|case| case.announced(0).len()).sum();
    let share = |of: &[bool]| {
        let warned = of.iter().filter(|warned| **warned).count();
        100.0 * warned as f64 / of.len() as f64
    };
    format!(
        "A median hides the few that jump: adding the mass η of a mode that the data do not have must carry η/(1 + η) of the samples there, and \
         no derivative at η = 0 sees them leave. At |η| = {JUMP_MASS}, {:.1} % of all {samples} samples are wrong by more than {LOST}; the curvature \
         had announced a limit below {JUMP_MASS} for {:.0} % of them, and for {:.0} % of the samples that are right to {TOLERANCE}.",
        100.0 * lost.len() as f64 / samples as f64,
        share(&lost),
        share(&good)
    )
}

fn ways(cases: &[Case]) -> Table {
    let mut table = Table::new(
        "reach-diagnostics",
        Some("How well a limit is announced. Across: Spearman over cases of the announced median with the real limit. Within: Spearman over \
              the samples of a case, median over cases. Real/announced: median and tenths over cases."
            .to_owned()),
        &["announced by", "across", "within", "real/announced", "tenths"],
    );
    for (way, name) in WAYS.into_iter().enumerate() {
        let [across, within, factor, low, high] = quality(cases, way);
        table.rows.push(vec![
            name.to_owned(),
            format!("{across:.3}"),
            format!("{within:.3}"),
            short(factor),
            format!("{} to {}", short(low), short(high)),
        ]);
    }
    table
}

fn table(cases: &[Case]) -> Table {
    let mut table = Table::new(
        "reach",
        Some("The map: the largest |η| with a median error below a tenth, what the curvature announced, and the Spearman over samples.".to_owned()),
        &["data", "change", "limit", "announced", "within"],
    );
    for case in cases {
        table.rows.push(vec![
            case.data.clone(),
            case.change.to_owned(),
            case.found.limit().to_string(),
            short(median(case.announced(0))),
            format!("{:.2}", case.within(0)),
        ]);
    }
    table
}

fn file(cases: &[Case]) -> Table {
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
        for (mass, errors) in case.found.masses.iter().zip(&case.found.errors) {
            let mut row = vec![case.data.clone(), case.change.to_owned(), raw(*mass)];
            row.extend([0.5, 0.25, 0.75].map(|q| raw(quantile(errors, q))));
            row.extend((0..WAYS.len()).map(|way| raw(median(case.announced(way)))));
            table.rows.push(row);
        }
    }
    table
}

fn figures(cases: &[Case]) -> Result<Vec<Figure>> {
    let axes = |x: &str, y: &str| Axes {
        x_label: x.to_owned(),
        y_label: y.to_owned(),
        legend: Corner::UpperLeft,
        ..Axes::default()
    };
    let plot = |way: usize, file: &str| -> Result<Figure> {
        let logs = known(cases, way)
            .into_iter()
            .map(|(real, announced)| (announced.log10(), real.log10()));
        let dots = Curve {
            points: logs.collect(),
            ..Curve::default()
        };
        Ok(Figure {
            file: file.to_owned(),
            caption: format!(
                "Each dot a case: the real limit against the one announced by {}.",
                WAYS[way]
            ),
            svg: scatter(
                &axes("log₁₀ announced |η|", "log₁₀ real limit of |η|"),
                &[dots],
            )?,
        })
    };
    let chosen = |case: &&Case| case.change == "add, outside" && case.data.ends_with("apart");
    let curves: Vec<Curve> = cases
        .iter()
        .filter(chosen)
        .map(|case| {
            let points = case.found.masses.iter().zip(&case.found.errors);
            let points = points.map(|(mass, errors)| (mass.log10(), median(errors).log10()));
            Curve {
                name: case.data.replace(", modes apart", ""),
                points: points.collect(),
            }
        })
        .collect();
    Ok(vec![
        plot(0, "reach-curvature")?,
        plot(1, "reach-ratio")?,
        Figure {
            file: "reach-errors".to_owned(),
            caption: "Median relative error against η, ν outside, modes apart.".to_owned(),
            svg: line_plot(&axes("log₁₀ η", "log₁₀ relative error"), &curves)?,
        },
    ])
}
