//! The file from which a fine-tuning is continued, in SafeTensors.
//!
//! It holds the raw weights `model/PATH`, the averaged ones `ema/PATH`, the optimiser's state `optimizer` as bytes, and the
//! [`FineTuneHeader`] as JSON in the metadata entry `datasway-fine-tuning`.

use std::collections::BTreeMap;
use std::path::Path;

use burn::module::Module;
use burn::tensor::TensorData;
use datasway_data::{Crop, Filter};
use datasway_diffusion::DiffusionError;
use datasway_diffusion::pixels::PixelRange;
use datasway_diffusion::tensor_file::{self, FloatReader, Head, finite};
use datasway_diffusion::{header, unique, weights};
use safetensors::tensor::{Dtype, TensorView};
use serde::{Deserialize, Serialize};

/// Version of the layout that is written and read.
pub(super) const FORMAT: u32 = 1;
/// Metadata entry of the header.
const ENTRY: &str = "datasway-fine-tuning";

/// Header of the file: everything that decides how the run goes on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FineTuneHeader {
    /// Layout of the file.
    pub format: u32,
    /// Version of Datasway that wrote it.
    pub version: String,
    /// SHA-256 of the files of the model that the run began with.
    pub base_fingerprint: String,
    /// The class that is trained, of a model with classes.
    pub class: Option<usize>,
    /// The range of the model's pixels.
    pub pixels: PixelRange,
    /// The data set, as it was named on the command line.
    pub data: String,
    /// At most this many of its images are used.
    pub limit: Option<usize>,
    /// True if unreadable images were left out.
    pub skip_bad: bool,
    /// The part of a picture that becomes an image.
    pub crop: Crop,
    /// The filter of the resize.
    pub filter: Filter,
    /// Fingerprint of the decoded images.
    pub fingerprint: String,
    /// Optimiser steps taken.
    pub step: u64,
    /// The configuration, as TOML.
    pub training: String,
    /// Burn's parameter ids by path; the optimiser's state is keyed by them.
    #[serde(deserialize_with = "unique::map")]
    pub parameter_ids: BTreeMap<String, u64>,
}

/// A fine-tuning between two steps.
#[derive(Debug, Clone)]
pub struct FineTuneState {
    /// Header of the file.
    pub header: FineTuneHeader,
    /// Raw weights.
    pub model: BTreeMap<String, TensorData>,
    /// Averaged weights.
    pub ema: BTreeMap<String, TensorData>,
    /// The optimiser's state as bytes.
    pub optimizer: Vec<u8>,
}

impl FineTuneState {
    /// Writes the file, completely or not at all.
    ///
    /// # Errors
    /// If a weight is not finite, or the folder cannot be written; an old file stays.
    pub fn save(&self, path: &Path) -> Result<(), DiffusionError> {
        self.check_finite()?;
        let fail = |error: &dyn std::fmt::Display| {
            DiffusionError::file(
                path,
                format!(
                    "cannot write the state of the run: {error}; free some space or choose another folder"
                ),
            )
        };
        let mut views = BTreeMap::new();
        for (name, data) in self.weights() {
            let shape = data.shape().iter().copied().collect();
            let view = TensorView::new(Dtype::F32, shape, data.as_bytes());
            views.insert(name, view.map_err(|e| fail(&e))?);
        }
        let state = TensorView::new(Dtype::U8, vec![self.optimizer.len()], &self.optimizer);
        views.insert("optimizer".to_owned(), state.map_err(|e| fail(&e))?);
        let header = serde_json::to_string(&self.header).map_err(|e| fail(&e))?;
        let bytes = tensor_file::serialize(ENTRY, header, views).map_err(|e| fail(&e))?;
        datasway_fs::write(path, &bytes).map_err(|e| fail(&e.reason))
    }

    /// The state without what is needed to continue: raw weights are the averaged ones, and the optimiser has no state.
    pub fn for_sampling(self) -> Self {
        Self {
            model: self.ema.clone(),
            optimizer: Vec::new(),
            ..self
        }
    }

    /// A network with the averaged weights in the place of its own.
    ///
    /// # Errors
    /// If the weights are those of another network.
    pub fn averaged<M: Module>(self, network: M) -> Result<M, DiffusionError> {
        let averaged = weights::with_ids(self.ema, &self.header.parameter_ids);
        weights::apply(network, averaged).map_err(DiffusionError::Invalid)
    }

