//! A model of another library, loaded.

use std::path::{Path, PathBuf};

use burn::tensor::{DType, Device, Tensor};
use datasway_diffusion::guidance::Guided;
use datasway_diffusion::learned_denoiser::LearnedDenoiser;
use datasway_diffusion::loss::NoiseDistribution;
use datasway_diffusion::network::NetworkDenoiser;
use datasway_diffusion::parameterization::Parameterization;
use datasway_diffusion::score_model::ScoreModel;
use datasway_diffusion::training_noise::TrainingNoise;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::PretrainedError;
use crate::diffusers::dit::{DiT, DiTConfig};
use crate::diffusers::folder::{DiffusersFolder, SCHEDULER_CONFIG, read_json};
use crate::diffusers::scheduler::SchedulerConfig;
use crate::diffusers::unet::{ClassEmbedding, DiffusersUNet, TimeEmbeddingType, UNet2DConfig};
use crate::edm::{self, EdmModel};
use crate::state_dict::StateDict;
use crate::weights;

/// Options of loading a model.
#[derive(Debug, Clone)]
pub struct PretrainedOptions {
    /// The class of a model with classes; the null label without one.
    pub class: Option<usize>,
    /// The weight of classifier-free guidance; none without guidance.
    pub guidance: Option<f64>,
    /// The configuration of the scheduler, in the place of the one beside the model.
    pub scheduler: Option<Value>,
    /// The device.
    pub device: Device,
    /// The precision of all numbers.
    pub dtype: DType,
}

impl Default for PretrainedOptions {
    fn default() -> Self {
        Self {
            class: None,
            guidance: None,
            scheduler: None,
            device: Device::flex(),
            dtype: DType::F32,
        }
    }
}

/// A model of another library.
pub struct Pretrained {
    /// The denoiser.
    pub score_model: ScoreModel,
    /// Channels, height and width of a picture.
    pub shape: [usize; 3],
    /// Lowest and highest noise level that it was trained on.
    pub sigma_range: [f64; 2],
    /// The distribution of noise levels in training.
    pub noise: TrainingNoise,
    /// The magnitude to which the sampler of the library clamps every denoised image; none if it does not clamp.
    pub clip: Option<f64>,
    /// Number of classes; 0 of a model without.
    pub classes: usize,
    /// Library, class and prediction in a few words.
    pub description: String,
    /// Sentences about settings of the files that have no effect here.
    pub notes: Vec<String>,
    /// SHA-256 of configuration and weights, in hexadecimal.
    pub fingerprint: String,
}

/// A network as a denoiser, before guidance.
struct Loaded {
    denoiser: Box<dyn LearnedDenoiser>,
    shape: [usize; 3],
    sigma_range: [f64; 2],
    noise: TrainingNoise,
    clip: Option<f64>,
    classes: usize,
    has_null_label: bool,
    description: String,
    notes: Vec<String>,
}

/// True if a path may be a model of another library: a folder, or a pickle of EDM, which is refused with what to do.
pub fn is_pretrained(path: &Path) -> bool {
    path.is_dir() || is_pickle(path)
}

fn is_pickle(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "pkl")
}

impl Pretrained {
    /// Loads the model of a folder: of diffusers, or as `scripts/edm_to_safetensors.py` writes it.
    ///
    /// # Errors
    /// If a file is missing or damaged, a setting is not known or not supported, a tensor is missing, left over or misshapen, or class
    /// and guidance do not fit the model. The message names the file and the setting.
    pub fn load(path: &Path, options: &PretrainedOptions) -> Result<Self, PretrainedError> {
        let model = Loaded::load(path, options)?;
        let Some(weight) = options.guidance else {
            return model.pretrained(path, None);
        };
        if options.class.is_none() || !model.has_null_label {
            return Err(PretrainedError::Unsupported {
                path: path.to_owned(),
                message: "guidance needs a class, and a model that was trained with a null label beside its classes".to_owned(),
            });
        }
        let unconditional = PretrainedOptions {
            class: None,
            ..options.clone()
        };
        let unconditional = Loaded::load(path, &unconditional)?.denoiser;
        model.pretrained(path, Some((unconditional, weight)))
    }
}

