//! Given pictures, images outside the training set, and the parts of the steps: against closed forms, and against samples.

use std::path::Path;

use burn::tensor::{DType, Device, Tensor};
use datasway_data::{Dataset, LoadOptions, Source};
use datasway_diffusion::checkpoint::Checkpoint;
use datasway_diffusion::denoiser::Denoiser;
use datasway_diffusion::encoding::{CORRECTIONS, Encoder};
use datasway_diffusion::loss::NoiseDistribution;
use datasway_diffusion::network::NetworkDenoiser;
use datasway_diffusion::random::{RandomStream, generator, normal};
use datasway_diffusion::sampler::{FrozenNoise, Sampler, sample};
use datasway_diffusion::schedule::{edm, karras};
use datasway_diffusion::training_noise::TrainingNoise;
use datasway_sensitivity::density::{Bandwidth, DensityConfig, DensityKind, checkpoint_moments};
use datasway_sensitivity::influence::{
    Distance, Functional, Influences, Linear, compute_through_weights, compute_with_candidates,
};
use datasway_sensitivity::learner::{Learner, LearnerConfig};
use datasway_sensitivity::measure::{Empirical, Gaussian, ImagePoints, Measure};
use datasway_sensitivity::sensitivities::{self, Sensitivities};
use datasway_sensitivity::{EncodedPictures, ResolvedConfig, SensitivityConfig, StartingNoise};

const STOCHASTIC: Sampler = Sampler::Stochastic {
    s_churn: 30.0,
    s_min: 0.01,
    s_max: 1.0,
    s_noise: 1.007,
};

fn draw(seed: u64, shape: [usize; 2]) -> Tensor<2> {
    let mut rng = generator(seed, RandomStream::Sample, []);
    normal(&mut rng, shape, &Device::flex()).cast(DType::F64)
}

fn values<const D: usize>(tensor: &Tensor<D>) -> Vec<f64> {
    let data = tensor.clone().into_data_dtype(DType::F64);
    data.iter::<f64>().collect()
}

fn wide(row: &[f32]) -> Vec<f64> {
    row.iter().map(|v| f64::from(*v)).collect()
}

/// The largest difference, relative to the largest number.
fn apart(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    let size = b.iter().fold(0.0_f64, |top, x| top.max(x.abs()));
    let gaps = a.iter().zip(b).map(|(a, b)| (a - b).abs());
    assert!(a.iter().chain(b).all(|v| v.is_finite()));
    gaps.fold(0.0, f64::max) / size
}

/// The encoded noise tends to that of the ODE with the square of the step. With corrections the sampler draws the picture again
/// whatever the step is.
#[test]
fn pictures_of_a_gaussian_are_encoded_to_the_noise_that_they_came_from() {
    let d = 4;
    let mixing = draw(1, [60, d]).matmul(draw(2, [d, d]));
    let gaussian = Gaussian::fitted(&mixing, false).expect("moments");
    let sigma_max = 20.0;
    // Samples of known noise, on a grid so fine that they are those of the ODE.
    let pictures = sample(
        &gaussian,
        &Sampler::Heun,
        &karras(800, 0.002, sigma_max, 7.0),
        draw(3, [5, d]),
        &FrozenNoise::new(0),
    )
    .expect("samples");
    let exact = draw(3, [5, d]);
    let encode = |steps: usize, corrections: usize, sampler: Sampler| {
        let sigmas = karras(steps, 0.002, sigma_max, 7.0);
        let encoder = Encoder {
            denoiser: &gaussian,
            sampler: &sampler,
            sigmas: &sigmas,
            corrections,
        };
        let noise = encoder.encode(pictures.clone()).expect("noise");
        let again = sample(
            &gaussian,
            &sampler,
            &sigmas,
            noise.clone(),
            &FrozenNoise::new(0),
        );
        let round_trip = apart(&values(&again.expect("samples")), &values(&pictures));
        (apart(&values(&noise), &values(&exact)), round_trip)
    };
    for corrections in [0, 60] {
        let [coarse, fine] = [40, 160].map(|steps| encode(steps, corrections, Sampler::Heun).0);
        assert!(fine < coarse / 10.0 && fine < 2e-3, "{coarse:e}, {fine:e}");
    }
    for sampler in [Sampler::Heun, Sampler::Euler] {
        let (_, round_trip) = encode(18, 60, sampler);
        assert!(round_trip < 1e-11, "{sampler:?}: {round_trip:e}");
    }
    let (_, uncorrected) = encode(18, 0, Sampler::Heun);
    assert!(uncorrected > 1e-4, "{uncorrected:e}");
}

