//! Every statistic agrees with SciPy; the fixture is made by `scripts/statistics_fixture.py`.

use datasway_stats::{
    bootstrap, pearson_or_zero as pearson, precision, quantile, ranks, signed_rank,
    spearman_or_zero as spearman,
};
use serde_json::Value;

fn fixture() -> Value {
    serde_json::from_str(include_str!("fixtures/statistics.json")).unwrap()
}

fn list(value: &Value) -> Vec<f64> {
    let numbers = value.as_array().unwrap().iter();
    numbers.map(|number| number.as_f64().unwrap()).collect()
}

fn rows(value: &Value) -> Vec<Vec<f64>> {
    value.as_array().unwrap().iter().map(list).collect()
}

#[track_caller]
fn close(actual: f64, expected: f64, tolerance: f64) {
    assert!(
        (actual - expected).abs() <= tolerance * expected.abs().max(1e-300),
        "{actual} against {expected}"
    );
}

#[test]
fn correlations_and_their_distribution() {
    let fixture = fixture();
    let (predicted, real) = (rows(&fixture["predicted"]), rows(&fixture["real"]));
    let expected = list(&fixture["pearson"]);
    let correlations: Vec<f64> = predicted
        .iter()
        .zip(&real)
        .map(|(p, r)| pearson(p, r))
        .collect();
    for (actual, expected) in correlations.iter().zip(&expected) {
        close(*actual, *expected, 1e-12);
    }
    for (q, expected) in [0.25, 0.5, 0.75].iter().zip(list(&fixture["quartiles"])) {
        close(quantile(&correlations, *q), expected, 1e-12);
    }
    // Both intervals are of random draws.
    let interval = bootstrap(correlations.len(), |draw| {
        draw.iter().map(|&i| correlations[i]).sum::<f64>() / draw.len() as f64
    });
    for (actual, expected) in interval.iter().zip(list(&fixture["mean_interval"])) {
        close(*actual, expected, 0.05);
    }
}

#[test]
fn ranks_with_ties() {
    let fixture = fixture();
    let (a, b) = (list(&fixture["coarse_a"]), list(&fixture["coarse_b"]));
    assert_eq!(ranks(&a), list(&fixture["ranks"]));
    close(
        spearman(&a, &b),
        fixture["spearman"].as_f64().unwrap(),
        1e-12,
    );
}

#[test]
fn wilcoxon_with_ties_and_zeros() {
    let fixture = fixture();
    let test = signed_rank(&list(&fixture["differences"]));
    let expected = |name: &str| fixture["wilcoxon"][name].as_f64().unwrap();
    close(test.statistic, expected("statistic"), 1e-12);
    close(test.p, expected("p"), 1e-6);
    assert_eq!(signed_rank(&[0.0, 0.0]).p, 1.0);
    // Many differences of one sign: the far tail keeps its digits.
    let positive: Vec<f64> = (1..=100).map(f64::from).collect();
    close(signed_rank(&positive).p, 3.896_559_845_095_909e-18, 1e-6);
}

#[test]
fn precision_counts_common_members_of_the_top() {
    let real: Vec<f64> = (0..20).map(f64::from).collect();
    assert_eq!(precision(&real, &real, 0.1), 1.0);
    let mut half = real.clone();
    half[19] = -1.0; // 18 and 17 are predicted, 19 and 18 are real
    assert_eq!(precision(&half, &real, 0.1), 0.5);
}

#[test]
fn what_does_not_vary_or_is_not_finite_agrees_with_nothing() {
    let real = [1.0, 2.0, 4.0];
    assert_eq!(pearson(&[3.0; 3], &real), 0.0);
    assert_eq!(pearson(&[f64::NAN, 1.0, 2.0], &real), 0.0);
    close(
        spearman(&[f64::INFINITY, 1.0, 2.0], &[3.0, 1.0, 2.0]),
        1.0,
        1e-12,
    );
}
