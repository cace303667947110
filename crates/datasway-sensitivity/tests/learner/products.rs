//! Gradients, Gauss–Newton products and the solver.

use burn::tensor::Tensor;
use burn_jvp::ParameterTangents;
use datasway_diffusion::DiffusionError;
use datasway_diffusion::learned_denoiser::LearnedDenoiser;
use datasway_diffusion::parameterization::Parameterization;
use datasway_diffusion::pixels::CentredPixels;
use datasway_sensitivity::learner::{
    Curvature, DELAY, DampedCurvature, GaussNewton, KroneckerFactors, KrylovSpaces, LossDraws,
    Preconditioner, StoppingRule, conjugate_gradients, largest_eigenvalue, loss_derivatives,
    loss_gradient,
};
use nalgebra::{DMatrix, DVector};

use super::models::{
    EXACT, LinearModel, NOISE, PRECONDITION, Perceptron, SmallNetwork, apart, directions, dot,
    draw, matrix, random_directions, unet, values,
};

/// The mean over draws of `(w/d)·‖D − y‖²`.
pub fn loss(model: &dyn LearnedDenoiser, draws: &LossDraws<'_>) -> f64 {
    let drawn = draws.read(0..draws.count());
    let denoised = model
        .denoise_each(drawn.noisy, &drawn.sigmas)
        .expect("points");
    let d = model.dim() as f64;
    let squares = values((denoised - drawn.clean).powi_scalar(2).sum_dim(1));
    let losses = squares.iter().zip(&drawn.sigmas);
    let losses = losses.map(|(square, sigma)| PRECONDITION.loss_weight(*sigma) * square / d);
    losses.sum::<f64>() / draws.count() as f64
}

#[test]
fn the_gradient_is_the_difference_of_the_loss_and_the_product_that_of_the_linearised_loss() {
    let (network, model) = unet();
    let points: Tensor<2> = draw(1, [9, 16]);
    let draws = LossDraws::random(&points, 24, NOISE, 5);
    let v = random_directions(&network, 2);
    let gradient = loss_gradient(&model, &draws, 7, &mut |_| ()).expect("a gradient");
    let gradient = directions(&gradient).remove(0);
    let config = datasway_diffusion::config::UNetConfig {
        image_channels: 1,
        image_size: 4,
        channels: 8,
        multipliers: vec![1, 2],
        blocks: 1,
        attention: vec![2],
        head_channels: 8,
        groups: None,
    };
    for (k, direction) in directions(&v).iter().enumerate() {
        let at = |h: f64| {
            let moved = v.displace(network.clone(), k, h);
            let moved = datasway_diffusion::network::NetworkDenoiser::new(
                moved,
                config.clone(),
                PRECONDITION,
            );
            loss(&moved, &draws)
        };
        let difference = (at(1e-5) - at(-1e-5)) / 2e-5;
        let along = dot(&gradient, direction);
        assert!(
            (along - difference).abs() < 1e-7 * difference.abs(),
            "{along} {difference}"
        );
    }
    let curvature = |batch| GaussNewton {
        model: &model,
        draws: draws.clone(),
        batch,
    };
    let product = curvature(24).product(&v, &mut |_| ()).expect("a product");
    let product = directions(&product);
    let v = directions(&v);
    // ⟨v, G·v⟩ is the mean of (2w/d)·‖J·v‖², and G is symmetric.
    let (left, right) = (dot(&v[1], &product[0]), dot(&v[0], &product[1]));
    assert!((left - right).abs() < 1e-12 * right.abs(), "{left} {right}");
    let drawn = draws.read(0..draws.count());
    let tangents = random_directions(&network, 2);
    let (_, moved) = model
        .jvp_with_weights(drawn.noisy, &drawn.sigmas, None, &tangents)
        .expect("a product");
    let squares = values(moved.powi_scalar(2).sum_dim(2));
    let form: f64 = squares[..24]
        .iter()
        .zip(&drawn.sigmas)
        .map(|(square, sigma)| 2.0 * PRECONDITION.loss_weight(*sigma) / 16.0 * square / 24.0)
        .sum();
    let found = dot(&v[0], &product[0]);
    assert!((found - form).abs() < 1e-12 * form, "{found} {form}");
    // Batches and directions do not matter.
    let again = curvature(5).product(&tangents, &mut |_| ());
    let again = directions(&again.expect("a product"));
    assert!(apart(&again[1], &product[1]) < 1e-12);
}

