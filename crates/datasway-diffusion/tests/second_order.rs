//! Derivatives of the U-Net in its weights and of the second order, on our kernels.

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{DType, Device, FloatDType, Tensor, TensorData};
use burn_jvp::{DynTensor, Hvp, Jvp, ParameterTangents, Tangents};
use datasway_diffusion::config::UNetConfig;
use datasway_diffusion::unet::UNet;

/// Numbers between −1 and 1 without a pattern, the same at every run.
fn numbers_like<const D: usize>(shape: [usize; D], seed: f64, device: &Device) -> Tensor<D> {
    let count: usize = shape.iter().product();
    let values: Vec<f64> = (0..count)
        .map(|i| ((i as f64 + seed) * 12.9898).sin() * 43_758.545)
        .map(|v| 2.0 * v.fract().abs() - 1.0)
        .collect();
    Tensor::from_data(TensorData::new(values, shape), (device, DType::F64))
}

/// Gives every parameter numbers of its own.
struct Random {
    seed: f64,
}

impl ModuleMapper for Random {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        self.seed += 1000.0;
        let seed = self.seed;
        param.map(|t| numbers_like(t.dims(), seed, &t.device()) * 0.35 + 0.05)
    }
}

/// Casts every parameter.
struct Cast(FloatDType);

impl ModuleMapper for Cast {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let dtype = self.0;
        param.map(|t| t.cast(dtype))
    }
}

fn network(device: &Device) -> UNet {
    let config = UNetConfig {
        image_channels: 3,
        image_size: 8,
        channels: 8,
        multipliers: vec![1, 2],
        blocks: 1,
        attention: vec![4],
        head_channels: 8,
        groups: None,
    };
    let network = UNet::new(&config, device).expect("a network");
    network.map(&mut Random { seed: 0.0 })
}

fn forward(network: &UNet, inputs: &[DynTensor]) -> DynTensor {
    network.forward(inputs[0].get(), inputs[1].get()).into()
}

fn loss(network: &UNet, inputs: &[DynTensor]) -> DynTensor {
    let y = forward(network, inputs).get::<4>();
    (y - inputs[0].get::<4>()).powi_scalar(2).mean().into()
}

fn inputs(device: &Device) -> [DynTensor; 2] {
    let level = Tensor::<1>::from_data([0.3, -0.4], (device, DType::F64));
    [
        (numbers_like([2, 3, 8, 8], 0.5, device) * 2.0).into(),
        level.into(),
    ]
}

/// Two directions in the images and in every parameter.
fn directions(network: &UNet, device: &Device) -> Tangents {
    let all = [1e5, 2e5].map(|seed| network.clone().map(&mut Random { seed }));
    Tangents {
        inputs: vec![
            Some(numbers_like([2, 2, 3, 8, 8], 0.7, device).into()),
            None,
        ],
        parameters: ParameterTangents::from_modules(network, &all).expect("one structure"),
    }
}

/// All numbers of stack entry `k`.
fn flat(t: &Tangents, k: usize) -> Vec<f64> {
    let stacks = t
        .inputs
        .iter()
        .flatten()
        .chain(t.parameters.iter().map(|(_, t)| t));
    stacks.flat_map(|t| numbers(t, k)).collect()
}

fn numbers(t: &DynTensor, k: usize) -> Vec<f64> {
    let data = match t.shape().len() {
        1 => t.get::<1>().into_data(),
        2 => t.get::<2>().into_data(),
        3 => t.get::<3>().into_data(),
        4 => t.get::<4>().into_data(),
        _ => t.get::<5>().into_data(),
    };
    let all: Vec<f64> = data.iter::<f64>().collect();
    let n = all.len() / t.shape()[0];
    all[k * n..(k + 1) * n].to_vec()
}

fn close(name: &str, a: &[f64], b: &[f64], tolerance: f64) {
    let norm = |v: &[f64]| v.iter().map(|x| x * x).sum::<f64>().sqrt();
    let gap: Vec<f64> = a.iter().zip(b).map(|(a, b)| a - b).collect();
    let ratio = norm(&gap) / norm(b);
    println!("{name}: {ratio:e}");
    assert!(
        a.len() == b.len() && ratio <= tolerance,
        "{name}: {ratio:e}"
    );
}

#[test]
fn hessian_products_of_the_u_net_are_differences_of_gradients() {
    let device = Device::flex();
    let network = network(&device);
    let inputs = inputs(&device);
    let v = directions(&network, &device);
    let hvp = Hvp::new(loss).with_rules(burn_cpu_kernels::jvp::RULES);
    let second = hvp.call(&network, &inputs, &v).expect("a product");
    let jvp = Jvp::new(loss).with_rules(burn_cpu_kernels::jvp::RULES);
    let one: DynTensor = Tensor::<2>::ones([1, 1], (&device, DType::F64)).into();
    for k in 0..2 {
        let gradient = |h: f64| {
            let direction = v.inputs[0].as_ref().expect("a direction").get::<5>();
            let direction = direction
                .slice(burn::tensor::s![k..k + 1])
                .squeeze_dim::<4>(0);
            let x = inputs[0].get::<4>() + direction.mul_scalar(h);
            let moved = [x.into(), inputs[1].clone()];
            let network = v.parameters.displace(network.clone(), k, h);
            let g = jvp.vjp(&network, &moved, &v.variables(), &one);
            flat(&g.expect("a gradient"), 0)
        };
        let (up, down) = (gradient(1e-5), gradient(-1e-5));
        let difference: Vec<f64> = up.iter().zip(&down).map(|(u, d)| (u - d) / 2e-5).collect();
        close("product", &flat(&second.product, k), &difference, 1e-7);
    }
}

#[test]
fn single_precision_agrees_with_double() {
    let device = Device::flex();
    // One network for both: stacks are in the order of its parameters' ids.
    let double = network(&device);
    let directions = directions(&double, &device);
    let products = [FloatDType::F64, FloatDType::F32].map(|dtype| {
        let v = &directions;
        let cast = |t: &DynTensor| -> DynTensor {
            match t.shape().len() {
                1 => t.get::<1>().cast(dtype).into(),
                2 => t.get::<2>().cast(dtype).into(),
                3 => t.get::<3>().cast(dtype).into(),
                4 => t.get::<4>().cast(dtype).into(),
                _ => t.get::<5>().cast(dtype).into(),
            }
        };
        let v = Tangents {
            inputs: v.inputs.iter().map(|t| t.as_ref().map(cast)).collect(),
            parameters: v.parameters.iter().map(|(id, t)| (id, cast(t))).collect(),
        };
        let network = double.clone().map(&mut Cast(dtype));
        let inputs = inputs(&device).map(|x| cast(&x));
        let model = Jvp::new(forward).with_rules(burn_cpu_kernels::jvp::RULES);
        let double = |_: &DynTensor, t: DynTensor| (t.get::<5>() * 2.0).into();
        let (_, along) = model.along(&network, &inputs, &v).expect("a derivative");
        let gauss_newton = model.gauss_newton(&network, &inputs, &v, double);
        let hvp = Hvp::new(loss).with_rules(burn_cpu_kernels::jvp::RULES);
        let second = hvp.call(&network, &inputs, &v).expect("a product");
        let along = along.expect("a tangent");
        let gauss_newton = gauss_newton.expect("a product");
        [0, 1].map(|k| {
            [
                numbers(&along, k),
                flat(&gauss_newton, k),
                flat(&second.product, k),
            ]
        })
    });
    let [double, single] = products;
    for (single, double) in single.iter().flatten().zip(double.iter().flatten()) {
        close("f32", single, double, 1e-4);
    }
}
