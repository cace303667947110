//! `sensitivity check`: whether a model is one of the data, before hours of work.

mod cost;
mod report;
mod run;

use std::path::PathBuf;

use anyhow::{Result, anyhow, bail, ensure};
use burn::tensor::{DType, Tensor};
use datasway_cli::number::{self, count};
use datasway_diffusion::DiffusionError;
use datasway_diffusion::device::widest_float;
use datasway_diffusion::sampler::{FrozenNoise, sample};
use datasway_fs::output::Kind;
use datasway_sensitivity::density::Bandwidth;
use datasway_sensitivity::fit::{self, FitOptions, ModelFit, PathPrecision, References};
use datasway_sensitivity::{SIDECAR, SensitivityConfig, TrainedModel};

use crate::model_arguments::{Candidate, ModelArgs};
use cost::RunCost;
use run::{CheckRun, range};

/// Noise levels of equal ratio, beside those around the scale of the data.
const LEVELS: usize = 12;
/// Samples on the page.
const SHOWN: usize = 32;

/// Tells whether a model is one of the data, before hours of work: its denoising loss by noise level beside what the best linear
/// denoiser reaches, samples, and the time and memory of a run. Ends with exit code 1 if the model does not fit the data.
#[derive(clap::Args)]
pub struct CheckArgs {
    /// Samples of the run whose time is estimated
    #[arg(long, default_value_t = 64, value_parser = count(number::SAMPLES))]
    samples: usize,
    /// Changes of the data in that run
    #[arg(long, default_value_t = 2, value_name = "COUNT", value_parser = count(number::PROBES))]
    changes: usize,
    /// Images whose loss is measured
    #[arg(long, default_value_t = 256, value_parser = count(number::IMAGES))]
    images: usize,
    /// Write datasway.toml beside a model of another library that fits: data, crop, filter and fingerprints, for later runs
    #[arg(long)]
    write: bool,
    #[command(flatten)]
    model: ModelArgs,
    /// Where the results go
    #[arg(long, default_value = "runs/check")]
    out: PathBuf,
}

/// The files of a check.
static FOLDER: Kind = Kind {
    name: "run of `sensitivity check`",
    files: &["losses.csv", "samples.png", "index.html", "summary.json"],
    marks: &[("losses.csv", ""), ("summary.json", "\"losses\"")],
};

/// Runs `sensitivity check`.
///
/// # Errors
/// If the model or the images are not found, the model fails, the results cannot be written, or the model does not fit.
pub fn execute(arguments: &CheckArgs) -> Result<()> {
    let model_arguments = &arguments.model;
    let config = model_arguments.config(arguments.samples, false);
    model_arguments.check(&config)?;
    let folder = datasway_cli::result_folder(&arguments.out, &FOLDER)?;
    let candidate = model_arguments.model_with_any_data()?;
    ensure!(
        candidate.sidecar.is_some() || !arguments.write,
        "--write is for a model of another library, which --checkpoint names by its folder: leave it out"
    );
    let model = &candidate.model;
    let config = model_arguments.within_training(config, model)?;
    datasway_cli::tell(format!(
        "{}: is it a model of {}?",
        model.name, model.images.name
    ));
    let scale = fit::data_scale(&model.images);
    // Before the comparison, whose memory a run does not need.
    let cost = RunCost::measure(model, &config, scale, arguments.changes)?;
    let precision = precision(&candidate, &config)?;
    let fit = arguments.fit(&candidate, &config, scale)?;
    let samples = samples(model, &config)?;
    let clip = |samples: &Vec<f32>| model.clip_difference(samples, &config);
    let clip_sample = samples.as_ref().map(clip).transpose()?.flatten();
    datasway_cli::tell_if(precision.map(|precision| precision.text()));
    datasway_cli::tell_if(clip_sample.map(|difference| difference.text()));
    let run = CheckRun {
        cost,
        precision,
        clip_sample,
        ..CheckRun::new(&candidate, &config, &fit)
    };
    report::write(folder.path(), &run, &samples, model.images.shape)?;
    folder.finish()?;
    datasway_cli::tell_if(run.cost.as_ref().map(RunCost::text));
    let page = arguments.out.join("index.html");
    datasway_cli::tell(format!("open {}", page.display()));
    if let Some(misfit) = fit.misfit() {
        bail!("{} does not fit {}: {misfit}", run.checkpoint, run.data);
    }
    if let Some((folder, sidecar)) = candidate.sidecar.as_ref().filter(|_| arguments.write) {
        sidecar.write(folder)?;
        datasway_cli::tell(format!("wrote {}", folder.join(SIDECAR).display()));
    }
    Ok(())
}

impl CheckArgs {
    /// The denoising losses of the model, of the best linear denoiser and of the blurred training images.
    fn fit(
        &self,
        candidate: &Candidate,
        config: &SensitivityConfig,
        scale: f64,
    ) -> Result<ModelFit> {
        let model = &candidate.model;
        let options = FitOptions {
            sigmas: fit::sigma_grid(range(config), scale, LEVELS),
            batch: config.batch,
            seed: config.seed,
        };
        let bandwidth = config.density.bandwidth.unwrap_or(Bandwidth::Auto);
        let references = References::new(
            &model.images,
            model.mirrored,
            bandwidth,
            self.images,
            &model.device,
        )?;
        let raw = candidate.raw.as_ref().map(|raw| raw as _);
        Ok(references.measure(model.score_model.denoiser(), raw, &options)?)
    }
}

/// The effect of single precision on one path; none if a device has no other, or a sample is not finite.
fn precision(candidate: &Candidate, config: &SensitivityConfig) -> Result<Option<PathPrecision>> {
    let model = &candidate.model;
    if widest_float(&model.device) != DType::F64 {
        return Ok(None);
    }
    let double = (candidate.double)()?;
    let (single, double) = (model.score_model.denoiser(), double.denoiser());
    match PathPrecision::measure(single, double, config, &model.device) {
        Ok(precision) => Ok(Some(precision)),
        Err(DiffusionError::NotFinite(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Samples to look at, `[n, d]`; none where the model's samples are not finite.
fn samples(model: &TrainedModel, config: &SensitivityConfig) -> Result<Option<Vec<f32>>> {
    let denoiser = model.score_model.denoiser();
    let noise = FrozenNoise::new(config.seed);
    let shape = [SHOWN.min(config.batch), denoiser.dim()];
    let start: Tensor<2> = noise.start(shape, &model.device, DType::F32);
    let Ok(samples) = sample(denoiser, &config.sampler, &config.sigmas, start, &noise) else {
        return Ok(None);
    };
    let values = samples.into_data().try_to_vec::<f32>();
    let values = values.map_err(|error| anyhow!("samples could not be read back: {error:?}"))?;
    Ok(Some(values))
}
