//! A density estimator as experiment files describe it.

use datasway_diffusion::validate::{self, within};
use datasway_diffusion::{DiffusionError, schedule};
use serde::{Deserialize, Serialize};

use super::{Bandwidth, DensityConfig, DensityKind, TraceKind, TraceOptions};

/// Highest noise level of a cut-off; the sampler starts above it.
const MAX_CUTOFF: f64 = 0.99 * schedule::SIGMA_MAX;

/// Default period of `probing`, the smallest that is worth its cost (docs/src/results/verification.md).
const DEFAULT_PERIOD: usize = 3;

/// Estimator of the log-density with its options.
///
/// The serialised form is part of the keys of stored results.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EstimatorSpec {
    /// Name in tables; [`EstimatorSpec::label`] if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// Kind of estimator.
    pub density: DensityKind,
    /// Estimate of the trace, for `probability-flow`.
    /// The default is left out of the serialised form.
    #[serde(default, skip_serializing_if = "is_default")]
    pub trace: TraceKind,
    /// Number of random probes of the trace, for `hutchinson`.
    #[serde(default = "default_probes")]
    pub probes: usize,
    /// Distance in pixels between two pixels of one colour, for `probing`; 3 if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub period: Option<usize>,
    /// Bandwidth h of the smoothed comparison, for `empirical`; the network's own D if absent.
    pub bandwidth: Option<Bandwidth>,
    /// Noise level below which directions have no effect.
    #[serde(default)]
    pub sigma_cut: f64,
}

fn default_probes() -> usize {
    1
}

fn is_default(kind: &TraceKind) -> bool {
    *kind == TraceKind::default()
}

impl EstimatorSpec {
    /// Checks that every number is in its range and that the options go together.
    ///
    /// # Errors
    /// [`DiffusionError::Invalid`] with the first option that is not.
    pub fn check(&self) -> Result<(), DiffusionError> {
        let field = |name: &str| format!("estimator {}: {name}", self.name());
        if let Some(name) = &self.name {
            validate::title("an estimator's name", name)?;
        }
        within(&field("probes"), self.probes, 1..=10_000)?;
        // A period of 0 has an error of its own, in `DensityConfig::check`.
        let period = self.period.unwrap_or(DEFAULT_PERIOD);
        within(&field("period"), period, 0..=1_024)?;
        if let Some(Bandwidth::Fixed(h)) = self.bandwidth {
            within(&field("bandwidth"), h, 0.0..=1e6)?;
        }
        within(&field("sigma_cut"), self.sigma_cut, 0.0..=MAX_CUTOFF)?;
        for (option, given, trace) in [
            ("trace", self.trace != TraceKind::default(), None),
            (
                "probes",
                self.probes != default_probes(),
                Some(TraceKind::Hutchinson),
            ),
            ("period", self.period.is_some(), Some(TraceKind::Probing)),
        ] {
            if given && !self.uses_trace(trace) {
                let condition = match trace {
                    Some(TraceKind::Hutchinson) => " with the trace hutchinson",
                    Some(TraceKind::Probing) => " with the trace probing",
                    _ => "",
                };
                return Err(DiffusionError::Invalid(format!(
                    "{} is for the density probability-flow{condition}: leave it out or use that",
                    field(option)
                )));
            }
        }
        let combination = self.config(0).check();
        combination.map_err(|error| DiffusionError::Invalid(field(&error.to_string())))
    }

    /// True if the density is integrated with this estimate of the trace, or with any estimate if none is given.
    fn uses_trace(&self, trace: Option<TraceKind>) -> bool {
        self.density == DensityKind::ProbabilityFlow && trace.is_none_or(|kind| self.trace == kind)
    }

    /// The estimator's options, with the seed of its random probes.
    pub fn config(&self, seed: u64) -> DensityConfig {
        DensityConfig {
            density: self.density,
            trace: TraceOptions {
                kind: self.trace,
                probes: self.probes,
                period: self.period.unwrap_or(DEFAULT_PERIOD),
                seed,
            },
            bandwidth: self.bandwidth,
        }
    }

    /// The options in a few characters, such as `empirical-h2`.
    pub fn label(&self) -> String {
        let mut text = match self.density {
            DensityKind::Empirical => "empirical".to_owned(),
            DensityKind::ProbabilityFlow => match self.trace {
                TraceKind::Hutchinson => format!("flow-{}", self.probes),
                TraceKind::Probing => {
                    format!("flow-probing-{}", self.period.unwrap_or(DEFAULT_PERIOD))
                }
                TraceKind::Exact => "flow-exact".to_owned(),
            },
        };
        if let Some(bandwidth) = self.bandwidth {
            text += &format!("-h{bandwidth}");
        }
        if self.sigma_cut > 0.0 {
            text += &format!("-c{}", self.sigma_cut);
        }
        text
    }

    /// Name in tables.
    pub fn name(&self) -> String {
        self.name.clone().unwrap_or_else(|| self.label())
    }

    /// The estimator without its name, for the keys of results.
    pub fn unnamed(&self) -> Self {
        Self {
            name: None,
            ..self.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A job's key holds the serialised form, so that it must not change while the predictions do not.
    #[test]
    fn the_trace_is_named_only_where_it_is_not_the_usual_one() {
        let estimator = |options: &str| -> EstimatorSpec {
            let text = format!("density = \"probability-flow\"\n{options}");
            toml::from_str(&text).unwrap()
        };
        let (usual, probing) = (estimator(""), estimator("trace = \"probing\""));
        assert_eq!(
            serde_json::to_value(usual.unnamed()).unwrap(),
            serde_json::json!({
                "density": "probability-flow",
                "probes": 1,
                "bandwidth": null,
                "sigma_cut": 0.0,
            })
        );
        assert_ne!(
            serde_json::to_value(usual.unnamed()).unwrap(),
            serde_json::to_value(probing.unnamed()).unwrap()
        );
        assert_eq!(usual.name(), "flow-1");
        assert_eq!(probing.name(), "flow-probing-3");
        assert_eq!(probing.config(7).trace.period, 3);
    }
}
