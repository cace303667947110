//! The loss log `loss.csv`.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use datasway_fs::WriteError;

/// First line of a log.
const TITLE: &str = "step,loss\n";

/// A file of `step,loss` lines that grows in place. A resumed run first drops the lines after its checkpoint.
#[derive(Debug)]
pub struct LossLog {
    path: PathBuf,
    file: BufWriter<File>,
}

impl LossLog {
    /// Opens the log of a run that continues after `step` and keeps the lines up to that step.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn open(path: &Path, step: u64) -> Result<Self, WriteError> {
        let mut text = TITLE.to_owned();
        if step > 0 {
            let earlier = std::fs::read(path).unwrap_or_default();
            let earlier = String::from_utf8_lossy(&earlier);
            let up_to_step = |line: &&str| {
                let number = line.split(',').next().unwrap_or_default().parse::<u64>();
                number.is_ok_and(|number| number <= step)
            };
            let lines = earlier.lines().filter(up_to_step);
            text.extend(lines.map(|line| format!("{line}\n")));
        }
        datasway_fs::write(path, text.as_bytes())?;
        let file = OpenOptions::new().append(true).open(path);
        let file = file.map_err(|reason| WriteError {
            path: path.to_owned(),
            reason,
        })?;
        Ok(Self {
            path: path.to_owned(),
            file: BufWriter::new(file),
        })
    }

    /// Adds a line.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn push(&mut self, step: u64, loss: f32) -> Result<(), WriteError> {
        writeln!(self.file, "{step},{loss}").map_err(|reason| self.failed(reason))
    }

    /// Flushes all lines to disk.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn flush(&mut self) -> Result<(), WriteError> {
        let flushed = self.file.flush();
        let synced = flushed.and_then(|()| self.file.get_ref().sync_all());
        synced.map_err(|reason| self.failed(reason))
    }

    fn failed(&self, reason: std::io::Error) -> WriteError {
        WriteError {
            path: self.path.clone(),
            reason,
        }
    }
}
