//! Denoisers of every prediction, for Gaussians in closed form.

use burn::module::Module;
use burn::tensor::{DType, Device, Tensor, TensorData};

use datasway_diffusion::denoiser::Denoiser;
use datasway_diffusion::network::NetworkDenoiser;
use datasway_diffusion::parameterization::{
    EpsilonPrediction, FlowMatching, Parameterization, SamplePrediction, ScorePrediction,
    TimeTable, VelocityPrediction,
};
use datasway_diffusion::precondition::Precondition;

/// Means and standard deviations of independent Gaussian pixels.
const MEANS: [f64; 3] = [0.3, -0.5, 0.0];
const DEVIATIONS: [f64; 3] = [0.4, 0.7, 0.2];
/// Noise levels of the table of time steps: `ln σ_t` is the square of a line.
const TIMES: usize = 40;

fn sigma_of(t: f64) -> f64 {
    (-4.0 + 0.2 * t + 0.001 * t * t).exp()
}

fn table() -> TimeTable {
    let sigmas: Vec<f64> = (0..TIMES).map(|t| sigma_of(t as f64)).collect();
    TimeTable::new(&sigmas).unwrap()
}

/// A network without weights.
#[derive(Module, Debug)]
struct Exact;

/// Numbers like a tensor, one for each pixel.
fn pixels(like: &Tensor<2>, values: [f64; 3]) -> Tensor<2> {
    let data = TensorData::new(values.to_vec(), [1, 3]);
    Tensor::from_data(data, (&like.device(), like.dtype()))
}

/// The exact denoiser `μ + s²/(s²+σ²)·(x − μ)` of the Gaussian.
fn exact(x: Tensor<2>, sigma: f64) -> Tensor<2> {
    let gain = DEVIATIONS.map(|s| s * s / (s * s + sigma * sigma));
    let mean = pixels(&x, MEANS);
    mean.clone() + (x.clone() - mean) * pixels(&x, gain)
}

/// Checks the denoiser and both products of a prediction, whose network is told the noise level by `sigma`, and predicts
/// `target(y, n, σ)` for the exact image `y` and noise `n` of its point.
fn check(
    name: &str,
    parameterization: impl Parameterization + Clone + 'static,
    sigma_of_level: fn(f64) -> f64,
    target: fn(Tensor<2>, Tensor<2>, f64) -> Tensor<2>,
) {
    let device = (&Device::flex(), DType::F64);
    let x = Tensor::<2>::from_data([[0.2, -0.9, 1.4], [-0.7, 0.1, 0.6]], device);
    let v = Tensor::<3>::from_data([[[0.3, -1.0, 0.5], [0.8, 0.2, -0.4]]], device);
    for t in [0.0, 7.0, 20.0, 39.0] {
        let sigma = sigma_of(t);
        let level = parameterization.c_noise(sigma);
        let told = sigma_of_level(level);
        assert!(
            (told / sigma - 1.0).abs() < 1e-10,
            "{name}: {level} at σ = {sigma}"
        );
        let c_in = parameterization.c_in(sigma);
        let forward = move |_: &Exact, input: Tensor<2>, _: Tensor<1>| {
            // Not a division: its gradient in Burn rounds the divisor to single precision.
            let x = input * c_in.recip();
            let y = exact(x.clone(), sigma);
            let n = (x - y.clone()) * sigma.recip();
            target(y, n, sigma)
        };
        let denoiser = NetworkDenoiser::flat(Exact, 3, parameterization.clone(), forward);
        let expected = exact(x.clone(), sigma);
        let distance = |a: Tensor<2>, b: Tensor<2>| (a - b).abs().max().into_scalar::<f64>();
        let denoised = denoiser.denoise(x.clone(), sigma).unwrap();
        let error = distance(denoised, expected.clone());
        assert!(
            error < 1e-10,
            "{name}: D at σ = {sigma} is off by {error:e}"
        );
        // The denoiser is affine, so the difference is exact.
        let along = v.clone().squeeze_dim::<2>(0);
        let moved = exact(x.clone() + along, sigma) - expected;
        let products = [
            ("J·v", denoiser.jvp(x.clone(), sigma, v.clone()).unwrap().1),
            ("Jᵀ·v", denoiser.vjp(x.clone(), sigma, v.clone()).unwrap().1),
        ];
        for (what, product) in products {
            let error = distance(product.squeeze_dim::<2>(0), moved.clone());
            assert!(
                error < 1e-10,
                "{name}: {what} at σ = {sigma} is off by {error:e}"
            );
        }
        let weight = parameterization.loss_weight(sigma);
        assert!(weight.is_finite() && weight > 0.0, "{name}: {weight}");
    }
}

#[test]
fn exact_network_of_a_gaussian_gives_its_denoiser_for_every_prediction() {
    let times = table();
    let epsilon = EpsilonPrediction {
        times: times.clone(),
    };
    check("ε", epsilon, sigma_of, |_, n, _| n);
    let velocity = VelocityPrediction {
        times: times.clone(),
    };
    check("v", velocity, sigma_of, |y, n, sigma| {
        (n - y * sigma) * sigma.hypot(1.0).recip()
    });
    check("sample", SamplePrediction { times }, sigma_of, |y, _, _| y);
    check(
        "score",
        ScorePrediction,
        |level| level,
        |_, n, sigma| n * -sigma.recip(),
    );
    let flow = FlowMatching { times: 1000.0 };
    check("flow", flow, |t| t / (1000.0 - t), |y, n, _| n - y);
    let edm = Precondition { sigma_data: 0.5 };
    check(
        "EDM",
        edm,
        |level| (4.0 * level).exp(),
        |y, n, sigma| {
            let p = Precondition { sigma_data: 0.5 };
            let x = y.clone() + n * sigma;
            (y - x * p.c_skip(sigma)) * p.c_out(sigma).recip()
        },
    );
}

#[test]
fn time_steps_are_interpolated_in_the_logarithm_and_clamped() {
    let times = TimeTable::new(&[0.01, 0.1, 10.0]).unwrap();
    for (sigma, t, rounded) in [
        (0.001, 0.0, 0.0),
        (0.01, 0.0, 0.0),
        (0.01 * 10.0_f64.powf(0.25), 0.25, 0.0),
        (0.1, 1.0, 1.0),
        (1.5, 1.0 + 15.0_f64.log10() / 2.0, 2.0),
        (10.0, 2.0, 2.0),
        (1e4, 2.0, 2.0),
    ] {
        assert!((times.time(sigma) - t).abs() < 1e-12, "σ = {sigma}");
        assert_eq!(times.clone().rounded().time(sigma), rounded, "σ = {sigma}");
    }
    let [low, high] = times.range();
    assert!((low - 0.01).abs() < 1e-12 && (high - 10.0).abs() < 1e-12);
}

#[test]
fn table_that_does_not_increase_is_refused() {
    for (sigmas, reason) in [
        (vec![1.0], "at least two"),
        (vec![0.1, f64::INFINITY], "positive and finite, not inf"),
        (vec![0.0, 1.0], "positive and finite, not 0"),
        (vec![0.1, 1.0, 1.0], "step 2 is not above"),
    ] {
        let message = TimeTable::new(&sigmas).unwrap_err().to_string();
        assert!(message.contains(reason), "{message}");
    }
}
