//! `sensitivity merge`: the results of shards in one folder, as one run writes it.

use std::path::PathBuf;

use anyhow::{Context, Result};

use super::folder::Shards;

/// Joins what `--shard` computed into the folder that one run writes, with the same bytes but for times and memory. The options
/// are those that the shards record; the model and its training images must be where they were.
#[derive(clap::Args)]
pub struct MergeArgs {
    /// Folders of shards, or folders that hold them
    #[arg(required = true, value_name = "FOLDER")]
    shards: Vec<PathBuf>,
    /// Folder of the results
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
}

impl MergeArgs {
    /// The shards, and the words of the command line that does their run again and finds it computed.
    ///
    /// # Errors
    /// If a folder is not that of a shard, the shards are of different runs, or a batch is missing.
    pub fn run(&self) -> Result<(Shards, Vec<String>)> {
        let shards = Shards::find(&self.shards)?;
        let mut words = crate::replay::command(shards.run())?;
        for (option, path) in [("--from", shards.run()), ("--out", &self.out)] {
            let path = path.to_str();
            let path = path.with_context(|| format!("{option}: a path that is not UTF-8"))?;
            words.extend([option.to_owned(), path.to_owned()]);
        }
        Ok((shards, words))
    }
}
