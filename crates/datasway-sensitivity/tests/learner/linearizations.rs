//! The change of the weights by a finite mass in several linearisations, against real runs and real minima.

use burn::tensor::Tensor;
use burn_jvp::ParameterTangents;
use datasway_diffusion::ema;
use datasway_sensitivity::learner::{
    Damping, FiniteTraining, GroupMass, Learner, LearnerConfig, LossDraws, loss_gradient,
};
use datasway_training::optimization::Optimization;

use super::models::{
    EXACT, LinearModel, NOISE, Perceptron, SmallNetwork, apart, directions, draw, from_entries,
};

const D: usize = 2;
const BATCH: usize = 10;

/// A training that averages over a large part of its run.
const TRAINING: FiniteTraining = FiniteTraining {
    optimization: Optimization {
        steps: 400,
        learning_rate: 1e-3,
        warmup: 5,
        weight_decay: 0.0,
        clip_norm: 1.0,
        ema_decay: 0.98,
    },
    batch: BATCH,
};

fn config(damping: Damping, linearizations: usize) -> LearnerConfig {
    LearnerConfig {
        damping,
        linearizations,
        ..EXACT
    }
}

fn learner<'a>(
    model: &'a dyn datasway_diffusion::learned_denoiser::LearnedDenoiser,
    rho: &'a Tensor<2>,
    config: LearnerConfig,
) -> Learner<'a> {
    Learner {
        model,
        training_set: rho,
        noise: NOISE,
        config,
    }
}

/// `Δθ/η` of every group.
fn change(learner: &Learner<'_>, groups: &[GroupMass<'_>]) -> Vec<Vec<f64>> {
    let (mut done, work) = (0, learner.finite_change_work(groups));
    let change = learner.finite_change(groups, &mut |more| done += more);
    assert!(done <= work, "{done} of {work}");
    directions(&change.expect("Δθ/η").solutions)
}

/// The loss of a model that is linear in its weights is quadratic, so that one linearisation is exact.
#[test]
fn a_linear_model_needs_one_linearisation() {
    let (rho, nu) = (draw(1, [15, D]), draw(9, [4, D]) * 0.3 + 0.2);
    let model = LinearModel::new(D).denoiser(D);
    let groups = [
        GroupMass::Added {
            points: &nu,
            mass: 0.7,
        },
        GroupMass::Removed {
            members: &[2, 5, 6],
            mass: 0.15,
        },
    ];
    let damping = Damping::Training(TRAINING);
    let once = change(&learner(&model, &rho, config(damping, 1)), &groups);
    for linearizations in [2, 5] {
        let config = config(damping, linearizations);
        let several = change(&learner(&model, &rho, config), &groups);
        for (several, once) in several.iter().zip(&once) {
            let error = apart(several, once);
            assert!(error < 1e-6, "{linearizations}: {error}");
        }
    }
}

/// `√v + ε` of every weight as the identity of the learner's metric: one step of a training of one short step.
///
/// A change by a training of one step is `−l·P·g` up to its curvature, so that P is the ratio to the gradient.
pub fn metric(learner: &Learner<'_>, nu: &Tensor<2>) -> Vec<f64> {
    let rate = 1e-9;
    let step = FiniteTraining {
        optimization: Optimization {
            steps: 1,
            learning_rate: rate,
            warmup: 0,
            ema_decay: 0.0,
            ..TRAINING.optimization
        },
        ..TRAINING
    };
    let short = Learner {
        config: config(Damping::Training(step), 1),
        ..*learner
    };
    let moved = short.weight_tangent(&[nu], &mut |_| ()).expect("dθ/dη");
    let gradient = learner.gradient_difference(&[nu], &mut |_| ());
    let gradient = directions(&gradient.expect("∇L_ν − ∇L_ρ")).remove(0);
    let moved = directions(&moved.solutions).remove(0);
    let rate = step.filter().response(0.0);
    let ratios = moved.iter().zip(&gradient).map(|(m, g)| -m / (g * rate));
    ratios.collect()
}

