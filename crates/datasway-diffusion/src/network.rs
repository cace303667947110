//! A trained network as a denoiser.

use std::sync::Arc;

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{DType, Device, Tensor, TensorData};
use burn_jvp::{CustomRule, DynTensor, Jvp};

use crate::DiffusionError;
use crate::checkpoint::Checkpoint;
use crate::config::UNetConfig;
use crate::denoiser::{Denoiser, check_points, check_tangents};
use crate::parameterization::Parameterization;
use crate::precondition::Precondition;
use crate::unet::UNet;

/// The raw network `F` on flat points `[n, d]` and their noise levels `c_noise`, `[n]`.
type Forward<M> = Arc<dyn Fn(&M, Tensor<2>, Tensor<1>) -> Tensor<2> + Send + Sync>;
/// The same function, recorded by burn-jvp.
pub(crate) type Recorded<M> = Box<dyn Fn(&M, &[DynTensor]) -> DynTensor + Send + Sync>;

/// The denoiser `D(x, σ) = c_skip·x + c_out·F(c_in·x, c_noise)` of a network on flat points `[n, d]`.
///
/// The network is a U-Net by default.
pub struct NetworkDenoiser<M: Module = UNet> {
    pub(crate) network: M,
    /// The same weights as constants on the autodiff device, for products with Jᵀ.
    constant: M,
    d: usize,
    pub(crate) parameterization: Arc<dyn Parameterization>,
    forward: Forward<M>,
    /// Rules of custom operations that the network uses.
    rules: Vec<&'static dyn CustomRule>,
    pub(crate) jvp: Jvp<M, Recorded<M>>,
}

impl NetworkDenoiser {
    /// A denoiser from a U-Net of this configuration; no gradients are recorded through its weights.
    pub fn new(network: UNet, config: UNetConfig, precondition: Precondition) -> Self {
        let (d, size) = (config.dim(), config.image_size);
        let forward = move |network: &UNet, x: Tensor<2>, level: Tensor<1>| {
            let n = x.dims()[0];
            let images = x.reshape([n, config.image_channels, size, size]);
            network.forward(images, level).reshape([n, d])
        };
        Self::flat(network, d, precondition, forward)
    }

    /// The averaged weights of a checkpoint, on a device.
    ///
    /// # Errors
    /// If weights are missing or do not fit the network that the checkpoint describes.
    pub fn from_checkpoint(
        checkpoint: &Checkpoint,
        device: &Device,
    ) -> Result<Self, DiffusionError> {
        Self::of_averaged_weights(checkpoint, device, |network| network)
    }

    /// The averaged weights of a checkpoint, in double precision, for points in double precision.
    ///
    /// # Errors
    /// As [`from_checkpoint`](Self::from_checkpoint).
    pub fn in_double_precision(
        checkpoint: &Checkpoint,
        device: &Device,
    ) -> Result<Self, DiffusionError> {
        Self::of_averaged_weights(checkpoint, device, |network| network.map(&mut Doubled))
    }

    fn of_averaged_weights(
        checkpoint: &Checkpoint,
        device: &Device,
        change: impl FnOnce(UNet) -> UNet,
    ) -> Result<Self, DiffusionError> {
        let config = checkpoint.header.network.clone();
        let network = checkpoint.averaged_network(device)?;
        let precondition = Precondition::new(checkpoint.header.sigma_data)?;
        Ok(Self::new(change(network), config, precondition))
    }
}

/// The same weights as constants on the autodiff device.
fn constant<M: Module>(network: &M) -> M {
    network.clone().no_grad().train()
}

/// A network's function, to be recorded by burn-jvp.
fn differentiable<M: Module + 'static>(
    forward: &Forward<M>,
    rules: &[&'static dyn CustomRule],
) -> Jvp<M, Recorded<M>> {
    let forward = forward.clone();
    let recorded: Recorded<M> = Box::new(move |network, inputs| {
        forward(network, inputs[0].get::<2>(), inputs[1].get::<1>()).into()
    });
    Jvp::new(recorded).with_rules(rules)
}

/// Casts all parameters to double precision.
struct Doubled;

impl ModuleMapper for Doubled {
    fn map_float<const D: usize>(&mut self, parameter: Param<Tensor<D>>) -> Param<Tensor<D>> {
        parameter.map(|value| value.cast(DType::F64))
    }
}

