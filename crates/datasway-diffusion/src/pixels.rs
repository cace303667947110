//! The range of a model's pixels.

use burn::tensor::Tensor;
use burn_jvp::ParameterTangents;
use serde::{Deserialize, Serialize};

use crate::DiffusionError;
use crate::denoiser::Denoiser;
use crate::learned_denoiser::LearnedDenoiser;

/// The range of pixels that a model was trained on.
///
/// Datasway's own points have pixels of [-1, 1]. A model with pixels `u = (y + 1)/2` of [0, 1] sees half their noise, too:
/// `(y + σ·n + 1)/2 = u + (σ/2)·n`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum PixelRange {
    /// Black is −1 and white is 1.
    #[default]
    #[serde(rename = "[-1, 1]")]
    MinusOneToOne,
    /// Black is 0 and white is 1.
    #[serde(rename = "[0, 1]")]
    ZeroToOne,
}

impl PixelRange {
    /// Points of [-1, 1] in the pixels of the model.
    pub fn from_centred<const D: usize>(self, points: Tensor<D>) -> Tensor<D> {
        match self {
            Self::MinusOneToOne => points,
            Self::ZeroToOne => (points + 1.0) * 0.5,
        }
    }

    /// Points of the model in pixels of [-1, 1].
    pub fn to_centred<const D: usize>(self, points: Tensor<D>) -> Tensor<D> {
        match self {
            Self::MinusOneToOne => points,
            Self::ZeroToOne => points * 2.0 - 1.0,
        }
    }

    /// The length of a unit of [-1, 1] in the pixels of the model.
    pub fn scale(self) -> f64 {
        match self {
            Self::MinusOneToOne => 1.0,
            Self::ZeroToOne => 0.5,
        }
    }
}

/// The denoiser of points with pixels of [-1, 1] of a model `D₀` with pixels of [0, 1].
///
/// `D(x, σ) = 2·D₀((x + 1)/2, σ/2) − 1`, so that the Jacobian of D at x is that of D₀ at `(x + 1)/2`.
pub struct CentredPixels(
    /// The model with pixels of [0, 1].
    pub Box<dyn LearnedDenoiser>,
);

/// The model's pixels.
const UNIT: PixelRange = PixelRange::ZeroToOne;

impl Denoiser for CentredPixels {
    fn dim(&self) -> usize {
        self.0.dim()
    }

    fn denoise(&self, x: Tensor<2>, sigma: f64) -> Result<Tensor<2>, DiffusionError> {
        let denoised = self.0.denoise(UNIT.from_centred(x), UNIT.scale() * sigma)?;
        Ok(UNIT.to_centred(denoised))
    }

    fn jvp(
        &self,
        x: Tensor<2>,
        sigma: f64,
        tangents: Tensor<3>,
    ) -> Result<(Tensor<2>, Tensor<3>), DiffusionError> {
        let sigma = UNIT.scale() * sigma;
        let (denoised, product) = self.0.jvp(UNIT.from_centred(x), sigma, tangents)?;
        Ok((UNIT.to_centred(denoised), product))
    }

    fn vjp(
        &self,
        x: Tensor<2>,
        sigma: f64,
        cotangents: Tensor<3>,
    ) -> Result<(Tensor<2>, Tensor<3>), DiffusionError> {
        let sigma = UNIT.scale() * sigma;
        let (denoised, product) = self.0.vjp(UNIT.from_centred(x), sigma, cotangents)?;
        Ok((UNIT.to_centred(denoised), product))
    }
}

/// Noise levels in the model's pixels.
fn in_unit_pixels(sigmas: &[f64]) -> Vec<f64> {
    sigmas.iter().map(|sigma| UNIT.scale() * sigma).collect()
}

impl LearnedDenoiser for CentredPixels {
    /// `λ₀(σ/2)/4`: an error of D is twice that of D₀.
    fn loss_weight(&self, sigma: f64) -> f64 {
        UNIT.scale().powi(2) * self.0.loss_weight(UNIT.scale() * sigma)
    }

    fn weight_shapes(&self) -> Vec<Vec<usize>> {
        self.0.weight_shapes()
    }

    fn displaced(
        &self,
        directions: &ParameterTangents,
        k: usize,
        step: f64,
    ) -> Box<dyn LearnedDenoiser> {
        Box::new(Self(self.0.displaced(directions, k, step)))
    }

    fn denoise_each(&self, x: Tensor<2>, sigmas: &[f64]) -> Result<Tensor<2>, DiffusionError> {
        let sigmas = in_unit_pixels(sigmas);
        let denoised = self.0.denoise_each(UNIT.from_centred(x), &sigmas)?;
        Ok(UNIT.to_centred(denoised))
    }

    /// `2·(J₀·x'/2 + J_θ·θ')`.
    fn jvp_with_weights(
        &self,
        x: Tensor<2>,
        sigmas: &[f64],
        tangents: Option<Tensor<3>>,
        weights: &ParameterTangents,
    ) -> Result<(Tensor<2>, Tensor<3>), DiffusionError> {
        let tangents = tangents.map(|tangents| tangents * UNIT.scale());
        let (x, sigmas) = (UNIT.from_centred(x), in_unit_pixels(sigmas));
        let (denoised, product) = self.0.jvp_with_weights(x, &sigmas, tangents, weights)?;
        Ok((UNIT.to_centred(denoised), product * UNIT.scale().recip()))
    }

    /// `J_θᵀ·2c`.
    fn vjp_in_weights(
        &self,
        x: Tensor<2>,
        sigmas: &[f64],
        cotangents: Tensor<3>,
    ) -> Result<ParameterTangents, DiffusionError> {
        let (x, sigmas) = (UNIT.from_centred(x), in_unit_pixels(sigmas));
        let cotangents = cotangents * UNIT.scale().recip();
        self.0.vjp_in_weights(x, &sigmas, cotangents)
    }
}
