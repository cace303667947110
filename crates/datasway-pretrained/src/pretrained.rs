//! A model of another library, loaded.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use datasway_diffusion::guidance::Guided;
use datasway_diffusion::pixels::PixelRange;
use datasway_diffusion::score_model::ScoreModel;
use datasway_diffusion::training_noise::TrainingNoise;
use sha2::{Digest, Sha256};

use crate::PretrainedError;
use crate::diffusers::folder::DiffusersFolder;
use crate::edm;
use crate::loaded::Loaded;
use crate::options::PretrainedOptions;
use crate::weights;

/// A model of another library.
pub struct Pretrained {
    /// The denoiser.
    pub score_model: ScoreModel,
    /// Channels, height and width of a picture.
    pub shape: [usize; 3],
    /// Lowest and highest noise level that it was trained on, in pixels of [-1, 1].
    pub sigma_range: [f64; 2],
    /// The distribution of noise levels in training, in pixels of [-1, 1].
    pub noise: TrainingNoise,
    /// The magnitude to which the sampler of the library clamps every denoised image, in pixels of [-1, 1]; none if it does not
    /// clamp, or the pixels are of [0, 1].
    pub clip: Option<f64>,
    /// The range of its own pixels. The denoiser takes and gives pixels of [-1, 1] whatever it is.
    pub pixels: PixelRange,
    /// Number of classes; 0 of a model without.
    pub classes: usize,
    /// Library, class and prediction in a few words.
    pub description: String,
    /// Sentences about settings of the files that have no effect here.
    pub notes: Vec<String>,
    /// SHA-256 of configuration and weights, in hexadecimal.
    pub fingerprint: String,
}

/// True if a path may be a model of another library: a folder, or a pickle of EDM, which is refused with what to do.
pub fn is_pretrained(path: &Path) -> bool {
    path.is_dir() || edm::is_pickle(path)
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
            return Self::new(path, options, model, None);
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
        let unconditional = Loaded::load(path, &unconditional)?;
        Self::new(path, options, model, Some((unconditional, weight)))
    }

    /// A loaded model, with guidance by a second one and its weight.
    fn new(
        path: &Path,
        options: &PretrainedOptions,
        model: Loaded,
        guidance: Option<(Loaded, f64)>,
    ) -> Result<Self, PretrainedError> {
        let (shape, classes, pixels) = (model.shape, model.classes, model.pixels);
        let (sigma_range, noise) = (model.centred_range(), model.centred_noise());
        let (description, notes) = (model.description.clone(), model.notes.clone());
        // Clamped pixels of [0, 1] are no interval around 0 of [-1, 1].
        let clip = model.clip.filter(|_| pixels == PixelRange::MinusOneToOne);
        let score_model = match guidance {
            None => ScoreModel::Learned(model.denoiser()),
            Some((unconditional, weight)) => {
                let guided = Guided::new(model.denoiser(), unconditional.denoiser(), weight)?;
                ScoreModel::Combined(Box::new(guided))
            }
        };
        Ok(Self {
            score_model,
            shape,
            sigma_range,
            noise,
            clip,
            classes,
            pixels,
            description,
            notes,
            fingerprint: fingerprint(path, options, pixels)?,
        })
    }
}

/// SHA-256 of the files of a model, with their names relative to its folder, and of the settings that are in their place, in hexadecimal.
pub(crate) fn fingerprint(
    path: &Path,
    options: &PretrainedOptions,
    pixels: PixelRange,
) -> Result<String, PretrainedError> {
    let files = model_files(path, options)?;
    let mut hash = Sha256::new();
    for (name, file) in files {
        let failed = |error: std::io::Error| PretrainedError::File {
            path: file.clone(),
            message: format!("cannot be read ({error})"),
        };
        hash.update(name.to_string_lossy().as_bytes());
        let mut reader = std::fs::File::open(&file).map_err(failed)?;
        std::io::copy(&mut reader, &mut hash).map_err(failed)?;
    }
    if let Some(scheduler) = &options.scheduler {
        // The keys of an object are in alphabetical order, whatever their order in the file is.
        hash.update(format!("scheduler {scheduler}"));
    }
    if pixels == PixelRange::ZeroToOne {
        hash.update("pixels [0, 1]");
    }
    let digest = hash.finalize();
    Ok(digest.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The files that decide the model by their names relative to its folder, in order of these.
fn model_files(
    path: &Path,
    options: &PretrainedOptions,
) -> Result<BTreeMap<PathBuf, PathBuf>, PretrainedError> {
    let by_name = |file: PathBuf| (relative(&file, path), file);
    if edm::is_edm(path) {
        let names = [edm::CONFIG_FILE, edm::WEIGHTS_FILE];
        return Ok(names.iter().map(|name| by_name(path.join(name))).collect());
    }
    let folder = DiffusersFolder::find(path)?;
    let mut files = vec![folder.config_file.clone()];
    files.extend(weights::files(&folder.weights)?);
    files.extend(
        folder
            .scheduler_file
            .filter(|_| options.scheduler.is_none()),
    );
    Ok(files.into_iter().map(by_name).collect())
}

/// The name of a file relative to a folder, with `..` for each level that it is above.
fn relative(file: &Path, folder: &Path) -> PathBuf {
    let mut up = PathBuf::new();
    for folder in folder.ancestors() {
        if let Ok(name) = file.strip_prefix(folder) {
            return up.join(name);
        }
        up.push("..");
    }
    file.to_owned()
}
