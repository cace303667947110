//! Checkpoints: what is read is finite, and a network can be built of it and used, or it is refused.
#![no_main]

mod seeds;

use std::path::Path;

use burn::tensor::{Device, Tensor};
use datasway_diffusion::checkpoint::{Checkpoint, FORMAT};
use datasway_diffusion::config::UNetConfig;
use datasway_diffusion::denoiser::Denoiser;
use datasway_diffusion::network::NetworkDenoiser;
use datasway_diffusion::unet::UNet;
use datasway_diffusion::weights;
use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use safetensors::tensor::{Dtype, TensorView};
use serde_json::json;

/// Bytes of the header's length, before it.
const PREFIX: usize = 8;
/// Weights up to here give finite numbers.
const ORDINARY: f32 = 1e3;

/// A file of the smallest network, without a checksum, which would hide all behind it from the fuzzer.
fn seed(multipliers: &[usize], attention: &[usize]) -> Vec<u8> {
    let network = UNetConfig {
        image_channels: 1,
        image_size: 4,
        channels: 2,
        multipliers: multipliers.to_vec(),
        blocks: 1,
        attention: attention.to_vec(),
        head_channels: 2,
        groups: None,
    };
    let device = Device::flex();
    device.seed(1);
    let unet = UNet::new(&network, &device).expect("a valid network");
    let weights = weights::collect(&unet);
    let ids: serde_json::Map<_, _> = (weights.keys().zip(1..))
        .map(|(path, id): (&String, u64)| (path.clone(), json!(id)))
        .collect();
    let header = json!({
        "format": FORMAT, "version": "0.1.0", "network": network, "sigma_data": 0.5, "data": "faces:12", "limit": null,
        "skip_bad": false, "fingerprint": "1", "step": 0, "seed": 0, "training": "flip = true", "parameter_ids": ids,
    });
    let moments = vec![0x3f_u8; 4 * network.dim()];
    let view = |shape, bytes| TensorView::new(Dtype::F32, shape, bytes).expect("a valid tensor");
    let mut views = vec![
        ("data_mean".to_owned(), view(vec![network.dim()], &moments)),
        ("data_variance".to_owned(), view(vec![network.dim()], &moments)),
    ];
    for (path, weight) in &weights {
        let shape = weight.data.shape().iter().copied().collect();
        views.push((format!("ema/{path}"), view(shape, weight.data.as_bytes())));
    }
    let metadata = [("datasway".to_owned(), header.to_string())];
    safetensors::serialize(views, Some(metadata.into_iter().collect())).expect("a valid file")
}

fn start() {
    let file = seed(&[1], &[]);
    let read = Checkpoint::from_bytes(&file, Path::new("seed")).expect("the seed is read");
    NetworkDenoiser::from_checkpoint(&read, &Device::flex()).expect("the seed is a network");
    seeds::write([file, seed(&[1, 2], &[2])]);
}

fuzz_target!(init: start(), |bytes: &[u8]| {
    let Ok(checkpoint) = Checkpoint::from_bytes(bytes, Path::new("fuzzed.safetensors")) else {
        return;
    };
    let weights = checkpoint.ema.values().chain(checkpoint.model.iter().flat_map(|m| m.values()));
    let mut largest = 0.0_f32;
    for value in weights.flat_map(|data| data.iter::<f32>().collect::<Vec<_>>()) {
        assert!(value.is_finite(), "a weight is {value}");
        largest = largest.max(value.abs());
    }
    let device = Device::flex();
    let Ok(network) = NetworkDenoiser::from_checkpoint(&checkpoint, &device) else {
        return;
    };
    let d = network.dim();
    assert_eq!([checkpoint.data_mean.len(), checkpoint.data_variance.len()], [d, d]);
    let moments = checkpoint.data_mean.iter().chain(&checkpoint.data_variance);
    assert!(moments.into_iter().all(|v| v.is_finite()), "a moment is not finite");
    if largest < ORDINARY
        && let Ok(denoised) = network.denoise(Tensor::<2>::ones([1, d], &device), 1.0)
    {
        let mut values = denoised.into_data().iter::<f32>().collect::<Vec<_>>().into_iter();
        assert!(values.all(|v| v.is_finite()), "a denoised point is not finite");
    }
});

// A header of another length keeps its place: mostly one part of the file is changed and the rest fits it.
fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let length = data.first_chunk::<PREFIX>().map(|bytes| u64::from_le_bytes(*bytes) as usize);
    let end = length.and_then(|length| length.checked_add(PREFIX)).filter(|&end| end <= size);
    let (Some(end), 1..) = (end, seed % 8) else {
        return fuzzer_mutate(data, size, max_size);
    };
    if seed % 8 == 1 && end < size {
        // In place, so that tensors stay where the header says.
        return end + fuzzer_mutate(&mut data[end..size], size - end, size - end);
    }
    let body = data[end..size].to_vec();
    let room = max_size - PREFIX - body.len();
    let mut header = data[PREFIX..end].to_vec();
    let length = header.len();
    header.resize(room.max(length), 0);
    let length = fuzzer_mutate(&mut header, length, room);
    data[..PREFIX].copy_from_slice(&(length as u64).to_le_bytes());
    data[PREFIX..PREFIX + length].copy_from_slice(&header[..length]);
    data[PREFIX + length..][..body.len()].copy_from_slice(&body);
    PREFIX + length + body.len()
});
