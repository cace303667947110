//! Checkpoints, and the network that is built from one.

use std::path::Path;

use burn::tensor::{Device, Tensor};
use data::Dataset;
use diffusion::checkpoint::Checkpoint;
use diffusion::denoiser::Denoiser;
use diffusion::network::NetworkDenoiser;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use train::config::TrainConfig;
use train::set::TrainingSet;
use train::trainer::Trainer;

use super::{SIZE, largest, load, options, said};
use crate::damage::{one, tensors};
use crate::trial::{Answer, Reader};

/// Where the metadata hold the header.
pub const ENTRY: &str = "sway";
/// What the header held when no file had a checksum.
pub const KEYS: [&str; 12] = [
    "format",
    "version",
    "network",
    "sigma_data",
    "data",
    "limit",
    "skip_bad",
    "fingerprint",
    "step",
    "seed",
    "training",
    "parameter_ids",
];
/// Of as many networks that are built one is used.
const SAMPLED: usize = 200;
/// Weights up to here give finite numbers.
const ORDINARY: f32 = 1e3;

/// The smallest networks, of one level and of two.
pub fn configs() -> [TrainConfig; 2] {
    let mut small = TrainConfig::preset("faces16").expect("a preset");
    small.steps = 4;
    small.network.image_size = SIZE;
    small.network.channels = 8;
    small.network.head_channels = 8;
    small.network.multipliers = vec![1];
    small.network.attention = vec![];
    let mut two = small.clone();
    two.network.multipliers = vec![1, 2];
    two.network.attention = vec![SIZE / 2];
    [small, two]
}

/// The images that [`started`] trains on.
pub fn images() -> Dataset {
    load("faces:12", &options()).expect("faces are drawn")
}

/// A run after a step, written and read: with what is needed to go on.
pub fn started(config: &TrainConfig) -> Vec<u8> {
    let images = images();
    let set = TrainingSet::of(&images, "faces:12", config.flip);
    let device = Device::flex();
    let mut trainer = Trainer::new(config.clone(), set, &device).expect("a valid configuration");
    let mut pixels = Vec::new();
    images.fill(&[0, 1], &mut pixels);
    let batch = Tensor::<1>::from_floats(pixels.as_slice(), &device).reshape([2, 3, SIZE, SIZE]);
    trainer.advance(batch).expect("a step");
    written(&trainer.checkpoint().expect("a checkpoint"))
}

fn written(checkpoint: &Checkpoint) -> Vec<u8> {
    let path = Path::new("valid.safetensors");
    checkpoint.save(path).expect("the folder is ours");
    std::fs::read(path).expect("it was written")
}

/// Reads checkpoints as `sensitivity` does.
pub struct Checkpoints {
    valid: Vec<Vec<u8>>,
    device: Device,
    built: usize,
}

impl Checkpoints {
    /// Valid files: to go on from and to sample from, with and without a checksum.
    pub fn new(_: &Path) -> Self {
        let mut valid = Vec::new();
        for config in configs() {
            let whole = started(&config);
            let checkpoint = Checkpoint::from_bytes(&whole, Path::new("valid")).expect("valid");
            for file in [whole, written(&checkpoint.for_sampling())] {
                valid.push(tensors::with_only(&file, ENTRY, &KEYS));
                valid.push(file);
            }
        }
        Self {
            valid,
            device: Device::flex(),
            built: 0,
        }
    }

    fn try_to_read(&mut self, input: &[u8]) -> Result<Result<(), String>, String> {
        let path = Path::new("damaged.safetensors");
        let checkpoint = Checkpoint::from_bytes(input, path).map_err(said)?;
        let network = NetworkDenoiser::from_checkpoint(&checkpoint, &self.device).map_err(said)?;
        let weights = checkpoint.ema.iter();
        let all = largest(weights.chain(checkpoint.model.iter().flatten()));
        let moments = [&checkpoint.data_mean, &checkpoint.data_variance];
        let largest = match all {
            Ok(largest) => largest,
            Err(why) => return Ok(Err(why)),
        };
        if moments.iter().any(|m| m.iter().any(|v| !v.is_finite())) {
            return Ok(Err("moments of the data are not finite".into()));
        }
        if checkpoint.data_variance.iter().any(|&v| v < 0.0) {
            return Ok(Err("a variance is negative".into()));
        }
        if moments.iter().any(|m| m.len() != network.dim()) {
            return Ok(Err("moments of the data are of another size".into()));
        }
        let sigma = checkpoint.header.sigma_data;
        if !(sigma > 0.0 && sigma < 1e6) {
            return Ok(Err(format!("σ of the data is {sigma}")));
        }
        self.built += 1;
        if self.built % SAMPLED == 1 && largest < ORDINARY {
            let x = Tensor::<2>::ones([1, network.dim()], &self.device);
            if let Ok(denoised) = network.denoise(x, 1.0)
                && denoised.into_data().iter::<f32>().any(|v| !v.is_finite())
            {
                return Ok(Err("denoised points are not finite".into()));
            }
        }
        Ok(Ok(()))
    }
}

impl Reader for Checkpoints {
    fn valid(&self) -> &[Vec<u8>] {
        &self.valid
    }

    fn damage(&self, rng: &mut ChaCha8Rng) -> Vec<u8> {
        let (file, other) = (one(rng, &self.valid), one(rng, &self.valid));
        if rng.random_bool(0.02) {
            return crate::damage::bytes::damage(rng, Vec::new(), b"{}");
        }
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
