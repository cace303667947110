//! A network of a folder with everything that makes it a denoiser.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use datasway_diffusion::learned_denoiser::LearnedDenoiser;
use datasway_diffusion::loss::NoiseDistribution;
use datasway_diffusion::parameterization::Parameterization;
use datasway_diffusion::pixels::PixelRange;
use datasway_diffusion::training_noise::TrainingNoise;
use datasway_fs::counted;
use serde_json::Value;

use crate::PretrainedError;
use crate::diffusers::dit::DiTConfig;
use crate::diffusers::folder::{DiffusersFolder, SCHEDULER_CONFIG, read_json};
use crate::diffusers::scheduler::SchedulerConfig;
use crate::diffusers::unet::{ClassEmbedding, TimeEmbeddingType, UNet2DConfig};
use crate::edm::{self, EdmModel};
use crate::network::{NetworkPlan, PretrainedNetwork};
use crate::options::PretrainedOptions;
use crate::state_dict::StateDict;
use crate::weights;

/// The pipeline of diffusers whose pictures have pixels of [0, 1].
const WITH_UNIT_PIXELS: &str = "ScoreSdeVePipeline";

/// A network with everything that makes it a denoiser. Noise levels are in its own pixels.
pub struct Loaded {
    pub plan: NetworkPlan,
    /// The file of weights, or the index of several.
    pub weights: PathBuf,
    pub network: PretrainedNetwork,
    pub parameterization: Arc<dyn Parameterization>,
    pub shape: [usize; 3],
    pub sigma_range: [f64; 2],
    pub noise: TrainingNoise,
    /// The magnitude to which the sampler of the library clamps every denoised image, in the model's own pixels.
    pub clip: Option<f64>,
    pub pixels: PixelRange,
    pub classes: usize,
    pub has_null_label: bool,
    pub description: String,
    pub notes: Vec<String>,
}

/// Checks that a path is that of a folder with files, or of a pickle, which has an error of its own.
fn check_place(path: &Path) -> Result<(), PretrainedError> {
    const REMEDY: &str = "name the folder of a model of diffusers or EDM";
    let failed = |problem: String| {
        Err(PretrainedError::File {
            path: path.to_owned(),
            message: format!("{problem}: {REMEDY}"),
        })
    };
    let metadata = match std::fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return failed("there is no such folder".to_owned());
        }
        Err(error) => return failed(format!("cannot be read ({error})")),
    };
    if !metadata.is_dir() {
        return if edm::is_pickle(path) {
            Ok(())
        } else {
            failed("is a file".to_owned())
        };
    }
    match std::fs::read_dir(path).map(|mut entries| entries.next().is_none()) {
        Ok(true) => failed("is an empty folder".to_owned()),
        Ok(false) => Ok(()),
        Err(error) => failed(format!("cannot be read ({error})")),
    }
}

/// An error about the configuration of a network.
fn unsupported(folder: &DiffusersFolder, message: String) -> Result<Loaded, PretrainedError> {
    Err(PretrainedError::Unsupported {
        path: folder.config_file.clone(),
        message,
    })
}

impl Loaded {
    /// The model of a folder.
    pub fn load(path: &Path, options: &PretrainedOptions) -> Result<Self, PretrainedError> {
        let mut model = Self::read(path, options)?;
        if options.class.is_none() && model.classes > 0 && model.has_null_label {
            model.notes.push(format!(
                "no class is chosen: the null label stands for all of its {}",
                counted(model.classes, "class", "classes")
            ));
        }
        Ok(model)
    }

    fn read(path: &Path, options: &PretrainedOptions) -> Result<Self, PretrainedError> {
        check_place(path)?;
        if edm::is_edm(path) || edm::is_pickle(path) {
            return Self::edm(path, options);
        }
        let folder = DiffusersFolder::find(path)?;
        match folder.class_name()? {
            "UNet2DModel" => Self::unet(&folder, options),
            "DiTTransformer2DModel" | "Transformer2DModel" => Self::dit(&folder, options),
            "UNet2DConditionModel" => unsupported(
                &folder,
                "is of the class UNet2DConditionModel, whose picture is made from text or another embedding: only models of pictures \
                 alone, with or without classes, are supported"
                    .to_owned(),
            ),
            other => unsupported(
                &folder,
                format!(
                    "is of the class {other}, which is not supported: UNet2DModel and DiTTransformer2DModel are"
                ),
            ),
        }
    }

