//! Fine-tuning of a model of another library: checks, folder, resume, loop.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use burn::tensor::DType;
use datasway_cli::memory::ensure_room;
use datasway_data::{Dataset, LoadOptions, Source};
use datasway_diffusion::device::{caution, device};
use datasway_diffusion::{schedule, weights};
use datasway_fs::output::{Kind, OutputFolder};
use datasway_fs::plural;
use datasway_pretrained::{
    ModelWriter, PretrainedNetwork, PretrainedOptions, TrainableModel, is_pretrained,
};
use datasway_training::batches::Batches;
use datasway_training::class_images::images_of_class;
use datasway_training::fine_tune::{
    FineTuneBase, FineTuneConfig, FineTuneData, FineTuneState, FineTuner,
};
use datasway_training::memory::weights_bytes;
use datasway_training::picture_shape::check_picture_shape;
use datasway_training::sidecar::{OwnTraining, Sidecar};
use datasway_training::training_loop::TrainingRun;

use crate::command::TrainArgs;
use crate::images::SizeSetting;
use crate::progress::Loop;
use crate::sample_grid::{STEPS, sample_grid};
use crate::{configuration, export, images, place};

/// Output files of a fine-tuning.
static FOLDER: Kind = Kind {
    name: "fine-tuning",
    files: &[
        "run.toml",
        "loss.csv",
        "samples-*.png",
        STATE,
        "unet/",
        "transformer/",
        "scheduler/",
        "model_index.json",
        "edm.safetensors",
        "edm.json",
        "datasway.toml",
    ],
    marks: &[("run.toml", "from = ")],
};
/// The file from which a run is continued.
const STATE: &str = "state.safetensors";

/// Trains until the last step or until Ctrl-C, and writes the model.
pub fn run(arguments: &TrainArgs, model: &Path) -> Result<()> {
    check_arguments(arguments, model)?;
    let saved = Sidecar::read(model)?.unwrap_or_default();
    let config = configuration::fine_tuning(arguments, saved.flip)?;
    config.validate()?;
    let sidecar = sidecar(arguments, model, saved, &config)?;
    let source = Source::parse(sidecar.data.as_deref().unwrap_or_default())?;
    let folder = datasway_cli::output_folder(&arguments.out, &FOLDER)?;
    let state = arguments.out.join(STATE);
    ensure!(
        arguments.resume || !state.exists(),
        "{} already holds a run: continue it with --resume, or choose another --out",
        arguments.out.display()
    );
    ensure!(
        !arguments.resume || state.exists(),
        "there is nothing to resume: {} does not exist; leave --resume out to begin",
        state.display()
    );
    let TuningModel {
        base,
        writer,
        shape,
        classes,
    } = TuningModel::load(arguments, model, &sidecar)?;
    let export = export::folder(arguments, writer.is_diffusers())?;
    let images = training_images(arguments, &source, &sidecar, shape)?;
    let images = images_of_class(&model.display().to_string(), images, classes, base.class)?;
    sidecar.check(model, Some(&images.fingerprint), &base.fingerprint)?;
    let sidecar = Sidecar {
        pixels: Some(base.pixels),
        data_fingerprint: Some(images.fingerprint.clone()),
        training: Some(OwnTraining {
            base: Some(model.display().to_string()),
            base_fingerprint: Some(base.fingerprint.clone()),
            steps: config.steps,
            seed: config.seed,
            noise: config.noise,
        }),
        ..sidecar
    };
    let tuner = begin(arguments, &config, base, &sidecar, &folder)?;
    let mut run = FineTuneRun {
        arguments,
        config: &config,
        batches: Batches::new(&images),
        tuner,
        shape,
        state: &state,
    };
    let steps = Loop {
        steps: config.steps,
        batch: config.batch,
        checkpoint_minutes: arguments.checkpoint_minutes,
        folder: &arguments.out,
    };
    if !steps.run(&mut run)? {
        return Ok(());
    }
    let network = run.tuner.average();
    if let Some(folder) = &export {
        folder.start_over()?;
    }
    let folders = export.iter().map(OutputFolder::path);
    for folder in folders.chain([arguments.out.as_path()]) {
        writer.write(network, folder)?;
        export::write_sidecar(&sidecar, folder)?;
    }
    let count = plural(config.steps as usize, "step");
    let out = arguments.out.display();
    datasway_cli::tell(format!("finished {count}; the model is the folder {out}"));
    export::tell(&export);
    Ok(())
}

