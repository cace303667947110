//! The file of a classifier, in SafeTensors.
//!
//! It holds the weights by path (`levels.0.conv1.weight` `[o, i, 3, 3]`, …, `head.weight` `[channels, labels]`, `head.bias`) and
//! the [`ClassifierHeader`] as JSON in the metadata entry `datasway-classifier`. The file of an unfinished run also holds `optimizer`, the
//! optimiser's state as bytes. Weights that were trained elsewhere can be used if names, shapes and header are right.

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::{Device, TensorData};
use datasway_data::Shape;
use datasway_diffusion::DiffusionError;
use datasway_diffusion::header;
use datasway_diffusion::tensor_file::{self, FloatReader, Head, finite};
use datasway_diffusion::{unique, weights};
use safetensors::tensor::{Dtype, TensorView};
use serde::{Deserialize, Serialize};

use crate::{Classifier, ClassifierConfig, Labels};

/// Version of the layout that is written and read.
pub const FORMAT: u32 = 1;
/// Metadata entry of the header.
const ENTRY: &str = "datasway-classifier";
/// Metadata entry of the header in files of earlier versions.
const EARLIER_ENTRY: &str = "sway-classifier";

/// Largest side of an image, in pixels.
const MAX_SIZE: usize = 4096;

/// Header of a classifier's file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassifierHeader {
    /// Layout of the file, [`FORMAT`].
    pub format: u32,
    /// Version of Datasway that wrote it.
    pub version: String,
    /// Shape of the images.
    pub shape: Shape,
    /// The outputs.
    pub labels: Labels,
    /// Configuration of its training.
    pub training: ClassifierConfig,
    /// The data set, as it was named on the command line.
    pub data: String,
    /// Fingerprint of the decoded data set.
    pub fingerprint: String,
    /// Optimiser steps taken.
    pub step: u64,
    /// Burn's parameter ids by path, until training is finished; the optimiser's state is keyed by them.
    #[serde(deserialize_with = "unique::map")]
    pub parameter_ids: BTreeMap<String, u64>,
}

/// A classifier in memory.
#[derive(Debug, Clone)]
pub struct ClassifierCheckpoint {
    /// Header of the file.
    pub header: ClassifierHeader,
    /// The weights.
    pub weights: BTreeMap<String, TensorData>,
    /// The optimiser's state as bytes, until training is finished.
    pub optimizer: Option<Vec<u8>>,
    /// Notices for the user about how the file was read, one sentence each.
    pub notices: Vec<String>,
}

impl ClassifierHeader {
    /// Parses a header from JSON and checks every number.
    fn parse(text: &str) -> Result<Self, String> {
        header::parse(text, FORMAT, Self::validate)
    }

    fn validate(&self) -> Result<(), String> {
        let Shape {
            channels,
            height,
            width,
        } = self.shape;
        if ![1, 3].contains(&channels) {
            return Err(format!("images have 1 or 3 channels, not {channels}"));
        }
        if !(1..=MAX_SIZE).contains(&height) || !(1..=MAX_SIZE).contains(&width) {
            return Err(format!(
                "images have sides between 1 and {MAX_SIZE}, not {height} and {width}"
            ));
        }
        self.labels.validate()?;
        self.training
            .validate()
            .map_err(|error| error.to_string())?;
        if self.step <= self.training.steps {
            Ok(())
        } else {
            Err(format!(
                "step {} comes after the last, {}",
                self.step, self.training.steps
            ))
        }
    }

    /// A new network of this shape. Its weights are drawn when they are first read.
    fn network(&self, device: &Device) -> Classifier {
        let (channels, labels) = (self.training.channels, self.labels.len());
        Classifier::new(self.shape, channels, labels, device)
    }
}

impl ClassifierCheckpoint {
    /// The network on a device.
    ///
    /// # Errors
    /// If weights are missing or do not fit.
    pub fn network(&self, device: &Device) -> Result<Classifier, DiffusionError> {
        let weights = weights::with_ids(self.weights.clone(), &self.header.parameter_ids);
        weights::apply(self.header.network(device), weights).map_err(DiffusionError::Invalid)
    }

