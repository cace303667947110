//! The prediction survives estimated densities and a learned score, and gets worse in the order it should.

use datasway_verification::problems::random_mixture::{Covariances, RandomMixture};
use datasway_verification::studies::learned::{Training, mlp};
use datasway_verification::studies::robustness::{Finding, Study, study};

#[test]
fn each_imperfection_costs_what_it_should() {
    let mixture = RandomMixture::new(4, Covariances::Unequal, 1);
    let training = Training {
        steps: 1500,
        batch: 256,
        learning_rate: 3e-3,
        seed: 0,
    };
    let network = mlp(&mixture, 64, &training).expect("a network");
    let found = study(&Study {
        name: "d = 4",
        mixture: &mixture,
        side: None,
        network: &network,
        samples: 32,
        seed: 3,
    })
    .expect("findings");
    let at = |factor: &str, setting: &str| -> Finding {
        let small = |f: &&Finding| f.factor == factor && f.setting == setting && f.mass == 0.001;
        found.iter().find(small).expect("a finding").clone()
    };
    let error = |factor, setting| at(factor, setting).agreement.error;

    // In closed form only the terms of second order are left.
    assert!(error("none", "closed form") < 0.01);
    assert!(at("none", "closed form").log_ratio_error < 1e-9);
    // The quadrature of the density is of second order: four times the steps, far less of the error.
    let steps = |setting| at("steps", setting).log_ratio_error;
    assert!(
        steps("128") < steps("32") / 8.0,
        "{} {}",
        steps("32"),
        steps("128")
    );
    // Sixteen times the probes, a quarter of the error in the mean.
    let probes = |setting| at("trace", setting).log_ratio_error;
    assert!(probes("Rademacher, 16") < probes("Rademacher, 1") / 2.0);
    assert!(probes("Rademacher, 16") < probes("Gaussian, 16"));
    assert!(probes("exact") < probes("Rademacher, 16"));
    assert_eq!(at("trace", "exact").products, 4);
    // A Gaussian start needs a high noise level.
    let high = |setting| at("sigma_max", setting).log_ratio_error;
    assert!(high("10") < high("2.5"), "{} {}", high("10"), high("2.5"));
    // A learned score is not exact, and still right about direction and rank.
    let learned = at("learned score", "closed-form density").agreement;
    assert!(learned.error > 0.01 && learned.error < 0.5, "{learned:?}");
    assert!(
        learned.correlation > 0.95 && learned.rank > 0.9,
        "{learned:?}"
    );
    let together = found.iter().filter(|f| f.factor == "together");
    for finding in together.filter(|f| f.mass <= 0.1) {
        let agreement = finding.agreement;
        assert!(
            agreement.correlation > 0.9 && agreement.rank > 0.8,
            "{finding:?}"
        );
    }
}
