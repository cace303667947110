//! Comma-separated values: every number, for other programs.

use std::fmt::Write;

use datasway_fs::csv::field;

use super::view::View;
use crate::evaluation::agreement::SampleComparison;
use crate::evaluation::{Predictor, Scope};

/// `statistics.csv`: one line for each row of the evaluation.
pub(super) fn statistics(view: &View<'_>) -> String {
    let mut csv = String::from(
        "variant,seed,direction,prediction,count,not_finite,median,lower_quartile,upper_quartile,low_95,high_95,ceiling,next_seed,disattenuated,spearman,precision_at_10,slope,median_slope,real_norm,predicted_norm\n",
    );
    let names = view.names();
    for row in &view.evaluation.rows {
        let s = &row.summary;
        let numbers = [
            s.median,
            s.quartiles[0],
            s.quartiles[1],
            s.interval[0],
            s.interval[1],
            row.ceiling.unwrap_or(f64::NAN),
            row.next_seed.unwrap_or(f64::NAN),
            row.disattenuated.unwrap_or(f64::NAN),
            s.spearman,
            s.precision,
            s.slope,
            s.median_slope,
            s.real_norm,
            s.predicted_norm,
        ];
        let mut words = names.scope(row.scope).to_vec();
        words.push(names.predictor(row.predictor));
        let counts = [s.count, s.not_finite].map(|n| n.to_string());
        let numbers = [&counts[..], &numbers.map(number)].concat();
        line(&mut csv, &fields(&words), &numbers);
    }
    csv
}

/// `tests.csv`: one line for each paired test.
pub(super) fn tests(view: &View<'_>) -> String {
    let mut csv = String::from(
        "variant,seed,direction,estimator,baseline,median_difference,low_95,high_95,wilcoxon_p\n",
    );
    let names = view.names();
    for test in &view.evaluation.tests {
        let mut words = names.scope(test.scope).to_vec();
        words.push(names.estimator(test.estimator));
        words.push(names.baseline(test.baseline));
        let numbers = [test.difference, test.interval[0], test.interval[1], test.p];
        line(&mut csv, &fields(&words), &numbers.map(number));
    }
    csv
}

/// `samples.csv`: one line for each sample, direction, seed and variant.
/// It has the norm of the real change and, for each predictor, the correlation with the real change and the predicted norm.
pub(super) fn samples(view: &View<'_>) -> String {
    let comparisons = &view.evaluation.comparisons;
    let predictors = distinct(comparisons.iter().map(|entry| entry.predictor));
    let scopes = distinct(comparisons.iter().map(|entry| entry.scope));
    let mut csv = String::from("variant,seed,direction,sample,real_norm");
    for predictor in &predictors {
        let name = view.names().predictor(*predictor);
        // Writing to a String cannot fail.
        let _ = write!(
            csv,
            ",{0},{1}",
            field(&format!("{name}: correlation")),
            field(&format!("{name}: norm"))
        );
    }
    csv.push('\n');
    for scope in scopes {
        let words = fields(&view.names().scope(scope));
        let comparisons: Vec<Option<&SampleComparison>> = predictors
            .iter()
            .map(|predictor| find(comparisons, scope, *predictor))
            .collect();
        let Some(first) = comparisons[0] else {
            continue;
        };
        for (i, real) in first.comparison.real.iter().enumerate() {
            let mut numbers = vec![i.to_string(), number(*real)];
            for entry in &comparisons {
                let pair = entry.map(|entry| {
                    let comparison = &entry.comparison;
                    [comparison.correlation[i], comparison.predicted[i]].map(number)
                });
                numbers.extend(pair.unwrap_or_default());
            }
            line(&mut csv, &words, &numbers);
        }
    }
    csv
}

/// The different items in the order in which they first occur.
fn distinct<T: PartialEq>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut distinct = Vec::new();
    for item in items {
        if !distinct.contains(&item) {
            distinct.push(item);
        }
    }
    distinct
}

/// The comparison of a predictor in a scope.
fn find(
    comparisons: &[SampleComparison],
    scope: Scope,
    predictor: Predictor,
) -> Option<&SampleComparison> {
    let mut comparisons = comparisons.iter();
    comparisons.find(|entry| entry.scope == scope && entry.predictor == predictor)
}

fn fields(words: &[String]) -> Vec<String> {
    words.iter().map(|word| field(word).into_owned()).collect()
}

/// Adds a line of fields.
pub(super) fn line(csv: &mut String, words: &[String], numbers: &[String]) {
    csv.push_str(&[words, numbers].concat().join(","));
    csv.push('\n');
}

/// A number with five significant digits; empty for NaN.
pub(super) fn number(value: f64) -> String {
    match value {
        v if v.is_nan() => String::new(),
        v if v == 0.0 || !v.is_finite() => v.to_string(),
        v if (1e-4..1e6).contains(&v.abs()) => {
            let digits = (4 - v.abs().log10().floor() as i32).max(0) as usize;
            let text = format!("{v:.digits$}");
            if text.contains('.') {
                text.trim_end_matches('0').trim_end_matches('.').to_owned()
            } else {
                text
            }
        }
        v => format!("{v:.4e}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_words() {
        assert_eq!(number(0.123_456_7), "0.12346");
        assert_eq!(number(-12.0), "-12");
        assert_eq!(number(1234.56), "1234.6");
        assert_eq!(number(3.9e-18), "3.9000e-18");
        assert_eq!(number(f64::NAN), "");
        assert_eq!(number(f64::INFINITY), "inf");
    }
}
