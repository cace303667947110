//! The end of the iterations: where δ stands still, and not only the norm of the curvature.

use burn::module::Module;
use burn::tensor::{DType, Device, Tensor};
use burn_jvp::ParameterTangents;
use datasway_diffusion::DiffusionError;
use datasway_diffusion::sampler::Sampler;
use datasway_diffusion::schedule::karras;
use datasway_sensitivity::SensitivityConfig;
use datasway_sensitivity::learner::{
    ChangedGroups, Curvature, DELAY, DampedCurvature, Damping, Effect, FiniteTraining, Learner,
    LearnerConfig, SolverReport, StoppingRule, conjugate_gradients,
};
use datasway_training::optimization::Optimization;

use super::models::{
    EXACT, LinearModel, NOISE, Perceptron, SmallNetwork, ToSingle, apart, directions, draw,
    from_entries, random_directions,
};

const D: usize = 3;

/// δ of two groups as numbers, and the report of the solver.
fn deltas(damping: Damping, tolerance: f64, iterations: usize) -> ([Vec<f64>; 2], SolverReport) {
    let single = |seed| draw::<2>(seed, [30, D]).cast(DType::F32);
    let (rho, nu, other) = (single(1), single(2) * 0.5 + 0.7, single(3) * 0.3 - 0.5);
    let network = Perceptron::new(D, 8).map(&mut ToSingle);
    let model = network.denoiser(D);
    let learner = Learner {
        model: &model,
        training_set: &rho,
        noise: NOISE,
        config: LearnerConfig {
            damping,
            tolerance,
            iterations,
            ..EXACT
        },
    };
    // As many samples as are compared.
    let config = SensitivityConfig {
        samples: 8,
        batch: 3,
        sampler: Sampler::Heun,
        sigmas: karras(6, 0.02, 20.0, 7.0),
        seed: 4,
        ..SensitivityConfig::default()
    };
    let groups = ChangedGroups::Derivative(vec![&nu, &other]);
    let results = learner.sensitivities(&groups, &config, &Device::flex(), &mut |_| ());
    let (results, solution) = results.expect("δ");
    let wide = |delta: &Vec<f32>| delta.iter().map(|v| f64::from(*v)).collect();
    ([0, 1].map(|k| wide(&results.deltas[k])), solution.report)
}

/// `‖a − b‖/‖a‖`.
fn change(a: &[f64], b: &[f64]) -> f64 {
    apart(b, a)
}

fn dampings() -> [Damping; 2] {
    let optimization = Optimization {
        steps: 2_000,
        learning_rate: 1e-2,
        warmup: 5,
        weight_decay: 0.0,
        clip_norm: 1.0,
        ema_decay: 0.9,
    };
    let training = FiniteTraining {
        optimization,
        batch: 10,
    };
    [Damping::Fraction(1e-3), Damping::Training(training)]
}

#[test]
fn the_reported_change_is_that_of_delta_by_the_last_iterations() {
    for damping in dampings() {
        let (few, report) = deltas(damping, 0.0, 7);
        let (fewer, _) = deltas(damping, 0.0, 7 - DELAY);
        let (converged, end) = deltas(damping, 0.0, 60);
        assert_eq!(report.delta_changes.len(), 2);
        for k in 0..2 {
            let reported = report.delta_changes[k];
            let between = change(&few[k], &fewer[k]);
            assert!(
                (reported / between - 1.0).abs() < 1e-2,
                "{reported} {between}"
            );
            // Seven iterations are plainly too few, and the change tells about how much is missing before the last four.
            let missing = apart(&fewer[k], &converged[k]);
            println!("{damping:?}: reported {reported:.3}, missing {missing:.3}");
            assert!(reported > 0.05, "{reported}");
            assert!(
                (0.4..2.5).contains(&(reported / missing)),
                "{reported} {missing}"
            );
            assert!(end.delta_changes[k] < 1e-2, "{:?}", end.delta_changes);
        }
    }
}

#[test]
fn the_solver_ends_where_delta_stands_still() {
    for damping in dampings() {
        let (stopped, report) = deltas(damping, 0.05, 200);
        let (converged, _) = deltas(damping, 0.0, 200);
        for k in 0..2 {
            let iterations = report.errors[k].len();
            assert!(iterations < 100, "{iterations}");
            assert!(
                report.delta_changes[k] <= 0.05,
                "{:?}",
                report.delta_changes
            );
            let missing = apart(&stopped[k], &converged[k]);
            println!("{damping:?}: {iterations} iterations, missing {missing:.4}");
            assert!(missing < 0.05, "{missing}");
        }
    }
}

/// A diagonal matrix, a stack of one.
struct Diagonal(ParameterTangents);

impl Curvature for Diagonal {
    fn product(
        &self,
        directions: &ParameterTangents,
        _progress: &mut dyn FnMut(usize),
    ) -> Result<ParameterTangents, DiffusionError> {
        Ok(directions.multiply(&self.0))
    }
}

/// The last component of solutions.
struct LastComponent;

/// The last component of every solution.
fn last_components(solutions: &ParameterTangents) -> Vec<f64> {
    let solutions = directions(solutions).into_iter();
    solutions.map(|x| *x.last().expect("a component")).collect()
}