/// Refuses arguments that set a network, which is given, or that do not go with a model of another library.
fn check_arguments(arguments: &TrainArgs, model: &Path) -> Result<()> {
    let name = model.display();
    ensure!(
        model.exists(),
        "--from {name}: there is no such folder: name the folder of a model of diffusers or EDM on this machine"
    );
    ensure!(
        is_pretrained(model),
        "--from {name} is a file: name the folder of a model of diffusers or EDM"
    );
    ensure!(
        arguments.preset.is_none(),
        "--preset names a network, and that of --from is given: leave it out, and set the other options one by one"
    );
    ensure!(
        arguments.export.is_none(),
        "--export writes a checkpoint of Datasway's own network: leave it out, because --out is the model, or use --export-diffusers"
    );
    Ok(())
}

/// The images and the settings of the model that the arguments name, or else its own.
fn sidecar(
    arguments: &TrainArgs,
    model: &Path,
    saved: Sidecar,
    config: &FineTuneConfig,
) -> Result<Sidecar> {
    let own_data = arguments.data.is_none();
    let is_own_set = own_data
        && arguments.limit.is_none()
        && arguments.crop.is_none()
        && arguments.filter.is_none()
        && arguments.class.is_none();
    let data = arguments.data.clone().or(saved.data);
    let data = data.with_context(|| {
        format!(
            "--from {}: name the images to train on with --data",
            model.display()
        )
    })?;
    if saved.guidance.is_some() {
        datasway_cli::tell("the guidance of datasway.toml is left out: it is no part of training");
    }
    Ok(Sidecar {
        data: Some(data),
        limit: arguments.limit.or(saved.limit.filter(|_| own_data)),
        skip_bad: arguments.skip_bad || saved.skip_bad && own_data,
        crop: arguments.crop.unwrap_or(saved.crop),
        filter: arguments.filter.unwrap_or(saved.filter),
        flip: config.flip,
        class: arguments.class.or(saved.class),
        guidance: None,
        // Images that the arguments name may be others.
        data_fingerprint: saved.data_fingerprint.filter(|_| is_own_set),
        ..saved
    })
}

/// A model that is fine-tuned.
struct TuningModel {
    base: FineTuneBase<PretrainedNetwork>,
    writer: ModelWriter,
    shape: [usize; 3],
    classes: usize,
}

impl TuningModel {
    fn load(arguments: &TrainArgs, path: &Path, sidecar: &Sidecar) -> Result<Self> {
        let options = PretrainedOptions {
            class: sidecar.class,
            guidance: None,
            scheduler: sidecar.scheduler.clone(),
            pixels: sidecar.pixels,
            device: device(&arguments.device)?,
            dtype: DType::F32,
        };
        datasway_cli::tell_if(caution(&arguments.device));
        let model = TrainableModel::load(path, &options)?;
        let name = path.display();
        check_picture_shape(&name.to_string(), model.shape)?;
        datasway_cli::tell(format!("{name}: {}", model.description));
        for note in &model.notes {
            datasway_cli::tell(format!("{name}: {note}"));
        }
        let shapes = weights::shapes(&model.network);
        let numbers = shapes.values().map(|shape| shape.iter().product::<usize>());
        ensure_room(
            weights_bytes(numbers.sum()),
            "the weights of this network, their average and the optimiser",
            "fine-tune a smaller model",
        )?;
        Ok(Self {
            base: FineTuneBase {
                network: model.network,
                parameterization: model.parameterization,
                noise: model.noise,
                sigma_range: model.sigma_range,
                pixels: model.pixels,
                fingerprint: model.fingerprint,
                class: options.class,
                constant: PretrainedNetwork::is_constant,
            },
            writer: model.writer,
            shape: model.shape,
            classes: model.classes,
        })
    }
}

fn training_images(
    arguments: &TrainArgs,
    source: &Source,
    sidecar: &Sidecar,
    [channels, _, side]: [usize; 3],
) -> Result<Dataset> {
    place::ensure_channels(&source.to_string(), source.grey(), channels)?;
    let options = LoadOptions {
        size: Some(side),
        grey: channels == 1,
        crop: sidecar.crop,
        filter: sidecar.filter,
        limit: sidecar.limit,
        skip_bad: sidecar.skip_bad,
        cache_dir: Some(arguments.cache.clone()),
        progress: Some(datasway_cli::decoding_progress),
    };
    images::load(source, &options, SizeSetting::Model)
}