    /// The denoiser of points with pixels of [-1, 1].
    pub fn denoiser(self) -> Box<dyn LearnedDenoiser> {
        (self.network).denoiser(self.shape, self.parameterization, self.pixels)
    }

    /// Lowest and highest noise level, in pixels of [-1, 1].
    pub fn centred_range(&self) -> [f64; 2] {
        self.sigma_range.map(|sigma| sigma / self.pixels.scale())
    }

    /// The distribution of noise levels, in pixels of [-1, 1].
    pub fn centred_noise(&self) -> TrainingNoise {
        self.noise.clone().scaled(1.0 / self.pixels.scale())
    }

    fn edm(path: &Path, options: &PretrainedOptions) -> Result<Self, PretrainedError> {
        let model = EdmModel::load(path, options.class, &options.device, options.dtype)?;
        let [lowest, highest] = model.sigmas;
        Ok(Self {
            plan: NetworkPlan::Edm(model.plan),
            weights: path.join(edm::WEIGHTS_FILE),
            network: PretrainedNetwork::Edm(model.network),
            parameterization: Arc::new(model.parameterization),
            shape: model.shape,
            // EDM's own wrapper sets no limits; these are the levels that it samples.
            sigma_range: [lowest.max(2e-3), highest.min(80.0)],
            noise: TrainingNoise::LogNormal(NoiseDistribution::EDM),
            clip: None,
            pixels: options.pixels.unwrap_or_default(),
            classes: model.classes,
            has_null_label: model.null_label,
            description: "network of NVlabs/edm".to_owned(),
            notes: Vec::new(),
        })
    }

    fn unet(
        folder: &DiffusersFolder,
        options: &PretrainedOptions,
    ) -> Result<Self, PretrainedError> {
        let config_file = &folder.config_file;
        let config = UNet2DConfig::parse(&folder.config).map_err(in_file(config_file))?;
        let scheduler = scheduler(folder, options)?;
        let is_score = config.time_embedding_type == TimeEmbeddingType::Fourier;
        if is_score != scheduler.is_score() {
            return Err(in_file(config_file)(
                "a time embedding of the type fourier is that of a score network, which goes with a ScoreSdeVeScheduler and with no \
                 other: correct the scheduler"
                    .to_owned(),
            ));
        }
        let [height, width] = config.sample_size.ok_or_else(|| {
            let message =
                "the field sample_size is null: write the height and width of the pictures there";
            in_file(config_file)(message.to_owned())
        })?;
        config
            .check_size([height, width])
            .map_err(in_file(config_file))?;
        let mut notes = scheduler.notes().to_vec();
        let pixels = pixels(folder, options, &config, is_score, &mut notes)?;
        let shape = [config.in_channels, height, width];
        let classes = match config.classes {
            Some(ClassEmbedding::Table(classes)) => classes,
            // Any number is a class.
            Some(ClassEmbedding::Timestep) | None => 0,
        };
        let whole_steps = config.time_embedding_type == TimeEmbeddingType::Learned;
        let plan = NetworkPlan::UNet(config);
        Ok(Self {
            network: network(&plan, folder, options)?,
            plan,
            weights: folder.weights.clone(),
            parameterization: parameterization(folder, &scheduler, whole_steps)?,
            shape,
            sigma_range: scheduler.sigma_range(),
            noise: scheduler.training_noise(),
            clip: scheduler.clip(),
            pixels,
            classes,
            has_null_label: false,
            description: format!("UNet2DModel of diffusers, {}", scheduler.prediction()),
            notes,
        })
    }

