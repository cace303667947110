//! Every operation of the U-Net on a device against the CPU: values, JVPs and VJPs, at the shapes of a network.
//!
//! Arguments: the device, the pixels of a side (32 or 64), the images of a batch, and, to compare some operations only, a
//! part of their names.
//!
//! ```sh
//! cargo run --release -p datasway-diffusion --features datasway-diffusion/cuda --example devices -- cuda 32 256
//! ```
//!
//! Printed for each operation is the largest difference in units of the largest entry: of the first run, which searches for
//! fast kernels, and of the second, which uses those found. The program fails if one is above `LIMIT`.

use std::collections::BTreeMap;
use std::error::Error;
use std::rc::Rc;
use std::time::Instant;

use burn::module::Module;
use burn::nn::interpolate::{Interpolate2dConfig, InterpolateMode};
use burn::tensor::{Device, Tensor, TensorData};
use burn_cpu_kernels::{GroupNormOptions, Stride, attention, conv3x3, group_norm, pointwise, silu};
use burn_jvp::{DynTensor, Jvp};
use datasway_diffusion::config::UNetConfig;
use datasway_diffusion::device::device;
use datasway_diffusion::random::{RandomStream, generator, normal};
use datasway_diffusion::unet::UNet;
use datasway_diffusion::weights::{self, Weight};

/// TF32 keeps 10 bits of a factor.
const LIMIT: f64 = 1e-2;
const TANGENTS: usize = 2;
const HEAD_CHANNELS: usize = 64;

type Function = Rc<dyn Fn(&UNet, &[Tensor<4>]) -> Tensor<4>>;

/// An operation with the shapes and the scales of its inputs, of which the first is differentiated.
struct Operation {
    name: String,
    inputs: Vec<([usize; 4], f64)>,
    function: Function,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, size, batch, rest @ ..] = arguments.as_slice() else {
        return Err("arguments: the device, the pixels of a side, the images of a batch".into());
    };
    let (size, batch): (usize, usize) = (size.parse()?, batch.parse()?);
    let devices = [Device::flex(), device(name)?];
    let config = config(size)?;
    let start = weights::draw(0, &devices[0], || UNet::new(&config, &devices[0]))?;
    let start = randomized(weights::collect(&start));
    let networks = devices.each_ref().map(|device| {
        weights::apply(UNet::new(&config, device)?, start.clone()).map_err(Box::<dyn Error>::from)
    });
    let [on_cpu, on_device] = networks;
    let networks = [on_cpu?, on_device?];

    println!("operation, pixels, batch, derivative, first run, second run, seconds");
    let mut worst = 0.0_f64;
    let all = operations(&config, batch);
    for operation in all
        .iter()
        .filter(|o| rest.iter().all(|part| o.name.contains(part)))
    {
        let run = |i: usize, what: &str| operation.run(&networks[i], &devices[i], what);
        for what in ["value", "jvp", "vjp"] {
            let expected = run(0, what)?;
            let begun = Instant::now();
            let differences =
                [run(1, what)?, run(1, what)?].map(|actual| difference(&expected, &actual));
            let [first, second] = differences;
            worst = differences.into_iter().fold(worst, |worst, d| {
                if d > worst || d.is_nan() { d } else { worst }
            });
            let mark = if first.max(second) < LIMIT {
                ""
            } else {
                " TOO MUCH"
            };
            let seconds = begun.elapsed().as_secs_f64();
            println!(
                "{}, {size}, {batch}, {what}, {first:.1e}, {second:.1e}, {seconds:.1}{mark}",
                operation.name
            );
        }
    }
    if worst < LIMIT {
        Ok(())
    } else {
        Err(format!("the largest difference is {worst:.1e}, more than {LIMIT:.0e}").into())
    }
}

fn config(size: usize) -> Result<UNetConfig, Box<dyn Error>> {
    let multipliers = match size {
        32 => vec![1, 2, 2],
        64 => vec![1, 2, 2, 2],
        _ => return Err(format!("a side has 32 or 64 pixels, not {size}").into()),
    };
    Ok(UNetConfig {
        image_channels: 3,
        image_size: size,
        channels: 32,
        multipliers,
        blocks: 1,
        attention: vec![8],
        head_channels: HEAD_CHANNELS,
        groups: None,
    })
}

