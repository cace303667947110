//! What the command can be told.

use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, Parser, Subcommand, ValueEnum};
use datasway_cli::number::{self, count, real};
use datasway_data::Selection;
use datasway_diffusion::DiffusionError;
use datasway_diffusion::device::DEVICES;
use datasway_diffusion::sampler::Sampler;
use datasway_diffusion::schedule::{self, karras};
use datasway_sensitivity::density::{
    Bandwidth, Choice, DensityConfig, DensityKind, TraceKind, TraceOptions,
};
use datasway_sensitivity::measure::Empirical;
use datasway_sensitivity::sensitivities::SensitivityConfig;

use crate::directions::MODEL;
use crate::trained::TrainedModel;
use crate::{influence, verify};

/// Probes of hutchinson, unless said otherwise.
const PROBES: usize = 2;
/// Pixels of probing from one of a colour to the next, unless said otherwise.
const PERIOD: usize = 3;

/// How samples of a trained model move when its training data change, ranked by how far.
#[derive(Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Option<Command>,
    /// What to add: images, such as attr:Eyeglasses, class:8 or folder:PATH, or what another model was
    /// trained on, model:CHECKPOINT; repeatable
    #[arg(long, value_name = "SELECTION")]
    pub add: Vec<String>,
    /// ImagePoints to remove; repeatable
    #[arg(long, value_name = "SELECTION")]
    pub remove: Vec<String>,
    /// Samples to draw
    #[arg(long, default_value_t = 64, value_parser = count(number::SAMPLES))]
    pub samples: usize,
    /// Also tell for every sample the largest |η| up to which the prediction ηδ holds to a tenth, from the second
    /// derivative; takes three to four times as long
    #[arg(long)]
    pub limit: bool,
    #[command(flatten)]
    pub common: ModelArgs,
    /// Leave the direction's own images out of the page
    #[arg(long)]
    pub no_photos: bool,
    /// Where the results go
    #[arg(long, default_value = "runs/sensitivity")]
    pub out: PathBuf,
}

/// What every question about a trained model needs.
#[derive(Args)]
pub struct ModelArgs {
    /// A checkpoint of `train` [default: the model of procedural faces that comes with Datasway]
    #[arg(long)]
    pub checkpoint: Option<PathBuf>,
    /// The training images, if not where the checkpoint says
    #[arg(long)]
    pub data: Option<String>,
    /// Samples propagated together
    #[arg(long, default_value_t = 64, value_parser = count(number::BATCH))]
    pub batch: usize,
    /// How noise becomes a sample; `stochastic` does not go with --density probability-flow
    #[arg(long, value_enum, default_value_t = SamplerKind::Heun)]
    pub sampler: SamplerKind,
    /// Sampler steps
    #[arg(long, default_value_t = 18, value_parser = count(number::SAMPLER_STEPS))]
    pub steps: usize,
    /// Highest noise level
    #[arg(long, default_value_t = schedule::SIGMA_MAX, value_parser = real(number::SIGMA))]
    pub sigma_max: f64,
    /// Lowest noise level above 0
    #[arg(long, default_value_t = schedule::SIGMA_MIN, value_parser = real(number::SIGMA))]
    pub sigma_min: f64,
    /// Density that directions are compared with [default: empirical, blurred by --bandwidth auto; probability-flow, the
    /// paper's form, with --limit or a direction model:CHECKPOINT]
    #[arg(long, value_enum)]
    pub density: Option<DensityKind>,
    /// Estimate of the trace, for probability-flow
    #[arg(long, value_enum, default_value_t = TraceKind::Hutchinson)]
    pub trace: TraceKind,
    /// Random probes of the trace, for hutchinson; one alone cannot tell how uncertain it is [default: 2]
    #[arg(long, value_parser = count(number::PROBES))]
    pub probes: Option<usize>,
    /// Pixels from one of a colour to the next, for probing [default: 3]
    #[arg(long, value_name = "PIXELS", value_parser = count(number::PERIOD))]
    pub period: Option<usize>,
    /// Compare with the training images, all blurred by a Gaussian of this standard deviation, in pixels of
    /// [-1, 1], or of one chosen by left-out images, which is the default; 0 blurs nothing but leaves the network out
    #[arg(long, value_name = "H|auto", value_parser = bandwidth)]
    pub bandwidth: Option<Bandwidth>,
    /// Noise level below which directions move nothing
    #[arg(long, default_value_t = 0.0, value_name = "SIGMA", value_parser = real(number::SIGMA_OR_0))]
    pub sigma_cut: f64,
    /// Seed of the samples' noise and the probes
    #[arg(long, default_value_t = 0, value_parser = count(number::SEED))]
    pub seed: u64,
    /// Where to compute: flex (CPU), or with the cargo feature of the name cuda, metal, rocm, wgpu (GPU), ndarray (slow CPU)
    #[arg(long, default_value = "flex", value_parser = DEVICES)]
    pub device: String,
    /// Where decoded images are kept for the next start
    #[arg(long, default_value = "datasets/cache")]
    pub cache: PathBuf,
}

