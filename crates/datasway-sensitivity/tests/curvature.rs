//! The second derivative on an image network: the shipped model, against itself in f64.

use std::path::Path;

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{DType, Device, FloatDType, Tensor};
use datasway_diffusion::checkpoint::Checkpoint;
use datasway_diffusion::denoiser::Denoiser;
use datasway_diffusion::network::NetworkDenoiser;
use datasway_diffusion::precondition::Precondition;
use datasway_diffusion::sampler::{FrozenNoise, Sampler, sample};
use datasway_diffusion::schedule::karras;
use datasway_diffusion::unet::UNet;
use datasway_diffusion::weights;
use datasway_sensitivity::density::{Cutoff, ProbabilityFlow, Trace};
use datasway_sensitivity::measure::Gaussian;
use datasway_sensitivity::trajectory::second_order::{second_directional_derivative, trust_radius};
use datasway_sensitivity::trajectory::tangent::TangentSolver;

struct Double;

impl ModuleMapper for Double {
    fn map_float<const D: usize>(&mut self, parameter: Param<Tensor<D>>) -> Param<Tensor<D>> {
        parameter.map(|tensor| tensor.cast(FloatDType::F64))
    }
}

fn shipped() -> Checkpoint {
    let file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../checkpoints/faces16.safetensors"
    );
    Checkpoint::load(Path::new(file)).expect("the shipped model")
}

/// The shipped model in f64.
fn doubled(checkpoint: &Checkpoint, device: &Device) -> NetworkDenoiser {
    let config = checkpoint.header.network.clone();
    let stored = checkpoint.with_ids(checkpoint.ema.clone());
    let network = UNet::new(&config, device).expect("a network");
    let network = weights::apply(network, stored).expect("weights");
    let precondition = Precondition {
        sigma_data: checkpoint.header.sigma_data,
    };
    NetworkDenoiser::new(network.map(&mut Double), config, precondition)
}

fn norm(v: Tensor<2>) -> f64 {
    v.powi_scalar(2).sum().sqrt().into_scalar::<f64>()
}

/// `∂²D[δ, δ]` from products with J against second differences of D itself, which do not use J.
#[test]
fn the_bend_of_an_image_network_is_its_second_difference() {
    let device = Device::flex();
    let checkpoint = shipped();
    let (single, double) = (
        NetworkDenoiser::from_checkpoint(&checkpoint, &device).expect("the model"),
        doubled(&checkpoint, &device),
    );
    let (d, noise) = (double.dim(), FrozenNoise::new(5));
    let unit = |k: usize| noise.step(k, [2, d], &device, DType::F64);
    let levels = karras(6, 0.02, 80.0, 7.0);
    let clean = sample(&double, &Sampler::Heun, &levels, unit(0), &noise).expect("samples");
    for (k, sigma) in [(1, 0.1), (2, 1.0), (3, 10.0)] {
        let x = clean.clone() + unit(k) * sigma;
        let delta = unit(k + 3) * 3.0;
        let stack = delta.clone().unsqueeze_dim::<3>(0);
        let bend = second_directional_derivative(&double, &x, sigma, &stack).expect("a bend");
        let bend = bend.squeeze_dim::<2>(0);

        let h = 1e-3 * sigma / norm(delta.clone());
        let denoised = |t: f64| {
            double
                .denoise(x.clone() + delta.clone() * t, sigma)
                .expect("D")
        };
        let second = (denoised(h) - denoised(0.0) * 2.0 + denoised(-h)) / (h * h);
        let error = norm(bend.clone() - second.clone()) / norm(second);
        assert!(error < 1e-4, "σ = {sigma}: {error:e}");

        let [x, stack] = [x.unsqueeze_dim::<3>(0), stack].map(|t| t.cast(DType::F32));
        let rough = second_directional_derivative(&single, &x.squeeze_dim::<2>(0), sigma, &stack)
            .expect("a bend");
        let rough = rough.squeeze_dim::<2>(0).cast(DType::F64);
        let error = norm(rough - bend.clone()) / norm(bend);
        assert!(error < 0.02, "σ = {sigma}, in f32: {error:e}");
    }
}

/// The limit of `sensitivity --limit` in f32 agrees with that in f64, whose differences lose no digits.
#[test]
fn the_limit_of_an_image_network_survives_single_precision() {
    let device = Device::flex();
    let checkpoint = shipped();
    let (sigmas, noise) = (karras(6, 0.02, 80.0, 7.0), FrozenNoise::new(0));
    let limits = |model: &dyn Denoiser, dtype: DType| -> Vec<f64> {
        let gaussian = |mean: &[f32], variance: &[f32]| {
            Gaussian::from_moments(mean, variance, &device, dtype).expect("a Gaussian")
        };
        let (mean, variance) = (&checkpoint.data_mean, &checkpoint.data_variance);
        let lighter: Vec<f32> = mean.iter().map(|m| m + 0.05).collect();
        let direction = gaussian(&lighter, variance);
        // With few steps the density is wrong at low noise.
        let density = Cutoff {
            density: ProbabilityFlow {
                start: gaussian(mean, variance),
                trace: Trace::rademacher(2, 0),
            },
            sigma: 1.0,
        };
        let path = TangentSolver {
            model,
            directions: &[&direction],
            density: &density,
            sampler: &Sampler::Heun,
            sigmas: &sigmas,
            noise: &noise,
            curvatures: 1,
            step_parts: 0,
        };
        let start = noise.start([2, model.dim()], &device, dtype);
        let solution = path.sample_with_tangents(start).expect("a propagation");
        let rows = |stack: Tensor<3>| -> Vec<Vec<f64>> {
            let values: Vec<f64> = stack.cast(DType::F64).into_data().iter::<f64>().collect();
            values.chunks(model.dim()).map(<[f64]>::to_vec).collect()
        };
        let gammas = rows(solution.curvatures.expect("γ"));
        let pairs = rows(solution.sensitivities).into_iter().zip(gammas);
        pairs
            .map(|(delta, gamma)| trust_radius(&delta, &gamma))
            .collect()
    };
    let single = NetworkDenoiser::from_checkpoint(&checkpoint, &device).expect("the model");
    let single = limits(&single, DType::F32);
    let double = limits(&doubled(&checkpoint, &device), DType::F64);
    for (single, double) in single.iter().zip(&double) {
        assert!(
            *double > 0.0 && (single / double - 1.0).abs() < 0.02,
            "{single} in f32, {double} in f64"
        );
    }
}