/// The run at step 0, or where its state left it.
fn begin(
    arguments: &TrainArgs,
    config: &FineTuneConfig,
    base: FineTuneBase<PretrainedNetwork>,
    sidecar: &Sidecar,
    folder: &OutputFolder,
) -> Result<FineTuner<PretrainedNetwork>> {
    let device = device(&arguments.device)?;
    let data = FineTuneData {
        name: sidecar.data.clone().unwrap_or_default(),
        limit: sidecar.limit,
        skip_bad: sidecar.skip_bad,
        crop: sidecar.crop,
        filter: sidecar.filter,
        fingerprint: sidecar.data_fingerprint.clone().unwrap_or_default(),
    };
    let config = config.clone();
    if arguments.resume {
        let path = arguments.out.join(STATE);
        let state = FineTuneState::load(&path, &weights::shapes(&base.network))?;
        let tuner = FineTuner::resume(config, data, base, state, &device)?;
        folder.go_on()?;
        return Ok(tuner);
    }
    let record = record(arguments, &config, sidecar)?;
    let tuner = FineTuner::new(config, data, base, &device)?;
    folder.start_over()?;
    datasway_fs::write(&arguments.out.join("run.toml"), record.as_bytes())?;
    Ok(tuner)
}

/// The text of `run.toml`: version, model, data, device and configuration. It can be used for `--config`.
fn record(arguments: &TrainArgs, config: &FineTuneConfig, sidecar: &Sidecar) -> Result<String> {
    let training = sidecar.training.as_ref();
    let named = [
        ("datasway", Some(env!("CARGO_PKG_VERSION"))),
        ("from", training.and_then(|t| t.base.as_deref())),
        (
            "from_fingerprint",
            training.and_then(|t| t.base_fingerprint.as_deref()),
        ),
        ("data", sidecar.data.as_deref()),
        ("fingerprint", sidecar.data_fingerprint.as_deref()),
        ("device", Some(arguments.device.as_str())),
    ];
    let mut text = String::new();
    for (name, value) in named {
        let value = toml::Value::from(value.unwrap_or_default());
        text += &format!("{name} = {value}\n");
    }
    let config = [("config".to_owned(), toml::Value::try_from(config)?)];
    Ok(text + "\n" + &toml::to_string(&toml::Table::from_iter(config))?)
}

/// A model in training that draws sample grids at intervals.
struct FineTuneRun<'a> {
    arguments: &'a TrainArgs,
    config: &'a FineTuneConfig,
    batches: Batches<'a>,
    tuner: FineTuner<PretrainedNetwork>,
    shape: [usize; 3],
    state: &'a Path,
}

impl FineTuneRun<'_> {
    fn sample_grid(&self, path: &Path) -> Result<()> {
        let (parameterization, pixels) = (self.tuner.parameterization(), self.tuner.pixels());
        let network = self.tuner.average().clone();
        let model = network.denoiser(self.shape, parameterization, pixels);
        let [lowest, highest] = self.tuner.sigma_range();
        let lowest = schedule::SIGMA_MIN.max(lowest);
        let highest = schedule::SIGMA_MAX.min(highest);
        let sigmas = schedule::karras(STEPS, lowest, highest, schedule::RHO);
        let (seed, device) = (self.config.seed, self.tuner.device());
        sample_grid(&model, self.shape, &sigmas, seed, device, path)
    }
}

impl TrainingRun for FineTuneRun<'_> {
    type Error = anyhow::Error;

    fn step(&self) -> u64 {
        self.tuner.step()
    }

    fn advance(&mut self) -> Result<f32> {
        let (step, draws) = (self.tuner.step(), self.config.draws());
        let clean = self.batches.at(draws, step, self.tuner.device());
        let loss = self.tuner.advance(clean)?;
        let (step, every) = (step + 1, self.arguments.sample_every);
        if every > 0 && step.is_multiple_of(every) {
            let name = format!("samples-{step:06}.png");
            self.sample_grid(&self.arguments.out.join(name))?;
        }
        Ok(loss)
    }

    fn save(&mut self) -> Result<()> {
        Ok(self.tuner.state()?.save(self.state)?)
    }
}
