//! The derivative of the weights against differences of minima of the training loss on changed data.

use burn::tensor::{Int, Tensor};
use burn_jvp::{DynTensor, Hvp, ParameterTangents, Tangents};
use datasway_diffusion::DiffusionError;
use datasway_diffusion::learned_denoiser::LearnedDenoiser;
use datasway_diffusion::parameterization::Parameterization;
use datasway_diffusion::sampler::{FrozenNoise, sample};
use datasway_diffusion::schedule::karras;
use datasway_sensitivity::learner::{
    Curvature, Damping, DataPoints, DrawBatch, GroupMass, Learner, LearnerConfig, LossDraws,
    loss_gradient, sample_with_weight_tangents,
};

use super::models::{
    EXACT, LinearModel, NOISE, PRECONDITION, Perceptron, SAMPLERS, SmallNetwork, apart, directions,
    dot, draw, solved, values,
};
use super::products::loss;

const D: usize = 2;

/// The data ρ, `[15, d]` in two clusters, and a group ν from elsewhere, `[4, d]`.
fn data() -> [Tensor<2>; 2] {
    let left = draw::<2>(1, [8, D]) * 0.3 - 0.9;
    let right = draw::<2>(4, [7, D]) * 0.3 + 0.7;
    let group = draw::<2>(9, [4, D]) * 0.3 + 0.2;
    [Tensor::cat(vec![left, right], 0), group]
}

/// The draws with which the learner computes its gradients and its curvature.
fn draws(points: &dyn DataPoints) -> LossDraws<'_> {
    LossDraws::random(points, EXACT.gradient_draws, NOISE, EXACT.seed)
}

/// All draws of a list.
fn all(draws: &LossDraws<'_>) -> DrawBatch {
    draws.read(0..draws.count())
}

/// The Hessian of a sum of losses with masses, by differentiating its gradient.
struct Hessian<'a, M> {
    network: &'a M,
    parts: Vec<(DrawBatch, f64)>,
}

impl<M: SmallNetwork> Curvature for Hessian<'_, M> {
    fn product(
        &self,
        directions: &ParameterTangents,
        _progress: &mut dyn FnMut(usize),
    ) -> Result<ParameterTangents, DiffusionError> {
        // The loss of the network F: w·‖D − y‖² = ‖F − (y − c_skip·x)/c_out‖².
        let hvp = Hvp::new(|network: &M, inputs: &[DynTensor]| {
            let [x, target] = [0, 2].map(|i| inputs[i].get::<2>());
            let error = network.forward(x, inputs[1].get::<1>()) - target;
            error.powi_scalar(2).mean().into()
        });
        let mut total = ParameterTangents::new();
        for (drawn, mass) in &self.parts {
            let column = |f: &dyn Fn(f64) -> f64| {
                let values: Vec<f64> = drawn.sigmas.iter().map(|sigma| f(*sigma)).collect();
                let like = (&drawn.clean.device(), drawn.clean.dtype());
                Tensor::<1>::from_data(values.as_slice(), like)
            };
            let p = PRECONDITION;
            let by_row = |f: &dyn Fn(f64) -> f64| column(f).unsqueeze_dim::<2>(1);
            let target = drawn.clean.clone() - drawn.noisy.clone() * by_row(&|s| p.c_skip(s));
            let inputs: [DynTensor; 3] = [
                (drawn.noisy.clone() * by_row(&|s| p.c_in(s))).into(),
                column(&|s| p.c_noise(s)).into(),
                (target / by_row(&|s| p.c_out(s))).into(),
            ];
            let along = Tangents::of_parameters(directions.clone());
            let second = hvp.call(self.network, &inputs, &along);
            let product = second.expect("a product").product.parameters;
            total = total.add(&product.scale(&vec![*mass; directions.k()]));
        }
        Ok(total)
    }
}

