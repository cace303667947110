//! Report of the robustness of δ to the imperfections of a real run.

use burn::tensor::{DType, Device};
use datasway_diffusion::DiffusionError;
use datasway_diffusion::sampler::{FrozenNoise, Sampler, sample};
use datasway_diffusion::schedule::karras;
use datasway_report::section::{Figure, Section, Table, rounded, scientific};
use datasway_report::{Axes, arrow_plot};
use datasway_sensitivity::density::ProbabilityFlow;
use datasway_sensitivity::jacobian_trace::{Colouring, Trace};

use super::agreement::{difference, times};
use super::displacement_arrows::{DisplacementArrows, MASS};
use super::learned_score::{LearnedScore, ScoreCase, TrainingOptions, train_mlp, train_unet};
use super::robustness::{self, Factor, Finding, RobustnessConfig};
use crate::problems::problem::{Problem, rows, sensitivity_rows};
use crate::problems::random_mixture::{Covariances, Perturbation, RandomMixture};
use crate::{StudyError, StudyScale};

/// Side of the images.
const SIDE: usize = 8;
/// Number of points of a mixture in a plot.
const DOTS: usize = 400;
/// Number of probes of the learned score in d = 10.
const PROBES: usize = 4;
/// Mass of the table.
const TABLE_MASS: f64 = 0.01;

/// Trains a score model on each mixture.
///
/// # Errors
/// If a loss is not finite.
pub fn train_scores(scale: &StudyScale<'_>) -> Result<Vec<LearnedScore>, StudyError> {
    let options = |steps: usize, batch: usize, learning_rate: f64| TrainingOptions {
        steps: scale.scaled(steps, 20) as u64,
        batch: scale.scaled(batch, 32),
        learning_rate,
        seed: scale.seed,
    };
    let seed = scale.seed;
    let unequal = Covariances::Unequal;
    let mut scores = Vec::new();
    for (case, mixture, trace) in [
        (
            ScoreCase::Plane,
            RandomMixture::new(2, unequal, seed),
            Trace::Exact,
        ),
        (
            ScoreCase::TenDimensions,
            RandomMixture::new(10, unequal, seed),
            Trace::rademacher(PROBES, seed),
        ),
        (
            ScoreCase::Separated,
            RandomMixture::separated(2, unequal, seed),
            Trace::Exact,
        ),
    ] {
        if scale.quick && case == ScoreCase::Plane {
            continue;
        }
        scale.report_progress(format!("robustness: training an MLP, {}", case.name()));
        scores.push(LearnedScore {
            case,
            side: None,
            network: Box::new(train_mlp(&mixture, 96, &options(3000, 384, 3e-3))?),
            mixture,
            trace,
        });
    }
    let mixture = RandomMixture::images(SIDE, seed);
    scale.report_progress("robustness: training a U-Net");
    let channels = scale.scaled(16, 8);
    let network = train_unet(&mixture, SIDE, channels, &options(900, 48, 2e-3))?;
    scores.push(LearnedScore {
        case: ScoreCase::Images,
        side: Some(SIDE),
        network: Box::new(network),
        mixture,
        trace: Trace::Probing {
            colouring: Colouring {
                shape: [1, SIDE, SIDE],
                period: 4,
            },
            seed,
            first: 0,
        },
    });
    Ok(scores)
}

/// Section of the report with the agreement of every factor at every setting.
///
/// # Errors
/// If a model fails or a plot cannot be drawn.
pub fn section(scale: &StudyScale<'_>, scores: &[LearnedScore]) -> Result<Section, StudyError> {
    let findings = findings(scale, scores)?;
    let mut tables = vec![table(&findings), all_findings(&findings)];
    let mut figures = Vec::new();
    for score in scores
        .iter()
        .filter(|score| score.case == ScoreCase::Separated)
    {
        let (table, figure) = displacements(scale, score)?;
        tables.push(table);
        figures.push(figure);
    }
    Ok(Section {
        title: "Robustness",
        text: vec![
            "One thing at a time departs from the closed form, then all together; the truth stays the exactly changed mixture. Error: \
             ‖ηδ − (x_η − x)‖/‖x_η − x‖, median over samples. Correlation: of the entries, median (of two entries it is ±1 and says \
             nothing). Rank: Spearman of ‖δ‖ with ‖x_η − x‖. log r: largest error of the log density ratio on the path while r > e⁻³, \
             median, in nats. The components of a mixture overlap, but for the one with modes apart. The “pictures” are 8×8 grey ones of a \
             Gaussian mixture, so that the truth stays known."
                .to_owned(),
        ],
        tables,
        figures,
    })
}

fn findings(
    scale: &StudyScale<'_>,
    scores: &[LearnedScore],
) -> Result<Vec<Finding>, DiffusionError> {
    let mut findings = Vec::new();
    for score in scores {
        scale.report_progress(format!("robustness: {}", score.case.name()));
        findings.extend(robustness::run(&RobustnessConfig {
            name: score.case.name(),
            mixture: &score.mixture,
            side: score.side,
            network: score.network.as_ref(),
            samples: match score.side {
                Some(_) => scale.scaled(32, 4),
                None => scale.scaled(64, 6),
            },
            seed: scale.seed,
        })?);
    }
    Ok(findings)
}

