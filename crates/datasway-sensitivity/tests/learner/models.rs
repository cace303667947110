//! Small models in double precision.

use burn::module::{Module, ModuleMapper, Param};
use burn::nn::{Linear, LinearConfig};
use burn::tensor::activation::tanh;
use burn::tensor::{DType, Device, Tensor};
use burn_jvp::{DynTensor, ParameterTangents};
use datasway_diffusion::config::UNetConfig;
use datasway_diffusion::loss::NoiseDistribution;
use datasway_diffusion::network::NetworkDenoiser;
use datasway_diffusion::precondition::Precondition;
use datasway_diffusion::random::{RandomStream, generator, normal};
use datasway_diffusion::sampler::Sampler;
use datasway_diffusion::training_noise::TrainingNoise;
use datasway_diffusion::unet::UNet;
use datasway_sensitivity::learner::{Curvature, Damping, LearnerConfig, PreconditionerKind};
use nalgebra::{DMatrix, DVector};

pub const SAMPLERS: [Sampler; 3] = [
    Sampler::Euler,
    Sampler::Heun,
    Sampler::Stochastic {
        s_churn: 8.0,
        s_min: 0.05,
        s_max: 50.0,
        s_noise: 1.003,
    },
];

pub static NOISE: &TrainingNoise = &TrainingNoise::LogNormal(NoiseDistribution {
    mean: -0.5,
    std: 1.0,
});

pub const PRECONDITION: Precondition = Precondition { sigma_data: 0.8 };

/// Options with the same draws for gradients and curvature, solved to rounding without damping.
pub const EXACT: LearnerConfig = LearnerConfig {
    curvature_draws: 120,
    gradient_draws: 120,
    image_draws: 4,
    damping: Damping::Fraction(0.0),
    preconditioner: PreconditionerKind::None,
    tolerance: 1e-13,
    iterations: 400,
    linearizations: 1,
    draw_noise: false,
    batch: 50,
    seed: 3,
};

pub fn draw<const D: usize>(seed: u64, shape: [usize; D]) -> Tensor<D> {
    let mut rng = generator(seed, RandomStream::Sample, []);
    let flat = normal(&mut rng, [1, shape.iter().product()], &Device::flex());
    flat.reshape(shape).cast(DType::F64)
}

pub fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    let data = tensor.into_data_dtype(DType::F64);
    data.iter::<f64>().collect()
}

fn numbers(tensor: &DynTensor) -> Vec<f64> {
    match tensor.shape().len() {
        2 => values(tensor.get::<2>()),
        3 => values(tensor.get::<3>()),
        5 => values(tensor.get::<5>()),
        rank => panic!("a stack of rank {rank}"),
    }
}

/// The entries of each of the K directions.
pub fn directions(tangents: &ParameterTangents) -> Vec<Vec<f64>> {
    let mut directions = vec![Vec::new(); tangents.k()];
    for (_, stack) in tangents.iter() {
        let entries = numbers(stack);
        let rows = entries.chunks_exact(entries.len() / directions.len());
        for (direction, row) in directions.iter_mut().zip(rows) {
            direction.extend_from_slice(row);
        }
    }
    directions
}

/// The directions with these entries, of the parameters and in the order of `like`, which is a stack of vectors and
/// matrices.
pub fn from_entries(like: &ParameterTangents, rows: &[Vec<f64>]) -> ParameterTangents {
    let mut tangents = ParameterTangents::new();
    let mut start = 0;
    for (id, stack) in like.iter() {
        let shape = stack.shape();
        let size: usize = shape[1..].iter().product();
        let entries: Vec<f64> = rows
            .iter()
            .flat_map(|row| row[start..start + size].to_vec())
            .collect();
        start += size;
        let flat = Tensor::<1>::from_data(entries.as_slice(), (&Device::flex(), DType::F64));
        match shape[1..] {
            [n] => tangents.insert(id, flat.reshape([rows.len(), n])),
            [m, n] => tangents.insert(id, flat.reshape([rows.len(), m, n])),
            _ => panic!("a parameter of the shape {shape:?}"),
        }
    }
    tangents
}

/// A curvature of few parameters, those of `like`, as a matrix.
pub fn matrix(curvature: &dyn Curvature, like: &ParameterTangents) -> DMatrix<f64> {
    let n = directions(like)[0].len();
    let unit = |i: usize| {
        (0..n)
            .map(|j| f64::from(u8::from(i == j)))
            .collect::<Vec<f64>>()
    };
    let identity = from_entries(like, &(0..n).map(unit).collect::<Vec<_>>());
    let product = curvature
        .product(&identity, &mut |_| ())
        .expect("a product");
    DMatrix::from_vec(n, n, directions(&product).concat())
}

