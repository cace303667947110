//! A real foreign network on Burn: the terrain denoiser of PyPI's `adaptive-terrain-diffusion` 0.4.2 against onnxruntime.
//!
//! D is compared in single precision with onnxruntime, J·v in double precision with differences of the same graph. In single
//! precision J·v of this network has an error of its own.
//!
//! Its weights are taken by name from the SafeTensors that `scripts/peers/adaptive_terrain.py` writes. The network is the U-Net of
//! consistency models (Song et al., arXiv 2303.01469), the preconditioning is theirs.
//!
//! ```sh
//! python scripts/peers/adaptive_terrain.py FOLDER
//! cargo run --release --example adaptive_terrain -- FOLDER
//! ```

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{GroupNorm, Linear, PaddingConfig2d};
use burn::tensor::{DType, Device, Tensor, TensorData};
use burn_cpu_kernels::{GroupNormOptions, Stride, silu};
use datasway_diffusion::denoiser::Denoiser;
use datasway_diffusion::network::NetworkDenoiser;
use datasway_diffusion::parameterization::Parameterization;
use datasway_pretrained::layers::{conv, group_norm, linear};
use datasway_pretrained::state_dict::{StateDict, StateScope};
use datasway_pretrained::weights;

/// Height and width of a terrain.
const SIZE: usize = 128;
/// Channels of each level.
const LEVELS: [usize; 5] = [32, 32, 64, 96, 128];
/// Residual blocks of a level on the way down.
const BLOCKS: usize = 4;
/// The first level with attention.
const ATTENTION: usize = 2;
/// Channels of the embedding.
const EMBEDDING: usize = 128;
/// Channels of an attention head.
const HEAD: usize = 32;
/// The label of the difficulty, as in the script.
const DIFFICULTY: f64 = 0.5;

/// The preconditioning of consistency models, with `D(x, 0.002) = x`.
struct Consistency;

const SIGMA_DATA: f64 = 0.5;
const SIGMA_MIN: f64 = 0.002;

impl Parameterization for Consistency {
    fn c_skip(&self, sigma: f64) -> f64 {
        SIGMA_DATA.powi(2) / ((sigma - SIGMA_MIN).powi(2) + SIGMA_DATA.powi(2))
    }

    fn c_out(&self, sigma: f64) -> f64 {
        (sigma - SIGMA_MIN) * SIGMA_DATA * self.c_in(sigma)
    }

    fn c_in(&self, sigma: f64) -> f64 {
        1.0 / (sigma.powi(2) + SIGMA_DATA.powi(2)).sqrt()
    }

    fn c_noise(&self, sigma: f64) -> f64 {
        250.0 * sigma.ln()
    }
}

/// The U-Net.
#[derive(Module, Debug)]
struct Terrain {
    time: [Linear; 2],
    difficulty: [Linear; 2],
    input: Conv2d,
    /// Blocks whose results are skips of the way up.
    down: Vec<Stage>,
    middle: Stage,
    up: Vec<Stage>,
    norm: GroupNorm,
    output: Conv2d,
}

/// One entry of `input_blocks`, `middle_block` or `output_blocks`: residual blocks, the first with attention.
#[derive(Module, Debug)]
struct Stage {
    block: Block,
    attention: Option<Attention>,
    last: Option<Block>,
}

#[derive(Module, Debug)]
struct Block {
    norm1: GroupNorm,
    conv1: Conv2d,
    embedding: Linear,
    norm2: GroupNorm,
    conv2: Conv2d,
    skip: Option<Linear>,
    /// −1: halves the resolution, 1: doubles it, 0: keeps it.
    resample: i32,
}

#[derive(Module, Debug)]
struct Attention {
    norm: GroupNorm,
    qkv: Linear,
    output: Linear,
}

