//! Batches of a ranking as arrays, and back.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use datasway_fs::arrays::Array;
use datasway_sensitivity::learner::SolverReport;
use datasway_sensitivity::sensitivities::TimeBreakdown;
use datasway_sensitivity::trajectory::tangent::Evaluations;
use datasway_sensitivity::{Sensitivities, SensitivityConfig, Through};

use super::arrays::{Reader, rows};
use super::folder::Shards;
use super::solver_report;

/// The numbers that the results of a run have.
#[derive(Clone, Copy)]
pub struct Contents {
    /// Entries of a sample, d.
    pub dim: usize,
    /// Number of directions.
    pub directions: usize,
    /// True with second derivatives.
    pub curvature: bool,
    /// True with the parts of the steps.
    pub by_step: bool,
    /// True with the zero check.
    pub zero_check: bool,
    /// True with the noise of the draws.
    pub draw_noise: bool,
    /// The derivative.
    pub through: Through,
}

/// The results of a batch.
pub fn arrays(results: &Sensitivities) -> BTreeMap<String, Array> {
    let n = results.count();
    let mut arrays = BTreeMap::from([
        ("noise".to_owned(), rows(n, &results.noise)),
        ("samples".to_owned(), rows(n, &results.samples)),
        ("sigmas".to_owned(), rows(1, &results.sigmas)),
        ("log_density".to_owned(), rows(n, &results.log_density)),
        ("cost".to_owned(), rows(1, &cost(&results.cost))),
    ]);
    let optional = [
        ("residual", &results.residuals),
        ("log_density_deviation", &results.log_density_deviation),
    ];
    for (name, values) in optional {
        if let Some(values) = values {
            arrays.insert(name.to_owned(), rows(n, values));
        }
    }
    for k in 0..results.deltas.len() {
        let lists = [
            ("sensitivity", Some(&results.deltas)),
            ("log_ratio", Some(&results.log_ratios)),
            ("curvature", results.curvatures.as_ref()),
            ("by_step", results.step_parts.as_ref()),
            ("draw_noise", results.draw_noise.as_ref()),
        ];
        for (name, list) in lists {
            if let Some(list) = list {
                arrays.insert(format!("{name}/{k}"), rows(n, &list[k]));
            }
        }
    }
    arrays
}

/// The results of all batches, and the system that was solved for them; none through the data.
///
/// # Errors
/// If a file is damaged, has other results than those of `config`, or was computed with another solution.
pub fn merged(
    shards: &Shards,
    config: &SensitivityConfig,
    contents: Contents,
) -> Result<(Sensitivities, Option<SolverReport>)> {
    let mut results = contents.empty();
    let mut report: Option<SolverReport> = None;
    for (n, batch) in shards.batches(config)? {
        let mut batch = Reader::new(batch?);
        results.sigmas = batch.take("sigmas")?;
        let (d, steps) = (contents.dim, results.sigmas.len());
        let densities = match contents.through {
            Through::Data => steps,
            Through::Weights => 0,
        };
        batch.append("noise", [n, d], &mut results.noise)?;
        batch.append("samples", [n, d], &mut results.samples)?;
        batch.append("log_density", [n, densities], &mut results.log_density)?;
        if let Some(residuals) = &mut results.residuals {
            batch.append("residual", [n, d], residuals)?;
        }
        if let Some(deviation) = batch.take_if_any("log_density_deviation") {
            let deviations = results.log_density_deviation.get_or_insert_default();
            deviations.extend(deviation);
        }
        let lists = [
            ("sensitivity", d, Some(&mut results.deltas)),
            ("log_ratio", densities, Some(&mut results.log_ratios)),
            ("curvature", d, results.curvatures.as_mut()),
            ("by_step", steps, results.step_parts.as_mut()),
            ("draw_noise", 1, results.draw_noise.as_mut()),
        ];
        for (name, width, list) in lists {
            for (k, values) in list.into_iter().flatten().enumerate() {
                batch.append(&format!("{name}/{k}"), [n, width], values)?;
            }
        }
        add_cost(&mut results.cost, &batch.take("cost")?);
        if contents.through == Through::Weights {
            let solved = solver_report::take(&mut batch)?;
            ensure!(
                report.as_ref().is_none_or(|report| *report == solved),
                "{}: was computed with another solution for the weights than the batches before it, by a machine that rounds otherwise: \
                 remove the folder and run its shard again on a machine of the same kind",
                batch.file().display()
            );
            report = Some(solved);
        }
    }
    if contents.through == Through::Data {
        let batches = config.samples as f64 / config.batch.min(config.samples) as f64;
        results.cost.extend_first_batch(batches);
    }
    Ok((results, report))
}

impl Contents {
    /// Results of no samples.
    fn empty(self) -> Sensitivities {
        let lists = || vec![Vec::new(); self.directions];
        Sensitivities {
            dim: self.dim,
            noise: Vec::new(),
            samples: Vec::new(),
            deltas: lists(),
            draw_noise: self.draw_noise.then(lists),
            curvatures: self.curvature.then(lists),
            residuals: self.zero_check.then(Vec::new),
            step_parts: self.by_step.then(lists),
            sigmas: Vec::new(),
            log_density: Vec::new(),
            log_ratios: lists(),
            log_density_deviation: None,
            cost: TimeBreakdown::default(),
        }
    }
}

/// Evaluations of a sample and seconds. Through the data all but the total are those of the first batch, and 0 in the others.
fn cost(cost: &TimeBreakdown) -> Vec<f32> {
    let Evaluations {
        path,
        density,
        tangent,
        curvature,
    } = cost.evaluations;
    let evaluations = [path, density, tangent, curvature].map(|count| count as f32);
    let seconds = [
        cost.total,
        cost.path,
        cost.density,
        cost.tangent,
        cost.curvature,
    ];
    [&evaluations[..], &seconds.map(|s| s as f32)].concat()
}

/// Adds what [`cost`] wrote.
fn add_cost(to: &mut TimeBreakdown, numbers: &[f32]) {
    let number = |i: usize| numbers.get(i).copied().unwrap_or_default();
    let count = |i: usize| number(i) as usize;
    let Evaluations {
        path,
        density,
        tangent,
        curvature,
    } = &mut to.evaluations;
    for (i, evaluations) in [path, density, tangent, curvature].into_iter().enumerate() {
        *evaluations = count(i).max(*evaluations);
    }
    to.total += f64::from(number(4));
    to.path += f64::from(number(5));
    to.density += f64::from(number(6));
    to.tangent += f64::from(number(7));
    to.curvature += f64::from(number(8));
}
