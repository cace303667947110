//! The trait [`LearnedDenoiser`]: a denoiser with weights, and products with its Jacobian in them.

use burn::module::Module;
use burn::tensor::{Tensor, TensorData};
use burn_jvp::{DynTensor, JvpError, ParameterTangents, Tangents, Variables};

use crate::DiffusionError;
use crate::denoiser::{Denoiser, check_points, check_tangents};
use crate::network::NetworkDenoiser;
use crate::weights;

/// A denoiser `D_θ(x, σ)` that is the minimum of a denoising loss in its weights θ.
///
/// Each row of the points has a noise level of its own, as in a training batch. A denoiser in closed form has no weights
/// and does not implement this trait.
pub trait LearnedDenoiser: Denoiser {
    /// The weight `w(σ)` of the squared error in the training loss.
    fn loss_weight(&self, sigma: f64) -> f64;

    /// The shape of every parameter in θ.
    fn weight_shapes(&self) -> Vec<Vec<usize>>;

    /// The same model with weights that are moved along direction k: `θ + step·θ'_k`.
    ///
    /// # Panics
    /// If there is no direction k.
    fn displaced(
        &self,
        directions: &ParameterTangents,
        k: usize,
        step: f64,
    ) -> Box<dyn LearnedDenoiser>;

    /// `D(x_i, σ_i)` for points x `[n, d]` and n noise levels.
    ///
    /// # Errors
    /// If a shape does not match.
    fn denoise_each(&self, x: Tensor<2>, sigmas: &[f64]) -> Result<Tensor<2>, DiffusionError>;

    /// The denoised points, and `J_x·x' + J_θ·θ'` along K tangents of the points, `[K, n, d]`, and of the weights.
    ///
    /// # Errors
    /// If a shape does not match, nothing has a tangent, or the model cannot be differentiated.
    fn jvp_with_weights(
        &self,
        x: Tensor<2>,
        sigmas: &[f64],
        tangents: Option<Tensor<3>>,
        weights: &ParameterTangents,
    ) -> Result<(Tensor<2>, Tensor<3>), DiffusionError>;

    /// The K products `J_θᵀ·c` with cotangents `[K, n, d]`, each a sum over all rows.
    ///
    /// # Errors
    /// If a shape does not match, or the model cannot be differentiated.
    fn vjp_in_weights(
        &self,
        x: Tensor<2>,
        sigmas: &[f64],
        cotangents: Tensor<3>,
    ) -> Result<ParameterTangents, DiffusionError>;
}

