//! The trait [`ImageNetwork`]: the raw network of a denoiser, on pictures.

use burn::tensor::Tensor;

use crate::unet::UNet;

/// The raw network `F` of a denoiser `c_skip·x + c_out·F(c_in·x, c_noise)`, as it is trained.
pub trait ImageNetwork {
    /// `F(x, c_noise)`, `[n, c, h, w]`, from pictures `[n, c, h, w]` and noise levels `[n]`.
    fn forward(&self, x: Tensor<4>, c_noise: Tensor<1>) -> Tensor<4>;
}

impl ImageNetwork for UNet {
    fn forward(&self, x: Tensor<4>, c_noise: Tensor<1>) -> Tensor<4> {
        Self::forward(self, x, c_noise)
    }
}
