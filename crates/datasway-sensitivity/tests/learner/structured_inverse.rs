//! The Kronecker factors of the example `structured_inverse`, against dense matrices.

use burn::tensor::Tensor;
use burn_jvp::ParameterTangents;
use datasway_sensitivity::learner::{GaussNewton, LossDraws, StoppingRule, conjugate_gradients};
use nalgebra::{DMatrix, DVector};

use super::models::{
    LinearModel, NOISE, SmallNetwork, apart, directions, draw, from_entries, matrix,
    random_directions, solved,
};
use kronecker::KroneckerMoments;
use preconditioned::iterate;
use sampled_gradients::SampledGradients;

#[path = "../../examples/structured_inverse/kronecker.rs"]
mod kronecker;
// The example reads the gains of the iterates, and these tests do not.
#[allow(dead_code)]
#[path = "../../examples/structured_inverse/preconditioned.rs"]
mod preconditioned;
#[path = "../../examples/structured_inverse/sampled_gradients.rs"]
mod sampled_gradients;

const D: usize = 3;
const DAMPING: f64 = 0.3;

/// The first entry and the number of entries of every parameter of a direction.
fn blocks(like: &ParameterTangents) -> Vec<[usize; 2]> {
    let mut start = 0;
    let sizes = like
        .iter()
        .map(|(_, stack)| stack.shape()[1..].iter().product());
    let blocks = sizes.map(|size: usize| {
        start += size;
        [start - size, size]
    });
    blocks.collect()
}

/// `(C + λ)⁻¹·b` with the blocks of C that belong to one parameter each, by elimination.
fn block_solution(
    covariance: &DMatrix<f64>,
    right: &[f64],
    blocks: &[[usize; 2]],
    damping: f64,
) -> Vec<f64> {
    let solutions = blocks.iter().map(|&[start, size]| {
        let block = covariance.view((start, start), (size, size)).into_owned();
        let damped = block + DMatrix::identity(size, size) * damping;
        let right = DVector::from_column_slice(&right[start..start + size]);
        damped.lu().solve(&right).expect("a solution")
    });
    solutions
        .flat_map(|solution| solution.as_slice().to_vec())
        .collect()
}

/// Gradients `a_i·b_jᵀ` for all columns of a random matrix A and all of a random B have the covariance `(A·Aᵀ) ⊗ (B·Bᵀ)` up to a
/// factor.
#[test]
fn factors_invert_a_covariance_that_is_a_kronecker_product() {
    let model = LinearModel::new(D);
    let like = random_directions(&model, 1);
    let (rows, columns) = (D + 1, D);
    let a = random_matrix(rows, 11);
    let b = random_matrix(columns, 12);
    let mut gradients = Vec::new();
    for i in 0..rows {
        for j in 0..columns {
            let entries = like.iter().flat_map(|(_, stack)| {
                if stack.shape().len() == 3 {
                    // Burn's tensors are in the order of rows.
                    let outer = b.column(j) * a.column(i).transpose();
                    outer.as_slice().to_vec()
                } else {
                    b.column(j).as_slice().to_vec()
                }
            });
            gradients.push(entries.collect::<Vec<f64>>());
        }
    }
    let stack = from_entries(&like, &gradients);
    let mut moments = KroneckerMoments::default();
    moments.add(&stack.slice(0..5));
    moments.add(&stack.slice(5..gradients.len()));
    let basis = moments.basis();
    let mean = 1.0 / gradients.len() as f64;
    let outer = gradients.iter().map(|g| {
        let g = DVector::from_column_slice(g);
        &g * g.transpose() * mean
    });
    let covariance: DMatrix<f64> = outer.sum();
    let right = directions(&like).remove(0);
    let expected = block_solution(&covariance, &right, &blocks(&like), DAMPING);
    let found = directions(&basis.solve(DAMPING, &like)).remove(0);
    let error = apart(&found, &expected);
    assert!(error < 1e-12, "{error:e}");

    // The second moments in the eigenbasis are the eigenvalues.
    let squares = basis.squares(&stack).into_iter();
    let squares = squares.map(|(id, sum)| (id, sum * mean)).collect();
    let corrected = basis.with_eigenvalues(&squares);
    let found = directions(&corrected.solve(DAMPING, &like)).remove(0);
    let error = apart(&found, &expected);
    assert!(error < 1e-12, "{error:e}");
}

