//! The header of a checkpoint.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::config::UNetConfig;
use crate::precondition::Precondition;
use crate::unique;

/// Version of the layout that is written and read.
pub const FORMAT: u32 = 1;

/// Header of a checkpoint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckpointHeader {
    /// Layout of the file, [`FORMAT`].
    pub format: u32,
    /// Version of Datasway that wrote it.
    pub version: String,
    /// Shape of the network.
    pub network: UNetConfig,
    /// Standard deviation of the data, for the preconditioning.
    pub sigma_data: f64,
    /// The data set, as it was named on the command line.
    pub data: String,
    /// At most this many of its images were used.
    pub limit: Option<usize>,
    /// True if unreadable images were left out.
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
    #[serde(deserialize_with = "unique::map")]
    pub parameter_ids: BTreeMap<String, u64>,
}

/// The fields of a training configuration that are checked.
#[derive(Deserialize)]
struct Training {
    /// True if mirror images were trained on, too.
    #[expect(
        dead_code,
        reason = "it must be there: without it the data are taken for others"
    )]
    flip: bool,
    steps: Option<u64>,
    network: Option<UNetConfig>,
}

/// The part of a header that is common to all layouts.
#[derive(Deserialize)]
pub struct Layout {
    /// Layout of the file.
    pub format: u32,
    /// Version of Datasway that wrote it.
    pub version: String,
}

impl Layout {
    /// Checks the layout of a header before its other fields are read.
    ///
    /// # Errors
    /// If it is not a header, or has another layout than `format`.
    fn check(header: &str, format: u32) -> Result<(), String> {
        let layout: Self = serde_json::from_str(header).map_err(unreadable)?;
        if layout.format == format {
            Ok(())
        } else {
            Err(format!(
                "written in layout {} by Datasway {}, this version reads layout {format}",
                layout.format,
                layout.version.escape_debug()
            ))
        }
    }
}

/// Parses a header from JSON, of a checkpoint or of another file with the same [`Layout`], and validates it.
///
/// # Errors
/// A sentence, if it is not a header, has another layout than `format`, or `validate` fails.
pub fn parse<H: DeserializeOwned>(
    text: &str,
    format: u32,
    validate: impl FnOnce(&H) -> Result<(), String>,
) -> Result<H, String> {
    Layout::check(text, format)?;
    let header: H = serde_json::from_str(text).map_err(unreadable)?;
    validate(&header).map_err(|problem| format!("its header cannot be right: {problem}"))?;
    Ok(header)
}

/// Message for a header that cannot be parsed.
fn unreadable(error: serde_json::Error) -> String {
    format!("its header cannot be read: {error}")
}

impl CheckpointHeader {
    /// Parses a header from JSON and checks every number.
    ///
    /// # Errors
    /// A sentence that names the field.
    pub fn parse(text: &str) -> Result<Self, String> {
        parse(text, FORMAT, Self::validate)
    }

    fn validate(&self) -> Result<(), String> {
        self.network.validate().map_err(|error| error.to_string())?;
        if ![1, 3].contains(&self.network.image_channels) {
            return Err(format!(
                "images have 1 or 3 channels, not {}",
                self.network.image_channels
            ));
        }
        Precondition::new(self.sigma_data).map_err(|error| error.to_string())?;
        if self.limit == Some(0) {
            return Err("limit must be at least 1".to_owned());
        }
        let training: Training = toml::from_str(&self.training)
            .map_err(|error| format!("training is no configuration ({})", error.message()))?;
        if let Some(steps) = training.steps
            && self.step > steps
        {
            return Err(format!("step {} comes after the last, {steps}", self.step));
        }
        match training.network {
            Some(network) if network != self.network => {
                Err("network is not that of its training configuration".to_owned())
            }
            _ => Ok(()),
        }
    }
}
