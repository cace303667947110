//! Other devices agree with the CPU backend: values, JVPs and training steps of one network.
//!
//! The test needs a cargo feature: `cargo test -p datasway-diffusion --features wgpu --test devices`, or `ndarray`.
//! Without one, it prints that it was skipped.

use burn::module::Module;
use burn::optim::{GradientsParams, SgdConfig};
use burn::tensor::{Device, Tensor};
use datasway_diffusion::config::UNetConfig;
use datasway_diffusion::denoiser::Denoiser;
use datasway_diffusion::device::{DEVICES, device};
use datasway_diffusion::loss::denoising_loss;
use datasway_diffusion::network::NetworkDenoiser;
use datasway_diffusion::precondition::Precondition;
use datasway_diffusion::random::{RandomStream, generator, normal};
use datasway_diffusion::unet::UNet;
use datasway_diffusion::weights::{apply, collect};

const PRECONDITION: Precondition = Precondition { sigma_data: 0.5 };

fn config() -> UNetConfig {
    UNetConfig {
        image_channels: 3,
        image_size: 8,
        channels: 16,
        multipliers: vec![1, 2],
        blocks: 1,
        attention: vec![4],
        head_channels: 16,
        groups: None,
    }
}

/// Normal numbers `[n, 192]`, the same on every device.
fn draw(step: u64, n: usize, device: &Device) -> Tensor<2> {
    let mut rng = generator(21, RandomStream::Sample, [step]);
    normal(&mut rng, [n, config().dim()], device)
}

/// A network trained for a few steps of plain gradient descent on `device`, from the weights of
/// `start`, and the loss before each step.
fn train(start: &UNet, device: &Device) -> (UNet, Vec<f32>) {
    let network = UNet::new(&config(), device).unwrap();
    let network = apply(network, collect(start)).unwrap();
    let mut network = network.set_require_grad(true).train();
    let mut optimizer = SgdConfig::new().init();
    let device = device.clone().autodiff();
    let mut losses = Vec::new();
    for step in 0..4 {
        let clean = (draw(2 * step, 4, &device) * 0.5).reshape([4, 3, 8, 8]);
        let noise = draw(2 * step + 1, 4, &device).reshape([4, 3, 8, 8]);
        let sigmas = [0.1, 0.4, 1.0, 5.0];
        let loss = denoising_loss(&network, &PRECONDITION, clean, noise, &sigmas);
        losses.push(loss.clone().into_scalar::<f32>());
        let gradients = GradientsParams::from_grads(loss.backward(), &network);
        network = optimizer.step(0.05, network, gradients);
    }
    (network.valid(), losses)
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_to_vec().unwrap()
}

fn close(what: &str, a: &[f32], b: &[f32]) {
    let largest = a.iter().fold(0.0_f32, |m, v| m.max(v.abs()));
    let error = a
        .iter()
        .zip(b)
        .fold(0.0_f32, |m, (a, b)| m.max((a - b).abs()));
    assert_eq!(a.len(), b.len());
    assert!(error <= 1e-4 * largest, "{what}: {error} of {largest}");
}

#[test]
fn values_jvps_and_training_steps_agree_with_flex() {
    let flex = Device::flex();
    let mut tried = 0;
    for name in DEVICES.into_iter().filter(|name| *name != "flex") {
        let Ok(other) = device(name) else {
            eprintln!("skipped: {name} is not compiled in (cargo feature {name})");
            continue;
        };
        tried += 1;
        let start = UNet::new(&config(), &flex).unwrap();
        let ((a, losses_a), (b, losses_b)) = (train(&start, &flex), train(&start, &other));
        close("losses", &losses_a, &losses_b);
        for (path, weight) in collect(&a) {
            let theirs = collect(&b)[&path].data.clone();
            let ours = weight.data.try_to_vec::<f32>().unwrap();
            close(&path, &ours, &theirs.try_to_vec::<f32>().unwrap());
        }
        // From the same weights: the descent's rounding is compared above.
        let b = apply(UNet::new(&config(), &other).unwrap(), collect(&a)).unwrap();
        let models = [(a, &flex), (b, &other)].map(|(network, device)| {
            let model = NetworkDenoiser::new(network, config(), PRECONDITION);
            let tangents = Tensor::stack::<3>(vec![draw(9, 2, device), draw(10, 2, device)], 0);
            let (value, products) = model.jvp(draw(8, 2, device), 0.7, tangents).unwrap();
            (values(value), values(products))
        });
        let [(value, products), (their_value, their_products)] = models;
        close("D", &value, &their_value);
        close("J·v", &products, &their_products);
    }
    if tried == 0 {
        eprintln!("skipped: no device but flex is compiled in");
    }
}
