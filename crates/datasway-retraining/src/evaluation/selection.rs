//! Selection of an estimator by the validation directions.

use super::agreement::AgreementRow;
use super::scope::{DirectionScope, Predictor, Scope, SeedScope};

/// The estimator that is best in the validation directions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SelectedEstimator {
    /// The variant, as an index in the experiment.
    pub variant: usize,
    /// The seed or the mean.
    pub seeds: SeedScope,
    /// The estimator, as an index in the experiment.
    pub estimator: usize,
    /// Median correlation of the estimator in the validation directions, the highest of all estimators.
    pub validation: f64,
    /// Median correlation of the estimator in the test directions.
    pub test: f64,
}

/// Selects an estimator; none if there are no validation or no test directions.
pub(super) fn select(
    rows: &[AgreementRow],
    estimators: usize,
    variant: usize,
    seeds: SeedScope,
) -> Option<SelectedEstimator> {
    let median = |estimator: usize, directions: DirectionScope| {
        let scope = Scope {
            variant,
            seeds,
            directions,
        };
        let predictor = Predictor::Estimator(estimator);
        let mut rows = rows.iter();
        let row = rows.find(|row| row.scope == scope && row.predictor == predictor);
        row.map(|row| row.summary.median)
    };
    let candidates = (0..estimators).filter_map(|estimator| {
        Some(SelectedEstimator {
            variant,
            seeds,
            estimator,
            validation: median(estimator, DirectionScope::Validation)?,
            test: median(estimator, DirectionScope::Test)?,
        })
    });
    candidates.max_by(|a, b| a.validation.total_cmp(&b.validation))
}

#[cfg(test)]
mod tests {
    use super::super::comparison::Comparison;
    use super::*;

    #[test]
    fn a_choice_looks_at_the_tuning_directions_only() {
        let row = |directions, predictor, predicted: [f32; 3]| {
            let comparison = Comparison::new(&predicted, 1.0, &[1.0, 2.0, 4.0], 3);
            AgreementRow {
                scope: Scope {
                    variant: 0,
                    seeds: SeedScope::Seed(0),
                    directions,
                },
                predictor,
                summary: comparison.summary(1),
                ceiling: None,
                next_seed: None,
                disattenuated: None,
            }
        };
        let (good, fair, bad) = ([1.0, 2.0, 4.0], [1.0, 2.0, 2.0], [4.0, 2.0, 1.0]);
        let (test, validation) = (DirectionScope::Test, DirectionScope::Validation);
        let (a, b) = (Predictor::Estimator(0), Predictor::Estimator(1));
        let rows = [
            row(validation, a, fair),
            row(validation, b, good),
            row(validation, Predictor::Baseline(0), good),
            row(test, a, good),
            row(test, b, bad),
        ];
        let selected = select(&rows, 2, 0, SeedScope::Seed(0)).unwrap();
        assert_eq!(selected.estimator, 1);
        assert!(
            selected.validation > 0.99 && selected.test < 0.0,
            "{selected:?}"
        );
        assert_eq!(select(&rows[..3], 2, 0, SeedScope::Seed(0)), None);
    }
}
