//! `retrain run`: the jobs that are not done.

use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use clap::Args;
use datasway_cli::{stop_on_ctrl_c, tell};
use datasway_fs::shard::Shard;
use datasway_retraining::RetrainError;
use datasway_retraining::jobs::{Executor, Progress, RunStatus, run};

use crate::experiment::{ExperimentArgs, job_name};

/// Arguments of `retrain run`.
#[derive(Args)]
pub struct RunArgs {
    #[command(flatten)]
    experiment: ExperimentArgs,
    /// Do one part of N of the jobs, and what they build on if no other runner is at it: 0/N … (N-1)/N
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,
    /// Minutes between checkpoints of a training job
    #[arg(long, default_value = "1", value_parser = minutes)]
    checkpoint_minutes: Duration,
}

impl RunArgs {
    /// Runs the jobs and shows their progress.
    pub fn execute(&self) -> Result<()> {
        let experiment = self.experiment.open()?;
        experiment.store.make().map_err(with_out_flag)?;
        let stop = stop_on_ctrl_c("step or job")?;
        let executor = Executor {
            workspace: experiment.workspace(),
            stop: &stop,
            checkpoint_every: self.checkpoint_minutes,
            progress: &tell_progress,
        };
        match run(&executor, self.shard)? {
            RunStatus::Finished => Ok(()),
            RunStatus::Stopped => bail!("stopped; the same command goes on"),
        }
    }
}

/// Adds the flag to an error about the folder of the results.
fn with_out_flag(error: RetrainError) -> anyhow::Error {
    match error {
        RetrainError::ForeignFolder { .. } | RetrainError::Folder { .. } => {
            anyhow!("{error}; choose another folder with --out")
        }
        error => error.into(),
    }
}

fn tell_progress(progress: Progress<'_>) {
    match progress {
        Progress::Started {
            job,
            position,
            total,
        } => tell(format!("[{position}/{total}] {}", job_name(job))),
        Progress::Done { seconds } => tell(format!("  done in {seconds:.1} s")),
        Progress::Checkpoint {
            step,
            steps,
            minutes_left,
        } => tell(format!(
            "  step {step} of {steps}, {minutes_left:.1} min left"
        )),
        Progress::Waiting => tell("waiting for jobs of other runners"),
    }
}

fn minutes(text: &str) -> Result<Duration, String> {
    let duration = |minutes: f64| Duration::try_from_secs_f64(60.0 * minutes).ok();
    let minutes = text.parse().ok().and_then(duration);
    minutes.ok_or_else(|| "write minutes from 0 up, such as 0.5".to_owned())
}
