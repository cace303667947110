//! Do Kronecker factors shorten the solution of `(G + λ)·x = b`?
//!
//! The derivative of the shipped model's weights for two groups, by conjugate gradients with and without the preconditioner of the
//! library. Every iteration is a line of CSV for each group: the work so far in evaluations of the network's Jacobian or its
//! transpose with one draw and one direction, and the processor seconds, both with the building of the preconditioner; the
//! estimated error by which the solver of the library stops; the square `⟨b, x⟩` of the solution in the norm of `G + λ`; and, after
//! some iterations, the error of δ of eight samples relative to that of the last preconditioned solution.
//!
//! The iterates minimise the error in the norm of `G + λ`, so that it is `√(1 − ⟨b, x⟩/⟨b, x*⟩)` relative to the solution x*. The
//! largest `⟨b, x⟩` of a group bounds `⟨b, x*⟩` from below. The numbers of iterations, the groups and the draws were chosen before
//! any of the numbers was seen.
//!
//! The argument is the number of draws of G, by default that of the library.
//!
//! ```sh
//! RAYON_NUM_THREADS=1 cargo run -p datasway-sensitivity --example structured_inverse > structured-inverse.csv
//! ```

use std::cell::RefCell;
use std::error::Error;

use burn::tensor::{Device, Tensor};
use burn_jvp::ParameterTangents;
use datasway_diffusion::DiffusionError;
use datasway_diffusion::sampler::{FrozenNoise, Sampler};
use datasway_diffusion::schedule::edm;
use datasway_fs::process::cpu_seconds;
use datasway_sensitivity::learner::{
    DampedCurvature, DataPoints, Effect, GaussNewton, KroneckerFactors, Learner, LearnerConfig,
    LossDraws, Preconditioner, StoppingRule, conjugate_gradients, largest_eigenvalue,
    sample_with_weight_tangents,
};
use datasway_sensitivity::{Direction, TrainedModel};

const GROUPS: [&str; 2] = ["attr:Eyeglasses", "attr:Blond_Hair"];
/// Draws of each gradient of the loss, fewer than the default: b only has to be typical.
const GRADIENT_DRAWS: usize = 2_048;
/// λ relative to the largest eigenvalue of G.
const DAMPING: f64 = 1e-3;
/// Iterations with the preconditioner, and without.
const ITERATIONS: [usize; 2] = [16, 24];
/// Iterations between two of which δ is computed.
const DELTA_EVERY: usize = 4;
const SAMPLES: usize = 8;
/// Seed of the samples.
const SAMPLE_SEED: u64 = 2;

/// The state after an iteration.
struct Record {
    seconds: f64,
    /// `⟨b_k, x_k⟩`.
    squares: Vec<f64>,
    /// δ of the samples for every group, `[K, n, d]`.
    deltas: Option<Tensor<3>>,
}

/// Reads the iterates of the solver, and lets it go on.
struct Recorder<'a> {
    learner: &'a Learner<'a>,
    right: &'a ParameterTangents,
    /// Processor seconds of the process that do not count.
    idle: RefCell<f64>,
    records: RefCell<Vec<Record>>,
}

