//! Influence of single data points on functionals of samples, by the adjoint of the sampler.

mod accumulated;
mod adjoint;
mod assembled;
mod batched;
mod functional;
mod log_odds;
mod principal;
mod ranked;
mod ritz;
mod running_sum;
mod stacked;
mod stacked_changes;
mod through_weights;
mod warning;

pub use adjoint::{AdjointInfluence, StepContribution, forcings};
pub use batched::{
    CandidateInfluences, FunctionalInfluences, Influences, compute, compute_with_candidates,
};
pub use functional::{Distance, Functional, FunctionalContext, Linear, ValueAndGradient};
pub use log_odds::LogOdds;
pub use principal::Principal;
pub use ranked::RankedImage;
pub use stacked::MAX_KEPT;
pub use through_weights::{WeightInfluenceSolver, compute_through_weights, solved_together};
pub use warning::{CLEAR_OF_RESIDUAL, InfluenceWarning, MAX_IMBALANCE};
