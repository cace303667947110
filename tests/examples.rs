//! Examples of the library run, and their numbers make sense.

use datasway::sensitivities::Sensitivities;

// Its main function is not called here.
#[allow(dead_code)]
#[path = "../examples/custom_model.rs"]
mod custom_model;

// Its main function is not called here.
#[allow(dead_code)]
#[path = "../examples/prediction_types.rs"]
mod prediction_types;

#[test]
fn samples_of_a_ring_move_towards_the_side_that_is_added() {
    check(&custom_model::sensitivities().unwrap());
}

#[test]
fn a_network_that_predicts_the_noise_of_a_cosine_schedule_does_the_same() {
    let prediction = prediction_types::epsilon_of_cosine_schedule().unwrap();
    check(&prediction_types::sensitivities(prediction).unwrap());
}

#[test]
fn a_network_that_predicts_the_velocity_of_flow_matching_does_the_same() {
    check(&prediction_types::sensitivities(prediction_types::flow_matching()).unwrap());
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
