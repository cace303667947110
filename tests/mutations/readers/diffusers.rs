//! Folders of models of diffusers: configurations in JSON, schedulers and weights.

use std::path::Path;

use burn::tensor::{Device, Tensor};
use datasway_pretrained::{Pretrained, PretrainedOptions};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use safetensors::SafeTensors;
use serde_json::{Value, json};

use super::{said, weights_file};
use crate::damage::{bytes, json as values, one, tensors, text, times};
use crate::trial::{Answer, Reader};

/// The folder that is read.
const FOLDER: &str = "model";
/// A file that holds the class of a model with classes.
const CLASS: &str = "class";
/// Of as many networks that are built one is used.
const SAMPLED: usize = 20;

macro_rules! stored {
    ($($path:literal),*) => {
        vec![$(($path, include_bytes!(concat!("../../../crates/datasway-pretrained/tests/data/", $path)).as_slice())),*]
    };
}

/// A file by its name in the folder.
type File = (String, Vec<u8>);

/// Reads folders as `--checkpoint` does. An input is a list of files.
pub struct DiffusersFolders {
    valid: Vec<Vec<u8>>,
    built: usize,
}

impl DiffusersFolders {
    /// A pipeline, sharded weights, weights of PyTorch, half precision, a network with classes, and a transformer.
    pub fn new(_: &Path) -> Self {
        let folder = |root: &str, files: Vec<(&str, &[u8])>| -> Vec<File> {
            let name = |path: &str| {
                path.strip_prefix(root)
                    .expect("a file of the folder")
                    .to_owned()
            };
            files
                .into_iter()
                .map(|(path, content)| (name(path), content.to_vec()))
                .collect()
        };
        let pipeline = folder(
            "folders/pipeline/",
            stored!(
                "folders/pipeline/model_index.json",
                "folders/pipeline/scheduler/scheduler_config.json",
                "folders/pipeline/unet/config.json",
                "folders/pipeline/unet/diffusion_pytorch_model.safetensors"
            ),
        );
        let sharded = folder(
            "folders/sharded/",
            stored!(
                "folders/sharded/config.json",
                "folders/sharded/diffusion_pytorch_model-00001-of-00002.safetensors",
                "folders/sharded/diffusion_pytorch_model-00002-of-00002.safetensors",
                "folders/sharded/diffusion_pytorch_model.safetensors.index.json",
                "folders/sharded/scheduler_config.json"
            ),
        );
        let torch = folder(
            "folders/bin/",
            stored!(
                "folders/bin/config.json",
                "folders/bin/diffusion_pytorch_model.bin",
                "folders/bin/scheduler_config.json"
            ),
        );
        let half = folder(
            "folders/fp16/",
            stored!(
                "folders/fp16/config.json",
                "folders/fp16/diffusion_pytorch_model.fp16.safetensors",
                "folders/fp16/scheduler_config.json"
            ),
        );
        let classes = with_classes(&pipeline);
        let folders = [pipeline, sharded, torch, half, classes, transformer()];
        Self {
            valid: folders.iter().map(|files| join(files)).collect(),
            built: 0,
        }
    }

    fn try_to_read(&mut self, files: &[File]) -> Result<Result<(), String>, String> {
        let class = files.iter().find(|(name, _)| name == CLASS);
        let options = PretrainedOptions {
            class: class.map(|(_, text)| text.len()),
            ..PretrainedOptions::default()
        };
        let model = Pretrained::load(Path::new(FOLDER), &options).map_err(said)?;
        let ([c, h, w], [low, high]) = (model.shape, model.sigma_range);
        let d = c * h * w;
        if d == 0 || model.score_model.denoiser().dim() != d {
            return Ok(Err(format!("pictures of shape {:?}", model.shape)));
        }
        if !(low > 0.0 && low < high && high.is_finite()) {
            return Ok(Err(format!("noise levels from {low} to {high}")));
        }
        self.built += 1;
        if self.built % SAMPLED == 1 && d < 10_000 {
            let x = Tensor::<2>::ones([1, d], &Device::flex());
            model.score_model.denoiser().denoise(x, low).map_err(said)?;
        }
        Ok(Ok(()))
    }
}

impl Reader for DiffusersFolders {
    fn valid(&self) -> &[Vec<u8>] {
        &self.valid
    }

    fn damage(&self, rng: &mut ChaCha8Rng) -> Vec<u8> {
        let mut files = split(one::<Vec<u8>>(rng, &self.valid));
        let others = split(one::<Vec<u8>>(rng, &self.valid));
        match rng.random_range(0..20) {
            0..=8 => field(rng, &mut files),
            9..=11 => json_file(rng, &mut files),
            12..=15 => weights(rng, &mut files),
            16 | 17 => swap(rng, &mut files, &others),
            18 => drop(files.remove(rng.random_range(0..files.len()))),
            _ => {
                // One file under the name of another.
                let name = one(rng, &others).0.clone();
                let place = rng.random_range(0..files.len());
                files[place].0 = name;
            }
        }
        join(&files)
    }

    fn read(&mut self, input: &[u8]) -> Answer {
        let files = split(input);
        let _ = std::fs::remove_dir_all(FOLDER);
        std::fs::create_dir(FOLDER).expect("the folder is ours");
        for (name, content) in &files {
            let path = Path::new(FOLDER).join(name);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("the folder is ours");
            std::fs::write(path, content).expect("the folder is ours");
        }
        match self.try_to_read(&files) {
            Ok(Ok(())) => Answer::Read,
            Ok(Err(why)) => Answer::Nonsense(why),
            Err(message) if !message.starts_with(FOLDER) => {
                Answer::Nonsense(format!("the message names no file: {message}"))
            }
            Err(message) => Answer::Refused(message),
        }
    }
}