/// One axis in closed form: `x(σ) = μ + √((s² + σ²)/s²)·(y − μ)`.
#[test]
fn on_one_axis_the_noise_is_the_distance_to_the_mean() {
    let axis = draw(4, [50, 1]) * 0.3 + 0.1;
    let gaussian = Gaussian::fitted(&axis, false).expect("moments");
    let rows = values(&axis);
    let mean = rows.iter().sum::<f64>() / 50.0;
    let variance = rows.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 50.0;
    let (sigmas, pictures) = (karras(2000, 0.002, 20.0, 7.0), draw(5, [6, 1]));
    let encoder = Encoder {
        denoiser: &gaussian,
        sampler: &Sampler::Heun,
        sigmas: &sigmas,
        corrections: CORRECTIONS,
    };
    let noise = values(&encoder.encode(pictures.clone()).expect("noise"));
    let growth = ((variance + 400.0) / variance).sqrt();
    let exact = values(&pictures);
    let exact: Vec<f64> = exact
        .iter()
        .map(|y| (mean + growth * (y - mean)) / 20.0)
        .collect();
    let error = apart(&noise, &exact);
    assert!(error < 1e-4, "{error:e}");
}

#[test]
fn a_sampler_with_fresh_noise_is_not_run_backwards() {
    let gaussian = Gaussian::fitted(&draw(1, [20, 2]), true).expect("moments");
    let encoder = Encoder {
        denoiser: &gaussian,
        sampler: &STOCHASTIC,
        sigmas: &edm(6),
        corrections: CORRECTIONS,
    };
    let error = encoder.encode(draw(2, [1, 2])).unwrap_err().to_string();
    assert!(error.contains("fresh noise"), "{error}");
}

/// The shipped model with some of its training images.
struct Scene {
    checkpoint: Checkpoint,
    network: NetworkDenoiser,
    data: Dataset,
    device: Device,
}

impl Scene {
    fn new() -> Self {
        let file =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../../checkpoints/faces16.safetensors");
        let (checkpoint, device) = (Checkpoint::load(&file).unwrap(), Device::flex());
        let options = LoadOptions {
            size: Some(16),
            ..LoadOptions::default()
        };
        Self {
            network: NetworkDenoiser::from_checkpoint(&checkpoint, &device).unwrap(),
            data: datasway_data::load(&Source::parse("faces:60").unwrap(), &options).unwrap(),
            checkpoint,
            device,
        }
    }

    fn config(&self, density: DensityKind, sampler: Sampler) -> ResolvedConfig {
        let empirical = density == DensityKind::Empirical;
        let config = SensitivityConfig {
            samples: 3,
            batch: 2,
            sampler,
            sigmas: edm(10),
            density: DensityConfig {
                density,
                bandwidth: empirical.then_some(Bandwidth::Fixed(2.0)),
                ..DensityConfig::default()
            },
            by_step: true,
            ..SensitivityConfig::default()
        };
        config
            .resolve(
                &checkpoint_moments(&self.checkpoint),
                &self.data,
                true,
                &self.device,
            )
            .unwrap()
    }

    fn sensitivities(&self, config: &ResolvedConfig) -> Sensitivities {
        let groups = [self.data.subset(&[1, 2, 3]), self.data.subset(&[9])];
        let measures =
            groups.map(|group| Empirical::of_images(&group, true, &self.device).unwrap());
        let measures: Vec<&dyn Measure> = measures.iter().map(|m| m as &dyn Measure).collect();
        sensitivities::compute(&self.network, &measures, config, &self.device, |_| ()).unwrap()
    }