#[test]
fn the_derivative_of_every_images_loss_is_that_of_its_own_draws() {
    let model = LinearModel::new(3);
    let denoiser = model.denoiser(3);
    let points: Tensor<2> = draw(1, [5, 3]);
    let u = random_directions(&model, 2);
    let draws = LossDraws::every_point(&points, 6, NOISE, 5);
    let found = loss_derivatives(&denoiser, &draws, &u, 4, &mut |_| ()).expect("derivatives");
    let u = directions(&u);
    for (j, found) in (0..5).map(|j| (j, [0, 1].map(|k| found[k][j]))) {
        let point = points.clone().slice_dim(0, j..j + 1);
        let draws = LossDraws::every_point(&point, 6, NOISE, 5);
        let gradient = loss_gradient(&denoiser, &draws, 4, &mut |_| ()).expect("a gradient");
        let gradient = directions(&gradient).remove(0);
        for (found, u) in found.iter().zip(&u) {
            let expected = dot(&gradient, u);
            assert!((found - expected).abs() < 1e-13, "{j}: {found} {expected}");
        }
    }
}

#[test]
fn every_right_hand_side_is_solved_as_if_alone() {
    let model = LinearModel::new(3);
    let denoiser = model.denoiser(3);
    let points: Tensor<2> = draw(1, [5, 3]);
    let curvature = GaussNewton {
        model: &denoiser,
        draws: LossDraws::random(&points, 60, NOISE, 5),
        batch: 60,
    };
    // The second is the product of the first with the curvature, and the third is zero.
    let first = random_directions(&model, 1);
    let easy = curvature.product(&first, &mut |_| ()).expect("a product");
    let right = ParameterTangents::concat(&[first.clone(), easy, first.scale(&[0.0])]);
    let rule = StoppingRule {
        tolerance: 1e-12,
        iterations: 100,
        effect: None,
    };
    let matrix = DampedCurvature {
        curvature: &curvature,
        damping: 0.01,
        preconditioner: None,
    };
    let solve = |right: &ParameterTangents| {
        conjugate_gradients(matrix, right, rule, &mut |_| ()).expect("a solution")
    };
    let together = solve(&right);
    let last = together.residuals.iter().map(|history| history.last());
    let last: Vec<_> = last.collect();
    let solved = |r: &Option<&f64>| r.is_some_and(|r| *r <= 1e-12);
    assert!(solved(&last[0]) && solved(&last[1]), "{last:?}");
    assert!(last[2].is_none(), "nothing is to be solved: {last:?}");
    let alone = directions(&solve(&first).solutions).remove(0);
    let together_directions = directions(&together.solutions);
    assert!(apart(&together_directions[0], &alone) < 1e-10);
    assert!(together_directions[2].iter().all(|x| *x == 0.0));
    // The solution solves.
    let product = curvature.product(&together.solutions, &mut |_| ());
    let product = product.expect("a product");
    let product = product.add(&together.solutions.scale(&[0.01; 3]));
    for (found, right) in directions(&product).iter().zip(directions(&right)).take(2) {
        assert!(apart(found, &right) < 1e-11);
    }
}

#[test]
fn the_estimated_error_is_that_of_a_few_iterations_before_from_below() {
    let model = Perceptron::new(3, 6);
    let denoiser = model.denoiser(3);
    let points: Tensor<2> = draw(1, [5, 3]);
    let draws = LossDraws::random(&points, 60, NOISE, 5);
    let damping = 0.01;
    let factors = KroneckerFactors::new(&denoiser, &draws, &mut |_| ()).expect("factors");
    let inverse = factors.damped_inverse(damping).expect("finite moments");
    let curvature = GaussNewton {
        model: &denoiser,
        draws,
        batch: 60,
    };
    let right = random_directions(&model, 1);
    // ‖v‖² in the norm of A + λ.
    let square = |v: &ParameterTangents| {
        let product = curvature.product(v, &mut |_| ()).expect("a product");
        v.dot(&product)[0] + damping * v.dot(v)[0]
    };
    for preconditioner in [None, Some(&inverse as &dyn Preconditioner)] {
        let matrix = DampedCurvature {
            curvature: &curvature,
            damping,
            preconditioner,
        };
        let solve = |iterations: usize| {
            let rule = StoppingRule {
                tolerance: 0.0,
                iterations,
                effect: None,
            };
            conjugate_gradients(matrix, &right, rule, &mut |_| ()).expect("a solution")
        };
        let exact = solve(200).solutions;
        for iterations in [DELAY, 6, 8] {
            let estimate = *solve(iterations).errors[0].last().expect("an iteration");
            let earlier = match iterations - DELAY {
                0 => right.scale(&[0.0]),
                iterations => solve(iterations).solutions,
            };
            let error = exact.add(&earlier.scale(&[-1.0]));
            let error = (square(&error) / square(&exact)).sqrt();
            println!("{iterations} iterations: {estimate} of {error}");
            assert!(
                estimate <= error * 1.1,
                "{iterations}: {estimate} of {error}"
            );
            assert!(
                estimate >= error * 0.5,
                "{iterations}: {estimate} of {error}"
            );
        }
    }
}

/// `−1` times the identity.
struct Negative;

impl Curvature for Negative {
    fn product(
        &self,
        directions: &ParameterTangents,
        _progress: &mut dyn FnMut(usize),
    ) -> Result<ParameterTangents, DiffusionError> {
        Ok(directions.scale(&vec![-1.0; directions.k()]))
    }
}

