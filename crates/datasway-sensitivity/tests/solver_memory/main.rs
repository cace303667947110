//! Memory of the solver for the weights, as it is estimated, against what the allocator counts.
//!
//! The network has many weights and small activations, so that nothing else takes much.

mod allocation;

use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::activation::tanh;
use burn::tensor::{DType, Device, Tensor};
use datasway_diffusion::learned_denoiser::LearnedDenoiser;
use datasway_diffusion::loss::NoiseDistribution;
use datasway_diffusion::network::NetworkDenoiser;
use datasway_diffusion::precondition::Precondition;
use datasway_diffusion::sampler::{FrozenNoise, Sampler};
use datasway_diffusion::schedule::karras;
use datasway_diffusion::training_noise::TrainingNoise;
use datasway_sensitivity::SensitivityConfig;
use datasway_sensitivity::learner::{
    ChangedGroups, Damping, DataPoints, FiniteTraining, GroupMass, KroneckerFactors,
    KroneckerInverse, Learner, LearnerConfig, LossDraws, PassedWeights, PreconditionerKind,
    SolverBytes,
};
use datasway_training::optimization::Optimization;

use allocation::counted;

const D: usize = 4;
const HIDDEN: usize = 400;
/// A side whose moments are a diagonal.
const LONG: usize = 2_100;
static NOISE: &TrainingNoise = &TrainingNoise::LogNormal(NoiseDistribution {
    mean: -0.5,
    std: 1.0,
});
/// Bytes that are not of the solver: activations, records of the network, lists.
const BESIDE: f64 = 6e5;

/// Linear maps, one of them with a long side.
#[derive(Module, Debug)]
struct Network {
    first: Linear,
    square: Linear,
    narrow: Linear,
    long: Linear,
    last: Linear,
}

impl Network {
    fn forward(&self, x: Tensor<2>, level: Tensor<1>) -> Tensor<2> {
        let inputs = Tensor::cat(vec![x, level.unsqueeze_dim::<2>(1)], 1);
        let hidden = tanh(self.square.forward(tanh(self.first.forward(inputs))));
        let narrow = tanh(self.narrow.forward(hidden));
        self.last.forward(tanh(self.long.forward(narrow)))
    }
}

fn denoiser() -> NetworkDenoiser<Network> {
    let device = Device::flex();
    let linear = |from: usize, to: usize| LinearConfig::new(from, to).init(&device);
    let network = Network {
        first: linear(D + 1, HIDDEN),
        square: linear(HIDDEN, HIDDEN),
        narrow: linear(HIDDEN, 3),
        long: linear(3, LONG),
        last: linear(LONG, D),
    };
    let precondition = Precondition { sigma_data: 0.8 };
    NetworkDenoiser::flat(network, D, precondition, Network::forward)
}

fn points(count: usize) -> Tensor<2> {
    FrozenNoise::new(count as u64).start([count, D], &Device::flex(), DType::F32)
}

fn config(damping: Damping, preconditioner: PreconditionerKind) -> LearnerConfig {
    LearnerConfig {
        linearizations: 1,
        curvature_draws: 8,
        gradient_draws: 8,
        image_draws: 1,
        damping,
        preconditioner,
        // All iterations are done.
        tolerance: 0.0,
        iterations: 7,
        draw_noise: false,
        batch: 4,
        seed: 0,
    }
}

fn by_training(learning_rate: f64) -> Damping {
    Damping::Training(FiniteTraining {
        optimization: Optimization {
            steps: 100,
            learning_rate,
            warmup: 5,
            weight_decay: 0.0,
            clip_norm: 1.0,
            ema_decay: 0.9,
        },
        batch: 2,
    })
}

/// Checks the bytes that were counted against an estimate.
fn check(name: &str, counted: usize, estimate: SolverBytes) {
    let ratio = counted as f64 / (estimate.total() as f64 + BESIDE);
    println!("{name}: {counted} of {estimate:?}: {ratio:.3}");
    assert!((0.8..=1.0).contains(&ratio), "{name}: {ratio}");
}

/// All in one test, because the count is that of the process.
#[test]
fn the_solver_takes_the_memory_that_is_estimated() {
    // The decompositions are as many at a time as there are threads.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2);
    pool.build().expect("two threads").install(check_all);
}

fn damped_inverse(model: &NetworkDenoiser<Network>, draws: &LossDraws<'_>) -> KroneckerInverse {
    let factors = KroneckerFactors::new(model, draws, &mut |_| ()).expect("factors");
    factors.damped_inverse(0.1).expect("finite moments")
}