    /// Checks that every weight is finite, which is not so if training has diverged.
    ///
    /// # Errors
    /// [`DiffusionError::NotFinite`] that names the first weight that is not, and the step.
    pub fn check_finite(&self) -> Result<(), DiffusionError> {
        for (name, data) in self.weights() {
            finite(&name, data).map_err(|problem| {
                DiffusionError::NotFinite(format!(
                    "the model has diverged: at step {} {problem}; what was saved before is kept; try a lower learning rate",
                    self.header.step
                ))
            })?;
        }
        Ok(())
    }

    /// Raw and averaged weights by their names in the file.
    fn weights(&self) -> impl Iterator<Item = (String, &TensorData)> {
        let groups = [("model", &self.model), ("ema", &self.ema)];
        groups.into_iter().flat_map(|(group, weights)| {
            (weights.iter()).map(move |(path, data)| (format!("{group}/{path}"), data))
        })
    }

    /// Reads a file of a network with parameters of these shapes.
    ///
    /// # Errors
    /// If it is missing, truncated or damaged, of another kind or layout, or its tensors are not those of the network.
    pub fn load(
        path: &Path,
        shapes: &BTreeMap<String, Vec<usize>>,
    ) -> Result<Self, DiffusionError> {
        let check = |beginning: &[u8], length| begin(beginning, length, path, shapes).map(drop);
        let bytes = tensor_file::read(path, "state of the run", check)?;
        let (head, header) = begin(&bytes, bytes.len() as u64, path, shapes)?;
        Self::read(&bytes, &head, header).map_err(|problem| DiffusionError::file(path, problem))
    }

    fn read(bytes: &[u8], head: &Head, header: FineTuneHeader) -> Result<Self, String> {
        let mut reader = FloatReader::default();
        let (mut model, mut ema, mut optimizer) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
        for (name, info) in &head.tensors {
            let bytes = head.bytes(info, bytes);
            let Some((group, path)) = name.split_once('/') else {
                optimizer = bytes.to_vec();
                continue;
            };
            let view = TensorView::new(info.dtype, info.shape.clone(), bytes);
            let data = reader.read(name, &view.map_err(|error| error.to_string())?)?;
            let weights = if group == "model" {
                &mut model
            } else {
                &mut ema
            };
            weights.insert(path.to_owned(), data);
        }
        match reader.finish(head, bytes)?.first() {
            None => Ok(Self {
                header,
                model,
                ema,
                optimizer,
            }),
            Some(notice) => Err(format!(
                "another program rewrote it ({notice}), and the run would not go on as it was: start again in a new folder"
            )),
        }
    }
}

/// Reads the beginning of a file of `length` bytes and checks names, types and shapes before the tensors are read.
fn begin(
    beginning: &[u8],
    length: u64,
    path: &Path,
    shapes: &BTreeMap<String, Vec<usize>>,
) -> Result<(Head, FineTuneHeader), DiffusionError> {
    let fail = |message: String| DiffusionError::file(path, message);
    let head = Head::parse(beginning, length, &[ENTRY]).map_err(|problem| {
        fail(format!(
            "not a complete SafeTensors file ({problem}): start again in a new folder"
        ))
    })?;
    let head = head.ok_or_else(|| {
        fail("a SafeTensors file, but not the state of a fine-tuning: leave out the model to begin with, or choose another folder".to_owned())
    })?;
    let header = header::parse(&head.header, FORMAT, |_: &FineTuneHeader| Ok(())).map_err(fail)?;
    check_tensors(&head, &header, shapes).map_err(fail)?;
    Ok((head, header))
}

/// Checks that the tensors are those of a network with parameters of these shapes.
fn check_tensors(
    head: &Head,
    header: &FineTuneHeader,
    shapes: &BTreeMap<String, Vec<usize>>,
) -> Result<(), String> {
    let mut groups = BTreeMap::from([("model", BTreeMap::new()), ("ema", BTreeMap::new())]);
    let mut has_state = false;
    for (name, info) in &head.tensors {
        let named = name.split_once('/');
        let group = named.and_then(|(group, path)| Some((groups.get_mut(group)?, path)));
        match group {
            Some((group, path)) => drop(group.insert(path, info.shape.as_slice())),
            None if name == "optimizer" && info.dtype == Dtype::U8 => has_state = true,
            None => return Err(format!("holds an unknown tensor {name:?}")),
        }
    }
    if !has_state {
        return Err("has no state of the optimiser: start again in a new folder".to_owned());
    }
    for (group, stored) in groups {
        weights::check_shapes(shapes, stored).map_err(|problem| {
            format!(
                "its {group} weights do not fit the network of the model that is fine-tuned: {problem}"
            )
        })?;
    }
    weights::check_paths(shapes, header.parameter_ids.keys())
}
