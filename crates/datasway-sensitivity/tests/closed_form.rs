//! Sensitivities against exact samples on problems where ρ, ν and so ρ_η are known in closed form.

use burn::tensor::{DType, Device, Tensor, TensorData};
use datasway_diffusion::DiffusionError;
use datasway_diffusion::denoiser::Denoiser;
use datasway_diffusion::sampler::{FrozenNoise, Sampler, sample};
use datasway_diffusion::schedule::karras;
use datasway_sensitivity::density::{
    ClosedForm, Cutoff, LogDensity, ProbabilityFlow, Smoothed, Trace,
};
use datasway_sensitivity::jacobian_trace::ProbeLaw;
use datasway_sensitivity::measure::{
    Empirical, Gaussian, Measure, Mixture, ModelMeasure, gaussian_mixture, perturbed,
};
use datasway_sensitivity::trajectory::tangent::{
    Evaluations, TangentSolution, sample_with_tangents,
};

const F64: DType = DType::F64;

const SAMPLERS: [Sampler; 3] = [
    Sampler::Euler,
    Sampler::Heun,
    Sampler::Stochastic {
        s_churn: 8.0,
        s_min: 0.05,
        s_max: 50.0,
        s_noise: 1.003,
    },
];

fn normal(seed: u64, n: usize, d: usize) -> Tensor<2> {
    FrozenNoise::new(seed).start([n, d], &Device::flex(), F64)
}

fn values<const D: usize>(tensor: &Tensor<D>) -> Vec<f64> {
    tensor
        .clone()
        .try_into_vec_as()
        .expect("values can be read")
}

/// `‖a − b‖/‖b‖`.
fn distance<const D: usize>(a: &Tensor<D>, b: &Tensor<D>) -> f64 {
    assert_eq!(a.dims(), b.dims());
    let (a, b) = (values(a), values(b));
    let norm = |v: &mut dyn Iterator<Item = f64>| v.map(|x| x * x).sum::<f64>().sqrt();
    let size = norm(&mut b.iter().copied());
    norm(&mut a.iter().zip(&b).map(|(a, b)| a - b)) / size
}

/// Gaussians of full covariance at random places.
fn gaussians(seed: u64, count: usize, d: usize) -> Vec<(Vec<f64>, Vec<f64>)> {
    (0..count as u64)
        .map(|c| {
            let mean = values(&(normal(seed + 10 * c, 1, d) * 1.5));
            let root = normal(seed + 10 * c + 1, d, d) * (0.5 / (d as f64).sqrt());
            let identity = Tensor::<2>::eye(d, &Device::flex()).cast(F64);
            let covariance = root.clone().matmul(root.transpose()) + identity * 0.1;
            (mean, values(&covariance))
        })
        .collect()
}

fn mixture(parts: &[(Vec<f64>, Vec<f64>)]) -> Mixture<'static> {
    let weights = vec![1.0 / parts.len() as f64; parts.len()];
    let (means, covariances): (Vec<_>, Vec<_>) = parts.iter().cloned().unzip();
    gaussian_mixture(&weights, &means, &covariances, &Device::flex(), F64).expect("valid")
}

fn moved(
    data: &dyn Measure,
    direction: &dyn Measure,
    mass: f64,
    sampler: &Sampler,
    sigmas: &[f64],
    start: &Tensor<2>,
) -> Tensor<2> {
    let denoiser = perturbed(data, direction, mass).expect("a positive measure");
    sample(
        &denoiser,
        sampler,
        sigmas,
        start.clone(),
        &FrozenNoise::new(5),
    )
    .expect("samples")
}

