//! Does a structured inverse of the curvature shorten the solution of `(G + λ)·x = b`?
//!
//! The sensitivities of the shipped model to a group through its weights, by conjugate gradients with preconditioners that
//! are made from random gradients, and by the preconditioner alone (0 iterations). Prints a line of CSV for each damping,
//! method, number of iterations and group: the work so far, the error of x relative to a converged solution in the norm of
//! `G + λ`, the estimate of this error four iterations before, by which the solver of the library stops, and the error of δ
//! relative to that of the converged solution. The work is the number of products of the network's Jacobian or its transpose with
//! single draws, with the building of the preconditioner. All constants were chosen before any of the numbers was seen.
//!
//! ```sh
//! cargo run -p datasway-sensitivity --example structured_inverse > structured-inverse.csv
//! ```

mod kronecker;
mod preconditioned;
mod sampled_gradients;

use std::collections::BTreeMap;
use std::error::Error;

use burn::module::ParamId;
use burn::tensor::{Device, Tensor};
use burn_jvp::ParameterTangents;
use datasway_diffusion::DiffusionError;
use datasway_diffusion::random::{RandomStream, generator, normal};
use datasway_diffusion::sampler::{FrozenNoise, Sampler};
use datasway_diffusion::schedule::edm;
use datasway_sensitivity::TrainedModel;
use datasway_sensitivity::learner::{
    DELAY, DataPoints, GaussNewton, Learner, LearnerConfig, LossDraws, largest_eigenvalue,
    loss_gradient, sample_with_weight_tangents,
};

use kronecker::{KroneckerBasis, KroneckerMoments};
use preconditioned::{Iterate, damped_product, iterate};
use sampled_gradients::SampledGradients;

const GROUPS: [&str; 1] = ["attr:Eyeglasses"];
/// Draws of G.
const CURVATURE_DRAWS: usize = 128;
/// Draws of each gradient of the loss.
const GRADIENT_DRAWS: usize = 2_048;
/// λ relative to the largest eigenvalue of G.
const DAMPINGS: [f64; 1] = [1e-3];
/// Random gradients of a preconditioner.
const GRADIENTS: usize = 256;
/// Draws of one random gradient.
const DRAWS_OF_SAMPLE: usize = 8;
/// Batches of the mean square gradient of Adam.
const ADAM_BATCHES: usize = 32;
/// Draws of a batch of Adam.
const ADAM_BATCH: usize = 64;
/// Iterations of every method.
const ITERATIONS: usize = 24;
/// Iterations after which δ is computed.
const DELTA_AFTER: [usize; 4] = [0, 8, 16, 24];
const SAMPLES: usize = 8;
/// Largest number of iterations of the converged solution.
const CONVERGED_AFTER: usize = 64;
/// Progress of the last eight iterations in the norm of `G + λ`, relative to the solution, below which it is converged.
const CONVERGED: f64 = 1e-3;
/// Seed of G and of the gradients.
const SEED: u64 = 0;
/// Seed of the preconditioners.
const PRECONDITIONER_SEED: u64 = 1;
/// Seed of the samples.
const SAMPLE_SEED: u64 = 2;

/// An approximate inverse of `G + λ` as a function of λ.
struct Method {
    name: &'static str,
    /// Products of the network's Jacobian with single draws that its building takes.
    work: usize,
    /// True if it approximates the inverse itself, and not up to a factor.
    is_inverse: bool,
    inverse: Box<Inverse>,
}

/// `(G + λ)⁻¹·b_k` of λ and the right-hand sides, approximately.
type Inverse = dyn Fn(f64, &ParameterTangents) -> ParameterTangents;

/// `(G + λ)·x_k = b_k` for one λ.
struct Problem<'a> {
    learner: &'a Learner<'a>,
    curvature: &'a GaussNewton<'a>,
    right: &'a ParameterTangents,
    fraction: f64,
    damping: f64,
}

/// A converged solution with its δ.
struct Converged {
    solutions: ParameterTangents,
    deltas: Vec<Tensor<2>>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let model = TrainedModel::load("checkpoints/faces16.safetensors")?;
    let training_set = model.image_points();
    let config = LearnerConfig {
        gradient_draws: GRADIENT_DRAWS,
        seed: SEED,
        ..LearnerConfig::default()
    };
    let learner = model.learner(&training_set, config)?;
    let groups: Vec<_> = GROUPS
        .iter()
        .map(|group| model.select(group))
        .collect::<Result<_, _>>()?;
    let groups: Vec<_> = groups
        .into_iter()
        .map(datasway_sensitivity::Direction::add)
        .collect();
    let groups: Vec<&dyn DataPoints> = groups
        .iter()
        .map(|group| group.data_points())
        .collect::<Result<_, _>>()?;
    let difference = learner.gradient_difference(&groups, &mut |_| ())?;
    let right = difference.scale(&[-1.0; GROUPS.len()]);
    let curvature = GaussNewton {
        model: learner.model,
        draws: LossDraws::random(&training_set, CURVATURE_DRAWS, learner.noise, SEED),
        batch: config.batch,
    };
    let largest = largest_eigenvalue(&curvature, &right.slice(0..1), 8, &mut |_| ())?;
    eprintln!("largest eigenvalue {largest}");
    let methods = methods(&learner)?;

