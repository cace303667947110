//! The sidecar `datasway.toml` beside a model of another library: what its own files do not say.

use std::io::ErrorKind;
use std::path::Path;

use datasway_data::{Crop, Filter};
use datasway_diffusion::DiffusionError;
use datasway_diffusion::pixels::PixelRange;
use datasway_fs::ReadError;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::fine_tune::NoiseLevels;

/// Name of the file.
pub const SIDECAR: &str = "datasway.toml";
/// Largest size of the file in bytes. Long tables of noise levels fit.
const MOST_BYTES: u64 = 1 << 20;

/// The training of a model by `train`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnTraining {
    /// The model that it began with, if it is a fine-tuning.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base: Option<String>,
    /// SHA-256 of that model's configuration and weights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base_fingerprint: Option<String>,
    /// Optimiser steps.
    pub steps: u64,
    /// Seed of batches, flips and noise, and of the weights that it began with.
    pub seed: u64,
    /// The noise levels.
    pub noise: NoiseLevels,
}

/// The data of a model of another library, and settings where its files are silent.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sidecar {
    /// The training images, as [`Source::parse`](datasway_data::Source::parse) reads them.
    pub data: Option<String>,
    /// At most this many of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Leaves out images that cannot be read.
    pub skip_bad: bool,
    /// The part of a picture that becomes an image.
    pub crop: Crop,
    /// The filter of the resize.
    pub filter: Filter,
    /// True if the model was trained on mirror images too.
    pub flip: bool,
    /// The range of pixels, in the place of that of the pipeline.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pixels: Option<PixelRange>,
    /// The class, from 0, of a model with classes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<usize>,
    /// The weight of classifier-free guidance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guidance: Option<f64>,
    /// Fingerprint of the images. Other images are refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_fingerprint: Option<String>,
    /// SHA-256 of the model's configuration and weights. Another model is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model_fingerprint: Option<String>,
    /// The configuration of the scheduler, with prediction type and noise levels, in the place of the one beside the model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheduler: Option<Value>,
    /// The training of the model, if `train` made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub training: Option<OwnTraining>,
}

impl Sidecar {
    /// Reads the sidecar in a folder; `None` if there is none.
    ///
    /// # Errors
    /// If it cannot be read, has an unknown key, or a value that cannot be meant.
    pub fn read(folder: &Path) -> Result<Option<Self>, DiffusionError> {
        let path = folder.join(SIDECAR);
        let failed = |reason: String| DiffusionError::file(&path, reason);
        let text = match datasway_fs::read_text(&path, MOST_BYTES) {
            Ok(text) => text,
            // The path of a model that is a file has no sidecar either.
            Err(ReadError::System { reason, .. })
                if [ErrorKind::NotFound, ErrorKind::NotADirectory].contains(&reason.kind()) =>
            {
                return Ok(None);
            }
            Err(ReadError::System { reason, .. }) => {
                return Err(failed(format!("it cannot be read ({reason})")));
            }
            Err(ReadError::NotFile(_)) => return Err(failed("it is not a file".to_owned())),
            Err(ReadError::TooLarge { most, .. }) => {
                return Err(failed(format!("it has more than {most} bytes")));
            }
        };
        let sidecar: Self = toml::from_str(&text).map_err(|error| failed(reason(&error, &text)))?;
        if sidecar.scheduler.as_ref().is_some_and(has_null) {
            return Err(failed(
                "scheduler has a number that is not finite".to_owned(),
            ));
        }
        if let Some(training) = &sidecar.training {
            let checked = training.noise.check();
            checked.map_err(|error| failed(format!("training: {error}")))?;
        }
        match sidecar.guidance {
            Some(weight) if !weight.is_finite() => Err(failed("guidance is no number".to_owned())),
            Some(_) if sidecar.class.is_none() => Err(failed("guidance needs a class".to_owned())),
            _ => Ok(Some(sidecar)),
        }
    }

    /// Writes the sidecar into a folder, whole or not at all.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write(&self, folder: &Path) -> Result<(), DiffusionError> {
        let path = folder.join(SIDECAR);
        let failed = |reason: String| DiffusionError::file(&path, reason);
        let text = toml::to_string(self).map_err(|error| failed(error.to_string()))?;
        datasway_fs::write(&path, text.as_bytes()).map_err(|error| failed(error.to_string()))
    }

    /// Checks that images and model are those that the sidecar names.
    ///
    /// # Errors
    /// If one of them is another.
    pub fn check(
        &self,
        folder: &Path,
        data: Option<&str>,
        model: &str,
    ) -> Result<(), DiffusionError> {
        let other = |named: &Option<String>, found: Option<&str>| matches!((named, found), (Some(named), Some(found)) if named != found);
        let failed = |reason: &str| Err(DiffusionError::file(folder.join(SIDECAR), reason));
        if other(&self.model_fingerprint, Some(model)) {
            return failed(
                "model_fingerprint is that of another model: check the model and delete the line",
            );
        }
        if other(&self.data_fingerprint, data) {
            return failed(
                "data_fingerprint is that of other images: restore them, or check the model and delete the line",
            );
        }
        Ok(())
    }
}

