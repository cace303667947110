//! Schedulers of EDM, of flow matching and of variance-exploding scores against diffusers' own functions.

use burn::tensor::Tensor;
use datasway_diffusion::denoiser::Denoiser;
use datasway_diffusion::network::NetworkDenoiser;
use datasway_diffusion::training_noise::TrainingNoise;
use datasway_pretrained::diffusers::scheduler::SchedulerConfig;
use safetensors::SafeTensors;
use serde::Deserialize;
use serde_json::Value;

use crate::case::{largest_difference, numbers};
use crate::scheduler::{D, Linear, tensor};

/// Largest error of a denoised point and of a time step, relative to their size: diffusers computes in single precision.
const TOLERANCE: f64 = 2e-6;

#[derive(Deserialize)]
struct Header {
    name: String,
    config: Value,
    ends: [f64; 2],
    times: usize,
}

#[test]
fn time_steps_scales_and_denoised_points_are_those_of_diffusers() {
    let bytes = include_bytes!("../data/paths.safetensors");
    let (_, metadata) = SafeTensors::read_metadata(bytes).unwrap();
    let metadata = metadata.metadata().as_ref().unwrap();
    let headers: Vec<Header> = serde_json::from_str(&metadata["cases"]).unwrap();
    let arrays = SafeTensors::deserialize(bytes).unwrap();
    assert_eq!(headers.len(), 25);
    let mut worst = [0.0_f64; 2];
    for case in &headers {
        let theirs = |what: &str| numbers(&arrays, &format!("{}/{what}", case.name));
        let scheduler = SchedulerConfig::parse(&case.config).unwrap();
        check_range(case, &scheduler);
        if let Ok(table) = arrays.tensor(&format!("{}/table", case.name)) {
            check_table(case, &scheduler, &theirs("table"), table.shape()[0]);
        }
        let parameterization = scheduler.parameterization(false).unwrap();
        let (sigmas, times) = (theirs("sigmas"), theirs("times"));
        for (sigma, time) in sigmas.iter().zip(&times) {
            let error = (parameterization.c_noise(*sigma) - time).abs() / time.abs().max(1.0);
            assert!(
                error < TOLERANCE,
                "{}: the time of {sigma} differs by {error:e}",
                case.name
            );
            worst[0] = worst[0].max(error);
        }
        let linear = Linear::new(case.times);
        let denoiser = NetworkDenoiser::flat(linear, D, parameterization, Linear::forward);
        for (sigma, theirs) in sigmas.iter().zip(theirs("denoised").chunks(D)) {
            let x: Tensor<2> = tensor("clean", [1, D]) + tensor("noise", [1, D]) * *sigma;
            let ours = denoiser.denoise(x, *sigma).unwrap().into_data();
            let ours: Vec<f64> = ours.iter::<f64>().collect();
            let size = theirs.iter().fold(1.0_f64, |m, v| m.max(v.abs()));
            let error = largest_difference(&ours, theirs) / size;
            assert!(
                error < TOLERANCE,
                "{}: D at {sigma} differs by {error:e}",
                case.name
            );
            worst[1] = worst[1].max(error);
        }
    }
    println!(
        "{} cases: largest errors of t(σ) and D: {worst:?}",
        headers.len()
    );
}

/// The ends of the noise levels. Those of flow matching reach to the middle between the last step and the end of the path.
fn check_range(case: &Header, scheduler: &SchedulerConfig) {
    let [low, high] = scheduler.sigma_range();
    let near = |ours: f64, theirs: f64| (ours / theirs - 1.0).abs() < 1e-5;
    let fits = if case.name.starts_with("flow") {
        low <= case.ends[0] && (case.ends[1] <= high || case.config["shift"] != 1.0)
    } else {
        near(low, case.ends[0]) && near(high, case.ends[1])
    };
    assert!(fits, "{}: from {low} to {high}, {:?}", case.name, case.ends);
}

/// The noise levels of training, of which diffusers' table has some.
fn check_table(case: &Header, scheduler: &SchedulerConfig, theirs: &[f64], count: usize) {
    let TrainingNoise::Levels(levels) = scheduler.training_noise() else {
        panic!("{}: a table of noise levels", case.name);
    };
    let ours: Vec<f64> = levels
        .iter()
        .copied()
        .step_by((levels.len() / 50).max(1))
        .collect();
    assert_eq!(ours.len(), count, "{}", case.name);
    for (ours, theirs) in ours.iter().zip(theirs) {
        assert!(
            (ours / theirs - 1.0).abs() < 1e-5,
            "{}: {ours} {theirs}",
            case.name
        );
    }
}
