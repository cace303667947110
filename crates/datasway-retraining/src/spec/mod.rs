//! The experiment file: its entries as typed values, checked when they are read.

mod benchmark;
mod checks;
mod counterfactual;
mod direction;
mod estimator;
mod experiment;
pub mod subsets;
mod training_config;
mod variant;
mod weights;

pub use benchmark::{Benchmark, SumSpec};
pub use counterfactual::{CounterfactualSpec, RemovalSpec};
pub use direction::DirectionSpec;
pub use estimator::{AverageSpec, CombinationSpec, SensitivityEstimator};
pub use experiment::Experiment;
pub use training_config::TrainingConfig;
pub use variant::{Variant, VariantKind};
pub use weights::WeightsSpec;
