//! The U-Net, its loss, its average and its checkpoint.

use burn::module::Module;
use burn::optim::{AdamWConfig, GradientsParams};
use burn::tensor::{DType, Device, Tensor};
use datasway_diffusion::checkpoint::{Checkpoint, CheckpointHeader, FORMAT};
use datasway_diffusion::config::UNetConfig;
use datasway_diffusion::denoiser::Denoiser;
use datasway_diffusion::loss::denoising_loss;
use datasway_diffusion::network::NetworkDenoiser;
use datasway_diffusion::precondition::Precondition;
use datasway_diffusion::random::{RandomStream, generator, normal};
use datasway_diffusion::unet::UNet;
use datasway_diffusion::{ema, weights};

fn tiny() -> UNetConfig {
    UNetConfig {
        image_channels: 3,
        image_size: 8,
        channels: 8,
        multipliers: vec![1, 2],
        blocks: 1,
        attention: vec![4],
        head_channels: 8,
        groups: None,
    }
}

fn batch(seed: u64, device: &Device) -> Tensor<4> {
    let mut rng = generator(seed, RandomStream::Sample, []);
    normal(&mut rng, [4, tiny().dim()], device).reshape([4, 3, 8, 8])
}

#[test]
fn the_network_keeps_the_shape_and_starts_at_zero() {
    let device = Device::flex();
    let network = UNet::new(&tiny(), &device).unwrap();
    let out = network.forward(
        batch(1, &device),
        Tensor::from_floats([0.1, 0.2, 0.3, 0.4], &device),
    );
    assert_eq!(out.dims(), [4, 3, 8, 8]);
    assert_eq!(out.abs().max().into_scalar::<f32>(), 0.0);
}

#[test]
fn an_image_that_cannot_be_halved_is_refused_with_the_reason() {
    let config = UNetConfig {
        image_size: 9,
        ..tiny()
    };
    let error = UNet::new(&config, &Device::flex()).unwrap_err().to_string();
    assert!(error.contains("9×9 cannot be halved"), "{error}");
}

#[test]
fn training_steps_lower_the_loss_on_one_batch() {
    let device = Device::flex().autodiff();
    let drawn = weights::draw(3, &Device::flex(), || UNet::new(&tiny(), &Device::flex())).unwrap();
    let mut network = drawn.to_device(&device).set_require_grad(true).train();
    let mut optimizer = AdamWConfig::new().init();
    let precondition = Precondition { sigma_data: 0.5 };
    let (clean, noise) = (batch(1, &device) * 0.5, batch(2, &device));
    let sigmas = [0.2, 0.5, 1.0, 3.0];
    let mut losses = Vec::new();
    for _ in 0..60 {
        let loss = denoising_loss(
            &network,
            &precondition,
            clean.clone(),
            noise.clone(),
            &sigmas,
        );
        losses.push(loss.clone().into_scalar::<f32>());
        let gradients = GradientsParams::from_grads(loss.backward(), &network);
        network = optimizer.step(3e-3, network, gradients);
    }
    // The zero network's loss is 1 in expectation: its targets have unit variance.
    assert!((0.5..2.0).contains(&losses[0]), "{losses:?}");
    assert!(losses[59] < 0.7 * losses[0], "{losses:?}");
}

#[test]
fn the_average_moves_by_the_stated_fraction() {
    let device = Device::flex();
    let model = UNet::new(&tiny(), &device).unwrap();
    let zero = model.clone().map(&mut Zero);
    let average = ema::update(zero, &model, 0.75);
    let (model, average) = (weights::collect(&model), weights::collect(&average));
    for (path, weight) in model {
        let theta = weight.data.try_to_vec::<f32>().unwrap();
        let ema = average[&path].data.try_to_vec::<f32>().unwrap();
        for (t, e) in theta.iter().zip(ema) {
            assert!((0.25 * t - e).abs() < 1e-6, "{path}: {e} from {t}");
        }
    }
}

struct Zero;

impl burn::module::ModuleMapper for Zero {
    fn map_float<const D: usize>(
        &mut self,
        param: burn::module::Param<Tensor<D>>,
    ) -> burn::module::Param<Tensor<D>> {
        param.map(|value| value.zeros_like())
    }
}