    /// Writes the file, completely or not at all.
    ///
    /// # Errors
    /// If a weight is not finite, or the folder cannot be written; an old file stays.
    pub fn write(&self, path: &Path) -> Result<(), DiffusionError> {
        self.check_finite()?;
        let fail = |error: &dyn std::fmt::Display| {
            DiffusionError::file(path, format!("cannot write the classifier: {error}"))
        };
        let mut views = BTreeMap::new();
        for (name, data) in &self.weights {
            let shape = data.shape().iter().copied().collect();
            let view = TensorView::new(Dtype::F32, shape, data.as_bytes());
            views.insert(name.clone(), view.map_err(|e| fail(&e))?);
        }
        if let Some(bytes) = &self.optimizer {
            let view = TensorView::new(Dtype::U8, vec![bytes.len()], bytes);
            views.insert("optimizer".to_owned(), view.map_err(|e| fail(&e))?);
        }
        let header = serde_json::to_string(&self.header).map_err(|e| fail(&e))?;
        let bytes = tensor_file::serialize(ENTRY, header, views).map_err(|e| fail(&e))?;
        datasway_fs::write(path, &bytes).map_err(|e| fail(&e.reason))
    }

    /// Checks that every weight is finite, which is not so if training has diverged.
    ///
    /// # Errors
    /// [`DiffusionError::NotFinite`] that names the first weight that is not, and the step.
    pub fn check_finite(&self) -> Result<(), DiffusionError> {
        let mut weights = self.weights.iter();
        weights.try_for_each(|(name, data)| {
            finite(name, data).map_err(|problem| {
                DiffusionError::NotFinite(format!(
                    "the classifier has diverged: at step {} {problem}; what was saved before is kept; try a lower \
                     learning rate",
                    self.header.step
                ))
            })
        })
    }

    /// Reads a file.
    ///
    /// # Errors
    /// If it is missing, truncated or damaged, not a classifier, of an unknown layout; if its tensors are not those of the network
    /// that its header describes; if a number is not finite or not of a float type.
    pub fn read(path: &Path) -> Result<Self, DiffusionError> {
        let check = |beginning: &[u8], length| begin(beginning, length, path).map(drop);
        let bytes = tensor_file::read(path, "classifier", check)?;
        Self::from_bytes(&bytes, path)
    }

    /// Reads a file from memory; `path` names it in errors.
    ///
    /// # Errors
    /// As [`ClassifierCheckpoint::read`], except for a missing file.
    pub fn from_bytes(bytes: &[u8], path: &Path) -> Result<Self, DiffusionError> {
        let (head, header) = begin(bytes, bytes.len() as u64, path)?;
        Self::from_tensors(bytes, &head, header)
            .map_err(|problem| DiffusionError::file(path, problem))
    }

    fn from_tensors(bytes: &[u8], head: &Head, header: ClassifierHeader) -> Result<Self, String> {
        let mut reader = FloatReader::default();
        let (mut weights, mut optimizer) = (BTreeMap::new(), None);
        for (name, info) in &head.tensors {
            let bytes = head.bytes(info, bytes);
            if name == "optimizer" {
                optimizer = Some(bytes.to_vec());
                continue;
            }
            let view = TensorView::new(info.dtype, info.shape.clone(), bytes);
            let data = reader.read(name, &view.map_err(|error| error.to_string())?)?;
            weights.insert(name.clone(), data);
        }
        Ok(Self {
            header,
            weights,
            optimizer,
            notices: reader.finish(head, bytes)?,
        })
    }
}

/// Reads the beginning of a file of `length` bytes and checks names, types and shapes before the tensors are read.
fn begin(
    beginning: &[u8],
    length: u64,
    path: &Path,
) -> Result<(Head, ClassifierHeader), DiffusionError> {
    let fail = |message: String| DiffusionError::file(path, message);
    let head = Head::parse(beginning, length, &[ENTRY, EARLIER_ENTRY]).map_err(|problem| {
        fail(format!(
            "not a complete SafeTensors file ({problem}); train the classifier again with `train classifier`"
        ))
    })?;
    let head = head.ok_or_else(|| {
        fail("a SafeTensors file, but not a classifier of `train classifier`".to_owned())
    })?;
    let header = ClassifierHeader::parse(&head.header).map_err(fail)?;
    let needed = weights::shapes(&header.network(&Device::flex()));
    let (optimizer_states, stored): (Vec<_>, Vec<_>) =
        (head.tensors.iter()).partition(|(name, _)| *name == "optimizer");
    if let Some((_, info)) = optimizer_states.first()
        && info.dtype != Dtype::U8
    {
        return Err(fail(format!(
            "optimizer should hold bytes, not {:?}",
            info.dtype
        )));
    }
    let stored = stored.into_iter();
    let stored = stored.map(|(name, info)| (name.as_str(), info.shape.as_slice()));
    weights::check_shapes(&needed, stored).map_err(|problem| {
        fail(format!(
            "its weights do not fit the network of its header: {problem}"
        ))
    })?;
    weights::check_paths(&needed, header.parameter_ids.keys()).map_err(fail)?;
    Ok((head, header))
}