/// The line of the file that an error of TOML is about, with its number and its field, and the error.
fn reason(error: &toml::de::Error, text: &str) -> String {
    let message = datasway_fs::one_line(error.message());
    let before = error.span().and_then(|span| text.get(..span.start));
    let Some(before) = before else {
        return message;
    };
    let number = before.matches('\n').count();
    let line = text.lines().nth(number).unwrap_or_default();
    // The message names a field that is unknown, and no other.
    let field = line.split('=').next().unwrap_or_default().trim();
    let named = field.is_empty() || message.contains(field);
    let field = if named { "" } else { &format!(", {field}") };
    format!("line {}{field}: {message}", number + 1)
}

/// True if a value holds null somewhere, which a number of TOML that is not finite becomes.
fn has_null(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(values) => values.iter().any(has_null),
        Value::Object(fields) => fields.values().any(has_null),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sidecar_is_read_back_and_an_absent_one_is_none() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Sidecar::read(dir.path()).unwrap(), None);
        let full = Sidecar {
            data: Some("folder:faces".to_owned()),
            limit: Some(5),
            skip_bad: true,
            crop: Crop::Center,
            filter: Filter::BilinearNoAntialias,
            flip: true,
            pixels: Some(PixelRange::ZeroToOne),
            class: Some(3),
            guidance: Some(1.5),
            data_fingerprint: Some("a".to_owned()),
            model_fingerprint: Some("b".to_owned()),
            scheduler: Some(serde_json::json!({ "prediction_type": "epsilon", "beta_end": 0.02 })),
            training: Some(OwnTraining {
                base: Some("models/faces".to_owned()),
                base_fingerprint: Some("c".to_owned()),
                steps: 7,
                seed: 1,
                noise: NoiseLevels::OfModel,
            }),
        };
        for sidecar in [full, Sidecar::default()] {
            sidecar.write(dir.path()).unwrap();
            assert_eq!(Sidecar::read(dir.path()).unwrap(), Some(sidecar));
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_its_field() {
        let dir = tempfile::tempdir().unwrap();
        for (text, words) in [
            (
                "crop = \"center\"\ncolour = 1",
                "line 2: unknown field `colour`",
            ),
            ("crop = \"left\"", "stretch"),
            ("filter = 3", "line 1, filter: wanted"),
            ("pixels = \"[0, 255]\"", "[-1, 1]"),
            ("[training]\nbase = 3", "base"),
            (
                "[training]\nbase = \"\"\nbase_fingerprint = \"\"\nsteps = 1\nseed = 0\nnoise = \"other\"",
                "mean = -1.2",
            ),
            ("guidance = 2.0", "class"),
            ("class = 1\nguidance = nan", "guidance"),
            ("class = -1", "class"),
            ("[scheduler]\nbeta_start = nan", "scheduler"),
            ("[scheduler]\ntrained_betas = [0.1, inf]", "scheduler"),
            ("data = ", "data"),
        ] {
            std::fs::write(dir.path().join(SIDECAR), text).unwrap();
            let error = Sidecar::read(dir.path()).unwrap_err().to_string();
            assert!(error.contains(words) && error.contains(SIDECAR), "{error}");
            assert!(!error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn other_images_and_other_models_are_refused() {
        let sidecar = Sidecar {
            data_fingerprint: Some("a".to_owned()),
            model_fingerprint: Some("b".to_owned()),
            ..Sidecar::default()
        };
        let check = |data, model| sidecar.check(Path::new("m"), data, model);
        check(Some("a"), "b").unwrap();
        check(None, "b").unwrap();
        assert!(
            check(Some("c"), "b")
                .unwrap_err()
                .to_string()
                .contains("data_fingerprint")
        );
        assert!(
            check(Some("a"), "c")
                .unwrap_err()
                .to_string()
                .contains("model_fingerprint")
        );
        Sidecar::default()
            .check(Path::new("m"), Some("c"), "d")
            .unwrap();
    }
}
