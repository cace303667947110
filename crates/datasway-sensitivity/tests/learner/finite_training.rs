//! The change of the weights by a training of finite length against real runs of such a training.

use burn_jvp::ParameterTangents;
use datasway_diffusion::ema;
use datasway_sensitivity::learner::{
    Damping, FiniteTraining, GaussNewton, GroupMass, Learner, LearnerConfig, LossDraws,
    loss_gradient,
};
use datasway_training::optimization::Optimization;

use super::models::{
    EXACT, LinearModel, NOISE, SmallNetwork, apart, directions, draw, from_entries, solved,
};

const D: usize = 2;

/// A training of `steps` steps with images of 10 in a batch.
fn training(steps: u64, learning_rate: f64) -> FiniteTraining {
    FiniteTraining {
        optimization: Optimization {
            steps,
            learning_rate,
            warmup: 5,
            weight_decay: 0.0,
            clip_norm: 1.0,
            ema_decay: 0.9,
        },
        batch: 10,
    }
}

/// `√v + ε` of every weight: v is the mean square of the gradients of single batches.
fn scales(learner: &Learner<'_>, batch: usize) -> Vec<f64> {
    let draws = LossDraws::random(learner.training_set, 64 * batch, NOISE, EXACT.seed);
    let mut squares = Vec::new();
    for range in draws.batches(batch) {
        let drawn = draws.read(range.clone());
        let residual = learner
            .model
            .denoise_each(drawn.noisy.clone(), &drawn.sigmas)
            .expect("denoised points")
            - drawn.clean;
        let weights: Vec<f64> = drawn
            .sigmas
            .iter()
            .map(|s| 2.0 * learner.model.loss_weight(*s) / (D * batch) as f64)
            .collect();
        let weights = burn::tensor::Tensor::<1>::from_data(
            weights.as_slice(),
            (&residual.device(), residual.dtype()),
        );
        let pulled = (residual * weights.unsqueeze_dim::<2>(1)).unsqueeze_dim::<3>(0);
        let gradient = learner
            .model
            .vjp_in_weights(drawn.noisy, &drawn.sigmas, pulled)
            .expect("a gradient");
        squares.push(directions(&gradient).remove(0));
    }
    let batches = squares.len() as f64;
    (0..squares[0].len())
        .map(|i| (squares.iter().map(|row| row[i] * row[i]).sum::<f64>() / batches).sqrt() + 1e-8)
        .collect()
}

/// Two runs of gradient descent in the metric of Adam, on ρ_η and on ρ, differ by η times the predicted change.
///
/// The loss of a linear model is quadratic, so that the difference is linear in η, and the only error is that of small steps
/// in place of a flow.
#[test]
fn the_change_is_the_difference_of_two_trainings() {
    let (rho, nu) = (draw(1, [15, D]), draw(9, [4, D]) * 0.3 + 0.2);
    let start = LinearModel::new(D);
    // At the minimum of ρ, where the run on unchanged data stays.
    let draws = LossDraws::random(&rho, EXACT.gradient_draws, NOISE, EXACT.seed);
    let model = start.denoiser(D);
    let gradient = loss_gradient(&model, &draws, 1000, &mut |_| ()).expect("a gradient");
    let curvature = GaussNewton {
        model: &model,
        draws,
        batch: 1000,
    };
    let base = solved(&curvature, 0.0, &gradient).displace(start, 0, -1.0);
    let model = base.denoiser(D);
    let steps = training(600, 2e-3);
    let learner = Learner {
        model: &model,
        training_set: &rho,
        noise: NOISE,
        config: LearnerConfig {
            damping: Damping::Training(steps),
            ..EXACT
        },
    };
    let predicted = learner.weight_tangent(&[&nu], &mut |_| ()).expect("dθ/dη");
    let scales = scales(&learner, steps.batch);

    let run = |eta: f64| {
        let (mut weights, mut average) = (base.clone(), ParameterTangents::new());
        let mut moved = ParameterTangents::new();
        for step in 0..steps.optimization.steps {
            let model = weights.denoiser(D);
            let part = |points| {
                let draws = LossDraws::random(points, EXACT.gradient_draws, NOISE, EXACT.seed);
                loss_gradient(&model, &draws, 1000, &mut |_| ()).expect("a gradient")
            };
            // (∇L_ρ + η·∇L_ν)/(1 + η)
            let mixed = part(&rho)
                .add(&part(&nu).scale(&[eta]))
                .scale(&[1.0 / (1.0 + eta)]);
            let rate = steps.optimization.learning_rate_at(step);
            let entries = directions(&mixed).remove(0);
            let entries = entries
                .iter()
                .zip(&scales)
                .map(|(g, s)| -rate * g / s)
                .collect();
            let update = from_entries(&mixed, &[entries]);
            weights = update.displace(weights, 0, 1.0);
            moved = moved.add(&update);
            let decay = ema::warm_decay(steps.optimization.ema_decay, step);
            average = average
                .scale(&vec![decay; average.k()])
                .add(&moved.scale(&[1.0 - decay]));
        }
        directions(&average).remove(0)
    };
    let eta = 1e-4;
    let (changed, unchanged) = (run(eta), run(0.0));
    let real: Vec<f64> = changed
        .iter()
        .zip(&unchanged)
        .map(|(a, b)| (a - b) / eta)
        .collect();
    let error = apart(&directions(&predicted.solutions)[0], &real);
    assert!(error < 0.005, "{error}");
    // With the curvature of the changed data it is that of a finite mass.
    let group = GroupMass::Added {
        points: &nu,
        mass: 1.0,
    };
    let change = learner.finite_change(&[group], &mut |_| ()).expect("Δθ/η");
    let finite = run(1.0);
    let finite: Vec<f64> = finite.iter().zip(&unchanged).map(|(a, b)| a - b).collect();
    let error = apart(&directions(&change.solutions)[0], &finite);
    assert!(error < 0.005, "{error}");
    let error = apart(&real, &finite);
    assert!(error > 0.1, "the derivative, too: {error}");
    // It is neither the change of a long training nor that of the first step.
    let long = LearnerConfig {
        damping: Damping::Fraction(0.0),
        ..learner.config
    };
    let long = Learner {
        config: long,
        ..learner
    };
    let long = long.weight_tangent(&[&nu], &mut |_| ()).expect("dθ/dη");
    let far = apart(&directions(&long.solutions)[0], &real);
    assert!(far > 0.2, "{far}");
    let first: Vec<f64> = {
        let difference = learner
            .gradient_difference(&[&nu], &mut |_| ())
            .expect("∇L_ν − ∇L_ρ");
        let entries = directions(&difference).remove(0);
        entries.iter().zip(&scales).map(|(g, s)| -g / s).collect()
    };
    let length = |v: &[f64]| v.iter().map(|a| a * a).sum::<f64>().sqrt();
    let scale = length(&real) / length(&first);
    let first: Vec<f64> = first.iter().map(|a| a * scale).collect();
    let far = apart(&first, &real);
    assert!(far > 0.2, "{far}");
}

