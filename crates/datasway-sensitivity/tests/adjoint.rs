//! The adjoint against the transposed tangent, for the sampler and for the effect of training data on samples.

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{DType, Device, Tensor};
use datasway_diffusion::config::UNetConfig;
use datasway_diffusion::denoiser::Denoiser;
use datasway_diffusion::network::NetworkDenoiser;
use datasway_diffusion::precondition::Precondition;
use datasway_diffusion::random::{RandomStream, generator, normal};
use datasway_diffusion::sampler::{FrozenNoise, Sampler, sample};
use datasway_diffusion::schedule::karras;
use datasway_diffusion::unet::UNet;
use datasway_sensitivity::density::{
    ClosedForm, Cutoff, LogDensity, ProbabilityFlow, Smoothed, Trace,
};
use datasway_sensitivity::influence::{AdjointInfluence, forcings};
use datasway_sensitivity::jacobian_trace::ProbeLaw;
use datasway_sensitivity::measure::{Empirical, Gaussian, Measure, perturbed};
use datasway_sensitivity::trajectory::Trajectory;
use datasway_sensitivity::trajectory::tangent::sample_with_tangents;

const SAMPLERS: [Sampler; 3] = [
    Sampler::Euler,
    Sampler::Heun,
    Sampler::Stochastic {
        s_churn: 8.0,
        s_min: 0.05,
        s_max: 50.0,
        s_noise: 1.003,
    },
];

fn draw<const D: usize>(seed: u64, shape: [usize; D], dtype: DType) -> Tensor<D> {
    let mut rng = generator(seed, RandomStream::Sample, []);
    let size = shape.iter().product();
    let flat = normal(&mut rng, [1, size], &Device::flex());
    flat.reshape(shape).cast(dtype)
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    let data = tensor.into_data_dtype(DType::F64);
    data.iter::<f64>().collect()
}

/// `Σ a·b` over the last axis, `[K, n]`, flat.
fn dot(a: Tensor<3>, b: Tensor<3>) -> Vec<f64> {
    values((a.cast(DType::F64) * b.cast(DType::F64)).sum_dim(2))
}

/// The largest difference, relative to the largest number.
fn apart(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    let size = b.iter().fold(0.0_f64, |top, x| top.max(x.abs()));
    let most = a.iter().zip(b).map(|(a, b)| (a - b).abs());
    most.fold(0.0, f64::max) / size
}

/// A U-Net with random weights everywhere, attention included.
fn network(dtype: DType) -> NetworkDenoiser {
    struct Randomize(u64, DType);
    impl ModuleMapper for Randomize {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            self.0 += 1;
            param.map(|value| draw(self.0, value.dims(), self.1) * 0.2)
        }
    }
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
    let network = network.map(&mut Randomize(40, dtype));
    NetworkDenoiser::new(network, config, Precondition { sigma_data: 0.5 })
}

#[test]
fn pulling_back_is_the_transpose_of_pushing_forward_for_every_sampler() {
    for (dtype, tolerance) in [(DType::F64, 1e-10), (DType::F32, 1e-4)] {
        let model = network(dtype);
        let (n, d) = (3, model.dim());
        let data = Empirical::new(draw(1, [20, d], dtype)).expect("points");
        for sampler in SAMPLERS {
            let path = Trajectory::sample(
                &model,
                &ClosedForm(&data),
                &sampler,
                &karras(6, 0.02, 20.0, 7.0),
                draw(2, [n, d], dtype),
                &FrozenNoise::new(5),
            )
            .expect("a path");
            let forcings: Vec<Tensor<3>> = (0..path.points.len() as u64)
                .map(|p| draw(100 + p, [2, n, d], dtype))
                .collect();
            let gradients = draw(3, [2, n, d], dtype);
            let delta = path.push_forward(&model, &forcings).expect("δ");
            let pulled = path.pull_back(&model, gradients.clone()).expect("G");
            let left = dot(gradients, delta);
            let mut right = vec![0.0; left.len()];
            for (g, f) in pulled.into_iter().zip(forcings) {
                let term = dot(g, f);
                right
                    .iter_mut()
                    .zip(term)
                    .for_each(|(sum, term)| *sum += term);
            }
            let error = apart(&right, &left);
            assert!(error < tolerance, "{dtype:?}, {sampler:?}: {error:e}");
        }
    }
}