/// δ against differences of samples of the exactly perturbed data, with the same noise.
fn check_tangent(data: &dyn Measure, direction: &dyn Measure, sigma_min: f64, what: &str) {
    let sigmas = karras(14, sigma_min, 20.0, 7.0);
    let start = normal(77, 6, data.dim());
    for sampler in SAMPLERS {
        let result = sample_with_tangents(
            &data,
            &[direction],
            &ClosedForm(data),
            &sampler,
            &sigmas,
            start.clone(),
            &FrozenNoise::new(5),
        )
        .expect("a propagation");
        let delta = result.sensitivities.squeeze_dim::<2>(0);
        let samples_at = |mass: f64| moved(data, direction, mass, &sampler, &sigmas, &start);
        let (middle, h) = (samples_at(0.0), 1e-5);
        let same = distance(&result.samples, &middle);
        assert!(
            same < 1e-12,
            "{what}, {sampler:?}: samples differ by {same:e}"
        );

        // Central difference, extrapolated once (Richardson), so that its own error is below 1e-6.
        let central = |h: f64| (samples_at(h) - samples_at(-h)) / (2.0 * h);
        let extrapolated = (central(h) * 4.0 - central(2.0 * h)) / 3.0;
        let error = distance(&delta, &extrapolated);
        assert!(error < 1e-6, "{what}, {sampler:?}, ±η: {error:e}");

        // One-sided differences to third order: only adding, only removing. Their error falls with h³, against
        // h⁴ above, so they need the smaller step.
        for side in [h / 10.0, -h / 10.0] {
            let (single, double, triple) = (
                samples_at(side),
                samples_at(2.0 * side),
                samples_at(3.0 * side),
            );
            let slope = (single * 18.0 - double * 9.0 + triple * 2.0 - middle.clone() * 11.0)
                / (6.0 * side);
            let error = distance(&delta, &slope);
            assert!(error < 1e-6, "{what}, {sampler:?}, η = {side}: {error:e}");
        }
        assert!(
            values(&delta).iter().any(|x| x.abs() > 1e-3),
            "{what}: δ is not zero"
        );
    }
}

#[test]
fn tangent_of_gaussian_mixtures() {
    for d in [2, 10] {
        let parts = gaussians(1, 3, d);
        // ν elsewhere: adding; ν one component of ρ: adding and removing.
        check_tangent(
            &mixture(&parts),
            &mixture(&gaussians(400, 2, d)),
            0.02,
            "outside",
        );
        check_tangent(&mixture(&parts), &mixture(&parts[1..2]), 0.02, "inside");
    }
}

#[test]
fn tangent_of_empirical_measures() {
    // Below the distance between its points, the paths of an empirical measure end on a point
    // whatever η is: δ is 0 there. So the last step starts above.
    for (d, low) in [(2, 0.6), (10, 1.5)] {
        let points = normal(3, 24, d);
        let data = Empirical::new(points.clone())
            .expect("points")
            .with_chunk(7);
        let group = Empirical::new(points.slice_dim(0, 4..12)).expect("points");
        check_tangent(&data, &group, low, "a group of the points");
        check_tangent(&data, &mixture(&gaussians(8, 2, d)), low, "a mixture");
    }
}

/// The ideal denoiser of a measure blurred by `N(0, h²)`: `x + σ²/(σ² + h²)·(D(x, √(σ² + h²)) − x)`.
struct Blurred<'a>(&'a dyn Measure, f64);

impl Blurred<'_> {
    fn level(&self, sigma: f64) -> (f64, f64) {
        let blurred = sigma.hypot(self.1);
        (blurred, (sigma / blurred).powi(2))
    }
}

impl Denoiser for Blurred<'_> {
    fn dim(&self) -> usize {
        self.0.dim()
    }

    fn denoise(&self, x: Tensor<2>, sigma: f64) -> Result<Tensor<2>, DiffusionError> {
        let (blurred, weight) = self.level(sigma);
        let mean = self.0.denoise(x.clone(), blurred)?;
        Ok(x.clone() + (mean - x) * weight)
    }

    fn jvp(
        &self,
        x: Tensor<2>,
        sigma: f64,
        tangents: Tensor<3>,
    ) -> Result<(Tensor<2>, Tensor<3>), DiffusionError> {
        let (blurred, weight) = self.level(sigma);
        let (_, products) = self.0.jvp(x.clone(), blurred, tangents.clone())?;
        let moved = tangents.clone() + (products - tangents) * weight;
        Ok((self.denoise(x, sigma)?, moved))
    }

    fn vjp(
        &self,
        x: Tensor<2>,
        sigma: f64,
        cotangents: Tensor<3>,
    ) -> Result<(Tensor<2>, Tensor<3>), DiffusionError> {
        self.jvp(x, sigma, cotangents)
    }
}