#[test]
fn a_negative_curvature_is_refused() {
    let right = random_directions(&LinearModel::new(2), 1);
    let rule = StoppingRule {
        tolerance: 0.1,
        iterations: 3,
        effect: None,
    };
    let matrix = DampedCurvature {
        curvature: &Negative,
        damping: 0.5,
        preconditioner: None,
    };
    let refused = conjugate_gradients(matrix, &right, rule, &mut |_| ());
    let message = refused.expect_err("a refusal").to_string();
    assert!(message.contains("not positive"), "{message}");
}

#[test]
fn the_largest_eigenvalue_is_found_in_a_few_products() {
    let model = LinearModel::new(3);
    let denoiser = model.denoiser(3);
    let points: Tensor<2> = draw(1, [5, 3]);
    let curvature = GaussNewton {
        model: &denoiser,
        draws: LossDraws::random(&points, EXACT.curvature_draws, NOISE, 5),
        batch: 60,
    };
    let start = random_directions(&model, 1);
    let found = largest_eigenvalue(&curvature, &start, 8, &mut |_| ()).expect("an eigenvalue");
    // By power iteration.
    let mut v = start;
    let mut expected = 0.0;
    for _ in 0..300 {
        let product = curvature.product(&v, &mut |_| ()).expect("a product");
        expected = product.dot(&product)[0].sqrt();
        v = product.scale(&[1.0 / expected]);
    }
    assert!(
        (found - expected).abs() < 1e-6 * expected,
        "{found} {expected}"
    );
}

/// The function of a matrix from its whole Krylov space is that from its eigenvectors, column by column.
#[test]
fn a_function_of_the_curvature_is_that_of_its_eigenvalues() {
    let model = LinearModel::new(2);
    let denoiser = model.denoiser(2);
    let points: Tensor<2> = draw(1, [5, 2]);
    let curvature = GaussNewton {
        model: &denoiser,
        draws: LossDraws::random(&points, EXACT.curvature_draws, NOISE, 5),
        batch: 60,
    };
    let starts = random_directions(&model, 3);
    let mut spaces = KrylovSpaces::new(&starts).expect("finite starts");
    for _ in 0..directions(&starts)[0].len() {
        let product = curvature.product(spaces.newest(), &mut |_| ());
        spaces.extend(product.expect("a product")).expect("numbers");
    }
    let f = |h: f64| (-3.0 * h).exp() + h;
    let found = directions(&spaces.function(&f));
    let eigen = matrix(&curvature, &starts).symmetric_eigen();
    let values = DMatrix::from_diagonal(&eigen.eigenvalues.map(f));
    let function = &eigen.eigenvectors * values * eigen.eigenvectors.transpose();
    for (start, found) in directions(&starts).into_iter().zip(found) {
        let expected = &function * DVector::from_vec(start);
        let error = apart(&found, expected.as_slice());
        assert!(error < 1e-9, "{error:e}");
    }
    let progress = spaces.progress_since(spaces.dimension() - 1, &f);
    assert!(progress.iter().all(|part| *part < 1e-6), "{progress:?}");
    assert!(spaces.progress_since(1, &f).iter().all(|part| *part > 1e-3));
}

#[test]
fn a_start_that_is_not_finite_is_refused() {
    let start = random_directions(&LinearModel::new(2), 2).scale(&[1.0, f64::NAN]);
    let refused = KrylovSpaces::new(&start).expect_err("a refusal");
    assert!(refused.to_string().contains("diverged"), "{refused}");
}

#[test]
fn displaced_weights_are_those_of_a_displaced_network() {
    let network = Perceptron::new(3, 2);
    let directions_of_weights = random_directions(&network, 2);
    let centred = |network: Perceptron| CentredPixels(Box::new(network.denoiser(3)));
    let found = centred(network.clone()).displaced(&directions_of_weights, 1, 0.3);
    let expected = centred(directions_of_weights.displace(network.clone(), 1, 0.3));
    let (x, tangents) = (draw::<2>(5, [4, 3]), draw::<3>(6, [2, 4, 3]));
    let results = |model: &dyn LearnedDenoiser| {
        let levels = [0.1, 0.5, 1.0, 3.0];
        let each = model.denoise_each(x.clone(), &levels).expect("points");
        let (_, jvp) = model.jvp(x.clone(), 0.5, tangents.clone()).expect("Jv");
        let (_, vjp) = model.vjp(x.clone(), 0.5, tangents.clone()).expect("Jᵀc");
        let by_weights = model.vjp_in_weights(x.clone(), &levels, tangents.clone());
        let by_weights = directions(&by_weights.expect("J_θᵀc")).concat();
        [values(each), values(jvp), values(vjp), by_weights].concat()
    };
    let before = results(&centred(network));
    let [found, expected] = [results(found.as_ref()), results(&expected)];
    assert_eq!(found, expected);
    assert!(apart(&before, &expected) > 0.01);
}
