//! The examples run, and their numbers are what the mathematics says.

// Their main functions are not called here.
#[allow(dead_code)]
#[path = "../examples/cost.rs"]
mod cost;
#[allow(dead_code)]
#[path = "../examples/hvp.rs"]
mod hvp;
#[allow(dead_code)]
#[path = "../examples/jacobian.rs"]
mod jacobian;
#[allow(dead_code)]
#[path = "../examples/mean_flow.rs"]
mod mean_flow;
#[allow(dead_code)]
#[path = "../examples/neural_tangent_kernel.rs"]
mod neural_tangent_kernel;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Held while an example runs, because the seeded random numbers are one sequence for the process.
fn alone() -> MutexGuard<'static, ()> {
    static RUNNING: Mutex<()> = Mutex::new(());
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn the_rank_of_a_jacobian_is_the_width_of_the_bottleneck() {
    let _alone = alone();
    let [jacobian, difference] = jacobian::jacobians().unwrap();
    assert!((&jacobian - difference).amax() < 1e-3 * jacobian.amax());
    let values = jacobian.singular_values();
    assert!(values[1] > 1e-2 * values[0] && values[2] < 1e-5 * values[0]);
    let rank = jacobian::effective_rank(values.as_slice());
    assert!(rank > 1.0 && rank < 2.001, "{rank}");
}

#[test]
fn the_largest_eigenvalue_of_a_hessian_is_a_difference_of_derivatives() {
    let _alone = alone();
    let edge = hvp::spectrum_edge().unwrap();
    let largest = edge.eigenvalues[0];
    assert!(largest > 0.0 && edge.residual < 1e-4 * largest);
    assert!((edge.difference - largest).abs() < 1e-2 * largest);
}

#[test]
fn a_neural_tangent_kernel_is_symmetric_and_positive() {
    let _alone = alone();
    let kernel = neural_tangent_kernel::kernel().unwrap();
    assert!((&kernel - kernel.transpose()).amax() < 1e-5 * kernel.amax());
    let eigenvalues = kernel.symmetric_eigenvalues();
    assert!(eigenvalues.min() > 1e-4 * eigenvalues.max());
}

#[test]
fn a_mean_flow_trains_and_writes_its_picture() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("faces.png");
    let training = mean_flow::run(2, &path).unwrap();
    assert!(training.errors.iter().all(|error| error.is_finite()));
    let file = std::io::BufReader::new(std::fs::File::open(&path).unwrap());
    let picture = png::Decoder::new(file).read_info().unwrap();
    assert_eq!(picture.info().size(), (768, 444));
}

#[test]
fn every_derivative_has_a_cost() {
    let costs = cost::costs(1);
    assert_eq!(costs.len(), 14);
    assert!(
        costs
            .iter()
            .flat_map(|(_, costs)| costs)
            .all(|cost| *cost > 0.0)
    );
}
