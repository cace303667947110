//! Progress of a training run on the terminal.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use datasway_training::loss_log::LossLog;
use datasway_training::training_loop::{self, LoggedRun, RunOptions, TrainingRun};
use indicatif::{ProgressBar, ProgressStyle};

/// Steps between lines of progress where there is no terminal.
const LINE_EVERY: u64 = 100;
/// Weight of a loss in the running mean that is shown.
const SMOOTHING: f32 = 0.02;

/// Length and output of a training run.
pub struct Loop<'a> {
    /// Steps of the whole run.
    pub steps: u64,
    /// Images per step.
    pub batch: usize,
    /// Minutes between checkpoints.
    pub checkpoint_minutes: f64,
    /// Folder of `loss.csv`.
    pub folder: &'a Path,
}

impl Loop<'_> {
    /// Trains until the last step or until Ctrl-C, saves, and returns whether the run is finished.
    pub fn run<R: TrainingRun<Error = anyhow::Error>>(&self, run: &mut R) -> Result<bool> {
        let stop = datasway_cli::stop_on_ctrl_c("step")?;
        let mut progress = Progress::start(self, run.step())?;
        let log = LossLog::open(&self.folder.join("loss.csv"), run.step())?;
        let options = RunOptions {
            steps: self.steps,
            checkpoint_every: Duration::from_secs_f64(60.0 * self.checkpoint_minutes.max(0.0)),
            stop: &stop,
        };
        let mut run = LoggedRun { run, log };
        let finished = training_loop::run(&mut run, options, |step, loss| {
            progress.advance(step, loss);
        })?;
        progress.bar.abandon();
        run.save()?;
        if !finished {
            let (step, steps) = (run.step(), self.steps);
            datasway_cli::tell(format!(
                "stopped at step {step} of {steps}; go on with --resume"
            ));
        }
        Ok(finished)
    }
}

/// A progress bar, or lines if there is no terminal.
struct Progress {
    bar: ProgressBar,
    steps: u64,
    batch: usize,
    started: Instant,
    first: u64,
    smooth: Option<f32>,
}

impl Progress {
    fn start(settings: &Loop<'_>, first: u64) -> Result<Self> {
        let bar = ProgressBar::new(settings.steps).with_position(first);
        bar.set_style(ProgressStyle::with_template(
            "{bar:30} {pos}/{len} steps  {msg}  {eta} left",
        )?);
        // The time left is estimated from the steps of this process only.
        bar.reset_eta();
        Ok(Self {
            bar,
            steps: settings.steps,
            batch: settings.batch,
            started: Instant::now(),
            first,
            smooth: None,
        })
    }

    fn advance(&mut self, step: u64, loss: f32) {
        let average = self
            .smooth
            .map_or(loss, |smooth| smooth + SMOOTHING * (loss - smooth));
        self.smooth = Some(average);
        let images = (step - self.first) as f64 * self.batch as f64;
        let rate = images / self.started.elapsed().as_secs_f64();
        self.bar
            .set_message(format!("loss {average:.4}  {rate:.0} images/s"));
        self.bar.inc(1);
        if self.bar.is_hidden() && step.is_multiple_of(LINE_EVERY) {
            let (steps, left) = (self.steps, self.bar.eta().as_secs());
            let (minutes, seconds) = (left / 60, left % 60);
            datasway_cli::tell(format!(
                "step {step} of {steps}  loss {average:.4}  {rate:.0} images/s  {minutes} min {seconds:02} s left"
            ));
        }
    }
}
