//! Tests of a model against its data before hours of work: denoising loss by noise level, beside what simple denoisers reach.
//!
//! For images y of the data and noise n, `L(σ) = E‖D(y + σn, σ) − y‖²/d`. The ideal denoiser of the data has the least loss. A model
//! of these images has less than the best linear denoiser, which knows their mean and covariance only.

mod linear;
mod losses;
mod low_rank;
mod precision;
mod verdict;

pub use linear::LinearKind;
pub use losses::{FitOptions, LevelLoss, ModelFit, References, data_scale, sigma_grid};
pub use low_rank::LowRank;
pub use precision::PathPrecision;
pub use verdict::{LARGEST_RATIO, LINEAR_MARGIN, Misfit, NOISE_LEVEL_MARGIN};
