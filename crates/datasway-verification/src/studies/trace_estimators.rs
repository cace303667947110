//! Estimators of the trace of a matrix at equal numbers of products with the matrix.

use burn::tensor::Tensor;
use datasway_diffusion::DiffusionError;
use datasway_diffusion::denoiser::Denoiser;
use datasway_sensitivity::jacobian_trace::Colouring;
use nalgebra::{DMatrix, DVector};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use crate::problems::problem::rows;

/// A randomised estimator of `tr J` from products with J.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TraceEstimator {
    /// Mean of `⟨v, Jv⟩` over random signs v (Hutchinson 1989).
    Rademacher,
    /// Mean of `⟨v, Jv⟩` over Gaussian v (Girard 1987).
    Gaussian,
    /// Hutch++ (Meyer, Musco, Musco and Woodruff 2021, Algorithm 1, arXiv 2010.09649).
    HutchPlusPlus,
    /// XTrace (Epperly, Tropp and Webber 2023, arXiv 2301.07825).
    XTrace,
}

impl TraceEstimator {
    /// All estimators.
    pub const ALL: [Self; 4] = [
        Self::Rademacher,
        Self::Gaussian,
        Self::HutchPlusPlus,
        Self::XTrace,
    ];

    /// Name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rademacher => "Rademacher",
            Self::Gaussian => "Gaussian",
            Self::HutchPlusPlus => "Hutch++",
            Self::XTrace => "XTrace",
        }
    }

    /// Estimate of `tr J` from at most `products` products with J.
    pub fn estimate(self, j: &DMatrix<f64>, products: usize, rng: &mut ChaCha8Rng) -> f64 {
        match self {
            Self::Rademacher => quadratic(j, &signs(rng, j.nrows(), products)),
            Self::Gaussian => quadratic(j, &normal(rng, j.nrows(), products)),
            Self::HutchPlusPlus => hutch_plus_plus(j, products, rng),
            Self::XTrace => xtrace(j, products, rng),
        }
    }
}

fn signs(rng: &mut ChaCha8Rng, d: usize, count: usize) -> DMatrix<f64> {
    DMatrix::from_fn(d, count, |_, _| if rng.random() { 1.0 } else { -1.0 })
}

fn normal(rng: &mut ChaCha8Rng, d: usize, count: usize) -> DMatrix<f64> {
    DMatrix::from_fn(d, count, |_, _| StandardNormal.sample(&mut *rng))
}

/// Mean of `⟨v, Jv⟩` over columns v.
fn quadratic(j: &DMatrix<f64>, v: &DMatrix<f64>) -> f64 {
    v.dot(&(j * v)) / v.ncols() as f64
}

/// Hutch++.
///
/// A third of the products finds an orthonormal basis Q of the range of J.
/// A third computes the trace within it, `tr QᵀJQ`, exactly.
/// A third estimates the remaining trace by `⟨u, Ju⟩` with `u = (1 − QQᵀ)·v`.
fn hutch_plus_plus(j: &DMatrix<f64>, products: usize, rng: &mut ChaCha8Rng) -> f64 {
    let third = (products / 3).min(j.nrows());
    let q = (j * signs(rng, j.nrows(), third)).qr().q();
    let within = q.dot(&(j * &q));
    let v = signs(rng, j.nrows(), products - 2 * third);
    let u = &v - &q * q.tr_mul(&v);
    within + quadratic(j, &u)
}

/// XTrace.
///
/// Half of the products finds a basis Q of the range from test vectors ω_i, and half computes JQ.
/// Each ω_i in turn is left out of the range and estimates the remaining trace; the estimate is the mean over i.
///
/// With `JΩ = QR`, leaving out ω_i removes the direction `Q·s_i` from Q, where s_i is the normalised row i of `R⁻¹`, which is
/// orthogonal to all other columns of R.
/// With `c_i = (1 − s_i·s_iᵀ)·Qᵀω_i` and `u_i = ω_i − Q·c_i`, the product `Ju_i = Jω_i − (JQ)·c_i` is available for free.
/// The direction of u_i is uniform in a space of d − ℓ + 1 dimensions, so its length is set to the root of that number.
fn xtrace(j: &DMatrix<f64>, products: usize, rng: &mut ChaCha8Rng) -> f64 {
    let d = j.nrows();
    let count = (products / 2).min(d);
    let omega = normal(rng, d, count);
    let y = j * &omega;
    let (q, r) = y.clone().qr().unpack();
    let z = j * &q;
    let h = q.tr_mul(&z);
    let Some(inverse) = r.try_inverse() else {
        return h.trace();
    };
    let projected = q.tr_mul(&omega);
    let estimates = (0..count).map(|i| {
        let s = inverse.row(i).transpose().normalize();
        let w: DVector<f64> = projected.column(i).into();
        let c = &w - &s * s.dot(&w);
        let u = omega.column(i) - &q * &c;
        let ju = y.column(i) - &z * &c;
        let scale = (d - count + 1) as f64 / u.norm_squared();
        h.trace() - s.dot(&(&h * &s)) + scale * u.dot(&ju)
    });
    estimates.sum::<f64>() / count as f64
}

