//! What each imperfection of a real run does to δ.

use anyhow::Result;
use burn::tensor::{DType, Device};
use datasway_diffusion::denoiser::Denoiser;
use datasway_diffusion::sampler::{FrozenNoise, Sampler, sample};
use datasway_diffusion::schedule::karras;
use datasway_report::{Axes, arrow_plot};
use datasway_sensitivity::density::ProbabilityFlow;
use datasway_sensitivity::jacobian_trace::{Colouring, Trace};
use datasway_verification::problems::problem::{Problem, rows, sensitivity_rows};
use datasway_verification::problems::random_mixture::{Covariances, Perturbation, RandomMixture};
use datasway_verification::studies::agreement::{difference, times};
use datasway_verification::studies::learned::{Training, mlp, unet};
use datasway_verification::studies::robustness::{Finding, Study, study};

use super::StudyScale;
use super::pictures::{MASS, Moved};
use super::section::{Figure, Section, Table, raw, short};

/// Side of the pictures, and their name.
const SIDE: usize = 8;
const PICTURES: &str = "pictures 8×8";
/// Name of the mixture whose components do not overlap.
const APART: &str = "d = 2, modes apart";
/// Points of it that are drawn.
const DOTS: usize = 400;
/// Probes of the learned score in d = 10, where its reach is announced.
const PROBES: usize = 4;
/// The mass of the table.
const SHOWN: f64 = 0.01;

/// The section, and the learned scores for later.
pub struct Studied {
    pub section: Section,
    pub learned: Vec<Learned>,
}

/// A mixture, a network that learned it, and the trace that suits it.
pub struct Learned {
    pub name: String,
    pub mixture: RandomMixture,
    pub network: Box<dyn Denoiser>,
    pub trace: Trace,
}

