//! Datasway's side of `scripts/benchmark.py`: one piece of work for each line of its input.
//!
//! Arguments: the device (`flex` unless given) and the pixels of a side, 32 or 64 (32 unless given).
//!
//! - `export FOLDER` writes weights and inputs.
//! - `OPERATION BATCH REPEATS` repeats the work without waiting in between, waits for the device at the end, and prints
//!   the milliseconds of one repeat.
//! - `values OPERATION BATCH FILE` writes the results, those in the weights one after the other by path.
//!
//! Second-order operations are those of the mean square error. Directions in the weights are drawn as the weights are.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{BufRead, Write};
use std::path::Path;
use std::time::Instant;

use burn::module::{Module, ModuleMapper, Param, ParamId};
use burn::optim::{AdamConfig, GradientsParams, ModuleOptimizer};
use burn::tensor::{Device, Tensor, TensorData};
use burn_jvp::{DynTensor, Hvp, Jvp, ParameterTangents, Tangents};
use datasway_diffusion::config::UNetConfig;
use datasway_diffusion::device::device;
use datasway_diffusion::random::{RandomStream, generator, normal};
use datasway_diffusion::unet::UNet;
use datasway_diffusion::weights;
use safetensors::tensor::{Dtype, TensorView};

/// Inputs are written for this many images; a batch of n is the first n.
const LARGEST_BATCH: usize = 256;
const TANGENTS: usize = 8;
const DIRECTIONS: usize = 4;

type Forward = fn(&UNet, &[DynTensor]) -> DynTensor;

struct Work {
    config: UNetConfig,
    /// Inputs that have been asked for, by number, batch and whether they are on the autodiff twin.
    inputs: BTreeMap<(u64, usize, bool), Tensor<4>>,
    network: UNet,
    trained: UNet,
    optimizer: ModuleOptimizer,
    jvp: Jvp<UNet, Forward>,
    /// The mean square error.
    hvp: Hvp<UNet, Forward>,
    /// Directions in the weights.
    directions: Vec<UNet>,
    /// The first K directions in the weights as tangents, by K.
    tangents: BTreeMap<usize, Tangents>,
    /// The ids of the weights in the order of their paths.
    ids: Vec<ParamId>,
    device: Device,
}

/// Adds small random numbers to weights, so that no layer is zero.
struct Randomize {
    seed: u64,
    count: u64,
}

impl ModuleMapper for Randomize {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        self.count += 1;
        let mut rng = generator(self.seed, RandomStream::Batch, [self.count]);
        param.map(|value| {
            let dims = value.dims();
            let size = dims.iter().product();
            value.clone() + normal(&mut rng, [1, size], &value.device()).reshape(dims) * 0.02
        })
    }
}

/// `drawn` with small random numbers added.
fn randomize(drawn: UNet, seed: u64) -> UNet {
    drawn.map(&mut Randomize { seed, count: 0 })
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
        head_channels: 64,
        groups: None,
    })
}

