//! The statistics of the protocol. All of them agree with SciPy (`tests/statistics.rs`).

mod bootstrap;
mod correlation;
mod summary;
mod wilcoxon;

pub use bootstrap::bootstrap;
pub use correlation::{pearson, precision, spearman};
pub use sensitivity::validation::statistics::{quantile, ranks};
pub use summary::median;
pub use wilcoxon::{SignedRank, signed_rank};
