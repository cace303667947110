//! The change of the weights by a training from scratch, against real trainings.

use burn::tensor::Tensor;
use burn_jvp::ParameterTangents;
use datasway_diffusion::ema;
use datasway_diffusion::learned_denoiser::LearnedDenoiser;
use datasway_sensitivity::learner::{
    ChangedGroups, Damping, FiniteTraining, GroupMass, Learner, LearnerConfig, LossDraws,
    PassedWeights, loss_gradient,
};
use datasway_training::optimization::Optimization;

use super::linearizations::metric;
use super::models::{
    EXACT, LinearModel, NOISE, Perceptron, SmallNetwork, apart, directions, draw, from_entries,
};

const D: usize = 2;

/// A training that averages over a part of its run.
const TRAINING: FiniteTraining = FiniteTraining {
    optimization: Optimization {
        steps: 800,
        learning_rate: 1e-3,
        warmup: 5,
        weight_decay: 0.0,
        clip_norm: 1.0,
        ema_decay: 0.95,
    },
    batch: 10,
};

fn learner<'a>(model: &'a dyn LearnedDenoiser, rho: &'a Tensor<2>) -> Learner<'a> {
    Learner {
        model,
        training_set: rho,
        noise: NOISE,
        config: LearnerConfig {
            damping: Damping::Training(TRAINING),
            ..EXACT
        },
    }
}