/// One denoiser down to a noise level, another below it.
struct Switched<A, B>(A, B, f64);

impl<A: Denoiser, B: Denoiser> Denoiser for Switched<A, B> {
    fn dim(&self) -> usize {
        self.0.dim()
    }

    fn denoise(&self, x: Tensor<2>, sigma: f64) -> Result<Tensor<2>, DiffusionError> {
        if sigma >= self.2 {
            self.0.denoise(x, sigma)
        } else {
            self.1.denoise(x, sigma)
        }
    }

    fn jvp(
        &self,
        x: Tensor<2>,
        sigma: f64,
        tangents: Tensor<3>,
    ) -> Result<(Tensor<2>, Tensor<3>), DiffusionError> {
        if sigma >= self.2 {
            self.0.jvp(x, sigma, tangents)
        } else {
            self.1.jvp(x, sigma, tangents)
        }
    }

    fn vjp(
        &self,
        x: Tensor<2>,
        sigma: f64,
        cotangents: Tensor<3>,
    ) -> Result<(Tensor<2>, Tensor<3>), DiffusionError> {
        if sigma >= self.2 {
            self.0.vjp(x, sigma, cotangents)
        } else {
            self.1.vjp(x, sigma, cotangents)
        }
    }
}

#[test]
fn a_blurred_gaussian_is_a_wider_gaussian() {
    // The test's own denoiser against one that needs no formula: N(m, Σ) blurred by N(0, h²) is N(m, Σ + h²·1).
    let (mean, h) = (vec![0.3, -1.0], 0.8_f64);
    let device = Device::flex();
    let sharp = Gaussian::diagonal(&mean, &[0.5, 2.0], &device, F64).expect("valid");
    let wide = Gaussian::diagonal(&mean, &[0.5 + h * h, 2.0 + h * h], &device, F64).expect("valid");
    let x = normal(1, 5, 2);
    for sigma in [0.05, 1.0, 20.0] {
        let blurred = Blurred(&sharp, h).denoise(x.clone(), sigma).expect("D");
        let real = wide.denoise(x.clone(), sigma).expect("D");
        assert!(distance(&blurred, &real) < 1e-12, "σ = {sigma}");
    }
}

#[test]
fn bandwidth_and_cutoff_are_tangents_of_what_they_say() {
    // The smoothed comparison is the derivative of the ideal denoiser of ρ_η blurred. The cut-off is that of a model which
    // is trained on the new data above a noise level only.
    let points = normal(3, 24, 4);
    let data = Empirical::new(points.clone()).expect("points");
    let group = Empirical::new(points.slice_dim(0, 4..12)).expect("points");
    let sigmas = karras(14, 0.6, 20.0, 7.0);
    let (start, noise) = (normal(77, 6, 4), FrozenNoise::new(5));
    for (bandwidth, cutoff) in [(0.0, 0.0), (0.8, 0.0), (0.0, 2.0), (1.5, 1.0)] {
        let model = Blurred(&data, bandwidth);
        let density = Cutoff {
            density: Smoothed {
                data: &data,
                bandwidth,
            },
            sigma: cutoff,
        };
        let sampler = Sampler::Heun;
        let result = sample_with_tangents(
            &model,
            &[&group],
            &density,
            &sampler,
            &sigmas,
            start.clone(),
            &noise,
        )
        .expect("a propagation");
        let samples_at = |mass: f64| {
            let changed = perturbed(&data, &group, mass).expect("a positive measure");
            let model = Switched(
                Blurred(&changed, bandwidth),
                Blurred(&data, bandwidth),
                cutoff,
            );
            sample(&model, &sampler, &sigmas, start.clone(), &noise).expect("samples")
        };
        let h = 1e-5;
        let slope = (samples_at(h) - samples_at(-h)) / (2.0 * h);
        let error = distance(&result.sensitivities.squeeze_dim::<2>(0), &slope);
        assert!(error < 1e-6, "h = {bandwidth}, σ ≥ {cutoff}: {error:e}");
    }
}

