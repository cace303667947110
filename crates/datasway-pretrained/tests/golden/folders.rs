//! Folders that diffusers wrote, in every format of weights.

use std::path::{Path, PathBuf};

use burn::tensor::{DType, Device, Tensor, TensorData};
use datasway_diffusion::network::NetworkDenoiser;
use datasway_diffusion::sampler::{FrozenNoise, Sampler, sample};
use datasway_diffusion::schedule::karras;
use datasway_pretrained::diffusers::folder::{DiffusersFolder, read_json};
use datasway_pretrained::diffusers::scheduler::SchedulerConfig;
use datasway_pretrained::diffusers::unet::{DiffusersUNet, UNet2DConfig};
use datasway_pretrained::state_dict::StateDict;
use datasway_pretrained::weights;
use safetensors::SafeTensors;
use serde_json::json;

use crate::case::{largest_difference, numbers};

/// Entries of a picture.
const D: usize = 64;

pub fn folder(name: &str) -> PathBuf {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/folders");
    data.join(name)
}

pub fn denoiser(name: &str, dtype: DType) -> NetworkDenoiser<DiffusersUNet> {
    let found = DiffusersFolder::find(&folder(name)).unwrap();
    let config = UNet2DConfig::parse(&found.config).unwrap();
    let scheduler = read_json(&found.scheduler_file.unwrap()).unwrap();
    let scheduler = SchedulerConfig::parse(&scheduler).unwrap();
    let state = StateDict::new(
        weights::read(&found.weights).unwrap(),
        &Device::flex(),
        dtype,
    );
    let network = DiffusersUNet::load(&config, &state, None).unwrap();
    state.finish().unwrap();
    let forward = |network: &DiffusersUNet, x: Tensor<2>, time: Tensor<1>| {
        let n = x.dims()[0];
        let pictures = x.reshape([n, 1, 8, 8]);
        network.forward(pictures, time).reshape([n, D])
    };
    NetworkDenoiser::flat(
        network,
        D,
        scheduler.parameterization(false).unwrap(),
        forward,
    )
}

#[test]
fn samples_are_those_of_pytorch_from_the_same_noise() {
    let bytes = include_bytes!("../data/folders.safetensors");
    let arrays = SafeTensors::deserialize(bytes).unwrap();
    let theirs = numbers(&arrays, "samples");
    let size = theirs.iter().fold(0.0_f64, |m, v| m.max(v.abs()));
    let sigmas = karras(8, 0.02, 80.0, 7.0);
    for dtype in [DType::F32, DType::F64] {
        let noise = TensorData::new(numbers(&arrays, "noise"), [2, D]);
        let start = Tensor::from_data(noise, (&Device::flex(), dtype));
        let denoiser = denoiser("pipeline", dtype);
        let ours = sample(
            &denoiser,
            &Sampler::Heun,
            &sigmas,
            start,
            &FrozenNoise::new(0),
        )
        .unwrap();
        let ours: Vec<f64> = ours.into_data().iter::<f64>().collect();
        let error = largest_difference(&ours, &theirs) / size;
        println!("{dtype:?}: samples differ by {error:e}");
        // diffusers computes the sinusoids of the time step in single precision.
        assert!(error <= 1e-5, "{dtype:?}: samples differ by {error:e}");
    }
}

#[test]
fn every_format_of_weights_gives_the_same_tensors() {
    let tensors = |name: &str| {
        let found = DiffusersFolder::find(&folder(name)).unwrap();
        weights::read(&found.weights).unwrap()
    };
    let expected = tensors("pipeline");
    assert!(expected.len() > 50);
    // The weights are numbers of half precision.
    for name in ["sharded", "fp16", "bin"] {
        assert!(tensors(name) == expected, "{name}");
    }
}

#[test]
fn configuration_of_averaged_weights_describes_the_same_network() {
    let mut config = DiffusersFolder::find(&folder("pipeline")).unwrap().config;
    let raw = UNet2DConfig::parse(&config).unwrap();
    // Beside the network's own fields, `EMAModel.save_pretrained` writes the state of the average.
    let fields = config.as_object_mut().unwrap();
    for (name, value) in [
        ("decay", json!(0.9999)),
        ("min_decay", json!(0.0)),
        ("optimization_step", json!(500)),
        ("update_after_step", json!(0)),
        ("use_ema_warmup", json!(true)),
        ("inv_gamma", json!(1.0)),
        ("power", json!(0.75)),
    ] {
        fields.insert(name.to_owned(), value);
    }
    assert_eq!(UNet2DConfig::parse(&config).unwrap(), raw);
}
