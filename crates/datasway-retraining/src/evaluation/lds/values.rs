//! Values of targets, and statistics over parts, points and seeds.

use datasway_stats::{bootstrap, jackknife_error, spearman_or_zero as spearman};

/// Values of one target: one list over the parts for each functional.
///
/// A part is the set of training images of one model.
pub type Values = Vec<Vec<f64>>;

pub(super) fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let n = values.len() as f64;
    values.sum::<f64>() / n
}

/// Correlation over the parts for each functional.
pub(super) fn scores(predicted: &Values, real: &Values) -> Vec<f64> {
    let pairs = predicted.iter().zip(real);
    pairs
        .map(|(predicted, real)| spearman(predicted, real))
        .collect()
}

/// Jackknife standard error over the parts of the mean score.
pub(super) fn error_over_parts(predicted: &Values, real: &Values) -> f64 {
    let parts = real.first().map_or(0, Vec::len);
    let without = |values: &Values, left_out: usize| -> Values {
        let others = |row: &Vec<f64>| {
            let entries = row.iter().enumerate();
            let others = entries.filter(|(i, _)| *i != left_out);
            others.map(|(_, v)| *v).collect()
        };
        values.iter().map(others).collect()
    };
    let score_without = |left_out| {
        mean(scores(&without(predicted, left_out), &without(real, left_out)).into_iter())
    };
    jackknife_error(&(0..parts).map(score_without).collect::<Vec<_>>())
}

/// The mean of scores and its bootstrap interval over points, each of which has `functionals` adjacent scores.
pub(super) fn mean_over_points(scores: &[f64], functionals: usize) -> (f64, [f64; 2]) {
    let points: Vec<f64> = scores
        .chunks_exact(functionals)
        .map(|scores| mean(scores.iter().copied()))
        .collect();
    let interval = bootstrap(points.len(), |draw| mean(draw.iter().map(|&i| points[i])));
    (mean(points.iter().copied()), interval)
}

/// The mean over seeds of the value of every functional and part.
pub(super) fn mean_over_seeds(seeds: &[&Values]) -> Values {
    let rows = 0..seeds[0].len();
    let row = |q: usize| {
        let parts = 0..seeds[0][q].len();
        parts
            .map(|s| mean(seeds.iter().map(|values| values[q][s])))
            .collect()
    };
    rows.map(row).collect()
}

/// Values from one list over the functionals for each part.
pub(super) fn transposed(columns: &[Vec<f64>]) -> Values {
    let rows = 0..columns.first().map_or(0, Vec::len);
    rows.map(|q| columns.iter().map(|column| column[q]).collect())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_over_points_keeps_their_functionals_together() {
        let (lds, interval) = mean_over_points(&[1.0, 0.0, 1.0, 0.0], 2);
        assert_eq!(
            (lds, interval),
            (0.5, [0.5, 0.5]),
            "points are alike though functionals are not"
        );
    }

    /// For a mean of n numbers the jackknife is the usual standard error; here it is that of a correlation, which shrinks with the
    /// number of parts as 1/√n.
    #[test]
    fn the_jackknife_shrinks_with_the_number_of_parts() {
        let wave =
            |n: usize, f: f64| -> Values { vec![(0..n).map(|i| (f * i as f64).sin()).collect()] };
        let error = |n| error_over_parts(&wave(n, 1.3), &wave(n, 2.1));
        let (few, many) = (error(20), error(320));
        assert!(few > 0.1 && many < few / 2.0, "{few} {many}");
    }
}
