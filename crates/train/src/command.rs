//! Command-line arguments of `train`.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use datasway_cli::number::{self, count, real};
use datasway_data::{Crop, Filter};
use datasway_diffusion::device::DEVICES;
use datasway_training::config::PRESETS;

use crate::classifier::ClassifierArgs;

/// Train a U-Net score model on an image data set.
#[derive(Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
pub struct TrainArgs {
    #[command(subcommand)]
    pub command: Option<Command>,
    /// The images: faces:N, celeba:FOLDER, mnist:FOLDER, cifar10:FOLDER, folder:FOLDER, or a folder
    /// [default: faces:10000, or those of the model of --from]
    #[arg(long)]
    pub data: Option<String>,
    /// Fine-tune the model of this folder, of diffusers or EDM; --out becomes such a folder. Its network is given: --preset and
    /// --set network.… are refused
    #[arg(long, value_name = "FOLDER")]
    pub from: Option<PathBuf>,
    /// With --from: the class that is trained, of a model with classes: its number, from 0
    #[arg(long, value_name = "NUMBER", requires = "from")]
    pub class: Option<usize>,
    /// With --from: the part of a picture that becomes an image: format, square, center, stretch or none [default: that of the model's
    /// datasway.toml, or format]
    #[arg(long, requires = "from")]
    pub crop: Option<Crop>,
    /// With --from: the filter of the resize: area, box, bilinear, bilinear-no-antialias, bicubic or lanczos [default: that of the
    /// model's datasway.toml, or area]
    #[arg(long, requires = "from")]
    pub filter: Option<Filter>,
    /// Network and settings to start from: faces16, mnist16, mnist28, celeba16, celeba32, celeba64, cifar10
    /// [default: faces16, or mnist16 where all images are grey]
    #[arg(long, value_parser = PRESETS)]
    pub preset: Option<String>,
    /// A TOML file with the full configuration, such as another run's run.toml, instead of a preset
    #[arg(long, conflicts_with = "preset")]
    pub config: Option<PathBuf>,
    /// Folder of checkpoints and the loss log
    #[arg(long, default_value = "runs/train")]
    pub out: PathBuf,
    /// Device: flex (CPU); with the cargo feature of its name cuda, metal, rocm or wgpu (GPU) or ndarray (slow CPU)
    #[arg(long, default_value = "flex", value_parser = DEVICES)]
    pub device: String,
    /// Continue the run in --out from its last checkpoint
    #[arg(long)]
    pub resume: bool,
    /// Optimiser steps
    #[arg(long, value_parser = count(number::TRAINING_STEPS))]
    pub steps: Option<u64>,
    /// Images a step
    #[arg(long, value_parser = count(number::BATCH))]
    pub batch: Option<usize>,
    /// Peak learning rate
    #[arg(long, value_parser = real(number::LEARNING_RATE))]
    pub learning_rate: Option<f64>,
    /// Any other field of the configuration, such as network.channels=64 or flip=false; repeatable
    #[arg(long, value_name = "FIELD=VALUE")]
    pub set: Vec<String>,
    /// Seed of initial weights, batches and noise
    #[arg(long, value_parser = count(number::SEED))]
    pub seed: Option<u64>,
    /// Use at most this many images
    #[arg(long, value_parser = count(number::IMAGES))]
    pub limit: Option<usize>,
    /// Count images that cannot be read and go on without them
    #[arg(long)]
    pub skip_bad: bool,
    /// Folder of decoded images, kept for the next start
    #[arg(long, default_value = "datasets/cache")]
    pub cache: PathBuf,
    /// Steps between grids of samples; 0 for none
    #[arg(long, default_value_t = 500, value_parser = count(number::EVERY))]
    pub sample_every: u64,
    /// Also write the averaged weights alone, for sampling, to this file at the end
    #[arg(long, value_name = "FILE")]
    pub export: Option<PathBuf>,
    /// Also write the averaged weights at the end as a folder that diffusers reads
    #[arg(long, value_name = "FOLDER")]
    pub export_diffusers: Option<PathBuf>,
    /// Minutes between checkpoints
    #[arg(long, default_value_t = 3.0, value_parser = real(number::MINUTES))]
    pub checkpoint_minutes: f64,
}

/// Subcommands.
#[derive(Subcommand)]
pub enum Command {
    Classifier(ClassifierArgs),
}