/// Probing with colours ([`Trace::Probing`](datasway_sensitivity::jacobian_trace::Trace::Probing)): the sum of `⟨v, Jv⟩` over one vector of
/// random signs for each colour.
/// The number of products is the number of colours.
pub fn probing(j: &DMatrix<f64>, colouring: Colouring, rng: &mut ChaCha8Rng) -> f64 {
    let colours = colouring.colours();
    let sign = signs(rng, j.nrows(), 1);
    let vectors = DMatrix::from_fn(j.nrows(), colouring.count(), |entry, colour| {
        if colours[entry] == colour {
            sign[entry]
        } else {
            0.0
        }
    });
    vectors.dot(&(j * &vectors))
}

/// Number of tangents in a call of the model.
const TANGENTS: usize = 64;

/// Jacobian of a denoiser at one point `[1, d]`, as a matrix of `[d, d]`.
///
/// # Errors
/// If the model cannot be differentiated.
pub fn jacobian(
    model: &dyn Denoiser,
    x: &Tensor<2>,
    sigma: f64,
) -> Result<DMatrix<f64>, DiffusionError> {
    let d = model.dim();
    let unit = Tensor::<2>::eye(d, &x.device())
        .cast(x.dtype())
        .unsqueeze_dim::<3>(1);
    let mut columns = Vec::with_capacity(d * d);
    for first in (0..d).step_by(TANGENTS) {
        let tangents = unit.clone().slice_dim(0, first..(first + TANGENTS).min(d));
        let products = model.jvp(x.clone(), sigma, tangents)?.1.squeeze_dim::<2>(1);
        columns.extend(rows(&products)?.into_iter().flatten());
    }
    Ok(DMatrix::from_vec(d, d, columns))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    /// A matrix that is not symmetric, with eigenvalues that fall.
    fn matrix(d: usize, decay: f64) -> DMatrix<f64> {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let (left, noise) = (
            normal(&mut rng, d, d).qr().q(),
            normal(&mut rng, d, d) * 1e-3,
        );
        let values = DMatrix::from_fn(d, d, |i, k| if i == k { decay.powi(i as i32) } else { 0.0 });
        &left * values * left.transpose() + noise
    }

    #[test]
    fn every_estimator_is_unbiased() {
        let j = matrix(20, 0.7);
        let truth = j.trace();
        for estimator in TraceEstimator::ALL {
            let mut rng = ChaCha8Rng::seed_from_u64(2);
            let draws: Vec<f64> = (0..4000)
                .map(|_| estimator.estimate(&j, 6, &mut rng))
                .collect();
            let n = draws.len() as f64;
            let mean = draws.iter().sum::<f64>() / n;
            let variance = draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
            let error = (mean - truth).abs() / (variance / n).sqrt();
            assert!(
                error < 4.0,
                "{estimator:?}: {mean} for {truth}, {error} deviations"
            );
        }
    }

    #[test]
    fn probing_is_exact_where_neighbours_alone_interact() {
        // Pixels in a row, each coupled to the next: another colour.
        let j = DMatrix::from_fn(16, 16, |i, k| if i.abs_diff(k) < 2 { 1.0 } else { 0.0 });
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let colouring = |period| Colouring {
            shape: [1, 1, 16],
            period,
        };
        assert_eq!(probing(&j, colouring(2), &mut rng), 16.0);
        let mut one_colour = (0..9).map(|_| probing(&j, colouring(1), &mut rng));
        assert!(one_colour.any(|trace| trace != 16.0));
    }

    #[test]
    fn a_range_that_is_found_leaves_nothing_to_chance() {
        // Rank 3: found by 4 test vectors.
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let (a, b) = (normal(&mut rng, 15, 3), normal(&mut rng, 15, 3));
        let j = &a * b.transpose();
        let estimate = TraceEstimator::HutchPlusPlus.estimate(&j, 12, &mut rng);
        assert!((estimate - j.trace()).abs() < 1e-9, "{estimate}");
    }

    #[test]
    fn fast_decay_rewards_the_range() {
        let j = matrix(40, 0.5);
        let spread = |estimator: TraceEstimator| {
            let mut rng = ChaCha8Rng::seed_from_u64(4);
            let errors =
                (0..300).map(|_| (estimator.estimate(&j, 24, &mut rng) - j.trace()).powi(2));
            (errors.sum::<f64>() / 300.0).sqrt()
        };
        let [plain, hutch, xtrace] = [
            TraceEstimator::Rademacher,
            TraceEstimator::HutchPlusPlus,
            TraceEstimator::XTrace,
        ]
        .map(spread);
        assert!(hutch < plain / 5.0, "{hutch} against {plain}");
        assert!(xtrace < hutch, "{xtrace} against {hutch}");
    }
}