fn checkpoint(network: &UNet) -> Checkpoint {
    let weights = weights::collect(network);
    let tensors: std::collections::BTreeMap<_, _> = weights
        .iter()
        .map(|(path, w)| (path.clone(), w.data.clone()))
        .collect();
    Checkpoint {
        header: CheckpointHeader {
            format: FORMAT,
            version: "test".into(),
            network: tiny(),
            sigma_data: 0.5,
            data: "faces:8".into(),
            limit: None,
            skip_bad: false,
            fingerprint: "0".into(),
            step: 7,
            seed: 1,
            training: "flip = false".into(),
            parameter_ids: weights.into_iter().map(|(path, w)| (path, w.id)).collect(),
        },
        model: None,
        ema: tensors,
        optimizer: Some(vec![1, 2, 3]),
        data_mean: vec![0.1; tiny().dim()],
        data_variance: vec![0.2; tiny().dim()],
        notices: Vec::new(),
    }
}

#[test]
fn a_checkpoint_comes_back_as_it_was() {
    let device = Device::flex();
    let network = UNet::new(&tiny(), &device).unwrap();
    let saved = checkpoint(&network);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    saved.save(&path).unwrap();
    let loaded = Checkpoint::load(&path).unwrap();
    assert_eq!(loaded.header, saved.header);
    assert_eq!(loaded.optimizer, saved.optimizer);
    assert_eq!(loaded.data_mean, saved.data_mean);
    assert_eq!(loaded.data_variance, saved.data_variance);
    let other = UNet::new(&tiny(), &device).unwrap();
    let restored = weights::apply(other, loaded.with_ids(loaded.ema.clone())).unwrap();
    let (a, b) = (weights::collect(&network), weights::collect(&restored));
    assert!(
        a.iter()
            .all(|(path, w)| b[path].id == w.id && b[path].data == w.data)
    );
}

