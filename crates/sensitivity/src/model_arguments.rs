//! Arguments of a computation with a trained model, which `rank` and `influence` share.

use std::path::{Path, PathBuf};

use anyhow::{Error, Result, anyhow, ensure};
use burn::tensor::DType;
use clap::{Args, ValueEnum};
use datasway_cli::number::{self, count, real};
use datasway_diffusion::checkpoint::Checkpoint;
use datasway_diffusion::device::{DEVICES, caution, device};
use datasway_diffusion::network::NetworkDenoiser;
use datasway_diffusion::sampler::Sampler;
use datasway_diffusion::schedule::{self, karras};
use datasway_diffusion::score_model::ScoreModel;
use datasway_pretrained::{Pretrained, is_pretrained};
use datasway_sensitivity::density::{
    Bandwidth, DensityConfig, DensityKind, TraceKind, TraceOptions,
};
use datasway_sensitivity::{
    ModelOptions, SensitivityConfig, SensitivityError, Sidecar, StartingNoise, TrainedModel,
};

use crate::default_model;
use crate::pretrained_arguments::{PretrainedArgs, loading};
use crate::run_info::{SamplerInfo, SamplerKind};

/// Loads a model in double precision.
type DoublePrecision = Box<dyn Fn() -> Result<ScoreModel>>;

/// A model, with images that may be others than those of its training.
pub struct Candidate {
    /// The model.
    pub model: TrainedModel,
    /// The same model in double precision.
    pub double: DoublePrecision,
    /// The model with the weights before they are averaged, if the file has them.
    pub raw: Option<NetworkDenoiser>,
    /// Fingerprint of the training images, if the checkpoint or the sidecar names it.
    pub fingerprint: Option<String>,
    /// The training images, as a sidecar names them.
    pub named_data: Option<String>,
    /// The folder of a model of another library, and a sidecar that names its data.
    pub sidecar: Option<(PathBuf, Sidecar)>,
}

/// A model, a sampler and an estimator of the log-density.
#[derive(Args)]
pub struct ModelArgs {
    /// A checkpoint of `train`, or the folder of a model of diffusers or EDM [default: the model of procedural faces that comes with
    /// Datasway]
    #[arg(long)]
    pub checkpoint: Option<PathBuf>,
    /// The training images, if not where the checkpoint says; needed for a model of another library
    #[arg(long)]
    data: Option<String>,
    #[command(flatten)]
    pretrained: PretrainedArgs,
    /// Samples propagated together
    #[arg(long, default_value_t = 64, value_parser = count(number::BATCH))]
    batch: usize,
    /// Sampler, from noise to a sample; `stochastic` does not go with --density probability-flow
    #[arg(long, value_enum, default_value_t = SamplerArg::Heun)]
    sampler: SamplerArg,
    /// Sampler steps
    #[arg(long, default_value_t = 18, value_parser = count(number::SAMPLER_STEPS))]
    steps: usize,
    /// Highest noise level [default: 80, or the highest that the model was trained on]
    #[arg(long, value_name = "SIGMA", value_parser = real(number::SIGMA))]
    sigma_max: Option<f64>,
    /// Lowest noise level above 0 [default: 0.002, or the lowest that the model was trained on]
    #[arg(long, value_name = "SIGMA", value_parser = real(number::SIGMA))]
    sigma_min: Option<f64>,
    /// Density that directions are compared with [default: empirical, blurred by --bandwidth auto; probability-flow, the
    /// paper's form, with --limit or a direction model:CHECKPOINT]
    #[arg(long, value_enum)]
    density: Option<DensityArg>,
    /// Estimate of the trace, for probability-flow
    #[arg(long, value_enum, default_value_t = TraceArg::Hutchinson)]
    trace: TraceArg,
    /// Random probes of the trace, for hutchinson; one alone cannot tell how uncertain it is [default: 2]
    #[arg(long, value_parser = count(number::PROBES))]
    probes: Option<usize>,
    /// Pixels from one of a colour to the next, for probing [default: 3]
    #[arg(long, value_name = "PIXELS", value_parser = count(number::PERIOD))]
    period: Option<usize>,
    /// Compare with the training images, all blurred by a Gaussian of this standard deviation, in pixels of
    /// [-1, 1], or of one chosen by left-out images, which is the default; 0 blurs nothing but leaves the network out
    #[arg(long, value_name = "H|auto", value_parser = bandwidth)]
    bandwidth: Option<Bandwidth>,
    /// Noise level below which directions move nothing
    #[arg(long, default_value_t = 0.0, value_name = "SIGMA", value_parser = real(number::SIGMA_OR_0))]
    sigma_cut: f64,
    /// Seed of the samples' noise and the probes
    #[arg(long, default_value_t = 0, value_parser = count(number::SEED))]
    seed: u64,
    /// Device: flex (CPU); with the cargo feature of its name cuda, metal, rocm or wgpu (GPU) or ndarray (slow CPU)
    #[arg(long, default_value = "flex", value_parser = DEVICES)]
    device: String,
    /// Folder of decoded images, kept for the next start
    #[arg(long, default_value = "datasets/cache")]
    cache: PathBuf,
}

