//! `cargo run -p train`: train a U-Net score model on an image data set.

mod classification;
mod images;
mod loss_log;
mod training_loop;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow, ensure};
use burn::tensor::DType;
use clap::{Parser, Subcommand};
use data::{Dataset, LoadOptions};
use diffusion::checkpoint::Checkpoint;
use diffusion::device::device;
use diffusion::network::NetworkDenoiser;
use diffusion::sampler::{FrozenNoise, Sampler, sample};
use diffusion::schedule;
use report::{GridStyle, Picture, grid_png};
use train::batches::Batches;
use train::config::TrainConfig;
use train::set::TrainingSet;
use train::trainer::Trainer;

use training_loop::TrainingLoop;

/// Train a U-Net score model on an image data set.
#[derive(Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// The images: faces:N, celeba:FOLDER, mnist:FOLDER, cifar10:FOLDER, folder:FOLDER, or a folder
    #[arg(long, default_value = "faces:10000")]
    data: String,
    /// Network and settings to start from: faces16, mnist16, mnist28, celeba16, celeba32, celeba64, cifar10
    #[arg(long, default_value = "faces16")]
    preset: String,
    /// A TOML file with the full configuration, such as another run's run.toml, instead of a preset
    #[arg(long, conflicts_with = "preset")]
    config: Option<PathBuf>,
    /// Where checkpoints and the loss log go
    #[arg(long, default_value = "runs/train")]
    out: PathBuf,
    /// Where to compute: flex (CPU), wgpu (GPU, cargo feature wgpu), ndarray (cargo feature ndarray)
    #[arg(long, default_value = "flex")]
    device: String,
    /// Continue the run in --out from its last checkpoint
    #[arg(long)]
    resume: bool,
    /// Optimiser steps
    #[arg(long)]
    steps: Option<u64>,
    /// Images a step
    #[arg(long)]
    batch: Option<usize>,
    /// Peak learning rate
    #[arg(long)]
    learning_rate: Option<f64>,
    /// Any other field of the configuration, such as network.channels=64 or flip=false; repeatable
    #[arg(long, value_name = "FIELD=VALUE")]
    set: Vec<String>,
    /// Seed of initial weights, batches and noise
    #[arg(long)]
    seed: Option<u64>,
    /// Use at most this many images
    #[arg(long)]
    limit: Option<usize>,
    /// Count images that cannot be read and go on without them
    #[arg(long)]
    skip_bad: bool,
    /// Where decoded images are kept for the next start
    #[arg(long, default_value = "datasets/cache")]
    cache: PathBuf,
    /// Steps between grids of samples; 0 for none
    #[arg(long, default_value_t = 500)]
    sample_every: u64,
    /// Also write the averaged weights alone, for sampling, to this file at the end
    #[arg(long, value_name = "FILE")]
    export: Option<PathBuf>,
    /// Minutes between checkpoints
    #[arg(long, default_value_t = 3.0)]
    checkpoint_minutes: f64,
}

/// What else can be trained.
#[derive(Subcommand)]
enum Command {
    Classifier(classification::Arguments),
}

