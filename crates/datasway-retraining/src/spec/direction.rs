//! A change of the training data.

use std::ops::RangeInclusive;

use datasway_data::Selection;
use datasway_diffusion::validate::within;
use serde::{Deserialize, Serialize};

use crate::RetrainError;

/// Masses that can be added; the data have mass 1.
const ADDED_MASSES: RangeInclusive<f64> = 1e-9..=1e6;

/// Masses that can be removed from a group that is large enough.
const REMOVED_MASSES: RangeInclusive<f64> = 1e-9..=1.0;

/// A change of the training data by a signed mass η of a measure ν.
/// Exactly one of `add` and `remove` selects the images of ν.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DirectionSpec {
    /// The selection to add, such as `attr:Eyeglasses`.
    add: Option<String>,
    /// The selection to remove.
    remove: Option<String>,
    /// |η|: the mass added or removed; the data have mass 1.
    pub mass: f64,
    /// True for a validation direction, which may be used to select options such as the bandwidth.
    /// All other directions are test directions.
    #[serde(default, rename = "tuning")]
    pub validation: bool,
}

impl DirectionSpec {
    /// The selection of the images of ν, as text.
    pub fn selection(&self) -> &str {
        let text = self.add.as_deref().or(self.remove.as_deref());
        text.unwrap_or_default()
    }

    /// True if the images are removed: η < 0.
    pub fn is_removal(&self) -> bool {
        self.remove.is_some()
    }

    /// η.
    pub fn signed_mass(&self) -> f64 {
        if self.is_removal() {
            -self.mass
        } else {
            self.mass
        }
    }

    /// Name in files and tables, such as `add attr:Eyeglasses 0.3`.
    pub fn name(&self) -> String {
        self.name_with(self.selection())
    }

    /// The name with the canonical form of the selection, which all directions of the same meaning share.
    pub(super) fn canonical_name(&self) -> String {
        match Selection::parse(self.selection()) {
            Ok(selection) => self.name_with(&selection.canonical().to_string()),
            Err(_) => self.name(),
        }
    }

    fn name_with(&self, selection: &str) -> String {
        let verb = if self.is_removal() { "remove" } else { "add" };
        format!("{verb} {selection} {}", self.mass)
    }

    /// Checks that there is one selection and that the mass is in its range.
    pub(super) fn check(&self) -> Result<(), RetrainError> {
        if self.add.is_some() == self.remove.is_some() {
            return Err(RetrainError::experiment(
                "each direction needs one selection: either add or remove",
            ));
        }
        Selection::parse(self.selection())?;
        let masses = if self.is_removal() {
            REMOVED_MASSES
        } else {
            ADDED_MASSES
        };
        within(&format!("{}: the mass", self.name()), self.mass, masses)?;
        Ok(())
    }
}