/// The minimum of `L_ρ + η·L_ν` from given weights, by damped Newton steps.
fn minimum<M: SmallNetwork>(mut network: M, eta: f64) -> M {
    let [rho, nu] = data();
    let parts = [(draws(&rho), 1.0), (draws(&nu), eta)];
    let gradient = |model: &dyn LearnedDenoiser| {
        let mut total = ParameterTangents::new();
        for (draws, mass) in &parts {
            let gradient = loss_gradient(model, draws, 1000, &mut |_| ()).expect("a gradient");
            total = total.add(&gradient.scale(&[*mass]));
        }
        total
    };
    let value = |model: &dyn LearnedDenoiser| -> f64 {
        let losses = parts.iter().map(|(draws, mass)| mass * loss(model, draws));
        losses.sum()
    };
    let (mut damping, mut size) = (1e-2, f64::INFINITY);
    for _ in 0..400 {
        let model = network.denoiser(D);
        let g = gradient(&model);
        size = g.dot(&g)[0].sqrt();
        if size < 1e-13 {
            break;
        }
        let hessian = Hessian {
            network: &network,
            parts: vec![(all(&parts[0].0), 1.0), (all(&parts[1].0), eta)],
        };
        // Near the minimum the losses are equal to rounding.
        let near = size < 1e-5;
        let step = solved(&hessian, if near { 0.0 } else { damping }, &g);
        let moved = step.displace(network.clone(), 0, -1.0);
        if near || value(&moved.denoiser(D)) < value(&model) {
            network = moved;
            damping = (damping / 3.0).max(1e-9);
        } else {
            damping *= 4.0;
        }
    }
    assert!(
        size < 1e-10,
        "the gradient at the minimum has the length {size:e}"
    );
    network
}

/// Minima at `−2h, −h, h, 2h` from that at 0.
fn neighbours<M: SmallNetwork>(trained: &M, h: f64) -> [M; 4] {
    [-2.0, -1.0, 1.0, 2.0].map(|step| minimum(trained.clone(), step * h))
}

/// The derivative at 0 from values at `−2h, −h, h, 2h`, to order h⁴.
fn derivative(values: [Vec<f64>; 4], h: f64) -> Vec<f64> {
    let [far_left, left, right, far_right] = values;
    let count = left.len();
    let at = |i: usize| (8.0 * (right[i] - left[i]) - (far_right[i] - far_left[i])) / (12.0 * h);
    (0..count).map(at).collect()
}

/// The derivative of the weights of the minima.
fn real_tangent<M: SmallNetwork>(trained: &M, neighbours: &[M; 4], h: f64) -> Vec<f64> {
    let weights = ParameterTangents::from_modules(trained, neighbours).expect("one structure");
    let weights = directions(&weights);
    derivative([0, 1, 2, 3].map(|k| weights[k].clone()), h)
}

/// The largest error of δ along a tangent of the weights against samples of the neighbours, over the samplers.
fn error_of_samples<M: SmallNetwork>(
    trained: &M,
    tangent: &ParameterTangents,
    neighbours: &[M; 4],
    h: f64,
) -> f64 {
    let (start, noise) = (draw(2, [6, D]), FrozenNoise::new(5));
    let sigmas = karras(10, 0.02, 20.0, 7.0);
    let error = SAMPLERS.map(|sampler| {
        let model = trained.denoiser(D);
        let (_, delta) =
            sample_with_weight_tangents(&model, tangent, &sampler, &sigmas, start.clone(), &noise)
                .expect("δ");
        let samples = neighbours.clone().map(|network| {
            let model = network.denoiser(D);
            values(sample(&model, &sampler, &sigmas, start.clone(), &noise).expect("samples"))
        });
        apart(&values(delta), &derivative(samples, h))
    });
    error.into_iter().fold(0.0, f64::max)
}

/// A learner with all draws for everything.
fn learner<'a>(model: &'a dyn LearnedDenoiser, rho: &'a Tensor<2>) -> Learner<'a> {
    Learner {
        model,
        training_set: rho,
        noise: NOISE,
        config: EXACT,
    }
}

#[test]
fn the_weights_of_a_linear_model_move_as_its_minimum() {
    let h = 1e-2;
    let trained = minimum(LinearModel::new(D), 0.0);
    let neighbours = neighbours(&trained, h);
    let [rho, nu] = data();
    let model = trained.denoiser(D);
    let learner = learner(&model, &rho);
    // Two groups at once: the second is the training set itself, which moves nothing.
    let solution = learner.weight_tangent(&[&nu, &rho], &mut |_| ());
    let solution = solution.expect("dθ/dη");
    let tangents = directions(&solution.solutions);
    let real = real_tangent(&trained, &neighbours, h);
    let error = apart(&tangents[0], &real);
    assert!(error < 1e-6, "{error:e}");
    assert!(tangents[1].iter().all(|t| *t == 0.0));
    let alone = learner.weight_tangent(&[&nu], &mut |_| ()).expect("dθ/dη");
    let error = error_of_samples(&trained, &alone.solutions, &neighbours, h);
    assert!(error < 1e-6, "δ: {error:e}");
}

