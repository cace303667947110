//! Agreement of predicted and real changes of samples.

use datasway_stats::{median, norm, pearson, spearman};

/// Agreement of predicted and real changes, sample by sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Agreement {
    /// Relative error `‖predicted − real‖/‖real‖`, median over the samples.
    pub error: f64,
    /// Pearson correlation of the entries, median over the samples.
    pub correlation: f64,
    /// Spearman correlation of `‖predicted‖` with `‖real‖` over the samples.
    pub rank: f64,
}

/// Agreement of predicted and real changes, one row a sample.
pub fn agreement(predicted: &[Vec<f64>], real: &[Vec<f64>]) -> Agreement {
    let pairs = || predicted.iter().zip(real);
    let correlations: Vec<f64> = pairs().map(|(a, b)| pearson(a, b)).collect();
    let norms = |rows: &[Vec<f64>]| rows.iter().map(|row| norm(row)).collect::<Vec<f64>>();
    Agreement {
        error: median(&relative_errors(predicted, real)),
        correlation: median(&correlations),
        rank: spearman(&norms(predicted), &norms(real)),
    }
}

/// Relative error `‖predicted − real‖/‖real‖` of each sample.
pub fn relative_errors(predicted: &[Vec<f64>], real: &[Vec<f64>]) -> Vec<f64> {
    let error = |(a, b): (&Vec<f64>, &Vec<f64>)| {
        let difference: Vec<f64> = a.iter().zip(b).map(|(a, b)| a - b).collect();
        norm(&difference) / norm(b)
    };
    predicted.iter().zip(real).map(error).collect()
}

/// Rows of one matrix minus those of another.
pub fn difference(a: &[Vec<f64>], b: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let row = |(a, b): (&Vec<f64>, &Vec<f64>)| a.iter().zip(b).map(|(a, b)| a - b).collect();
    a.iter().zip(b).map(row).collect()
}

/// Rows times a number.
pub fn times(rows: &[Vec<f64>], factor: f64) -> Vec<Vec<f64>> {
    let row = |row: &Vec<f64>| row.iter().map(|x| factor * x).collect();
    rows.iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_twice_too_large_has_the_right_direction_and_rank() {
        let real = vec![
            vec![1.0, 0.0, -1.0],
            vec![0.0, 3.0, 1.0],
            vec![0.1, 0.2, 0.0],
        ];
        let twice = agreement(&times(&real, 2.0), &real);
        assert!((twice.error - 1.0).abs() < 1e-12);
        assert!((twice.correlation - 1.0).abs() < 1e-12);
        assert!((twice.rank - 1.0).abs() < 1e-12);
        let zero = agreement(&difference(&real, &real), &real);
        assert!((zero.error - 1.0).abs() < 1e-12);
    }
}
