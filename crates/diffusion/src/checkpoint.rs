//! Checkpoints: one SafeTensors file, written completely or not at all.
//!
//! Tensors are named `model/PATH` (raw weights), `ema/PATH` (averaged weights, what samples come
//! from), `optimizer` (the optimiser's state, Burn's record as bytes), `data_mean` and `data_variance`
//! (of the training images, entry by entry: where the log-density starts). The metadata entry `sway`
//! is JSON: [`Header`]. A checkpoint for sampling only leaves out `model` and `optimizer`.

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::{DType, TensorData};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};

use crate::DiffusionError;
use crate::config::UNetConfig;
use crate::weights::Weight;

/// The layout that this version writes and reads.
pub const FORMAT: u32 = 1;

/// What a checkpoint says about itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// Layout of the file, [`FORMAT`].
    pub format: u32,
    /// Version of Sway that wrote it.
    pub version: String,
    /// Shape of the network.
    pub network: UNetConfig,
    /// Standard deviation of the data, for the preconditioning.
    pub sigma_data: f64,
    /// The data set, as it was named on the command line.
    pub data: String,
    /// At most this many of its images were used.
    pub limit: Option<usize>,
    /// Whether images that could not be read were left out.
    pub skip_bad: bool,
    /// Fingerprint of the decoded data set.
    pub fingerprint: String,
    /// Optimiser steps taken.
    pub step: u64,
    /// Seed of initial weights, batches and noise.
    pub seed: u64,
    /// The full training configuration, as TOML.
    pub training: String,
    /// Burn's parameter ids by path; the optimiser's state is keyed by them.
    pub parameter_ids: BTreeMap<String, u64>,
}

/// A checkpoint in memory.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    /// What the file says about itself.
    pub header: Header,
    /// Raw weights; needed to resume.
    pub model: Option<BTreeMap<String, TensorData>>,
    /// Averaged weights.
    pub ema: BTreeMap<String, TensorData>,
    /// The optimiser's state as bytes; needed to resume.
    pub optimizer: Option<Vec<u8>>,
    /// Mean of the training images, d entries.
    pub data_mean: Vec<f32>,
    /// Variance of each entry of the training images.
    pub data_variance: Vec<f32>,
}

impl Checkpoint {
    /// Weights with the ids that the optimiser's state refers to.
    pub fn with_ids(&self, weights: BTreeMap<String, TensorData>) -> BTreeMap<String, Weight> {
        let ids = &self.header.parameter_ids;
        weights
            .into_iter()
            .map(|(path, data)| {
                let id = ids.get(&path).copied().unwrap_or_default();
                (path, Weight { id, data })
            })
            .collect()
    }

    /// What sampling needs: the averaged weights alone.
    pub fn for_sampling(self) -> Self {
        Self {
            model: None,
            optimizer: None,
            ..self
        }
    }

    /// Writes the file beside its place, flushes it to disk and renames it: a reader sees the old
    /// file or the new one, never a part.
    ///
    /// # Errors
    /// If the folder cannot be written (missing, no permission, disk full); the old file stays.
    pub fn save(&self, path: &Path) -> Result<(), DiffusionError> {
        let fail = |error: &dyn std::fmt::Display| {
            DiffusionError::file(
                path,
                format!(
                    "cannot write the checkpoint: {error}; free some space or choose another folder with --out"
                ),
            )
        };
        let moments = [
            ("data_mean", little_endian(&self.data_mean)),
            ("data_variance", little_endian(&self.data_variance)),
        ];
        let mut views = Vec::new();
        for (name, bytes) in &moments {
            let view = TensorView::new(Dtype::F32, vec![bytes.len() / 4], bytes);
            views.push(((*name).to_owned(), view.map_err(|e| fail(&e))?));
        }
        let groups = [("model", self.model.as_ref()), ("ema", Some(&self.ema))];
        for (group, weights) in groups {
            for (name, data) in weights.into_iter().flatten() {
                let shape = data.shape().iter().copied().collect();
                let view = TensorView::new(Dtype::F32, shape, data.as_bytes());
                views.push((format!("{group}/{name}"), view.map_err(|e| fail(&e))?));
            }
        }
        if let Some(bytes) = &self.optimizer {
            let view = TensorView::new(Dtype::U8, vec![bytes.len()], bytes);
            views.push(("optimizer".to_owned(), view.map_err(|e| fail(&e))?));
        }
        let header = serde_json::to_string(&self.header).map_err(|e| fail(&e))?;
        let metadata = [("sway".to_owned(), header)].into_iter().collect();
        let bytes = safetensors::serialize(views, Some(metadata)).map_err(|e| fail(&e))?;
        files::write(path, &bytes).map_err(|e| fail(&e.reason))
    }

