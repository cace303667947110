//! A U-Net of Datasway, exported to diffusers and read again, is the same denoiser.

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{DType, Device, Tensor};
use datasway_diffusion::checkpoint::{Checkpoint, CheckpointHeader, FORMAT};
use datasway_diffusion::config::UNetConfig;
use datasway_diffusion::denoiser::Denoiser;
use datasway_diffusion::network::NetworkDenoiser;
use datasway_diffusion::random::{RandomStream, generator, normal};
use datasway_diffusion::unet::UNet;
use datasway_diffusion::weights;
use datasway_pretrained::{Pretrained, PretrainedOptions, export};

/// Draws every weight, so that no block is a zero function.
struct Drawn(u64);

impl ModuleMapper for Drawn {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        self.0 += 1;
        let mut rng = generator(3, RandomStream::Weights, [self.0]);
        let (id, value, mapper) = param.consume();
        let count = value.shape().num_elements();
        let drawn = normal(&mut rng, [1, count], &value.device()).reshape(value.shape());
        Param::from_mapped_value(id, value + drawn * 0.2, mapper)
    }
}

fn checkpoint(network: UNetConfig) -> Checkpoint {
    let unet = UNet::new(&network, &Device::flex()).unwrap();
    let weights = weights::collect(&unet.map(&mut Drawn(0)));
    let d = network.dim();
    Checkpoint {
        header: CheckpointHeader {
            format: FORMAT,
            version: "test".to_owned(),
            network,
            sigma_data: 0.37,
            data: "faces:9".to_owned(),
            limit: None,
            skip_bad: false,
            fingerprint: "a".to_owned(),
            step: 0,
            seed: 0,
            training: "flip = false".to_owned(),
            parameter_ids: weights.iter().map(|(p, w)| (p.clone(), w.id)).collect(),
        },
        model: None,
        ema: weights.into_iter().map(|(p, w)| (p, w.data)).collect(),
        optimizer: None,
        data_mean: vec![0.0; d],
        data_variance: vec![0.25; d],
        notices: Vec::new(),
    }
}

#[test]
fn exported_networks_are_the_same_denoisers_at_ten_noise_levels() {
    let grey = UNetConfig {
        image_channels: 1,
        image_size: 8,
        channels: 8,
        multipliers: vec![1, 3, 2],
        blocks: 2,
        attention: vec![4, 2],
        head_channels: 4,
        groups: Some(4),
    };
    let colour = UNetConfig {
        image_channels: 3,
        multipliers: vec![1, 2],
        attention: vec![8],
        head_channels: 8,
        groups: Some(8),
        blocks: 1,
        ..grey.clone()
    };
    let single = UNetConfig {
        multipliers: vec![1],
        attention: vec![],
        ..colour.clone()
    };
    for network in [grey, colour, single] {
        let checkpoint = checkpoint(network);
        let folder = tempfile::tempdir().unwrap();
        export::write(&checkpoint, folder.path()).unwrap();
        let device = Device::flex();
        let ours = NetworkDenoiser::from_checkpoint(&checkpoint, &device).unwrap();
        let again = Pretrained::load(folder.path(), &PretrainedOptions::default()).unwrap();
        assert_eq!(again.sigma_range, [0.002, 80.0]);
        let again = again.score_model.denoiser();
        for i in 0..10_u32 {
            let sigma = 0.002 * (80.0_f64 / 0.002).powf(f64::from(i) / 9.0);
            let mut rng = generator(5, RandomStream::Sample, [i.into()]);
            let x = normal(&mut rng, [2, ours.dim()], &device) * (1.0 + sigma);
            let there = again.denoise(x.clone(), sigma).unwrap();
            let here = ours.denoise(x, sigma).unwrap();
            assert_eq!(here.dtype(), DType::F32);
            let size = here.clone().abs().max().into_scalar::<f32>();
            let error = (here - there).abs().max().into_scalar::<f32>() / size;
            assert!(size > 0.01 && error < 1e-5, "σ = {sigma}: {error}");
        }
    }
}
