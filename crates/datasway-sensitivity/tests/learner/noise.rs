//! The noise of the draws: its estimate from two halves against the spread over many seeds.

use datasway_sensitivity::learner::{Damping, Learner, LearnerConfig};

use crate::models::{EXACT, NOISE, Perceptron, SmallNetwork, directions, dot, draw};

const D: usize = 3;

#[test]
fn half_the_difference_of_two_halves_is_as_long_as_the_error_of_their_mean() {
    let (rho, nu) = (draw::<2>(1, [40, D]), draw::<2>(2, [25, D]) * 0.5 + 0.7);
    let model = Perceptron::new(D, 3).denoiser(D);
    let halved = |seed| {
        let config = LearnerConfig {
            curvature_draws: 160,
            gradient_draws: 160,
            damping: Damping::Fraction(1e-2),
            tolerance: 1e-6,
            seed,
            ..EXACT
        };
        let learner = Learner {
            model: &model,
            training_set: &rho,
            noise: NOISE,
            config,
        };
        let halved = learner.halved_weight_tangent(&[&nu], None, &mut |_| ());
        let halved = halved.expect("two solutions");
        let first = |tangents| directions(tangents).remove(0);
        [first(&halved.mean.solutions), first(&halved.noise)]
    };
    let seeds: Vec<[Vec<f64>; 2]> = (0..40).map(halved).collect();
    let count = seeds.len() as f64;
    let mut centre = vec![0.0; seeds[0][0].len()];
    for [mean, _] in &seeds {
        centre
            .iter_mut()
            .zip(mean)
            .for_each(|(c, m)| *c += m / count);
    }
    // The variance of the means over seeds, and the mean square of the estimates.
    let variance: f64 = seeds
        .iter()
        .map(|[mean, _]| {
            let error: Vec<f64> = mean.iter().zip(&centre).map(|(m, c)| m - c).collect();
            dot(&error, &error) / (count - 1.0)
        })
        .sum();
    let estimate: f64 = seeds
        .iter()
        .map(|[_, noise]| dot(noise, noise) / count)
        .sum();
    let ratio = (estimate / variance).sqrt();
    let relative = (variance / dot(&centre, &centre)).sqrt();
    println!("estimated noise over that of seeds {ratio:.3}; noise over dθ/dη {relative:.3}");
    assert!((0.75..1.33).contains(&ratio), "{ratio}");
    assert!(relative > 0.01, "{relative}");
}
