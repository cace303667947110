//! Schedulers against diffusers, and time steps against k-diffusion.

use burn::module::Module;
use burn::tensor::{DType, Device, Tensor, TensorData};
use datasway_diffusion::denoiser::Denoiser;
use datasway_diffusion::network::NetworkDenoiser;
use datasway_diffusion::training_noise::TrainingNoise;
use datasway_pretrained::diffusers::scheduler::SchedulerConfig;
use safetensors::SafeTensors;
use serde::Deserialize;
use serde_json::Value;

use crate::case::{largest_difference, numbers, uniform};

/// Entries of a point.
pub const D: usize = 6;
/// Largest error of a signal `ᾱ` and of a denoised point.
const TOLERANCE: f64 = 1e-6;

#[derive(Deserialize)]
struct Header {
    name: String,
    config: Value,
    steps: Vec<usize>,
    times: usize,
    ends: [f64; 2],
}

/// The linear map `a + t/T·b`.
#[derive(Module, Debug)]
pub struct Linear {
    a: Tensor<2>,
    b: Tensor<2>,
    times: f64,
}

impl Linear {
    /// A map of drawn weights.
    pub fn new(times: usize) -> Self {
        Self {
            a: tensor("a", [D, D]),
            b: tensor("b", [D, D]),
            times: times as f64,
        }
    }

    /// The mapped points of `[n, D]` and time steps `[n]`.
    pub fn forward(&self, x: Tensor<2>, t: Tensor<1>) -> Tensor<2> {
        let part = (t * self.times.recip()).unsqueeze_dim::<2>(1);
        x.clone().matmul(self.a.clone().transpose()) + x.matmul(self.b.clone().transpose()) * part
    }
}

/// A drawn matrix.
pub fn tensor(name: &str, shape: [usize; 2]) -> Tensor<2> {
    let data = TensorData::new(uniform(name, shape[0] * shape[1]), shape);
    Tensor::from_data(data, (&Device::flex(), DType::F64))
}

#[test]
fn tables_time_steps_and_denoisers_are_those_of_diffusers() {
    let bytes = include_bytes!("../data/scheduler.safetensors");
    let (_, metadata) = SafeTensors::read_metadata(bytes).unwrap();
    let metadata = metadata.metadata().as_ref().unwrap();
    let headers: Vec<Header> = serde_json::from_str(&metadata["cases"]).unwrap();
    let arrays = SafeTensors::deserialize(bytes).unwrap();
    let between = numbers(&arrays, "between");
    let mut worst = [0.0_f64; 3];
    for case in &headers {
        let theirs = |what: &str| numbers(&arrays, &format!("{}/{what}", case.name));
        let scheduler = SchedulerConfig::parse(&case.config).unwrap();
        let TrainingNoise::Levels(sigmas) = scheduler.training_noise() else {
            panic!("{}: a table of noise levels", case.name);
        };
        let signals: Vec<f64> = sigmas
            .iter()
            .map(|sigma| (1.0 + sigma * sigma).recip())
            .collect();
        let kept = signals.iter().step_by((case.times / 50).max(1));
        let errors = kept.zip(theirs("signals")).map(|(a, b)| (a - b).abs());
        let error = errors.fold(0.0, f64::max);
        assert!(
            error <= TOLERANCE,
            "{}: a signal differs by {error:e}",
            case.name
        );
        worst[0] = worst[0].max(error);

        let range = scheduler.sigma_range();
        for (ours, theirs) in range.iter().zip(case.ends) {
            // A signal near 1 or 0 leaves few digits of the noise level.
            assert!(
                (ours / theirs - 1.0).abs() < 1e-3,
                "{}: {range:?}",
                case.name
            );
        }

        let parameterization = scheduler.parameterization(false).unwrap();
        let ours: Vec<f64> = between
            .iter()
            .map(|s| parameterization.c_noise(*s))
            .collect();
        let error = largest_difference(&ours, &theirs("times"));
        assert!(
            error < 1e-2,
            "{}: a time step differs by {error:e}",
            case.name
        );
        worst[1] = worst[1].max(error);

        let denoiser = NetworkDenoiser::flat(
            Linear::new(case.times),
            D,
            parameterization,
            Linear::forward,
        );
        for (t, theirs) in case.steps.iter().zip(theirs("denoised").chunks(D)) {
            let sigma = sigmas[*t];
            let x = tensor("point", [1, D]) * (1.0 + sigma);
            let ours = denoiser.denoise(x, sigma).unwrap().into_data();
            let ours: Vec<f64> = ours.iter::<f64>().collect();
            let size = theirs.iter().fold(0.0_f64, |m, v| m.max(v.abs()));
            let error = largest_difference(&ours, theirs) / size;
            assert!(
                error <= TOLERANCE,
                "{}: D at step {t} differs by {error:e}",
                case.name
            );
            worst[2] = worst[2].max(error);
        }
    }
    println!(
        "{} cases: largest errors of ᾱ, t(σ), D: {worst:?}",
        headers.len()
    );
}
