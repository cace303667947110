//! Checkpoints of score models in SafeTensors files, written completely or not at all.
//!
//! Tensors are named as follows.
//!
//! - `model/PATH`: raw weights.
//! - `ema/PATH`: averaged weights, which are used for sampling.
//! - `optimizer`: the optimiser's state, Burn's record as bytes.
//! - `data_mean`, `data_variance`: mean and variance of each entry of the training images, from which the log-density starts.
//! - `checksum`: see [`tensor_file`].
//!
//! The metadata entry `datasway` holds the [`CheckpointHeader`] as JSON. A checkpoint for sampling has no `model` and no `optimizer`.

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::{Device, TensorData};
use safetensors::tensor::{Dtype, TensorView};

pub use crate::header::{CheckpointHeader, FORMAT};

use crate::tensor_file::{self, FloatReader, Head, finite};
use crate::unet::UNet;
use crate::weights::{self, Weight};
use crate::{DiffusionError, range};

/// Metadata entry of the header.
const ENTRY: &str = "datasway";
/// Metadata entry of the header in checkpoints of earlier versions.
const EARLIER_ENTRY: &str = "sway";
/// Largest accepted mean of a pixel. Unscaled pixels lie in `[-1, 1]`.
const MAX_MEAN: f32 = 100.0;
/// Largest negative variance that is read as 0. Earlier versions subtracted squares, and rounding could make it negative.
const ROUNDING: f32 = 1e-6;

/// A checkpoint in memory.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    /// Header of the file.
    pub header: CheckpointHeader,
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
    /// Notices for the user about how the file was read, one sentence each.
    pub notices: Vec<String>,
}

impl Checkpoint {
    /// Weights with the ids that the optimiser's state refers to, or 0 if there are none.
    pub fn with_ids(&self, weights: BTreeMap<String, TensorData>) -> BTreeMap<String, Weight> {
        weights::with_ids(weights, &self.header.parameter_ids)
    }

    /// The network with the averaged weights, on a device.
    ///
    /// # Errors
    /// If weights are missing or do not fit the network that the header describes.
    pub fn averaged_network(&self, device: &Device) -> Result<UNet, DiffusionError> {
        let network = UNet::new(&self.header.network, device)?;
        let stored = self.with_ids(self.ema.clone());
        weights::apply(network, stored).map_err(DiffusionError::Invalid)
    }

    /// A checkpoint for sampling, with the averaged weights only.
    pub fn for_sampling(self) -> Self {
        Self {
            model: None,
            optimizer: None,
            ..self
        }
    }

    /// Writes the file, completely or not at all.
    ///
    /// # Errors
    /// If a weight is not finite, or the folder cannot be written (missing, no permission, disk full); the old file
    /// stays.
    pub fn save(&self, path: &Path) -> Result<(), DiffusionError> {
        self.check_finite()?;
        let fail = |error: &dyn std::fmt::Display| {
            DiffusionError::file(
                path,
                format!(
                    "cannot write the checkpoint: {error}; free some space or choose another folder"
                ),
            )
        };
        let moments = [
            ("data_mean", little_endian(&self.data_mean)),
            ("data_variance", little_endian(&self.data_variance)),
        ];
        let mut views = BTreeMap::new();
        for (name, bytes) in &moments {
            let view = TensorView::new(Dtype::F32, vec![bytes.len() / 4], bytes);
            views.insert((*name).to_owned(), view.map_err(|e| fail(&e))?);
        }
        for (name, data) in self.weights() {
            let shape = data.shape().iter().copied().collect();
            let view = TensorView::new(Dtype::F32, shape, data.as_bytes());
            views.insert(name, view.map_err(|e| fail(&e))?);
        }
        if let Some(bytes) = &self.optimizer {
            let view = TensorView::new(Dtype::U8, vec![bytes.len()], bytes);
            views.insert("optimizer".to_owned(), view.map_err(|e| fail(&e))?);
        }
        let header = serde_json::to_string(&self.header).map_err(|e| fail(&e))?;
        let bytes = tensor_file::serialize(ENTRY, header, views).map_err(|e| fail(&e))?;
        datasway_fs::write(path, &bytes).map_err(|e| fail(&e.reason))
    }

    /// Checks that every number is finite, which is not so if training has diverged.
    ///
    /// # Errors
    /// [`DiffusionError::NotFinite`] that names the first weight that is not, and the step.
    pub fn check_finite(&self) -> Result<(), DiffusionError> {
        let moments = [
            ("data_mean", &self.data_mean),
            ("data_variance", &self.data_variance),
        ];
        for (name, values) in moments {
            if values.iter().any(|value| !value.is_finite()) {
                let message = format!("{name} of the training images is not finite");
                return Err(DiffusionError::NotFinite(message));
            }
        }
        for (name, data) in self.weights() {
            finite(&name, data).map_err(|problem| {
                DiffusionError::NotFinite(format!(
                    "the model has diverged: at step {} {problem}; what was saved before is kept; \
                     try a lower learning rate",
                    self.header.step
                ))
            })?;
        }
        Ok(())
    }

    /// Raw and averaged weights by their names in the file.
    fn weights(&self) -> impl Iterator<Item = (String, &TensorData)> {
        let groups = [("model", self.model.as_ref()), ("ema", Some(&self.ema))];
        groups.into_iter().flat_map(|(group, weights)| {
            let named = move |(path, data)| (format!("{group}/{path}"), data);
            weights.into_iter().flatten().map(named)
        })
    }

