//! Estimators of the log-density by name, and their construction for a trained model.

use std::fmt;
use std::str::FromStr;

use burn::tensor::{DType, Device};
use datasway_data::{Dataset, PixelMoments};
use datasway_diffusion::DiffusionError;
use datasway_diffusion::checkpoint::Checkpoint;
use serde::{Deserialize, Serialize};

use super::{Bandwidth, ClosedForm, LogDensity, ProbabilityFlow, Smoothed, Trace};
use crate::jacobian_trace::Colouring;
use crate::measure::{Empirical, Gaussian};

/// A kind of estimator of log p^ρ. As text it is `probability-flow` or `empirical`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DensityKind {
    /// The integral of the trace of the network's Jacobian along the path.
    ProbabilityFlow,
    /// The closed form over the training set.
    Empirical,
}

/// A kind of estimate of the trace of the network's Jacobian. As text it is `hutchinson`, `probing` or `exact`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TraceKind {
    /// The mean over probes of random signs.
    #[default]
    Hutchinson,
    /// Random signs on every p-th pixel and channel, one probe for each of the channels·p² colours. It has less variance
    /// where the Jacobian is nearly local, and gives no estimate of that variance.
    Probing,
    /// One product for each entry of a sample: for small images in small batches.
    Exact,
}

/// The error of a text that is not the name of a [`DensityKind`] or a [`TraceKind`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no {kind} {text}; there are {}", names.join(", "))]
pub struct UnknownName {
    kind: &'static str,
    text: String,
    names: Vec<&'static str>,
}

impl DensityKind {
    /// Every kind.
    pub const ALL: [Self; 2] = [Self::ProbabilityFlow, Self::Empirical];

    /// The name in commands and files.
    pub fn name(self) -> &'static str {
        match self {
            Self::ProbabilityFlow => "probability-flow",
            Self::Empirical => "empirical",
        }
    }
}

impl TraceKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Hutchinson, Self::Probing, Self::Exact];

    /// The name in commands and files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hutchinson => "hutchinson",
            Self::Probing => "probing",
            Self::Exact => "exact",
        }
    }
}

impl fmt::Display for DensityKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl fmt::Display for TraceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for DensityKind {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        let kind = Self::ALL.into_iter().find(|kind| kind.name() == text);
        kind.ok_or_else(|| UnknownName {
            kind: "density",
            text: text.to_owned(),
            names: Self::ALL.map(Self::name).to_vec(),
        })
    }
}

impl FromStr for TraceKind {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        let kind = Self::ALL.into_iter().find(|kind| kind.name() == text);
        kind.ok_or_else(|| UnknownName {
            kind: "trace",
            text: text.to_owned(),
            names: Self::ALL.map(Self::name).to_vec(),
        })
    }
}

/// Options of the estimate of the trace, without the shape of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceOptions {
    /// The kind of estimate.
    pub kind: TraceKind,
    /// Probes of [`Hutchinson`](TraceKind::Hutchinson).
    pub probes: usize,
    /// The period p of [`Probing`](TraceKind::Probing).
    pub period: usize,
    /// Seed of the random signs.
    pub seed: u64,
}

impl Default for TraceOptions {
    /// Two probes of random signs: the fewest that have an estimate of their variance.
    fn default() -> Self {
        Self {
            kind: TraceKind::Hutchinson,
            probes: 2,
            period: 3,
            seed: 0,
        }
    }
}

impl TraceOptions {
    /// The estimate for images of `[channels, rows, columns]`.
    pub fn trace(&self, shape: [usize; 3]) -> Trace {
        match self.kind {
            TraceKind::Hutchinson => Trace::rademacher(self.probes, self.seed),
            TraceKind::Probing => Trace::Probing {
                colouring: Colouring {
                    shape,
                    period: self.period,
                },
                seed: self.seed,
                first: 0,
            },
            TraceKind::Exact => Trace::Exact,
        }
    }
}

/// Options of the estimator of log p^ρ, without a model.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DensityConfig {
    /// The kind of estimator.
    pub density: DensityKind,
    /// The trace, for [`ProbabilityFlow`](DensityKind::ProbabilityFlow).
    pub trace: TraceOptions,
    /// h of the smoothed comparison, for [`Empirical`](DensityKind::Empirical); none compares with the network's own D.
    pub bandwidth: Option<Bandwidth>,
}

