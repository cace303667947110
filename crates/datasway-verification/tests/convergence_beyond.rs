//! Data that no Gaussian describes: the prediction is right there too, and its curvature says how far it reaches.

use burn::tensor::{DType, Device};
use datasway_diffusion::sampler::{FrozenNoise, Sampler};
use datasway_diffusion::schedule::karras;
use datasway_stats::{median, spearman};
use datasway_verification::problems::point_clouds::{DirectionSupport, PointCloud, SHAPES};
use datasway_verification::problems::problem::Problem;
use datasway_verification::studies::validity::{Censored, Validity, validity};

/// A shape with ν inside or outside, added or removed.
fn found(cloud: PointCloud, place: DirectionSupport, sign: f64) -> Validity {
    let (device, n) = (Device::flex(), 600);
    let data = cloud.data(n, &device, DType::F64).expect("ρ");
    let direction = cloud
        .direction(place, n / 4, &device, DType::F64)
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
    validity(&problem, sign, &[1e-4, 0.003, 0.01, 0.03, 0.1, 0.2]).expect("a validity")
}

#[test]
fn the_curvature_announces_how_far_a_prediction_reaches() {
    let (mut real, mut announced) = (Vec::new(), Vec::new());
    for shape in SHAPES {
        for (blur, place, sign) in [
            (0.05, DirectionSupport::Inside, -1.0),
            (0.05, DirectionSupport::Outside, 1.0),
            (0.3, DirectionSupport::Inside, 1.0),
        ] {
            let cloud = PointCloud {
                shape,
                blur,
                seed: 1,
            };
            let found = found(cloud, place, sign);
            let what = format!("{shape:?}, blur {blur}, {place:?}, {sign}");
            let small = median(&found.errors[0]);
            assert!(small < 5e-3, "{what}: {small} at η = 1e-4");
            assert!(
                found
                    .errors
                    .windows(2)
                    .all(|e| median(&e[0]) < median(&e[1])),
                "{what}: the error grows with η"
            );
            let limits: Vec<f64> = found.limits().iter().map(|l| l.value()).collect();
            let within = spearman(&limits, &found.announced.curvature);
            assert!(within > 0.75, "{what}: ranks of samples agree to {within}");
            if let Censored::At(limit) = found.limit() {
                real.push(limit);
                announced.push(median(&found.announced.curvature));
            }
        }
    }
    assert!(real.len() >= 10, "{real:?}");
    let across = spearman(&real, &announced);
    assert!(across > 0.9, "ranks of cases agree to {across}");
    for (real, announced) in real.iter().zip(&announced) {
        let factor = real / announced;
        assert!(
            (0.7..1.6).contains(&factor),
            "{real} where {announced} was announced"
        );
    }
}
