//! Predictions with estimated densities and a learned score, and the expected order of their errors.

use datasway_verification::problems::random_mixture::{Covariances, RandomMixture};
use datasway_verification::studies::learned_score::{TrainingOptions, train_mlp};
use datasway_verification::studies::robustness::{self, Factor, Finding, RobustnessConfig};

#[test]
fn each_imperfection_costs_what_it_should() {
    let mixture = RandomMixture::new(4, Covariances::Unequal, 1);
    let options = TrainingOptions {
        steps: 1500,
        batch: 256,
        learning_rate: 3e-3,
        seed: 0,
    };
    let network = train_mlp(&mixture, 64, &options).expect("a network");
    let findings = robustness::run(&RobustnessConfig {
        name: "d = 4",
        mixture: &mixture,
        side: None,
        network: &network,
        samples: 32,
        seed: 3,
    })
    .expect("findings");
    let finding = |factor: Factor, setting: &str| -> Finding {
        let is_it = |f: &&Finding| f.factor == factor && f.setting == setting && f.mass == 0.001;
        findings.iter().find(is_it).expect("a finding").clone()
    };
    let error = |factor, setting| finding(factor, setting).agreement.error;

    // In closed form only the terms of second order are left.
    assert!(error(Factor::None, "closed form") < 0.01);
    assert!(finding(Factor::None, "closed form").log_ratio_error < 1e-9);
    // The quadrature of the density is of second order: four times the steps, far less of the error.
    let steps = |setting| finding(Factor::Steps, setting).log_ratio_error;
    assert!(
        steps("128") < steps("32") / 8.0,
        "{} {}",
        steps("32"),
        steps("128")
    );
    // Sixteen times the probes, a quarter of the error in the mean.
    let probes = |setting| finding(Factor::Trace, setting).log_ratio_error;
    assert!(probes("Rademacher, 16") < probes("Rademacher, 1") / 2.0);
    assert!(probes("Rademacher, 16") < probes("Gaussian, 16"));
    assert!(probes("exact") < probes("Rademacher, 16"));
    assert_eq!(finding(Factor::Trace, "exact").products, 4);
    // A Gaussian start needs a high noise level.
    let high = |setting| finding(Factor::SigmaMax, setting).log_ratio_error;
    assert!(high("10") < high("2.5"), "{} {}", high("10"), high("2.5"));
    // A learned score is not exact, and still right about direction and rank.
    let learned = finding(Factor::LearnedScore, "closed-form density").agreement;
    assert!(learned.error > 0.01 && learned.error < 0.5, "{learned:?}");
    assert!(
        learned.correlation > 0.95 && learned.rank > 0.9,
        "{learned:?}"
    );
    let together = findings.iter().filter(|f| f.factor == Factor::Together);
    for finding in together.filter(|f| f.mass <= 0.1) {
        let agreement = finding.agreement;
        assert!(
            agreement.correlation > 0.9 && agreement.rank > 0.8,
            "{finding:?}"
        );
    }
}
