//! `loss.csv`.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// `step,loss` lines; a resumed run drops the lines after its checkpoint first.
pub struct LossLog {
    path: PathBuf,
    file: BufWriter<File>,
}

impl LossLog {
    /// Opens the log of a run that goes on after `step`.
    pub fn open(path: &Path, step: u64) -> Result<Self> {
        const TITLE: &str = "step,loss\n";
        let mut kept = TITLE.to_owned();
        if step > 0 {
            let before = std::fs::read(path).unwrap_or_default();
            let before = String::from_utf8_lossy(&before);
            let goes_on = |line: &&str| {
                let number = line.split(',').next().unwrap_or_default().parse::<u64>();
                number.is_ok_and(|number| number <= step)
            };
            kept.extend(
                before
                    .lines()
                    .filter(goes_on)
                    .map(|line| format!("{line}\n")),
            );
        }
        datasway_fs::write(path, kept.as_bytes())?;
        let file = OpenOptions::new().append(true).open(path);
        let file = file.with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self {
            path: path.to_owned(),
            file: BufWriter::new(file),
        })
    }

    /// Adds a line.
    pub fn push(&mut self, step: u64, loss: f32) -> Result<()> {
        writeln!(self.file, "{step},{loss}")
            .with_context(|| format!("cannot write {}", self.path.display()))
    }

    /// Flushes it to disk.
    pub fn flush(&mut self) -> Result<()> {
        let name = || format!("cannot write {}", self.path.display());
        self.file.flush().with_context(name)?;
        self.file.get_ref().sync_all().with_context(name)
    }
}
