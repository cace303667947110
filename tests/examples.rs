//! An example of the library runs, and its numbers make sense.

// Its main function is not called here.
#[allow(dead_code)]
#[path = "../examples/custom_model.rs"]
mod custom_model;

#[test]
fn samples_of_a_ring_move_towards_the_side_that_is_added() {
    let result = custom_model::sensitivities().unwrap();
    let count = result.count();
    let mean = |value: &dyn Fn(usize) -> f32| (0..count).map(value).sum::<f32>() / count as f32;
    let radius = mean(&|i| result.sample(i)[0].hypot(result.sample(i)[1]));
    assert!((radius - 1.0).abs() < 0.1, "not a ring: {radius}");
    let [right, up] = [0, 1].map(|axis| mean(&|i| result.delta(0, i)[axis]));
    assert!(right > 0.1 && up.abs() < 0.5 * right, "{right}, {up}");
}
