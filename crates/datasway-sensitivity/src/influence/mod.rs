//! Influence of single data points on functionals of samples, by the adjoint of the sampler.

mod adjoint;
mod batched;
mod functional;
mod log_odds;
mod principal;
mod running_sum;

pub use adjoint::{AdjointInfluence, StepContribution, forcings};
pub use batched::{FunctionalInfluences, Influences, RankedImage, compute};
pub use functional::{Distance, Functional, FunctionalContext, Linear, ValueAndGradient};
pub use log_odds::LogOdds;
pub use principal::Principal;
