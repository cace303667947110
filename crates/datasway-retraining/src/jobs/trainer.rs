//! The trainer of a job: of a network of Datasway, or of one that a folder gives.

use std::path::Path;

use burn::tensor::Tensor;
use datasway_diffusion::checkpoint::Checkpoint;
use datasway_pretrained::PretrainedNetwork;
use datasway_training::fine_tune::FineTuner;
use datasway_training::trainer::ScoreTrainer;

use super::job::JobId;
use super::workspace::Workspace;
use crate::RetrainError;
use crate::prepared::PreparedExperiment;
use crate::spec::TrainingConfig;

/// The trainer of a job.
pub(super) enum JobTrainer {
    /// Of a network of Datasway.
    Own(Box<ScoreTrainer>),
    /// Of a network that a folder gives.
    Given(Box<FineTuner<PretrainedNetwork>>),
}

impl JobTrainer {
    /// The trainer of a job: continued from its checkpoint, fine-tuned from another model, or new.
    pub fn new(
        workspace: &Workspace<'_>,
        config: &TrainingConfig,
        start: Option<JobId>,
        checkpoint: &Path,
    ) -> Result<Self, RetrainError> {
        let experiment = workspace.experiment;
        match (config, start) {
            (TrainingConfig::Own(config), _) if checkpoint.exists() => {
                let (config, device) = (config.clone(), &experiment.device);
                let training_set = experiment.training_set.clone();
                let state = Checkpoint::load(checkpoint)?;
                let trainer = ScoreTrainer::resume(config, training_set, state, device)?;
                Ok(Self::Own(Box::new(trainer)))
            }
            (TrainingConfig::Own(config), Some(model)) => {
                let (config, device) = (config.clone(), &experiment.device);
                let training_set = experiment.training_set.clone();
                let model = Checkpoint::load(&workspace.result(model))?;
                let trainer = ScoreTrainer::fine_tune(config, training_set, &model, device)?;
                Ok(Self::Own(Box::new(trainer)))
            }
            (TrainingConfig::Given(config), _) if checkpoint.exists() => {
                let given = experiment.given()?;
                let data = given.data(&experiment.spec, &experiment.images);
                let tuner = given.tuner(config, data, Some(given.state(checkpoint)?))?;
                Ok(Self::Given(Box::new(tuner)))
            }
            // The given model is where its fine-tunings begin.
            (TrainingConfig::Given(_), _) | (_, None) => Self::untrained(experiment, config),
        }
    }

    /// A trainer at step 0, of a new network or of the given one.
    pub fn untrained(
        experiment: &PreparedExperiment,
        config: &TrainingConfig,
    ) -> Result<Self, RetrainError> {
        match config {
            TrainingConfig::Own(config) => {
                let training_set = experiment.training_set.clone();
                let trainer = ScoreTrainer::new(config.clone(), training_set, &experiment.device)?;
                Ok(Self::Own(Box::new(trainer)))
            }
            TrainingConfig::Given(config) => {
                let given = experiment.given()?;
                let data = given.data(&experiment.spec, &experiment.images);
                let tuner = given.tuner(config, data, None)?;
                Ok(Self::Given(Box::new(tuner)))
            }
        }
    }

    /// Steps taken so far.
    pub fn step(&self) -> u64 {
        match self {
            Self::Own(trainer) => trainer.step(),
            Self::Given(tuner) => tuner.step(),
        }
    }

    /// Takes one optimiser step on clean images `[n, c, h, w]` and returns the loss.
    pub fn advance(&mut self, clean: Tensor<4>) -> Result<f32, RetrainError> {
        Ok(match self {
            Self::Own(trainer) => trainer.advance(clean)?,
            Self::Given(tuner) => tuner.advance(clean)?,
        })
    }

    /// Writes everything that is needed to continue.
    pub fn save(&self, path: &Path) -> Result<(), RetrainError> {
        match self {
            Self::Own(trainer) => trainer.checkpoint()?.save(path)?,
            Self::Given(tuner) => tuner.state()?.save(path)?,
        }
        Ok(())
    }

    /// Writes the averaged weights.
    pub fn save_model(&self, path: &Path) -> Result<(), RetrainError> {
        match self {
            Self::Own(trainer) => trainer.checkpoint()?.for_sampling().save(path)?,
            Self::Given(tuner) => tuner.state()?.for_sampling().save(path)?,
        }
        Ok(())
    }
}