    fn dit(folder: &DiffusersFolder, options: &PretrainedOptions) -> Result<Self, PretrainedError> {
        let config = DiTConfig::parse(&folder.config).map_err(in_file(&folder.config_file))?;
        let scheduler = scheduler(folder, options)?;
        let (shape, classes) = (config.shape(), config.classes);
        let plan = NetworkPlan::DiT(config);
        Ok(Self {
            network: network(&plan, folder, options)?,
            plan,
            weights: folder.weights.clone(),
            parameterization: parameterization(folder, &scheduler, false)?,
            shape,
            sigma_range: scheduler.sigma_range(),
            noise: scheduler.training_noise(),
            clip: scheduler.clip(),
            pixels: options.pixels.unwrap_or_default(),
            classes,
            has_null_label: true,
            description: format!(
                "DiTTransformer2DModel of diffusers, {}",
                scheduler.prediction()
            ),
            notes: scheduler.notes().to_vec(),
        })
    }
}

/// The network with the tensors of the folder.
fn network(
    plan: &NetworkPlan,
    folder: &DiffusersFolder,
    options: &PretrainedOptions,
) -> Result<PretrainedNetwork, PretrainedError> {
    let tensors = weights::read(&folder.weights)?;
    let state = StateDict::new(tensors, &options.device, options.dtype);
    let in_weights = |message| PretrainedError::Weights {
        path: folder.weights.clone(),
        message,
    };
    let numbers = plan.numbers().unwrap_or(0);
    state.check_numbers(numbers).map_err(in_weights)?;
    let network = plan.load(&state, options.class);
    let network = network.map_err(in_file(&folder.config_file))?;
    state.finish().map_err(in_weights)?;
    Ok(network)
}

/// The range of pixels: the given one, or that of the pipeline's pictures. Without a pipeline, a score network and one that centres its
/// input have pixels of [0, 1].
fn pixels(
    folder: &DiffusersFolder,
    options: &PretrainedOptions,
    config: &UNet2DConfig,
    is_score: bool,
    notes: &mut Vec<String>,
) -> Result<PixelRange, PretrainedError> {
    if let Some(pixels) = options.pixels {
        return Ok(pixels);
    }
    let unit_pixels = match folder.pipeline_class()? {
        Some(class) => {
            let unit_pixels = class == WITH_UNIT_PIXELS;
            if config.center_input_sample && !unit_pixels {
                notes.push(format!(
                    "center_input_sample: the network centres pixels of [0, 1], and the pictures of a {class} have pixels of [-1, 1], \
                     which is assumed: write pixels = \"[0, 1]\" into datasway.toml if it was trained on those"
                ));
            }
            unit_pixels
        }
        None => is_score || config.center_input_sample,
    };
    Ok(if unit_pixels {
        PixelRange::ZeroToOne
    } else {
        PixelRange::MinusOneToOne
    })
}

/// The configuration of the scheduler that the options give, or that of the folder.
pub fn scheduler_json(
    folder: &DiffusersFolder,
    options: &PretrainedOptions,
) -> Result<Value, PretrainedError> {
    if let Some(config) = &options.scheduler {
        return Ok(config.clone());
    }
    let Some(file) = &folder.scheduler_file else {
        return Err(PretrainedError::File {
            path: folder.config_file.clone(),
            message: format!(
                "has no {SCHEDULER_CONFIG} beside it, in ../scheduler or in ../../scheduler, so the noise levels and the prediction of \
                 the model are unknown: put the one there that it was trained with"
            ),
        });
    };
    read_json(file)
}

fn scheduler(
    folder: &DiffusersFolder,
    options: &PretrainedOptions,
) -> Result<SchedulerConfig, PretrainedError> {
    let config = scheduler_json(folder, options)?;
    let from_file = options.scheduler.is_none();
    let file = folder.scheduler_file.as_ref().filter(|_| from_file);
    SchedulerConfig::parse(&config).map_err(in_file(file.unwrap_or(&folder.config_file)))
}

fn parameterization(
    folder: &DiffusersFolder,
    scheduler: &SchedulerConfig,
    whole_steps: bool,
) -> Result<Arc<dyn Parameterization>, PretrainedError> {
    let file = folder.scheduler_file.as_ref();
    let file = file.unwrap_or(&folder.config_file);
    let parameterization = scheduler.parameterization(whole_steps);
    Ok(parameterization.map_err(in_file(file))?.into())
}

fn in_file(path: &Path) -> impl FnOnce(String) -> PretrainedError {
    let path = path.to_owned();
    |message| PretrainedError::File { path, message }
}