/// `--sampler`.
#[derive(Clone, Copy, ValueEnum)]
enum SamplerArg {
    /// First order
    Euler,
    /// Second order (EDM, Algorithm 1)
    Heun,
    /// With fresh noise, frozen by the seed (EDM, Algorithm 2)
    Stochastic,
}

/// `--density`.
#[derive(Clone, Copy, ValueEnum)]
enum DensityArg {
    /// Integrate the trace of the network's Jacobian along the path
    ProbabilityFlow,
    /// The closed form over the training set
    Empirical,
}

/// `--trace`.
#[derive(Clone, Copy, ValueEnum)]
enum TraceArg {
    /// The mean over probes of random signs
    Hutchinson,
    /// Random signs on every p-th pixel and channel, one probe for each of the channels·p² colours: better where
    /// the Jacobian is nearly local, but cannot tell how uncertain it is
    Probing,
    /// One product for each entry of a sample: for small images, and few of them in a --batch
    Exact,
}

impl From<SamplerArg> for SamplerKind {
    fn from(argument: SamplerArg) -> Self {
        match argument {
            SamplerArg::Euler => Self::Euler,
            SamplerArg::Heun => Self::Heun,
            SamplerArg::Stochastic => Self::Stochastic,
        }
    }
}

impl From<DensityArg> for DensityKind {
    fn from(argument: DensityArg) -> Self {
        match argument {
            DensityArg::ProbabilityFlow => Self::ProbabilityFlow,
            DensityArg::Empirical => Self::Empirical,
        }
    }
}

impl From<TraceArg> for TraceKind {
    fn from(argument: TraceArg) -> Self {
        match argument {
            TraceArg::Hutchinson => Self::Hutchinson,
            TraceArg::Probing => Self::Probing,
            TraceArg::Exact => Self::Exact,
        }
    }
}

/// A bandwidth of the range, or `auto`.
fn bandwidth(text: &str) -> Result<Bandwidth, String> {
    match real(number::BANDWIDTH)(text) {
        Ok(h) => Ok(Bandwidth::Fixed(h)),
        Err(_) if text == "auto" => text.parse(),
        Err(why) => Err(format!("{why}, or auto")),
    }
}

impl ModelArgs {
    /// The sampler.
    pub fn sampler(&self) -> SamplerKind {
        self.sampler.into()
    }

    /// Options of sensitivities or influences. Where the arguments name neither a density nor a bandwidth, `model_density`
    /// chooses the model's own density in the place of the smoothed training images.
    pub fn config(&self, samples: usize, model_density: bool) -> SensitivityConfig {
        let sampler = match self.sampler() {
            SamplerKind::Euler => Sampler::Euler,
            SamplerKind::Heun => Sampler::Heun,
            // EDM's settings for VP on CIFAR-10 (Table 5).
            SamplerKind::Stochastic => Sampler::Stochastic {
                s_churn: 30.0,
                s_min: 0.01,
                s_max: 1.0,
                s_noise: 1.007,
            },
        };
        SensitivityConfig {
            samples,
            batch: self.batch,
            sampler,
            sigmas: self.sigmas(self.noise_levels(None)),
            density: self.density_config(model_density),
            cutoff: self.sigma_cut,
            seed: self.seed,
            start: StartingNoise::Drawn,
            curvature: false,
            by_step: false,
            zero_check: true,
        }
    }

    fn density_config(&self, model_density: bool) -> DensityConfig {
        let (density, bandwidth) = match (self.density, self.bandwidth) {
            (Some(density), bandwidth) => (density.into(), bandwidth),
            (None, Some(bandwidth)) => (DensityKind::Empirical, Some(bandwidth)),
            (None, None) if model_density => (DensityKind::ProbabilityFlow, None),
            (None, None) => (DensityKind::Empirical, Some(Bandwidth::Auto)),
        };
        let default = TraceOptions::default();
        DensityConfig {
            density,
            trace: TraceOptions {
                kind: self.trace.into(),
                probes: self.probes.unwrap_or(default.probes),
                period: self.period.unwrap_or(default.period),
                seed: self.seed,
            },
            bandwidth,
        }
    }

