//! Batches of a ranking as arrays, and back.

use std::collections::BTreeMap;

use anyhow::Result;
use datasway_fs::arrays::Array;
use datasway_sensitivity::sensitivities::TimeBreakdown;
use datasway_sensitivity::trajectory::tangent::Evaluations;
use datasway_sensitivity::{ResolvedConfig, Sensitivities};

use super::arrays::{Reader, rows};
use super::folder::Shards;

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
        ];
        for (name, list) in lists {
            if let Some(list) = list {
                arrays.insert(format!("{name}/{k}"), rows(n, &list[k]));
            }
        }
    }
    arrays
}

/// The results of all batches of samples of d entries for `count` directions.
///
/// # Errors
/// If a file is damaged or has other results than those of `config`.
pub fn merged(
    shards: &Shards,
    config: &ResolvedConfig,
    [d, count]: [usize; 2],
) -> Result<Sensitivities> {
    let mut results = Sensitivities {
        dim: d,
        noise: Vec::new(),
        samples: Vec::new(),
        deltas: vec![Vec::new(); count],
        draw_noise: None,
        curvatures: config.curvature.then(|| vec![Vec::new(); count]),
        residuals: config.zero_check.as_ref().map(|_| Vec::new()),
        step_parts: config.by_step.then(|| vec![Vec::new(); count]),
        sigmas: Vec::new(),
        log_density: Vec::new(),
        log_ratios: vec![Vec::new(); count],
        log_density_deviation: None,
        cost: TimeBreakdown::default(),
    };
    for (part, batch) in shards.batches(config)? {
        let mut batch = Reader::new(batch?);
        results.sigmas = batch.take("sigmas")?;
        let (n, steps) = (part.samples, results.sigmas.len());
        batch.append("noise", [n, d], &mut results.noise)?;
        batch.append("samples", [n, d], &mut results.samples)?;
        batch.append("log_density", [n, steps], &mut results.log_density)?;
        if let Some(residuals) = &mut results.residuals {
            batch.append("residual", [n, d], residuals)?;
        }
        if let Some(deviation) = batch.take_if_any("log_density_deviation") {
            let deviations = results.log_density_deviation.get_or_insert_default();
            deviations.extend(deviation);
        }
        let lists = [
            ("sensitivity", d, Some(&mut results.deltas)),
            ("log_ratio", steps, Some(&mut results.log_ratios)),
            ("curvature", d, results.curvatures.as_mut()),
            ("by_step", steps, results.step_parts.as_mut()),
        ];
        for (name, width, list) in lists {
            for (k, values) in list.into_iter().flatten().enumerate() {
                batch.append(&format!("{name}/{k}"), [n, width], values)?;
            }
        }
        add_cost(&mut results.cost, &batch.take("cost")?);
    }
    let batches = config.samples as f64 / config.batch.min(config.samples) as f64;
    let cost = &mut results.cost;
    for seconds in [
        &mut cost.path,
        &mut cost.density,
        &mut cost.tangent,
        &mut cost.curvature,
    ] {
        *seconds *= batches;
    }
    Ok(results)
}

/// Evaluations of a sample and seconds. All but the total are those of the first batch, and 0 in the others.
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
    to.evaluations.path += count(0);
    to.evaluations.density += count(1);
    to.evaluations.tangent += count(2);
    to.evaluations.curvature += count(3);
    to.total += f64::from(number(4));
    to.path += f64::from(number(5));
    to.density += f64::from(number(6));
    to.tangent += f64::from(number(7));
    to.curvature += f64::from(number(8));
}
