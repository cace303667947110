//! The denoiser of a model, with weights or without.

use crate::denoiser::Denoiser;
use crate::learned_denoiser::LearnedDenoiser;

/// The denoiser of a model.
pub enum ScoreModel {
    /// A network, whose derivative in its weights is known.
    Learned(Box<dyn LearnedDenoiser>),
    /// A combination of networks, such as guidance: it is no minimum of a loss.
    Combined(Box<dyn Denoiser>),
}

impl ScoreModel {
    /// The denoiser.
    pub fn denoiser(&self) -> &dyn Denoiser {
        match self {
            Self::Learned(model) => model.as_ref(),
            Self::Combined(model) => model.as_ref(),
        }
    }

    /// The denoiser with its weights.
    pub fn learned(&self) -> Option<&dyn LearnedDenoiser> {
        match self {
            Self::Learned(model) => Some(model.as_ref()),
            Self::Combined(_) => None,
        }
    }
}