    /// Checks that the arguments go together, with the density of `config`.
    ///
    /// # Errors
    /// If two arguments contradict each other.
    pub fn check(&self, config: &SensitivityConfig) -> Result<()> {
        self.check_noise_levels()?;
        let [_, sigma_max] = self.noise_levels(None);
        ensure!(
            self.sigma_cut < sigma_max,
            "--sigma-cut {} must be below --sigma-max {sigma_max}: above it nothing would move",
            self.sigma_cut
        );
        let density = config.density.density;
        ensure!(
            self.bandwidth.is_none() || density == DensityKind::Empirical,
            "--bandwidth is for --density empirical: leave it out or use that"
        );
        let trace = TraceKind::from(self.trace);
        ensure!(
            density == DensityKind::ProbabilityFlow
                || self.probes.is_none() && self.period.is_none() && trace == TraceKind::default(),
            "--trace, --probes and --period are for --density probability-flow: leave them out or add that"
        );
        ensure!(
            self.probes.is_none() || trace == TraceKind::Hutchinson,
            "--probes is for --trace hutchinson: leave it out"
        );
        ensure!(
            self.period.is_none() || trace == TraceKind::Probing,
            "--period is for --trace probing: leave it out or add that"
        );
        ensure!(
            self.sampler() != SamplerKind::Stochastic || density == DensityKind::Empirical,
            "--sampler stochastic does not go with --density probability-flow, which follows an ODE: leave that out, or use --density empirical"
        );
        Ok(config.density.check()?)
    }

    /// Checks the arguments of a derivative that compares no densities.
    ///
    /// # Errors
    /// If an argument of the density is given, or two arguments contradict each other.
    pub fn check_without_density(&self) -> Result<()> {
        let given = [
            ("--density", self.density.is_some()),
            ("--bandwidth", self.bandwidth.is_some()),
            (
                "--trace",
                TraceKind::from(self.trace) != TraceKind::default(),
            ),
            ("--probes", self.probes.is_some()),
            ("--period", self.period.is_some()),
            ("--sigma-cut", self.sigma_cut > 0.0),
        ];
        for (option, is_given) in given {
            ensure!(
                !is_given,
                "{option} is for --through data: the derivative through the weights compares no densities"
            );
        }
        self.check_noise_levels()
    }

    /// Checks the order of the noise levels.
    fn check_noise_levels(&self) -> Result<()> {
        let [sigma_min, sigma_max] = self.noise_levels(None);
        ensure!(
            sigma_min < sigma_max,
            "--sigma-min {sigma_min} must be below --sigma-max {sigma_max}"
        );
        Ok(())
    }

    /// The lowest and the highest noise level: those that the arguments name, or those of EDM within the range of the model.
    fn noise_levels(&self, range: Option<[f64; 2]>) -> [f64; 2] {
        let [lowest, highest] = range.unwrap_or([0.0, f64::INFINITY]);
        [
            self.sigma_min.unwrap_or(schedule::SIGMA_MIN.max(lowest)),
            self.sigma_max.unwrap_or(schedule::SIGMA_MAX.min(highest)),
        ]
    }

    fn sigmas(&self, [sigma_min, sigma_max]: [f64; 2]) -> Vec<f64> {
        karras(self.steps, sigma_min, sigma_max, schedule::RHO)
    }

    /// The options with noise levels that the model was trained on.
    ///
    /// # Errors
    /// If the arguments name a level outside.
    pub fn within_training(
        &self,
        config: SensitivityConfig,
        model: &TrainedModel,
    ) -> Result<SensitivityConfig> {
        let Some(range @ [lowest, highest]) = model.training.sigma_range else {
            return Ok(config);
        };
        for (option, sigma) in [
            ("--sigma-min", self.sigma_min),
            ("--sigma-max", self.sigma_max),
        ] {
            let Some(sigma) = sigma else { continue };
            ensure!(
                (lowest..=highest).contains(&sigma),
                "{option} {sigma}: {} was trained on noise levels from {lowest:.4} to {highest:.4}: choose one of those",
                model.name
            );
        }
        let levels @ [sigma_min, sigma_max] = self.noise_levels(Some(range));
        ensure!(
            sigma_min < sigma_max && self.sigma_cut < sigma_max,
            "{} was trained on noise levels from {lowest:.4} to {highest:.4}, which leave nothing between {sigma_min} and {sigma_max} above \
             --sigma-cut {}: choose other levels",
            model.name,
            self.sigma_cut
        );
        Ok(SensitivityConfig {
            sigmas: self.sigmas(levels),
            ..config
        })
    }

    /// Samples, or draws of a training loss, that are computed together.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// The seed.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Name of the model in messages.
    fn name(&self) -> String {
        match &self.checkpoint {
            Some(file) => file.display().to_string(),
            None => default_model::NAME.to_owned(),
        }
    }

