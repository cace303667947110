//! Checkpoints that a run goes on from: weights and the optimiser's state.

use std::path::Path;

use burn::tensor::Device;
use datasway_diffusion::checkpoint::Checkpoint;
use datasway_training::config::TrainConfig;
use datasway_training::trainer::ScoreTrainer;
use datasway_training::training_set::TrainingSetInfo;
use rand_chacha::ChaCha8Rng;
use serde_json::json;

use super::checkpoint::{ENTRY, KEYS, configs, images, started};
use super::said;
use crate::damage::{bytes, one, tensors};
use crate::trial::{Answer, Reader};

/// Reads checkpoints as `train --resume` does.
pub struct Runs {
    config: TrainConfig,
    set: TrainingSetInfo,
    valid: Vec<Vec<u8>>,
    device: Device,
}

impl Runs {
    /// A run of one step, with and without a checksum.
    pub fn new(_: &Path) -> Self {
        let [config, _] = configs();
        let file = started(&config);
        Self {
            set: TrainingSetInfo::of(&images(), "faces:12", config.flip),
            valid: vec![tensors::with_only(&file, ENTRY, &KEYS), file],
            device: Device::flex(),
            config,
        }
    }
}

impl Reader for Runs {
    fn valid(&self) -> &[Vec<u8>] {
        &self.valid
    }

    /// Mostly the optimiser's state: the rest is damaged where checkpoints are read.
    fn damage(&self, rng: &mut ChaCha8Rng) -> Vec<u8> {
        let file = one(rng, &self.valid);
        if *one(rng, &[true, false, false]) {
            return tensors::damage(rng, file, file, ENTRY);
        }
        tensors::with_tensor(file, "optimizer", |state| {
            let damaged = bytes::damage(rng, state.clone(), &state);
            (json!("U8"), json!([damaged.len()]), damaged)
        })
    }

    fn read(&mut self, input: &[u8]) -> Answer {
        let path = Path::new("damaged.safetensors");
        let resumed = Checkpoint::from_bytes(input, path).and_then(|checkpoint| {
            let (config, set) = (self.config.clone(), self.set.clone());
            ScoreTrainer::resume(config, set, checkpoint, &self.device)
        });
        match resumed.map_err(said) {
            Ok(trainer) if trainer.step() > self.config.steps => Answer::Nonsense(format!(
                "it goes on behind its last step: {}",
                trainer.step()
            )),
            Ok(_) => Answer::Read,
            Err(message) => Answer::Refused(message),
        }
    }
}
