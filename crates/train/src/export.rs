//! The folder of `--export-diffusers`.

use std::path::Path;

use anyhow::{Result, anyhow, ensure};
use datasway_diffusion::checkpoint::Checkpoint;
use datasway_diffusion::config::UNetConfig;
use datasway_diffusion::pixels::PixelRange;
use datasway_fs::output::{Kind, OutputFolder};
use datasway_pretrained::{Pretrained, PretrainedOptions, export};
use datasway_training::config::TrainConfig;
use datasway_training::fine_tune::NoiseLevels;
use datasway_training::sidecar::{OwnTraining, Sidecar};

use crate::command::TrainArgs;

/// The files of an exported model.
static FOLDER: Kind = Kind {
    name: "exported model",
    files: &[
        "unet/",
        "transformer/",
        "scheduler/",
        "model_index.json",
        "datasway.toml",
    ],
    marks: &[],
};

/// The folder that a model is exported to at the end, if one is asked for. `of_diffusers` is true if the model has a layout there.
pub fn folder(arguments: &TrainArgs, of_diffusers: bool) -> Result<Option<OutputFolder>> {
    let Some(path) = &arguments.export_diffusers else {
        return Ok(None);
    };
    ensure!(
        of_diffusers,
        "--export-diffusers {}: diffusers has no class for a network of NVlabs/edm: leave it out, because --out has the layout of \
         scripts/edm_to_safetensors.py",
        path.display()
    );
    Ok(Some(datasway_cli::output_folder(path, &FOLDER)?))
}

/// The folder that a network of Datasway is exported to at the end, if one is asked for and the network has a form in diffusers.
pub fn folder_for_network(
    arguments: &TrainArgs,
    network: &UNetConfig,
) -> Result<Option<OutputFolder>> {
    if let Some(path) = &arguments.export_diffusers {
        export::check(network).map_err(|error| {
            anyhow!(
                "--export-diffusers {}: {error}, which --set takes",
                path.display()
            )
        })?;
    }
    folder(arguments, true)
}

/// Says where the exported model is.
pub fn tell(folder: &Option<OutputFolder>) {
    let written = folder.as_ref().map(OutputFolder::path);
    datasway_cli::tell_if(
        written.map(|path| format!("the model for diffusers is the folder {}", path.display())),
    );
}

/// Writes the averaged weights of a finished run with its sidecar.
pub fn write(checkpoint: &Checkpoint, config: &TrainConfig, folder: &OutputFolder) -> Result<()> {
    folder.start_over()?;
    export::write(checkpoint, folder.path())?;
    let header = &checkpoint.header;
    let sidecar = Sidecar {
        data: Some(header.data.clone()),
        limit: header.limit,
        skip_bad: header.skip_bad,
        flip: config.flip,
        pixels: Some(PixelRange::MinusOneToOne),
        data_fingerprint: Some(header.fingerprint.clone()),
        training: Some(OwnTraining {
            base: None,
            base_fingerprint: None,
            steps: header.step,
            seed: header.seed,
            noise: NoiseLevels::LogNormal(config.noise),
        }),
        ..Sidecar::default()
    };
    write_sidecar(&sidecar, folder.path())
}

/// Reads a model that has been written, and writes its sidecar.
pub fn write_sidecar(sidecar: &Sidecar, folder: &Path) -> Result<()> {
    let options = PretrainedOptions {
        class: sidecar.class,
        pixels: sidecar.pixels,
        ..PretrainedOptions::default()
    };
    let model = Pretrained::load(folder, &options)?;
    let sidecar = Sidecar {
        // It is a file of the folder now.
        scheduler: None,
        model_fingerprint: Some(model.fingerprint),
        ..sidecar.clone()
    };
    Ok(sidecar.write(folder)?)
}
