//! Predictions on data that are far from Gaussian, and the range of masses that their curvature gives.

use burn::tensor::{DType, Device};
use datasway_diffusion::sampler::{FrozenNoise, Sampler};
use datasway_diffusion::schedule::karras;
use datasway_stats::{median, spearman};
use datasway_verification::problems::point_clouds::{CloudShape, DirectionSupport, PointCloud};
use datasway_verification::problems::problem::Problem;
use datasway_verification::studies::validity::{Censored, RadiusPredictor, Validity};

/// Validity of a cloud with ν inside or outside, added or removed.
fn validity(cloud: PointCloud, support: DirectionSupport, sign: f64) -> Validity {
    let (device, n) = (Device::flex(), 600);
    let data = cloud.data(n, &device, DType::F64).expect("ρ");
    let direction = cloud
        .direction(support, n / 4, &device, DType::F64)
        .expect("ν");
    let noise = FrozenNoise::new(4);
    let problem = Problem {
        data: &data,
        direction: &direction,
        sampler: Sampler::Heun,
        sigmas: karras(16, 2.0 * cloud.shape.sigma_min(), 40.0, 7.0),
        start: noise.start([24, cloud.shape.dim()], &device, DType::F64),
        noise,
    };
    Validity::measure(&problem, sign, &[1e-4, 0.003, 0.01, 0.03, 0.1, 0.2]).expect("a validity")
}

#[test]
fn the_curvature_announces_how_far_a_prediction_reaches() {
    let (mut truth, mut predicted) = (Vec::new(), Vec::new());
    for shape in CloudShape::ALL {
        for (blur, support, sign) in [
            (0.05, DirectionSupport::Inside, -1.0),
            (0.05, DirectionSupport::Outside, 1.0),
            (0.3, DirectionSupport::Inside, 1.0),
        ] {
            let cloud = PointCloud {
                shape,
                blur,
                seed: 1,
            };
            let validity = validity(cloud, support, sign);
            let case = format!("{shape:?}, blur {blur}, {support:?}, {sign}");
            let small = median(&validity.errors[0]);
            assert!(small < 5e-3, "{case}: {small} at η = 1e-4");
            assert!(
                validity
                    .errors
                    .windows(2)
                    .all(|e| median(&e[0]) < median(&e[1])),
                "{case}: the error grows with η"
            );
            let radii = validity.sample_radii();
            let radii: Vec<f64> = radii.iter().map(|radius| radius.value()).collect();
            let curvature = validity.predicted.by(RadiusPredictor::Curvature);
            let within = spearman(&radii, curvature);
            assert!(within > 0.75, "{case}: ranks of samples agree to {within}");
            if let Censored::Exact(radius) = validity.radius() {
                truth.push(radius);
                predicted.push(median(curvature));
            }
        }
    }
    assert!(truth.len() >= 10, "{truth:?}");
    let across = spearman(&truth, &predicted);
    assert!(across > 0.9, "ranks of cases agree to {across}");
    for (truth, predicted) in truth.iter().zip(&predicted) {
        let factor = truth / predicted;
        assert!(
            (0.7..1.6).contains(&factor),
            "{truth} where {predicted} was predicted"
        );
    }
}
