//! Batches of influences as arrays, and back.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use datasway_fs::arrays::Array;
use datasway_sensitivity::influence::{
    CandidateInfluences, FunctionalInfluences, Influences, RankedImage,
};
use datasway_sensitivity::learner::SolverReport;
use datasway_sensitivity::{SensitivityConfig, Through};

use super::arrays::{Reader, rows};
use super::folder::Shards;
use super::solver_report;

/// An image's index is two numbers, its quotient and its remainder, since f32 counts to 2²⁴ only.
const PAGE: usize = 1 << 12;
/// Numbers of a ranked image before its contributions along the path.
const HEAD: usize = 3;

/// Sizes of the results of a run.
#[derive(Clone, Copy)]
pub struct Sizes<'a> {
    /// Entries of a sample, d.
    pub dim: usize,
    /// Training images, m.
    pub images: usize,
    /// Images outside the training set, c; none where there are none.
    pub candidates: Option<usize>,
    /// Names of the functionals.
    pub functionals: &'a [String],
    /// The derivative.
    pub through: Through,
}

/// The results of a batch.
pub fn arrays(results: &Influences) -> BTreeMap<String, Array> {
    let n = results.count();
    let mut arrays = BTreeMap::new();
    let mut put = |name: String, array: Array| drop(arrays.insert(name, array));
    put("samples".into(), rows(n, &results.samples));
    put("sigmas".into(), rows(1, &results.sigmas));
    put("balance".into(), rows(n, &results.balance));
    put("step_sigmas".into(), rows(1, &results.step_sigmas));
    put("seconds".into(), rows(1, &[results.seconds as f32]));
    for (k, functional) in results.functionals.iter().enumerate() {
        let mut rows_of = |name: &str, values: &[f32]| put(format!("{name}/{k}"), rows(n, values));
        rows_of("value", &functional.values);
        rows_of("gradient", &functional.gradients);
        rows_of("influence", &functional.influence);
        rows_of("by_step", &functional.by_step);
        rows_of("strength", &functional.strength);
        rows_of("residual", &functional.residuals);
        put_ranked(&mut put, &format!("proponents/{k}"), &functional.proponents);
        put_ranked(&mut put, &format!("opponents/{k}"), &functional.opponents);
        if let Some(candidates) = &functional.candidates {
            let mut rows_of =
                |name: &str, values: &[f32]| put(format!("{name}/{k}"), rows(n, values));
            rows_of("candidate_influence", &candidates.influence);
            rows_of("candidate_by_step", &candidates.by_step);
            let name = |side: &str| format!("candidate_{side}/{k}");
            put_ranked(&mut put, &name("proponents"), &candidates.proponents);
            put_ranked(&mut put, &name("opponents"), &candidates.opponents);
        }
    }
    arrays
}

/// The results of all batches, and the systems that were solved for them; none through the data.
///
/// # Errors
/// If a file is damaged or has other results than those of `config`.
pub fn merged(
    shards: &Shards,
    config: &SensitivityConfig,
    sizes: Sizes<'_>,
) -> Result<(Influences, Option<SolverReport>)> {
    let functionals = sizes.functionals.iter().map(|name| FunctionalInfluences {
        name: name.clone(),
        candidates: sizes.candidates.map(|_| CandidateInfluences::default()),
        ..FunctionalInfluences::default()
    });
    let mut results = Influences {
        dim: sizes.dim,
        images: sizes.images,
        samples: Vec::new(),
        sigmas: Vec::new(),
        balance: Vec::new(),
        step_sigmas: Vec::new(),
        candidates: sizes.candidates.unwrap_or(0),
        functionals: functionals.collect(),
        seconds: 0.0,
    };
    let mut report: Option<SolverReport> = None;
    for (n, batch) in shards.batches(config)? {
        let mut batch = Reader::new(batch?);
        let (d, m) = (sizes.dim, sizes.images);
        results.sigmas = batch.take("sigmas")?;
        results.step_sigmas = batch.take("step_sigmas")?;
        let (evaluations, steps) = (results.sigmas.len(), results.step_sigmas.len());
        batch.append("samples", [n, d], &mut results.samples)?;
        batch.append("balance", [n, evaluations], &mut results.balance)?;
        let seconds = batch.take("seconds")?;
        results.seconds += seconds.iter().copied().map(f64::from).sum::<f64>();
        for (k, f) in results.functionals.iter_mut().enumerate() {
            let lists = [
                ("value", 1, &mut f.values),
                ("gradient", d, &mut f.gradients),
                ("influence", m, &mut f.influence),
                ("by_step", steps * m, &mut f.by_step),
                ("strength", evaluations, &mut f.strength),
                ("residual", 1, &mut f.residuals),
            ];
            for (name, width, values) in lists {
                batch.append(&format!("{name}/{k}"), [n, width], values)?;
            }
            let mut ranked =
                |side: &str| take_ranked(&mut batch, &format!("{side}/{k}"), n, evaluations);
            f.proponents.extend(ranked("proponents")?);
            f.opponents.extend(ranked("opponents")?);
            let Some(candidates) = &mut f.candidates else {
                continue;
            };
            let c = results.candidates;
            candidates
                .proponents
                .extend(ranked("candidate_proponents")?);
            candidates.opponents.extend(ranked("candidate_opponents")?);
            let (influence, by_step) = (&mut candidates.influence, &mut candidates.by_step);
            batch.append(&format!("candidate_influence/{k}"), [n, c], influence)?;
            batch.append(&format!("candidate_by_step/{k}"), [n, steps * c], by_step)?;
        }
        if sizes.through == Through::Weights {
            let later = solver_report::take(&mut batch)?;
            match &mut report {
                Some(report) => report.append(later),
                None => report = Some(later),
            }
        }
    }
    Ok((results, report))
}

/// The ranked images of each sample: their numbers in `NAME/count`, and a row for each in `NAME`.
fn put_ranked(put: &mut impl FnMut(String, Array), name: &str, samples: &[Vec<RankedImage>]) {
    let counts: Vec<f32> = samples.iter().map(|ranked| ranked.len() as f32).collect();
    put(format!("{name}/count"), rows(samples.len(), &counts));
    let all = samples.iter().flatten();
    let values = all.clone().flat_map(|ranked| {
        let head = [
            (ranked.image / PAGE) as f32,
            (ranked.image % PAGE) as f32,
            ranked.influence,
        ];
        head.into_iter().chain(ranked.along.iter().copied())
    });
    let values: Vec<f32> = values.collect();
    put(name.to_owned(), rows(all.count(), &values));
}

/// Reads the output of [`put_ranked`] for n samples with a path of so many evaluations.
fn take_ranked(
    batch: &mut Reader<'_>,
    name: &str,
    n: usize,
    evaluations: usize,
) -> Result<Vec<Vec<RankedImage>>> {
    let mut counts = Vec::new();
    batch.append(&format!("{name}/count"), [n, 1], &mut counts)?;
    let total = counts.iter().map(|count| *count as usize).sum();
    let mut values = Vec::new();
    let width = HEAD + evaluations;
    batch.append(name, [total, width], &mut values)?;
    let mut images = values.chunks_exact(width).map(|row| RankedImage {
        image: row[0] as usize * PAGE + row[1] as usize,
        influence: row[2],
        along: row[HEAD..].to_vec(),
    });
    let samples = counts.iter().map(|count| {
        let ranked: Vec<RankedImage> = images.by_ref().take(*count as usize).collect();
        (ranked.len() == *count as usize)
            .then_some(ranked)
            .context("a row for each ranked image")
    });
    samples.collect()
}