impl Terrain {
    fn load(root: &StateScope<'_>) -> Self {
        let perceptron = |name: &str, input| {
            let scope = root.at(name);
            [(0, input), (2, EMBEDDING)]
                .map(|(i, input)| linear(&scope.index(i), [input, EMBEDDING], true))
        };
        let mut channels = LEVELS[0];
        let mut skips = vec![channels];
        let (mut down, mut up) = (Vec::new(), Vec::new());
        for (level, output) in LEVELS.into_iter().enumerate() {
            for i in 0..=BLOCKS {
                let halves = i == BLOCKS;
                if halves && level + 1 == LEVELS.len() {
                    break;
                }
                let scope = root.at("input_blocks").index(down.len() + 1);
                down.push(Stage {
                    block: Block::load(&scope.at("0"), [channels, output], -i32::from(halves)),
                    attention: (!halves && level >= ATTENTION)
                        .then(|| Attention::load(&scope.at("1"), output)),
                    last: None,
                });
                channels = output;
                skips.push(channels);
            }
        }
        let scope = root.at("middle_block");
        let middle = Stage {
            block: Block::load(&scope.at("0"), [channels; 2], 0),
            attention: Some(Attention::load(&scope.at("1"), channels)),
            last: Some(Block::load(&scope.at("2"), [channels; 2], 0)),
        };
        for (level, output) in LEVELS.into_iter().enumerate().rev() {
            for i in 0..=BLOCKS {
                let scope = root.at("output_blocks").index(up.len());
                let skip = skips.pop().expect("a skip for each block");
                let attends = level >= ATTENTION;
                let last = scope.index(1 + usize::from(attends));
                up.push(Stage {
                    block: Block::load(&scope.at("0"), [channels + skip, output], 0),
                    attention: attends.then(|| Attention::load(&scope.at("1"), output)),
                    last: (i == BLOCKS && level > 0).then(|| Block::load(&last, [output; 2], 1)),
                });
                channels = output;
            }
        }
        Self {
            time: perceptron("time_embed", LEVELS[0]),
            difficulty: perceptron("label_emb", 1),
            input: conv3x3(&root.at("input_blocks.0.0"), [1, LEVELS[0]]),
            down,
            middle,
            up,
            norm: group_norm(&root.at("out.0"), 32, channels, 1e-5),
            output: conv3x3(&root.at("out.2"), [channels, 1]),
        }
    }

    fn forward(&self, x: Tensor<2>, time: Tensor<1>) -> Tensor<2> {
        let n = x.dims()[0];
        let embedding = self.embedding(time);
        let mut x = convolve(&self.input, x.reshape([n, 1, SIZE, SIZE]));
        let mut skips = vec![x.clone()];
        for stage in &self.down {
            x = stage.forward(x, &embedding);
            skips.push(x.clone());
        }
        x = self.middle.forward(x, &embedding);
        for stage in &self.up {
            let skip = skips.pop().expect("a skip for each block");
            x = stage.forward(Tensor::cat(vec![x, skip], 1), &embedding);
        }
        convolve(&self.output, normalize(&self.norm, x, true)).reshape([n, SIZE * SIZE])
    }

    /// The activated embedding of time and difficulty.
    fn embedding(&self, time: Tensor<1>) -> Tensor<2> {
        let half = LEVELS[0] / 2;
        let (device, dtype) = (time.device(), time.dtype());
        let constant = |values: Vec<f64>| {
            let shape = [1, values.len()];
            Tensor::<2>::from_data(TensorData::new(values, shape), (&device, dtype))
        };
        let frequency = |i: usize| 10000_f64.powf(-(i as f64) / half as f64);
        let phase = time.unsqueeze_dim::<2>(1) * constant((0..half).map(frequency).collect());
        let waves = Tensor::cat(vec![phase.clone().cos(), phase.sin()], 1);
        let perceptron = |[first, second]: &[Linear; 2], x| second.forward(silu(first.forward(x)));
        let difficulty = perceptron(&self.difficulty, constant(vec![DIFFICULTY]));
        silu(perceptron(&self.time, waves) + difficulty)
    }
}

