//! Baselines where their answer is known.

use datasway_retraining::baselines::{Baseline, BaselineContext};

/// Two samples and two images in the plane.
const SAMPLES: [f32; 4] = [0.0, 0.0, 4.0, 0.0];
const IMAGES: [f32; 4] = [0.0, 1.0, 4.0, -1.0];

fn displace(baseline: Baseline, samples: &[f32], images: &[f32]) -> Vec<f32> {
    baseline.displacements(&BaselineContext {
        samples,
        images,
        data_mean: &[1.0, 0.0],
        seed: 3,
    })
}

#[test]
fn nearest_and_mean() {
    let nearest = displace(Baseline::NearestImage {}, &SAMPLES, &IMAGES);
    assert_eq!(nearest, [0.0, 1.0, 0.0, -1.0]);
    let mean = displace(Baseline::MeanShift {}, &SAMPLES, &IMAGES);
    assert_eq!(mean, [1.0, 0.0, 1.0, 0.0]);
}

#[test]
fn transport_gives_every_image_a_sample() {
    // Both samples are nearest to the first image, but only one of them may have it.
    let (samples, images) = ([0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 9.0, 0.0]);
    let sharp = Baseline::OptimalTransport { epsilon: 0.002 };
    let displacements = displace(sharp, &samples, &images);
    for (displacement, expected) in displacements.iter().zip([0.0, 0.0, 8.0, 0.0]) {
        assert!((displacement - expected).abs() < 1e-2, "{displacements:?}");
    }
    // With much entropy everything goes to the mean of the images.
    let displacements = displace(
        Baseline::OptimalTransport { epsilon: 1e6 },
        &samples,
        &images,
    );
    for (displacement, expected) in displacements.iter().zip([4.5, 0.0, 3.5, 0.0]) {
        assert!((displacement - expected).abs() < 1e-3, "{displacements:?}");
    }
}

#[test]
fn transport_agrees_with_sinkhorn_in_the_plain_domain() {
    let sample = |i: usize| ((i * 37 % 11) as f32) / 11.0;
    let samples: Vec<f32> = (0..10).map(sample).collect();
    let images: Vec<f32> = (3..17).map(|i| sample(i) * 1.5).collect();
    let (n, m, d) = (5, 7, 2);
    let cost = |i: usize, j: usize| -> f64 {
        (0..d)
            .map(|k| f64::from(samples[i * d + k] - images[j * d + k]).powi(2))
            .sum()
    };
    let mean = (0..n * m).map(|k| cost(k / m, k % m)).sum::<f64>() / (n * m) as f64;
    let kernel = |i: usize, j: usize| (-cost(i, j) / (0.3 * mean)).exp();
    let (mut u, mut v) = (vec![1.0; n], vec![1.0; m]);
    for _ in 0..2000 {
        for (i, u) in u.iter_mut().enumerate() {
            *u = 1.0 / n as f64 / (0..m).map(|j| kernel(i, j) * v[j]).sum::<f64>();
        }
        for (j, v) in v.iter_mut().enumerate() {
            *v = 1.0 / m as f64 / (0..n).map(|i| kernel(i, j) * u[i]).sum::<f64>();
        }
    }
    let displacements = displace(
        Baseline::OptimalTransport { epsilon: 0.3 },
        &samples,
        &images,
    );
    for i in 0..n {
        for k in 0..d {
            let target: f64 = (0..m)
                .map(|j| n as f64 * u[i] * kernel(i, j) * v[j] * f64::from(images[j * d + k]))
                .sum();
            let expected = target - f64::from(samples[i * d + k]);
            let error = (f64::from(displacements[i * d + k]) - expected).abs();
            assert!(error < 2e-3, "sample {i}, entry {k}: {error}");
        }
    }
}

#[test]
fn random_is_the_seeds() {
    let draw = || displace(Baseline::Random {}, &SAMPLES, &IMAGES);
    assert_eq!(draw(), draw());
    assert!(draw().iter().any(|x| *x != 0.0));
}
