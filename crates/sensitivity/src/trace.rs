//! The trace of a denoiser's Jacobian from products with it.

use burn::tensor::{Tensor, TensorData};
use diffusion::DiffusionError;
use diffusion::random::{Purpose, generator};
use rand::RngExt;

/// How the trace of the denoiser's Jacobian is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trace {
    /// One tangent for each of the d entries: for small d.
    Exact,
    /// Hutchinson 1989: the mean of `⟨v, J·v⟩` over Rademacher probes v, fresh in each step, unbiased.
    Hutchinson {
        /// Number of probes.
        probes: usize,
        /// Seed of the probes.
        seed: u64,
        /// Index of the first sample of the batch: the probes of a sample do not depend on its batch.
        first: u64,
    },
}

impl Trace {
    /// Checks that there is something to average.
    ///
    /// # Errors
    /// If there are no probes.
    pub fn check(&self) -> Result<(), DiffusionError> {
        match self {
            Self::Hutchinson { probes: 0, .. } => Err(DiffusionError::Config(
                "the probability-flow density needs at least one probe".to_owned(),
            )),
            _ => Ok(()),
        }
    }

    /// The tangents whose products with J are needed in step k at the points x, `[P, n, d]`.
    pub fn tangents(&self, x: &Tensor<2>, k: usize) -> Tensor<3> {
        let [n, d] = x.dims();
        let (device, dtype) = (x.device(), x.dtype());
        match *self {
            Self::Exact => Tensor::<2>::eye(d, &device)
                .cast(dtype)
                .unsqueeze_dim::<3>(1)
                .expand([d, n, d]),
            Self::Hutchinson {
                probes,
                seed,
                first,
            } => {
                let mut signs: Vec<f64> = Vec::with_capacity(probes * n * d);
                for probe in 0..probes as u64 {
                    for row in 0..n as u64 {
                        let index = [first + row, k as u64, probe];
                        let mut rng = generator(seed, Purpose::Probe, index);
                        signs.extend((0..d).map(|_| if rng.random() { 1.0 } else { -1.0 }));
                    }
                }
                Tensor::from_data(TensorData::new(signs, [probes, n, d]), (&device, dtype))
            }
        }
    }

    /// The trace `[n]` (or anything linear in it) from one term `⟨v, J·v⟩` for each tangent, `[P, n]`.
    pub fn combine(&self, terms: Tensor<2>) -> Tensor<1> {
        match self {
            Self::Exact => terms.sum_dim(0),
            Self::Hutchinson { .. } => terms.mean_dim(0),
        }
        .squeeze_dim::<1>(0)
    }
}

/// `⟨v, J·v⟩` for each tangent and point, `[P, n]`, from tangents and products `[P, n, d]`.
pub fn terms(tangents: &Tensor<3>, products: Tensor<3>) -> Tensor<2> {
    (tangents.clone() * products).sum_dim(2).squeeze_dim::<2>(2)
}