    fn points(&self, indices: &[usize]) -> ImagePoints {
        ImagePoints::new(&self.data.subset(indices), true, &self.device)
    }

    fn all_points(&self) -> ImagePoints {
        ImagePoints::new(&self.data, true, &self.device)
    }

    fn functionals(&self) -> Vec<Box<dyn Functional>> {
        let d = self.data.shape.dim();
        vec![
            Box::new(Distance {
                name: "image".to_owned(),
                target: self.data.values(17).collect(),
            }),
            Box::new(Linear {
                name: "region".to_owned(),
                weights: (0..d).map(|j| f32::from(u8::from(j % 16 < 4))).collect(),
            }),
        ]
    }
}

/// Encoding the samples gives their noise back, and their sensitivities.
#[test]
fn an_encoded_sample_has_the_noise_and_the_sensitivities_of_the_sample() {
    let scene = Scene::new();
    for (sampler, density) in [
        (Sampler::Heun, DensityKind::Empirical),
        (Sampler::Euler, DensityKind::ProbabilityFlow),
    ] {
        let resolved = ResolvedConfig {
            sigmas: edm(40),
            by_step: false,
            ..scene.config(density, sampler)
        };
        let drawn = scene.sensitivities(&resolved);
        let config = SensitivityConfig {
            batch: 2,
            sampler,
            sigmas: resolved.sigmas.clone(),
            ..SensitivityConfig::default()
        };
        let model: &dyn Denoiser = &scene.network;
        let samples = drawn.samples.clone();
        let encoded = EncodedPictures::encode(model, samples, &config, &scene.device, |_| ());
        let encoded = encoded.unwrap();
        let error = encoded.errors().into_iter().fold(0.0, f64::max);
        assert!(error < 0.05, "{sampler:?}: {error} grey levels");
        let of_noise = apart(&wide(&encoded.noise), &wide(&drawn.noise));
        assert!(of_noise < 0.02, "{sampler:?}: {of_noise:e}");
        assert!(
            encoded
                .noise_sizes()
                .iter()
                .all(|size| (0.9..1.1).contains(size))
        );
        let given = ResolvedConfig {
            start: StartingNoise::Given(encoded.noise.into()),
            ..resolved
        };
        let again = scene.sensitivities(&given);
        for k in 0..2 {
            let error = apart(&wide(&again.deltas[k]), &wide(&drawn.deltas[k]));
            assert!(error < 0.02, "{sampler:?}, {k}: {error:e}");
        }
    }
    let few = ResolvedConfig {
        start: StartingNoise::Given(vec![0.0; 2 * scene.network.dim()].into()),
        ..scene.config(DensityKind::Empirical, Sampler::Heun)
    };
    let group = Empirical::of_images(&scene.data, true, &scene.device).unwrap();
    let error = sensitivities::compute(&scene.network, &[&group], &few, &scene.device, |_| ());
    assert!(error.unwrap_err().to_string().contains("starting noise"));
}

/// The parts of the steps add up to ‖δ‖, and they are nothing but a record: δ has the same bits.
#[test]
fn the_parts_of_the_steps_add_up_to_the_length_of_delta() {
    let scene = Scene::new();
    for (density, sampler) in [
        (DensityKind::Empirical, Sampler::Heun),
        (DensityKind::Empirical, Sampler::Euler),
        (DensityKind::Empirical, STOCHASTIC),
        (DensityKind::ProbabilityFlow, Sampler::Heun),
    ] {
        let config = scene.config(density, sampler);
        let results = scene.sensitivities(&config);
        let plain = scene.sensitivities(&ResolvedConfig {
            by_step: false,
            ..config
        });
        assert_eq!(results.deltas, plain.deltas);
        assert!(plain.step_parts.is_none());
        for k in 0..2 {
            for i in 0..3 {
                let parts = results.step_parts(k, i).unwrap();
                assert_eq!(parts.len(), 10);
                let sum: f64 = parts.iter().map(|c| f64::from(*c)).sum();
                let delta = wide(results.delta(k, i));
                let length = delta.iter().map(|v| v * v).sum::<f64>().sqrt();
                let size: f64 = parts.iter().map(|c| f64::from(c.abs())).sum();
                assert!(length > 0.0);
                let error = (sum - length).abs() / size;
                assert!(
                    error < 1e-5,
                    "{density:?}, {sampler:?}, {k}, {i}: {error:e}"
                );
            }
        }
    }
}

