//! Checkpoints, and the network that is built from one.

use std::collections::BTreeSet;
use std::path::Path;

use burn::tensor::{Device, Tensor, TensorData};
use datasway_data::Dataset;
use datasway_diffusion::checkpoint::Checkpoint;
use datasway_diffusion::denoiser::Denoiser;
use datasway_diffusion::network::NetworkDenoiser;
use datasway_training::config::TrainConfig;
use datasway_training::trainer::ScoreTrainer;
use datasway_training::training_set::TrainingSetInfo;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::{SIZE, largest, load, options, said};
use crate::damage::{one, tensors};
use crate::trial::{Answer, Reader};

/// Where the metadata hold the header.
pub const ENTRY: &str = "datasway";
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
/// Of as many networks that are built one is used, and all whose weights have not each an id of their own.
const SAMPLED: usize = 20;
/// Rounding of products with the Jacobian, relative to their length.
const TOLERANCE: f64 = 1e-3;
/// Weights up to here give finite numbers.
const ORDINARY: f32 = 1e3;

/// The smallest networks, of one level and of two.
pub fn configs() -> [TrainConfig; 2] {
    let mut small = TrainConfig::preset("faces16").expect("a preset");
    small.steps = 4;
    // One step moves the weights so far that the network matters.
    small.learning_rate = 0.05;
    small.warmup = 1;
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
    let set = TrainingSetInfo::of(&images, "faces:12", config.flip);
    let device = Device::flex();
    let mut trainer =
        ScoreTrainer::new(config.clone(), set, &device).expect("a valid configuration");
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
    /// The valid files, as they are read.
    written: Vec<Checkpoint>,
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
        let read =
            |file: &Vec<u8>| Checkpoint::from_bytes(file, Path::new("valid")).expect("valid");
        Self {
            written: valid.iter().map(read).collect(),
            valid,
            device: Device::flex(),
            built: 0,
        }
    }

    fn try_to_read(&mut self, input: &[u8]) -> Result<Result<(), String>, String> {
        let path = Path::new("damaged.safetensors");
        let checkpoint = Checkpoint::from_bytes(input, path).map_err(said)?;
        let network = NetworkDenoiser::from_checkpoint(&checkpoint, &self.device).map_err(said)?;
        if let Some(name) = tensors::not_floats(input) {
            return Ok(Err(format!("no floats are taken for such: {name}")));
        }
        if tensors::is_sealed(input) && !self.written.iter().any(|w| same(w, &checkpoint)) {
            return Ok(Err("damage is not found by the checksum".into()));
        }
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
            return Ok(Err(format!("σ of the data makes no sense: {sigma}")));
        }
        self.built += 1;
        let ids: BTreeSet<u64> = checkpoint.header.parameter_ids.values().copied().collect();
        let sampled = self.built % SAMPLED == 1 || ids.len() != checkpoint.ema.len();
        let used = sampled && largest < ORDINARY;
        Ok(if used {
            use_once(&network, &self.device)
        } else {
            Ok(())
        })
    }
}

/// Whether two files say the same.
fn same(a: &Checkpoint, b: &Checkpoint) -> bool {
    let moments = |c: &Checkpoint| [c.data_mean.clone(), c.data_variance.clone()];
    let weights = (&a.ema, &a.model, &a.optimizer) == (&b.ema, &b.model, &b.optimizer);
    a.header == b.header && weights && moments(a) == moments(b)
}

/// Denoises a point and multiplies with the Jacobian from both sides, `⟨c, J·v⟩ = ⟨Jᵀ·c, v⟩`: the products find the weights in two ways.
fn use_once(network: &NetworkDenoiser, device: &Device) -> Result<(), String> {
    let d = network.dim();
    let wave = |speed: f32| -> Vec<f32> { (0..d).map(|i| (speed * i as f32).sin()).collect() };
    let (x, v, c) = (wave(0.3), wave(1.7), wave(2.9));
    let point = || Tensor::<1>::from_floats(x.as_slice(), device).reshape([1, d]);
    let direction = |values: &[f32]| Tensor::<1>::from_floats(values, device).reshape([1, 1, d]);
    let numbers = |tensor: TensorData| -> Vec<f32> { tensor.iter::<f32>().collect() };
    let (Ok((denoised, forward)), Ok((_, backward))) = (
        network.jvp(point(), 1.0, direction(&v)),
        network.vjp(point(), 1.0, direction(&c)),
    ) else {
        return Ok(()); // It is refused late, but it is refused.
    };
    let (forward, backward) = (numbers(forward.into_data()), numbers(backward.into_data()));
    let denoised = numbers(denoised.into_data());
    if denoised
        .iter()
        .chain(&forward)
        .chain(&backward)
        .any(|v| !v.is_finite())
    {
        return Err("denoised points are not finite".into());
    }
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        a.iter()
            .zip(b)
            .map(|(&a, &b)| f64::from(a) * f64::from(b))
            .sum()
    };
    let (one, other) = (dot(&c, &forward), dot(&backward, &v));
    let scale = (dot(&c, &c) * dot(&forward, &forward)).sqrt();
    if (one - other).abs() > TOLERANCE * scale {
        return Err(format!(
            "products with the Jacobian differ: {one} and {other}"
        ));
    }
    Ok(())
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