impl Stage {
    fn forward(&self, x: Tensor<4>, embedding: &Tensor<2>) -> Tensor<4> {
        let mut x = self.block.forward(x, embedding);
        if let Some(attention) = &self.attention {
            x = attention.forward(x);
        }
        match &self.last {
            Some(block) => block.forward(x, embedding),
            None => x,
        }
    }
}

impl Block {
    fn load(scope: &StateScope<'_>, [input, output]: [usize; 2], resample: i32) -> Self {
        Self {
            norm1: group_norm(&scope.at("in_layers.0"), 32, input, 1e-5),
            conv1: conv3x3(&scope.at("in_layers.2"), [input, output]),
            embedding: linear(&scope.at("emb_layers.1"), [EMBEDDING, 2 * output], true),
            norm2: group_norm(&scope.at("out_layers.0"), 32, output, 1e-5),
            conv2: conv3x3(&scope.at("out_layers.3"), [output, output]),
            skip: (input != output)
                .then(|| pointwise(&scope.at("skip_connection"), [input, output])),
            resample,
        }
    }

    /// `skip(x) + conv(silu(norm(h)·(1 + scale) + shift))`.
    fn forward(&self, x: Tensor<4>, embedding: &Tensor<2>) -> Tensor<4> {
        let h = self.resample(normalize(&self.norm1, x.clone(), true));
        let h = convolve(&self.conv1, h);
        let [n, c, _, _] = h.dims();
        let modulation = self.embedding.forward(embedding.clone());
        let part = |i: usize| {
            modulation
                .clone()
                .slice_dim(1, i * c..(i + 1) * c)
                .reshape([n, c, 1, 1])
        };
        let h = normalize(&self.norm2, h, false) * (part(0) + 1.0) + part(1);
        let x = self.resample(x);
        let x = match &self.skip {
            Some(skip) => map_channels(skip, x),
            None => x,
        };
        x + convolve(&self.conv2, silu(h))
    }

    /// Means of 2×2 pixels, or each pixel four times.
    fn resample(&self, x: Tensor<4>) -> Tensor<4> {
        let [n, c, h, w] = x.dims();
        if self.resample < 0 {
            x.reshape([n, c, h / 2, 2, w / 2, 2])
                .mean_dim(5)
                .mean_dim(3)
                .reshape([n, c, h / 2, w / 2])
        } else if self.resample > 0 {
            x.reshape([n, c, h, 1, w, 1])
                .repeat_dim(3, 2)
                .repeat_dim(5, 2)
                .reshape([n, c, 2 * h, 2 * w])
        } else {
            x
        }
    }
}

