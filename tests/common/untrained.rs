//! A checkpoint of a small network that nobody trained.

// Every test file includes this module and needs a part of it.
#![allow(dead_code)]

use burn::tensor::Device;
use datasway_data::{Dataset, LoadOptions, Source};
use datasway_diffusion::checkpoint::{Checkpoint, CheckpointHeader, FORMAT};
use datasway_diffusion::config::UNetConfig;
use datasway_diffusion::unet::UNet;
use datasway_diffusion::weights;

use crate::common::Folder;

/// Where the checkpoint says that it was trained.
const DATA: &str = "faces:60";

/// The training images of [`model`]: 60 faces of 8×8 pixels.
pub fn images() -> Dataset {
    let options = LoadOptions {
        size: Some(8),
        ..LoadOptions::default()
    };
    datasway_data::load(&Source::parse(DATA).unwrap(), &options).unwrap()
}

/// Writes `model.safetensors`, as if trained on [`images`].
pub fn model(folder: &Folder) {
    save(folder, 3, 8, &images().fingerprint);
}

/// Writes `model.safetensors` for square images of this size, as if trained on `faces:60` of this fingerprint.
pub fn save(folder: &Folder, image_channels: usize, image_size: usize, fingerprint: &str) {
    let network = UNetConfig {
        image_channels,
        image_size,
        channels: 8,
        multipliers: vec![1],
        blocks: 1,
        attention: vec![],
        head_channels: 8,
        groups: None,
    };
    let d = network.dim();
    let weights = weights::collect(&UNet::new(&network, &Device::flex()).unwrap());
    let checkpoint = Checkpoint {
        header: CheckpointHeader {
            format: FORMAT,
            version: "test".into(),
            network,
            sigma_data: 0.5,
            data: DATA.into(),
            limit: None,
            skip_bad: false,
            fingerprint: fingerprint.into(),
            step: 0,
            seed: 0,
            training: training(image_channels, image_size),
            parameter_ids: weights.iter().map(|(p, w)| (p.clone(), w.id)).collect(),
        },
        model: None,
        ema: weights.into_iter().map(|(p, w)| (p, w.data)).collect(),
        optimizer: None,
        data_mean: vec![0.0; d],
        data_variance: vec![0.25; d],
        notices: Vec::new(),
    };
    checkpoint.save(&folder.join("model.safetensors")).unwrap();
}

/// The configuration of a training of the network.
fn training(image_channels: usize, image_size: usize) -> String {
    format!(
        "seed = 0
steps = 10
batch = 8
learning_rate = 1e-3
warmup = 2
weight_decay = 0.0
clip_norm = 1.0
ema_decay = 0.9
flip = false
noise = {{ mean = -1.2, std = 1.2 }}

[network]
image_channels = {image_channels}
image_size = {image_size}
channels = 8
multipliers = [1]
blocks = 1
attention = []
head_channels = 8
"
    )
}
