//! What happens to a sample without the images that a method holds responsible for it?
//!
//! For each of the first samples and each method a model is trained without the `remove` images that are most responsible. The
//! more the sample then moves, from the same noise, against a model of all images made in the same way, the better they were chosen.
//! Images taken away at random tell how much it moves anyway.

use datasway_attribution::{AttributionTarget, Attributor, Method};
use datasway_diffusion::random::{RandomStream, generator};
use rand::seq::index;
use serde::{Deserialize, Serialize};

use crate::RetrainError;
use crate::execute::Executor;
use crate::jobs::Counterfactuals;
use crate::store::read_arrays;
use datasway_stats::bootstrap;

/// The counterfactuals of a benchmark, as the experiment file says them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counterfactual {
    /// How many samples, the first.
    pub samples: usize,
    /// How many images are taken away for each.
    pub remove: usize,
    /// Which forms of the benchmark's methods choose them, by their names in the tables: those that score the loss at samples, and
    /// ours, principal.
    pub forms: Vec<String>,
}

impl Counterfactual {
    /// Checks the numbers against those of the samples and of the training images.
    pub(crate) fn check(&self, samples: usize, images: usize) -> Result<(), RetrainError> {
        for (name, value, limit) in [
            ("samples", self.samples, samples),
            ("remove", self.remove, images.saturating_sub(1)),
        ] {
            if !(1..=limit).contains(&value) {
                return Err(RetrainError::experiment(format!(
                    "attribution: counterfactual.{name} must be from 1 to {limit}, not {value}"
                )));
            }
        }
        Ok(())
    }

    /// The place of the method that makes a form.
    ///
    /// # Errors
    /// If none does.
    pub fn method(&self, form: usize, methods: &[Method]) -> Result<usize, RetrainError> {
        let form = &self.forms[form];
        let makes = |method: &Method| method.removal_forms().contains(form);
        methods.iter().position(makes).ok_or_else(|| {
            let forms: Vec<String> = methods.iter().flat_map(Attributor::removal_forms).collect();
            RetrainError::experiment(format!(
                "attribution: counterfactual.forms names {form}, but those that can choose images are: {}",
                forms.join("; ")
            ))
        })
    }
}

/// The images of a set of `n` that are taken away at random for a sample, ascending.
pub fn random(seed: u64, sample: usize, remove: usize, n: usize) -> Vec<usize> {
    let mut rng = generator(seed, RandomStream::Measure, [sample as u64, u64::MAX]);
    let mut images = index::sample(&mut rng, n, remove).into_vec();
    images.sort_unstable();
    images
}

/// The images that a form of a method's scores holds most responsible for a sample, ascending: without them the loss at the sample
/// would rise most, or it would move furthest along its principal line.
///
/// # Errors
/// If the scores hold no such form.
pub fn responsible(
    scores: &std::path::Path,
    form: &str,
    sample: usize,
    remove: usize,
) -> Result<Vec<usize>, RetrainError> {
    let arrays = read_arrays(scores)?;
    let of = |functional: AttributionTarget| {
        let array = arrays.get(&format!("images/{}/{form}", functional.name()));
        array.map(|array| (functional, array))
    };
    let found = of(AttributionTarget::Principal).or_else(|| of(AttributionTarget::SampleLoss));
    let (functional, array) = found.ok_or_else(|| {
        RetrainError::experiment(format!(
            "attribution: counterfactual.forms names {form}, but its method scores no such form of the loss at samples"
        ))
    })?;
    let row = match array.shape[..] {
        [rows, columns] if sample < rows && remove <= columns => {
            &array.values[sample * columns..(sample + 1) * columns]
        }
        _ => {
            let fail = RetrainError::file(
                scores,
                "cannot be used; delete it and run the experiment again",
            );
            return Err(fail(format!("its scores have the shape {:?}", array.shape)));
        }
    };
    Ok(extreme(
        row,
        remove,
        functional == AttributionTarget::Principal,
    ))
}

