//! `train classifier`: trains a small classifier of a data set's labels, whose log-odds `sensitivity influence` can attribute.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use datasway_classifier::evaluation::LabelMetrics;
use datasway_classifier::{ClassifierCheckpoint, ClassifierConfig, ClassifierTrainer};
use datasway_cli::memory::ensure_room;
use datasway_cli::number::{self, count, real};
use datasway_data::{LoadOptions, Source};
use datasway_diffusion::device::{DEVICES, caution, device};
use datasway_fs::output::Kind;
use datasway_fs::plural;

use crate::images::{self, SizeSetting};
use crate::progress::Loop;
use datasway_training::memory::classifier_bytes;
use datasway_training::training_loop::TrainingRun;

use crate::place;

/// Output files of `train classifier`.
static FOLDER: Kind = Kind {
    name: "classifier",
    files: &["loss.csv", "labels.csv", "classifier.safetensors"],
    marks: &[("classifier.safetensors", "")],
};

/// Train a small classifier of every attribute and class of a data set. `sensitivity influence --of log-odds:FILE:LABEL` asks
/// which training images of a diffusion model gave a sample that label.
#[derive(clap::Args)]
pub struct ClassifierArgs {
    /// The images, as for training a model; they need attributes or classes
    #[arg(long, default_value = "faces:10000")]
    data: String,
    /// Side of the images in pixels: that of the samples it will be asked about
    #[arg(long, default_value_t = 16, value_parser = count(number::SIDE))]
    size: usize,
    /// One channel instead of three
    #[arg(long)]
    grey: bool,
    /// Folder of the classifier, its loss and its quality
    #[arg(long, default_value = "runs/classifier")]
    out: PathBuf,
    /// Continue the run in --out
    #[arg(long)]
    resume: bool,
    /// Optimiser steps
    #[arg(long, default_value_t = ClassifierConfig::default().steps, value_parser = count(number::TRAINING_STEPS))]
    steps: u64,
    /// Images a step
    #[arg(long, default_value_t = ClassifierConfig::default().batch, value_parser = count(number::BATCH))]
    batch: usize,
    /// Peak learning rate
    #[arg(long, default_value_t = ClassifierConfig::default().learning_rate, value_parser = real(number::LEARNING_RATE))]
    learning_rate: f64,
    /// Decoupled weight decay
    #[arg(long, default_value_t = ClassifierConfig::default().weight_decay, value_parser = real(number::WEIGHT_DECAY))]
    weight_decay: f64,
    /// Standard deviation of the noise on training images, in pixels of [-1, 1]
    #[arg(long, default_value_t = ClassifierConfig::default().noise, value_parser = real(number::NOISE))]
    noise: f64,
    /// Mirror images at random
    #[arg(long)]
    flip: bool,
    /// Channels of the finest level
    #[arg(long, default_value_t = ClassifierConfig::default().channels, value_parser = count(number::CHANNELS))]
    channels: usize,
    /// Share of the images that is not trained on, by which the classifier is judged
    #[arg(long, default_value_t = ClassifierConfig::default().held_out, value_parser = real(number::SHARE))]
    held_out: f64,
    /// Seed of initial weights, held-out images, batches and noise
    #[arg(long, default_value_t = 0, value_parser = count(number::SEED))]
    seed: u64,
    /// Use at most this many images
    #[arg(long, value_parser = count(number::IMAGES))]
    limit: Option<usize>,
    /// Count images that cannot be read and go on without them
    #[arg(long)]
    skip_bad: bool,
    /// Folder of decoded images, kept for the next start
    #[arg(long, default_value = "datasets/cache")]
    cache: PathBuf,
    /// Device: flex (CPU); with the cargo feature of its name cuda, metal, rocm or wgpu (GPU) or ndarray (slow CPU)
    #[arg(long, default_value = "flex", value_parser = DEVICES)]
    device: String,
    /// Minutes between checkpoints
    #[arg(long, default_value_t = 3.0, value_parser = real(number::MINUTES))]
    checkpoint_minutes: f64,
}

