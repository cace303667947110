//! The folders of diffusers: a pipeline, a network alone, a checkpoint of a training.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::PretrainedError;
use crate::edm;
use crate::weights;

/// Largest configuration file in bytes.
pub const MAX_CONFIG_BYTES: u64 = 1 << 20;
/// Configuration of a network.
pub const CONFIG: &str = "config.json";
/// Configuration of a scheduler.
pub const SCHEDULER_CONFIG: &str = "scheduler_config.json";
/// List of the parts of a pipeline.
pub const PIPELINE: &str = "model_index.json";
/// Folders of networks in a pipeline or a checkpoint, the averaged weights first.
const NETWORKS: [&str; 3] = ["unet_ema", "unet", "transformer"];

/// Parts of the pipelines that are supported: the network, the scheduler, and names of classes. A name that begins with `_` is that
/// of no part.
const PARTS: [&str; 4] = ["unet", "transformer", "scheduler", "id2label"];

/// The files of a network and its scheduler.
#[derive(Debug, Clone, PartialEq)]
pub struct DiffusersFolder {
    /// The file of the network's configuration.
    pub config_file: PathBuf,
    /// The network's configuration.
    pub config: Value,
    /// The file of weights, or the index of several.
    pub weights: PathBuf,
    /// The file of the scheduler's configuration, if there is one.
    pub scheduler_file: Option<PathBuf>,
    /// The list of the parts of the pipeline, if there is one.
    pub pipeline_file: Option<PathBuf>,
}

impl DiffusersFolder {
    /// Finds the files of a folder: a pipeline with `model_index.json`, a checkpoint of a training with `unet_ema` or `unet`, or a
    /// network with its configuration and weights.
    ///
    /// # Errors
    /// If a file is missing or is not JSON, or the model is of a kind that is not supported: the message says which, and what
    /// would be needed.
    pub fn find(folder: &Path) -> Result<Self, PretrainedError> {
        let pipeline = folder.join(PIPELINE);
        if pipeline.is_file() {
            check_pipeline(&pipeline)?;
        }
        let network = network_folder(folder)?;
        let config_file = network.join(CONFIG);
        let scheduler_file = scheduler_file(folder, &network);
        let pipeline_file = pipeline_file(folder, scheduler_file.as_deref());
        // The network's own folder in a pipeline of another kind.
        if let Some(outer) = pipeline_file.as_ref().filter(|file| **file != pipeline) {
            check_pipeline(outer)?;
        }
        Ok(Self {
            config: read_json(&config_file)?,
            config_file,
            weights: weights::find(&network)?,
            pipeline_file,
            scheduler_file,
        })
    }

    /// The class of the pipeline, if there is one.
    ///
    /// # Errors
    /// If its file cannot be read.
    pub fn pipeline_class(&self) -> Result<Option<String>, PretrainedError> {
        let Some(file) = &self.pipeline_file else {
            return Ok(None);
        };
        let parts = read_json(file)?;
        let class = parts.get("_class_name").and_then(Value::as_str);
        Ok(class.map(str::to_owned))
    }

    /// The class of the network, such as `UNet2DModel`.
    ///
    /// # Errors
    /// If the configuration does not name one.
    pub fn class_name(&self) -> Result<&str, PretrainedError> {
        let name = self.config.get("_class_name").and_then(Value::as_str);
        name.ok_or_else(|| PretrainedError::File {
            path: self.config_file.clone(),
            message: "does not name its class: it is no configuration of diffusers, or one must be added, such as \
                      \"_class_name\": \"UNet2DModel\""
                .to_owned(),
        })
    }
}

