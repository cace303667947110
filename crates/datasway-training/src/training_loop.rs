//! The loop around a training run: steps, checkpoints, a stop flag.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// A training run that can be saved between two steps.
pub trait TrainingRun {
    /// Error of a step or of a checkpoint.
    type Error;

    /// Steps taken so far.
    fn step(&self) -> u64;

    /// Takes one step and returns its loss.
    ///
    /// # Errors
    /// If the step fails. The run is then as it was before.
    fn advance(&mut self) -> Result<f32, Self::Error>;

    /// Writes a checkpoint from which the run can be continued.
    ///
    /// # Errors
    /// If the checkpoint cannot be written.
    fn save(&mut self) -> Result<(), Self::Error>;
}

/// Options of [`run`].
#[derive(Debug, Clone, Copy)]
pub struct RunOptions<'a> {
    /// Steps of the whole run, those already taken included.
    pub steps: u64,
    /// Time between two checkpoints.
    pub checkpoint_every: Duration,
    /// Ends the run after the current step once it is true.
    pub stop: &'a AtomicBool,
}

/// Trains until the last step or until `stop` is raised, and returns whether the run is finished.
///
/// `on_step` is called after each step with the number of steps taken and the loss. A checkpoint is saved every
/// `checkpoint_every`; saving the final state is left to the caller.
///
/// # Errors
/// The first error of a step or of a checkpoint.
pub fn run<R: TrainingRun>(
    run: &mut R,
    options: RunOptions<'_>,
    mut on_step: impl FnMut(u64, f32),
) -> Result<bool, R::Error> {
    let mut saved = Instant::now();
    while run.step() < options.steps && !options.stop.load(Ordering::SeqCst) {
        let loss = run.advance()?;
        on_step(run.step(), loss);
        if saved.elapsed() >= options.checkpoint_every {
            run.save()?;
            saved = Instant::now();
        }
    }
    Ok(run.step() >= options.steps)
}

/// A run whose losses are written to a [`LossLog`](crate::loss_log::LossLog).
///
/// The log is flushed before each checkpoint, so that it always covers the checkpoint's steps.
pub struct LoggedRun<'a, R> {
    /// The run.
    pub run: &'a mut R,
    /// The log of losses.
    pub log: crate::loss_log::LossLog,
}

impl<R: TrainingRun> TrainingRun for LoggedRun<'_, R>
where
    R::Error: From<datasway_fs::WriteError>,
{
    type Error = R::Error;

    fn step(&self) -> u64 {
        self.run.step()
    }

    fn advance(&mut self) -> Result<f32, R::Error> {
        let loss = self.run.advance()?;
        self.log.push(self.run.step(), loss)?;
        Ok(loss)
    }

    fn save(&mut self) -> Result<(), R::Error> {
        self.log.flush()?;
        self.run.save()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loss_log::LossLog;
    use datasway_fs::WriteError;

    /// A run whose loss is its step, stopped by itself after some steps.
    struct Counter<'a> {
        step: u64,
        saves: Vec<u64>,
        stop: (&'a AtomicBool, u64),
    }

    impl TrainingRun for Counter<'_> {
        type Error = WriteError;

        fn step(&self) -> u64 {
            self.step
        }

        fn advance(&mut self) -> Result<f32, WriteError> {
            self.step += 1;
            self.stop
                .0
                .store(self.step == self.stop.1, Ordering::SeqCst);
            Ok(self.step as f32)
        }

        fn save(&mut self) -> Result<(), WriteError> {
            self.saves.push(self.step);
            Ok(())
        }
    }

    /// A stopped run is not finished, goes on where it was, and its log is that of an uninterrupted one.
    #[test]
    fn a_stopped_run_goes_on_with_the_same_log() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("loss.csv");
        let stop = AtomicBool::new(false);
        let mut counter = Counter {
            step: 0,
            saves: Vec::new(),
            stop: (&stop, 3),
        };
        for finished in [false, true] {
            stop.store(false, Ordering::SeqCst);
            let log = LossLog::open(&path, counter.step).unwrap();
            let mut logged = LoggedRun {
                run: &mut counter,
                log,
            };
            let options = RunOptions {
                steps: 5,
                checkpoint_every: Duration::ZERO,
                stop: &stop,
            };
            assert_eq!(run(&mut logged, options, |_, _| ()).unwrap(), finished);
        }
        assert_eq!(counter.saves, [1, 2, 3, 4, 5]);
        let text = std::fs::read_to_string(path).unwrap();
        assert_eq!(text, "step,loss\n1,1\n2,2\n3,3\n4,4\n5,5\n");
    }
}