impl<M: Module + 'static> NetworkDenoiser<M> {
    /// A denoiser from any network `F(x, c_noise)` of points `[n, d]` and noise levels `[n]`, with results `[n, d]`.
    pub fn flat(
        network: M,
        d: usize,
        parameterization: impl Parameterization + 'static,
        forward: impl Fn(&M, Tensor<2>, Tensor<1>) -> Tensor<2> + Send + Sync + 'static,
    ) -> Self {
        let forward: Forward<M> = Arc::new(forward);
        let rules = burn_cpu_kernels::jvp::RULES.to_vec();
        Self {
            constant: constant(&network),
            network,
            d,
            parameterization: Arc::new(parameterization),
            jvp: differentiable(&forward, &rules),
            forward,
            rules,
        }
    }

    /// Adds rules of custom operations that the network uses, beside those of the CPU kernels.
    pub fn with_rules(mut self, rules: &[&'static dyn CustomRule]) -> Self {
        self.rules.extend(rules);
        self.jvp = differentiable(&self.forward, &self.rules);
        self
    }

    /// The same model with other weights.
    pub(crate) fn with_network(&self, network: M) -> Self {
        Self {
            constant: constant(&network),
            network,
            d: self.d,
            parameterization: self.parameterization.clone(),
            jvp: differentiable(&self.forward, &self.rules),
            forward: self.forward.clone(),
            rules: self.rules.clone(),
        }
    }

    fn noise_level(&self, x: &Tensor<2>, sigma: f64) -> Tensor<1> {
        let n = x.dims()[0];
        let level = vec![self.parameterization.c_noise(sigma); n];
        Tensor::from_data(TensorData::new(level, [n]), (&x.device(), x.dtype()))
    }
}

impl<M: Module + 'static> Denoiser for NetworkDenoiser<M> {
    fn dim(&self) -> usize {
        self.d
    }

    fn denoise(&self, x: Tensor<2>, sigma: f64) -> Result<Tensor<2>, DiffusionError> {
        check_points(&x, self.d)?;
        let p = self.parameterization.as_ref();
        let level = self.noise_level(&x, sigma);
        let raw = (self.forward)(&self.network, x.clone() * p.c_in(sigma), level);
        Ok(x * p.c_skip(sigma) + raw * p.c_out(sigma))
    }

    /// `J_D·v = c_skip·v + c_out·J_F·(c_in·v)`.
    fn jvp(
        &self,
        x: Tensor<2>,
        sigma: f64,
        tangents: Tensor<3>,
    ) -> Result<(Tensor<2>, Tensor<3>), DiffusionError> {
        check_points(&x, self.d)?;
        check_tangents(&x, &tangents)?;
        let p = self.parameterization.as_ref();
        let inputs = [
            (x.clone() * p.c_in(sigma)).into(),
            self.noise_level(&x, sigma).into(),
        ];
        let moved = (tangents.clone() * p.c_in(sigma)).into();
        let (raw, raw_tangents) = self
            .jvp
            .call(&self.network, &inputs, &[Some(moved), None])
            .map_err(|error| DiffusionError::Jvp(error.to_string()))?;
        let mut derivative = tangents * p.c_skip(sigma);
        if let Some(raw_tangents) = raw_tangents {
            derivative = derivative + raw_tangents.get::<3>() * p.c_out(sigma);
        }
        let denoised = x * p.c_skip(sigma) + raw.get::<2>() * p.c_out(sigma);
        Ok((denoised, derivative))
    }

    /// `J_Dᵀ·c = c_skip·c + c_in·J_Fᵀ·(c_out·c)`, the points repeated for each cotangent.
    fn vjp(
        &self,
        x: Tensor<2>,
        sigma: f64,
        cotangents: Tensor<3>,
    ) -> Result<(Tensor<2>, Tensor<3>), DiffusionError> {
        check_points(&x, self.d)?;
        check_tangents(&x, &cotangents)?;
        let [k, n, d] = cotangents.dims();
        let p = self.parameterization.as_ref();
        let points = x.clone().repeat_dim(0, k);
        let level = self.noise_level(&points, sigma).autodiff();
        let input = (points * p.c_in(sigma)).autodiff().require_grad();
        let raw = (self.forward)(&self.constant, input.clone(), level);
        let pulled = cotangents.clone().reshape([k * n, d]) * p.c_out(sigma);
        let gradients = (raw.clone() * pulled.autodiff()).sum().backward();
        let mut product = cotangents * p.c_skip(sigma);
        if let Some(gradient) = input.grad(&gradients) {
            product = product + gradient.reshape([k, n, d]) * p.c_in(sigma);
        }
        let raw = raw.inner().slice_dim(0, 0..n);
        Ok((x * p.c_skip(sigma) + raw * p.c_out(sigma), product))
    }
}
