//! The work of the network in a run, counted by a denoiser in its place.

use std::cell::RefCell;
use std::collections::BTreeMap;

use burn::tensor::{DType, Device, Tensor};
use datasway_diffusion::DiffusionError;
use datasway_diffusion::denoiser::Denoiser;
use datasway_sensitivity::measure::Gaussian;

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

/// The denoiser of a normal distribution, which counts the points of each product: a run with it has all the work of a network's run
/// but the network's.
pub struct CountingDenoiser {
    gaussian: Gaussian,
    points: RefCell<BTreeMap<Product, usize>>,
}

impl CountingDenoiser {
    /// The denoiser of points that have the mean 0 and the variance s² in each of `dim` entries, with s = `scale`.
    ///
    /// # Errors
    /// If there are no entries, or s² is not finite.
    pub fn new(dim: usize, scale: f64, device: &Device) -> Result<Self, DiffusionError> {
        let variance = (scale * scale) as f32;
        Ok(Self {
            gaussian: Gaussian::from_moments(
                &vec![0.0; dim],
                &vec![variance; dim],
                device,
                DType::F32,
            )?,
            points: RefCell::default(),
        })
    }

    /// The points of each product since the last call.
    pub fn take_points(&self) -> BTreeMap<Product, usize> {
        self.points.take()
    }

    fn count(&self, product: Product, points: usize) {
        *self.points.borrow_mut().entry(product).or_default() += points;
    }
}

impl Denoiser for CountingDenoiser {
    fn dim(&self) -> usize {
        self.gaussian.dim()
    }

    fn denoise(&self, x: Tensor<2>, sigma: f64) -> Result<Tensor<2>, DiffusionError> {
        self.count(Product::Forward, x.dims()[0]);
        self.gaussian.denoise(x, sigma)
    }

    fn jvp(
        &self,
        x: Tensor<2>,
        sigma: f64,
        tangents: Tensor<3>,
    ) -> Result<(Tensor<2>, Tensor<3>), DiffusionError> {
        self.count(Product::Jacobian(tangents.dims()[0]), x.dims()[0]);
        self.gaussian.jvp(x, sigma, tangents)
    }

    fn vjp(
        &self,
        x: Tensor<2>,
        sigma: f64,
        cotangents: Tensor<3>,
    ) -> Result<(Tensor<2>, Tensor<3>), DiffusionError> {
        self.count(Product::Transposed(cotangents.dims()[0]), x.dims()[0]);
        self.gaussian.vjp(x, sigma, cotangents)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_those_of_a_normal_distribution_and_are_counted() {
        let (device, sigma) = (Device::flex(), 3.0);
        let denoiser = CountingDenoiser::new(2, 4.0, &device).unwrap();
        let x = || Tensor::<2>::from_data([[1.0, -2.0], [0.5, 0.0], [2.0, 1.0]], &device);
        let vectors = || Tensor::<3>::ones([4, 3, 2], &device);
        let values = |tensor: Tensor<2>| tensor.into_data().try_to_vec::<f32>().unwrap();
        // s²/(s² + σ²) = 16/25
        let expected = values(x() * 0.64);
        assert_eq!(values(denoiser.denoise(x(), sigma).unwrap()), expected);
        let (denoised, moved) = denoiser.jvp(x(), sigma, vectors()).unwrap();
        assert_eq!(values(denoised), expected);
        assert_eq!(values(moved.reshape([12, 2])), vec![0.64; 24]);
        denoiser.vjp(x(), sigma, vectors()).unwrap();
        denoiser.vjp(x(), sigma, vectors()).unwrap();
        let counted = [
            (Product::Forward, 3),
            (Product::Jacobian(4), 3),
            (Product::Transposed(4), 6),
        ];
        assert_eq!(denoiser.take_points(), BTreeMap::from(counted));
        assert!(denoiser.take_points().is_empty());
    }

    #[test]
    fn images_of_one_colour_have_a_denoiser_too() {
        let device = Device::flex();
        let denoiser = CountingDenoiser::new(2, 0.0, &device).unwrap();
        let denoised = denoiser
            .denoise(Tensor::ones([1, 2], &device), 1.0)
            .unwrap();
        assert_eq!(
            denoised.into_data().try_to_vec::<f32>().unwrap(),
            [0.0, 0.0]
        );
    }
}
