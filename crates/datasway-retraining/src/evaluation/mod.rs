//! Evaluation of predictions against the real changes of retrained and fine-tuned models.

pub mod agreement;
pub mod comparison;
mod concord;
pub mod correlates;
pub mod counterfactual;
pub mod directions;
pub mod lds;
mod linearity;
mod scope;
mod seeds;
mod selection;
pub mod weight_alignment;

pub use concord::Concord;
pub use linearity::Linearity;
pub use scope::{DirectionScope, Predictor, Scope, SeedScope};
pub use selection::SelectedEstimator;