/// The parts of `[n, S, m]` numbers added over the steps, `[n, m]`.
fn over_steps(parts: &[f32], steps: usize, m: usize) -> Vec<f64> {
    let mut sums = vec![0.0; parts.len() / steps];
    for (place, part) in parts.iter().enumerate() {
        let (i, j) = (place / (steps * m), place % m);
        sums[i * m + j] += f64::from(*part);
    }
    sums
}

fn picked(row: &[f32], m: usize, indices: &[usize]) -> Vec<f64> {
    let rows = row.chunks_exact(m);
    rows.flat_map(|row| indices.iter().map(|j| f64::from(row[*j])))
        .collect()
}

fn check_candidates(results: &Influences, indices: &[usize], tolerance: f64) {
    for functional in &results.functionals {
        let candidates = functional.candidates.as_ref().unwrap();
        let training = picked(&functional.influence, results.images, indices);
        let error = apart(&wide(&candidates.influence), &training);
        assert!(error < tolerance, "{}: {error:e}", functional.name);
        assert_eq!(candidates.proponents.len(), results.count());
    }
}

/// A training image as a candidate has the influence that it has, at every step, and the parts of the steps add up.
#[test]
fn training_images_as_candidates_have_their_own_influence_and_the_steps_add_up() {
    let (scene, indices) = (Scene::new(), [3, 17, 41]);
    let (functionals, candidates) = (scene.functionals(), scene.points(&indices));
    for (density, sampler) in [
        (DensityKind::Empirical, Sampler::Heun),
        (DensityKind::Empirical, STOCHASTIC),
        (DensityKind::ProbabilityFlow, Sampler::Euler),
    ] {
        let config = scene.config(density, sampler);
        let results = compute_with_candidates(
            &scene.network,
            &scene.all_points(),
            Some(&candidates),
            &functionals,
            &config,
            2,
            |_| (),
        );
        let results = results.unwrap();
        check_candidates(&results, &indices, 1e-5);
        assert_eq!((results.step_sigmas.len(), results.candidates), (10, 3));
        for functional in &results.functionals {
            let sums = over_steps(&functional.by_step, 10, results.images);
            let error = apart(&sums, &wide(&functional.influence));
            assert!(error < 1e-6, "{sampler:?}, {}: {error:e}", functional.name);
            let candidates = functional.candidates.as_ref().unwrap();
            let sums = over_steps(&candidates.by_step, 10, 3);
            let error = apart(&sums, &wide(&candidates.influence));
            assert!(error < 1e-6, "{sampler:?}, candidates: {error:e}");
        }
    }
}

#[test]
fn through_the_weights_candidates_have_the_influence_of_the_same_training_images() {
    let (scene, indices) = (Scene::new(), [3, 17, 41]);
    let (images, candidates) = (scene.all_points(), scene.points(&indices));
    let learner = Learner {
        model: &scene.network,
        training_set: &images,
        noise: &TrainingNoise::LogNormal(NoiseDistribution {
            mean: -1.2,
            std: 1.2,
        }),
        config: LearnerConfig {
            curvature_draws: 16,
            image_draws: 2,
            iterations: 2,
            batch: 16,
            ..LearnerConfig::default()
        },
    };
    let config = ResolvedConfig {
        samples: 1,
        by_step: false,
        ..scene.config(DensityKind::Empirical, Sampler::Heun)
    };
    let results = compute_through_weights(
        &learner,
        &images,
        Some(&candidates),
        &scene.functionals(),
        &config,
        2,
        |_| (),
    );
    check_candidates(&results.unwrap().0, &indices, 1e-4);
}
