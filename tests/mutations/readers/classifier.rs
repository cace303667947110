//! Classifiers' files, and the network that is built from one.

use std::path::Path;

use burn::tensor::{Device, Tensor};
use datasway_classifier::{ClassifierCheckpoint, ClassifierConfig, ClassifierTrainer};
use rand_chacha::ChaCha8Rng;

use super::checkpoint::images;
use super::{SIZE, largest, said};
use crate::damage::{one, tensors};
use crate::trial::{Answer, Reader};

/// Where the metadata hold the header.
const ENTRY: &str = "datasway-classifier";
/// What the header held when no file had a checksum.
const KEYS: [&str; 9] = [
    "format",
    "version",
    "shape",
    "labels",
    "training",
    "data",
    "fingerprint",
    "step",
    "parameter_ids",
];
/// The file that is read.
const FILE: &str = "classifier.safetensors";
/// Of as many networks that are built one is used.
const SAMPLED: usize = 200;
/// Weights up to here give finite numbers.
const ORDINARY: f32 = 1e3;

/// Reads classifiers as a question of log-odds does.
pub struct Classifiers {
    valid: Vec<Vec<u8>>,
    /// The valid files, as they are read.
    written: Vec<ClassifierCheckpoint>,
    device: Device,
    built: usize,
}

impl Classifiers {
    /// A finished one and an unfinished one, with and without a checksum.
    pub fn new(_: &Path) -> Self {
        let (images, device) = (images(), Device::flex());
        let (mut valid, mut written) = (Vec::new(), Vec::new());
        for steps in [1, 2] {
            let config = ClassifierConfig {
                steps,
                channels: 8,
                batch: 2,
                ..ClassifierConfig::default()
            };
            let mut trainer =
                ClassifierTrainer::new(config, &images, &device).expect("faces have labels");
            trainer.advance().expect("a step");
            let saved = trainer.save().expect("a classifier");
            saved.write(Path::new(FILE)).expect("the folder is ours");
            let file = std::fs::read(FILE).expect("it was written");
            written.push(ClassifierCheckpoint::read(Path::new(FILE)).expect("it was written"));
            valid.push(tensors::with_only(&file, ENTRY, &KEYS));
            valid.push(file);
        }
        Self {
            valid,
            written,
            device,
            built: 0,
        }
    }

    fn try_to_read(&mut self, input: &[u8]) -> Result<Result<(), String>, String> {
        std::fs::write(FILE, input).expect("the folder is ours");
        let saved = ClassifierCheckpoint::read(Path::new(FILE)).map_err(said)?;
        let network = saved.network(&self.device).map_err(said)?;
        if let Some(name) = tensors::not_floats(input) {
            return Ok(Err(format!("no floats are taken for such: {name}")));
        }
        let same =
            |w: &ClassifierCheckpoint| (&w.header, &w.weights) == (&saved.header, &saved.weights);
        if tensors::is_sealed(input) && !self.written.iter().any(same) {
            return Ok(Err("damage is not found by the checksum".into()));
        }
        let largest = match largest(saved.weights.iter()) {
            Ok(largest) => largest,
            Err(why) => return Ok(Err(why)),
        };
        let (shape, labels) = (saved.header.shape, saved.header.labels.len());
        if labels == 0 || saved.header.labels.names().len() != labels {
            return Ok(Err(format!("it tells nothing apart: {labels} labels")));
        }
        self.built += 1;
        // An image of another size passes through the convolutions all the same.
        if self.built % SAMPLED == 1 && largest < ORDINARY && shape.dim() <= 3 * SIZE * SIZE {
            let [c, h, w] = [shape.channels, shape.height, shape.width];
            let outputs = network.forward(Tensor::<4>::ones([1, c, h, w], &self.device));
            let odds = saved.header.labels.log_odds(outputs).into_data();
            if odds.iter::<f32>().any(|v| !v.is_finite()) {
                return Ok(Err("log-odds are not finite".into()));
            }
        }
        Ok(Ok(()))
    }
}

impl Reader for Classifiers {
    fn valid(&self) -> &[Vec<u8>] {
        &self.valid
    }

    fn damage(&self, rng: &mut ChaCha8Rng) -> Vec<u8> {
        let (file, other) = (one(rng, &self.valid), one(rng, &self.valid));
        tensors::damage(rng, file, other, ENTRY)
    }

    fn read(&mut self, input: &[u8]) -> Answer {
        match self.try_to_read(input) {
            Ok(Ok(())) => Answer::Read,
            Ok(Err(why)) => Answer::Nonsense(why),
            Err(message) => Answer::Refused(message),
        }
    }
}
