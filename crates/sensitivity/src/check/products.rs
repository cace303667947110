//! The work of the network in a run, counted by a denoiser in its place.

use std::cell::RefCell;
use std::collections::BTreeMap;

use burn::tensor::Tensor;
use datasway_diffusion::DiffusionError;
use datasway_diffusion::denoiser::{Denoiser, check_points, check_tangents};

/// What a run asks of a denoiser at a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Product {
    /// D.
    Forward,
    /// D and its products with J along so many tangents.
    Jacobian(usize),
    /// D and its products with Jᵀ of so many cotangents.
    Transposed(usize),
}

impl Product {
    /// The name in files and on pages, and the number of tangents or cotangents.
    pub fn name_and_vectors(self) -> (&'static str, usize) {
        match self {
            Self::Forward => ("forward", 0),
            Self::Jacobian(tangents) => ("jvp", tangents),
            Self::Transposed(cotangents) => ("vjp", cotangents),
        }
    }
}

/// `D(x, σ) = s²/(s² + σ²)·x`, the denoiser of a normal distribution of variance s² in every entry. It counts the points of each
/// product: a run with it has all the work of a network's run but the network's.
pub struct CountingDenoiser {
    dim: usize,
    /// s.
    scale: f64,
    points: RefCell<BTreeMap<Product, usize>>,
}

impl CountingDenoiser {
    /// The denoiser for points of `dim` entries, with s = `scale`.
    pub fn new(dim: usize, scale: f64) -> Self {
        let points = RefCell::default();
        Self { dim, scale, points }
    }

    /// The points of each product since the last call.
    pub fn take_points(&self) -> BTreeMap<Product, usize> {
        self.points.take()
    }

    fn count(&self, product: Product, points: usize) {
        *self.points.borrow_mut().entry(product).or_default() += points;
    }

    /// D, and J along some tangents. J is symmetric.
    fn linear(
        &self,
        x: Tensor<2>,
        sigma: f64,
        tangents: Tensor<3>,
    ) -> Result<(Tensor<2>, Tensor<3>), DiffusionError> {
        check_points(&x, self.dim)?;
        check_tangents(&x, &tangents)?;
        Ok((x * self.slope(sigma), tangents * self.slope(sigma)))
    }

    /// `s²/(s² + σ²)`.
    fn slope(&self, sigma: f64) -> f64 {
        let variance = self.scale * self.scale;
        variance / (variance + sigma * sigma)
    }
}

impl Denoiser for CountingDenoiser {
    fn dim(&self) -> usize {
        self.dim
    }

    fn denoise(&self, x: Tensor<2>, sigma: f64) -> Result<Tensor<2>, DiffusionError> {
        check_points(&x, self.dim)?;
        self.count(Product::Forward, x.dims()[0]);
        Ok(x * self.slope(sigma))
    }

    fn jvp(
        &self,
        x: Tensor<2>,
        sigma: f64,
        tangents: Tensor<3>,
    ) -> Result<(Tensor<2>, Tensor<3>), DiffusionError> {
        self.count(Product::Jacobian(tangents.dims()[0]), x.dims()[0]);
        self.linear(x, sigma, tangents)
    }

    fn vjp(
        &self,
        x: Tensor<2>,
        sigma: f64,
        cotangents: Tensor<3>,
    ) -> Result<(Tensor<2>, Tensor<3>), DiffusionError> {
        self.count(Product::Transposed(cotangents.dims()[0]), x.dims()[0]);
        self.linear(x, sigma, cotangents)
    }
}