fn main() -> Result<(), Box<dyn Error>> {
    datasway_cli::allocator::keep_memory();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let device = device(arguments.first().map_or("flex", String::as_str))?;
    let config = config(arguments.get(1).map_or(Ok(32), |size| size.parse())?)?;
    // The same weights on every device.
    let flex = Device::flex();
    let drawn = weights::draw(0, &flex, || UNet::new(&config, &flex))?;
    let on_device = |seed| -> Result<UNet, Box<dyn Error>> {
        let weights = weights::collect(&randomize(drawn.clone(), seed));
        Ok(weights::apply(UNet::new(&config, &device)?, weights)?)
    };
    let network = on_device(1)?;
    let directions: Result<Vec<UNet>, _> =
        (0..DIRECTIONS as u64).map(|k| on_device(2 + k)).collect();
    let directions = directions?;
    let forward: Forward =
        |network, inputs| network.forward(inputs[0].get(), inputs[1].get()).into();
    let loss: Forward = |network, inputs| {
        let y = network.forward(inputs[0].get(), inputs[1].get());
        (y - inputs[2].get()).powi_scalar(2).mean().into()
    };
    let first = |k: usize| -> Result<(usize, Tangents), burn_jvp::JvpError> {
        let first = ParameterTangents::from_modules(&network, &directions[..k])?;
        Ok((k, Tangents::of_parameters(first)))
    };
    let mut work = Work {
        config,
        inputs: BTreeMap::new(),
        trained: network.clone().set_require_grad(true).train(),
        optimizer: AdamConfig::new().init(),
        jvp: Jvp::new(forward).with_rules(burn_cpu_kernels::jvp::RULES),
        hvp: Hvp::new(loss).with_rules(burn_cpu_kernels::jvp::RULES),
        tangents: BTreeMap::from([first(1)?, first(DIRECTIONS)?]),
        ids: weights::collect(&network)
            .values()
            .map(|weight| ParamId::from(weight.id))
            .collect(),
        directions,
        network,
        device,
    };
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let words: Vec<&str> = line.split_whitespace().collect();
        let answer = match words.as_slice() {
            ["export", folder] => {
                work.export(Path::new(folder))?;
                format!("{} parameters", work.network.num_params())
            }
            ["values", operation, batch, file] => {
                let values = joined(work.run(operation, batch.parse()?)?);
                write(
                    Path::new(file),
                    &BTreeMap::from([("values".into(), values.into_data())]),
                )?;
                "done".to_owned()
            }
            [operation, batch, repeats] => {
                let (batch, repeats): (usize, u32) = (batch.parse()?, repeats.parse()?);
                work.prepare(operation, batch)?;
                work.device.sync()?;
                let started = Instant::now();
                // Results are kept, because a device that runs behind may skip unused ones.
                let results: Result<Vec<_>, _> =
                    (0..repeats).map(|_| work.run(operation, batch)).collect();
                work.device.sync()?;
                let seconds = started.elapsed().as_secs_f64();
                drop(results?);
                format!("{}", seconds * 1e3 / f64::from(repeats))
            }
            _ => return Err(format!("not understood: {line}").into()),
        };
        println!("{answer}");
        std::io::stdout().flush()?;
    }
    Ok(())
}

impl Work {
    /// The results of an operation, those in the weights in the order of their paths.
    fn run(&mut self, operation: &str, n: usize) -> Result<Vec<DynTensor>, Box<dyn Error>> {
        let plain = self.device.clone();
        let x = self.images(0, n, false);
        let level = noise_levels(n, &plain);
        Ok(vec![match operation {
            "forward" => self.network.forward(x, level).into(),
            "jvp1" | "jvp2" | "jvp8" => {
                let tangents = (0..count(operation)?)
                    .map(|k| self.images(10 + k, n, false))
                    .collect();
                let tangents = Tensor::stack::<5>(tangents, 0);
                let (inputs, tangents) = ([x.into(), level.into()], [Some(tangents.into()), None]);
                let (_, products) = self.jvp.call(&self.network, &inputs, &tangents)?;
                products.ok_or("no tangent")?
            }
            "weights1" | "weights4" => {
                let inputs = [x.into(), level.into()];
                let tangents = &self.tangents[&operation["weights".len()..].parse()?];
                let (_, products) = self.jvp.along(&self.network, &inputs, tangents)?;
                products.ok_or("no tangent")?
            }
            "hvp" => {
                let inputs = [x.into(), level.into(), self.images(1, n, false).into()];
                let second = self.hvp.call(&self.network, &inputs, &self.tangents[&1])?;
                return self.by_path(&second.product.parameters);
            }
            "gauss_newton" => {
                let inputs = [x.into(), level.into()];
                // The Hessian of the mean square error in the output is 2/n.
                let metric = |y: &DynTensor, t: DynTensor| {
                    let entries: usize = y.shape().iter().product();
                    (t.get::<5>() * (2.0 / entries as f64)).into()
                };
                let product =
                    self.jvp
                        .gauss_newton(&self.network, &inputs, &self.tangents[&1], metric)?;
                return self.by_path(&product.parameters);
            }
            "vjp" => {
                let device = plain.autodiff();
                let x = x.autodiff().require_grad();
                let y = self.network.clone().no_grad().train();
                let y = y.forward(x.clone(), noise_levels(n, &device));
                let gradients = (y * self.images(1, n, true)).sum().backward();
                x.grad(&gradients).ok_or("no gradient")?.into()
            }
            "train" => {
                let device = plain.autodiff();
                let x = self.images(0, n, true);
                let y = self.trained.forward(x, noise_levels(n, &device));
                let loss = (y - self.images(1, n, true)).powi_scalar(2).mean();
                let gradients = GradientsParams::from_grads(loss.backward(), &self.trained);
                self.trained = self.optimizer.step(1e-4, self.trained.clone(), gradients);
                loss.inner().into()
            }
            _ => return Err(format!("no operation {operation}").into()),
        }])
    }