impl Attention {
    fn load(scope: &StateScope<'_>, channels: usize) -> Self {
        Self {
            norm: group_norm(&scope.at("norm"), 32, channels, 1e-5),
            qkv: pointwise(&scope.at("qkv"), [channels, 3 * channels]),
            output: pointwise(&scope.at("proj_out"), [channels; 2]),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let heads = x.dims()[1] / HEAD;
        let qkv = map_channels(&self.qkv, normalize(&self.norm, x.clone(), false));
        x + map_channels(&self.output, burn_cpu_kernels::attention(qkv, heads))
    }
}

fn conv3x3(scope: &StateScope<'_>, channels: [usize; 2]) -> Conv2d {
    let padding = PaddingConfig2d::Explicit(1, 1, 1, 1);
    conv(
        scope,
        &Conv2dConfig::new(channels, [3, 3]).with_padding(padding),
    )
}

/// A 1×1 convolution as a linear map.
fn pointwise(scope: &StateScope<'_>, [input, output]: [usize; 2]) -> Linear {
    let mut layer = burn::nn::LinearConfig::new(input, output).init(scope.device());
    let weight: Tensor<4> = scope.tensor("weight", [output, input, 1, 1]);
    layer.weight = burn::module::Param::from_tensor(weight.reshape([output, input]).transpose());
    layer.bias = Some(scope.parameter("bias", [output]));
    layer
}

fn map_channels(layer: &Linear, x: Tensor<4>) -> Tensor<4> {
    let bias = layer.bias.as_ref().expect("every layer has a bias");
    burn_cpu_kernels::pointwise(x, layer.weight.val(), bias.val())
}

fn convolve(conv: &Conv2d, x: Tensor<4>) -> Tensor<4> {
    let bias = conv.bias.as_ref().expect("every layer has a bias");
    burn_cpu_kernels::conv3x3(x, conv.weight.val(), bias.val().unsqueeze(), Stride::One)
}

fn normalize(norm: &GroupNorm, x: Tensor<4>, silu: bool) -> Tensor<4> {
    let weights = [&norm.gamma, &norm.beta];
    let [gamma, beta] = weights.map(|weight| weight.as_ref().expect("every norm is affine").val());
    let options = GroupNormOptions {
        groups: norm.num_groups,
        epsilon: norm.epsilon,
        silu,
    };
    burn_cpu_kernels::group_norm(x, gamma, beta, options)
}

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args()
        .nth(1)
        .ok_or("give the folder that the script wrote")?;
    let folder = Path::new(&folder);
    let [single, double] = [load(folder, DType::F32)?, load(folder, DType::F64)?];
    let reference = weights::read(&folder.join("reference.safetensors"))?;
    let sigmas: Vec<f64> = reference["sigmas"].iter::<f64>().collect();
    let mut worst = 0.0_f64;
    for (i, sigma) in sigmas.iter().enumerate() {
        let row = |name: &str, dtype: DType| -> Tensor<2> {
            Tensor::from_data(reference[name].clone(), (&Device::flex(), dtype))
                .slice_dim(0, i..i + 1)
        };
        let errors = |denoiser: &NetworkDenoiser<Terrain>, dtype: DType| {
            let direction = row("directions", dtype).unsqueeze_dim(0);
            let clock = Instant::now();
            let (denoised, derivative) = denoiser.jvp(row("points", dtype), *sigma, direction)?;
            let seconds = clock.elapsed().as_secs_f64();
            let errors = [
                relative(denoised, row("denoised", DType::F64)),
                relative(derivative.squeeze_dim(0), row("derivatives", DType::F64)),
            ];
            println!(
                "σ = {sigma:.1} in {dtype:?}: D differs by {:.1e}, J·v by {:.1e}, {seconds:.1} s",
                errors[0], errors[1]
            );
            Ok::<_, Box<dyn Error>>(errors)
        };
        let [denoised, _] = errors(&single, DType::F32)?;
        let [_, derivative] = errors(&double, DType::F64)?;
        worst = worst.max(denoised).max(derivative);
    }
    if worst < 1e-4 {
        return Ok(());
    }
    Err(format!("the network differs from the reference by {worst:.1e}").into())
}

/// The denoiser in a precision.
fn load(folder: &Path, dtype: DType) -> Result<NetworkDenoiser<Terrain>, Box<dyn Error>> {
    let tensors = weights::read(&folder.join("weights.safetensors"))?;
    let dict = StateDict::new(tensors, &Device::flex(), dtype);
    let network = Terrain::load(&dict.root());
    dict.finish()?;
    println!("{} weights in {dtype:?}", network.num_params());
    Ok(NetworkDenoiser::flat(
        network,
        SIZE * SIZE,
        Consistency,
        Terrain::forward,
    ))
}

/// The largest difference, relative to the largest of the reference.
fn relative(ours: Tensor<2>, theirs: Tensor<2>) -> f64 {
    let largest = |x: Tensor<2>| x.abs().max().into_data().iter::<f64>().next();
    let difference = largest(ours.cast(DType::F64) - theirs.clone());
    difference.unwrap_or(f64::NAN) / largest(theirs).unwrap_or(f64::NAN)
}
