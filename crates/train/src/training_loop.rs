//! What goes on around a training run: progress with time left, the loss log, checkpoints, Ctrl-C.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};

use crate::loss_log::LossLog;

/// Steps between lines of progress where there is no terminal.
const LINE_EVERY: u64 = 100;
/// What a loss counts in the running mean that is shown.
const SMOOTHING: f32 = 0.02;

/// A training run that can be saved between two steps.
pub trait Run {
    /// Steps taken so far.
    fn step(&self) -> u64;

    /// Takes a step and returns its loss.
    fn advance(&mut self) -> Result<f32>;

    /// Writes everything needed to go on.
    fn save(&self) -> Result<()>;
}

/// How long a run goes on, and what it leaves behind.
pub struct TrainingLoop<'a> {
    /// Steps of the whole run.
    pub steps: u64,
    /// Images a step.
    pub batch: usize,
    /// Time between checkpoints.
    pub checkpoint_minutes: f64,
    /// Where `loss.csv` goes.
    pub folder: &'a Path,
}

impl TrainingLoop<'_> {
    /// Trains until the last step or until Ctrl-C, saves, and tells whether the run is finished.
    pub fn run(&self, run: &mut impl Run) -> Result<bool> {
        let stop = datasway_cli::stop_on_ctrl_c("step")?;
        let mut log = LossLog::open(&self.folder.join("loss.csv"), run.step())?;
        let bar = ProgressBar::new(self.steps).with_position(run.step());
        bar.set_style(ProgressStyle::with_template(
            "{bar:30} {pos}/{len} steps  {msg}  {eta} left",
        )?);
        // Steps of an earlier run say nothing about the speed of this one.
        bar.reset_eta();

        let every = Duration::from_secs_f64(60.0 * self.checkpoint_minutes.max(0.0));
        let (started, first, mut saved) = (Instant::now(), run.step(), Instant::now());
        let mut smooth: Option<f32> = None;
        while run.step() < self.steps && !stop.load(Ordering::SeqCst) {
            let loss = run.advance()?;
            let step = run.step();
            log.push(step, loss)?;
            let average = smooth.map_or(loss, |s| s + SMOOTHING * (loss - s));
            smooth = Some(average);
            let taken = (step - first) as f64 * self.batch as f64;
            let rate = taken / started.elapsed().as_secs_f64();
            bar.set_message(format!("loss {average:.4}  {rate:.0} images/s"));
            bar.inc(1);
            if bar.is_hidden() && step.is_multiple_of(LINE_EVERY) {
                let (of, left) = (self.steps, bar.eta().as_secs());
                let (minutes, seconds) = (left / 60, left % 60);
                datasway_cli::tell(format!(
                    "step {step} of {of}  loss {average:.4}  {rate:.0} images/s  {minutes} min {seconds:02} s left"
                ));
            }
            if saved.elapsed() >= every {
                log.flush()?;
                run.save()?;
                saved = Instant::now();
            }
        }
        bar.abandon();
        log.flush()?;
        run.save()?;
        let (step, of) = (run.step(), self.steps);
        let finished = step >= of;
        if !finished {
            datasway_cli::tell(format!(
                "stopped at step {step} of {of}; go on with --resume"
            ));
        }
        Ok(finished)
    }
}
