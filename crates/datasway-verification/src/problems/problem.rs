//! A change of a known measure and the sampler that shows it.

use burn::tensor::{DType, Tensor};
use datasway_diffusion::DiffusionError;
use datasway_diffusion::denoiser::Denoiser;
use datasway_diffusion::sampler::{FrozenNoise, Sampler, sample};

use datasway_sensitivity::density::{ClosedForm, LogDensity};
use datasway_sensitivity::measure::{Measure, perturbed};
use datasway_sensitivity::trajectory::second_order::trust_radius;
use datasway_sensitivity::trajectory::tangent::{TangentSolution, TangentSolver};

/// Data ρ, direction ν, and how samples are drawn.
pub struct Problem<'a> {
    /// ρ, in closed form.
    pub data: &'a dyn Measure,
    /// ν, in closed form.
    pub direction: &'a dyn Measure,
    /// The sampler of both the prediction and the truth.
    pub sampler: Sampler,
    /// Its noise levels, ending with 0.
    pub sigmas: Vec<f64>,
    /// Standard normal start, `[n, d]`.
    pub start: Tensor<2>,
    /// The noise of a stochastic sampler.
    pub noise: FrozenNoise,
}

impl Problem<'_> {
    /// Samples of ρ with δ, all in closed form.
    ///
    /// # Errors
    /// As [`TangentSolver::sample_with_tangents`].
    pub fn exact(&self) -> Result<TangentSolution, DiffusionError> {
        self.predicted(&self.data, &ClosedForm(self.data))
    }

    /// Samples and δ by another model of ρ or another estimate of its density.
    ///
    /// # Errors
    /// As [`TangentSolver::sample_with_tangents`].
    pub fn predicted(
        &self,
        model: &dyn Denoiser,
        density: &dyn LogDensity,
    ) -> Result<TangentSolution, DiffusionError> {
        self.followed(model, density, false)
    }

    /// The same with the second derivatives γ.
    ///
    /// # Errors
    /// As [`TangentSolver::sample_with_tangents`].
    pub fn curved(
        &self,
        model: &dyn Denoiser,
        density: &dyn LogDensity,
    ) -> Result<TangentSolution, DiffusionError> {
        self.followed(model, density, true)
    }

    fn followed(
        &self,
        model: &dyn Denoiser,
        density: &dyn LogDensity,
        curvature: bool,
    ) -> Result<TangentSolution, DiffusionError> {
        let path = TangentSolver {
            model,
            directions: &[self.direction],
            density,
            sampler: &self.sampler,
            sigmas: &self.sigmas,
            noise: &self.noise,
            curvatures: usize::from(curvature),
        };
        path.sample_with_tangents(self.start.clone())
    }

    /// The truth: samples of `ρ_η ∝ ρ + ην` from the same noise, `[n, d]`.
    ///
    /// # Errors
    /// If `ρ_η` is no positive measure.
    pub fn moved(&self, mass: f64) -> Result<Tensor<2>, DiffusionError> {
        let denoiser = perturbed(self.data, self.direction, mass)?;
        let start = self.start.clone();
        sample(&denoiser, &self.sampler, &self.sigmas, start, &self.noise)
    }
}

/// The rows of a tensor in f64.
///
/// # Errors
/// If it cannot be read back.
pub fn rows(tensor: &Tensor<2>) -> Result<Vec<Vec<f64>>, DiffusionError> {
    let d = tensor.dims()[1];
    let data = tensor.clone().cast(DType::F64).into_data();
    let values: Vec<f64> = data.try_to_vec().map_err(|error| {
        DiffusionError::Unsupported(format!("a tensor could not be read back: {error:?}"))
    })?;
    Ok(values.chunks(d).map(<[f64]>::to_vec).collect())
}

/// δ of the only direction, row by row.
///
/// # Errors
/// If it cannot be read back.
pub fn sensitivity_rows(propagation: &TangentSolution) -> Result<Vec<Vec<f64>>, DiffusionError> {
    let first = propagation.sensitivities.clone().slice_dim(0, 0..1);
    rows(&first.squeeze_dim::<2>(0))
}

/// The mass up to which each sample's prediction for the only direction is trusted ([`limit`]); nothing where γ was not asked for.
///
/// # Errors
/// If a tensor cannot be read back.
pub fn limits(propagation: &TangentSolution) -> Result<Vec<f64>, DiffusionError> {
    let Some(curvatures) = &propagation.curvatures else {
        return Ok(Vec::new());
    };
    let gamma = rows(&curvatures.clone().slice_dim(0, 0..1).squeeze_dim::<2>(0))?;
    let delta = sensitivity_rows(propagation)?;
    let pairs = delta.iter().zip(&gamma);
    Ok(pairs
        .map(|(delta, gamma)| trust_radius(delta, gamma))
        .collect())
}
