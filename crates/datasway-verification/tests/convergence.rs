//! The paper's first claim: predicted samples err by O(η²), whatever the dimension, the change and the sampler.

use burn::tensor::{DType, Device};
use datasway_diffusion::sampler::Sampler;
use datasway_verification::problems::random_mixture::{Covariances, Perturbation, RandomMixture};
use datasway_verification::studies::order::{Order, Setting, order};

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

/// Every mixture, change and sampler in d dimensions.
fn each(d: usize, dtype: DType, mut check: impl FnMut(&Order, &str)) {
    for covariances in [Covariances::Equal, Covariances::Unequal] {
        let mixture = RandomMixture::new(d, covariances, 1);
        for change in [Perturbation::Add, Perturbation::Remove] {
            for sampler in SAMPLERS {
                let setting = Setting {
                    sampler,
                    steps: 12,
                    samples: 12,
                    seed: 2,
                    per_decade: 6,
                    dtype,
                };
                let found = order(&mixture, change, &setting, &Device::flex()).expect("an order");
                let what = format!("d = {d}, {covariances:?}, {change:?}, {sampler:?}, {dtype:?}");
                check(&found, &what);
            }
        }
    }
}

fn second_order(d: usize, dtype: DType, decades: f64) {
    each(d, dtype, |found, what| {
        let typical = found.typical();
        let range = typical.asymptotic();
        let line = typical
            .fitted()
            .unwrap_or_else(|| panic!("{what}: no range to fit, {typical:?}"));
        assert!(
            (line.slope - 2.0).abs() < 0.1,
            "{what}: slope {}",
            line.slope
        );
        let length = (range[range.len() - 1].0 / range[0].0).log10();
        assert!(length > decades, "{what}: over {length} decades only");
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
    each(10, DType::F64, |found, what| {
        for sample in 0..found.sensitivities.len() {
            let line = found.of_sample(sample).fitted().expect("a range to fit");
            let slope = line.slope;
            assert!(
                (slope - 2.0).abs() < 0.1,
                "{what}, sample {sample}: {slope}"
            );
        }
    });
}

#[test]
fn a_mass_of_a_millionth_is_lost_in_floats_only() {
    let at_a_millionth = |found: &Order| {
        let typical = found.typical();
        let at = typical
            .masses
            .iter()
            .position(|mass| *mass > 0.99e-6)
            .expect("1e-6");
        typical.residuals[at] / (typical.masses[at] * typical.sensitivity)
    };
    each(10, DType::F32, |found, what| {
        let relative = at_a_millionth(found);
        assert!(relative > 0.1, "{what}: {relative}");
    });
    each(10, DType::F64, |found, what| {
        let relative = at_a_millionth(found);
        assert!(relative < 1e-4, "{what}: {relative}");
    });
}