/// The other questions.
#[derive(Subcommand)]
pub enum Command {
    Influence(influence::Arguments),
    Convergence(verify::Arguments),
}

/// A sampler, by name.
#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
pub enum SamplerKind {
    /// First order
    Euler,
    /// Second order (EDM, Algorithm 1)
    Heun,
    /// With fresh noise, frozen by the seed (EDM, Algorithm 2)
    Stochastic,
}

impl SamplerKind {
    fn sampler(self) -> Sampler {
        match self {
            Self::Euler => Sampler::Euler,
            Self::Heun => Sampler::Heun,
            // EDM's settings for VP on CIFAR-10 (Table 5).
            Self::Stochastic => Sampler::Stochastic {
                s_churn: 30.0,
                s_min: 0.01,
                s_max: 1.0,
                s_noise: 1.007,
            },
        }
    }
}

/// A bandwidth of the range.
fn bandwidth(text: &str) -> Result<Bandwidth, String> {
    match real(number::BANDWIDTH)(text) {
        Ok(h) => Ok(Bandwidth::Fixed(h)),
        Err(_) if text == "auto" => text.parse(),
        Err(why) => Err(format!("{why}, or auto")),
    }
}

/// What two changes by the same images or the same model have in common.
fn meaning(change: &str) -> String {
    let change = change.trim();
    match change.strip_prefix(MODEL) {
        Some(file) => format!("{MODEL}{}", datasway_cli::resolved(file)),
        None => match Selection::parse(change) {
            Ok(selection) => selection.canonical().to_string(),
            Err(_) => change.to_owned(),
        },
    }
}

impl Arguments {
    /// Checks what needs no model: that the changes can be read and are different, and what [`ModelArgs::check`] checks.
    pub fn check(&self) -> Result<()> {
        for (option, selections) in [("--add", &self.add), ("--remove", &self.remove)] {
            for text in selections {
                let outside = match text.strip_prefix(MODEL) {
                    Some("") => bail!("{option} {text}: name a checkpoint, {MODEL}CHECKPOINT"),
                    Some(_) => true,
                    None => matches!(
                        Selection::parse(text).with_context(|| option.to_owned())?,
                        Selection::Folder(_) | Selection::Image(_)
                    ),
                };
                ensure!(
                    !outside || option == "--add",
                    "{option} {text}: only images of the training set can be removed"
                );
            }
            datasway_cli::distinct(option, selections, meaning)?;
        }
        self.common.check()
    }
}