    /// Reads a checkpoint.
    ///
    /// # Errors
    /// If the file is missing, truncated, not SafeTensors, not a checkpoint of Sway, or of a layout
    /// that this version does not know.
    pub fn load(path: &Path) -> Result<Self, DiffusionError> {
        let bytes = std::fs::read(path).map_err(|error| {
            DiffusionError::file(path, format!("cannot read the checkpoint: {error}"))
        })?;
        Self::from_bytes(&bytes, path)
    }

    /// Reads a checkpoint from memory; `path` names it in errors.
    ///
    /// # Errors
    /// As [`Checkpoint::load`], but for a missing file.
    pub fn from_bytes(bytes: &[u8], path: &Path) -> Result<Self, DiffusionError> {
        let broken = |error: safetensors::SafeTensorError| {
            DiffusionError::file(
                path,
                format!(
                    "not a complete SafeTensors file ({error}); train again or use another checkpoint"
                ),
            )
        };
        let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(broken)?;
        let tensors = SafeTensors::deserialize(bytes).map_err(broken)?;
        let header = metadata
            .metadata()
            .as_ref()
            .and_then(|entries| entries.get("sway"))
            .ok_or_else(|| {
                DiffusionError::file(path, "a SafeTensors file, but not a checkpoint of Sway")
            })?;
        let header: Header = serde_json::from_str(header).map_err(|error| {
            DiffusionError::file(path, format!("its header cannot be read: {error}"))
        })?;
        if header.format != FORMAT {
            return Err(DiffusionError::file(
                path,
                format!(
                    "written in layout {} by Sway {}, this version reads layout {FORMAT}",
                    header.format, header.version
                ),
            ));
        }

        let (mut model, mut ema, mut optimizer) = (BTreeMap::new(), BTreeMap::new(), None);
        let (mut data_mean, mut data_variance) = (Vec::new(), Vec::new());
        for (name, view) in tensors.tensors() {
            let bytes = view.data().to_vec();
            let data = || {
                let bytes = burn::tensor::Bytes::from_bytes_vec(bytes.clone());
                TensorData::from_bytes(bytes, view.shape().to_vec(), DType::F32)
            };
            match name.split_once('/') {
                Some(("model", path)) => drop(model.insert(path.to_owned(), data())),
                Some(("ema", path)) => drop(ema.insert(path.to_owned(), data())),
                _ if name == "optimizer" => optimizer = Some(bytes),
                _ if name == "data_mean" => data_mean = floats(&bytes),
                _ if name == "data_variance" => data_variance = floats(&bytes),
                _ => {
                    let message = format!("holds an unknown tensor {name}");
                    return Err(DiffusionError::file(path, message));
                }
            }
        }
        let d = header.network.dim();
        if data_mean.len() != d || data_variance.len() != d {
            let message = format!("its data_mean and data_variance should have {d} entries");
            return Err(DiffusionError::file(path, message));
        }
        Ok(Self {
            header,
            data_mean,
            data_variance,
            model: (!model.is_empty()).then_some(model),
            ema,
            optimizer,
        })
    }
}

fn little_endian(values: &[f32]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect()
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    let chunks = bytes.chunks_exact(4);
    chunks
        .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
        .collect()
}
