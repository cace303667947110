//! The experiment file: its entries as typed values, checked when they are read.

mod benchmark;
mod checks;
mod counterfactual;
mod direction;
mod estimator;
mod experiment;
pub mod subsets;
mod variant;

pub use benchmark::{Benchmark, SumSpec};
pub use counterfactual::{CounterfactualSpec, RemovalSpec};
pub use direction::DirectionSpec;
pub use estimator::{CombinationSpec, SensitivityEstimator, WeightsSpec};
pub use experiment::Experiment;
pub use variant::{Variant, VariantKind};