    fn model_options(&self) -> Result<ModelOptions> {
        datasway_cli::tell_if(caution(&self.device));
        Ok(ModelOptions {
            data: self.data.clone(),
            cache_dir: Some(self.cache.clone()),
            progress: Some(datasway_cli::decoding_progress),
            device: device(&self.device)?,
        })
    }

    /// The model with its training images.
    ///
    /// # Errors
    /// If the checkpoint is not complete, or its training images are not found.
    pub fn model(&self) -> Result<TrainedModel> {
        let options = self.model_options()?;
        let tell = |images: &datasway_data::Dataset| datasway_cli::tell(images.summary());
        if let Some(folder) = self.pretrained_folder() {
            let data = self.data.as_deref();
            return self.pretrained.model(folder, data, &options, tell);
        }
        self.pretrained.check_unused()?;
        let checkpoint = self.own_checkpoint()?;
        TrainedModel::from_checkpoint(self.name(), checkpoint, &options, tell).map_err(advised)
    }

    /// The place of a model of another library, if `--checkpoint` names one.
    fn pretrained_folder(&self) -> Option<&Path> {
        let path = self.checkpoint.as_deref();
        path.filter(|path| is_pretrained(path))
    }

    /// The checkpoint of `train`, or the shipped one.
    fn own_checkpoint(&self) -> Result<Checkpoint> {
        let path = self.checkpoint.as_deref();
        if let Some(path) = path {
            ensure!(
                path.exists(),
                "--checkpoint {}: there is no such file or folder: name a checkpoint of `train`, or the folder of a model of diffusers or EDM \
                 on this machine",
                path.display()
            );
            let extension = path.extension().and_then(|extension| extension.to_str());
            ensure!(
                !matches!(extension, Some("json" | "bin")),
                "--checkpoint {}: is a file of a model of another library, which is named by its folder: name the folder",
                path.display()
            );
        }
        Ok(default_model::or_shipped(path)?)
    }

    /// The model with images that may be others than those of its training.
    ///
    /// # Errors
    /// If the checkpoint is not complete, or the images are not found.
    pub fn model_with_any_data(&self) -> Result<Candidate> {
        let options = self.model_options()?;
        let tell = |images: &datasway_data::Dataset| datasway_cli::tell(images.summary());
        if let Some(folder) = self.pretrained_folder() {
            let data = self.data.as_deref();
            let (model, sidecar) =
                (self.pretrained).model_with_sidecar(folder, data, &options, tell)?;
            let saved = Sidecar::read(folder)?.unwrap_or_default();
            let loading = loading(&sidecar, &options.device, DType::F64);
            let path = folder.to_owned();
            return Ok(Candidate {
                model,
                double: Box::new(move || Ok(Pretrained::load(&path, &loading)?.score_model)),
                raw: None,
                fingerprint: saved.data_fingerprint,
                named_data: saved.data,
                sidecar: Some((folder.to_owned(), sidecar)),
            });
        }
        self.pretrained.check_unused()?;
        let checkpoint = self.own_checkpoint()?;
        let raw = checkpoint.model.clone().map(|weights| {
            let raw = Checkpoint {
                ema: weights,
                ..checkpoint.clone()
            };
            NetworkDenoiser::from_checkpoint(&raw, &options.device)
        });
        let fingerprint = checkpoint.header.fingerprint.clone();
        let (averaged, device) = (checkpoint.clone(), options.device.clone());
        let double = move || {
            let network = NetworkDenoiser::in_double_precision(&averaged, &device)?;
            Ok(ScoreModel::Learned(Box::new(network)))
        };
        let model = TrainedModel::with_any_data(self.name(), checkpoint, &options, tell);
        Ok(Candidate {
            model: model.map_err(advised)?,
            double: Box::new(double),
            raw: raw.transpose()?,
            fingerprint: Some(fingerprint),
            named_data: None,
            sidecar: None,
        })
    }

    /// Sampler and noise levels for a model.
    pub fn sampler_info(&self, model: &TrainedModel) -> SamplerInfo {
        let [sigma_min, sigma_max] = self.noise_levels(model.training.sigma_range);
        SamplerInfo {
            sampler: self.sampler(),
            steps: self.steps,
            sigma_min,
            sigma_max,
        }
    }
}

/// An error of the training images, with the argument that helps.
fn advised(error: SensitivityError) -> Error {
    match error {
        SensitivityError::TrainingImages { model, source } => Error::new(source).context(format!(
            "the images of {model}, which --data may name where they are now"
        )),
        SensitivityError::Fingerprint { .. } => {
            anyhow!("{error}: pass the training images with --data")
        }
        _ => error.into(),
    }
}