/// The pipeline with a table of four classes, and the class 1.
fn with_classes(pipeline: &[File]) -> Vec<File> {
    let mut files = pipeline.to_vec();
    for (name, content) in &mut files {
        if name.ends_with("unet/config.json") {
            let mut config: Value = serde_json::from_slice(content).expect("JSON");
            config["num_class_embeds"] = json!(4);
            *content = config.to_string().into_bytes();
        }
        if name.ends_with(".safetensors") {
            let file = SafeTensors::deserialize(content).expect("weights");
            let width = file.tensor("time_embedding.linear_1.bias").expect("a bias");
            let mut shapes: Vec<(String, Vec<usize>)> = file
                .tensors()
                .into_iter()
                .map(|(name, view)| (name, view.shape().to_vec()))
                .collect();
            let table = vec![4, width.shape()[0]];
            shapes.push(("class_embedding.weight".to_owned(), table));
            *content = weights_file(&shapes, |_, i| (i as f32).sin());
        }
    }
    files.push((CLASS.to_owned(), b"1".to_vec()));
    files
}

/// The smallest golden transformer.
fn transformer() -> Vec<File> {
    let cases: &[u8] =
        include_bytes!("../../../crates/datasway-pretrained/tests/data/dit.safetensors");
    let (_, metadata) = SafeTensors::read_metadata(cases).expect("golden cases");
    let cases = &metadata.metadata().as_ref().expect("cases")["cases"];
    let cases: Vec<Value> = serde_json::from_str(cases).expect("a list of cases");
    let whole = cases.iter().find(|case| case["neighbour"].is_null());
    let case = whole.expect("a case with all of its weights");
    let mut config = case["config"]["config"].clone();
    config["_class_name"] = json!("DiTTransformer2DModel");
    let shapes: Vec<(String, Vec<usize>)> =
        serde_json::from_value(case["weights"].clone()).expect("names and shapes");
    let files = [
        ("transformer/config.json", config.to_string().into_bytes()),
        (
            "transformer/diffusion_pytorch_model.safetensors",
            weights_file(&shapes, |_, i| (i as f32).sin()),
        ),
        (
            "scheduler/scheduler_config.json",
            br#"{"_class_name": "DDIMScheduler", "clip_sample": false}"#.to_vec(),
        ),
    ];
    files
        .map(|(name, content)| (name.to_owned(), content))
        .to_vec()
}

/// One field of one configuration deleted, of another kind, or at an extreme.
fn field(rng: &mut ChaCha8Rng, files: &mut [File]) {
    let odd = [
        json!(null),
        json!(true),
        json!(false),
        json!("x"),
        json!(""),
        json!(-1),
        json!(0),
        json!(1),
        json!(3),
        json!(0.5),
        json!(1e300),
        json!(1e-300),
        json!(1_000_000_000),
        json!(u64::MAX),
        json!([]),
        json!([1_000_000_000]),
        json!(vec![1; 100_000]),
        json!({}),
    ];
    edit(rng, files, |rng, config| {
        let Some(fields) = config.as_object_mut() else {
            return;
        };
        let names: Vec<String> = fields.keys().cloned().collect();
        let name = one(rng, &names).clone();
        if rng.random_bool(0.2) {
            fields.remove(&name);
        } else {
            fields.insert(name, one(rng, &odd).clone());
        }
    });
}

/// A value somewhere inside a configuration, or its text.
fn json_file(rng: &mut ChaCha8Rng, files: &mut [File]) {
    if rng.random_bool(0.3) {
        let Some(place) = place(rng, files, "json") else {
            return;
        };
        let written = String::from_utf8_lossy(&files[place].1).into_owned();
        files[place].1 = text::damage(rng, &written, &written);
        return;
    }
    edit(rng, files, |rng, config| {
        for _ in 0..times(rng) {
            values::damage(rng, config);
        }
    });
}

/// Changes one configuration.
fn edit(
    rng: &mut ChaCha8Rng,
    files: &mut [File],
    change: impl FnOnce(&mut ChaCha8Rng, &mut Value),
) {
    let Some(place) = place(rng, files, "json") else {
        return;
    };
    let content = &mut files[place].1;
    let mut config: Value = serde_json::from_slice(content).expect("a valid configuration");
    change(rng, &mut config);
    *content = config.to_string().into_bytes();
}

/// The header or the numbers of a file of weights.
fn weights(rng: &mut ChaCha8Rng, files: &mut [File]) {
    if let Some(place) = place(rng, files, "safetensors") {
        let content = files[place].1.clone();
        files[place].1 = tensors::damage(rng, &content, &content, "");
    } else if let Some(place) = place(rng, files, "bin") {
        let content = files[place].1.clone();
        files[place].1 = bytes::damage(rng, content.clone(), &content);
    }
}

/// A file of another folder in the place of one with the same ending.
fn swap(rng: &mut ChaCha8Rng, files: &mut [File], others: &[File]) {
    let ending = *one(rng, &["json", "safetensors", "bin"]);
    let (Some(place), Some(other)) = (place(rng, files, ending), place(rng, others, ending)) else {
        return;
    };
    files[place].1 = others[other].1.clone();
}

/// The place of a file with an ending.
fn place(rng: &mut ChaCha8Rng, files: &[File], ending: &str) -> Option<usize> {
    let places: Vec<usize> = (0..files.len())
        .filter(|&i| files[i].0.ends_with(ending))
        .collect();
    (!places.is_empty()).then(|| *one(rng, &places))
}

fn join(files: &[File]) -> Vec<u8> {
    serde_json::to_vec(files).expect("names and bytes")
}

fn split(input: &[u8]) -> Vec<File> {
    serde_json::from_slice(input).expect("names and bytes")
}
