//! The tangent through the weights against its adjoint.

use burn::tensor::Tensor;
use datasway_diffusion::denoiser::Denoiser;
use datasway_diffusion::sampler::FrozenNoise;
use datasway_diffusion::schedule::karras;
use datasway_sensitivity::density::ClosedForm;
use datasway_sensitivity::learner::{
    Damping, DataPoints, FiniteTraining, Learner, LearnerConfig, LossDraws, loss_gradient,
    sample_with_weight_tangents, weight_gradients, weight_step_parts,
};
use datasway_sensitivity::measure::Empirical;
use datasway_sensitivity::trajectory::Trajectory;
use datasway_training::optimization::Optimization;

use super::models::{
    EXACT, NOISE, SAMPLERS, apart, directions, dot, draw, random_directions, unet, values,
};

#[test]
fn the_gradient_in_the_weights_is_the_transpose_of_the_tangent_for_every_sampler() {
    let (network, model) = unet();
    let (n, d) = (3, model.dim());
    let data = Empirical::new(draw(1, [20, d])).expect("points");
    let v = random_directions(&network, 2);
    for sampler in SAMPLERS {
        let (start, noise) = (draw(2, [n, d]), FrozenNoise::new(5));
        let sigmas = karras(6, 0.02, 20.0, 7.0);
        let density = ClosedForm(&data);
        let (samples, delta) =
            sample_with_weight_tangents(&model, &v, &sampler, &sigmas, start.clone(), &noise)
                .expect("δ");
        let path = Trajectory::sample(&model, &density, &sampler, &sigmas, start, &noise);
        let path = path.expect("a path");
        assert!(apart(&values(samples), &values(path.samples.clone())) < 1e-13);
        let gradients = draw(3, [2, n, d]);
        let pulled = path.pull_back(&model, gradients.clone()).expect("G");
        let by_sample = weight_gradients(&model, &path, &pulled, 0..n).expect("g");
        let (by_sample, v) = (directions(&by_sample), directions(&v));
        for i in 0..n {
            for f in 0..2 {
                let gradient = gradients.clone().slice([f..f + 1, i..i + 1]);
                for (k, v) in v.iter().enumerate() {
                    let moved = delta.clone().slice([k..k + 1, i..i + 1]);
                    let left = dot(&values(gradient.clone()), &values(moved));
                    let right = dot(&by_sample[2 * i + f], v);
                    assert!(
                        (left - right).abs() < 1e-10 * left.abs().max(1.0),
                        "{sampler:?}: {left} {right}"
                    );
                }
            }
        }
    }
}

#[test]
fn the_parts_of_the_steps_add_up_to_the_length_of_the_change() {
    let (network, model) = unet();
    let (n, d) = (3, model.dim());
    let v = random_directions(&network, 2);
    for sampler in SAMPLERS {
        let (start, noise) = (draw(2, [n, d]), FrozenNoise::new(5));
        let sigmas = karras(6, 0.02, 20.0, 7.0);
        let tangents =
            sample_with_weight_tangents(&model, &v, &sampler, &sigmas, start.clone(), &noise);
        let (_, delta) = tangents.expect("δ");
        let parts = weight_step_parts(&model, &v, &sampler, &sigmas, start, &noise, delta.clone());
        let parts = parts.expect("parts");
        assert_eq!(parts.dims(), [2, sigmas.len() - 1, n]);
        let lengths = values(delta.powi_scalar(2).sum_dim(2).sqrt());
        let sums = values(parts.clone().sum_dim(1));
        for (sum, length) in sums.iter().zip(&lengths) {
            assert!(
                (sum / length - 1.0).abs() < 1e-10,
                "{sampler:?}: {sum} {length}"
            );
        }
        // No step has all of it.
        let largest = parts.max().into_scalar::<f64>();
        assert!(largest < lengths.iter().copied().fold(0.0, f64::max));
    }
}

