//! The bar of a check: seconds of the plan that are done, counted in evaluations of the model.

use std::cell::Cell;

use anyhow::Result;
use burn::tensor::Tensor;
use datasway_cli::progress_bar;
use datasway_diffusion::DiffusionError;
use datasway_diffusion::denoiser::Denoiser;
use indicatif::ProgressBar;

/// Positions of the bar for each planned second.
const PER_SECOND: f64 = 1000.0;

/// A bar over the planned seconds of a check, part by part.
pub struct CheckProgress {
    bar: ProgressBar,
    /// Planned seconds before the part that runs.
    before: Cell<f64>,
    /// Planned seconds of that part.
    seconds: Cell<f64>,
    /// Planned evaluations of one sample, and those that are done.
    evaluations: Cell<usize>,
    done: Cell<usize>,
}

impl CheckProgress {
    /// A bar that has no plan yet.
    ///
    /// # Errors
    /// If the terminal cannot be written.
    pub fn new() -> Result<Self> {
        Ok(Self {
            bar: progress_bar(1, "{bar:30} {percent} %  {msg}  {eta} left")?,
            before: Cell::new(0.0),
            seconds: Cell::new(0.0),
            evaluations: Cell::new(0),
            done: Cell::new(0),
        })
    }

    /// Sets the planned seconds of all parts.
    pub fn plan(&self, seconds: f64) {
        self.bar.set_length((PER_SECOND * seconds).ceil() as u64);
    }

    /// Begins the next part, of so many planned seconds and evaluations of one sample.
    pub fn begin(&self, part: &'static str, seconds: f64, evaluations: usize) {
        self.before.set(self.before.get() + self.seconds.get());
        self.seconds.set(seconds);
        self.evaluations.set(evaluations);
        self.done.set(0);
        self.bar.set_message(part);
        self.show();
    }

    /// Changes the message of the part that runs.
    pub fn note(&self, message: String) {
        self.bar.set_message(message);
    }

    /// Prints a line above the bar.
    pub fn tell(&self, line: String) {
        self.bar.suspend(|| datasway_cli::tell(line));
    }

    /// Removes the bar.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }

    fn advance(&self, evaluations: usize) {
        self.done.set(self.done.get() + evaluations);
        self.show();
    }

    fn show(&self) {
        let share = self.done.get() as f64 / self.evaluations.get().max(1) as f64;
        let seconds = self.before.get() + self.seconds.get() * share.min(1.0);
        self.bar.set_position((PER_SECOND * seconds) as u64);
    }
}

/// A denoiser whose evaluations move the bar.
pub struct Watched<'a> {
    /// The denoiser.
    pub denoiser: &'a dyn Denoiser,
    /// The bar.
    pub progress: &'a CheckProgress,
}

impl Denoiser for Watched<'_> {
    fn dim(&self) -> usize {
        self.denoiser.dim()
    }

    fn denoise(&self, x: Tensor<2>, sigma: f64) -> Result<Tensor<2>, DiffusionError> {
        let n = x.dims()[0];
        let denoised = self.denoiser.denoise(x, sigma)?;
        self.progress.advance(n);
        Ok(denoised)
    }

    fn jvp(
        &self,
        x: Tensor<2>,
        sigma: f64,
        tangents: Tensor<3>,
    ) -> Result<(Tensor<2>, Tensor<3>), DiffusionError> {
        let n = x.dims()[0];
        let products = self.denoiser.jvp(x, sigma, tangents)?;
        self.progress.advance(n);
        Ok(products)
    }

    fn vjp(
        &self,
        x: Tensor<2>,
        sigma: f64,
        cotangents: Tensor<3>,
    ) -> Result<(Tensor<2>, Tensor<3>), DiffusionError> {
        let n = x.dims()[0];
        let products = self.denoiser.vjp(x, sigma, cotangents)?;
        self.progress.advance(n);
        Ok(products)
    }
}