/// A linear model of the noisy point and its level has `G = (2/d)·E[h·hᵀ] ⊗ I` in its matrix, with the inputs h of the layer.
#[test]
fn random_gradients_have_the_curvature_as_covariance() {
    let model = LinearModel::new(D);
    let denoiser = model.denoiser(D);
    let points: Tensor<2> = draw(1, [5, D]);
    let (samples, batch) = (4_000, 2);
    let draws = LossDraws::random(&points, samples * batch, NOISE, 5);
    let curvature = GaussNewton {
        model: &denoiser,
        draws: draws.clone(),
        batch: 1_000,
    };
    let gradients = SampledGradients {
        model: &denoiser,
        draws,
        batch,
        seed: 8,
    };
    let like = random_directions(&model, 1);
    let n = directions(&like)[0].len();
    let mut covariance = DMatrix::<f64>::zeros(n, n);
    let mut moments = KroneckerMoments::default();
    let read = gradients.read(0..samples, &mut |gradient| {
        let entries = DVector::from_vec(directions(gradient).remove(0));
        covariance += &entries * entries.transpose() / samples as f64;
        moments.add(gradient);
    });
    read.expect("gradients");
    let exact = matrix(&curvature, &like);
    let error = (&covariance - &exact).norm() / exact.norm();
    assert!(error < 0.1, "{error}");
    let damping = 0.01 * exact.norm();
    let right = directions(&like).remove(0);
    let expected = block_solution(&exact, &right, &blocks(&like), damping);
    let found = directions(&moments.basis().solve(damping, &like)).remove(0);
    let error = apart(&found, &expected);
    assert!(error < 0.1, "{error}");
}

#[test]
fn preconditioned_iterations_end_at_once_with_the_inverse_and_are_the_plain_ones_without() {
    let model = LinearModel::new(D);
    let denoiser = model.denoiser(D);
    let points: Tensor<2> = draw(1, [5, D]);
    let curvature = GaussNewton {
        model: &denoiser,
        draws: LossDraws::random(&points, 60, NOISE, 5),
        batch: 60,
    };
    let right = random_directions(&model, 2);
    let solutions = |precondition: &dyn Fn(&ParameterTangents) -> ParameterTangents,
                     iterations: usize| {
        let mut solutions = ParameterTangents::new();
        iterate(&curvature, DAMPING, &right, precondition, &mut |now| {
            solutions = now.solutions.clone();
            now.iterations < iterations
        })
        .expect("iterations");
        directions(&solutions)
    };
    let exact = |right: &ParameterTangents| {
        let columns = (0..right.k()).map(|k| solved(&curvature, DAMPING, &right.slice(k..k + 1)));
        ParameterTangents::concat(&columns.collect::<Vec<_>>())
    };
    let expected = directions(&exact(&right));
    for (found, expected) in solutions(&exact, 1).iter().zip(&expected) {
        let error = apart(found, expected);
        assert!(error < 1e-10, "{error:e}");
    }
    let rule = StoppingRule {
        tolerance: 0.0,
        iterations: 3,
        effect: None,
    };
    let plain = conjugate_gradients(&curvature, DAMPING, &right, rule, &mut |_| ());
    let plain = directions(&plain.expect("a solution").solutions);
    for (found, plain) in solutions(&ParameterTangents::clone, 3).iter().zip(&plain) {
        let error = apart(found, plain);
        assert!(error < 1e-12, "{error:e}");
    }
}

fn random_matrix(n: usize, seed: u64) -> DMatrix<f64> {
    let entries = super::models::values(draw::<2>(seed, [n, n]));
    DMatrix::from_vec(n, n, entries)
}
