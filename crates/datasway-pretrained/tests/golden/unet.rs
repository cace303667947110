//! `UNet2DModel`.

use burn::tensor::{DType, Device, Tensor};
use datasway_diffusion::denoiser::Denoiser;
use datasway_diffusion::network::NetworkDenoiser;
use datasway_diffusion::parameterization::Parameterization;
use datasway_pretrained::diffusers::unet::{DiffusersUNet, UNetConfig};
use datasway_pretrained::state_dict::StateDict;

use crate::case::{Case, cases, check_neighbours};

/// The prediction of the noise, as scripts/fixtures/unet.py uses the networks.
struct Epsilon {
    /// True if the network takes whole time steps only.
    rounded: bool,
    /// True if the network takes σ in the place of a time step.
    by_sigma: bool,
}

impl Parameterization for Epsilon {
    fn c_skip(&self, _sigma: f64) -> f64 {
        1.0
    }

    fn c_out(&self, sigma: f64) -> f64 {
        -sigma
    }

    fn c_in(&self, sigma: f64) -> f64 {
        1.0 / (1.0 + sigma * sigma).sqrt()
    }

    fn c_noise(&self, sigma: f64) -> f64 {
        if self.by_sigma {
            return sigma;
        }
        let time = (125.0 * (sigma.ln() + 5.0)).clamp(0.0, 999.0);
        if self.rounded { time.round() } else { time }
    }
}

fn denoiser(case: &Case, dtype: DType) -> impl Denoiser {
    let config = UNetConfig::parse(&case.config["config"]).unwrap();
    let class = case.config["class"].as_u64().map(|class| class as usize);
    let dict = StateDict::new(case.weights(), &Device::flex(), dtype);
    let network = DiffusersUNet::load(&config, &dict, class).unwrap();
    dict.finish().unwrap();
    let parameterization = Epsilon {
        rounded: case.config["config"]["time_embedding_type"] == "learned",
        by_sigma: case.config["config"]["time_embedding_type"] == "fourier",
    };
    let [c, h, w] = case.shape;
    let forward = move |network: &DiffusersUNet, x: Tensor<2>, time: Tensor<1>| {
        let n = x.dims()[0];
        let pictures = x.reshape([n, c, h, w]);
        network.forward(pictures, time).reshape([n, c * h * w])
    };
    NetworkDenoiser::flat(network, c * h * w, parameterization, forward)
}

#[test]
fn unets_agree_with_diffusers_in_single_precision() {
    for case in cases("unet.safetensors") {
        case.check(&denoiser(&case, DType::F32), DType::F32, 1e-4);
    }
}

#[test]
fn unets_agree_with_diffusers_in_double_precision() {
    for case in cases("unet.safetensors") {
        case.check(&denoiser(&case, DType::F64), DType::F64, 1e-9);
    }
}

#[test]
fn each_field_of_a_unet_changes_its_results() {
    check_neighbours(&cases("unet.safetensors"));
}