#[test]
fn several_directions_share_one_path() {
    let data = mixture(&gaussians(1, 3, 2));
    let (first, second) = (mixture(&gaussians(50, 1, 2)), mixture(&gaussians(60, 2, 2)));
    let sigmas = karras(8, 0.02, 20.0, 7.0);
    let run = |directions: &[&dyn Measure]| {
        let (start, noise) = (normal(4, 5, 2), FrozenNoise::new(0));
        let density = ClosedForm(&data);
        sample_with_tangents(
            &data,
            directions,
            &density,
            &Sampler::Heun,
            &sigmas,
            start,
            &noise,
        )
        .expect("a propagation")
    };
    let together = run(&[&first, &second]);
    assert_eq!(together.sensitivities.dims(), [2, 5, 2]);
    assert_eq!(together.log_ratio.dims(), [2, 8, 5]);
    assert_eq!(together.log_density.dims(), [8, 5]);
    let alone = run(&[&second]).sensitivities;
    let stacked = together.sensitivities.slice_dim(0, 1..2);
    assert!(distance(&stacked, &alone) < 1e-13);
    // 8 Heun steps, the last one Euler's.
    let expected = Evaluations {
        path: 15,
        density: 0,
        tangent: 30,
        curvature: 0,
    };
    assert_eq!(together.evaluations, expected);
}

#[test]
fn chunks_do_not_change_an_empirical_measure() {
    let points = normal(1, 50, 4);
    let x = normal(2, 7, 4);
    let weights: Vec<f64> = (1..=50).map(f64::from).collect();
    let whole = Empirical::weighted(points, &weights).expect("points");
    let chunked = whole.clone().with_chunk(8);
    let tangents = normal(3, 14, 4).reshape([2, 7, 4]);
    for sigma in [0.01, 0.3, 40.0] {
        let (q, mean) = whole.evaluate(x.clone(), sigma).expect("evaluated");
        let (q_chunked, mean_chunked) = chunked.evaluate(x.clone(), sigma).expect("evaluated");
        assert!(distance(&q_chunked, &q) < 1e-11);
        assert!(distance(&mean_chunked, &mean) < 1e-11);
        let product = |m: &Empirical| m.jvp(x.clone(), sigma, tangents.clone()).expect("jvp").1;
        let scale = 1e-9 / sigma; // the products vanish where one point has all the weight
        let difference = values(&(product(&whole) - product(&chunked)));
        assert!(difference.iter().all(|x| x.abs() < scale), "σ = {sigma}");
    }
}

#[test]
fn an_empirical_density_is_a_mixture_of_equal_gaussians() {
    // Gaussians of covariance s²·1 at the points are the points noised by s.
    let (points, s) = (normal(1, 6, 3), 0.4_f64);
    let small: Vec<f64> = (0..9)
        .map(|i| if i % 4 == 0 { s * s } else { 0.0 })
        .collect();
    let parts: Vec<_> = values(&points)
        .chunks(3)
        .map(|m| (m.to_vec(), small.clone()))
        .collect();
    let (blurred, sharp) = (mixture(&parts), Empirical::new(points).expect("points"));
    let (x, sigma) = (normal(2, 5, 3), 0.9_f64);
    let total = sigma.hypot(s);
    let q = blurred.log_density(x.clone(), sigma).expect("density") - 3.0 * sigma.ln();
    let q_sharp = sharp.log_density(x, total).expect("density") - 3.0 * total.ln();
    assert!(distance(&q, &q_sharp) < 1e-12);
}

