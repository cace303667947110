//! Folders of shards: the run that they belong to, and a file for each batch.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail, ensure};
use datasway_fs::arrays::{self, Array};
use datasway_fs::counted;
use datasway_fs::output::{Kind, OutputFolder};
use datasway_fs::shard::Shard;
use datasway_sensitivity::SensitivityConfig;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::batches::batches;
use crate::replay::RecordedOptions;
use crate::run_info::RunInfo;

/// The run of a shard: which one it is, and of how many batches.
const RUN: &str = "run.json";
/// The derivative of the weights, with which the batches of a ranking through them are computed.
const SOLUTION: &str = "solution.safetensors";
/// Largest size of [`RUN`], in bytes.
const MAX_BYTES: u64 = 1 << 24;

/// The files of a shard, which grow in number.
static FOLDER: Kind = Kind {
    name: "shard of a run of `sensitivity`",
    files: &["batch-*.safetensors", SOLUTION, RUN],
    marks: &[(RUN, "\"batches\"")],
};

/// The arrays of a file.
pub type FileArrays<'a> = (&'a Path, BTreeMap<String, Array>);

/// `run.json`.
#[derive(Debug, Clone, Serialize)]
pub struct RecordedRun {
    run: Recorded,
    samples: usize,
    batches: usize,
}

#[derive(Debug, Clone, Serialize)]
struct Recorded {
    #[serde(flatten)]
    info: RunInfo,
    #[serde(flatten)]
    options: RecordedOptions,
}

/// The part of `run.json` that a merge reads.
#[derive(Deserialize)]
struct Batches {
    batches: usize,
}

/// The folder of one shard, claimed by this process.
pub struct ShardFolder {
    folder: OutputFolder,
}

/// Shards of one run that has all its batches.
#[derive(Debug, Clone)]
pub struct Shards {
    run: PathBuf,
    /// The file of each batch.
    files: Vec<PathBuf>,
}

impl RecordedRun {
    /// A run of so many samples and batches.
    pub fn new(info: RunInfo, options: RecordedOptions, [samples, batches]: [usize; 2]) -> Self {
        Self {
            run: Recorded { info, options },
            samples,
            batches,
        }
    }
}

impl ShardFolder {
    /// Claims the folder of a shard below `out`.
    ///
    /// # Errors
    /// If it cannot be written, holds foreign files, or another process is at it.
    pub fn open(out: &Path, shard: Shard) -> Result<Self> {
        let path = out.join(format!("shard-{}-of-{}", shard.index, shard.count));
        let folder = datasway_cli::output_folder(&path, &FOLDER)?;
        Ok(Self { folder })
    }

    /// Begins the run, or goes on with it.
    ///
    /// # Errors
    /// If the folder has batches of another run, or cannot be written.
    pub fn begin(&self, run: &RecordedRun) -> Result<()> {
        let path = self.folder.path().join(RUN);
        let run = serde_json::to_value(run)?;
        if path.exists() {
            let place = path.display();
            ensure!(
                value(&path)? == run,
                "{place}: is of another run, with other options, another model or another version: choose another folder with --out"
            );
            return Ok(());
        }
        self.folder.go_on()?;
        Ok(datasway_fs::write(&path, format!("{run:#}\n").as_bytes())?)
    }

    /// True if a batch is done.
    pub fn has(&self, batch: usize) -> bool {
        self.file(batch).exists()
    }

    /// Writes the results of a batch, completely or not at all.
    ///
    /// # Errors
    /// If the disk is full or not writable.
    pub fn write(&self, batch: usize, results: &BTreeMap<String, Array>) -> Result<()> {
        Ok(arrays::write(&self.file(batch), results)?)
    }

    /// The file of the derivative of the weights.
    pub fn solution(&self) -> PathBuf {
        self.folder.path().join(SOLUTION)
    }

    /// The folder of the shard.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    fn file(&self, batch: usize) -> PathBuf {
        self.folder.path().join(name(batch))
    }
}

impl Shards {
    /// Finds the batches of a run in folders of shards, or in folders of such folders.
    ///
    /// # Errors
    /// If there is no shard, the shards are of different runs, or a batch is missing.
    pub fn find(places: &[PathBuf]) -> Result<Self> {
        let mut folders = Vec::new();
        for place in places {
            folders.extend(shards_at(place)?);
        }
        let Some(first) = folders.first() else {
            bail!("there is no shard to merge: name the folders that --shard wrote");
        };
        let run = first.join(RUN);
        let recorded = value(&run)?;
        for folder in &folders[1..] {
            let other = folder.join(RUN);
            ensure!(
                value(&other)? == recorded,
                "{} and {} are of different runs: merge shards of one run",
                run.display(),
                other.display()
            );
        }
        let Batches { batches } = serde_json::from_value(recorded)
            .map_err(|error| anyhow!("{}: is not that of a shard ({error})", run.display()))?;
        let file = |batch: usize| {
            let mut files = folders.iter().map(|folder| folder.join(name(batch)));
            files.find(|file| file.exists())
        };
        // Sought one by one, so that a number of a damaged file reserves no memory.
        let mut files = Vec::new();
        for batch in 0..batches {
            files.push(file(batch).with_context(|| {
                format!(
                    "{}: batch {batch} of {batches} is in none of the folders: run the shard that has it to its end",
                    run.display()
                )
            })?);
        }
        Ok(Self { run, files })
    }

    /// The file that records the run and its options.
    pub fn run(&self) -> &Path {
        &self.run
    }

    /// The number of samples of each batch, in order, with its results and the file that they are from. `config` is that of the
    /// whole run.
    ///
    /// # Errors
    /// If the run has another number of batches.
    pub fn batches(
        &self,
        config: &SensitivityConfig,
    ) -> Result<impl Iterator<Item = (usize, Result<FileArrays<'_>>)>> {
        let counts: Vec<usize> = batches(config).map(|samples| samples.len()).collect();
        let (recorded, expected) = (self.files.len(), counts.len());
        ensure!(
            recorded == expected,
            "{}: names {}, and the run has {expected}: it was changed after it was written",
            self.run.display(),
            counted(recorded, "batch", "batches")
        );
        let files = self.files.iter();
        let results = files.map(|file| Ok((file.as_path(), arrays::read(file)?)));
        Ok(counts.into_iter().zip(results))
    }
}

/// The folders of shards at a place: itself, or those in it.
fn shards_at(place: &Path) -> Result<Vec<PathBuf>> {
    if place.join(RUN).exists() {
        return Ok(vec![place.to_owned()]);
    }
    ensure!(
        place.is_dir(),
        "{}: is not a folder that is there: name the folders that --shard wrote",
        place.display()
    );
    let entries = std::fs::read_dir(place).with_context(|| place.display().to_string())?;
    let entries: std::io::Result<Vec<_>> = entries.map(|entry| Ok(entry?.path())).collect();
    let mut folders = entries.with_context(|| place.display().to_string())?;
    folders.retain(|folder| folder.join(RUN).exists());
    ensure!(
        !folders.is_empty(),
        "{}: is not the folder of a shard and has none in it: name the folders that --shard wrote",
        place.display()
    );
    folders.sort();
    Ok(folders)
}

fn value(path: &Path) -> Result<Value> {
    let bytes = datasway_fs::read(path, MAX_BYTES)?;
    serde_json::from_slice(&bytes)
        .map_err(|error| anyhow!("{}: is not that of a shard ({error})", path.display()))
}

fn name(batch: usize) -> String {
    format!("batch-{batch:06}.safetensors")
}