    /// Reads a checkpoint.
    ///
    /// # Errors
    /// - The file is missing, truncated, damaged, not SafeTensors or not a checkpoint of Datasway.
    /// - Its layout is not [`FORMAT`].
    /// - Its tensors are not those of the network that its header describes.
    /// - A number is not finite or not of a float type.
    pub fn load(path: &Path) -> Result<Self, DiffusionError> {
        let check = |beginning: &[u8], length| begin(beginning, length, path).map(drop);
        let bytes = tensor_file::read(path, "checkpoint", check)?;
        Self::from_bytes(&bytes, path)
    }

    /// Reads a checkpoint from memory; `path` names it in errors.
    ///
    /// # Errors
    /// As [`Checkpoint::load`], except for a missing file.
    pub fn from_bytes(bytes: &[u8], path: &Path) -> Result<Self, DiffusionError> {
        let (head, header) = begin(bytes, bytes.len() as u64, path)?;
        Self::read(bytes, &head, header).map_err(|problem| DiffusionError::file(path, problem))
    }

    fn read(bytes: &[u8], head: &Head, header: CheckpointHeader) -> Result<Self, String> {
        let mut reader = FloatReader::default();
        let (mut model, mut ema, mut optimizer) = (BTreeMap::new(), BTreeMap::new(), None);
        let (mut data_mean, mut data_variance) = (Vec::new(), Vec::new());
        for (name, info) in &head.tensors {
            let bytes = head.bytes(info, bytes);
            if name == "optimizer" {
                optimizer = Some(bytes.to_vec());
                continue;
            }
            let view = TensorView::new(info.dtype, info.shape.clone(), bytes);
            let data = reader.read(name, &view.map_err(|error| error.to_string())?)?;
            match name.split_once('/') {
                Some(("model", path)) => drop(model.insert(path.to_owned(), data)),
                Some(_) => drop(ema.insert(name["ema/".len()..].to_owned(), data)),
                None if name == "data_mean" => data_mean = data.iter().collect(),
                None => data_variance = data.iter().collect(),
            }
        }
        let ranges = [
            ("data_mean", &data_mean, -MAX_MEAN..=MAX_MEAN),
            (
                "data_variance",
                &data_variance,
                -ROUNDING..=MAX_MEAN.powi(2),
            ),
        ];
        for (name, values, range) in ranges {
            let subject = format!("each entry of {name}");
            for value in values {
                range::check(&subject, *value, range.clone()).map_err(|error| error.to_string())?;
            }
        }
        Ok(Self {
            header,
            data_mean,
            data_variance: data_variance.iter().map(|v| v.max(0.0)).collect(),
            model: (!model.is_empty()).then_some(model),
            ema,
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
) -> Result<(Head, CheckpointHeader), DiffusionError> {
    let fail = |message: String| DiffusionError::file(path, message);
    let head = Head::parse(beginning, length, &[ENTRY, EARLIER_ENTRY]).map_err(|problem| {
        fail(format!(
            "not a complete SafeTensors file ({problem}); train again or use another checkpoint"
        ))
    })?;
    let head = head
        .ok_or_else(|| fail("a SafeTensors file, but not a checkpoint of Datasway: name the folder of a model of another library".to_owned()))?;
    let header = CheckpointHeader::parse(&head.header).map_err(fail)?;
    check_tensors(&head, &header).map_err(fail)?;
    Ok((head, header))
}

/// Checks that the tensors are those of the network that the header describes.
fn check_tensors(head: &Head, header: &CheckpointHeader) -> Result<(), String> {
    // Only the shapes of this network are used, so no weight is drawn.
    let network = UNet::new(&header.network, &Device::flex()).map_err(|error| error.to_string())?;
    let needed = weights::shapes(&network);
    let (mut model, mut ema) = (BTreeMap::new(), BTreeMap::new());
    for (name, info) in &head.tensors {
        let shape = info.shape.as_slice();
        match name.split_once('/') {
            Some(("model", path)) => drop(model.insert(path, shape)),
            Some(("ema", path)) => drop(ema.insert(path, shape)),
            _ if name == "optimizer" && info.dtype != Dtype::U8 => {
                return Err(format!("optimizer should hold bytes, not {:?}", info.dtype));
            }
            _ if ["optimizer", "data_mean", "data_variance"].contains(&name.as_str()) => (),
            _ => return Err(format!("holds an unknown tensor {name:?}")),
        }
    }
    let d = header.network.dim();
    for name in ["data_mean", "data_variance"] {
        if head.tensors.get(name).is_none_or(|info| info.shape != [d]) {
            return Err(format!("{name} should be there and have {d} entries"));
        }
    }
    for (group, shapes) in [("model", model), ("ema", ema)] {
        // A checkpoint for sampling has no raw weights.
        if group != "model" || !shapes.is_empty() {
            let fits = weights::check_shapes(&needed, shapes);
            fits.map_err(|problem| {
                format!("its {group} weights do not fit the network of its header: {problem}")
            })?;
        }
    }
    weights::check_paths(&needed, header.parameter_ids.keys())
}

fn little_endian(values: &[f32]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect()
}