impl Effect for Recorder<'_> {
    fn relative(
        &self,
        _changes: &ParameterTangents,
        solutions: &ParameterTangents,
    ) -> Result<Vec<f64>, DiffusionError> {
        let now = seconds();
        let mut records = self.records.borrow_mut();
        let iterations = records.len() + 1;
        let deltas = (iterations % DELTA_EVERY == 0).then(|| deltas(self.learner, solutions));
        let record = Record {
            seconds: now - *self.idle.borrow(),
            squares: self.right.dot(solutions),
            deltas: deltas.transpose()?,
        };
        eprintln!(
            "{iterations} iterations: {:.1} s, {:?}",
            record.seconds, record.squares
        );
        records.push(record);
        *self.idle.borrow_mut() += seconds() - now;
        Ok(vec![2.0; GROUPS.len()])
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let model = TrainedModel::load("checkpoints/faces16.safetensors")?;
    let training_set = model.image_points();
    let default = LearnerConfig::default();
    let curvature_draws = match std::env::args().nth(1) {
        Some(draws) => draws.parse()?,
        None => default.curvature_draws,
    };
    let config = LearnerConfig {
        curvature_draws,
        gradient_draws: GRADIENT_DRAWS,
        ..default
    };
    let learner = model.learner(&training_set, config)?;
    let selected = GROUPS.map(|group| model.select(group).map(Direction::add));
    let directions = selected.into_iter().collect::<Result<Vec<_>, _>>()?;
    let groups = directions.iter().map(Direction::data_points);
    let groups: Vec<&dyn DataPoints> = groups.collect::<Result<_, _>>()?;
    let difference = learner.gradient_difference(&groups, &mut |_| ())?;
    let right = difference.scale(&[-1.0; GROUPS.len()]);
    let draws = LossDraws::random(
        &training_set,
        config.curvature_draws,
        learner.noise,
        config.seed,
    );
    let curvature = GaussNewton {
        model: learner.model,
        draws: draws.clone(),
        batch: config.batch,
    };
    let damping = DAMPING * largest_eigenvalue(&curvature, &right.slice(0..1), 8, &mut |_| ())?;

    let start = seconds();
    let mut building = 0;
    let factors = KroneckerFactors::new(learner.model, &draws, &mut |draws| building += draws)?;
    let gradients = seconds();
    let inverse = factors.damped_inverse(damping)?;
    eprintln!(
        "{building} draws of random gradients: {:.1} s; eigenvectors: {:.1} s",
        gradients - start,
        seconds() - gradients
    );

    println!("preconditioner,iterations,group,work,seconds,estimate,square,error_of_delta");
    let mut reference = None;
    for (name, preconditioner, iterations) in [
        (
            "kronecker",
            Some(&inverse as &dyn Preconditioner),
            ITERATIONS[0],
        ),
        ("none", None, ITERATIONS[1]),
    ] {
        let matrix = DampedCurvature {
            curvature: &curvature,
            damping,
            preconditioner,
        };
        let recorder = Recorder {
            learner: &learner,
            right: &right,
            idle: RefCell::new(preconditioner.map_or_else(seconds, |_| start)),
            records: RefCell::new(Vec::new()),
        };
        // The first iterations have an estimated error of 1, and the recorder never lets the solver stop.
        let rule = StoppingRule {
            tolerance: 1.0,
            iterations,
            effect: Some(&recorder),
        };
        let solution = conjugate_gradients(matrix, &right, rule, &mut |_| ())?;
        let records = recorder.records.into_inner();
        let last = records
            .iter()
            .rev()
            .find_map(|record| record.deltas.clone());
        let reference = reference.get_or_insert(last.ok_or("too few iterations")?);
        for (i, record) in records.iter().enumerate() {
            let building = preconditioner.map_or(0, |_| building);
            // A JVP and a VJP of every draw for every group.
            let work = building + (i + 1) * 2 * config.curvature_draws * GROUPS.len();
            for (k, group) in GROUPS.iter().enumerate() {
                let error = record.deltas.as_ref().map_or(String::new(), |deltas| {
                    format!("{:.4}", relative_error(deltas, reference, k))
                });
                println!(
                    "{name},{},{group},{work},{:.1},{:.5},{:.8e},{error}",
                    i + 1,
                    record.seconds,
                    solution.errors[k][i],
                    record.squares[k],
                );
            }
        }
    }
    Ok(())
}

/// δ of the samples for every group, `[K, n, d]`.
fn deltas(learner: &Learner, solutions: &ParameterTangents) -> Result<Tensor<3>, DiffusionError> {
    let model = learner.model;
    let noise = FrozenNoise::new(SAMPLE_SEED);
    let shape = [SAMPLES, model.dim()];
    let start = noise.start(shape, &Device::flex(), burn::tensor::DType::F32);
    let sigmas = edm(18);
    let (_, deltas) =
        sample_with_weight_tangents(model, solutions, &Sampler::Heun, &sigmas, start, &noise)?;
    Ok(deltas)
}

/// `‖a − b‖/‖b‖` of all samples of a group.
fn relative_error(a: &Tensor<3>, b: &Tensor<3>, group: usize) -> f64 {
    let of_group = |deltas: &Tensor<3>| deltas.clone().slice_dim(0, group..group + 1);
    let length = |deltas: Tensor<3>| deltas.powi_scalar(2).sum().into_scalar::<f64>().sqrt();
    length(of_group(a) - of_group(b)) / length(of_group(b))
}

/// Processor seconds of the process.
fn seconds() -> f64 {
    cpu_seconds().unwrap_or(f64::NAN)
}
