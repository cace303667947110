//! Do Kronecker factors shorten the solution of `(G + λ)·x = b`?
//!
//! The derivative of the shipped model's weights for a group, by conjugate gradients with and without the preconditioner of the
//! library. Every iteration is a line of CSV: the work so far in evaluations of the network's Jacobian or its transpose with one
//! draw, and the processor seconds, both with the building of the preconditioner; the estimated error by which the solver of the
//! library stops; the square `⟨b, x⟩` of the solution in the norm of `G + λ`; and, after some iterations, the error of δ of eight
//! samples relative to that of the last preconditioned solution.
//!
//! The iterates minimise the error in the norm of `G + λ`, so that it is `√(1 − ⟨b, x⟩/⟨b, x*⟩)` relative to the solution x*. The
//! largest `⟨b, x⟩` bounds `⟨b, x*⟩` from below.
//!
//! The arguments are the group and the number of draws of G.
//!
//! ```sh
//! RAYON_NUM_THREADS=1 cargo run -p datasway-sensitivity --example structured_inverse -- attr:Eyeglasses 1536 > structured-inverse.csv
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
    DampedCurvature, Effect, GaussNewton, KroneckerFactors, Learner, LearnerConfig, LossDraws,
    Preconditioner, StoppingRule, conjugate_gradients, largest_eigenvalue,
    sample_with_weight_tangents,
};
use datasway_sensitivity::{Direction, TrainedModel};

/// Draws of each gradient of the loss, fewer than the default: b only has to be typical.
const GRADIENT_DRAWS: usize = 512;
/// λ relative to the largest eigenvalue of G.
const DAMPING: f64 = 1e-3;
/// Iterations with the preconditioner, and without.
const ITERATIONS: [usize; 2] = [16, 28];
/// Iterations between two of which δ is computed.
const DELTA_EVERY: usize = 4;
/// Draws whose largest eigenvalue is taken.
const LANCZOS_DRAWS: usize = 128;
const SAMPLES: usize = 8;
/// Seed of the samples.
const SAMPLE_SEED: u64 = 2;

/// The state after an iteration.
struct Record {
    seconds: f64,
    /// `⟨b, x⟩`.
    square: f64,
    /// δ of the samples, `[1, n, d]`.
    delta: Option<Tensor<3>>,
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
        let delta = iterations
            .is_multiple_of(DELTA_EVERY)
            .then(|| delta(self.learner, solutions));
        let record = Record {
            seconds: now - *self.idle.borrow(),
            square: self.right.dot(solutions)[0],
            delta: delta.transpose()?,
        };
        eprintln!(
            "{iterations} iterations: {:.1} s, {:.8e}",
            record.seconds, record.square
        );
        records.push(record);
        *self.idle.borrow_mut() += seconds() - now;
        Ok(vec![2.0])
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let model = TrainedModel::load("checkpoints/faces16.safetensors")?;
    let training_set = model.image_points();
    let mut arguments = std::env::args().skip(1);
    let group = arguments
        .next()
        .ok_or("name a group, such as attr:Eyeglasses")?;
    let draws = arguments.next().ok_or("give the number of draws of G")?;
    let config = LearnerConfig {
        curvature_draws: draws.parse()?,
        gradient_draws: GRADIENT_DRAWS,
        ..LearnerConfig::default()
    };
    let learner = model.learner(&training_set, config)?;
    let direction = Direction::add(model.select(&group)?);
    let difference = learner.gradient_difference(&[direction.data_points()?], &mut |_| ())?;
    let right = difference.scale(&[-1.0]);
    let draws = LossDraws::random(
        &training_set,
        config.curvature_draws,
        learner.noise,
        config.seed,
    );
    let curvature_of = |draws| GaussNewton {
        model: learner.model,
        draws,
        batch: config.batch,
    };
    let few = curvature_of(draws.clone().first(LANCZOS_DRAWS));
    let damping = DAMPING * largest_eigenvalue(&few, &right, 8, &mut |_| ())?;
    let curvature = curvature_of(draws.clone());

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

    println!("preconditioner,iterations,work,seconds,estimate,square,error_of_delta");
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
        let mut latest = records.iter().rev();
        let last = latest.find_map(|record| record.delta.clone());
        let reference = reference.get_or_insert(last.ok_or("too few iterations")?);
        for (i, record) in records.iter().enumerate() {
            let building = preconditioner.map_or(0, |_| building);
            // A JVP and a VJP of every draw.
            let work = building + (i + 1) * 2 * config.curvature_draws;
            let error = record.delta.as_ref().map_or(String::new(), |delta| {
                format!("{:.4}", relative_error(delta, reference))
            });
            println!(
                "{name},{},{work},{:.1},{:.5},{:.8e},{error}",
                i + 1,
                record.seconds,
                solution.errors[0][i],
                record.square,
            );
        }
    }
    Ok(())
}

/// δ of the samples, `[1, n, d]`.
fn delta(learner: &Learner, solutions: &ParameterTangents) -> Result<Tensor<3>, DiffusionError> {
    let model = learner.model;
    let noise = FrozenNoise::new(SAMPLE_SEED);
    let shape = [SAMPLES, model.dim()];
    let start = noise.start(shape, &Device::flex(), burn::tensor::DType::F32);
    let sigmas = edm(18);
    let (_, delta) =
        sample_with_weight_tangents(model, solutions, &Sampler::Heun, &sigmas, start, &noise)?;
    Ok(delta)
}

/// `‖a − b‖/‖b‖` of all samples.
fn relative_error(a: &Tensor<3>, b: &Tensor<3>) -> f64 {
    let length = |delta: Tensor<3>| delta.powi_scalar(2).sum().into_scalar::<f64>().sqrt();
    length(a.clone() - b.clone()) / length(b.clone())
}

/// Processor seconds of the process.
fn seconds() -> f64 {
    cpu_seconds().unwrap_or(f64::NAN)
}