/// The mean influence of a group against `⟨∇f, δ⟩` of its tangent, to a relative error.
fn check_mean_influence(damping: Damping, iterations: usize, bound: f64) {
    let (_, model) = unet();
    let (n, d) = (2, model.dim());
    let points: Tensor<2> = draw(1, [12, d]);
    let group = points.clone().slice_dim(0, 3..8);
    let learner = Learner {
        model: &model,
        training_set: &points,
        noise: NOISE,
        config: LearnerConfig {
            curvature_draws: 24,
            damping,
            iterations,
            batch: 24,
            ..EXACT
        },
    };
    let gradient = |points: &dyn DataPoints| {
        let LearnerConfig {
            image_draws, seed, ..
        } = learner.config;
        let draws = LossDraws::every_point(points, image_draws, NOISE, seed);
        loss_gradient(&model, &draws, 24, &mut |_| ()).expect("a gradient")
    };
    let right = gradient(&points).add(&gradient(&group).scale(&[-1.0]));
    let tangent = learner.solve(&right, &mut |_| ()).expect("dθ/dη");
    let (start, noise) = (draw(2, [n, d]), FrozenNoise::new(5));
    let (sampler, sigmas) = (SAMPLERS[1], karras(5, 0.05, 20.0, 7.0));
    let (_, delta) = sample_with_weight_tangents(
        &model,
        &tangent.solutions,
        &sampler,
        &sigmas,
        start.clone(),
        &noise,
    )
    .expect("δ");
    let data = Empirical::new(points.clone()).expect("points");
    let path = Trajectory::sample(&model, &ClosedForm(&data), &sampler, &sigmas, start, &noise);
    let path = path.expect("a path");
    let gradients = draw(3, [1, n, d]);
    let pulled = path.pull_back(&model, gradients.clone()).expect("G");
    let right = weight_gradients(&model, &path, &pulled, 0..n).expect("g");
    let solution = learner.solve(&right, &mut |_| ()).expect("u");
    let influences = learner
        .influences(&solution.solutions, &mut |_| ())
        .expect("influences");
    for (i, row) in influences.iter().enumerate() {
        let mean = row[3..8].iter().sum::<f64>() / 5.0;
        let gradient = values(gradients.clone().slice([0..1, i..i + 1]));
        let along = dot(&gradient, &values(delta.clone().slice([0..1, i..i + 1])));
        assert!((mean - along).abs() < bound * along.abs(), "{mean} {along}");
        assert!(row.iter().sum::<f64>().abs() < 1e-10 * mean.abs());
    }
}

#[test]
fn a_groups_mean_influence_is_its_tangent() {
    check_mean_influence(Damping::Fraction(0.1), EXACT.iterations, 1e-10);
}

/// The filter of a training is symmetric as the inverse is, once its Krylov space has converged.
#[test]
fn a_groups_mean_influence_is_its_tangent_with_the_length_of_a_training() {
    let training = FiniteTraining {
        optimization: Optimization {
            steps: 100,
            learning_rate: 1e-3,
            warmup: 5,
            weight_decay: 0.0,
            clip_norm: 1.0,
            ema_decay: 0.9,
        },
        batch: 4,
    };
    check_mean_influence(Damping::Training(training), 60, 1e-8);
}

#[test]
fn subsets_from_single_gradients_are_groups_with_the_same_noise() {
    let (_, model) = unet();
    // More points than are held at a time.
    let points: Tensor<2> = draw(1, [37, model.dim()]);
    let learner = Learner {
        model: &model,
        training_set: &points,
        noise: NOISE,
        config: LearnerConfig {
            image_draws: 3,
            batch: 2,
            ..EXACT
        },
    };
    let subsets = [vec![0, 5, 36], (0..37).collect(), (10..30).collect()];
    let differences = learner.subset_differences(&subsets, &mut |_| ());
    let differences = directions(&differences.expect("differences"));
    let gradient = |points: &Tensor<2>| {
        let LearnerConfig {
            image_draws, seed, ..
        } = learner.config;
        let draws = LossDraws::every_point(points, image_draws, NOISE, seed);
        let gradient = loss_gradient(&model, &draws, 64, &mut |_| ()).expect("a gradient");
        directions(&gradient).remove(0)
    };
    let of_all = gradient(&points);
    let size = dot(&of_all, &of_all).sqrt();
    for (subset, difference) in subsets.iter().zip(differences) {
        let expected = gradient(&points.rows(subset));
        let error = expected.iter().zip(&of_all).zip(&difference);
        let error = error.map(|((a, b), c)| (a - b - c).abs());
        assert!(error.fold(0.0, f64::max) < 1e-10 * size);
    }
}

#[test]
fn a_subset_that_is_none_is_refused() {
    let (_, model) = unet();
    let points: Tensor<2> = draw(1, [4, model.dim()]);
    let learner = Learner {
        model: &model,
        training_set: &points,
        noise: NOISE,
        config: EXACT,
    };
    for subsets in [vec![], vec![vec![0], vec![]], vec![vec![4]]] {
        let refused = learner.subset_differences(&subsets, &mut |_| ());
        assert!(refused.is_err(), "{subsets:?}");
    }
}
