//! States of fine-tunings that a run goes on from.

use std::path::Path;
use std::sync::Arc;

use burn::tensor::{Device, Tensor, TensorData};
use datasway_data::{Crop, Filter};
use datasway_diffusion::config::UNetConfig;
use datasway_diffusion::loss::NoiseDistribution;
use datasway_diffusion::pixels::PixelRange;
use datasway_diffusion::precondition::Precondition;
use datasway_diffusion::training_noise::TrainingNoise;
use datasway_diffusion::unet::UNet;
use datasway_diffusion::weights::{self, shapes};
use datasway_training::fine_tune::{
    FineTuneBase, FineTuneConfig, FineTuneData, FineTuneState, FineTuner,
};
use rand_chacha::ChaCha8Rng;
use serde_json::json;

use super::said;
use crate::damage::{bytes, one, tensors};
use crate::trial::{Answer, Reader};

/// Where the metadata hold the header.
const ENTRY: &str = "datasway-fine-tuning";
/// The file that is read.
const FILE: &str = "state.safetensors";

/// Reads states as `train --from --resume` does.
pub struct Tunings {
    valid: Vec<Vec<u8>>,
}

fn config() -> FineTuneConfig {
    FineTuneConfig {
        steps: 2,
        batch: 2,
        ..FineTuneConfig::default()
    }
}

fn data() -> FineTuneData {
    FineTuneData {
        name: "faces:2".to_owned(),
        limit: None,
        skip_bad: false,
        crop: Crop::default(),
        filter: Filter::default(),
        fingerprint: "a".to_owned(),
    }
}

fn base() -> FineTuneBase<UNet> {
    let device = Device::flex();
    let network = UNetConfig {
        image_channels: 1,
        image_size: 4,
        channels: 4,
        multipliers: vec![1],
        blocks: 1,
        attention: vec![],
        head_channels: 4,
        groups: None,
    };
    let network = weights::draw(1, &device, || UNet::new(&network, &device));
    FineTuneBase {
        network: network.expect("a valid network"),
        parameterization: Arc::new(Precondition { sigma_data: 0.5 }),
        noise: TrainingNoise::LogNormal(NoiseDistribution::EDM),
        sigma_range: [0.01, 10.0],
        pixels: PixelRange::MinusOneToOne,
        fingerprint: "b".to_owned(),
        class: None,
        constant: |_| false,
    }
}

impl Tunings {
    /// A run of one step.
    pub fn new(_: &Path) -> Self {
        let device = Device::flex();
        let mut tuner =
            FineTuner::new(config(), data(), base(), &device).expect("a valid configuration");
        let clean = TensorData::new(vec![0.5_f32; 32], [2, 1, 4, 4]);
        let clean = Tensor::from_data(clean, &device);
        tuner.advance(clean).expect("a step");
        let state = tuner.state().expect("a state");
        state.save(Path::new(FILE)).expect("the folder is ours");
        Self {
            valid: vec![std::fs::read(FILE).expect("it was written")],
        }
    }

    fn resume(input: &[u8]) -> Result<u64, String> {
        std::fs::write(FILE, input).expect("the folder is ours");
        let base = base();
        let state = FineTuneState::load(Path::new(FILE), &shapes(&base.network)).map_err(said)?;
        let tuner = FineTuner::resume(config(), data(), base, state, &Device::flex());
        Ok(tuner.map_err(said)?.step())
    }
}

impl Reader for Tunings {
    fn valid(&self) -> &[Vec<u8>] {
        &self.valid
    }

    fn damage(&self, rng: &mut ChaCha8Rng) -> Vec<u8> {
        let file = one(rng, &self.valid);
        if *one(rng, &[true, true, false]) {
            return tensors::damage(rng, file, file, ENTRY);
        }
        tensors::with_tensor(file, "optimizer", |state| {
            let damaged = bytes::damage(rng, state.clone(), &state);
            (json!("U8"), json!([damaged.len()]), damaged)
        })
    }

    fn read(&mut self, input: &[u8]) -> Answer {
        match Self::resume(input) {
            Ok(steps) if steps <= config().steps => Answer::Read,
            Ok(steps) => Answer::Nonsense(format!("it has {steps} steps")),
            Err(message) => Answer::Refused(message),
        }
    }
}
