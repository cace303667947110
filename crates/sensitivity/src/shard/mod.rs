//! Shards of a run: several processes or machines compute its batches, and `sensitivity merge` joins them.
//!
//! A batch is the unit: it is computed as the whole run computes it, so its numbers have the same bytes.

mod arrays;
mod folder;
pub mod influence;
pub mod merge;
pub mod rank;

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use clap::Args;
use datasway_fs::arrays::Array;
use datasway_fs::counted;
use datasway_fs::shard::Shard;
use datasway_sensitivity::{ResolvedConfig, Through};
use indicatif::{ProgressBar, ProgressStyle};

pub use folder::{RecordedRun, ShardFolder, Shards};

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

    /// Checks that a run can be computed in shares.
    ///
    /// # Errors
    /// If it is through the weights.
    pub fn check(&self, through: Through) -> Result<()> {
        ensure!(
            self.shard.is_none() || through == Through::Data,
            "--shard is for --through data: the derivative of the weights is solved once for all samples"
        );
        Ok(())
    }
}

/// Computes the batches of a share that the folder does not have, and writes each when it is done.
///
/// # Errors
/// If a batch cannot be computed or written.
pub fn for_each_batch(
    config: &ResolvedConfig,
    shard: Shard,
    folder: &ShardFolder,
    compute: impl Fn(&ResolvedConfig) -> Result<BTreeMap<String, Array>>,
) -> Result<()> {
    let batches: Vec<(usize, ResolvedConfig)> = config
        .parts()
        .enumerate()
        .filter(|(i, _)| shard.has(*i))
        .collect();
    let count = batches.len();
    let bar = ProgressBar::new(count as u64);
    bar.set_style(ProgressStyle::with_template(
        "{bar:30} {pos}/{len} batches  {eta} left",
    )?);
    for (i, part) in batches {
        if !folder.has(i) {
            folder.write(i, &compute(&part)?)?;
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    datasway_cli::tell(format!(
        "share {shard}: {} in {}",
        counted(count, "batch", "batches"),
        folder.path().display()
    ));
    Ok(())
}
