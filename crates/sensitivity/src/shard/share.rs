//! One share of a run, computed batch by batch.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Result;
use datasway_cli::progress_bar;
use datasway_fs::arrays::Array;
use datasway_fs::counted;
use datasway_fs::shard::Shard;

use super::folder::{RecordedRun, ShardFolder};
use crate::replay::FromArgs;
use crate::run_info::RunInfo;

/// A share of a run, with its folder claimed by this process.
pub struct Share {
    shard: Shard,
    folder: ShardFolder,
}

/// A run that is computed in shares.
pub struct SharedRun<P> {
    /// Model and options, before anything is computed.
    pub info: RunInfo,
    /// Number of samples.
    pub samples: usize,
    /// The parts of one batch each, in order.
    pub parts: Vec<P>,
}

impl Share {
    /// Claims the folder of a share below `out`.
    ///
    /// # Errors
    /// If it cannot be written, holds foreign files, or another process is at it.
    pub fn open(out: &Path, shard: Shard) -> Result<Self> {
        let folder = ShardFolder::open(out, shard)?;
        Ok(Self { shard, folder })
    }

    /// The file of the derivative of the weights.
    pub fn solution(&self) -> PathBuf {
        self.folder.solution()
    }

    /// Computes the batches of this share that its folder does not have, and writes each when it is done. `prepare` makes what
    /// they have in common, and is not called if all are done.
    ///
    /// # Errors
    /// If the folder is of another run, or a batch cannot be computed or written.
    pub fn compute<P, C>(
        &self,
        run: SharedRun<P>,
        replay: &FromArgs,
        prepare: impl FnOnce() -> Result<C>,
        compute: impl Fn(&C, P) -> Result<BTreeMap<String, Array>>,
    ) -> Result<()> {
        replay.check_model(&run.info)?;
        let sizes = [run.samples, run.parts.len()];
        let options = replay.recorded.clone();
        self.folder
            .begin(&RecordedRun::new(run.info, options, sizes))?;
        let parts = run.parts.into_iter().enumerate();
        let parts: Vec<(usize, P)> = parts.filter(|(i, _)| self.shard.has(*i)).collect();
        let count = parts.len();
        let missing = parts.into_iter().filter(|(i, _)| !self.folder.has(*i));
        let missing: Vec<(usize, P)> = missing.collect();
        if !missing.is_empty() {
            let common = prepare()?;
            let bar = progress_bar(count as u64, "{bar:30} {pos}/{len} batches  {eta} left")?;
            bar.inc((count - missing.len()) as u64);
            for (i, part) in missing {
                self.folder.write(i, &compute(&common, part)?)?;
                bar.inc(1);
            }
            bar.finish_and_clear();
        }
        datasway_cli::tell(format!(
            "share {}: {} in {}",
            self.shard,
            counted(count, "batch", "batches"),
            self.folder.path().display()
        ));
        Ok(())
    }
}