/// `A⁻¹·b` by elimination, for a curvature A of few parameters.
pub fn solved(curvature: &dyn Curvature, damping: f64, b: &ParameterTangents) -> ParameterTangents {
    let right = directions(b).remove(0);
    let n = right.len();
    let matrix = matrix(curvature, b) + DMatrix::identity(n, n) * damping;
    let solution = matrix
        .lu()
        .solve(&DVector::from_vec(right))
        .expect("a solution");
    from_entries(b, &[solution.as_slice().to_vec()])
}

pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// `‖a − b‖/‖b‖`.
pub fn apart(a: &[f64], b: &[f64]) -> f64 {
    let difference: Vec<f64> = a.iter().zip(b).map(|(a, b)| a - b).collect();
    (dot(&difference, &difference) / dot(b, b)).sqrt()
}

/// Replaces parameters by random ones of a standard deviation.
struct Randomize {
    seed: u64,
    scale: f64,
}

impl ModuleMapper for Randomize {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        self.seed += 1;
        param.map(|value| draw(self.seed, value.dims()) * self.scale)
    }
}

/// The module with other parameters.
pub fn randomized<M: Module>(module: &M, seed: u64, scale: f64) -> M {
    module.clone().map(&mut Randomize { seed, scale })
}

/// K random directions of the weights.
pub fn random_directions<M: Module>(module: &M, k: u64) -> ParameterTangents {
    let columns: Vec<M> = (0..k)
        .map(|k| randomized(module, 500 + 100 * k, 1.0))
        .collect();
    ParameterTangents::from_modules(module, &columns).expect("one structure")
}

/// A network of points and their noise levels, in plain layers.
pub trait SmallNetwork: Module + 'static {
    fn forward(&self, x: Tensor<2>, level: Tensor<1>) -> Tensor<2>;

    fn denoiser(&self, d: usize) -> NetworkDenoiser<Self> {
        let forward = |network: &Self, x: Tensor<2>, level: Tensor<1>| network.forward(x, level);
        NetworkDenoiser::flat(self.clone(), d, PRECONDITION, forward)
    }
}

/// `F = A·(x, c_noise) + b`.
#[derive(Module, Debug)]
pub struct LinearModel {
    layer: Linear,
}

impl LinearModel {
    pub fn new(d: usize) -> Self {
        let layer = LinearConfig::new(d + 1, d).init(&Device::flex());
        randomized(&Self { layer }, 70, 0.5)
    }
}

impl SmallNetwork for LinearModel {
    fn forward(&self, x: Tensor<2>, level: Tensor<1>) -> Tensor<2> {
        let inputs = Tensor::cat(vec![x, level.unsqueeze_dim::<2>(1)], 1);
        self.layer.forward(inputs)
    }
}

/// `F = A·tanh(B·(x, c_noise) + b) + a`.
#[derive(Module, Debug)]
pub struct Perceptron {
    first: Linear,
    last: Linear,
}

impl Perceptron {
    pub fn new(d: usize, hidden: usize) -> Self {
        let device = Device::flex();
        let network = Self {
            first: LinearConfig::new(d + 1, hidden).init(&device),
            last: LinearConfig::new(hidden, d).init(&device),
        };
        randomized(&network, 71, 0.8)
    }
}

impl SmallNetwork for Perceptron {
    fn forward(&self, x: Tensor<2>, level: Tensor<1>) -> Tensor<2> {
        let inputs = Tensor::cat(vec![x, level.unsqueeze_dim::<2>(1)], 1);
        self.last.forward(tanh(self.first.forward(inputs)))
    }
}

/// A U-Net with random weights everywhere, attention included.
pub fn unet() -> (UNet, NetworkDenoiser) {
    let config = UNetConfig {
        image_channels: 1,
        image_size: 4,
        channels: 8,
        multipliers: vec![1, 2],
        blocks: 1,
        attention: vec![2],
        head_channels: 8,
        groups: None,
    };
    let network = UNet::new(&config, &Device::flex()).expect("a network");
    let network = randomized(&network, 40, 0.2);
    let denoiser = NetworkDenoiser::new(network.clone(), config, PRECONDITION);
    (network, denoiser)
}

/// Casts parameters to single precision.
pub struct ToSingle;

impl ModuleMapper for ToSingle {
    fn map_float<const R: usize>(&mut self, param: Param<Tensor<R>>) -> Param<Tensor<R>> {
        param.map(|value| value.cast(DType::F32))
    }
}
