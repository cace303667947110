//! Sway's side of `scripts/benchmark.py`: does one piece of work for each line that it reads.
//!
//! `export FOLDER` writes weights and inputs; `OPERATION BATCH` does the work once and answers with the
//! milliseconds that it took; `values OPERATION BATCH FILE` writes what it computed.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{BufRead, Write};
use std::path::Path;
use std::time::Instant;

use burn::module::{Module, ModuleMapper, Param};
use burn::optim::{AdamConfig, GradientsParams, ModuleOptimizer};
use burn::tensor::{Device, Tensor, TensorData};
use burn_jvp::{DynTensor, Jvp};
use datasway_diffusion::config::UNetConfig;
use datasway_diffusion::random::{Purpose, generator, normal};
use datasway_diffusion::unet::UNet;
use datasway_diffusion::weights;
use safetensors::tensor::{Dtype, TensorView};

/// Inputs are written for this many images; a batch of n is the first n.
const LARGEST_BATCH: usize = 128;
const TANGENTS: usize = 8;

type Forward = fn(&UNet, &[DynTensor]) -> DynTensor;

struct Work {
    network: UNet,
    trained: UNet,
    optimizer: ModuleOptimizer,
    jvp: Jvp<UNet, Forward>,
    device: Device,
}

/// Small random weights everywhere, so that no layer is zero.
struct Randomize {
    count: u64,
}

impl ModuleMapper for Randomize {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        self.count += 1;
        let mut rng = generator(1, Purpose::Batch, [self.count]);
        param.map(|value| {
            let dims = value.dims();
            let size = dims.iter().product();
            value.clone() + normal(&mut rng, [1, size], &value.device()).reshape(dims) * 0.02
        })
    }
}

fn config() -> UNetConfig {
    UNetConfig {
        image_channels: 3,
        image_size: 32,
        channels: 32,
        multipliers: vec![1, 2, 2],
        blocks: 1,
        attention: vec![8],
        head_channels: 64,
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    datasway_cli::allocator::keep_memory();
    let device = Device::flex();
    device.seed(0);
    let network = UNet::new(&config(), &device)?.map(&mut Randomize { count: 0 });
    let forward: Forward =
        |network, inputs| network.forward(inputs[0].get(), inputs[1].get()).into();
    let mut work = Work {
        trained: network.clone().set_require_grad(true).train(),
        optimizer: AdamConfig::new().init(),
        network,
        jvp: Jvp::new(forward),
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
                let values = work.run(operation, batch.parse()?)?;
                write(
                    Path::new(file),
                    &BTreeMap::from([("values".into(), values)]),
                )?;
                "done".to_owned()
            }
            [operation, batch] => {
                let batch = batch.parse()?;
                let started = Instant::now();
                work.run(operation, batch)?;
                format!("{}", started.elapsed().as_secs_f64() * 1e3)
            }
            _ => return Err(format!("not understood: {line}").into()),
        };
        println!("{answer}");
        std::io::stdout().flush()?;
    }
    Ok(())
}

impl Work {
    fn run(&mut self, operation: &str, n: usize) -> Result<TensorData, Box<dyn Error>> {
        let plain = self.device.clone();
        let (x, level) = (images(0, n, &plain), noise_levels(n, &plain));
        Ok(match operation {
            // What preparing the inputs costs, to be taken off.
            "inputs" => x.into_data(),
            "forward" => self.network.forward(x, level).into_data(),
            "jvp1" | "jvp2" | "jvp8" => {
                let count: u64 = operation[3..].parse()?;
                let tangents = (0..count).map(|k| images(10 + k, n, &plain)).collect();
                let tangents = Tensor::stack::<5>(tangents, 0);
                let (inputs, tangents) = ([x.into(), level.into()], [Some(tangents.into()), None]);
                let (_, products) = self.jvp.call(&self.network, &inputs, &tangents)?;
                products.ok_or("no tangent")?.get::<5>().into_data()
            }
            "vjp" => {
                let device = plain.autodiff();
                let x = images(0, n, &device).require_grad();
                let y = self.network.clone().no_grad().train();
                let y = y.forward(x.clone(), noise_levels(n, &device));
                let gradients = (y * images(1, n, &device)).sum().backward();
                x.grad(&gradients).ok_or("no gradient")?.into_data()
            }
            "train" => {
                let device = plain.autodiff();
                let y = self
                    .trained
                    .forward(images(0, n, &device), noise_levels(n, &device));
                let loss = (y - images(1, n, &device)).powi_scalar(2).mean();
                let gradients = GradientsParams::from_grads(loss.backward(), &self.trained);
                self.trained = self.optimizer.step(1e-4, self.trained.clone(), gradients);
                loss.into_data()
            }
            _ => return Err(format!("no operation {operation}").into()),
        })
    }

    fn export(&self, folder: &Path) -> Result<(), Box<dyn Error>> {
        let weights = weights::collect(&self.network).into_iter();
        let weights = weights.map(|(path, weight)| (path, weight.data)).collect();
        write(&folder.join("weights.safetensors"), &weights)?;
        let images = |what| images(what, LARGEST_BATCH, &self.device).into_data();
        let mut inputs = BTreeMap::from([("x".into(), images(0)), ("pull".into(), images(1))]);
        for k in 0..TANGENTS {
            inputs.insert(format!("tangent{k}"), images(10 + k as u64));
        }
        write(&folder.join("inputs.safetensors"), &inputs)
    }
}

/// Normal numbers, `[n, 3, 32, 32]`.
fn images(what: u64, n: usize, device: &Device) -> Tensor<4> {
    let mut rng = generator(2, Purpose::Sample, [what]);
    normal(&mut rng, [n, config().dim()], device).reshape([n, 3, 32, 32])
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
