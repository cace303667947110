//! A model of another library that is trained further, and the folder that it is written to.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use datasway_diffusion::parameterization::Parameterization;
use datasway_diffusion::pixels::PixelRange;
use datasway_diffusion::training_noise::TrainingNoise;
use serde_json::Value;

use crate::PretrainedError;
use crate::diffusers::folder::{
    CONFIG, DiffusersFolder, PIPELINE, SCHEDULER_CONFIG, scheduler_folder,
};
use crate::edm;
use crate::loaded::{self, Loaded};
use crate::network::{NetworkPlan, PretrainedNetwork};
use crate::options::PretrainedOptions;
use crate::pretrained::fingerprint;
use crate::rearrangement::Rearrangement;
use crate::weights;
use crate::write::{copy, make, put_json};

/// A model of another library, to be trained further.
///
/// Noise levels are in pixels of [-1, 1]; network and parameterisation are of the model's own pixels.
pub struct TrainableModel {
    /// The network.
    pub network: PretrainedNetwork,
    /// From the output of the network to the denoiser.
    pub parameterization: Arc<dyn Parameterization>,
    /// Channels, height and width of a picture.
    pub shape: [usize; 3],
    /// Lowest and highest noise level that it was trained on.
    pub sigma_range: [f64; 2],
    /// The distribution of noise levels in its own training.
    pub noise: TrainingNoise,
    /// The range of its pixels.
    pub pixels: PixelRange,
    /// Number of classes; 0 of a model without.
    pub classes: usize,
    /// Library, class and prediction in a few words.
    pub description: String,
    /// Sentences about settings of the files that have no effect here.
    pub notes: Vec<String>,
    /// SHA-256 of configuration and weights, in hexadecimal.
    pub fingerprint: String,
    /// Writes the trained model.
    pub writer: ModelWriter,
}

/// Writes folders with other weights in the layout that a model came in.
pub struct ModelWriter {
    files: ModelFiles,
    weights: Rearrangement,
}

/// The files of a model beside its weights.
enum ModelFiles {
    Diffusers {
        /// Name of the network's folder in a pipeline.
        network: &'static str,
        config: PathBuf,
        scheduler: Value,
        pipeline: Option<PathBuf>,
    },
    Edm {
        config: PathBuf,
    },
}

impl TrainableModel {
    /// Loads the model of a folder.
    ///
    /// # Errors
    /// As [`Pretrained::load`](crate::Pretrained::load). Guidance, which is no minimum of a loss, and models whose class is part of
    /// sums of weights are refused.
    pub fn load(path: &Path, options: &PretrainedOptions) -> Result<Self, PretrainedError> {
        let refused = |message: String| PretrainedError::Unsupported {
            path: path.to_owned(),
            message,
        };
        if options.guidance.is_some() {
            return Err(refused(
                "guidance is no minimum of a training loss: fine-tune without it".to_owned(),
            ));
        }
        let model = Loaded::load(path, options)?;
        let tensors = weights::read(&model.weights)?;
        let rearranged = Rearrangement::new(&model.plan, tensors, options.class, &model.network);
        let writer = ModelWriter {
            files: files(path, &model, options)?,
            weights: rearranged.map_err(refused)?,
        };
        Ok(Self {
            sigma_range: model.centred_range(),
            noise: model.centred_noise(),
            network: model.network,
            parameterization: model.parameterization,
            shape: model.shape,
            pixels: model.pixels,
            classes: model.classes,
            description: model.description,
            notes: model.notes,
            fingerprint: fingerprint(path, options, model.pixels)?,
            writer,
        })
    }
}

fn files(
    path: &Path,
    model: &Loaded,
    options: &PretrainedOptions,
) -> Result<ModelFiles, PretrainedError> {
    let network = match &model.plan {
        NetworkPlan::UNet(_) => "unet",
        NetworkPlan::DiT(_) => "transformer",
        NetworkPlan::Edm(_) => {
            return Ok(ModelFiles::Edm {
                config: path.join(edm::CONFIG_FILE),
            });
        }
    };
    let folder = DiffusersFolder::find(path)?;
    let scheduler = loaded::scheduler_json(&folder, options)?;
    let pipeline = folder.pipeline_file.filter(|file| file.is_file());
    Ok(ModelFiles::Diffusers {
        network,
        config: folder.config_file,
        scheduler,
        pipeline,
    })
}

impl ModelWriter {
    /// Writes a folder with the weights of `network`: of diffusers as a pipeline, of NVlabs/edm as `scripts/edm_to_safetensors.py`
    /// writes it. Weights are in single precision.
    ///
    /// # Errors
    /// If a file cannot be read or written.
    pub fn write(&self, network: &PretrainedNetwork, folder: &Path) -> Result<(), PretrainedError> {
        let tensors = self.weights.tensors(network);
        let tensors = tensors.map_err(|message| PretrainedError::Weights {
            path: folder.to_owned(),
            message,
        })?;
        match &self.files {
            ModelFiles::Diffusers {
                network,
                config,
                scheduler,
                pipeline,
            } => {
                let inner = folder.join(network);
                make(&inner)?;
                weights::write(&inner.join(weights::NAMES[0]), &tensors)?;
                copy(config, &inner.join(CONFIG))?;
                let scheduler_folder = scheduler_folder(folder);
                make(&scheduler_folder)?;
                put_json(&scheduler_folder.join(SCHEDULER_CONFIG), scheduler)?;
                if let Some(pipeline) = pipeline {
                    copy(pipeline, &folder.join(PIPELINE))?;
                }
                Ok(())
            }
            ModelFiles::Edm { config } => {
                make(folder)?;
                weights::write(&folder.join(edm::WEIGHTS_FILE), &tensors)?;
                copy(config, &folder.join(edm::CONFIG_FILE))
            }
        }
    }

    /// True if the folder is one of diffusers.
    pub fn is_diffusers(&self) -> bool {
        matches!(self.files, ModelFiles::Diffusers { .. })
    }
}
