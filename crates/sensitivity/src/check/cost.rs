//! Time and memory of a model, and of the run that is asked for.

use std::time::Instant;

use anyhow::{Result, anyhow};
use burn::tensor::{DType, Tensor};
use datasway_diffusion::DiffusionError;
use datasway_diffusion::sampler::FrozenNoise;
use datasway_fs::process::peak_memory;
use datasway_sensitivity::{SensitivityConfig, TrainedModel};
use serde::Serialize;

/// Measured and estimated cost.
#[derive(Serialize)]
pub struct RunCost {
    /// Seconds of one denoised sample, in a batch.
    seconds_per_forward: f64,
    /// Seconds of one denoised sample with its products with J along the changes.
    seconds_with_products: f64,
    /// Samples of the run.
    samples: usize,
    /// Changes of the data of the run.
    changes: usize,
    /// Evaluations of the network for each sample of the run.
    evaluations: usize,
    /// Estimated seconds of the network in the run.
    seconds: f64,
    /// Peak memory of this process in bytes, with a batch of the run.
    memory: Option<u64>,
}

impl RunCost {
    /// Measures a batch of the run of `config` with so many changes of the data at the noise level `sigma`.
    ///
    /// # Errors
    /// If the model fails.
    pub fn measure(
        model: &TrainedModel,
        config: &SensitivityConfig,
        sigma: f64,
        changes: usize,
    ) -> Result<Self> {
        let denoiser = model.score_model.denoiser();
        let (n, d) = (config.batch.min(config.samples), denoiser.dim());
        let x: Tensor<2> = FrozenNoise::new(config.seed).start([n, d], &model.device, DType::F32);
        let tangents = x.clone().unsqueeze_dim::<3>(0).expand([changes, n, d]);
        let time = |work: &dyn Fn() -> Result<Tensor<2>, DiffusionError>| {
            let started = Instant::now();
            let read = work()?.into_data().try_to_vec::<f32>();
            read.map_err(|error| anyhow!("the model's output could not be read: {error:?}"))?;
            anyhow::Ok(started.elapsed().as_secs_f64() / n as f64)
        };
        // The first evaluation pays for what the later ones share.
        time(&|| denoiser.denoise(x.clone(), sigma))?;
        let seconds_per_forward = time(&|| denoiser.denoise(x.clone(), sigma))?;
        let with_products = || {
            Ok(denoiser
                .jvp(x.clone(), sigma, tangents.clone())?
                .1
                .sum_dim(0)
                .squeeze_dim::<2>(0))
        };
        time(&with_products)?;
        let seconds_with_products = time(&with_products)?;
        let evaluations = config.sampler.steps(&config.sigmas);
        let evaluations = evaluations.iter().map(|step| step.stages.len()).sum();
        Ok(Self {
            seconds_per_forward,
            seconds_with_products,
            samples: config.samples,
            changes,
            evaluations,
            seconds: seconds_with_products * (config.samples * evaluations) as f64,
            memory: peak_memory(),
        })
    }

    /// The cost in one line.
    pub fn text(&self) -> String {
        let memory = self.memory.map_or(String::new(), |bytes| {
            format!(" and {} MiB of memory", bytes >> 20)
        });
        format!(
            "{:.4} s a sample forward, {:.4} s with {} products with J: {} samples by {} evaluations take about {:.0} s{memory}, beside the \
             time of the comparison with the data",
            self.seconds_per_forward,
            self.seconds_with_products,
            self.changes,
            self.samples,
            self.evaluations,
            self.seconds
        )
    }
}