/// Weights with small random numbers added, so that no layer is zero.
fn randomized(weights: BTreeMap<String, Weight>) -> BTreeMap<String, Weight> {
    let weights = weights.into_iter().zip(0..);
    let weights = weights.map(|((path, Weight { id, data }), count)| {
        let mut rng = generator(1, RandomStream::Batch, [count]);
        let entries = data.shape().iter().product();
        let added = values(normal(&mut rng, [1, entries], &Device::flex()));
        let moved: Vec<f32> = data
            .iter::<f32>()
            .zip(added)
            .map(|(w, v)| w + 0.02 * v)
            .collect();
        let data = TensorData::new(moved, data.shape().clone());
        (path, Weight { id, data })
    });
    weights.collect()
}

/// The largest difference in units of the largest entry.
fn difference(expected: &[f32], actual: &[f32]) -> f64 {
    let largest = |values: &mut dyn Iterator<Item = f32>| {
        values.fold(0.0_f64, |m, v| {
            if v.is_nan() {
                f64::NAN
            } else {
                m.max(f64::from(v.abs()))
            }
        })
    };
    let apart = largest(&mut expected.iter().zip(actual).map(|(a, b)| a - b));
    apart / largest(&mut expected.iter().copied())
}

impl Operation {
    fn run(&self, network: &UNet, device: &Device, what: &str) -> Result<Vec<f32>, Box<dyn Error>> {
        let mut inputs: Vec<Tensor<4>> = (0..)
            .zip(&self.inputs)
            .map(|(i, (shape, scale))| random(i, *shape, device) * *scale)
            .collect();
        let shape = self.inputs[0].0;
        Ok(match what {
            "value" => values((self.function)(network, &inputs)),
            "jvp" => {
                let function = self.function.clone();
                let jvp = Jvp::new(move |network: &UNet, inputs: &[DynTensor]| {
                    let inputs: Vec<Tensor<4>> = inputs.iter().map(DynTensor::get).collect();
                    function(network, &inputs).into()
                });
                let tangents = (0..TANGENTS as u64)
                    .map(|k| random(100 + k, shape, device))
                    .collect();
                let mut directions = vec![None; inputs.len()];
                directions[0] = Some(Tensor::stack::<5>(tangents, 0).into());
                let inputs: Vec<DynTensor> = inputs.into_iter().map(DynTensor::from).collect();
                let jvp = jvp.with_rules(burn_cpu_kernels::jvp::RULES);
                let (_, products) = jvp.call(network, &inputs, &directions)?;
                values(products.ok_or("no tangent")?.get::<5>())
            }
            _ => {
                inputs = inputs.into_iter().map(Tensor::autodiff).collect();
                let x = inputs[0].clone().require_grad();
                inputs[0] = x.clone();
                let y = (self.function)(&network.clone().no_grad().train(), &inputs);
                let pull = random(50, y.dims(), device).autodiff();
                let gradients = (y * pull).sum().backward();
                values(x.grad(&gradients).ok_or("no gradient")?)
            }
        })
    }
}

