//! `cargo run -p train`: train a U-Net score model on an image data set.

mod classifier;
mod images;
mod place;
mod progress;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow, ensure};
use burn::tensor::DType;
use clap::{Parser, Subcommand};
use datasway_cli::memory::ensure_room;
use datasway_cli::number::{self, count, real};
use datasway_data::{Dataset, LoadOptions, Source};
use datasway_diffusion::checkpoint::Checkpoint;
use datasway_diffusion::device::{DEVICES, device};
use datasway_diffusion::network::NetworkDenoiser;
use datasway_diffusion::sampler::{FrozenNoise, Sampler, sample};
use datasway_diffusion::schedule;
use datasway_fs::output::Kind;
use datasway_report::{GridStyle, Picture, grid_png};
use datasway_training::batches::Batches;
use datasway_training::config::{PRESETS, TrainConfig};
use datasway_training::memory::network_bytes;
use datasway_training::trainer::ScoreTrainer;
use datasway_training::training_loop::TrainingRun;
use datasway_training::training_set::TrainingSetInfo;

use progress::Loop;

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
    /// [default: faces16, or mnist16 where all images are grey]
    #[arg(long, value_parser = PRESETS)]
    preset: Option<String>,
    /// A TOML file with the full configuration, such as another run's run.toml, instead of a preset
    #[arg(long, conflicts_with = "preset")]
    config: Option<PathBuf>,
    /// Where checkpoints and the loss log go
    #[arg(long, default_value = "runs/train")]
    out: PathBuf,
    /// Where to compute: flex (CPU), or with the cargo feature of the name cuda, metal, rocm, wgpu (GPU), ndarray (slow CPU)
    #[arg(long, default_value = "flex", value_parser = DEVICES)]
    device: String,
    /// Continue the run in --out from its last checkpoint
    #[arg(long)]
    resume: bool,
    /// Optimiser steps
    #[arg(long, value_parser = count(number::TRAINING_STEPS))]
    steps: Option<u64>,
    /// Images a step
    #[arg(long, value_parser = count(number::BATCH))]
    batch: Option<usize>,
    /// Peak learning rate
    #[arg(long, value_parser = real(number::LEARNING_RATE))]
    learning_rate: Option<f64>,
    /// Any other field of the configuration, such as network.channels=64 or flip=false; repeatable
    #[arg(long, value_name = "FIELD=VALUE")]
    set: Vec<String>,
    /// Seed of initial weights, batches and noise
    #[arg(long, value_parser = count(number::SEED))]
    seed: Option<u64>,
    /// Use at most this many images
    #[arg(long, value_parser = count(number::IMAGES))]
    limit: Option<usize>,
    /// Count images that cannot be read and go on without them
    #[arg(long)]
    skip_bad: bool,
    /// Where decoded images are kept for the next start
    #[arg(long, default_value = "datasets/cache")]
    cache: PathBuf,
    /// Steps between grids of samples; 0 for none
    #[arg(long, default_value_t = 500, value_parser = count(number::EVERY))]
    sample_every: u64,
    /// Also write the averaged weights alone, for sampling, to this file at the end
    #[arg(long, value_name = "FILE")]
    export: Option<PathBuf>,
    /// Minutes between checkpoints
    #[arg(long, default_value_t = 3.0, value_parser = real(number::MINUTES))]
    checkpoint_minutes: f64,
}

/// Subcommands.
#[derive(Subcommand)]
enum Command {
    Classifier(classifier::Arguments),
}

/// Output files of a training run.
static FOLDER: Kind = Kind {
    name: "training run",
    files: &[
        "run.toml",
        "loss.csv",
        "samples-*.png",
        "checkpoint.safetensors",
    ],
    marks: &[("run.toml", "sway = ")],
};

/// Default presets of colour images and of grey images.
const USUAL: [&str; 2] = ["faces16", "mnist16"];

/// Largest size of a configuration file in bytes.
const LARGEST: u64 = 1 << 20;

fn main() -> ExitCode {
    datasway_cli::allocator::keep_memory();
    let arguments: Arguments = datasway_cli::parse();
    datasway_cli::finish(match &arguments.command {
        Some(Command::Classifier(classifier)) => classifier::run(classifier),
        None => run(&arguments),
    })
}