/// Real changes of samples of a mixture in the plane, and those predicted by a learned score with its own density.
fn displacements(
    scale: &StudyScale<'_>,
    score: &LearnedScore,
) -> Result<(Table, Figure), StudyError> {
    let device = Device::flex();
    let mixture = &score.mixture;
    let (sigmas, noise) = (karras(64, 0.02, 80.0, 7.0), FrozenNoise::new(scale.seed));
    let measures = |dtype| -> Result<_, DiffusionError> {
        let direction = mixture.direction(Perturbation::Add, &device, dtype)?;
        Ok((mixture.data(&device, dtype)?, direction))
    };
    let (double, single) = (measures(DType::F64)?, measures(DType::F32)?);
    let problem = |dtype, (data, direction)| Problem {
        data,
        direction,
        sampler: Sampler::Heun,
        sigmas: sigmas.clone(),
        start: noise.start([scale.scaled(64, 6), 2], &device, dtype),
        noise,
    };
    let exact = problem(DType::F64, (&double.0, &double.1));
    let start = exact.start.clone();
    let samples = rows(&sample(&double.0, &exact.sampler, &sigmas, start, &noise)?)?;
    let real = difference(&rows(&exact.perturbed_samples(MASS)?)?, &samples);
    let density = ProbabilityFlow {
        start: mixture.moments(false, &device, DType::F32)?,
        trace: score.trace,
    };
    let problem = problem(DType::F32, (&single.0, &single.1));
    let prediction = problem.tangents(score.network.as_ref(), &density)?;
    let predicted = times(&sensitivity_rows(&prediction)?, MASS);

    let columns = ["x", "y", "predicted_x", "predicted_y", "real_x", "real_y"];
    let mut table = Table::new("learned-arrows", None, &columns);
    for ((x, predicted), real) in samples.iter().zip(&predicted).zip(&real) {
        let row = [&x[..], predicted, real].concat();
        table.rows.push(row.into_iter().map(scientific).collect());
    }
    let plane =
        |rows: &[Vec<f64>]| -> Vec<[f64; 2]> { rows.iter().map(|v| [v[0], v[1]]).collect() };
    let dots = mixture.draw(DOTS, scale.seed, &device, DType::F64);
    let dots: Vec<(f64, f64)> = plane(&rows(&dots)?).into_iter().map(Into::into).collect();
    let arrows = DisplacementArrows::new(&plane(&samples), &plane(&real), &plane(&predicted));
    let axes = Axes {
        x_label: "x".to_owned(),
        y_label: "y".to_owned(),
        width: 420,
        height: 420,
        ..Axes::default()
    };
    let figure = Figure {
        file: "arrows-learned".to_owned(),
        caption: format!(
            "{}, a learned score with its own density: {}",
            score.case.name(),
            arrows.caption()
        ),
        svg: arrow_plot(&axes, &dots, &arrows.sets)?,
    };
    Ok((table, figure))
}

/// Findings at all masses, for the file.
fn all_findings(findings: &[Finding]) -> Table {
    let columns = [
        "case",
        "factor",
        "setting",
        "products",
        "mass",
        "error",
        "correlation",
        "rank",
        "log_ratio_error",
    ];
    let mut table = Table::new("robustness-all", None, &columns);
    for finding in findings {
        let a = &finding.agreement;
        let mut row = vec![
            finding.case.clone(),
            finding.factor.name().to_owned(),
            finding.setting.clone(),
            finding.products.to_string(),
        ];
        row.extend(
            [
                finding.mass,
                a.error,
                a.correlation,
                a.rank,
                finding.log_ratio_error,
            ]
            .map(scientific),
        );
        table.rows.push(row);
    }
    table
}

/// Findings at [`TABLE_MASS`], with the mixtures side by side.
fn table(findings: &[Finding]) -> Table {
    let mut cases: Vec<&str> = findings.iter().map(|f| f.case.as_str()).collect();
    cases.dedup();
    let mut columns = vec!["factor".to_owned(), "setting".to_owned()];
    for case in &cases {
        for quantity in ["error", "correlation", "rank", "log r"] {
            columns.push(format!("{case}: {quantity}"));
        }
    }
    let mut settings: Vec<(Factor, &str)> = Vec::new();
    for finding in findings {
        let setting = (finding.factor, finding.setting.as_str());
        if !settings.contains(&setting) {
            settings.push(setting);
        }
    }
    let mut rows = Vec::new();
    for (factor, setting) in settings {
        let mut row = vec![factor.name().to_owned(), setting.to_owned()];
        for case in &cases {
            let is_of_cell = |f: &&Finding| {
                f.case == *case
                    && f.factor == factor
                    && f.setting == setting
                    && f.mass == TABLE_MASS
            };
            row.extend(match findings.iter().find(is_of_cell) {
                Some(f) => {
                    let a = &f.agreement;
                    [a.error, a.correlation, a.rank, f.log_ratio_error].map(rounded)
                }
                None => std::array::from_fn(|_| String::new()),
            });
        }
        rows.push(row);
    }
    Table {
        file: "robustness",
        caption: Some(format!(
            "Agreement of predicted and real changes at η = {TABLE_MASS}."
        )),
        columns,
        rows,
    }
}
