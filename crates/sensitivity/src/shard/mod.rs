//! Shards of a run: several processes or machines compute its batches, and `sensitivity merge` joins them.
//!
//! A batch is the unit: it is computed as the whole run computes it, so its numbers have the same bytes.

mod arrays;
mod batches;
mod folder;
pub mod influence;
pub mod merge;
pub mod rank;
mod share;
pub mod solver_report;
pub mod weight_change;

use clap::Args;
use datasway_fs::shard::Shard;

pub use batches::batches;
pub use folder::Shards;
pub use share::{Share, SharedRun};

/// The share of a run that a process computes.
#[derive(Args)]
pub struct ShardArgs {
    /// Compute one share of N of the batches, 0/N … (N-1)/N, and write it to OUT/shard-I-of-N; `sensitivity merge` joins the
    /// shares. A share that was interrupted goes on where it was
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,
    /// The shards whose results take the place of the computation.
    #[arg(skip)]
    pub merged: Option<Shards>,
}

impl ShardArgs {
    /// The share; none for the whole run.
    pub fn shard(&self) -> Option<Shard> {
        self.shard
    }
}
