//! Comma-separated values: every number, for other programs.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::evaluation::{Evaluation, Subject};

/// One line a row of the evaluation.
pub fn statistics(evaluation: &Evaluation) -> String {
    let mut csv = String::from(
        "variant,seed,direction,prediction,count,not_finite,median,lower_quartile,upper_quartile,low_95,high_95,ceiling,next_seed,disattenuated,spearman,precision_at_10,slope,median_slope,real_norm,predicted_norm\n",
    );
    for row in &evaluation.rows {
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
        line(
            &mut csv,
            &subject(&row.subject, &[&row.prediction]),
            &[
                &[s.count, s.not_finite].map(|n| n.to_string())[..],
                &numbers.map(number),
            ]
            .concat(),
        );
    }
    csv
}

/// One line a paired test.
pub fn tests(evaluation: &Evaluation) -> String {
    let mut csv = String::from(
        "variant,seed,direction,estimator,baseline,median_difference,low_95,high_95,wilcoxon_p\n",
    );
    for test in &evaluation.tests {
        let numbers = [test.difference, test.interval[0], test.interval[1], test.p];
        let words = subject(&test.subject, &[&test.estimator, &test.baseline]);
        line(&mut csv, &words, &numbers.map(number));
    }
    csv
}

/// One line a sample, direction, seed and variant: the norm of its real change, and for each prediction the correlation with it and
/// the predicted norm. Everything else is made of these.
pub fn samples(evaluation: &Evaluation) -> String {
    let mut predictions: Vec<&str> = Vec::new();
    let mut groups: Vec<&Subject> = Vec::new();
    let mut found = BTreeMap::new();
    for detail in &evaluation.details {
        let (name, subject) = (detail.prediction.as_str(), &detail.subject);
        if !predictions.contains(&name) {
            predictions.push(name);
        }
        if !groups.contains(&subject) {
            groups.push(subject);
        }
        let key = (&subject.variant, &subject.seed, &subject.direction, name);
        found.insert(key, &detail.comparison);
    }
    let mut csv = String::from("variant,seed,direction,sample,real_norm");
    for name in &predictions {
        // Writing to a String cannot fail, here and below.
        let _ = write!(
            csv,
            ",{0},{1}",
            quoted(&format!("{name}: correlation")),
            quoted(&format!("{name}: norm"))
        );
    }
    csv.push('\n');
    for group in groups {
        let of = |name: &str| {
            let key = (&group.variant, &group.seed, &group.direction, name);
            found.get(&key).copied()
        };
        let Some(first) = of(predictions[0]) else {
            continue;
        };
        for (i, real) in first.real.iter().enumerate() {
            let mut numbers = vec![i.to_string(), number(*real)];
            for name in &predictions {
                let pair = of(name).map(|c| [number(c.correlation[i]), number(c.predicted[i])]);
                numbers.extend(pair.unwrap_or_default());
            }
            line(&mut csv, &subject(group, &[]), &numbers);
        }
    }
    csv
}

fn subject(subject: &Subject, more: &[&str]) -> Vec<String> {
    let words = [&subject.variant, &subject.seed, &subject.direction];
    let words = words.into_iter().map(String::as_str);
    words.chain(more.iter().copied()).map(quoted).collect()
}

pub(crate) fn line(csv: &mut String, words: &[String], numbers: &[String]) {
    csv.push_str(&[words, numbers].concat().join(","));
    csv.push('\n');
}

/// Five significant digits; nothing for what is not a number.
pub(crate) fn number(value: f64) -> String {
    match value {
        v if v.is_nan() => String::new(),
        v if v == 0.0 || !v.is_finite() => v.to_string(),
        v if (1e-4..1e6).contains(&v.abs()) => {
            let digits = (4 - v.abs().log10().floor() as i32).max(0) as usize;
            let text = format!("{v:.digits$}");
            match text.contains('.') {
                true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
                false => text,
            }
        }
        v => format!("{v:.4e}"),
    }
}

pub(crate) fn quoted(text: &str) -> String {
    match text.contains([',', '"', '\n']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_owned(),
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
        assert_eq!(quoted("index:1,2"), "\"index:1,2\"");
    }
}
