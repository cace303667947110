//! Training jobs.

use std::path::{Path, PathBuf};
use std::time::Instant;

use burn::tensor::Device;
use datasway_training::batches::Batches;
use datasway_training::training_loop::{RunOptions, TrainingRun, run};

use super::executor::Executor;
use super::job::{JobId, TrainingData};
use super::progress::Progress;
use super::removal::{random, responsible};
use super::trainer::JobTrainer;
use super::workspace::Workspace;
use crate::RetrainError;
use crate::spec::TrainingConfig;

impl Executor<'_> {
    /// Trains the model of a job, from its checkpoint if it has one, and returns true if it came to its last step.
    /// A run that is stopped leaves a checkpoint.
    pub(super) fn train(
        &self,
        job: JobId,
        (config, steps): (&TrainingConfig, u64),
        start: Option<JobId>,
        data: TrainingData,
    ) -> Result<bool, RetrainError> {
        let workspace = self.workspace;
        let checkpoint = workspace.store.checkpoint(job);
        let trainer = JobTrainer::new(&workspace, config, start, &checkpoint)?;
        let mut training = ModelTraining {
            first_step: trainer.step(),
            started: Instant::now(),
            trainer,
            batches: batches(&workspace, data)?,
            config,
            device: &workspace.experiment.device,
            checkpoint: &checkpoint,
            progress: self.progress,
        };
        let options = RunOptions {
            steps,
            checkpoint_every: self.checkpoint_every,
            stop: self.stop,
        };
        let finished = run(&mut training, options, |_, _| ())?;
        if finished {
            training.trainer.save_model(&workspace.result(job))?;
            remove_file(&checkpoint)?;
        } else {
            training.trainer.save(&checkpoint)?;
        }
        Ok(finished)
    }
}

/// The batches of the training data of a job.
fn batches<'a>(workspace: &Workspace<'a>, data: TrainingData) -> Result<Batches<'a>, RetrainError> {
    let experiment = workspace.experiment;
    match data {
        TrainingData::All => Ok(Batches::new(&experiment.images)),
        TrainingData::Perturbed(direction) => experiment.perturbed_batches(direction),
        TrainingData::Subset(subset) => {
            let subset = &experiment.benchmark()?.subsets[subset];
            experiment.batches_without(&experiment.complement(subset))
        }
        TrainingData::WithoutGroup(group) => {
            experiment.batches_without(&experiment.benchmark()?.groups[group])
        }
        TrainingData::WithoutResponsible {
            sample,
            removal,
            scores,
        } => {
            let removal = &experiment.benchmark()?.removals[removal];
            let scores = workspace.result(scores);
            let images = responsible(&scores, removal, sample, removed_count(workspace)?)?;
            experiment.batches_without(&images)
        }
        TrainingData::WithoutRandom { sample } => {
            let seed = experiment.benchmark()?.spec.seed;
            let n = experiment.images.len();
            experiment.batches_without(&random(seed, sample, removed_count(workspace)?, n))
        }
    }
}

/// Number of images that each counterfactual model is trained without.
fn removed_count(workspace: &Workspace<'_>) -> Result<usize, RetrainError> {
    let benchmark = workspace.experiment.benchmark()?;
    let counterfactual = benchmark.spec.counterfactual.as_ref();
    let counterfactual = counterfactual
        .ok_or_else(|| RetrainError::experiment("the benchmark has no counterfactuals"))?;
    Ok(counterfactual.remove)
}

/// The training run of a job.
struct ModelTraining<'a> {
    trainer: JobTrainer,
    batches: Batches<'a>,
    config: &'a TrainingConfig,
    device: &'a Device,
    checkpoint: &'a PathBuf,
    progress: &'a dyn Fn(Progress<'_>),
    started: Instant,
    /// Step at which this run started.
    first_step: u64,
}

impl TrainingRun for ModelTraining<'_> {
    type Error = RetrainError;

    fn step(&self) -> u64 {
        self.trainer.step()
    }

    fn advance(&mut self) -> Result<f32, RetrainError> {
        let step = self.trainer.step();
        let batch = self.batches.at(self.config.draws(), step, self.device);
        self.trainer.advance(batch)
    }

    fn save(&mut self) -> Result<(), RetrainError> {
        self.trainer.save(self.checkpoint)?;
        let (step, steps) = (self.trainer.step(), self.config.steps());
        let seconds_per_step =
            self.started.elapsed().as_secs_f64() / (step - self.first_step) as f64;
        (self.progress)(Progress::Checkpoint {
            step,
            steps,
            minutes_left: seconds_per_step * (steps - step) as f64 / 60.0,
        });
        Ok(())
    }
}

fn remove_file(path: &Path) -> Result<(), RetrainError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(RetrainError::file(path, "cannot be removed")(error))
        }
        _ => Ok(()),
    }
}
