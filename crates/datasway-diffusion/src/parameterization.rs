//! The trait [`Parameterization`]: from the output of a network to a denoiser.
//!
//! With a noisy image `x = y + σ·n`, the scaled image `c·x`, `c = 1/√(1+σ²)`, of variance-preserving models, and the
//! mixture `x/(1+σ)` of flow matching:
//!
//! | prediction | network | denoiser |
//! | --- | --- | --- |
//! | [`Precondition`](crate::precondition::Precondition) | EDM's F | `c_skip·x + c_out·F(c_in·x, ln(σ)/4)` |
//! | [`EpsilonPrediction`] | the noise ε | `x − σ·ε(c·x, t)` |
//! | [`VelocityPrediction`] | v = (n − σ·y)·c | `c²·x − σ·c·v(c·x, t)` |
//! | [`SamplePrediction`] | the image m | `m(c·x, t)` |
//! | [`ScorePrediction`] | the score s | `x + σ²·s(x, σ)` |
//! | [`FlowMatching`] | the velocity n − y | `x/(1+σ) − σ/(1+σ)·v(x/(1+σ), t)` |
//!
//! [`TimeTable`] gives the time step `t(σ)` of a model that was trained on a list of noise levels.

use std::sync::Arc;

mod epsilon;
mod flow;
mod sample;
mod score;
mod time_table;
mod velocity;

pub use epsilon::EpsilonPrediction;
pub use flow::FlowMatching;
pub use sample::SamplePrediction;
pub use score::ScorePrediction;
pub use time_table::TimeTable;
pub use velocity::VelocityPrediction;

/// The coefficients of `D(x, σ) = c_skip(σ)·x + c_out(σ)·F(c_in(σ)·x, c_noise(σ))`, with F the network.
///
/// They follow from the quantity that the network was trained to predict: the preconditioned image of EDM
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

/// A holder of a parameterisation is the one that it holds.
macro_rules! forward_to_content {
    ($($holder:ty),*) => {$(
        impl Parameterization for $holder {
            fn c_skip(&self, sigma: f64) -> f64 {
                (**self).c_skip(sigma)
            }

            fn c_out(&self, sigma: f64) -> f64 {
                (**self).c_out(sigma)
            }

            fn c_in(&self, sigma: f64) -> f64 {
                (**self).c_in(sigma)
            }

            fn c_noise(&self, sigma: f64) -> f64 {
                (**self).c_noise(sigma)
            }

            fn loss_weight(&self, sigma: f64) -> f64 {
                (**self).loss_weight(sigma)
            }
        }
    )*};
}

forward_to_content!(Box<dyn Parameterization>, Arc<dyn Parameterization>);

/// `c = 1/√(1+σ²)`, the scale of a variance-preserving model's input.
fn preserving(sigma: f64) -> f64 {
    1.0 / sigma.hypot(1.0)
}