impl ModelArgs {
    /// Checks that the options go together.
    pub fn check(&self) -> Result<()> {
        ensure!(
            self.sigma_min < self.sigma_max,
            "--sigma-min {} must be below --sigma-max {}",
            self.sigma_min,
            self.sigma_max
        );
        ensure!(
            self.sigma_cut < self.sigma_max,
            "--sigma-cut {} must be below --sigma-max {}: above it nothing would move",
            self.sigma_cut,
            self.sigma_max
        );
        ensure!(
            self.bandwidth.is_none() || self.density() == DensityKind::Empirical,
            "--bandwidth is for --density empirical: leave it out or use that"
        );
        let traced = self.density() == DensityKind::ProbabilityFlow;
        ensure!(
            traced
                || self.probes.is_none()
                    && self.period.is_none()
                    && self.trace == TraceKind::default(),
            "--trace, --probes and --period are for --density probability-flow: leave them out or add that"
        );
        ensure!(
            self.probes.is_none() || self.trace == TraceKind::Hutchinson,
            "--probes is for --trace hutchinson: leave it out"
        );
        ensure!(
            self.period.is_none() || self.trace == TraceKind::Probing,
            "--period is for --trace probing: leave it out or add that"
        );
        ensure!(
            self.sampler != SamplerKind::Stochastic || self.density() == DensityKind::Empirical,
            "--sampler stochastic does not go with --density probability-flow, which follows an ODE: leave that out, or use --density empirical"
        );
        Ok(self.options().check()?)
    }

    /// The model that is asked about, with its images.
    pub fn model(&self) -> Result<TrainedModel> {
        self.check()?;
        TrainedModel::load(
            self.checkpoint.as_deref(),
            self.data.as_deref(),
            &self.cache,
            &self.device,
        )
    }

    /// The estimate of the trace of a network's Jacobian.
    pub fn trace(&self) -> TraceOptions {
        TraceOptions {
            kind: self.trace,
            probes: self.probes.unwrap_or(PROBES),
            period: self.period.unwrap_or(PERIOD),
            seed: self.seed,
        }
    }

    /// Where no density and no bandwidth are named: the blurred training images, h by `auto`, or the network's own density
    /// where only that one will do.
    pub fn choose_form(&mut self, own_density: bool) {
        match (self.density, self.bandwidth) {
            (None, None) if own_density => self.density = Some(DensityKind::ProbabilityFlow),
            (None, None) => self.bandwidth = Some(Bandwidth::Chosen(Choice::Auto)),
            _ => (),
        }
    }

    /// The estimator of the log-density, before there is a model.
    fn options(&self) -> DensityConfig {
        DensityConfig {
            density: self.density(),
            trace: self.trace(),
            bandwidth: self.bandwidth,
        }
    }

    /// The estimator of the log-density.
    pub fn density(&self) -> DensityKind {
        let kind = match self.bandwidth {
            Some(_) => DensityKind::Empirical,
            None => DensityKind::ProbabilityFlow,
        };
        self.density.unwrap_or(kind)
    }

    /// What is computed for so many samples.
    pub fn settings(
        &self,
        samples: usize,
        model: &TrainedModel,
    ) -> Result<SensitivityConfig, DiffusionError> {
        Ok(SensitivityConfig {
            samples,
            batch: self.batch,
            sampler: self.sampler.sampler(),
            sigmas: karras(self.steps, self.sigma_min, self.sigma_max, schedule::RHO),
            density: self.options().estimator(
                &model.checkpoint,
                &model.images,
                model.mirrored,
                &model.device,
            )?,
            cutoff: self.sigma_cut,
            seed: self.seed,
            curvature: false,
            whole: Some(Empirical::of_images(
                &model.images,
                model.mirrored,
                &model.device,
            )?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selections_of_the_same_images_have_one_meaning() {
        for (one, other) in [
            ("attr:A&!B", "attr:!B&A"),
            ("attr:A&A", "attr:A"),
            ("index:1,2", "index:2,1"),
            ("index:1-3", "index:3,1-2"),
            (
                "index:1-18446744073709551615",
                "index:1-5,3-18446744073709551615",
            ),
            ("class:8", " class:8"),
            ("folder:src", "folder:./src/"),
            ("image:Cargo.toml", "image:src/../Cargo.toml"),
            ("model:Cargo.toml", "model:./Cargo.toml"),
        ] {
            assert_eq!(meaning(one), meaning(other), "{one} and {other}");
        }
        for (one, other) in [
            ("attr:A", "attr:!A"),
            ("index:1,3", "index:1-3"),
            ("class:a", "class:A"),
        ] {
            assert_ne!(meaning(one), meaning(other), "{one} and {other}");
        }
    }
}