impl Loaded {
    fn load(path: &Path, options: &PretrainedOptions) -> Result<Self, PretrainedError> {
        if edm::is_edm(path) || is_pickle(path) {
            return Self::edm(path, options);
        }
        let folder = DiffusersFolder::find(path)?;
        match folder.class_name()? {
            "UNet2DModel" => Self::unet(&folder, options),
            "DiTTransformer2DModel" | "Transformer2DModel" => Self::dit(&folder, options),
            other => Err(PretrainedError::Unsupported {
                path: folder.config_file.clone(),
                message: format!(
                    "is a {other}, which is not supported: UNet2DModel and DiTTransformer2DModel are"
                ),
            }),
        }
    }

    fn edm(path: &Path, options: &PretrainedOptions) -> Result<Self, PretrainedError> {
        let model = EdmModel::load(path, options.class, &options.device, options.dtype)?;
        let [lowest, highest] = model.sigmas;
        Ok(Self {
            denoiser: Box::new(model.denoiser),
            shape: model.shape,
            // EDM's own wrapper sets no limits; these are the levels that it samples.
            sigma_range: [lowest.max(2e-3), highest.min(80.0)],
            noise: TrainingNoise::LogNormal(NoiseDistribution::EDM),
            clip: None,
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
        let (config_file, weights_file) = (&folder.config_file, &folder.weights);
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
        let state = state(weights_file, options)?;
        let numbers = config.numbers();
        state
            .check_numbers(numbers)
            .map_err(in_weights(weights_file))?;
        let network = DiffusersUNet::load(&config, &state, options.class);
        let network = network.map_err(in_file(config_file))?;
        state.finish().map_err(in_weights(weights_file))?;
        let channels = config.in_channels;
        let d = channels * height * width;
        let forward = move |network: &DiffusersUNet, x: Tensor<2>, time: Tensor<1>| {
            let n = x.dims()[0];
            let images = x.reshape([n, channels, height, width]);
            network.forward(images, time).reshape([n, d])
        };
        let whole_steps = config.time_embedding_type == TimeEmbeddingType::Learned;
        let parameterization = parameterization(folder, &scheduler, whole_steps)?;
        Ok(Self {
            denoiser: Box::new(NetworkDenoiser::flat(network, d, parameterization, forward)),
            shape: [channels, height, width],
            sigma_range: scheduler.sigma_range(),
            noise: scheduler.training_noise(),
            clip: scheduler.clip(),
            classes: match config.classes {
                Some(ClassEmbedding::Table(classes)) => classes,
                // Any number is a class.
                Some(ClassEmbedding::Timestep) | None => 0,
            },
            has_null_label: false,
            description: format!("UNet2DModel of diffusers, {}", scheduler.prediction()),
            notes: scheduler.notes().to_vec(),
        })
    }

    fn dit(folder: &DiffusersFolder, options: &PretrainedOptions) -> Result<Self, PretrainedError> {
        let (config_file, weights_file) = (&folder.config_file, &folder.weights);
        let config = DiTConfig::parse(&folder.config).map_err(in_file(config_file))?;
        let scheduler = scheduler(folder, options)?;
        let state = state(weights_file, options)?;
        let numbers = config.numbers();
        state
            .check_numbers(numbers)
            .map_err(in_weights(weights_file))?;
        let network = DiT::load(&config, &state, options.class).map_err(in_file(config_file))?;
        state.finish().map_err(in_weights(weights_file))?;
        let shape = config.shape();
        let d = shape.iter().product();
        let parameterization = parameterization(folder, &scheduler, false)?;
        Ok(Self {
            denoiser: Box::new(NetworkDenoiser::flat(
                network,
                d,
                parameterization,
                DiT::forward,
            )),
            shape,
            sigma_range: scheduler.sigma_range(),
            noise: scheduler.training_noise(),
            clip: scheduler.clip(),
            classes: config.classes,
            has_null_label: true,
            description: format!(
                "DiTTransformer2DModel of diffusers, {}",
                scheduler.prediction()
            ),
            notes: scheduler.notes().to_vec(),
        })
    }

    fn pretrained(
        self,
        path: &Path,
        guidance: Option<(Box<dyn LearnedDenoiser>, f64)>,
    ) -> Result<Pretrained, PretrainedError> {
        let score_model = match guidance {
            None => ScoreModel::Learned(self.denoiser),
            Some((unconditional, weight)) => {
                let guided = Guided::new(self.denoiser, unconditional, weight)?;
                ScoreModel::Combined(Box::new(guided))
            }
        };
        Ok(Pretrained {
            score_model,
            shape: self.shape,
            sigma_range: self.sigma_range,
            noise: self.noise,
            clip: self.clip,
            classes: self.classes,
            description: self.description,
            notes: self.notes,
            fingerprint: fingerprint(path)?,
        })
    }
}

/// The scheduler that the options give, or that of the folder.
fn scheduler(
    folder: &DiffusersFolder,
    options: &PretrainedOptions,
) -> Result<SchedulerConfig, PretrainedError> {
    if let Some(config) = &options.scheduler {
        return SchedulerConfig::parse(config).map_err(in_file(&folder.config_file));
    }
    let Some(file) = &folder.scheduler_file else {
        return Err(PretrainedError::File {
            path: folder.config_file.clone(),
            message: format!(
                "has no {SCHEDULER_CONFIG} beside it or in ../scheduler, so the noise levels and the prediction of the model are \
                 unknown: write the one that it was trained with"
            ),
        });
    };
    SchedulerConfig::parse(&read_json(file)?).map_err(in_file(file))
}

fn parameterization(
    folder: &DiffusersFolder,
    scheduler: &SchedulerConfig,
    whole_steps: bool,
) -> Result<Box<dyn Parameterization>, PretrainedError> {
    let file = folder.scheduler_file.as_ref();
    let file = file.unwrap_or(&folder.config_file);
    scheduler
        .parameterization(whole_steps)
        .map_err(in_file(file))
}

/// The tensors of a file, to be taken by a network.
fn state(file: &Path, options: &PretrainedOptions) -> Result<StateDict, PretrainedError> {
    let tensors = weights::read(file)?;
    Ok(StateDict::new(tensors, &options.device, options.dtype))
}

fn in_file(path: &Path) -> impl FnOnce(String) -> PretrainedError {
    let path = path.to_owned();
    |message| PretrainedError::File { path, message }
}

fn in_weights(path: &Path) -> impl FnOnce(String) -> PretrainedError {
    let path = path.to_owned();
    |message| PretrainedError::Weights { path, message }
}

/// SHA-256 of the files of a model, with their names relative to its folder, in hexadecimal.
fn fingerprint(path: &Path) -> Result<String, PretrainedError> {
    let files = model_files(path)?;
    let mut hash = Sha256::new();
    for file in files {
        let failed = |error: std::io::Error| PretrainedError::File {
            path: file.clone(),
            message: format!("cannot be read ({error})"),
        };
        let name = file.strip_prefix(path).unwrap_or(&file);
        hash.update(name.to_string_lossy().as_bytes());
        let mut reader = std::fs::File::open(&file).map_err(failed)?;
        std::io::copy(&mut reader, &mut hash).map_err(failed)?;
    }
    let digest = hash.finalize();
    Ok(digest.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The files that decide the model, in order of their names.
fn model_files(path: &Path) -> Result<Vec<PathBuf>, PretrainedError> {
    if edm::is_edm(path) {
        let names = [edm::CONFIG_FILE, edm::WEIGHTS_FILE];
        return Ok(names.iter().map(|name| path.join(name)).collect());
    }
    let folder = DiffusersFolder::find(path)?;
    let mut files = vec![folder.config_file.clone()];
    files.extend(weights::files(&folder.weights)?);
    files.extend(folder.scheduler_file);
    files.sort();
    Ok(files)
}
