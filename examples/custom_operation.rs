//! A foreign module with a custom operation of its own, and the rule that differentiates it.
//!
//! The module is the ideal denoiser of the four corners (±1, ±1) of a square, `D(x, σ) = tanh(x/σ²)`. Its hyperbolic tangent is a
//! custom operation, as a kernel of one's own would be: recorded by name, and differentiated by a rule, which `check_jvp` tests.
//!
//! ```sh
//! cargo run -p datasway --example custom_operation
//! ```

use std::error::Error;

use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::capture::CaptureBackend;
use burn::backend::ir::{CustomOpIr, OperationIr, OperationOutput, TensorIr};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, TensorMetadata, backend_extension};
use burn::module::{Module, Param};
use burn::tensor::{DType, Device, Distribution, Tensor};
use burn_router::RouterClient;
use datasway::density::{DensityEstimator, Smoothed};
use datasway::diffusion::denoiser::Denoiser;
use datasway::diffusion::network::NetworkDenoiser;
use datasway::diffusion::parameterization::Parameterization;
use datasway::diffusion::sampler::Sampler;
use datasway::diffusion::schedule;
use datasway::jvp::check::{CheckError, CheckOptions, check_jvp, random_tangents};
use datasway::jvp::dual::lift;
use datasway::jvp::{CustomRule, Dual, DynTensor, Jvp, Refusal};
use datasway::measure::Empirical;
use datasway::sensitivities::{Sensitivities, compute};
use datasway::{ResolvedConfig, StartingNoise};

/// Name of the recorded operation.
const SATURATE: &str = "example.saturate";

/// The operation tanh(x). A backend with a kernel of its own overrides the body; Burn differentiates the body backwards.
#[backend_extension(Flex, Capture, Autodiff)]
trait SaturateBackend: Backend {
    fn saturate(x: FloatTensor<Self>) -> FloatTensor<Self> {
        Self::float_tanh(x)
    }
}

impl SaturateBackend for Flex {}

impl<B: Backend, C: CheckpointStrategy> SaturateBackend for Autodiff<B, C> {}

impl SaturateBackend for CaptureBackend {
    fn saturate(x: FloatTensor<Self>) -> FloatTensor<Self> {
        let client = x.client.clone();
        let out = TensorIr::uninit(client.create_empty_handle(), x.shape(), x.dtype());
        let op = CustomOpIr::new(SATURATE, &[x.into_ir()], &[out]);
        client.register(OperationIr::Custom(op)).output()
    }
}

/// `y = tanh(x)`: `y' = (1 − y²)·x'`.
struct SaturateRule;

impl CustomRule for SaturateRule {
    fn id(&self) -> &str {
        SATURATE
    }

    fn jvp(&self, _: &CustomOpIr, inputs: Vec<Dual>, _: usize) -> Result<Vec<Dual>, Refusal> {
        let [x]: [Dual; 1] = inputs.try_into().map_err(|_| Refusal::unknown())?;
        let primal = <Dispatch as SaturateBackend>::saturate(x.primal);
        let tangent = x.tangent.map(|tangent| {
            // `[1, n, d]`, for all K tangents.
            let y = Tensor::<3>::from_dispatch(lift(&primal));
            let tangent = Tensor::<3>::from_dispatch(tangent);
            (tangent.clone() - tangent * y.powi_scalar(2)).into_dispatch()
        });
        Ok(vec![Dual { primal, tangent }])
    }
}

/// The module: `tanh(g·x/σ²)` with a weight g, which is 1.
#[derive(Module, Debug)]
struct Corners {
    gain: Param<Tensor<1>>,
}

impl Corners {
    fn new(device: &Device, dtype: DType) -> Self {
        Self {
            gain: Param::from_tensor(Tensor::ones([1], (device, dtype))),
        }
    }

    /// The denoised points of `[n, 2]` and noise levels `[n]`, `[n, 2]`.
    fn forward(&self, x: Tensor<2>, sigma: Tensor<1>) -> Tensor<2> {
        let variance = sigma.powi_scalar(2).unsqueeze_dim::<2>(1);
        let scaled = x * self.gain.val().unsqueeze_dim::<2>(0) / variance;
        let saturated = <Dispatch as SaturateBackend>::saturate(scaled.into_dispatch());
        Tensor::from_dispatch(saturated)
    }
}

/// A network that is the denoiser: `D(x, σ) = F(x, σ)`.
#[derive(Debug, Clone, Copy)]
struct Direct;

impl Parameterization for Direct {
    fn c_skip(&self, _: f64) -> f64 {
        0.0
    }

    fn c_out(&self, _: f64) -> f64 {
        1.0
    }

    fn c_in(&self, _: f64) -> f64 {
        1.0
    }

    fn c_noise(&self, sigma: f64) -> f64 {
        sigma
    }
}

/// Checks the rule inside the module: against differences in double precision, with stacks of tangents, in single precision.
pub fn check_rule() -> Result<(), CheckError> {
    let device = Device::flex();
    let points = Distribution::Normal(0.0, 1.0);
    let points = Tensor::<2>::random([5, 2], points, (&device, DType::F64));
    let sigma = Tensor::<1>::from_data([0.5, 0.7, 1.0, 1.5, 2.0], (&device, DType::F64));
    let inputs = [points.into(), sigma.into()];
    let forward = |module: &Corners, inputs: &[DynTensor]| {
        let output = module.forward(inputs[0].get::<2>(), inputs[1].get::<1>());
        output.into()
    };
    let jvp = Jvp::new(forward).with_rules(&[&SaturateRule]);
    let tangents = random_tangents(&inputs, 3, 0);
    let module = Corners::new(&device, DType::F64);
    check_jvp(&jvp, &module, &inputs, &tangents, &CheckOptions::default())
}

/// The module as a denoiser.
pub fn model() -> impl Denoiser {
    let network = Corners::new(&Device::flex(), DType::F32);
    NetworkDenoiser::flat(network, 2, Direct, Corners::forward).with_rules(&[&SaturateRule])
}

/// The four corners.
pub fn corners() -> Tensor<2> {
    Tensor::from_floats(
        [[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]],
        &Device::flex(),
    )
}

/// Samples of a model of the corners, and their sensitivities to those at the right. The last noise level is high, so that a sample
/// is a mean over corners, which the data change.
pub fn sensitivities(model: &dyn Denoiser) -> Result<Sensitivities, Box<dyn Error>> {
    let device = Device::flex();
    let right = Empirical::new(corners().slice_dim(0, 0..2))?;
    let config = ResolvedConfig {
        first: 0,
        samples: 64,
        batch: 64,
        sampler: Sampler::Heun,
        sigmas: schedule::checked(12, 0.5, 20.0, schedule::RHO)?,
        density: DensityEstimator::Smoothed(Smoothed {
            data: Empirical::new(corners())?,
            bandwidth: 0.3,
        }),
        cutoff: 0.0,
        seed: 0,
        start: StartingNoise::Drawn,
        curvature: false,
        by_step: false,
        zero_check: None,
    };
    Ok(compute(model, &[&right], &config, &device, |_| ())?)
}

fn main() -> Result<(), Box<dyn Error>> {
    check_rule()?;
    let result = sensitivities(&model())?;
    for sample in 0..8 {
        let (x, delta) = (result.sample(sample), result.delta(0, sample));
        println!(
            "a sample at ({:5.2}, {:5.2}) moves by ({:5.2}, {:5.2}) per unit of mass",
            x[0], x[1], delta[0], delta[1]
        );
    }
    Ok(())
}