#[test]
fn products_are_central_differences() {
    let points = normal(1, 30, 5);
    let device = Device::flex();
    let empirical = Empirical::new(points).expect("points").with_chunk(11);
    let parts = gaussians(2, 3, 5);
    let gaussian = Gaussian::new(&parts[0].0, &parts[0].1, &device, F64).expect("valid");
    let mixed = mixture(&parts);
    let removed = perturbed(&mixed, &gaussian, -0.1).expect("valid");
    let measures: [&dyn Measure; 4] = [&empirical, &gaussian, &mixed, &removed];
    let (x, v, h) = (normal(3, 4, 5), normal(4, 4, 5), 1e-5);
    for (i, measure) in measures.iter().enumerate() {
        for sigma in [0.5, 1.0, 5.0] {
            let denoised_at = |t: f64| {
                measure
                    .denoise(x.clone() + v.clone() * t, sigma)
                    .expect("D")
            };
            let slope = (denoised_at(h) - denoised_at(-h)) / (2.0 * h);
            let tangents = v.clone().unsqueeze_dim::<3>(0);
            let (mean, product) = measure.jvp(x.clone(), sigma, tangents).expect("jvp");
            assert!(distance(&mean, &denoised_at(0.0)) < 1e-12);
            let error = distance(&product.squeeze_dim::<2>(0), &slope);
            assert!(error < 1e-7, "measure {i}, σ = {sigma}: {error:e}");

            // The score is the gradient of the log-density: Tweedie's formula.
            let q = |t: f64| {
                measure
                    .log_density(x.clone() + v.clone() * t, sigma)
                    .expect("q")
            };
            let slope = (q(h) - q(-h)) / (2.0 * h);
            let score = (mean - x.clone()) / (sigma * sigma);
            let along = (score * v.clone()).sum_dim(1).squeeze_dim::<1>(1);
            let error = distance(&along, &slope);
            assert!(error < 1e-7, "measure {i}, σ = {sigma}, score: {error:e}");
        }
    }
}

/// The density along paths of a model, and the closed form at the same points.
fn flow(
    data: &dyn Measure,
    density: &dyn LogDensity,
    steps: usize,
) -> (TangentSolution, TangentSolution) {
    let sigmas = karras(steps, 0.05, 60.0, 7.0);
    let run = |density: &dyn LogDensity| {
        let (start, noise) = (normal(9, 6, data.dim()), FrozenNoise::new(0));
        sample_with_tangents(
            &data,
            &[data],
            density,
            &Sampler::Heun,
            &sigmas,
            start,
            &noise,
        )
    };
    let exact = run(&ClosedForm(data)).expect("a propagation");
    (run(density).expect("a propagation"), exact)
}

#[test]
fn exact_traces_converge_to_the_density() {
    for d in [2, 4] {
        let parts = gaussians(1, 2, d);
        let data = mixture(&parts);
        // Mean and covariance of the mixture itself.
        let mean: Vec<f64> = (0..d)
            .map(|i| (parts[0].0[i] + parts[1].0[i]) / 2.0)
            .collect();
        let covariance: Vec<f64> = (0..d * d)
            .map(|entry| {
                let (i, j) = (entry / d, entry % d);
                let spread =
                    |p: &(Vec<f64>, Vec<f64>)| p.1[entry] + (p.0[i] - mean[i]) * (p.0[j] - mean[j]);
                (spread(&parts[0]) + spread(&parts[1])) / 2.0
            })
            .collect();
        let start = Gaussian::new(&mean, &covariance, &Device::flex(), F64).expect("valid");
        let density = ProbabilityFlow {
            start,
            trace: Trace::Exact,
        };
        let errors: Vec<f64> = [20, 80, 320]
            .into_iter()
            .map(|steps| {
                let (estimated, exact) = flow(&data, &density, steps);
                let gap = values(&(estimated.log_density - exact.log_density));
                gap.iter().fold(0.0, |most: f64, x| most.max(x.abs()))
            })
            .collect();
        assert!(
            errors[1] < errors[0] / 4.0 && errors[2] < errors[1] / 4.0,
            "{errors:?}"
        );
        assert!(errors[2] < 5e-3, "{errors:?}");
    }
}

