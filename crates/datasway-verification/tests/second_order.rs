//! The second derivative of a sample in η, against samples of the exactly perturbed mixture.

use burn::tensor::{DType, Device, Tensor};
use datasway_diffusion::sampler::{FrozenNoise, Sampler, sample};
use datasway_diffusion::schedule::karras;
use datasway_sensitivity::density::ClosedForm;
use datasway_sensitivity::measure::perturbed;
use datasway_sensitivity::trajectory::tangent::TangentSolver;
use datasway_verification::problems::random_mixture::{Covariances, Perturbation, RandomMixture};

/// γ against `(x_η − 2x + x_−η)/η²`, by samples of the exactly perturbed mixture; two directions share one path.
#[test]
fn the_second_derivative_is_that_of_the_samples() {
    let device = Device::flex();
    let mixture = RandomMixture::new(5, Covariances::Unequal, 1);
    let data = mixture.data(&device, DType::F64).expect("ρ");
    let [added, removed] = [Perturbation::Add, Perturbation::Remove]
        .map(|change| mixture.direction(change, &device, DType::F64).expect("ν"));
    let samplers = [
        Sampler::Heun,
        Sampler::Stochastic {
            s_churn: 8.0,
            s_min: 0.05,
            s_max: 50.0,
            s_noise: 1.003,
        },
    ];
    for sampler in samplers {
        let (sigmas, noise) = (karras(12, 0.05, 20.0, 7.0), FrozenNoise::new(3));
        let start = noise.start([6, 5], &device, DType::F64);
        let solver = TangentSolver {
            model: &data,
            directions: &[&added, &removed],
            density: &ClosedForm(&data),
            sampler: &sampler,
            sigmas: &sigmas,
            noise: &noise,
            curvatures: 2,
            step_parts: 0,
        };
        let gammas = solver
            .sample_with_tangents(start.clone())
            .expect("γ")
            .curvatures
            .expect("γ");
        for (k, direction) in [&added, &removed].into_iter().enumerate() {
            let gamma = gammas.clone().slice_dim(0, k..k + 1).squeeze_dim::<2>(0);
            let samples = |mass: f64| {
                let denoiser = perturbed(&data, direction, mass).expect("ρ_η");
                sample(&denoiser, &sampler, &sigmas, start.clone(), &noise).expect("samples")
            };
            let h = 1e-4;
            let second = (samples(h) - samples(0.0) * 2.0 + samples(-h)) / (h * h);
            let norms = |v: Tensor<2>| v.powi_scalar(2).sum_dim(1).sqrt();
            let errors = norms(second.clone() - gamma) / norms(second);
            let worst = errors.max().into_scalar::<f64>();
            assert!(worst < 1e-4, "{sampler:?}, direction {k}: {worst:e}");
        }
    }
}