fn run(arguments: &Arguments) -> Result<()> {
    let source = Source::parse(&arguments.data)?;
    let config = configuration(arguments, source.grey())?;
    config.validate()?;
    let network = &config.network;
    place::ensure_channels(&arguments.data, source.grey(), network.image_channels)?;
    if !source.grey() && network.image_channels == 1 {
        datasway_cli::tell("images are read in grey: the network takes one channel");
    }
    ensure_room(
        network_bytes(network, config.batch),
        "this network and batch",
        "choose a smaller batch or a smaller network",
    )?;
    let device = device(&arguments.device)?;
    let folder = datasway_cli::output_folder(&arguments.out, &FOLDER)?;
    let path = arguments.out.join("checkpoint.safetensors");
    if let Some(file) = &arguments.export {
        place::ensure_export(file, &path)?;
    }
    let resumed = if arguments.resume {
        Some(place::resumed(&path, Checkpoint::load)?)
    } else {
        None
    };
    ensure!(
        arguments.resume || !path.exists(),
        "{} already holds a run: continue it with --resume, or choose another --out",
        arguments.out.display()
    );
    let options = LoadOptions {
        size: Some(network.image_size),
        grey: network.image_channels == 1,
        limit: arguments.limit,
        skip_bad: arguments.skip_bad,
        cache_dir: Some(arguments.cache.clone()),
        progress: true,
    };
    let images = images::load(&source, &options, "--set network.image_size=N")?;
    ensure!(
        (images.shape.channels, images.shape.height)
            == (network.image_channels, network.image_size),
        "the images of {source} have {} channels and {} pixels a side, but the network takes {} and {}",
        images.shape.channels,
        images.shape.height,
        network.image_channels,
        network.image_size
    );
    let set = TrainingSetInfo {
        limit: arguments.limit,
        skip_bad: arguments.skip_bad,
        ..TrainingSetInfo::of(&images, &arguments.data, config.flip)
    };
    let mut trainer = match resumed {
        Some(checkpoint) => {
            let trainer = ScoreTrainer::resume(config.clone(), set, checkpoint, &device)?;
            folder.go_on()?;
            trainer
        }
        None => {
            let trainer = ScoreTrainer::new(config.clone(), set.clone(), &device)?;
            folder.start_over()?;
            record(arguments, &config, &set)?;
            trainer
        }
    };
    train(arguments, &config, &images, &mut trainer, &path)
}

/// Writes `run.toml`: version, data, device and configuration. It can be used for `--config`.
fn record(arguments: &Arguments, config: &TrainConfig, set: &TrainingSetInfo) -> Result<()> {
    let quoted = |text: &str| toml::Value::from(text).to_string();
    let text = format!(
        "datasway = {}\ndata = {}\nfingerprint = {}\ndevice = {}\n\n{}",
        quoted(env!("CARGO_PKG_VERSION")),
        quoted(&set.name),
        quoted(&set.fingerprint),
        quoted(&arguments.device),
        toml::to_string(&toml::Table::from_iter([(
            "config".to_owned(),
            toml::Value::try_from(config)?
        )]))?
    );
    datasway_fs::write(&arguments.out.join("run.toml"), text.as_bytes())?;
    Ok(())
}

fn train(
    arguments: &Arguments,
    config: &TrainConfig,
    images: &Dataset,
    trainer: &mut ScoreTrainer,
    path: &Path,
) -> Result<()> {
    let steps = Loop {
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
    datasway_cli::tell(format!("finished {of} steps; checkpoint in {path}"));
    Ok(())
}

/// A score model in training that draws sample grids at intervals.
struct ScoreRun<'a> {
    arguments: &'a Arguments,
    config: &'a TrainConfig,
    batches: Batches<'a>,
    trainer: &'a mut ScoreTrainer,
    path: &'a Path,
}

impl TrainingRun for ScoreRun<'_> {
    type Error = anyhow::Error;

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

    fn save(&mut self) -> Result<()> {
        Ok(self.trainer.checkpoint()?.save(self.path)?)
    }
}

/// The configuration from a preset or file, modified by options.
fn configuration(arguments: &Arguments, grey: bool) -> Result<TrainConfig> {
    let mut config = match (&arguments.config, &arguments.preset) {
        (None, Some(preset)) => TrainConfig::preset(preset)?,
        (None, None) => {
            let (preset, colour) = (
                USUAL[usize::from(grey)],
                if grey { "grey" } else { "colour" },
            );
            datasway_cli::tell(format!(
                "{colour} images: --preset {preset} unless another is named"
            ));
            TrainConfig::preset(preset)?
        }
        (Some(path), _) => {
            let text = datasway_fs::read_text(path, LARGEST)?;
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

/// Parses a configuration file or the `[config]` of a `run.toml`.
fn parse(text: &str) -> Result<TrainConfig> {
    let mut table: toml::Table = text.parse()?;
    Ok(match table.remove("config") {
        Some(config) => config.try_into()?,
        None => table.try_into()?,
    })
}

/// Draws 64 samples of the averaged network with Heun's method in 18 steps, always from the same noise, and writes a PNG grid.
fn sample_grid(config: &TrainConfig, trainer: &ScoreTrainer, path: &Path) -> Result<()> {
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
    datasway_fs::write(path, &grid_png(&pictures, &GridStyle::default())?)?;
    Ok(())
}
