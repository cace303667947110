//! Guidance: a denoiser between and beyond that of a class and that of all classes.

use burn::tensor::Tensor;

use crate::DiffusionError;
use crate::denoiser::{Denoiser, check_points};

/// The denoiser `D = D_u + w·(D_c − D_u)` of classifier-free guidance (Ho and Salimans, arXiv 2207.12598).
///
/// `D_c` is the denoiser of a class, `D_u` that of all classes, and w the weight: 0 is `D_u` alone, 1 is `D_c` alone, and either
/// costs one evaluation. Above 1 the difference is enlarged, and D is no longer `E[y | x]` of a measure. It is linear in the two
/// denoisers, so its derivatives are the same combination of theirs.
///
/// The data of a sensitivity must be those of the denoiser. With w = 1, ρ and ν are measures of the class's images, with w = 0 of
/// all images. With another weight there are two: ρ_c of the class and ρ_u of all images, which holds ρ_c with the share p of the
/// class. More of some images of the class changes both: a mass η relative to ρ_c is p·η relative to ρ_u. A sensitivity that takes
/// ρ_c for both, as for one denoiser, neglects this difference.
#[derive(Clone)]
pub struct Guided<C, U> {
    /// The denoiser `D_c` of the class.
    pub conditional: C,
    /// The denoiser `D_u` of all classes.
    pub unconditional: U,
    /// The weight w.
    pub weight: f64,
}

impl<C: Denoiser, U: Denoiser> Guided<C, U> {
    /// The guidance of one denoiser by another.
    ///
    /// # Errors
    /// If the weight is negative or not finite, or the denoisers have points of different dimension.
    pub fn new(conditional: C, unconditional: U, weight: f64) -> Result<Self, DiffusionError> {
        if !(weight.is_finite() && weight >= 0.0) {
            return Err(DiffusionError::Invalid(format!(
                "the weight of guidance must be a number from 0, not {weight}"
            )));
        }
        let [d, other] = [conditional.dim(), unconditional.dim()];
        if d != other {
            return Err(DiffusionError::Invalid(format!(
                "the denoiser of the class has points of {d} numbers, that of all classes of {other}: guidance needs two \
                 networks for the same pictures"
            )));
        }
        Ok(Self {
            conditional,
            unconditional,
            weight,
        })
    }

    /// The one denoiser that the weight leaves, if any.
    fn single(&self) -> Option<&dyn Denoiser> {
        if self.weight == 1.0 {
            Some(&self.conditional)
        } else if self.weight == 0.0 {
            Some(&self.unconditional)
        } else {
            None
        }
    }

    /// `u + w·(c − u)`.
    fn combine<const D: usize>(
        &self,
        conditional: Tensor<D>,
        unconditional: Tensor<D>,
    ) -> Tensor<D> {
        let difference = conditional - unconditional.clone();
        unconditional + difference * self.weight
    }
}

impl<C: Denoiser, U: Denoiser> Denoiser for Guided<C, U> {
    fn dim(&self) -> usize {
        self.conditional.dim()
    }

    fn denoise(&self, x: Tensor<2>, sigma: f64) -> Result<Tensor<2>, DiffusionError> {
        check_points(&x, self.dim())?;
        if let Some(denoiser) = self.single() {
            return denoiser.denoise(x, sigma);
        }
        let conditional = self.conditional.denoise(x.clone(), sigma)?;
        Ok(self.combine(conditional, self.unconditional.denoise(x, sigma)?))
    }

    /// `J·v = J_u·v + w·(J_c·v − J_u·v)`.
    fn jvp(
        &self,
        x: Tensor<2>,
        sigma: f64,
        tangents: Tensor<3>,
    ) -> Result<(Tensor<2>, Tensor<3>), DiffusionError> {
        if let Some(denoiser) = self.single() {
            return denoiser.jvp(x, sigma, tangents);
        }
        let conditional = self.conditional.jvp(x.clone(), sigma, tangents.clone())?;
        let unconditional = self.unconditional.jvp(x, sigma, tangents)?;
        Ok((
            self.combine(conditional.0, unconditional.0),
            self.combine(conditional.1, unconditional.1),
        ))
    }

    /// `Jᵀ·c = J_uᵀ·c + w·(J_cᵀ·c − J_uᵀ·c)`.
    fn vjp(
        &self,
        x: Tensor<2>,
        sigma: f64,
        cotangents: Tensor<3>,
    ) -> Result<(Tensor<2>, Tensor<3>), DiffusionError> {
        if let Some(denoiser) = self.single() {
            return denoiser.vjp(x, sigma, cotangents);
        }
        let conditional = self.conditional.vjp(x.clone(), sigma, cotangents.clone())?;
        let unconditional = self.unconditional.vjp(x, sigma, cotangents)?;
        Ok((
            self.combine(conditional.0, unconditional.0),
            self.combine(conditional.1, unconditional.1),
        ))
    }
}