/// The change of every group along the checkpoints; the work is that which was promised.
fn change(
    learner: &Learner<'_>,
    passed: &[PassedWeights<'_>],
    groups: &ChangedGroups<'_>,
) -> Vec<Vec<f64>> {
    let (mut done, work) = (0, learner.change_along_work(passed.len(), groups));
    let change = learner.change_along(passed, groups, &mut |more| done += more);
    assert!(done <= work, "{done} of {work}");
    directions(&change.expect("a change").solutions)
}

/// Legs with one gradient, matrix and metric add up to the whole training, also where they divide its average.
#[test]
fn weights_that_stayed_where_they_are_change_nothing() {
    let (rho, nu, other) = (
        draw(1, [15, D]),
        draw(9, [4, D]) * 0.3 + 0.2,
        draw(8, [6, D]),
    );
    let model = Perceptron::new(D, 3).denoiser(D);
    let learner = learner(&model, &rho);
    let derivative = ChangedGroups::Derivative(vec![&nu, &other]);
    let finite = ChangedGroups::Finite(vec![
        GroupMass::Added {
            points: &nu,
            mass: 0.7,
        },
        GroupMass::Removed {
            members: &[2, 5, 6],
            mass: 0.15,
        },
    ]);
    for groups in [derivative, finite] {
        let whole = change(&learner, &[], &groups);
        let known = match &groups {
            ChangedGroups::Derivative(groups) => learner.weight_tangent(groups, &mut |_| ()),
            ChangedGroups::Finite(groups) => learner.finite_change(groups, &mut |_| ()),
        };
        let known = directions(&known.expect("a change").solutions);
        for steps in [&[][..], &[100], &[50, 400, 790], &[740, 760, 780, 799]] {
            let passed = steps.iter().map(|&step| PassedWeights {
                step,
                model: &model,
            });
            let along = change(&learner, &passed.collect::<Vec<_>>(), &groups);
            for ((along, whole), known) in along.iter().zip(&whole).zip(&known) {
                let error = apart(along, known).max(apart(whole, known));
                assert!(error < 1e-6, "{steps:?}: {error}");
            }
        }
    }
}

/// Two trainings from weights that are far from the minimum, on ρ_η and on ρ, in the metric of the second: the more checkpoints,
/// the nearer the prediction is to their difference.
#[test]
fn more_checkpoints_come_nearer_to_a_training_from_scratch() {
    let (rho, nu) = (draw(1, [15, D]), draw(9, [4, D]) * 0.3 + 0.6);
    let eta = 0.7;
    let group = GroupMass::Added {
        points: &nu,
        mass: eta,
    };
    let gradient = |weights: &LinearModel, points: &Tensor<2>| {
        let draws = LossDraws::random(points, EXACT.gradient_draws, NOISE, EXACT.seed);
        loss_gradient(&weights.denoiser(D), &draws, 1000, &mut |_| ()).expect("a gradient")
    };
    let mut weights = LinearModel::new(D);
    let mut changed = weights.clone();
    let mut passed = vec![weights.clone()];
    let (mut moved, mut average) = (ParameterTangents::new(), ParameterTangents::new());
    for step in 0..TRAINING.optimization.steps {
        let model = weights.denoiser(D);
        let metric = metric(&learner(&model, &rho), &nu);
        let rate = TRAINING.optimization.learning_rate_at(step);
        let step_along = |gradient: &ParameterTangents| {
            let entries = directions(gradient).remove(0);
            let entries = entries.iter().zip(&metric).map(|(g, p)| -rate * p * g);
            from_entries(gradient, &[entries.collect()])
        };
        let plain = step_along(&gradient(&weights, &rho));
        let mixed = gradient(&changed, &rho)
            .add(&gradient(&changed, &nu).scale(&[eta]))
            .scale(&[1.0 / (1.0 + eta)]);
        let mixed = step_along(&mixed);
        weights = plain.displace(weights, 0, 1.0);
        changed = mixed.displace(changed, 0, 1.0);
        passed.push(weights.clone());
        moved = moved.add(&mixed).add(&plain.scale(&[-1.0]));
        let decay = ema::warm_decay(TRAINING.optimization.ema_decay, step);
        average = average
            .scale(&vec![decay; average.k()])
            .add(&moved.scale(&[(1.0 - decay) / eta]));
    }
    let real = directions(&average).remove(0);

    let models: Vec<_> = passed.iter().map(|weights| weights.denoiser(D)).collect();
    let last = models.last().expect("the final weights");
    let errors = [0, 1, 2, 8].map(|count| {
        // In the middle of equal parts of the run.
        let steps = (0..count).map(|i| (2 * i + 1) * TRAINING.optimization.steps / (2 * count + 2));
        let passed = steps.map(|step| PassedWeights {
            step,
            model: &models[step as usize],
        });
        let groups = ChangedGroups::Finite(vec![group]);
        let along = change(&learner(last, &rho), &passed.collect::<Vec<_>>(), &groups);
        apart(&along[0], &real)
    });
    println!("errors {errors:?}");
    assert!(errors[0] > 0.2, "the final weights alone: {errors:?}");
    assert!(errors[1] < 0.06 && errors[2] < 0.02, "{errors:?}");
    // What is left is that of steps in place of a flow, and halves with them.
    assert!(errors[3] < 0.015, "{errors:?}");
}

/// Checkpoints divide the length of a training, in the order of its steps.
#[test]
fn checkpoints_that_are_of_no_such_training_are_refused() {
    let (rho, nu) = (draw(1, [15, D]), draw(9, [4, D]));
    let model = LinearModel::new(D).denoiser(D);
    let right = learner(&model, &rho);
    let with = |config: LearnerConfig| Learner { config, ..right };
    let damped = with(LearnerConfig {
        damping: Damping::Fraction(0.1),
        ..right.config
    });
    let several = with(LearnerConfig {
        linearizations: 2,
        ..right.config
    });
    let groups = ChangedGroups::Derivative(vec![&nu]);
    for (learner, steps, says) in [
        (&right, &[1, 799][..], None),
        (&right, &[0, 10], Some("from 1 on")),
        (&right, &[10, 10], Some("ascending")),
        (&right, &[20, 10], Some("ascending")),
        (
            &right,
            &[10, 800],
            Some("has 800 steps, and a checkpoint is after 800"),
        ),
        (&damped, &[10], Some("in place of a damping by a number")),
        (&several, &[10], Some("leave one of them out")),
    ] {
        let passed = steps.iter().map(|&step| PassedWeights {
            step,
            model: &model,
        });
        let passed: Vec<_> = passed.collect();
        let change = learner.change_along(&passed, &groups, &mut |_| ());
        let said = change.err().map(|error| error.to_string());
        let is_right = match (&said, says) {
            (None, None) => true,
            (Some(said), Some(says)) => said.contains(says),
            _ => false,
        };
        assert!(is_right, "{steps:?}: {said:?}");
    }
    let other = Perceptron::new(D, 3).denoiser(D);
    let passed = [PassedWeights {
        step: 10,
        model: &other,
    }];
    let change = right.change_along(&passed, &groups, &mut |_| ());
    let said = change.expect_err("another network").to_string();
    assert!(said.contains("different networks"), "{said}");
}