/// Runs of gradient descent in the metric of Adam on ρ_η: the more linearisations, the nearer the prediction is to the run.
#[test]
fn more_linearisations_come_nearer_to_a_real_training() {
    let (rho, nu) = (draw(1, [15, D]), draw(9, [4, D]) * 0.3 + 0.6);
    let base = Perceptron::new(D, 3);
    let model = base.denoiser(D);
    let damping = Damping::Training(TRAINING);
    let eta = 1.0;
    let group = GroupMass::Added {
        points: &nu,
        mass: eta,
    };
    let once = learner(&model, &rho, config(damping, 1));
    let metric = metric(&once, &nu);

    let gradient = |weights: &Perceptron, points: &Tensor<2>| {
        let draws = LossDraws::random(points, EXACT.gradient_draws, NOISE, EXACT.seed);
        loss_gradient(&weights.denoiser(D), &draws, 1000, &mut |_| ()).expect("a gradient")
    };
    // A run on unchanged data stays at the start if its own gradient is taken off, as the prediction does.
    let drift = gradient(&base, &rho).scale(&[-1.0]);
    let (mut weights, mut moved) = (base.clone(), ParameterTangents::new());
    let mut average = ParameterTangents::new();
    for step in 0..TRAINING.optimization.steps {
        let mixed = gradient(&weights, &rho)
            .add(&gradient(&weights, &nu).scale(&[eta]))
            .scale(&[1.0 / (1.0 + eta)])
            .add(&drift);
        let rate = TRAINING.optimization.learning_rate_at(step);
        let entries = directions(&mixed).remove(0);
        let entries = entries.iter().zip(&metric).map(|(g, p)| -rate * p * g);
        let update = from_entries(&mixed, &[entries.collect()]);
        weights = update.displace(weights, 0, 1.0);
        moved = moved.add(&update);
        let decay = ema::warm_decay(TRAINING.optimization.ema_decay, step);
        average = average
            .scale(&vec![decay; average.k()])
            .add(&moved.scale(&[1.0 - decay]));
    }
    let real = directions(&average).remove(0);

    let errors: Vec<f64> = [1, 2, 4, 8, 32]
        .into_iter()
        .map(|linearizations| {
            let learner = learner(&model, &rho, config(damping, linearizations));
            apart(&change(&learner, &[group])[0], &real)
        })
        .collect();
    println!("errors {errors:?}");
    assert!(errors[0] > 0.1, "{errors:?}");
    for pair in errors.windows(2) {
        assert!(pair[1] < 0.75 * pair[0], "{errors:?}");
    }
    assert!(errors[4] < 0.02, "{errors:?}");
}

/// In directions in which the loss is not curved as G is, a long training leaves more of the gradient than there was, and each
/// leg would multiply it.
#[test]
fn legs_that_do_not_descend_are_refused() {
    let (rho, nu) = (draw(1, [15, D]), draw(9, [4, D]) * 0.3 + 0.6);
    let model = Perceptron::new(D, 3).denoiser(D);
    let group = GroupMass::Added {
        points: &nu,
        mass: 1e-3,
    };
    let change = |steps| {
        let training = FiniteTraining {
            optimization: Optimization {
                steps,
                ..TRAINING.optimization
            },
            ..TRAINING
        };
        let learner = learner(&model, &rho, config(Damping::Training(training), 4));
        learner.finite_change(&[group], &mut |_| ())
    };
    assert!(change(400).is_ok());
    let said = change(10_000).err().map(|error| error.to_string());
    let said = said.expect("a refusal");
    assert!(said.contains("after 1 of the linearizations"), "{said}");
}

/// A damping by a number has no time that legs could divide.
#[test]
fn a_damping_by_a_number_has_one_linearisation() {
    let (rho, nu) = (draw(1, [15, D]), draw(9, [4, D]));
    let model = LinearModel::new(D).denoiser(D);
    let group = GroupMass::Added {
        points: &nu,
        mass: 1.0,
    };
    for (linearizations, damping, is_right) in [
        (1, Damping::Fraction(0.1), true),
        (2, Damping::Fraction(0.1), false),
        (2, Damping::Training(TRAINING), true),
        (0, Damping::Training(TRAINING), false),
        (101, Damping::Training(TRAINING), false),
    ] {
        let learner = learner(&model, &rho, config(damping, linearizations));
        let change = learner.finite_change(&[group], &mut |_| ());
        assert_eq!(change.is_ok(), is_right, "{linearizations}, {damping:?}");
    }
}
