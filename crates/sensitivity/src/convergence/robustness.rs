//! What each imperfection of a real run does to δ.

use anyhow::Result;
use diffusion::network::NetworkDenoiser;
use sensitivity::validation::learned::{Training, mlp, unet};
use sensitivity::validation::mixtures::{Covariances, Mixture};
use sensitivity::validation::mlp::Mlp;
use sensitivity::validation::robustness::{Finding, Study, study};

use super::Effort;
use super::section::{Section, Table, raw, short};

/// Side of the pictures.
const SIDE: usize = 8;
/// The mass of the table.
const SHOWN: f64 = 0.01;

/// The section, and a learned score for later.
pub struct Studied {
    pub section: Section,
    pub learned: Learned,
}

/// A mixture and a network that learned it.
pub struct Learned {
    pub mixture: Mixture,
    pub network: NetworkDenoiser<Mlp>,
}

pub fn section(effort: &Effort) -> Result<Studied> {
    let training = |steps: usize, batch: usize, learning_rate: f64| Training {
        steps: effort.size(steps, 20) as u64,
        batch: effort.size(batch, 32),
        learning_rate,
        seed: effort.seed,
    };
    let mut findings = Vec::new();
    let mut learned = None;
    let dimensions: &[usize] = if effort.quick { &[10] } else { &[2, 10] };
    for &d in dimensions {
        let mixture = Mixture::new(d, Covariances::Unequal, effort.seed);
        effort.says(format!("robustness: training an MLP, d = {d}"));
        let network = mlp(&mixture, 96, &training(3000, 384, 3e-3))?;
        effort.says(format!("robustness: d = {d}"));
        findings.extend(study(&Study {
            name: &format!("d = {d}"),
            mixture: &mixture,
            side: None,
            network: &network,
            samples: effort.size(64, 6),
            seed: effort.seed,
        })?);
        learned = Some(Learned { mixture, network });
    }
    let mixture = Mixture::pictures(SIDE, effort.seed);
    effort.says("robustness: training a U-Net");
    let network = unet(&mixture, SIDE, effort.size(16, 8), &training(900, 48, 2e-3))?;
    effort.says("robustness: pictures");
    findings.extend(study(&Study {
        name: "pictures 8×8",
        mixture: &mixture,
        side: Some(SIDE),
        network: &network,
        samples: effort.size(32, 4),
        seed: effort.seed,
    })?);
    let Some(learned) = learned else {
        anyhow::bail!("no network was trained");
    };
    Ok(Studied {
        section: Section {
            title: "Robustness",
            text: vec![
                "One thing at a time departs from the closed form, then all together; the truth stays the exactly changed mixture. Error: \
                 ‖ηδ − (x_η − x)‖/‖x_η − x‖, median over samples. Correlation: of the entries, median (of two entries it is ±1 and says \
                 nothing). Rank: Spearman of ‖δ‖ with ‖x_η − x‖. log r: largest error of the log density ratio on the path while r > e⁻³, \
                 median, in nats. The “pictures” are 8×8 grey ones of a Gaussian mixture, so that the truth stays known."
                    .to_owned(),
            ],
            tables: vec![table(&findings), file(&findings)],
            figures: vec![],
        },
        learned,
    })
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
