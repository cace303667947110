//! Samples of the model whose weights are moved by a finite mass.

use std::ops::Range;

use burn::module::Module;
use burn::tensor::{DType, Device, Tensor};
use datasway_diffusion::sampler::{FrozenNoise, Sampler, sample};
use datasway_diffusion::schedule::karras;
use datasway_sensitivity::learner::{ChangedGroups, Damping, GroupMass, Learner, LearnerConfig};
use datasway_sensitivity::{Sensitivities, SensitivityConfig};

use super::models::{EXACT, NOISE, Perceptron, SmallNetwork, ToSingle, apart, draw};

const D: usize = 3;
const SAMPLES: usize = 8;
/// The points of the training set that are removed, a fifth of it.
const MEMBERS: [usize; 6] = [0, 3, 4, 9, 14, 20];

fn single(seed: u64) -> Tensor<2> {
    draw::<2>(seed, [30, D]).cast(DType::F32)
}

fn network() -> Perceptron {
    Perceptron::new(D, 8).map(&mut ToSingle)
}

fn config(sampler: Sampler) -> SensitivityConfig {
    SensitivityConfig {
        samples: SAMPLES,
        batch: 3,
        sampler,
        sigmas: karras(6, 0.02, 20.0, 7.0),
        seed: 4,
        ..SensitivityConfig::default()
    }
}

/// Calls `check` with a learner of this network, and a set of points beside its training set.
fn with_learner<T>(network: &Perceptron, check: impl FnOnce(&Learner<'_>, &Tensor<2>) -> T) -> T {
    let (rho, nu) = (single(1), single(2) * 0.5 + 0.7);
    let model = network.denoiser(D);
    let learner = Learner {
        model: &model,
        training_set: &rho,
        noise: NOISE,
        config: LearnerConfig {
            damping: Damping::Fraction(1e-2),
            iterations: 60,
            ..EXACT
        },
    };
    check(&learner, &nu)
}

fn added_and_removed(nu: &Tensor<2>, mass: f64) -> ChangedGroups<'_> {
    ChangedGroups::Finite(vec![
        GroupMass::Added { points: nu, mass },
        GroupMass::Removed {
            members: &MEMBERS,
            mass,
        },
    ])
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|v| f64::from(*v)).collect()
}

#[test]
fn a_finite_mass_gives_the_samples_of_a_network_with_its_weights() {
    for sampler in [Sampler::Heun, Sampler::Euler] {
        let config = config(sampler);
        let (network, device) = (network(), Device::flex());
        let (results, change) = with_learner(&network, |learner, nu| {
            let groups = added_and_removed(nu, 0.2);
            let (mut last, work) = (0.0, learner.weight_change_work(&groups));
            let mut progress = |fraction: f64| last = fraction;
            let results = learner.sensitivities(&groups, &config, &device, &mut progress);
            assert!(work > 0 && (0.0..=1.0).contains(&last), "{last}");
            let change = learner.weight_change(&groups, &config, &device, &mut |_| ());
            (results.expect("differences").0, change.expect("a change"))
        });
        assert_eq!(change.masses, Some(vec![0.2, -0.2]));
        let noise = FrozenNoise::new(config.seed);
        let start = noise.start([SAMPLES, D], &device, DType::F32);
        let drawn = |network: &Perceptron| {
            let (sampler, sigmas) = (&config.sampler, &config.sigmas);
            let samples = sample(&network.denoiser(D), sampler, sigmas, start.clone(), &noise);
            samples
                .expect("samples")
                .into_data()
                .iter::<f32>()
                .collect()
        };
        let before: Vec<f32> = drawn(&network);
        assert!(apart(&wide(&results.samples), &wide(&before)) < 1e-6);
        for (k, mass) in [0.2, -0.2].into_iter().enumerate() {
            let moved = change.solution.solutions.displace(network.clone(), k, mass);
            let after: Vec<f32> = drawn(&moved);
            let pairs = after.iter().zip(&before);
            let real: Vec<f64> = pairs
                .map(|(after, before)| f64::from(after - before) / mass)
                .collect();
            let error = apart(&wide(&results.deltas[k]), &real);
            assert!(error < 1e-4, "{error:e}");
            assert!(real.iter().any(|v| v.abs() > 1e-2), "{real:?}");
        }
        // One sampling for each group and one of the model itself, and no product.
        let evaluations = results.cost.evaluations;
        let stages = config.sampler.steps(&config.sigmas);
        let stages: usize = stages.iter().map(|step| step.stages.len()).sum();
        assert_eq!((evaluations.path, evaluations.tangent), (3 * stages, 0));
    }
}

/// The difference to δ is of first order in the mass.
#[test]
fn the_change_by_a_small_mass_is_the_derivative() {
    let config = config(Sampler::Heun);
    let deltas = |groups: &ChangedGroups<'_>, learner: &Learner<'_>| {
        let results = learner.sensitivities(groups, &config, &Device::flex(), &mut |_| ());
        wide(&results.expect("δ").0.deltas[0])
    };
    with_learner(&network(), |learner, nu| {
        let delta = deltas(&ChangedGroups::Derivative(vec![nu]), learner);
        let error = |mass: f64| {
            let group = GroupMass::Added { points: nu, mass };
            apart(
                &deltas(&ChangedGroups::Finite(vec![group]), learner),
                &delta,
            )
        };
        let [large, small] = [0.1, 0.02].map(error);
        assert!(small < 0.1, "{small}");
        assert!((2.5..10.0).contains(&(large / small)), "{large} {small}");
    });
}

#[test]
fn whole_batches_have_the_numbers_that_they_have_among_all_samples() {
    let config = config(Sampler::Heun);
    with_learner(&network(), |learner, nu| {
        let groups = added_and_removed(nu, 0.2);
        let device = Device::flex();
        let change = learner.weight_change(&groups, &config, &device, &mut |_| ());
        let change = change.expect("a change");
        let some = |samples: Range<usize>| -> Sensitivities {
            let results =
                learner.sensitivities_along(&change, &config, samples, &device, &mut |_| ());
            results.expect("differences")
        };
        let (all, part) = (some(0..SAMPLES), some(3..6));
        assert_eq!(all.samples[3 * D..6 * D], part.samples);
        for k in 0..2 {
            assert_eq!(all.deltas[k][3 * D..6 * D], part.deltas[k]);
        }
    });
}

#[test]
fn what_only_a_derivative_has_is_refused() {
    with_learner(&network(), |learner, nu| {
        let groups = added_and_removed(nu, 0.2);
        let refused = |learner: &Learner<'_>, by_step: bool| {
            let config = SensitivityConfig {
                by_step,
                ..config(Sampler::Heun)
            };
            let results = learner.sensitivities(&groups, &config, &Device::flex(), &mut |_| ());
            results.expect_err("a refusal").to_string()
        };
        let said = refused(learner, true);
        assert!(said.contains("leave out the mass"), "{said}");
        let config = LearnerConfig {
            draw_noise: true,
            ..learner.config
        };
        let said = refused(&Learner { config, ..*learner }, false);
        assert!(said.contains("leave out the mass"), "{said}");
    });
}