/// The loss of a linear model is quadratic, so that one step with its curvature ends in the minimum, however large the mass is.
#[test]
fn a_finite_mass_moves_a_linear_model_to_its_new_minimum() {
    let trained = minimum(LinearModel::new(D), 0.0);
    let [rho, nu] = data();
    let model = trained.denoiser(D);
    let learner = learner(&model, &rho);
    let group = |points, mass| GroupMass::Added { points, mass };
    // From mass 1 on the group has the draws of the training set. The training set itself moves nothing.
    let groups = [group(&nu, 1.0), group(&rho, 1.0), group(&nu, 1e3)];
    let (mut done, work) = (0, learner.finite_change_work(&groups));
    let change = learner.finite_change(&groups, &mut |work| done += work);
    let change = change.expect("Δθ/η");
    assert!(done <= work, "{done} of {work}");
    assert_eq!(change.report.errors.len(), 3);
    let found = directions(&change.solutions);
    let [one, many] = [1.0, 1e3].map(|mass| minimum(trained.clone(), mass));
    let weights = ParameterTangents::from_modules(&trained, &[trained.clone(), one, many]);
    let weights = directions(&weights.expect("one structure"));
    let [real, by_many] = [(1, 1.0), (2, 1e3)].map(|(i, mass)| {
        let pairs = weights[i].iter().zip(&weights[0]);
        let change: Vec<f64> = pairs
            .map(|(after, before)| (after - before) / mass)
            .collect();
        change
    });
    for (found, real) in [(&found[0], &real), (&found[2], &by_many)] {
        let error = apart(found, real);
        assert!(error < 1e-6, "{error:e}");
    }
    assert!(found[1].iter().all(|t| *t == 0.0));
    let work = |mass| learner.finite_change_work(&[group(&nu, mass)]);
    assert_eq!(work(1e3), work(1.0));

    // The derivative misses it, and is the limit of small masses.
    let derivative = learner.weight_tangent(&[&nu], &mut |_| ()).expect("dθ/dη");
    let derivative = &directions(&derivative.solutions)[0];
    let far = apart(derivative, &real);
    assert!(far > 0.1, "{far}");
    let small = learner.finite_change(&[group(&nu, 1e-7)], &mut |_| ());
    let small = &directions(&small.expect("Δθ/η").solutions)[0];
    let error = apart(small, derivative);
    assert!(error < 1e-5, "{error:e}");

    for mass in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let refused = learner.finite_change(&[group(&nu, mass)], &mut |_| ());
        let said = refused.expect_err("no such mass").to_string();
        assert!(said.contains("the mass of a group"), "{said}");
    }
}

