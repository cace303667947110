//! Guidance: values and derivatives are linear in the two denoisers.

use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Device, Tensor};

use datasway_diffusion::denoiser::Denoiser;
use datasway_diffusion::guidance::Guided;
use datasway_diffusion::network::NetworkDenoiser;
use datasway_diffusion::precondition::Precondition;
use datasway_diffusion::random::{RandomStream, generator, normal};
use datasway_diffusion::weights;

const D: usize = 5;
const SIGMA: f64 = 0.7;

/// A denoiser that is not linear.
fn denoiser(seed: u64, d: usize) -> NetworkDenoiser<Linear> {
    let device = Device::flex();
    let precondition = Precondition { sigma_data: 0.5 };
    let linear = weights::draw(seed, &device, || Ok(LinearConfig::new(d, d).init(&device)));
    let linear = linear.unwrap();
    NetworkDenoiser::flat(linear, d, precondition, |linear, x, level| {
        (linear.forward(x) + level.unsqueeze_dim(1)).tanh()
    })
}

fn guided(weight: f64) -> Guided<NetworkDenoiser<Linear>, NetworkDenoiser<Linear>> {
    Guided::new(denoiser(1, D), denoiser(2, D), weight).unwrap()
}

fn points(seed: u64) -> Tensor<2> {
    let mut rng = generator(seed, RandomStream::Sample, []);
    normal(&mut rng, [3, D], &Device::flex())
}

fn directions(seed: u64) -> Tensor<3> {
    points(seed).unsqueeze_dim(0)
}

fn distance<const R: usize>(a: Tensor<R>, b: Tensor<R>) -> f32 {
    (a - b).abs().max().into_scalar()
}

/// D, J·v and Jᵀ·c at one point.
fn results(denoiser: &dyn Denoiser) -> (Tensor<2>, Tensor<3>, Tensor<3>) {
    let denoised = denoiser.denoise(points(1), SIGMA).unwrap();
    let (with_jvp, jvp) = denoiser.jvp(points(1), SIGMA, directions(2)).unwrap();
    let (with_vjp, vjp) = denoiser.vjp(points(1), SIGMA, directions(3)).unwrap();
    assert!(distance(denoised.clone(), with_jvp) < 1e-6);
    assert!(distance(denoised.clone(), with_vjp) < 1e-6);
    (denoised, jvp, vjp)
}

#[test]
fn weights_of_zero_and_one_are_the_two_denoisers() {
    for (weight, seed) in [(0.0, 2), (1.0, 1)] {
        let (denoised, jvp, vjp) = results(&guided(weight));
        let alone = results(&denoiser(seed, D));
        let distances = [
            distance(denoised, alone.0),
            distance(jvp, alone.1),
            distance(vjp, alone.2),
        ];
        assert_eq!(distances, [0.0; 3]);
    }
}

#[test]
fn the_denoiser_and_its_derivatives_are_linear_in_the_weight() {
    let [zero, one, four] = [0.0, 1.0, 4.0].map(|weight| results(&guided(weight)));
    let distances = [
        distance(zero.0.clone() + (one.0 - zero.0) * 4.0, four.0),
        distance(zero.1.clone() + (one.1 - zero.1) * 4.0, four.1),
        distance(zero.2.clone() + (one.2 - zero.2) * 4.0, four.2),
    ];
    assert!(distances.iter().all(|d| *d < 1e-5), "{distances:?}");
}

#[test]
fn products_with_the_jacobian_and_its_transpose_agree() {
    let (_, jvp, vjp) = results(&guided(2.5));
    let left = (jvp * directions(3)).sum().into_scalar::<f32>();
    let right = (vjp * directions(2)).sum().into_scalar::<f32>();
    assert!(
        (left - right).abs() < 1e-5 * left.abs().max(1.0),
        "{left} {right}"
    );
}

#[test]
fn a_weight_or_a_denoiser_that_does_not_fit_is_refused() {
    for weight in [-1.0, f64::NAN, f64::INFINITY] {
        assert!(Guided::new(denoiser(1, D), denoiser(2, D), weight).is_err());
    }
    let error = Guided::new(denoiser(1, D), denoiser(2, D + 1), 2.0)
        .err()
        .unwrap();
    assert!(error.to_string().contains("points of 5 numbers"), "{error}");
}
