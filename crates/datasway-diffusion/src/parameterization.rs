//! The trait [`Parameterization`]: from the output of a network to a denoiser.

/// The coefficients of `D(x, σ) = c_skip(σ)·x + c_out(σ)·F(c_in(σ)·x, c_noise(σ))`, with F the network.
///
/// What the network was trained to predict decides them: the preconditioned image of EDM
/// ([`Precondition`](crate::precondition::Precondition)), the noise, the image, a velocity or a score.
/// A point is `x = y + σ·n` in all of them.
pub trait Parameterization: Send + Sync {
    /// The weight of the noisy image in the output.
    fn c_skip(&self, sigma: f64) -> f64;

    /// The scale of the network's output.
    fn c_out(&self, sigma: f64) -> f64;

    /// The scale of the network's input.
    fn c_in(&self, sigma: f64) -> f64;

    /// The network's input for the noise level.
    fn c_noise(&self, sigma: f64) -> f64;

    /// The weight of `‖D − y‖²` in the training loss: `1/c_out²`, for a mean squared error of the network's output.
    fn loss_weight(&self, sigma: f64) -> f64 {
        self.c_out(sigma).powi(-2)
    }
}