/// Normal numbers, the same on every device.
fn random(number: u64, shape: [usize; 4], device: &Device) -> Tensor<4> {
    let mut rng = generator(2, RandomStream::Sample, [number]);
    let [n, rest @ ..] = shape;
    normal(&mut rng, [n, rest.iter().product()], device).reshape(shape)
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

/// The operations of a network, one for each shape, and the network itself.
fn operations(config: &UNetConfig, n: usize) -> Vec<Operation> {
    let (size, c) = (config.image_size, config.channels);
    let levels: Vec<(usize, usize)> = (0..)
        .zip(&config.multipliers)
        .map(|(level, multiplier)| (size >> level, c * multiplier))
        .collect();
    let mut all = vec![conv(n, size, 3, c), conv(n, size, c, 3)];
    let mut below = c;
    for (level, &(side, channels)) in levels.iter().enumerate() {
        let skips = [channels + channels, channels + below];
        for inputs in [below, channels, skips[0], skips[1]] {
            all.push(conv(n, side, inputs, channels));
            all.extend([true, false].map(|silu| norm(n, side, inputs, silu)));
            all.push(map(n, side, inputs, channels));
        }
        if level > 0 {
            let above = levels[level - 1].0;
            all.push(halving(n, above, below));
            all.push(doubling(n, side, channels));
        }
        all.extend([
            join(n, side, channels, below),
            activation(n, side, channels),
        ]);
        if config.attention.contains(&side) {
            all.push(attending(n, side, channels));
        }
        below = channels;
    }
    let mut names = std::collections::BTreeSet::new();
    all.retain(|operation| names.insert(operation.name.clone()));
    all.push(Operation {
        name: "network".into(),
        inputs: vec![([n, 3, size, size], 1.0)],
        function: Rc::new(move |network, inputs| {
            let x = inputs[0].clone();
            let levels: Vec<f32> = (0..n).map(|i| 2.0 * i as f32 / n as f32 - 1.0).collect();
            let levels = Tensor::from_data(TensorData::new(levels, [n]), &x.device());
            network.forward(x, levels)
        }),
    });
    all
}

fn operation(
    name: String,
    inputs: Vec<([usize; 4], f64)>,
    function: impl Fn(&[Tensor<4>]) -> Tensor<4> + 'static,
) -> Operation {
    Operation {
        name,
        inputs,
        function: Rc::new(move |_, inputs| function(inputs)),
    }
}

/// A 3×3 convolution with a bias for each image.
fn conv(n: usize, side: usize, i: usize, o: usize) -> Operation {
    let scale = 1.0 / (9.0 * i as f64).sqrt();
    let inputs = vec![
        ([n, i, side, side], 1.0),
        ([o, i, 3, 3], scale),
        ([n, o, 1, 1], 1.0),
    ];
    operation(
        format!("conv3x3 {i} to {o} at {side}"),
        inputs,
        move |inputs| {
            conv3x3(
                inputs[0].clone(),
                inputs[1].clone(),
                inputs[2].clone().reshape([n, o]),
                Stride::One,
            )
        },
    )
}

/// A 3×3 convolution with stride 2.
fn halving(n: usize, side: usize, c: usize) -> Operation {
    let scale = 1.0 / (9.0 * c as f64).sqrt();
    let inputs = vec![([n, c, side, side], 1.0), ([c, c, 3, 3], scale)];
    operation(
        format!("conv3x3 of stride 2, {c} at {side}"),
        inputs,
        move |inputs| {
            let no_bias = Tensor::zeros([1, c], &inputs[0].device());
            conv3x3(inputs[0].clone(), inputs[1].clone(), no_bias, Stride::Two)
        },
    )
}

fn doubling(n: usize, side: usize, c: usize) -> Operation {
    let inputs = vec![([n, c, side, side], 1.0)];
    operation(format!("upsampling of {c} at {side}"), inputs, |inputs| {
        let double = Interpolate2dConfig::new().with_scale_factor(Some([2.0, 2.0]));
        let double = double.with_mode(InterpolateMode::Nearest).init();
        double.forward(inputs[0].clone())
    })
}

fn norm(n: usize, side: usize, c: usize, silu: bool) -> Operation {
    let inputs = vec![
        ([n, c, side, side], 1.0),
        ([1, c, 1, 1], 1.0),
        ([1, c, 1, 1], 1.0),
    ];
    let followed = if silu { " and SiLU" } else { "" };
    operation(
        format!("group norm{followed} of {c} at {side}"),
        inputs,
        move |inputs| {
            let [gamma, beta] = [1, 2].map(|i: usize| inputs[i].clone().reshape([c]));
            let options = GroupNormOptions {
                groups: c / 4,
                epsilon: 1e-5,
                silu,
            };
            group_norm(inputs[0].clone(), gamma, beta, options)
        },
    )
}

/// A 1×1 convolution.
fn map(n: usize, side: usize, i: usize, o: usize) -> Operation {
    let scale = 1.0 / (i as f64).sqrt();
    let inputs = vec![
        ([n, i, side, side], 1.0),
        ([i, o, 1, 1], scale),
        ([1, o, 1, 1], 1.0),
    ];
    operation(
        format!("pointwise {i} to {o} at {side}"),
        inputs,
        move |inputs| {
            let (weight, bias) = (
                inputs[1].clone().reshape([i, o]),
                inputs[2].clone().reshape([o]),
            );
            pointwise(inputs[0].clone(), weight, bias)
        },
    )
}

fn join(n: usize, side: usize, one: usize, other: usize) -> Operation {
    let inputs = vec![([n, one, side, side], 1.0), ([n, other, side, side], 1.0)];
    operation(
        format!("concatenation of {one} and {other} at {side}"),
        inputs,
        |inputs| Tensor::cat(inputs.to_vec(), 1),
    )
}

fn activation(n: usize, side: usize, c: usize) -> Operation {
    let inputs = vec![([n, c, side, side], 1.0)];
    operation(format!("SiLU of {c} at {side}"), inputs, |inputs| {
        silu(inputs[0].clone())
    })
}

fn attending(n: usize, side: usize, c: usize) -> Operation {
    let inputs = vec![([n, 3 * c, side, side], 1.0)];
    operation(
        format!("attention of {c} at {side}"),
        inputs,
        move |inputs| attention(inputs[0].clone(), c / HEAD_CHANNELS),
    )
}