impl Default for DensityConfig {
    /// The smoothed training images, with the bandwidth by cross-validation.
    fn default() -> Self {
        Self {
            density: DensityKind::Empirical,
            trace: TraceOptions::default(),
            bandwidth: Some(Bandwidth::Auto),
        }
    }
}

impl DensityConfig {
    /// Checks that the options go together.
    ///
    /// # Errors
    /// If a bandwidth is given to an estimator that does not see the training images, or a trace has nothing to average.
    pub fn check(&self) -> Result<(), DiffusionError> {
        match (self.density, self.bandwidth) {
            (DensityKind::ProbabilityFlow, Some(_)) => Err(DiffusionError::Invalid(
                "a bandwidth smooths the training images and so needs the density `empirical`"
                    .to_owned(),
            )),
            (DensityKind::ProbabilityFlow, None) => self.trace.trace([1; 3]).check(),
            (DensityKind::Empirical, _) => Ok(()),
        }
    }

    /// The estimator for a model of data with these moments, and the images it was trained on, mirrored or not.
    ///
    /// # Errors
    /// If the options do not go together, or the images or their moments make no measure.
    pub fn estimator(
        &self,
        moments: &PixelMoments,
        images: &Dataset,
        mirrored: bool,
        device: &Device,
    ) -> Result<DensityEstimator, DiffusionError> {
        self.estimator_with_progress(moments, images, mirrored, device, &mut |_| ())
    }

    /// [`estimator`](Self::estimator). `progress` is that of [`Bandwidth::value_with_progress`].
    ///
    /// # Errors
    /// As [`estimator`](Self::estimator).
    pub fn estimator_with_progress(
        &self,
        moments: &PixelMoments,
        images: &Dataset,
        mirrored: bool,
        device: &Device,
        progress: &mut dyn FnMut(f64),
    ) -> Result<DensityEstimator, DiffusionError> {
        self.check()?;
        let data = || Empirical::of_images(images, mirrored, device);
        Ok(match (self.density, self.bandwidth) {
            (DensityKind::ProbabilityFlow, _) => DensityEstimator::ProbabilityFlow {
                start: moment_matched_gaussian(moments, device)?,
                trace: self.trace.trace([
                    images.shape.channels,
                    images.shape.height,
                    images.shape.width,
                ]),
            },
            (DensityKind::Empirical, None) => DensityEstimator::Empirical(data()?),
            (DensityKind::Empirical, Some(bandwidth)) => DensityEstimator::Smoothed(Smoothed {
                data: data()?,
                bandwidth: bandwidth.value_with_progress(images, mirrored, device, progress)?,
            }),
        })
    }
}

/// The moments of a model's training data, which its checkpoint holds.
pub fn checkpoint_moments(checkpoint: &Checkpoint) -> PixelMoments {
    PixelMoments {
        mean: checkpoint.data_mean.clone(),
        variance: checkpoint.data_variance.clone(),
        deviation: checkpoint.header.sigma_data,
    }
}

/// The Gaussian with the mean and variance of each entry of a model's training data.
///
/// # Errors
/// If the moments are those of no Gaussian.
pub fn moment_matched_gaussian(
    moments: &PixelMoments,
    device: &Device,
) -> Result<Gaussian, DiffusionError> {
    Gaussian::from_moments(&moments.mean, &moments.variance, device, DType::F32)
}

/// An estimator of a model's log-density.
#[derive(Debug, Clone)]
pub enum DensityEstimator {
    /// The integral of the trace of the network's Jacobian.
    ProbabilityFlow {
        /// The Gaussian that matches the training data.
        start: Gaussian,
        /// The estimate of the trace.
        trace: Trace,
    },
    /// The closed form over the training set.
    Empirical(Empirical),
    /// The closed form over the smoothed training set, with its D in the place of the network.
    Smoothed(Smoothed<Empirical>),
}

impl DensityEstimator {
    /// The density for a batch whose first sample has the index `first`. Probes belong to a sample, whatever its batch.
    pub fn starting_at(&self, first: u64) -> Box<dyn LogDensity + '_> {
        match self {
            Self::ProbabilityFlow { start, trace } => Box::new(ProbabilityFlow {
                start: start.clone(),
                trace: trace.starting_at(first),
            }),
            Self::Empirical(training) => Box::new(ClosedForm(training)),
            Self::Smoothed(smoothed) => Box::new(smoothed.clone()),
        }
    }
}