    /// A tensor for each weight, in the order of the weights' paths.
    fn by_path(&self, weights: &ParameterTangents) -> Result<Vec<DynTensor>, Box<dyn Error>> {
        let tensor = |id: &ParamId| weights.get(*id).cloned();
        let tensors: Option<Vec<DynTensor>> = self.ids.iter().map(tensor).collect();
        Ok(tensors.ok_or("a weight is missing")?)
    }

    /// Puts the inputs of an operation on the device.
    fn prepare(&mut self, operation: &str, n: usize) -> Result<(), Box<dyn Error>> {
        for what in [0, 1] {
            self.images(what, n, false);
            self.images(what, n, true);
        }
        if operation.starts_with("jvp") {
            for k in 0..count(operation)? {
                self.images(10 + k, n, false);
            }
        }
        Ok(())
    }

    /// Normal numbers `[n, 3, h, w]`, on the device or its autodiff twin; the first of every longer batch.
    fn images(&mut self, what: u64, n: usize, autodiff: bool) -> Tensor<4> {
        let (size, dim) = (self.config.image_size, self.config.dim());
        let plain = &self.device;
        let images = self.inputs.entry((what, n, autodiff)).or_insert_with(|| {
            let mut rng = generator(2, RandomStream::Sample, [what]);
            let images = normal(&mut rng, [n, dim], plain).reshape([n, 3, size, size]);
            if autodiff { images.autodiff() } else { images }
        });
        images.clone()
    }

    fn export(&mut self, folder: &Path) -> Result<(), Box<dyn Error>> {
        let named = self.directions.iter().enumerate();
        let named = named.map(|(k, direction)| (format!("direction{k}"), direction));
        for (name, network) in named.chain([("weights".to_owned(), &self.network)]) {
            let weights = weights::collect(network).into_iter();
            let weights = weights.map(|(path, weight)| (path, weight.data)).collect();
            write(&folder.join(format!("{name}.safetensors")), &weights)?;
        }
        let mut images = |what| self.images(what, LARGEST_BATCH, false).into_data();
        let mut inputs = BTreeMap::from([("x".into(), images(0)), ("pull".into(), images(1))]);
        for k in 0..TANGENTS {
            inputs.insert(format!("tangent{k}"), images(10 + k as u64));
        }
        write(&folder.join("inputs.safetensors"), &inputs)
    }
}

/// K of `jvpK`.
fn count(operation: &str) -> Result<u64, std::num::ParseIntError> {
    operation[3..].parse()
}

/// The numbers of tensors of ranks from 1 to 5, one after the other.
fn joined(tensors: Vec<DynTensor>) -> Tensor<1> {
    let flat = |tensor: DynTensor| {
        let n: usize = tensor.shape().iter().product();
        match tensor.shape().len() {
            1 => tensor.get::<1>(),
            2 => tensor.get::<2>().reshape([n]),
            3 => tensor.get::<3>().reshape([n]),
            4 => tensor.get::<4>().reshape([n]),
            rank => {
                assert_eq!(rank, 5, "a loss, images, weights or tangents of them");
                tensor.get::<5>().reshape([n])
            }
        }
    };
    Tensor::cat(tensors.into_iter().map(flat).collect(), 0)
}

/// `c_noise` from −1 to 1 over the batch.
fn noise_levels(n: usize, device: &Device) -> Tensor<1> {
    let levels: Vec<f32> = (0..n).map(|i| 2.0 * i as f32 / n as f32 - 1.0).collect();
    Tensor::from_data(TensorData::new(levels, [n]), device)
}

fn write(path: &Path, tensors: &BTreeMap<String, TensorData>) -> Result<(), Box<dyn Error>> {
    let mut views = Vec::new();
    for (name, data) in tensors {
        let shape = data.shape().iter().copied().collect();
        views.push((name, TensorView::new(Dtype::F32, shape, data.as_bytes())?));
    }
    std::fs::write(path, safetensors::serialize(views, None)?)?;
    Ok(())
}
