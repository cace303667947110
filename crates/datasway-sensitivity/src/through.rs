//! The part of a model that a derivative goes through.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The part of a model whose change with the data is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Through {
    /// The ideal score of the training data.
    Data,
    /// The weights of the network.
    Weights,
}

impl fmt::Display for Through {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Data => "data",
            Self::Weights => "weights",
        })
    }
}