/// Trains the classifier and writes its folder.
pub fn run(arguments: &ClassifierArgs) -> Result<()> {
    let config = ClassifierConfig {
        seed: arguments.seed,
        steps: arguments.steps,
        batch: arguments.batch,
        learning_rate: arguments.learning_rate,
        weight_decay: arguments.weight_decay,
        noise: arguments.noise,
        flip: arguments.flip,
        channels: arguments.channels,
        held_out: arguments.held_out,
    };
    config.validate()?;
    ensure_room(
        classifier_bytes(arguments.channels, arguments.size, arguments.batch),
        "this classifier and batch",
        "choose a smaller batch, fewer channels or smaller images",
    )?;
    let (source, device) = (Source::parse(&arguments.data)?, device(&arguments.device)?);
    datasway_cli::tell_if(caution(&arguments.device));
    let (out, folder) = (
        datasway_cli::output_folder(&arguments.out, &FOLDER)?,
        &arguments.out,
    );
    let file = folder.join("classifier.safetensors");
    let resumed = if arguments.resume {
        Some(place::resumed(&file, ClassifierCheckpoint::read)?)
    } else {
        None
    };
    ensure!(
        arguments.resume || !file.exists(),
        "{} already holds a classifier: continue it with --resume, or choose another --out",
        folder.display()
    );
    let options = LoadOptions {
        size: Some(arguments.size),
        grey: arguments.grey,
        limit: arguments.limit,
        skip_bad: arguments.skip_bad,
        cache_dir: Some(arguments.cache.clone()),
        progress: Some(datasway_cli::decoding_progress),
        ..LoadOptions::default()
    };
    let images = images::load(&source, &options, SizeSetting::Option("--size"))?;
    let mut trainer = match resumed {
        Some(saved) => {
            let trainer = ClassifierTrainer::resume(config.clone(), &images, saved, &device)?;
            out.go_on()?;
            trainer
        }
        None => {
            let trainer = ClassifierTrainer::new(config.clone(), &images, &device)?;
            out.start_over()?;
            trainer
        }
    };
    let steps = Loop {
        steps: config.steps,
        batch: config.batch,
        checkpoint_minutes: arguments.checkpoint_minutes,
        folder,
    };
    let (trainer, file) = (&mut trainer, &file);
    if !steps.run(&mut ClassifierRun { trainer, file })? {
        return Ok(());
    }
    let qualities = trainer.evaluate()?;
    datasway_fs::write(&folder.join("labels.csv"), csv(&qualities).as_bytes())?;
    datasway_cli::tell(table(&qualities));
    datasway_cli::tell(format!(
        "judged on {1} of {0}, which it was not trained on; classifier in {2}",
        plural(images.len(), "image"),
        trainer.counts()[1],
        file.display()
    ));
    Ok(())
}

/// A classifier in training and its file.
struct ClassifierRun<'a, 'b> {
    trainer: &'b mut ClassifierTrainer<'a>,
    file: &'b Path,
}

impl TrainingRun for ClassifierRun<'_, '_> {
    type Error = anyhow::Error;

    fn step(&self) -> u64 {
        self.trainer.step()
    }

    fn advance(&mut self) -> Result<f32> {
        Ok(self.trainer.advance()?)
    }

    fn save(&mut self) -> Result<()> {
        Ok(self.trainer.save()?.write(self.file)?)
    }
}

fn csv(qualities: &[LabelMetrics]) -> String {
    let mut text = "label,have,of,accuracy,auc\n".to_owned();
    for q in qualities {
        let auc = q.auc.map_or_else(String::new, |auc| format!("{auc:.4}"));
        let label = q.label.replace('"', "\"\"");
        text += &format!("\"{label}\",{},{},{:.4},{auc}\n", q.have, q.of, q.accuracy);
    }
    text
}

fn table(qualities: &[LabelMetrics]) -> String {
    let width = qualities.iter().map(|q| q.label.chars().count()).max();
    let width = width.unwrap_or(0).max("label".len());
    let mut text = format!("{:width$}  have it  told right   AUC", "label");
    for q in qualities {
        let auc = q
            .auc
            .map_or_else(|| "    –".to_owned(), |auc| format!("{auc:5.3}"));
        text += &format!(
            "\n{:width$}  {:6.1} %  {:8.1} %  {auc}",
            q.label,
            100.0 * q.have as f64 / q.of as f64,
            100.0 * q.accuracy
        );
    }
    text
}
