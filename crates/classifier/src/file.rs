//! The classifier's file: SafeTensors with the weights by path (`levels.0.conv1.weight` `[o, i, 3, 3]`, …, `head.weight`
//! `[channels, labels]`, `head.bias`), and [`Header`] as JSON in the metadata entry `sway-classifier`. An unfinished one also holds
//! `optimizer`, the optimiser's state as bytes. Weights trained elsewhere can be used: what counts is the names, the shapes and the
//! header.

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::{Bytes, DType, Device, TensorData};
use data::Shape;
use diffusion::DiffusionError;
use diffusion::weights::{self, Weight};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};

use crate::{Classifier, ClassifierConfig, Labels};

/// The layout that this version writes and reads.
pub const FORMAT: u32 = 1;
/// Where the header stands in the metadata.
const ENTRY: &str = "sway-classifier";

/// What a classifier says about itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// Layout of the file, [`FORMAT`].
    pub format: u32,
    /// Version of Sway that wrote it.
    pub version: String,
    /// Shape of the images.
    pub shape: Shape,
    /// Its outputs.
    pub labels: Labels,
    /// How it was trained.
    pub training: ClassifierConfig,
    /// The data set, as it was named on the command line.
    pub data: String,
    /// Fingerprint of the decoded data set.
    pub fingerprint: String,
    /// Optimiser steps taken.
    pub step: u64,
    /// Burn's parameter ids by path, until training is finished; the optimiser's state is keyed by them.
    pub parameter_ids: BTreeMap<String, u64>,
}

/// A classifier in memory.
#[derive(Debug, Clone)]
pub struct Saved {
    /// What the file says about itself.
    pub header: Header,
    /// The weights.
    pub weights: BTreeMap<String, TensorData>,
    /// The optimiser's state as bytes, until training is finished.
    pub optimizer: Option<Vec<u8>>,
}

impl Saved {
    /// The network on a device.
    ///
    /// # Errors
    /// If weights are missing or do not fit.
    pub fn network(&self, device: &Device) -> Result<Classifier, DiffusionError> {
        let header = &self.header;
        let (channels, labels) = (header.training.channels, header.labels.len());
        let weights = self.weights.iter().map(|(path, data)| {
            let id = header.parameter_ids.get(path).copied().unwrap_or_default();
            let data = data.clone();
            (path.clone(), Weight { id, data })
        });
        let network = Classifier::new(header.shape, channels, labels, device);
        weights::apply(network, weights.collect()).map_err(DiffusionError::Config)
    }

    /// Writes the file, complete or not at all.
    ///
    /// # Errors
    /// If the folder cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), DiffusionError> {
        let fail = |error: &dyn std::fmt::Display| {
            DiffusionError::file(path, format!("cannot write the classifier: {error}"))
        };
        let mut views = Vec::new();
        for (name, data) in &self.weights {
            let shape = data.shape().iter().copied().collect();
            let view = TensorView::new(Dtype::F32, shape, data.as_bytes());
            views.push((name.clone(), view.map_err(|e| fail(&e))?));
        }
        if let Some(bytes) = &self.optimizer {
            let view = TensorView::new(Dtype::U8, vec![bytes.len()], bytes);
            views.push(("optimizer".to_owned(), view.map_err(|e| fail(&e))?));
        }
        let header = serde_json::to_string(&self.header).map_err(|e| fail(&e))?;
        let metadata = [(ENTRY.to_owned(), header)].into_iter().collect();
        let bytes = safetensors::serialize(views, Some(metadata)).map_err(|e| fail(&e))?;
        files::write(path, &bytes).map_err(|e| fail(&e.reason))
    }

    /// Reads a file.
    ///
    /// # Errors
    /// If it is missing, truncated, not a classifier, of an unknown layout, or holds numbers that are not finite.
    pub fn read(path: &Path) -> Result<Self, DiffusionError> {
        let fail = |message: String| DiffusionError::file(path, message);
        let bytes = std::fs::read(path)
            .map_err(|error| fail(format!("cannot read the classifier: {error}")))?;
        let broken = |error: safetensors::SafeTensorError| {
            fail(format!(
                "not a complete SafeTensors file ({error}); train the classifier again with `train classifier`"
            ))
        };
        let (_, metadata) = SafeTensors::read_metadata(&bytes).map_err(broken)?;
        let tensors = SafeTensors::deserialize(&bytes).map_err(broken)?;
        let header = metadata.metadata().as_ref().and_then(|m| m.get(ENTRY));
        let header = header.ok_or_else(|| {
            fail("a SafeTensors file, but not a classifier of `train classifier`".to_owned())
        })?;
        let header: Header = serde_json::from_str(header)
            .map_err(|error| fail(format!("its header cannot be read: {error}")))?;
        if header.format != FORMAT {
            return Err(fail(format!(
                "written in layout {} by Sway {}, this version reads layout {FORMAT}",
                header.format, header.version
            )));
        }
        let (mut weights, mut optimizer) = (BTreeMap::new(), None);
        for (name, view) in tensors.tensors() {
            let bytes = view.data().to_vec();
            if name == "optimizer" {
                optimizer = Some(bytes);
                continue;
            }
            if view.dtype() != Dtype::F32 {
                return Err(fail(format!("{name} must hold f32 numbers")));
            }
            let bytes = Bytes::from_bytes_vec(bytes);
            let data = TensorData::from_bytes(bytes, view.shape().to_vec(), DType::F32);
            if data.iter::<f32>().any(|value| !value.is_finite()) {
                return Err(fail(format!("{name} holds values that are not finite")));
            }
            weights.insert(name, data);
        }
        Ok(Self {
            header,
            weights,
            optimizer,
        })
    }
}