impl Effect for LastComponent {
    fn relative(
        &self,
        changes: &ParameterTangents,
        solutions: &ParameterTangents,
    ) -> Result<Vec<f64>, DiffusionError> {
        let pairs = last_components(changes)
            .into_iter()
            .zip(last_components(solutions));
        Ok(pairs.map(|(change, x)| (change / x).abs()).collect())
    }
}

#[test]
fn an_effect_that_the_norm_hardly_sees_is_waited_for() {
    let like = random_directions(&LinearModel::new(D), 1);
    let n = directions(&like)[0].len();
    let least = 1e-3f64;
    let curvatures: Vec<f64> = (0..n)
        .map(|i| least.powf(i as f64 / (n - 1) as f64))
        .collect();
    let powers = [1.0, 1.5];
    let right = powers.map(|power| curvatures.iter().map(|h| h.powf(power)).collect());
    let right = from_entries(&like, &right);
    let curvature = Diagonal(from_entries(&like, &[curvatures]));
    let matrix = DampedCurvature {
        curvature: &curvature,
        damping: 0.0,
        preconditioner: None,
    };
    let solve = |effect: Option<&dyn Effect>| {
        let rule = StoppingRule {
            tolerance: 0.05,
            iterations: 100,
            effect,
        };
        conjugate_gradients(matrix, &right, rule, &mut |_| ()).expect("solutions")
    };
    let (by_norm, by_effect) = (solve(None), solve(Some(&LastComponent)));
    assert!(by_norm.changes.is_empty());
    for (k, power) in powers.into_iter().enumerate() {
        let exact = least.powf(power - 1.0);
        let [norm, effect] = [&by_norm, &by_effect].map(|solution| {
            let error = (last_components(&solution.solutions)[k] / exact - 1.0).abs();
            (solution.errors[k].len(), error)
        });
        println!("by the norm {norm:?}, by the effect {effect:?}");
        assert!(norm.1 > 0.3 && effect.1 < 0.01, "{norm:?} {effect:?}");
        assert!(norm.0 < effect.0 && effect.0 < 30, "{norm:?} {effect:?}");
        assert!(by_effect.changes[k] <= 0.05, "{:?}", by_effect.changes);
    }
}

/// An effect of solutions that is too large for a number.
struct Overflow;

impl Effect for Overflow {
    fn relative(
        &self,
        changes: &ParameterTangents,
        _solutions: &ParameterTangents,
    ) -> Result<Vec<f64>, DiffusionError> {
        Ok(vec![f64::NAN; changes.k()])
    }
}

#[test]
fn a_change_that_is_not_a_number_is_refused() {
    let right = random_directions(&LinearModel::new(D), 1);
    let curvature = Diagonal(right.map_entries(|entries| entries.powi_scalar(2) + 0.1));
    let matrix = DampedCurvature {
        curvature: &curvature,
        damping: 0.1,
        preconditioner: None,
    };
    let rule = StoppingRule {
        tolerance: 0.1,
        iterations: 6,
        effect: Some(&Overflow),
    };
    let refused = conjugate_gradients(matrix, &right, rule, &mut |_| ());
    let message = refused.expect_err("a refusal").to_string();
    assert!(message.contains("NaN"), "{message}");
}

/// A network whose weight has an infinite effect at the noise levels at which samples start, and none at those of training.
#[derive(Module, Debug)]
struct InfiniteAtHighNoise {
    inner: Perceptron,
}

impl SmallNetwork for InfiniteAtHighNoise {
    fn forward(&self, x: Tensor<2>, level: Tensor<1>) -> Tensor<2> {
        // c_noise = ln(σ)/4 is above 1 from σ = e⁴ up.
        let excess = burn::tensor::activation::relu(level.clone() - 1.0) * 1e30 * 1e30;
        let denoised = self.inner.forward(x, level);
        denoised.clone() + denoised * excess.unsqueeze_dim::<2>(1)
    }
}

#[test]
fn delta_that_is_not_finite_is_refused() {
    let single = |seed| draw::<2>(seed, [30, D]).cast(DType::F32);
    let (rho, nu) = (single(1), single(2) * 0.5 + 0.7);
    let inner = Perceptron::new(D, 8);
    let network = InfiniteAtHighNoise { inner }.map(&mut ToSingle);
    let model = network.denoiser(D);
    let learner = Learner {
        model: &model,
        training_set: &rho,
        noise: NOISE,
        config: LearnerConfig {
            damping: Damping::Fraction(1e-3),
            iterations: 5,
            ..EXACT
        },
    };
    let config = SensitivityConfig {
        samples: 2,
        batch: 2,
        sampler: Sampler::Euler,
        sigmas: karras(6, 0.02, 80.0, 7.0),
        ..SensitivityConfig::default()
    };
    let groups = ChangedGroups::Derivative(vec![&nu]);
    let derivative = learner.weight_change(&groups, &config, &Device::flex(), &mut |_| ());
    let message = derivative.expect_err("a refusal").to_string();
    assert!(message.contains("δ of the first samples"), "{message}");
}
