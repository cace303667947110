//! Training of a score model: checks, folder, resume, loop.

use std::path::Path;

use anyhow::{Result, ensure};
use datasway_cli::memory::ensure_room;
use datasway_data::{Dataset, LoadOptions, Source};
use datasway_diffusion::checkpoint::Checkpoint;
use datasway_diffusion::device::{caution, device};
use datasway_diffusion::network::NetworkDenoiser;
use datasway_diffusion::schedule;
use datasway_fs::output::Kind;
use datasway_fs::plural;
use datasway_training::batches::Batches;
use datasway_training::config::TrainConfig;
use datasway_training::memory::network_bytes;
use datasway_training::trainer::ScoreTrainer;
use datasway_training::training_loop::TrainingRun;
use datasway_training::training_set::TrainingSetInfo;

use crate::command::TrainArgs;
use crate::configuration::configuration;
use crate::images::SizeSetting;
use crate::progress::Loop;
use crate::sample_grid::{STEPS, sample_grid};
use crate::{export, images, place};

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

/// The images that a model is trained on unless others are named.
const DATA: &str = "faces:10000";

/// Trains until the last step or until Ctrl-C.
pub fn run(arguments: &TrainArgs) -> Result<()> {
    let data = arguments.data.as_deref().unwrap_or(DATA);
    let source = Source::parse(data)?;
    let config = configuration(arguments, source.grey())?;
    config.validate()?;
    let network = &config.network;
    place::ensure_channels(data, source.grey(), network.image_channels)?;
    if !source.grey() && network.image_channels == 1 {
        datasway_cli::tell("images are read in grey: the network takes one channel");
    }
    ensure_room(
        network_bytes(network, config.batch),
        "this network and batch",
        "choose a smaller batch or a smaller network",
    )?;
    let export = export::folder_for_network(arguments, network)?;
    let device = device(&arguments.device)?;
    datasway_cli::tell_if(caution(&arguments.device));
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
        progress: Some(datasway_cli::decoding_progress),
        ..LoadOptions::default()
    };
    let images = images::load(
        &source,
        &options,
        SizeSetting::Option("--set network.image_size=N"),
    )?;
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
        ..TrainingSetInfo::of(&images, data, config.flip)
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
    if !train(arguments, &config, &images, &mut trainer, &path)? {
        return Ok(());
    }
    if let Some(folder) = &export {
        export::write(&trainer.checkpoint()?, &config, folder)?;
    }
    let count = plural(config.steps as usize, "step");
    datasway_cli::tell(format!(
        "finished {count}; checkpoint in {}",
        path.display()
    ));
    export::tell(&export);
    Ok(())
}

/// Writes `run.toml`: version, data, device and configuration. It can be used for `--config`.
fn record(arguments: &TrainArgs, config: &TrainConfig, set: &TrainingSetInfo) -> Result<()> {
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

/// Trains, and returns whether the run is finished.
fn train(
    arguments: &TrainArgs,
    config: &TrainConfig,
    images: &Dataset,
    trainer: &mut ScoreTrainer,
    path: &Path,
) -> Result<bool> {
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
        return Ok(false);
    }
    if let Some(file) = &arguments.export {
        trainer.checkpoint()?.for_sampling().save(file)?;
    }
    Ok(true)
}

/// A score model in training that draws sample grids at intervals.
struct ScoreRun<'a> {
    arguments: &'a TrainArgs,
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
        let clean = self
            .batches
            .at(self.config.draws(), step, self.trainer.device());
        let loss = self.trainer.advance(clean)?;
        let (step, every) = (step + 1, self.arguments.sample_every);
        if every > 0 && step.is_multiple_of(every) {
            let name = format!("samples-{step:06}.png");
            let network = &self.config.network;
            let model = NetworkDenoiser::new(
                self.trainer.average().clone(),
                network.clone(),
                self.trainer.precondition(),
            );
            sample_grid(
                &model,
                [
                    network.image_channels,
                    network.image_size,
                    network.image_size,
                ],
                &schedule::edm(STEPS),
                self.config.seed,
                self.trainer.device(),
                &self.arguments.out.join(name),
            )?;
        }
        Ok(loss)
    }

    fn save(&mut self) -> Result<()> {
        Ok(self.trainer.checkpoint()?.save(self.path)?)
    }
}