impl<M: Module + 'static> LearnedDenoiser for NetworkDenoiser<M> {
    fn loss_weight(&self, sigma: f64) -> f64 {
        self.parameterization.loss_weight(sigma)
    }

    fn weight_shapes(&self) -> Vec<Vec<usize>> {
        weights::shapes(&self.network).into_values().collect()
    }

    fn displaced(
        &self,
        directions: &ParameterTangents,
        k: usize,
        step: f64,
    ) -> Box<dyn LearnedDenoiser> {
        Box::new(self.with_network(directions.displace(self.network.clone(), k, step)))
    }

    fn denoise_each(&self, x: Tensor<2>, sigmas: &[f64]) -> Result<Tensor<2>, DiffusionError> {
        check_rows(self.dim(), &x, sigmas)?;
        let raw = self.jvp.primal(&self.network, &self.inputs(&x, sigmas));
        let raw = raw.map_err(failed)?.get::<2>();
        let p = self.parameterization.as_ref();
        let skip = per_row(&x, sigmas, |sigma| p.c_skip(sigma));
        let out = per_row(&x, sigmas, |sigma| p.c_out(sigma));
        Ok(x * skip + raw * out)
    }

    /// `c_skip·x' + c_out·(J_F·(c_in·x') + J_F,θ·θ')`.
    fn jvp_with_weights(
        &self,
        x: Tensor<2>,
        sigmas: &[f64],
        tangents: Option<Tensor<3>>,
        weights: &ParameterTangents,
    ) -> Result<(Tensor<2>, Tensor<3>), DiffusionError> {
        check_rows(self.dim(), &x, sigmas)?;
        if let Some(tangents) = &tangents {
            check_tangents(&x, tangents)?;
        }
        let p = self.parameterization.as_ref();
        let row = |f: &dyn Fn(f64) -> f64| per_row(&x, sigmas, f);
        let scaled = |t: Tensor<3>, factors: Tensor<2>| t * factors.unsqueeze_dim::<3>(0);
        let directions = Tangents {
            inputs: match &tangents {
                Some(t) => {
                    let moved = scaled(t.clone(), row(&|sigma| p.c_in(sigma)));
                    vec![Some(moved.into()), None]
                }
                None => Vec::new(),
            },
            parameters: weights.clone(),
        };
        let inputs = self.inputs(&x, sigmas);
        let (raw, raw_tangents) = self
            .jvp
            .along(&self.network, &inputs, &directions)
            .map_err(failed)?;
        let (skip, out) = (row(&|sigma| p.c_skip(sigma)), row(&|sigma| p.c_out(sigma)));
        let by_network = raw_tangents.map(|t| scaled(t.get::<3>(), out.clone()));
        let by_skip = tangents.map(|t| scaled(t, skip.clone()));
        let derivative = match (by_skip, by_network) {
            (Some(a), Some(b)) => a + b,
            (Some(term), None) | (None, Some(term)) => term,
            (None, None) => {
                return Err(DiffusionError::Invalid(
                    "neither the points nor the weights of the model have a tangent".to_owned(),
                ));
            }
        };
        Ok((x * skip + raw.get::<2>() * out, derivative))
    }

    /// `J_F,θᵀ·(c_out·c)`.
    fn vjp_in_weights(
        &self,
        x: Tensor<2>,
        sigmas: &[f64],
        cotangents: Tensor<3>,
    ) -> Result<ParameterTangents, DiffusionError> {
        check_rows(self.dim(), &x, sigmas)?;
        check_tangents(&x, &cotangents)?;
        let out = per_row(&x, sigmas, |sigma| self.parameterization.c_out(sigma));
        let pulled: DynTensor = (cotangents * out.unsqueeze_dim::<3>(0)).into();
        let variables = Variables::parameters_of(&self.network);
        let inputs = self.inputs(&x, sigmas);
        let products = self.jvp.vjp(&self.network, &inputs, &variables, &pulled);
        Ok(products.map_err(failed)?.parameters)
    }
}

impl<M: Module + 'static> NetworkDenoiser<M> {
    /// The inputs of the network F: `c_in·x` and `c_noise`.
    fn inputs(&self, x: &Tensor<2>, sigmas: &[f64]) -> [DynTensor; 2] {
        let p = self.parameterization.as_ref();
        let scaled = x.clone() * per_row(x, sigmas, |sigma| p.c_in(sigma));
        let level = per_row(x, sigmas, |sigma| p.c_noise(sigma)).squeeze_dim::<1>(1);
        [scaled.into(), level.into()]
    }
}

/// Checks that points are `[n, dim]` and have n noise levels.
fn check_rows(dim: usize, x: &Tensor<2>, sigmas: &[f64]) -> Result<(), DiffusionError> {
    check_points(x, dim)?;
    let n = x.dims()[0];
    if sigmas.len() == n {
        return Ok(());
    }
    Err(DiffusionError::Shape {
        what: "a list of noise levels".to_owned(),
        found: vec![sigmas.len()],
        expected: vec![n],
    })
}

/// `f(σ)` for each row, `[n, 1]`, on the device and in the precision of `like`.
fn per_row(like: &Tensor<2>, sigmas: &[f64], f: impl Fn(f64) -> f64) -> Tensor<2> {
    let values: Vec<f64> = sigmas.iter().map(|sigma| f(*sigma)).collect();
    let data = TensorData::new(values, [sigmas.len(), 1]);
    Tensor::from_data(data, (&like.device(), like.dtype()))
}

fn failed(error: JvpError) -> DiffusionError {
    DiffusionError::Jvp(error.to_string())
}