/// The folder of the network: in one of [`NETWORKS`], or the folder itself.
fn network_folder(folder: &Path) -> Result<PathBuf, PretrainedError> {
    let inner = NETWORKS.iter().map(|name| folder.join(name));
    let mut folders = inner.chain([folder.to_owned()]);
    if let Some(network) = folders.find(|folder| folder.join(CONFIG).is_file()) {
        return Ok(network);
    }
    let is_lora = ["pytorch_lora_weights.safetensors", "adapter_config.json"]
        .iter()
        .any(|name| folder.join(name).is_file());
    if is_lora {
        return Err(unsupported(
            folder,
            "holds a LoRA, which is a change of another model: merge it into that model with diffusers, and name the result",
        ));
    }
    if let Some(pickle) = file_with_extension(folder, "pkl") {
        return Err(edm::pickle_refused(&pickle));
    }
    Err(PretrainedError::File {
        path: folder.to_owned(),
        message: format!(
            "holds no model that is known, with no {CONFIG}, and none in {}: name a folder that save_pretrained() of diffusers or \
             scripts/edm_to_safetensors.py wrote",
            NETWORKS.join(", ")
        ),
    })
}

/// The first file of a folder with an extension.
fn file_with_extension(folder: &Path, extension: &str) -> Option<PathBuf> {
    let files = std::fs::read_dir(folder).ok()?.filter_map(Result::ok);
    let files = files.map(|entry| entry.path());
    files
        .filter(|file| file.extension().is_some_and(|found| found == extension))
        .min()
}

/// The folder of a scheduler in a pipeline.
pub fn scheduler_folder(pipeline: &Path) -> PathBuf {
    pipeline.join("scheduler")
}

/// The configuration of the scheduler: in the folder `scheduler` of the pipeline, beside the network, or in that folder of a pipeline
/// one or two levels above, where the training scripts of diffusers put `checkpoint-N/unet`.
fn scheduler_file(folder: &Path, network: &Path) -> Option<PathBuf> {
    let one_above = above(folder);
    let two_above = above(&one_above);
    let [own, first, second] = [folder, &one_above, &two_above].map(scheduler_folder);
    let folders = [own, network.to_owned(), first, second];
    folders.into_iter().find_map(|folder| {
        let file = folder.join(SCHEDULER_CONFIG);
        file.is_file().then_some(file)
    })
}

/// The folder above, without `..` where the path itself tells it: a symbolic link is in another folder than what it names.
fn above(folder: &Path) -> PathBuf {
    // Without a separator at the end, which would follow a link.
    let folder = folder.components().as_path();
    match folder.parent() {
        Some(parent) if folder.file_name().is_some() && !folder.is_symlink() => parent.to_owned(),
        _ => folder.join(".."),
    }
}

/// The list of a pipeline's parts: in its folder, or in the one that has its scheduler.
fn pipeline_file(folder: &Path, scheduler: Option<&Path>) -> Option<PathBuf> {
    let of_scheduler = scheduler.and_then(|file| file.parent()?.parent());
    let mut folders = [Some(folder), of_scheduler].into_iter().flatten();
    folders.find_map(|folder| {
        let file = folder.join(PIPELINE);
        file.is_file().then_some(file)
    })
}

/// Checks that a pipeline makes pictures of pixels from noise and nothing else.
fn check_pipeline(file: &Path) -> Result<(), PretrainedError> {
    let Value::Object(parts) = read_json(file)? else {
        return Err(PretrainedError::File {
            path: file.to_owned(),
            message: "is not a JSON object".to_owned(),
        });
    };
    let class = parts.get("_class_name").and_then(Value::as_str);
    let class = class.unwrap_or("no class").to_owned();
    for (part, what) in [
        ("text_encoder", "is made from text"),
        ("image_encoder", "is made from an image"),
        ("controlnet", "is controlled by an image"),
        ("prior", "is made from an embedding"),
    ] {
        if has(&parts, part) {
            return Err(unsupported(
                file,
                &format!(
                    "is of the class {class}, whose picture {what}: only models of pictures alone, with or without classes, have the training \
                     distribution that is changed here"
                ),
            ));
        }
    }
    for part in ["vae", "vqvae", "movq"] {
        if has(&parts, part) {
            return Err(unsupported(
                file,
                &format!(
                    "is of the class {class}, a model of the latent codes of its {part}: the codes of the training pictures would be needed, \
                     and only models of pixels are supported"
                ),
            ));
        }
    }
    let known = [
        "DDPMPipeline",
        "DDIMPipeline",
        "PNDMPipeline",
        "KarrasVePipeline",
        "ScoreSdeVePipeline",
        "DiTPipeline",
        "ConsistencyModelPipeline",
    ];
    if !known.contains(&class.as_str()) {
        return Err(unsupported(
            file,
            &format!(
                "is a pipeline of the class {class}, which is not known: {} are",
                known.join(", ")
            ),
        ));
    }
    let is_unknown = |name: &&String| {
        !name.starts_with('_') && !PARTS.contains(&name.as_str()) && has(&parts, name)
    };
    match parts.keys().find(is_unknown) {
        None => Ok(()),
        Some(part) => Err(unsupported(
            file,
            &format!(
                "has the part {part}, which no {class} has that is known: its effect on pictures is not, and a pipeline without it is needed"
            ),
        )),
    }
}

