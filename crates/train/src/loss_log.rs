//! `loss.csv`.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// `step,loss` lines; a resumed run drops the lines after its checkpoint first.
pub struct LossLog {
    path: PathBuf,
    file: std::io::BufWriter<std::fs::File>,
}

impl LossLog {
    /// Opens the log of a run that goes on after `step`.
    pub fn open(path: &Path, step: u64) -> Result<Self> {
        let name = || format!("cannot write {}", path.display());
        let kept: String = if step == 0 {
            "step,loss\n".to_owned()
        } else {
            let before = std::fs::read_to_string(path).unwrap_or_else(|_| "step,loss\n".into());
            let lines = before.lines().filter(|line| {
                let number = line.split(',').next().unwrap_or_default().parse::<u64>();
                number.map_or(line.starts_with("step"), |number| number <= step)
            });
            lines.map(|line| format!("{line}\n")).collect()
        };
        let mut file = std::io::BufWriter::new(std::fs::File::create(path).with_context(name)?);
        file.write_all(kept.as_bytes()).with_context(name)?;
        Ok(Self {
            path: path.to_owned(),
            file,
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