#[test]
fn a_groups_mean_influence_is_its_tangent_whatever_the_density() {
    let (n, d) = (3, 16);
    for (dtype, tolerance) in [(DType::F64, 1e-10), (DType::F32, 1e-4)] {
        let model = network(dtype);
        let points = draw(1, [20, d], dtype);
        let data = Empirical::new(points.clone()).expect("points");
        let group = points.clone().slice_dim(0, 4..11);
        let flow = ProbabilityFlow {
            start: Gaussian::fitted(&points, true).expect("moments"),
            trace: Trace::Hutchinson {
                law: ProbeLaw::Rademacher,
                probes: 2,
                seed: 0,
                first: 0,
            },
        };
        let smoothed = Smoothed {
            data: &data,
            bandwidth: 0.7,
        };
        let cut = Cutoff {
            density: ClosedForm(&data),
            sigma: 1.0,
        };
        let densities: [(&str, &dyn LogDensity); 4] = [
            ("flow", &flow),
            ("empirical", &ClosedForm(&data)),
            ("smoothed", &smoothed),
            ("cut", &cut),
        ];
        for (name, density) in densities {
            let sigmas = karras(6, 0.3, 20.0, 7.0);
            let (start, noise) = (draw(2, [n, d], dtype), FrozenNoise::new(5));
            let sampler = Sampler::Heun;
            let direction = Empirical::new(group.clone()).expect("points");
            let tangent = sample_with_tangents(
                &model,
                &[&direction],
                density,
                &sampler,
                &sigmas,
                start.clone(),
                &noise,
            )
            .expect("δ");
            let path = Trajectory::sample(&model, density, &sampler, &sigmas, start, &noise)
                .expect("a path");
            let gradients = draw(3, [1, n, d], dtype);
            let left = dot(gradients.clone(), tangent.sensitivities);
            let pulled = path.pull_back(&model, gradients).expect("G");
            let influence = AdjointInfluence::new(&path, pulled, dtype).total(&group);
            let right = values(influence.mean_dim(2));
            let error = apart(&right, &left);
            assert!(error < tolerance, "{dtype:?}, {name}: {error:e}");
        }
    }
}

#[test]
fn influences_are_central_differences_in_the_mass_of_one_point() {
    // ρ in closed form, sampled with the denoiser of ρ + ηδ_y: a difference of samples against the adjoint.
    let points = draw(1, [24, 4], DType::F64);
    let data = Empirical::new(points.clone()).expect("points");
    let (start, noise) = (draw(2, [5, 4], DType::F64), FrozenNoise::new(5));
    let sigmas = karras(14, 0.6, 20.0, 7.0);
    let gradient = draw(3, [1, 5, 4], DType::F64);
    for sampler in SAMPLERS {
        let density = ClosedForm(&data);
        let path = Trajectory::sample(&data, &density, &sampler, &sigmas, start.clone(), &noise);
        let path = path.expect("a path");
        let pulled = path.pull_back(&data, gradient.clone()).expect("G");
        let influence = AdjointInfluence::new(&path, pulled, DType::F64);
        for y in [
            points.clone().slice_dim(0, 3..4),
            draw(9, [1, 4], DType::F64),
        ] {
            let point_mass = Empirical::new(y.clone()).expect("a point");
            let perturbed_samples = |mass: f64| {
                let changed =
                    perturbed(&data, &point_mass as &dyn Measure, mass).expect("a measure");
                sample(&changed, &sampler, &sigmas, start.clone(), &noise).expect("samples")
            };
            let central = |h: f64| (perturbed_samples(h) - perturbed_samples(-h)) / (2.0 * h);
            let slope = (central(1e-5) * 4.0 - central(2e-5)) / 3.0;
            let real = dot(gradient.clone(), slope.unsqueeze_dim(0));
            let predicted = values(influence.total(&y));
            let error = apart(&predicted, &real);
            assert!(error < 1e-6, "{sampler:?}: {error:e}");
        }
        // All data together change nothing: ρ + ηρ is ρ.
        let influences = influence.total(&points);
        let size = influences.clone().abs().mean().into_scalar::<f64>();
        let mean = influences.mean_dim(2).abs().max().into_scalar::<f64>();
        assert!(mean < 1e-12 * size, "{sampler:?}: {mean:e} of {size:e}");
    }
}

#[test]
fn weighted_points_push_as_the_mixture_of_their_measures() {
    let points = draw(1, [24, 4], DType::F64);
    let data = Empirical::new(points.clone()).expect("points");
    let (start, noise) = (draw(2, [5, 4], DType::F64), FrozenNoise::new(5));
    let (density, sigmas) = (ClosedForm(&data), karras(8, 0.6, 20.0, 7.0));
    let path = Trajectory::sample(
        &data,
        &density,
        &Sampler::Heun,
        &sigmas,
        start.clone(),
        &noise,
    );
    let path = path.expect("a path");
    let weights = (draw::<2>(4, [1, 24], DType::F64)).abs();
    let total = weights.clone().sum().into_scalar::<f64>();
    let masses = values(weights.clone());
    let direction = Empirical::weighted(points.clone(), &masses).expect("points");
    let real = sample_with_tangents(
        &data,
        &[&direction],
        &density,
        &Sampler::Heun,
        &sigmas,
        start,
        &noise,
    )
    .expect("δ");
    let normalized = weights.expand([5, 24]) / total;
    let changes = forcings(&path, &points, &normalized, DType::F64);
    let changes: Vec<Tensor<3>> = changes.into_iter().map(|f| f.unsqueeze_dim(0)).collect();
    let delta = path.push_forward(&data, &changes).expect("δ");
    let error = apart(&values(delta), &values(real.sensitivities));
    assert!(error < 1e-11, "{error:e}");
}