/// The mean time of the flow, which is the filter at curvature 0, from all steps of a run one by one.
fn mean_time(training: &FiniteTraining) -> f64 {
    let Optimization {
        steps, ema_decay, ..
    } = training.optimization;
    let mut kept = 1.0;
    let mut shares = vec![0.0; steps as usize];
    for step in (0..steps).rev() {
        let decay = ema::warm_decay(ema_decay, step);
        shares[step as usize] = (1.0 - decay) * kept;
        kept *= decay;
    }
    let (mut time, mut mean) = (0.0, 0.0);
    for (step, share) in (0..steps).zip(shares) {
        time += training.optimization.learning_rate_at(step);
        mean += share * time;
    }
    mean
}

#[test]
fn a_run_of_millions_of_steps_has_the_filter_of_its_single_steps() {
    // Neighbouring steps are summed together from 2^20 on, five of them here.
    for (steps, ema_decay) in [
        (5_000_003, 0.999),
        (5_000_003, 0.0),
        (1 << 20, 0.9999),
        (3000, 0.999),
    ] {
        let mut training = training(steps, 1e-3);
        training.optimization.warmup = steps / 7;
        training.optimization.ema_decay = ema_decay;
        let (summed, expected) = (training.filter().response(0.0), mean_time(&training));
        let error = (summed / expected - 1.0).abs();
        assert!(error < 1e-6, "{steps} steps, {ema_decay}: {error}");
    }
}

#[test]
fn the_longest_run_has_a_filter_at_once() {
    let steps = 1_000_000_000;
    let mut training = training(steps, 1e-3);
    training.optimization.warmup = 0;
    // The averaged weights are those of the last step, at the time `l·Σ_s (1 + cos(π·s/S))/2 = l·(S + 1)/2`.
    training.optimization.ema_decay = 0.0;
    let time = training.filter().response(0.0);
    let error = (time / (1e-3 * 0.5 * (steps + 1) as f64) - 1.0).abs();
    assert!(error < 1e-8, "{error}");
    // An average over the whole run has no list of all its steps either. With a decay of 1 − 10⁻⁹ it is the warm one in every
    // step, `(1 + s)/(10 + s)`, whose product gives the step at the part u = s/S of the run the weight `9·u⁸`, and
    // `τ(u) = l·S·(u/2 + sin(πu)/(2π))`.
    training.optimization.ema_decay = 1.0 - 1e-9;
    let mean = training.filter().response(0.0) / (1e-3 * steps as f64);
    let parts = 100_000;
    let expected: f64 = (0..parts)
        .map(|i| {
            let u = (f64::from(i) + 0.5) / f64::from(parts);
            let time = u / 2.0 + (std::f64::consts::PI * u).sin() / (2.0 * std::f64::consts::PI);
            9.0 * u.powi(8) * time / f64::from(parts)
        })
        .sum();
    assert!(
        (mean / expected - 1.0).abs() < 1e-5,
        "{mean} for {expected}"
    );
}

#[test]
fn a_batch_that_no_training_has_is_refused() {
    for (batch, is_right) in [(0, false), (1, true), (65_536, true), (65_537, false)] {
        let training = FiniteTraining {
            batch,
            ..training(10, 1e-3)
        };
        assert_eq!(training.check().is_ok(), is_right, "{batch}");
    }
}