#[test]
fn hutchinson_is_unbiased() {
    let data = mixture(&gaussians(1, 3, 6));
    let start = Gaussian::fitted(&normal(1, 100, 6), false).expect("fitted");
    let density = |trace| ProbabilityFlow {
        start: start.clone(),
        trace,
    };
    let probes = 400;
    let trace = Trace::Hutchinson {
        law: ProbeLaw::Rademacher,
        probes,
        seed: 1,
        first: 0,
    };
    let (exact, _) = flow(&data, &density(Trace::Exact), 6);
    let (estimated, _) = flow(&data, &density(trace), 6);
    let variance = estimated.log_density_variance.expect("more than one probe");
    let last = |q: Tensor<2>| values(&q.slice_dim(0, 5..6));
    let gaps = last(estimated.log_density - exact.log_density);
    for (gap, variance) in gaps.iter().zip(last(variance)) {
        assert!(
            gap.abs() < 4.0 * variance.sqrt(),
            "{gap} against variance {variance}"
        );
        assert!(variance < 0.05);
    }
    assert_eq!(estimated.evaluations.density, 11 * probes);
    assert!(exact.log_density_variance.is_none());
}

#[test]
fn one_gaussian_moves_as_calculus_says() {
    // ρ = N(0, v): the ODE is x·√((v + σ²)/(v + σ_max²)), so Heun's samples tend to it.
    let (v, top) = (0.7_f64, 30.0_f64);
    let device = Device::flex();
    let data = Gaussian::diagonal(&[0.0, 0.0], &[v, v], &device, F64).expect("valid");
    let start = normal(1, 5, 2);
    let sigmas = karras(400, 0.002, top, 7.0);
    let shifted = Gaussian::diagonal(&[0.5, 0.0], &[v, v], &device, F64).expect("valid");
    let density = ProbabilityFlow {
        start: data.clone(),
        trace: Trace::Exact,
    };
    let noise = FrozenNoise::new(0);
    let sampler = Sampler::Heun;
    let result = sample_with_tangents(
        &data,
        &[&shifted, &data],
        &density,
        &sampler,
        &sigmas,
        start.clone(),
        &noise,
    )
    .expect("a propagation");
    let expected = start * (top * (v / (v + top * top)).sqrt());
    assert!(distance(&result.samples, &expected) < 1e-4);
    // Adding ρ to itself changes nothing; adding a Gaussian to the right moves samples right.
    let delta = result.sensitivities;
    let itself = values(&delta.clone().slice_dim(0, 1..2));
    assert!(itself.iter().all(|x| x.abs() < 1e-12));
    let right = values(&delta.slice([0..1, 0..5, 0..1]));
    assert!(right.iter().all(|x| *x > 0.0), "{right:?}");
}

fn refuses<T: std::fmt::Debug>(result: Result<T, DiffusionError>, word: &str) {
    let error = result.expect_err("refused").to_string();
    assert!(error.contains(word), "{error}");
}

