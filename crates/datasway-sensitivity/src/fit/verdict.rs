//! The criterion of a model that is none of its data.

use std::fmt;

use super::losses::ModelFit;

/// Largest ratio of the model's loss to that of the best linear denoiser, in the median over the noise levels around the scale s of
/// the data, s/2 to 2s. There an image is half hidden, and what images look like decides the loss.
pub const LINEAR_MARGIN: f64 = 1.0;
/// Largest such ratio at any noise level from s/2 to 8s. A network's scales of input and output decide the loss at the high ones.
pub const LARGEST_RATIO: f64 = 1.2;
/// Smallest ratio of the loss where the model is told another noise level to the loss at the right one.
pub const NOISE_LEVEL_MARGIN: f64 = 0.95;

/// The reason why a model is none of its data.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Misfit {
    /// A loss is not finite.
    NotFinite {
        /// The noise level.
        sigma: f64,
    },
    /// The loss is above that of the best linear denoiser.
    WorseThanLinear {
        /// Ratio of the losses.
        ratio: f64,
        /// The noise level.
        sigma: f64,
    },
    /// The loss is less where the model is told another noise level.
    OtherNoiseLevel {
        /// The factor of the noise level with the least loss.
        factor: f64,
        /// Ratio of that loss to the loss at the right noise level.
        ratio: f64,
    },
}

impl ModelFit {
    /// The reason why the model is none of these data; none if it may be.
    pub fn misfit(&self) -> Option<Misfit> {
        Misfit::of(self)
    }
}

impl Misfit {
    /// The first reason in the order of the variants; none if the model may be one of the data.
    fn of(fit: &ModelFit) -> Option<Self> {
        if let Some(level) = fit.levels.iter().find(|level| !level.model.is_finite()) {
            return Some(Self::NotFinite { sigma: level.sigma });
        }
        if let Some(worse) = worse_than_linear(fit) {
            return Some(worse);
        }
        let right = fit.told.iter().find(|(factor, _)| *factor == 1.0)?.1;
        let (factor, least) = *fit.told.iter().min_by(|a, b| a.1.total_cmp(&b.1))?;
        let ratio = least / right;
        (ratio < NOISE_LEVEL_MARGIN).then_some(Self::OtherNoiseLevel { factor, ratio })
    }
}

/// The median ratio of the losses around the scale of the data, or the largest one above it, if it is too large.
fn worse_than_linear(fit: &ModelFit) -> Option<Misfit> {
    let within = |low: f64, high: f64| {
        let (low, high) = (low * fit.data_scale * 0.99, high * fit.data_scale * 1.01);
        let levels = fit
            .levels
            .iter()
            .filter(move |level| (low..=high).contains(&level.sigma));
        let mut ratios: Vec<(f64, f64)> = levels
            .map(|level| (level.model / level.linear, level.sigma))
            .collect();
        ratios.sort_by(|a, b| a.0.total_cmp(&b.0));
        ratios
    };
    let (around, above) = (within(0.5, 2.0), within(0.5, 8.0));
    let median = around.get(around.len() / 2).filter(|r| r.0 > LINEAR_MARGIN);
    let largest = above.last().filter(|r| r.0 > LARGEST_RATIO);
    let &(ratio, sigma) = median.or(largest)?;
    Some(Misfit::WorseThanLinear { ratio, sigma })
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFinite { sigma } => write!(
                f,
                "the denoising loss at σ = {sigma:.3} is not finite: the model was sampled outside the noise levels of its training, or \
                 its numbers overflow"
            ),
            Self::WorseThanLinear { ratio, sigma } => write!(
                f,
                "the denoising loss at σ = {sigma:.3} is {ratio:.2} times that of the best linear denoiser: the model is one of other \
                 images or of images prepared in another way, its prediction type or noise levels are others, or its training was too short"
            ),
            Self::OtherNoiseLevel { factor, ratio } => write!(
                f,
                "the denoising loss is {ratio:.2} times as high if the model is told {factor} times the noise level: its noise levels or \
                 the range of its pixels are others"
            ),
        }
    }
}