/// The places of the smallest numbers; or of the largest ones, if either end will do and theirs weighs more.
fn extreme(row: &[f32], count: usize, either: bool) -> Vec<usize> {
    let mut order: Vec<usize> = (0..row.len()).collect();
    order.sort_by(|&a, &b| row[a].total_cmp(&row[b]));
    let total = |places: &[usize]| places.iter().map(|&j| f64::from(row[j])).sum::<f64>().abs();
    let (low, high) = (&order[..count], &order[order.len() - count..]);
    let chosen = match either && total(high) > total(low) {
        true => high,
        false => low,
    };
    let mut chosen = chosen.to_vec();
    chosen.sort_unstable();
    chosen
}

/// One way to choose the images.
#[derive(Debug, Clone, PartialEq)]
pub struct Moved {
    /// The form of a method, or `random`.
    pub form: String,
    /// How far each sample moves without its images: the distance from where the model of all images puts it.
    pub distances: Vec<f64>,
    /// The mean of them.
    pub mean: f64,
    /// The mean of them by that of random images, and its bootstrap 95 % interval over samples.
    pub ratio: f64,
    /// See [`Moved::ratio`].
    pub interval: [f64; 2],
    /// The same ratio for the benchmark's other samples, which the images were not chosen for.
    pub others: f64,
}

/// How far every sample moved by every way to choose, the furthest first; `None` while models are missing.
///
/// # Errors
/// If a result cannot be read.
pub fn evaluate(
    executor: &Executor<'_>,
    jobs: &Counterfactuals,
) -> Result<Option<Vec<Moved>>, RetrainError> {
    let all = jobs.forms.iter().flatten().chain(&jobs.random);
    if !executor.done(jobs.before) || !all.clone().all(|&job| executor.done(job)) {
        return Ok(None);
    }
    let before = executor.samples(jobs.before)?;
    // For each model the distance of its own sample, and the mean distance of the others.
    let moved = |models: &[usize]| {
        let one = |(i, &model): (usize, &usize)| {
            let change = executor.samples(model)? - before.clone();
            let lengths = change.powi_scalar(2).sum_dim(1).sqrt().into_data();
            let lengths: Vec<f64> = lengths.iter::<f64>().collect();
            let rest = lengths.iter().sum::<f64>() - lengths[i];
            Ok((lengths[i], rest / (lengths.len() - 1).max(1) as f64))
        };
        let both: Result<Vec<(f64, f64)>, RetrainError> =
            models.iter().enumerate().map(one).collect();
        Ok::<_, RetrainError>(both?.into_iter().unzip::<f64, f64, Vec<f64>, Vec<f64>>())
    };
    let (random, random_others) = moved(&jobs.random)?;
    let ratio = |values: &[f64], by: &[f64], of: &[usize]| {
        let sum = |values: &[f64]| of.iter().map(|&i| values[i]).sum::<f64>();
        sum(values) / sum(by)
    };
    let every: Vec<usize> = (0..random.len()).collect();
    let mut rows = Vec::new();
    let forms = executor.benchmark()?.0.counterfactual.iter();
    let forms = forms.flat_map(|c| c.forms.iter().cloned());
    let named = forms
        .zip(&jobs.forms)
        .chain([("random".to_owned(), &jobs.random)]);
    for (form, models) in named {
        let (distances, others) = moved(models)?;
        rows.push(Moved {
            form,
            mean: distances.iter().sum::<f64>() / distances.len() as f64,
            ratio: ratio(&distances, &random, &every),
            interval: bootstrap(random.len(), |draw| ratio(&distances, &random, draw)),
            others: ratio(&others, &random_others, &every),
            distances,
        });
    }
    rows.sort_by(|a, b| b.mean.total_cmp(&a.mean));
    Ok(Some(rows))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_responsible_are_at_the_low_end_or_at_the_heavier_one() {
        let row = [0.5, -1.0, 3.0, -2.0, 0.1];
        assert_eq!(extreme(&row, 2, false), [1, 3]);
        assert_eq!(extreme(&row, 2, true), [0, 2]);
    }
}