    println!("damping,method,iterations,group,work,error,estimate,error_of_delta");
    for fraction in DAMPINGS {
        let problem = Problem {
            learner: &learner,
            curvature: &curvature,
            right: &right,
            fraction,
            damping: fraction * largest,
        };
        let converged = problem.converged(&methods)?;
        for method in &methods {
            if method.is_inverse {
                problem.replace(method, &converged)?;
            }
            problem.precondition(method, &converged)?;
        }
    }
    Ok(())
}

/// All methods.
fn methods(learner: &Learner) -> Result<Vec<Method>, DiffusionError> {
    let plain = Method {
        name: "plain",
        work: 0,
        is_inverse: false,
        inverse: Box::new(|_, residual| residual.clone()),
    };
    let gradients = SampledGradients {
        model: learner.model,
        draws: LossDraws::random(
            learner.training_set,
            2 * GRADIENTS * DRAWS_OF_SAMPLE,
            learner.noise,
            PRECONDITIONER_SEED,
        ),
        batch: DRAWS_OF_SAMPLE,
        seed: PRECONDITIONER_SEED,
    };
    let mut moments = KroneckerMoments::default();
    let mut squares = ParameterTangents::new();
    gradients.read(0..GRADIENTS, &mut |gradient| {
        moments.add(gradient);
        squares = squares.add(&gradient.multiply(gradient));
    })?;
    let basis = moments.basis();
    eprintln!("the eigenbases are there");
    let mut projected = BTreeMap::<ParamId, Tensor<2>>::new();
    let mut read = |gradient: &ParameterTangents| {
        for (id, squares) in basis.squares(gradient) {
            let sum = match projected.remove(&id) {
                Some(sum) => sum + squares,
                None => squares,
            };
            projected.insert(id, sum);
        }
    };
    gradients.read(GRADIENTS..2 * GRADIENTS, &mut read)?;
    let eigenvalues = projected
        .into_iter()
        .map(|(id, sum)| (id, sum / GRADIENTS as f64));
    let corrected = basis.with_eigenvalues(&eigenvalues.collect());
    let diagonal = squares.scale(&[1.0 / GRADIENTS as f64]);
    Ok(vec![
        plain,
        kronecker("kronecker", GRADIENTS, basis),
        kronecker("ekfac", 2 * GRADIENTS, corrected),
        adam(learner)?,
        jacobi(diagonal),
    ])
}

/// The metric of Adam: one over the root of the mean square of the gradients of batches.
fn adam(learner: &Learner) -> Result<Method, DiffusionError> {
    let mut squares = ParameterTangents::new();
    for batch in 0..ADAM_BATCHES as u64 {
        let seed = PRECONDITIONER_SEED + 1 + batch;
        let draws = LossDraws::random(learner.training_set, ADAM_BATCH, learner.noise, seed);
        let gradient = loss_gradient(learner.model, &draws, ADAM_BATCH, &mut |_| ())?;
        squares = squares.add(&gradient.multiply(&gradient));
    }
    let metric = squares.map_entries(|sum| ((sum / ADAM_BATCHES as f64).sqrt() + 1e-8).recip());
    Ok(Method {
        name: "adam",
        work: ADAM_BATCHES * ADAM_BATCH,
        is_inverse: false,
        inverse: Box::new(move |_, residual| residual.multiply(&metric)),
    })
}

/// The damped inverse of the diagonal of G.
fn jacobi(diagonal: ParameterTangents) -> Method {
    Method {
        name: "jacobi",
        work: GRADIENTS * DRAWS_OF_SAMPLE,
        is_inverse: true,
        inverse: Box::new(move |damping, residual| {
            residual.multiply(&diagonal.map_entries(|entries| (entries + damping).recip()))
        }),
    }
}

/// The damped inverse of a Kronecker-factored G from so many random gradients.
fn kronecker(name: &'static str, gradients: usize, basis: KroneckerBasis) -> Method {
    Method {
        name,
        work: gradients * DRAWS_OF_SAMPLE,
        is_inverse: true,
        inverse: Box::new(move |damping, residual| basis.solve(damping, residual)),
    }
}