/// True if a pipeline has a part: its entry is not `[null, null]`.
fn has(parts: &Map<String, Value>, name: &str) -> bool {
    match parts.get(name) {
        None | Some(Value::Null) => false,
        Some(Value::Array(entry)) => entry.iter().any(|value| !value.is_null()),
        Some(_) => true,
    }
}

/// A JSON file of limited size.
///
/// # Errors
/// If it cannot be read or is not JSON.
pub fn read_json(path: &Path) -> Result<Value, PretrainedError> {
    let refused = |message: String| PretrainedError::File {
        path: path.to_owned(),
        message,
    };
    let text =
        datasway_fs::read_text(path, MAX_CONFIG_BYTES).map_err(|e| refused(e.to_string()))?;
    serde_json::from_str(&text).map_err(|error| refused(format!("is not JSON ({error})")))
}

fn unsupported(path: &Path, message: &str) -> PretrainedError {
    PretrainedError::Unsupported {
        path: path.to_owned(),
        message: message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        folder
    }

    const UNET: &str = r#"{"_class_name": "UNet2DModel"}"#;
    const DDPM: &str = r#"{"_class_name": "DDPMPipeline"}"#;
    const WEIGHTS: &str = "diffusion_pytorch_model.safetensors";

    #[test]
    fn a_network_is_found_in_every_layout() {
        for (prefix, pipeline, scheduler) in [
            ("", None, SCHEDULER_CONFIG),
            ("unet/", Some(DDPM), "scheduler/scheduler_config.json"),
            ("unet_ema/", None, "scheduler/scheduler_config.json"),
        ] {
            let config = format!("{prefix}config.json");
            let file = format!("{prefix}{WEIGHTS}");
            let mut files = vec![(&*config, UNET), (&*file, ""), (scheduler, "{}")];
            files.extend(pipeline.map(|text| (PIPELINE, text)));
            let folder = folder(&files);
            let found = DiffusersFolder::find(folder.path()).unwrap();
            assert_eq!(found.class_name().unwrap(), "UNet2DModel");
            assert_eq!(found.weights, folder.path().join(&file));
            assert_eq!(found.scheduler_file, Some(folder.path().join(scheduler)));
        }
        // The network's own folder in a pipeline.
        let folder = folder(&[
            ("unet/config.json", UNET),
            (&format!("unet/{WEIGHTS}"), ""),
            ("scheduler/scheduler_config.json", "{}"),
        ]);
        let found = DiffusersFolder::find(&folder.path().join("unet")).unwrap();
        assert!(found.scheduler_file.is_some());
    }

    #[test]
    fn the_network_of_a_training_checkpoint_has_the_scheduler_of_the_pipeline_two_folders_up() {
        let folder = folder(&[
            ("checkpoint-5/unet/config.json", UNET),
            (&format!("checkpoint-5/unet/{WEIGHTS}"), ""),
            ("scheduler/scheduler_config.json", "{}"),
            (PIPELINE, DDPM),
        ]);
        for name in ["checkpoint-5/unet", "checkpoint-5"] {
            let found = DiffusersFolder::find(&folder.path().join(name)).unwrap();
            assert!(found.scheduler_file.is_some(), "{name}");
            let class = found.pipeline_class().unwrap();
            assert_eq!(class.as_deref(), Some("DDPMPipeline"), "{name}");
        }
    }

    #[test]
    fn a_folder_above_has_a_tidy_path_in_the_same_place() {
        for (folder, expected) in [
            ("pipeline/unet", "pipeline"),
            ("pipeline/unet/", "pipeline"),
            ("unet", ""),
            ("", ".."),
            (".", "./.."),
            ("..", "../.."),
            ("a/..", "a/../.."),
            ("/", "/.."),
        ] {
            assert_eq!(above(Path::new(folder)), Path::new(expected), "{folder}");
        }
    }

    #[test]
    #[cfg(unix)]
    fn the_scheduler_of_a_linked_network_is_beside_the_network_and_not_beside_the_link() {
        let folder = folder(&[
            ("pipeline/unet/config.json", UNET),
            (&format!("pipeline/unet/{WEIGHTS}"), ""),
            ("pipeline/scheduler/scheduler_config.json", "{}"),
        ]);
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(folder.path().join("pipeline/unet"), &link).unwrap();
        for path in [link.clone(), link.join("")] {
            let found = DiffusersFolder::find(&path).unwrap();
            assert!(found.scheduler_file.is_some(), "{}", path.display());
        }
    }

    #[test]
    fn a_model_of_another_kind_is_refused_in_a_sentence_that_says_what_it_is() {
        let text = r#"{"_class_name": "StableDiffusionPipeline", "text_encoder": ["a", "b"], "vae": ["a", "b"]}"#;
        let latent = r#"{"_class_name": "DiTPipeline", "vae": ["diffusers", "AutoencoderKL"]}"#;
        let other = r#"{"_class_name": "AudioDiffusionPipeline", "text_encoder": [null, null]}"#;
        let more = r#"{"_class_name": "DDPMPipeline", "unet": ["a", "b"], "refiner": ["a", "b"]}"#;
        for (files, says) in [
            (vec![(PIPELINE, text)], "made from text"),
            (vec![(PIPELINE, latent)], "latent codes"),
            (
                vec![(PIPELINE, other)],
                "AudioDiffusionPipeline, which is not known",
            ),
            (vec![(PIPELINE, more)], "the part refiner"),
            (vec![(PIPELINE, "[]")], "not a JSON object"),
            (vec![(PIPELINE, "{")], "is not JSON"),
            (vec![("adapter_config.json", "{}")], "LoRA"),
            (vec![("other.json", "{}")], "no model that is known"),
            (vec![("b.pkl", ""), ("a.pkl", "")], "a.pkl: a pickle runs"),
            (vec![(CONFIG, UNET)], "no file of weights"),
        ] {
            let folder = folder(&files);
            let error = DiffusersFolder::find(folder.path())
                .unwrap_err()
                .to_string();
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn the_network_alone_of_a_latent_pipeline_is_refused_as_the_pipeline_is() {
        let latent = r#"{"_class_name": "LDMPipeline", "vqvae": ["diffusers", "VQModel"]}"#;
        let folder = folder(&[
            ("unet/config.json", UNET),
            (&format!("unet/{WEIGHTS}"), ""),
            ("scheduler/scheduler_config.json", "{}"),
            (PIPELINE, latent),
        ]);
        let error = DiffusersFolder::find(&folder.path().join("unet")).unwrap_err();
        let error = error.to_string();
        assert!(error.contains("latent codes of its vqvae"), "{error}");
        let file = folder.path().join(PIPELINE);
        assert!(
            error.starts_with(&format!("{}: ", file.display())),
            "{error}"
        );
    }

    #[test]
    fn a_part_that_is_null_and_names_of_classes_are_no_other_parts() {
        let pipeline = r#"{"_class_name": "DDPMPipeline", "_ignore_files": [], "unet": ["a", "b"],
            "scheduler": ["a", "b"], "refiner": [null, null], "id2label": {"0": "cat"}}"#;
        let folder = folder(&[
            ("unet/config.json", UNET),
            (&format!("unet/{WEIGHTS}"), ""),
            (PIPELINE, pipeline),
        ]);
        DiffusersFolder::find(folder.path()).unwrap();
    }
}