#[test]
fn a_truncated_checkpoint_is_named_and_refused() {
    let network = UNet::new(&tiny(), &Device::flex()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    checkpoint(&network).save(&path).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let error = Checkpoint::load(&path).unwrap_err().to_string();
    assert!(
        error.contains("model.safetensors") && error.contains("not a complete"),
        "{error}"
    );
}

#[test]
fn weights_of_another_network_are_refused_by_name() {
    let device = Device::flex();
    let narrow = UNet::new(&tiny(), &device).unwrap();
    let wide = UNet::new(
        &UNetConfig {
            channels: 16,
            ..tiny()
        },
        &device,
    )
    .unwrap();
    let error = weights::apply(wide, weights::collect(&narrow)).unwrap_err();
    assert!(error.contains("has shape"), "{error}");
}

/// A denoiser with random weights everywhere, so that no block is a zero function.
fn random_denoiser(device: &Device, dtype: DType) -> NetworkDenoiser {
    let network = UNet::new(&tiny(), device).unwrap();
    let network = network.map(&mut Randomize { step: 0, dtype });
    NetworkDenoiser::new(network, tiny(), Precondition { sigma_data: 0.5 })
}

struct Randomize {
    step: u64,
    dtype: DType,
}

impl burn::module::ModuleMapper for Randomize {
    fn map_float<const D: usize>(
        &mut self,
        param: burn::module::Param<Tensor<D>>,
    ) -> burn::module::Param<Tensor<D>> {
        self.step += 1;
        let mut rng = generator(11, RandomStream::Batch, [self.step]);
        let dtype = self.dtype;
        param.map(|value| {
            let dims = value.dims();
            let size = dims.iter().product();
            let random = normal(&mut rng, [1, size], &value.device()).reshape(dims);
            (value.zeros_like() + random * 0.2).cast(dtype)
        })
    }
}

#[test]
fn the_whole_networks_jvp_is_its_central_difference_in_f64() {
    let device = Device::flex();
    let model = random_denoiser(&device, DType::F64);
    let d = model.dim();
    let draw = |step| {
        let mut rng = generator(12, RandomStream::Sample, [step]);
        normal(&mut rng, [2, d], &device).cast(DType::F64)
    };
    let (x, v, w) = (draw(0), draw(1), draw(2));
    for sigma in [0.05, 0.7, 20.0] {
        let tangents = Tensor::stack::<3>(vec![v.clone(), w.clone(), v.clone() - w.clone()], 0);
        let (denoised, derivative) = model.jvp(x.clone(), sigma, tangents.clone()).unwrap();
        let plain = model.denoise(x.clone(), sigma).unwrap();
        assert_eq!(
            plain.into_data(),
            denoised.into_data(),
            "the primal, bit for bit"
        );
        for k in 0..3 {
            let v = tangents.clone().narrow(0, k, 1).reshape([2, d]);
            let h = 1e-5;
            let ahead = model.denoise(x.clone() + v.clone() * h, sigma).unwrap();
            let behind = model.denoise(x.clone() - v * h, sigma).unwrap();
            let difference = (ahead - behind) / (2.0 * h);
            let jv = derivative.clone().narrow(0, k, 1).reshape([2, d]);
            let error = (jv - difference.clone()).abs().max().into_scalar::<f64>();
            let size = difference.abs().max().into_scalar::<f64>();
            assert!(
                error < 1e-7 * size,
                "σ = {sigma}, tangent {k}: {error} of {size}"
            );
        }
    }
}

#[test]
fn the_kernels_in_f32_give_the_values_and_jvps_of_f64() {
    let device = Device::flex();
    let draw = |step| {
        let mut rng = generator(13, RandomStream::Sample, [step]);
        normal(&mut rng, [3, tiny().dim()], &device)
    };
    let evaluate = |dtype: DType| {
        let tangents = Tensor::stack::<3>(vec![draw(1), draw(2)], 0).cast(dtype);
        let model = random_denoiser(&device, dtype);
        let (value, products) = model.jvp(draw(0).cast(dtype), 0.7, tangents).unwrap();
        (value.cast(DType::F64), products.cast(DType::F64))
    };
    let ((value, products), (exact, exact_products)) = (evaluate(DType::F32), evaluate(DType::F64));
    let error = (value - exact.clone()).abs().max().into_scalar::<f64>();
    assert!(
        error < 1e-5 * exact.abs().max().into_scalar::<f64>(),
        "{error}"
    );
    let error = (products - exact_products.clone())
        .abs()
        .max()
        .into_scalar::<f64>();
    assert!(
        error < 1e-5 * exact_products.abs().max().into_scalar::<f64>(),
        "{error}"
    );
}

#[test]
fn products_with_the_transposed_jacobian_are_the_adjoint_of_those_with_it() {
    // ⟨c, J·v⟩ = ⟨Jᵀ·c, v⟩ for every row: burn-jvp against Burn's autodiff.
    let device = Device::flex();
    let model = random_denoiser(&device, DType::F64);
    let (n, d) = (3, model.dim());
    let draw = |step| {
        let mut rng = generator(14, RandomStream::Sample, [step]);
        normal(&mut rng, [2 * n, d], &device).cast(DType::F64)
    };
    let x = draw(0).slice_dim(0, 0..n);
    let (v, c) = (draw(1).reshape([2, n, d]), draw(2).reshape([2, n, d]));
    for sigma in [0.05, 0.7, 20.0] {
        let (jvp_values, forward) = model.jvp(x.clone(), sigma, v.clone()).unwrap();
        let (vjp_values, backward) = model.vjp(x.clone(), sigma, c.clone()).unwrap();
        let apart = (jvp_values - vjp_values).abs().max().into_scalar::<f64>();
        assert!(apart < 1e-12, "σ = {sigma}: values {apart:e} apart");
        let left = (forward * c.clone()).sum_dim(2);
        let right = (backward * v.clone()).sum_dim(2);
        let size = left.clone().abs().max().into_scalar::<f64>();
        let error = (left - right).abs().max().into_scalar::<f64>();
        assert!(error < 1e-11 * size, "σ = {sigma}: {error:e} of {size:e}");
    }
}
