//! Examples of the library run, and their numbers make sense.

use std::sync::{Mutex, MutexGuard, PoisonError};

use burn::tensor::DType;
use datasway::diffusion::denoiser::Denoiser;
use datasway::measure::Empirical;
use datasway::sensitivities::Sensitivities;

// Its main function is not called here.
#[allow(dead_code)]
#[path = "../examples/custom_model.rs"]
mod custom_model;

// Its main function is not called here.
#[allow(dead_code)]
#[path = "../examples/custom_operation.rs"]
mod custom_operation;

// Its main function is not called here.
#[allow(dead_code)]
#[path = "../examples/prediction_types.rs"]
mod prediction_types;

/// Held while an example trains, because the seeded random numbers are one sequence for the process.
fn alone() -> MutexGuard<'static, ()> {
    static TRAINING: Mutex<()> = Mutex::new(());
    TRAINING.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn samples_of_a_ring_move_towards_the_side_that_is_added() {
    let _alone = alone();
    check(&custom_model::sensitivities().unwrap());
}

#[test]
fn a_network_that_predicts_the_noise_of_a_cosine_schedule_does_the_same() {
    let _alone = alone();
    let prediction = prediction_types::epsilon_of_cosine_schedule().unwrap();
    check(&prediction_types::sensitivities(prediction).unwrap());
}

#[test]
fn a_network_that_predicts_the_velocity_of_flow_matching_does_the_same() {
    let _alone = alone();
    check(&prediction_types::sensitivities(prediction_types::flow_matching()).unwrap());
}

#[test]
fn the_rule_of_a_custom_operation_is_right() {
    custom_operation::check_rule().unwrap();
}

/// The module is the ideal denoiser of the corners, which is known in closed form.
#[test]
fn a_module_with_a_custom_operation_has_the_samples_and_sensitivities_of_its_closed_form() {
    let corners = Empirical::new(custom_operation::corners()).unwrap();
    let exact = custom_operation::sensitivities(&corners).unwrap();
    let model = custom_operation::model();
    let result = custom_operation::sensitivities(&model).unwrap();
    let pairs = |a: &[f32], b: &[f32]| {
        let gaps = a.iter().zip(b).map(|(a, b)| (a - b).abs());
        gaps.fold(0.0, f32::max)
    };
    assert!(pairs(&result.samples, &exact.samples) < 1e-4);
    let largest = exact.deltas[0].iter().fold(0.0f32, |m, v| m.max(v.abs()));
    assert!(largest > 0.05, "{largest}");
    assert!(pairs(&result.deltas[0], &exact.deltas[0]) < 1e-3 * largest);
    // Backwards, Burn differentiates the operation's body.
    let x = custom_operation::corners() * 0.4;
    let cotangent = x.clone().unsqueeze_dim::<3>(0);
    let (_, product) = model.vjp(x.clone(), 0.8, cotangent.clone()).unwrap();
    let (_, expected) = corners.vjp(x, 0.8, cotangent).unwrap();
    let gap = (product - expected.cast(DType::F32))
        .abs()
        .max()
        .into_scalar::<f32>();
    assert!(gap < 1e-5, "{gap}");
}

/// Checks that samples are on the ring, and move to the right on average.
#[track_caller]
fn check(result: &Sensitivities) {
    let count = result.count();
    let mean = |value: &dyn Fn(usize) -> f32| (0..count).map(value).sum::<f32>() / count as f32;
    let radius = mean(&|i| result.sample(i)[0].hypot(result.sample(i)[1]));
    assert!((radius - 1.0).abs() < 0.1, "not a ring: {radius}");
    let [right, up] = [0, 1].map(|axis| mean(&|i| result.delta(0, i)[axis]));
    assert!(right > 0.1 && up.abs() < 0.5 * right, "{right}, {up}");
}
