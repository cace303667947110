//! The trained network as a denoiser.

use burn::tensor::{Tensor, TensorData};
use burn_jvp::{DynTensor, Jvp};

use crate::DiffusionError;
use crate::checkpoint::Checkpoint;
use crate::config::UNetConfig;
use crate::denoiser::{Denoiser, check_points, check_tangents};
use crate::precondition::Precondition;
use crate::unet::UNet;
use crate::weights;

/// What burn-jvp records: the raw network of an image batch and its noise levels.
type Forward = fn(&UNet, &[DynTensor]) -> DynTensor;

/// `D(x, σ) = c_skip·x + c_out·F(c_in·x, c_noise)` of a U-Net, on flat points `[n, d]`.
pub struct NetworkDenoiser {
    network: UNet,
    config: UNetConfig,
    precondition: Precondition,
    jvp: Jvp<UNet, Forward>,
}

impl NetworkDenoiser {
    /// A denoiser from a network of this configuration; no gradients are recorded through it.
    pub fn new(network: UNet, config: UNetConfig, precondition: Precondition) -> Self {
        let forward: Forward = |network, inputs| {
            network
                .forward(inputs[0].get::<4>(), inputs[1].get::<1>())
                .into()
        };
        Self {
            network,
            config,
            precondition,
            jvp: Jvp::new(forward),
        }
    }

    /// The averaged weights of a checkpoint, on a device.
    ///
    /// # Errors
    /// If weights are missing or do not fit the network that the checkpoint describes.
    pub fn from_checkpoint(
        checkpoint: &Checkpoint,
        device: &burn::tensor::Device,
    ) -> Result<Self, DiffusionError> {
        let config = checkpoint.header.network.clone();
        let stored = checkpoint.with_ids(checkpoint.ema.clone());
        let network =
            weights::apply(UNet::new(&config, device)?, stored).map_err(DiffusionError::Config)?;
        let precondition = Precondition {
            sigma_data: checkpoint.header.sigma_data,
        };
        Ok(Self::new(network, config, precondition))
    }

    /// Points as an image batch `[n, c, h, w]`.
    fn images(&self, x: Tensor<2>) -> Tensor<4> {
        let (n, size) = (x.dims()[0], self.config.image_size);
        x.reshape([n, self.config.image_channels, size, size])
    }

    fn noise_level(&self, x: &Tensor<2>, sigma: f64) -> Tensor<1> {
        let n = x.dims()[0];
        let level = vec![self.precondition.c_noise(sigma); n];
        Tensor::from_data(TensorData::new(level, [n]), (&x.device(), x.dtype()))
    }
}

impl Denoiser for NetworkDenoiser {
    fn dim(&self) -> usize {
        self.config.dim()
    }

    fn denoise(&self, x: Tensor<2>, sigma: f64) -> Result<Tensor<2>, DiffusionError> {
        check_points(&x, self.dim())?;
        let [n, d] = x.dims();
        let p = &self.precondition;
        let input = self.images(x.clone() * p.c_in(sigma));
        let raw = self.network.forward(input, self.noise_level(&x, sigma));
        Ok(x * p.c_skip(sigma) + raw.reshape([n, d]) * p.c_out(sigma))
    }

    /// `J_D·v = c_skip·v + c_out·J_F·(c_in·v)`.
    fn jvp(
        &self,
        x: Tensor<2>,
        sigma: f64,
        tangents: Tensor<3>,
    ) -> Result<(Tensor<2>, Tensor<3>), DiffusionError> {
        check_points(&x, self.dim())?;
        check_tangents(&x, &tangents)?;
        let ([n, d], [k, ..]) = (x.dims(), tangents.dims());
        let p = &self.precondition;
        let input = self.images(x.clone() * p.c_in(sigma));
        let [_, c, h, w] = input.dims();
        let moved = (tangents.clone() * p.c_in(sigma)).reshape([k, n, c, h, w]);
        let level = self.noise_level(&x, sigma);
        let (raw, raw_tangents) = self
            .jvp
            .call(
                &self.network,
                &[input.into(), level.into()],
                &[Some(moved.into()), None],
            )
            .map_err(|error| DiffusionError::Jvp(error.to_string()))?;
        let mut derivative = tangents * p.c_skip(sigma);
        if let Some(raw_tangents) = raw_tangents {
            let raw_tangents = raw_tangents.get::<5>().reshape([k, n, d]);
            derivative = derivative + raw_tangents * p.c_out(sigma);
        }
        let denoised = x * p.c_skip(sigma) + raw.get::<4>().reshape([n, d]) * p.c_out(sigma);
        Ok((denoised, derivative))
    }
}