pub fn section(effort: &StudyScale) -> Result<Studied> {
    let training = |steps: usize, batch: usize, learning_rate: f64| Training {
        steps: effort.size(steps, 20) as u64,
        batch: effort.size(batch, 32),
        learning_rate,
        seed: effort.seed,
    };
    let seed = effort.seed;
    let unequal = Covariances::Unequal;
    let mut learned = Vec::new();
    for (name, mixture, trace) in [
        ("d = 2", RandomMixture::new(2, unequal, seed), Trace::Exact),
        (
            "d = 10",
            RandomMixture::new(10, unequal, seed),
            Trace::rademacher(PROBES, seed),
        ),
        (
            APART,
            RandomMixture::separated(2, unequal, seed),
            Trace::Exact,
        ),
    ] {
        if effort.quick && name == "d = 2" {
            continue;
        }
        effort.says(format!("robustness: training an MLP, {name}"));
        learned.push(Learned {
            name: name.to_owned(),
            network: Box::new(mlp(&mixture, 96, &training(3000, 384, 3e-3))?),
            mixture,
            trace,
        });
    }
    let mixture = RandomMixture::pictures(SIDE, seed);
    effort.says("robustness: training a U-Net");
    let network = unet(&mixture, SIDE, effort.size(16, 8), &training(900, 48, 2e-3))?;
    learned.push(Learned {
        name: PICTURES.to_owned(),
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

    let mut findings = Vec::new();
    for Learned {
        name,
        mixture,
        network,
        ..
    } in &learned
    {
        effort.says(format!("robustness: {name}"));
        let pictures = name == PICTURES;
        findings.extend(study(&Study {
            name,
            mixture,
            side: pictures.then_some(SIDE),
            network: network.as_ref(),
            samples: match pictures {
                true => effort.size(32, 4),
                false => effort.size(64, 6),
            },
            seed,
        })?);
    }
    let mut tables = vec![table(&findings), file(&findings)];
    let mut figures = Vec::new();
    for learned in learned.iter().filter(|learned| learned.name == APART) {
        let (table, figure) = picture(effort, learned)?;
        tables.push(table);
        figures.push(figure);
    }
    Ok(Studied {
        section: Section {
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
        },
        learned,
    })
}

/// Samples of a mixture in the plane: their real changes, and those that a learned score predicts with its own density.
fn picture(effort: &StudyScale, learned: &Learned) -> Result<(Table, Figure)> {
    let device = Device::flex();
    let mixture = &learned.mixture;
    let (sigmas, noise) = (karras(64, 0.02, 80.0, 7.0), FrozenNoise::new(effort.seed));
    let measures = |dtype| -> Result<_> {
        let direction = mixture.direction(Perturbation::Add, &device, dtype)?;
        Ok((mixture.data(&device, dtype)?, direction))
    };
    let (exact, single) = (measures(DType::F64)?, measures(DType::F32)?);
    let problem = |dtype, (data, direction)| Problem {
        data,
        direction,
        sampler: Sampler::Heun,
        sigmas: sigmas.clone(),
        start: noise.start([effort.size(64, 6), 2], &device, dtype),
        noise,
    };
    let truth = problem(DType::F64, (&exact.0, &exact.1));
    let samples = rows(&sample(
        &exact.0,
        &truth.sampler,
        &sigmas,
        truth.start.clone(),
        &noise,
    )?)?;
    let real = difference(&rows(&truth.moved(MASS)?)?, &samples);
    let density = ProbabilityFlow {
        start: mixture.moments(false, &device, DType::F32)?,
        trace: learned.trace,
    };
    let found = problem(DType::F32, (&single.0, &single.1))
        .predicted(learned.network.as_ref(), &density)?;
    let predicted = times(&sensitivity_rows(&found)?, MASS);

    let columns = ["x", "y", "predicted_x", "predicted_y", "real_x", "real_y"];
    let mut table = Table::new("learned-arrows", None, &columns);
    for ((x, predicted), real) in samples.iter().zip(&predicted).zip(&real) {
        let row = [&x[..], predicted, real].concat();
        table.rows.push(row.into_iter().map(raw).collect());
    }
    let plane =
        |rows: &[Vec<f64>]| -> Vec<[f64; 2]> { rows.iter().map(|v| [v[0], v[1]]).collect() };
    let dots = mixture.draw(DOTS, effort.seed, &device, DType::F64);
    let dots: Vec<(f64, f64)> = plane(&rows(&dots)?).into_iter().map(Into::into).collect();
    let moved = Moved::new(&plane(&samples), &plane(&real), &plane(&predicted));
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
            "{APART}, a learned score with its own density: {}",
            moved.caption()
        ),
        svg: arrow_plot(&axes, &dots, &moved.sets)?,
    };
    Ok((table, figure))
}

/// Findings of all masses.
fn file(findings: &[Finding]) -> Table {
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
            finding.factor.to_owned(),
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
            .map(raw),
        );
        table.rows.push(row);
    }
    table
}

/// Findings at one mass, the cases side by side.
fn table(findings: &[Finding]) -> Table {
    let mut cases: Vec<&str> = findings.iter().map(|f| f.case.as_str()).collect();
    cases.dedup();
    let mut columns = vec!["factor".to_owned(), "setting".to_owned()];
    for case in &cases {
        for what in ["error", "correlation", "rank", "log r"] {
            columns.push(format!("{case}: {what}"));
        }
    }
    let mut settings: Vec<(&str, &str)> = Vec::new();
    for finding in findings {
        let setting = (finding.factor, finding.setting.as_str());
        if !settings.contains(&setting) {
            settings.push(setting);
        }
    }
    let mut rows = Vec::new();
    for (factor, setting) in settings {
        let mut row = vec![factor.to_owned(), setting.to_owned()];
        for case in &cases {
            let of = |f: &&Finding| {
                f.case == *case && f.factor == factor && f.setting == setting && f.mass == SHOWN
            };
            row.extend(match findings.iter().find(of) {
                Some(f) => {
                    let a = &f.agreement;
                    [a.error, a.correlation, a.rank, f.log_ratio_error].map(short)
                }
                None => std::array::from_fn(|_| String::new()),
            });
        }
        rows.push(row);
    }
    Table {
        file: "robustness",
        caption: Some(format!(
            "Agreement of predicted and real changes at η = {SHOWN}."
        )),
        columns,
        rows,
    }
}
