//! Readers that are tried.

mod cache;
mod celeba;
mod checkpoint;
mod cifar;
mod classifier;
mod diffusers;
mod edm;
mod experiment;
mod folder;
mod idx;
mod picture;
mod results;
mod resumed;
mod selection;
mod sidecar;
mod source;
mod torch;
mod tuned;

pub use cache::Caches;
pub use celeba::Tables;
pub use checkpoint::Checkpoints;
pub use cifar::Batches;
pub use classifier::Classifiers;
pub use diffusers::DiffusersFolders;
pub use edm::EdmFolders;
pub use experiment::Experiments;
pub use folder::Folders;
pub use idx::IdxFiles;
pub use picture::Pictures;
pub use results::Results;
pub use resumed::Runs;
pub use selection::Selections;
pub use sidecar::Sidecars;
pub use source::Sources;
pub use torch::TorchFiles;
pub use tuned::Tunings;

use std::collections::BTreeSet;
use std::fmt::Display;

use burn::tensor::TensorData;
use datasway_data::{Dataset, LoadOptions, Source};
use safetensors::tensor::{Dtype, TensorView};

use crate::trial::Answer;

/// Side of all images.
const SIZE: usize = 8;

/// A set of images, or why it is refused.
fn load(source: &str, options: &LoadOptions) -> Result<Dataset, String> {
    let source = Source::parse(source).map_err(said)?;
    datasway_data::load(&source, options).map_err(said)
}

/// Options for images of [`SIZE`].
fn options() -> LoadOptions {
    LoadOptions {
        size: Some(SIZE),
        ..LoadOptions::default()
    }
}

fn said(error: impl Display) -> String {
    error.to_string()
}

/// An answer from a set of images.
fn answer(set: Result<Dataset, String>) -> Answer {
    match set.map(|set| sound(&set).and_then(|()| distinct(&set))) {
        Ok(Ok(())) => Answer::Read,
        Ok(Err(why)) => Answer::Nonsense(why),
        Err(message) => Answer::Refused(message),
    }
}

/// Whether everything that a set says of its images fits together.
fn sound(set: &Dataset) -> Result<(), String> {
    let n = set.len();
    let all: Vec<usize> = (0..n).collect();
    if n == 0 {
        return Err("there is no image".into());
    }
    if ![1, 3].contains(&set.shape.channels) || set.shape.dim() == 0 {
        return Err(format!("images have no shape: {:?}", set.shape));
    }
    if all.iter().any(|&i| set.image(i).len() != set.shape.dim()) {
        return Err("an image is of another size".into());
    }
    if let Some(attributes) = &set.attributes {
        let names = attributes.names.len();
        if attributes.values.len() != n || attributes.values.iter().any(|v| v.len() != names) {
            return Err("an image has other attributes".into());
        }
    }
    if let Some(classes) = &set.classes {
        let names = classes.names.len();
        if classes.labels.len() != n || classes.labels.iter().any(|&label| label >= names) {
            return Err("an image is of no class".into());
        }
    }
    set.subset(&all);
    Ok(())
}

/// Whether every image and every attribute can be named.
fn distinct(set: &Dataset) -> Result<(), String> {
    let once = |names: &[String]| names.iter().collect::<BTreeSet<_>>().len() == names.len();
    if !once(&set.names) {
        return Err("two images have one name".into());
    }
    match &set.attributes {
        Some(attributes) if !once(&attributes.names) => Err("two attributes have one name".into()),
        _ => Ok(()),
    }
}

/// A SafeTensors file with tensors of these names and shapes, and numbers by name and place.
fn weights_file(weights: &[(String, Vec<usize>)], value: impl Fn(&str, usize) -> f32) -> Vec<u8> {
    let bytes: Vec<Vec<u8>> = weights
        .iter()
        .map(|(name, shape)| {
            let values = (0..shape.iter().product()).map(|i| value(name, i));
            values.flat_map(f32::to_le_bytes).collect()
        })
        .collect();
    let views = weights.iter().zip(&bytes).map(|((name, shape), bytes)| {
        let view = TensorView::new(Dtype::F32, shape.clone(), bytes);
        (name, view.expect("as many bytes as numbers"))
    });
    safetensors::serialize(views, None).expect("tensors")
}

/// The largest of the weights, or the name of one that is not finite.
fn largest<'a>(weights: impl Iterator<Item = (&'a String, &'a TensorData)>) -> Result<f32, String> {
    let mut largest = 0.0_f32;
    for (name, data) in weights {
        for value in data.iter::<f32>() {
            if !value.is_finite() {
                return Err(format!("a weight is not finite: {name}"));
            }
            largest = largest.max(value.abs());
        }
    }
    Ok(largest)
}