/// A group that is removed takes its draws out of the curvature of the training set, as a whole or in part.
#[test]
fn a_removal_has_the_curvature_of_what_is_left() {
    let network = LinearModel::new(D);
    let [rho, nu] = data();
    let model = network.denoiser(D);
    let learner = learner(&model, &rho);
    let members = [0, 3, 4, 9, 14];
    let is_member = |draw: &usize| members.contains(&draws(&rho).point(*draw));
    let drawn = all(&draws(&rho));
    let part = |indices: &[usize]| {
        let rows: Vec<i64> = indices.iter().map(|&i| i as i64).collect();
        let rows = Tensor::<1, Int>::from_data(rows.as_slice(), &rho.device());
        DrawBatch {
            clean: drawn.clean.clone().select(0, rows.clone()),
            noisy: drawn.noisy.clone().select(0, rows),
            sigmas: indices.iter().map(|&i| drawn.sigmas[i]).collect(),
        }
    };
    let (removed, rest): (Vec<usize>, Vec<usize>) = (0..EXACT.curvature_draws).partition(is_member);
    assert_eq!(removed.len(), 40);
    let group = DataPoints::rows(&rho, &members);
    let share = members.len() as f64 / 15.0;
    let masses = [share, 0.6 * share];
    // Together with an addition: every change has a matrix of its own.
    let mut changes = vec![GroupMass::Added {
        points: &nu,
        mass: 0.5,
    }];
    changes.extend(masses.map(|mass| GroupMass::Removed {
        members: &members,
        mass,
    }));
    let found = learner.finite_change(&changes, &mut |_| ());
    let found = directions(&found.expect("Δθ/η").solutions);
    let difference = learner.gradient_difference(&[&group], &mut |_| ());
    let difference = difference.expect("a gradient");
    for (found, mass) in found[1..].iter().zip(masses) {
        let kept = 1.0 - mass / share;
        let left = rest.len() as f64 + kept * removed.len() as f64;
        let hessian = Hessian {
            network: &network,
            parts: vec![
                (part(&rest), rest.len() as f64 / left),
                (part(&removed), kept * removed.len() as f64 / left),
            ],
        };
        let expected = solved(&hessian, 0.0, &difference.scale(&[-1.0 / (1.0 - mass)]));
        let error = apart(found, &directions(&expected)[0]);
        assert!(error < 1e-6, "{mass}: {error:e}");
    }
    let alone = learner.finite_change(&changes[..1], &mut |_| ());
    let alone = directions(&alone.expect("Δθ/η").solutions).remove(0);
    let error = apart(&found[0], &alone);
    assert!(error < 1e-9, "{error:e}");

    let few = LearnerConfig {
        curvature_draws: 1,
        ..EXACT
    };
    let few = Learner {
        config: few,
        ..learner
    };
    let drawn = [draws(&rho).point(0)];
    for (learner, members, mass, says) in [
        (learner, &[0, 1][..], 0.2, "at most its share 0.1333"),
        (learner, &[0, 1], -0.1, "at most its share"),
        (learner, &[0, 1], f64::NAN, "at most its share"),
        (learner, &[1, 0], 0.1, "ascending indices"),
        (learner, &[1, 1], 0.1, "ascending indices"),
        (learner, &[15], 0.05, "15 points"),
        (learner, &[], 0.05, "15 points"),
        (few, &drawn, 1.0 / 15.0, "ask for more draws"),
    ] {
        let refused = learner.finite_change(&[GroupMass::Removed { members, mass }], &mut |_| ());
        let said = refused.expect_err("no such removal").to_string();
        assert!(said.contains(says), "{said}");
    }
}

#[test]
fn the_weights_of_a_perceptron_move_as_its_minimum_with_its_hessian() {
    let h = 1e-3;
    let trained = minimum(Perceptron::new(D, 2), 0.0);
    let neighbours = neighbours(&trained, h);
    let [rho, nu] = data();
    let model = trained.denoiser(D);
    let learner = learner(&model, &rho);
    let difference = learner.gradient_difference(&[&nu], &mut |_| ());
    let right = difference.expect("a gradient").scale(&[-1.0]);
    let hessian = Hessian {
        network: &trained,
        parts: vec![(all(&draws(&rho)), 1.0)],
    };
    let exact = solved(&hessian, 0.0, &right);
    let real = real_tangent(&trained, &neighbours, h);
    let error = apart(&directions(&exact)[0], &real);
    assert!(error < 1e-5, "{error:e}");
    let error = error_of_samples(&trained, &exact, &neighbours, h);
    assert!(error < 1e-5, "δ: {error:e}");

    // Without the second derivatives of the network directions of little curvature are too long.
    let config = LearnerConfig {
        damping: Damping::Fraction(1e-4),
        ..EXACT
    };
    let solution = Learner { config, ..learner }.solve(&right, &mut |_| ());
    let solution = solution.expect("dθ/dη").solutions;
    let error = error_of_samples(&trained, &solution, &neighbours, h);
    let found = &directions(&solution)[0];
    let cosine = dot(found, &real) / (dot(found, found) * dot(&real, &real)).sqrt();
    println!("Gauss–Newton: cosine of dθ/dη {cosine:.3}, relative error of δ {error:.3}");
    assert!(cosine > 0.5 && error < 0.8, "{cosine} {error}");
}
