//! The first claim of the paper: the error of predicted samples is O(η²) for every dimension, change and sampler.

use burn::tensor::{DType, Device};
use datasway_diffusion::sampler::Sampler;
use datasway_verification::problems::random_mixture::{Covariances, Perturbation, RandomMixture};
use datasway_verification::studies::order::{OrderConfig, SampleResiduals, residuals};

const SAMPLERS: [Sampler; 3] = [
    Sampler::Euler,
    Sampler::Heun,
    Sampler::Stochastic {
        s_churn: 8.0,
        s_min: 0.05,
        s_max: 50.0,
        s_noise: 1.003,
    },
];

/// Checks every mixture, change and sampler in d dimensions.
fn for_each_case(d: usize, dtype: DType, mut check: impl FnMut(&SampleResiduals, &str)) {
    for covariances in [Covariances::Equal, Covariances::Unequal] {
        let mixture = RandomMixture::new(d, covariances, 1);
        for change in [Perturbation::Add, Perturbation::Remove] {
            for sampler in SAMPLERS {
                let config = OrderConfig {
                    sampler,
                    steps: 12,
                    samples: 12,
                    seed: 2,
                    per_decade: 6,
                    dtype,
                };
                let residuals =
                    residuals(&mixture, change, &config, &Device::flex()).expect("residuals");
                let case = format!("d = {d}, {covariances:?}, {change:?}, {sampler:?}, {dtype:?}");
                check(&residuals, &case);
            }
        }
    }
}

fn second_order(d: usize, dtype: DType, decades: f64) {
    for_each_case(d, dtype, |residuals, case| {
        let typical = residuals.median();
        let range = typical.asymptotic();
        let line = typical
            .line()
            .unwrap_or_else(|| panic!("{case}: no range to fit, {typical:?}"));
        assert!(
            (line.slope - 2.0).abs() < 0.1,
            "{case}: slope {}",
            line.slope
        );
        let length = (range[range.len() - 1].0 / range[0].0).log10();
        assert!(length > decades, "{case}: over {length} decades only");
    });
}

#[test]
fn the_residual_is_of_second_order_in_doubles() {
    for d in [2, 10, 100] {
        second_order(d, DType::F64, 4.0);
    }
}

#[test]
fn the_residual_is_of_second_order_in_floats_until_rounding() {
    for d in [2, 10] {
        second_order(d, DType::F32, 0.6);
    }
}

#[test]
fn every_sample_is_predicted_to_second_order() {
    for_each_case(10, DType::F64, |residuals, case| {
        for sample in 0..residuals.sensitivities.len() {
            let line = residuals.sample(sample).line().expect("a range to fit");
            let slope = line.slope;
            assert!(
                (slope - 2.0).abs() < 0.1,
                "{case}, sample {sample}: {slope}"
            );
        }
    });
}

#[test]
fn a_mass_of_a_millionth_is_lost_in_floats_only() {
    let at_a_millionth = |residuals: &SampleResiduals| {
        let typical = residuals.median();
        let i = typical
            .masses
            .iter()
            .position(|mass| *mass > 0.99e-6)
            .expect("1e-6");
        typical.residuals[i] / (typical.masses[i] * typical.sensitivity)
    };
    for_each_case(10, DType::F32, |residuals, case| {
        let relative = at_a_millionth(residuals);
        assert!(relative > 0.1, "{case}: {relative}");
    });
    for_each_case(10, DType::F64, |residuals, case| {
        let relative = at_a_millionth(residuals);
        assert!(relative < 1e-4, "{case}: {relative}");
    });
}