fn main() -> ExitCode {
    allocator::keep_memory();
    let arguments = Arguments::parse();
    let done = match &arguments.command {
        Some(Command::Classifier(classifier)) => classification::run(classifier),
        None => run(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    let config = configuration(arguments)?;
    let network = &config.network;
    let options = LoadOptions {
        size: Some(network.image_size),
        grey: network.image_channels == 1,
        limit: arguments.limit,
        skip_bad: arguments.skip_bad,
        cache_dir: Some(arguments.cache.clone()),
        progress: true,
    };
    let images = images::load(&arguments.data, &options, "--set network.image_size=N")?;
    let set = TrainingSet {
        limit: arguments.limit,
        skip_bad: arguments.skip_bad,
        ..TrainingSet::of(&images, &arguments.data, config.flip)
    };
    let device = device(&arguments.device)?;
    let path = arguments.out.join("checkpoint.safetensors");
    let mut trainer = if arguments.resume {
        Trainer::resume(config.clone(), set, Checkpoint::load(&path)?, &device)?
    } else {
        ensure!(
            !path.exists(),
            "{} already holds a run: continue it with --resume, or choose another --out",
            arguments.out.display()
        );
        std::fs::create_dir_all(&arguments.out)
            .with_context(|| format!("cannot create {}", arguments.out.display()))?;
        record(arguments, &config, &set)?;
        Trainer::new(config.clone(), set, &device)?
    };
    train(arguments, &config, &images, &mut trainer, &path)
}

/// `run.toml`: what was asked for and on which data, for people; a checkpoint says the same of itself.
/// Its `[config]` is a file for `--config`.
fn record(arguments: &Arguments, config: &TrainConfig, set: &TrainingSet) -> Result<()> {
    let text = format!(
        "sway = {:?}\ndata = {:?}\nfingerprint = {:?}\ndevice = {:?}\n\n{}",
        env!("CARGO_PKG_VERSION"),
        set.name,
        set.fingerprint,
        arguments.device,
        toml::to_string(&toml::Table::from_iter([(
            "config".to_owned(),
            toml::Value::try_from(config)?
        )]))?
    );
    files::write(&arguments.out.join("run.toml"), text.as_bytes())?;
    Ok(())
}

fn train(
    arguments: &Arguments,
    config: &TrainConfig,
    images: &Dataset,
    trainer: &mut Trainer,
    path: &Path,
) -> Result<()> {
    let steps = TrainingLoop {
        steps: config.steps,
        batch: config.batch,
        checkpoint_minutes: arguments.checkpoint_minutes,
        folder: &arguments.out,
    };
    let mut run = ScoreRun {
        arguments,
        config,
        batches: Batches::new(images),
        trainer,
        path,
    };
    if !steps.run(&mut run)? {
        return Ok(());
    }
    if let Some(file) = &arguments.export {
        trainer.checkpoint()?.for_sampling().save(file)?;
    }
    let (of, path) = (config.steps, path.display());
    eprintln!("finished {of} steps; checkpoint in {path}");
    Ok(())
}

/// A score model in training, of which samples are drawn now and then.
struct ScoreRun<'a> {
    arguments: &'a Arguments,
    config: &'a TrainConfig,
    batches: Batches<'a>,
    trainer: &'a mut Trainer,
    path: &'a Path,
}

impl training_loop::Run for ScoreRun<'_> {
    fn step(&self) -> u64 {
        self.trainer.step()
    }

    fn advance(&mut self) -> Result<f32> {
        let step = self.trainer.step();
        let clean = self.batches.at(self.config, step, self.trainer.device());
        let loss = self.trainer.advance(clean)?;
        let (step, every) = (step + 1, self.arguments.sample_every);
        if every > 0 && step.is_multiple_of(every) {
            let name = format!("samples-{step:06}.png");
            sample_grid(self.config, self.trainer, &self.arguments.out.join(name))?;
        }
        Ok(loss)
    }

    fn save(&self) -> Result<()> {
        Ok(self.trainer.checkpoint()?.save(self.path)?)
    }
}

/// The configuration from preset or file, with the flags on top.
fn configuration(arguments: &Arguments) -> Result<TrainConfig> {
    let mut config = match &arguments.config {
        None => TrainConfig::preset(&arguments.preset)?,
        Some(path) => {
            let text = std::fs::read_to_string(path)
                .with_context(|| format!("cannot read {}", path.display()))?;
            parse(&text).with_context(|| format!("{} is not a configuration", path.display()))?
        }
    };
    for set in &arguments.set {
        let (field, value) = set
            .split_once('=')
            .with_context(|| format!("--set {set}: write FIELD=VALUE"))?;
        config = config.with(field.trim(), value.trim())?;
    }
    if let Some(steps) = arguments.steps {
        config.steps = steps;
    }
    if let Some(batch) = arguments.batch {
        config.batch = batch;
    }
    if let Some(rate) = arguments.learning_rate {
        config.learning_rate = rate;
    }
    if let Some(seed) = arguments.seed {
        config.seed = seed;
    }
    Ok(config)
}

/// A configuration alone, or the `[config]` of a `run.toml`.
fn parse(text: &str) -> Result<TrainConfig> {
    let mut table: toml::Table = text.parse()?;
    Ok(match table.remove("config") {
        Some(config) => config.try_into()?,
        None => table.try_into()?,
    })
}

/// Draws 64 samples of the averaged network with Heun's method in 18 steps, always from the same
/// noise, and writes them as a picture.
fn sample_grid(config: &TrainConfig, trainer: &Trainer, path: &Path) -> Result<()> {
    let network = &config.network;
    let model = NetworkDenoiser::new(
        trainer.average().clone(),
        network.clone(),
        trainer.precondition(),
    );
    let noise = FrozenNoise::new(config.seed);
    let device = trainer.device();
    let start = noise.start([64, network.dim()], device, DType::F32);
    let samples = sample(&model, &Sampler::Heun, &schedule::edm(18), start, &noise)?;
    let values = samples.into_data().try_to_vec::<f32>();
    let values = values.map_err(|error| anyhow!("samples could not be read back: {error:?}"))?;
    let pictures = values.chunks_exact(network.dim()).map(|values| Picture {
        channels: network.image_channels,
        height: network.image_size,
        width: network.image_size,
        values,
    });
    let pictures: Vec<Picture> = pictures.collect();
    files::write(path, &grid_png(&pictures, &GridStyle::default())?)?;
    Ok(())
}
