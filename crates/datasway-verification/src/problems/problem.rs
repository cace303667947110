//! A change of a known measure, with the sampler that shows it.

use burn::tensor::{DType, Tensor};
use datasway_diffusion::DiffusionError;
use datasway_diffusion::denoiser::Denoiser;
use datasway_diffusion::sampler::{FrozenNoise, Sampler, sample};
use datasway_sensitivity::density::{ClosedForm, LogDensity};
use datasway_sensitivity::measure::{Measure, perturbed};
use datasway_sensitivity::trajectory::second_order;
use datasway_sensitivity::trajectory::tangent::{TangentSolution, TangentSolver};

/// Data ρ, direction ν, and the settings of the samples.
pub struct Problem<'a> {
    /// ρ, in closed form.
    pub data: &'a dyn Measure,
    /// ν, in closed form.
    pub direction: &'a dyn Measure,
    /// Sampler of the prediction and of the true samples.
    pub sampler: Sampler,
    /// Noise levels of the sampler, descending to 0.
    pub sigmas: Vec<f64>,
    /// Standard normal start, `[n, d]`.
    pub start: Tensor<2>,
    /// Noise of a stochastic sampler.
    pub noise: FrozenNoise,
}

impl Problem<'_> {
    /// Samples of ρ with δ, all in closed form.
    ///
    /// # Errors
    /// As [`TangentSolver::sample_with_tangents`].
    pub fn exact_tangents(&self) -> Result<TangentSolution, DiffusionError> {
        self.tangents(&self.data, &ClosedForm(self.data))
    }

    /// Samples with δ of another model of ρ or another estimate of its density.
    ///
    /// # Errors
    /// As [`TangentSolver::sample_with_tangents`].
    pub fn tangents(
        &self,
        model: &dyn Denoiser,
        density: &dyn LogDensity,
    ) -> Result<TangentSolution, DiffusionError> {
        self.solver(model, density, 0)
            .sample_with_tangents(self.start.clone())
    }

    /// Samples with δ and the second derivatives γ.
    ///
    /// # Errors
    /// As [`TangentSolver::sample_with_tangents`].
    pub fn second_order_tangents(
        &self,
        model: &dyn Denoiser,
        density: &dyn LogDensity,
    ) -> Result<TangentSolution, DiffusionError> {
        self.solver(model, density, 1)
            .sample_with_tangents(self.start.clone())
    }

    fn solver<'s>(
        &'s self,
        model: &'s dyn Denoiser,
        density: &'s dyn LogDensity,
        curvatures: usize,
    ) -> TangentSolver<'s> {
        TangentSolver {
            model,
            directions: std::slice::from_ref(&self.direction),
            density,
            sampler: &self.sampler,
            sigmas: &self.sigmas,
            noise: &self.noise,
            curvatures,
            step_parts: 0,
        }
    }

    /// True samples: those of `ρ_η ∝ ρ + ην` from the same noise, `[n, d]`.
    ///
    /// # Errors
    /// If `ρ_η` is no positive measure.
    pub fn perturbed_samples(&self, eta: f64) -> Result<Tensor<2>, DiffusionError> {
        let denoiser = perturbed(self.data, self.direction, eta)?;
        let start = self.start.clone();
        sample(&denoiser, &self.sampler, &self.sigmas, start, &self.noise)
    }
}

/// Rows of a tensor `[n, d]` in f64.
///
/// # Errors
/// If it cannot be read back.
pub fn rows(tensor: &Tensor<2>) -> Result<Vec<Vec<f64>>, DiffusionError> {
    let [_, d] = tensor.dims();
    let data = tensor.clone().cast(DType::F64).into_data();
    let values: Vec<f64> = data.try_to_vec().map_err(|error| {
        DiffusionError::Unsupported(format!("a tensor could not be read back: {error:?}"))
    })?;
    Ok(values.chunks(d).map(<[f64]>::to_vec).collect())
}

/// δ of the only direction, one row a sample.
///
/// # Errors
/// If it cannot be read back.
pub fn sensitivity_rows(solution: &TangentSolution) -> Result<Vec<Vec<f64>>, DiffusionError> {
    rows(&of_first_direction(&solution.sensitivities))
}

/// `log r` of the only direction, one row a step and one column a sample.
///
/// # Errors
/// If it cannot be read back.
pub fn log_ratio_rows(solution: &TangentSolution) -> Result<Vec<Vec<f64>>, DiffusionError> {
    rows(&of_first_direction(&solution.log_ratio))
}

/// [Trust radius](second_order::trust_radius) of each sample for the only direction; empty if the solution has no γ.
///
/// # Errors
/// If a tensor cannot be read back.
pub fn trust_radii(solution: &TangentSolution) -> Result<Vec<f64>, DiffusionError> {
    let Some(curvatures) = &solution.curvatures else {
        return Ok(Vec::new());
    };
    let gammas = rows(&of_first_direction(curvatures))?;
    let deltas = sensitivity_rows(solution)?;
    let pairs = deltas.iter().zip(&gammas);
    Ok(pairs
        .map(|(delta, gamma)| second_order::trust_radius(delta, gamma))
        .collect())
}

/// The first of K entries of a tensor `[K, a, b]`, `[a, b]`.
fn of_first_direction(tensor: &Tensor<3>) -> Tensor<2> {
    tensor.clone().slice_dim(0, 0..1).squeeze_dim::<2>(0)
}