fn check_all() {
    let model = denoiser();
    let shapes = model.weight_shapes();
    let (rho, nu) = (points(40), points(10));
    let learner = |config| Learner {
        model: &model,
        training_set: &rho,
        noise: NOISE,
        config,
    };
    let fraction = Damping::Fraction(1e-3);
    let kronecker = config(fraction, PreconditionerKind::Kronecker);
    let gradients = |k: usize| {
        let groups: Vec<&dyn DataPoints> = vec![&nu; k];
        let gradients = learner(kronecker).gradient_difference(&groups, &mut |_| ());
        gradients.expect("gradients")
    };
    // The weights are drawn when they are first read.
    let right = gradients(3);

    let draws = LossDraws::random(&rho, 16, NOISE, 0);
    let inverse = || damped_inverse(&model, &draws);
    // What the first evaluation of a batch keeps, of the model and in each thread, does not count.
    drop(inverse());
    rayon::broadcast(|_| {
        let (model, rho) = (denoiser(), points(40));
        drop(damped_inverse(
            &model,
            &LossDraws::random(&rho, 16, NOISE, 0),
        ));
    });
    let (_inverse, [left, _]) = counted(inverse);
    let factors = kronecker.solution_bytes(&shapes, 3).factors as f64;
    let error = (left as f64 - factors) / factors;
    println!("the inverse: {left} bytes of {factors}");
    assert!(error.abs() < 0.01, "{error}");

    let run = SensitivityConfig {
        samples: 2,
        batch: 2,
        sampler: Sampler::Euler,
        sigmas: karras(3, 0.02, 80.0, 7.0),
        ..SensitivityConfig::default()
    };
    for (name, config) in [
        ("plain", config(fraction, PreconditionerKind::None)),
        ("kronecker", kronecker),
        (
            "training",
            config(by_training(1e-3), PreconditionerKind::None),
        ),
    ] {
        for (k, draw_noise) in [(1, false), (3, true)] {
            let groups = ChangedGroups::Derivative(vec![&nu; k]);
            let config = LearnerConfig {
                draw_noise,
                ..config
            };
            let (_, [_, peak]) = counted(|| {
                let device = Device::flex();
                let derivative = learner(config).weight_change(&groups, &run, &device, &mut |_| ());
                derivative.expect("a derivative")
            });
            let estimate = config.weight_change_bytes(&shapes, k, false);
            check(
                &format!("{name}, {k} groups, noise {draw_noise}"),
                peak,
                estimate,
            );
        }
        let group = GroupMass::Added {
            points: &nu,
            mass: 0.5,
        };
        for k in [1, 3] {
            let groups = ChangedGroups::Finite(vec![group; k]);
            let (_, [_, peak]) = counted(|| {
                let device = Device::flex();
                let change = learner(config).weight_change(&groups, &run, &device, &mut |_| ());
                change.expect("a change")
            });
            let estimate = config.weight_change_bytes(&shapes, k, true);
            check(&format!("{name}, {k} moved"), peak, estimate);
        }
        for k in [1, 5] {
            let (_, [_, peak]) = counted(|| {
                let change = learner(config).finite_change(&vec![group; k], &mut |_| ());
                change.expect("a change")
            });
            let estimate = config.finite_change_bytes(&shapes, k);
            check(&format!("{name}, {k} finite masses"), peak, estimate);
            if let Damping::Training(_) = config.damping {
                // So short a training that the legs on an untrained network descend.
                let config = LearnerConfig {
                    damping: by_training(1e-6),
                    linearizations: 3,
                    ..config
                };
                let (_, [_, peak]) = counted(|| {
                    let change = learner(config).finite_change(&vec![group; k], &mut |_| ());
                    change.expect("a change")
                });
                let estimate = config.finite_change_bytes(&shapes, k);
                check(&format!("{name}, {k} linearised"), peak, estimate);
                let passed = [30, 70].map(|step| PassedWeights {
                    step,
                    model: &model,
                });
                for (groups, is_finite) in [
                    (ChangedGroups::Derivative(vec![&nu; k]), false),
                    (ChangedGroups::Finite(vec![group; k]), true),
                ] {
                    let config = LearnerConfig {
                        linearizations: 1,
                        ..config
                    };
                    let (_, [_, peak]) = counted(|| {
                        let change = learner(config).change_along(&passed, &groups, &mut |_| ());
                        change.expect("a change")
                    });
                    let estimate = config.change_along_bytes(&shapes, k, is_finite);
                    let name = format!("{name}, {k} along checkpoints, finite: {is_finite}");
                    check(&name, peak, estimate);
                }
            }
        }
        for k in [1, 3] {
            let (_, [_, peak]) = counted(|| {
                // The right-hand sides count.
                let right = right.slice(0..k).scale(&vec![1.0; k]);
                let solution = learner(config).solve(&right, &mut |_| ());
                solution.expect("a solution")
            });
            let estimate = config.solution_bytes(&shapes, k);
            check(&format!("{name}, {k} right-hand sides"), peak, estimate);
        }
    }
    let subsets: Vec<Vec<usize>> = vec![(0..20).collect(), (20..40).collect()];
    let config = config(fraction, PreconditionerKind::None);
    let (_, [_, peak]) = counted(|| {
        let solution = learner(config).subset_tangents(&subsets, &mut |_| ());
        solution.expect("a solution")
    });
    check("subsets", peak, config.subset_bytes(&shapes, 2));
}