#[test]
fn bad_input_is_refused() {
    let device = Device::flex();
    let unit = vec![1.0];
    let gmm = |weights: &[f64], mean: Vec<f64>, covariance: Vec<f64>| {
        let (means, covariances) = (vec![mean; weights.len()], vec![covariance; weights.len()]);
        gaussian_mixture(weights, &means, &covariances, &device, F64)
    };
    refuses(gmm(&[0.5, 0.4], unit.clone(), unit.clone()), "sum to 1");
    refuses(gmm(&[1.0], vec![], vec![]), "dimension");
    refuses(gmm(&[1.0], unit.clone(), vec![-1.0]), "positive definite");
    refuses(
        gmm(&[1.0], vec![0.0; 2], vec![1.0, 2.0, 2.0, 1.0]),
        "positive definite",
    );
    refuses(
        gmm(&[1.0], vec![0.0; 2], vec![1.0, 0.5, 0.2, 1.0]),
        "symmetric",
    );
    refuses(gmm(&[1.0], vec![0.0; 2], unit.clone()), "2×2");
    refuses(gmm(&[1.0], vec![f64::NAN], unit), "finite");
    refuses(Mixture::new(vec![]), "part");
    let nothing = || Tensor::<2>::zeros([3, 0], (&device, F64));
    refuses(Empirical::new(nothing()), "at least one entry");
    refuses(Gaussian::fitted(&nothing(), true), "0 entries");
    refuses(Gaussian::diagonal(&[], &[], &device, F64), "dimension");
    refuses(
        Gaussian::from_moments(&[], &[], &device, F64),
        "at least one",
    );
    refuses(Empirical::weighted(normal(0, 2, 2), &[1.0]), "weights");
    refuses(
        Empirical::weighted(normal(0, 2, 2), &[1.0, 0.0]),
        "positive",
    );

    let data = mixture(&gaussians(1, 2, 2));
    let group = mixture(&gaussians(1, 1, 2));
    refuses(perturbed(&data, &group, -1.5), "removed");
    refuses(perturbed(&data, &group, f64::NAN), "positive sum");
    let too_much = perturbed(&data, &group, -0.9).expect("a positive total");
    let mean = Tensor::from_data(
        TensorData::new(gaussians(1, 1, 2)[0].0.clone(), [1, 2]),
        (&device, F64),
    );
    refuses(too_much.denoise(mean, 0.1), "not positive");
    refuses(data.denoise(normal(0, 2, 3), 1.0), "[2, 3]");

    let density = ProbabilityFlow {
        start: Gaussian::fitted(&normal(0, 9, 2), true).expect("fitted"),
        trace: Trace::Exact,
    };
    let (sigmas, noise) = (karras(8, 0.02, 20.0, 7.0), FrozenNoise::new(0));
    let stochastic = SAMPLERS[2];
    let start = normal(0, 2, 2);
    refuses(
        sample_with_tangents(
            &data,
            &[&group],
            &density,
            &stochastic,
            &sigmas,
            start.clone(),
            &noise,
        ),
        "stochastic",
    );
    let smoothed = Smoothed {
        data: &data,
        bandwidth: -1.0,
    };
    refuses(smoothed.check(&[]), "bandwidth");
    let cut = Cutoff {
        density: ClosedForm(&data),
        sigma: f64::INFINITY,
    };
    refuses(cut.check(&[]), "cut-off");
    refuses(
        sample_with_tangents(&data, &[], &density, &Sampler::Heun, &sigmas, start, &noise),
        "direction",
    );
}

#[test]
fn a_denoiser_alone_gives_the_density_of_its_data() {
    let data = mixture(&gaussians(40, 3, 3));
    let points = normal(41, 40, 3) * 1.5;
    let samples = normal(42, 20_000, 3);
    let fitted = sample(
        &data,
        &Sampler::Heun,
        &karras(40, 0.002, 80.0, 7.0),
        samples,
        &FrozenNoise::new(0),
    );
    let start = Gaussian::fitted(&fitted.expect("samples"), false).expect("a Gaussian");
    let error = |steps: usize, sigma: f64| {
        let levels = karras(steps, 0.05, 80.0, 7.0);
        let learned =
            ModelMeasure::new(&data, start.clone(), Trace::Exact, &levels).expect("valid");
        let integrated = values(
            &learned
                .log_density(points.clone(), sigma)
                .expect("a density"),
        );
        let truth = values(&data.log_density(points.clone(), sigma).expect("a density"));
        let errors = integrated.iter().zip(&truth).map(|(a, b)| (a - b).abs());
        errors.fold(0.0, f64::max)
    };
    // Second order: four times the steps, a sixteenth of the error.
    for sigma in [0.3, 2.0] {
        let (coarse, fine) = (error(40, sigma), error(160, sigma));
        assert!(fine < 0.02, "σ = {sigma}: {fine} nats");
        assert!(
            fine < 0.1 * coarse,
            "σ = {sigma}: {coarse} then {fine} nats"
        );
    }
}