impl Problem<'_> {
    /// The solution to which the others are compared, by the preconditioner `ekfac`.
    fn converged(&self, methods: &[Method]) -> Result<Converged, DiffusionError> {
        let method = methods.iter().find(|method| method.name == "ekfac");
        let method = method.expect("the method is there");
        let inverse = |r: &ParameterTangents| (method.inverse)(self.damping, r);
        let mut gains: Vec<Vec<f64>> = Vec::new();
        let mut solutions = ParameterTangents::new();
        iterate(
            self.curvature,
            self.damping,
            self.right,
            &inverse,
            &mut |now| {
                gains.push(now.gains.clone());
                solutions = now.solutions.clone();
                let progress = progress(&gains, 8);
                eprintln!("{} iterations: {progress:.1e}", now.iterations);
                now.iterations < CONVERGED_AFTER && (now.iterations < 8 || progress > CONVERGED)
            },
        )?;
        let residuals = self.residuals(&solutions)?;
        let lengths = residuals.dot(&inverse(&residuals));
        let errors = lengths.iter().zip(self.right.dot(&solutions));
        let errors = errors.map(|(error, size)| (error / size).sqrt());
        let largest = errors.fold(0.0, f64::max);
        eprintln!(
            "damping {:e}: converged to about {largest:.1e}",
            self.fraction
        );
        let deltas = self.deltas(&solutions)?;
        Ok(Converged { solutions, deltas })
    }

    /// The lines of an approximate inverse in the place of the inverse.
    fn replace(&self, method: &Method, converged: &Converged) -> Result<(), DiffusionError> {
        let solutions = (method.inverse)(self.damping, self.right);
        let residuals = self.residuals(&solutions)?;
        let iterate = Iterate {
            iterations: 0,
            solutions,
            residuals,
            gains: vec![0.0; GROUPS.len()],
        };
        self.print(method, &iterate, 1.0, converged)
    }

    /// `b − (G + λ)·x`, computed anew.
    fn residuals(
        &self,
        solutions: &ParameterTangents,
    ) -> Result<ParameterTangents, DiffusionError> {
        let product = damped_product(self.curvature, self.damping, solutions)?;
        Ok(self.right.add(&product.scale(&[-1.0; GROUPS.len()])))
    }

    /// The lines of conjugate gradients with a preconditioner.
    fn precondition(&self, method: &Method, converged: &Converged) -> Result<(), DiffusionError> {
        let inverse = |r: &ParameterTangents| (method.inverse)(self.damping, r);
        let mut printed = Ok(());
        let mut gains: Vec<Vec<f64>> = Vec::new();
        iterate(
            self.curvature,
            self.damping,
            self.right,
            &inverse,
            &mut |now| {
                if now.iterations > 0 && printed.is_ok() {
                    gains.push(now.gains.clone());
                    printed = self.print(method, now, progress(&gains, DELAY), converged);
                }
                now.iterations < ITERATIONS
            },
        )?;
        printed
    }

    /// Prints the lines of an iterate.
    fn print(
        &self,
        method: &Method,
        now: &Iterate,
        estimate: f64,
        converged: &Converged,
    ) -> Result<(), DiffusionError> {
        let missing = converged
            .solutions
            .add(&now.solutions.scale(&[-1.0; GROUPS.len()]));
        // ‖x* − x‖² = ⟨r, x* − x⟩ and ‖x*‖² = ⟨b, x*⟩ in the norm of G + λ.
        let errors = now.residuals.dot(&missing);
        let sizes = self.right.dot(&converged.solutions);
        let deltas = if DELTA_AFTER.contains(&now.iterations) {
            Some(self.deltas(&now.solutions)?)
        } else {
            None
        };
        // A JVP and a VJP of every draw for every group.
        let work = method.work + now.iterations * 2 * CURVATURE_DRAWS * GROUPS.len();
        for (k, group) in GROUPS.iter().enumerate() {
            let error = (errors[k].max(0.0) / sizes[k]).sqrt();
            let error_of_delta = deltas.as_ref().map_or(String::new(), |deltas| {
                let exact = &converged.deltas[k];
                let error = length(deltas[k].clone() - exact.clone()) / length(exact.clone());
                format!("{error:.4}")
            });
            println!(
                "{:e},{},{},{group},{work},{error:.5},{estimate:.5},{error_of_delta}",
                self.fraction, method.name, now.iterations
            );
        }
        Ok(())
    }

    /// δ of the samples for every group, `[n, d]`.
    fn deltas(&self, solutions: &ParameterTangents) -> Result<Vec<Tensor<2>>, DiffusionError> {
        let model = self.learner.model;
        let mut rng = generator(SAMPLE_SEED, RandomStream::Sample, []);
        let start = normal(&mut rng, [SAMPLES, model.dim()], &Device::flex());
        let noise = FrozenNoise::new(SAMPLE_SEED);
        let sigmas = edm(18);
        let (_, delta) =
            sample_with_weight_tangents(model, solutions, &Sampler::Heun, &sigmas, start, &noise)?;
        let groups = 0..GROUPS.len();
        Ok(groups
            .map(|k| delta.clone().slice_dim(0, k..k + 1).squeeze_dim(0))
            .collect())
    }
}

/// The progress of the last iterations in the norm of `G + λ`, relative to the solution: the largest of the groups.
fn progress(gains: &[Vec<f64>], iterations: usize) -> f64 {
    let groups = (0..GROUPS.len()).map(|k| {
        let sum = |gains: &[Vec<f64>]| gains.iter().map(|gains| gains[k]).sum::<f64>();
        (sum(&gains[gains.len().saturating_sub(iterations)..]) / sum(gains)).sqrt()
    });
    groups.fold(0.0, f64::max)
}

/// The length of all entries.
fn length(rows: Tensor<2>) -> f64 {
    rows.powi_scalar(2).sum().into_scalar::<f64>().sqrt()
}
