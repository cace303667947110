//! The methods of this crate, as experiment files describe them.

use datasway_sensitivity::density::EstimatorSpec;
use datasway_sensitivity::learner::{FiniteTraining, LearnerConfig, SolverBytes};
use datasway_sensitivity::sample_spec::SampleSpec;
use serde::{Deserialize, Serialize};

use crate::AttributionError;
use crate::attributor::{AttributionContext, Attributor, CostScaling, Scores};
use crate::methods::adjoint::AdjointMethod;
use crate::methods::mean_shift::MeanShift;
use crate::methods::patches::PatchSimilarity;
use crate::methods::principal::PrincipalMethod;
use crate::methods::similarity::{NearestImages, PixelSimilarity};
use crate::methods::tangent::TangentMethod;
use crate::methods::trak::Trak;
use crate::methods::weights::WeightsMethod;
use crate::methods::weights_principal::WeightsPrincipalMethod;
use crate::target::AttributionTarget;

/// An attribution method with its options.
///
/// The serialised form is part of the keys of stored results.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Method {
    /// Influence by the adjoint of the sampler (this project).
    #[serde(rename = "influence")]
    Adjoint(AdjointMethod),
    /// Influence on the position along the principal line, for counterfactuals (this project).
    Principal(PrincipalMethod),
    /// One tangent of the sampler for each subset (this project).
    Tangent(TangentMethod),
    /// The derivative of the weights for each part of the training images (this project).
    Weights(WeightsMethod),
    /// Influence on the position along the principal line through the weights, for counterfactuals (this project).
    WeightsPrincipal(WeightsPrincipalMethod),
    /// Shift of the mean of the data.
    MeanShift(MeanShift),
    /// Cosine similarity of pixels.
    Pixels(PixelSimilarity),
    /// Membership in the nearest images.
    Nearest(NearestImages),
    /// Similarity of patches on two scales (NDA).
    Patches(PatchSimilarity),
    /// Projected gradients of the weights (TRAK and D-TRAK).
    #[serde(rename = "gradients")]
    Trak(Trak),
}

impl Method {
    fn attributor(&self) -> &dyn Attributor {
        match self {
            Self::Adjoint(method) => method,
            Self::Principal(method) => method,
            Self::Tangent(method) => method,
            Self::Weights(method) => method,
            Self::WeightsPrincipal(method) => method,
            Self::MeanShift(method) => method,
            Self::Pixels(method) => method,
            Self::Nearest(method) => method,
            Self::Patches(method) => method,
            Self::Trak(method) => method,
        }
    }

    /// The density estimator of the method, if it has one.
    pub fn estimator(&self) -> Option<&EstimatorSpec> {
        match self {
            Self::Adjoint(method) => Some(method.estimator()),
            Self::Principal(method) => Some(method.estimator()),
            Self::Tangent(method) => Some(method.estimator()),
            Self::WeightsPrincipal(method) => Some(method.estimator()),
            Self::Weights(_)
            | Self::MeanShift(_)
            | Self::Pixels(_)
            | Self::Nearest(_)
            | Self::Patches(_)
            | Self::Trak(_) => None,
        }
    }

    /// True if the length of the training of the models of parts decides the scores.
    pub fn depends_on_training(&self) -> bool {
        self.weights()
            .is_some_and(WeightsMethod::depends_on_training)
    }

    /// The options of the solver of a method through the weights for models of parts with this training and parameters of these
    /// shapes, and the bytes that it takes; none for other methods.
    pub fn solver(
        &self,
        training: FiniteTraining,
        samples: &SampleSpec,
        parts: usize,
        shapes: &[Vec<usize>],
    ) -> Option<(LearnerConfig, SolverBytes)> {
        let learner = self.weights()?.solver(training, samples);
        let bytes = match self {
            Self::WeightsPrincipal(method) => {
                learner.solution_bytes(shapes, method.right_hand_sides(samples))
            }
            _ => learner.subset_bytes(shapes, parts),
        };
        Some((learner, bytes))
    }

    /// The derivative of the weights of the method, if it has one.
    fn weights(&self) -> Option<&WeightsMethod> {
        match self {
            Self::Weights(method) => Some(method),
            Self::WeightsPrincipal(method) => Some(method.weights()),
            Self::Adjoint(_)
            | Self::Principal(_)
            | Self::Tangent(_)
            | Self::MeanShift(_)
            | Self::Pixels(_)
            | Self::Nearest(_)
            | Self::Patches(_)
            | Self::Trak(_) => None,
        }
    }
}

impl Attributor for Method {
    fn name(&self) -> String {
        self.attributor().name()
    }

    fn attribute(&self, context: &AttributionContext<'_>) -> Result<Vec<Scores>, AttributionError> {
        self.attributor().attribute(context)
    }

    fn check(&self) -> Result<(), AttributionError> {
        self.attributor().check()
    }

    fn revision(&self) -> u32 {
        self.attributor().revision()
    }

    fn removal_forms(&self) -> Vec<String> {
        self.attributor().removal_forms()
    }

    fn removal_target(&self) -> AttributionTarget {
        self.attributor().removal_target()
    }

    fn removal_samples(&self) -> Option<usize> {
        self.attributor().removal_samples()
    }

    fn needs_subsets(&self) -> bool {
        self.attributor().needs_subsets()
    }

    fn needs_complements(&self) -> bool {
        self.attributor().needs_complements()
    }

    fn cost_scaling(&self) -> CostScaling {
        self.attributor().cost_scaling()
    }

    fn estimated_seconds(
        &self,
        context: &AttributionContext<'_>,
    ) -> Result<Option<f64>, AttributionError> {
        self.attributor().estimated_seconds(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Keys of stored results hold the serialised form, so that it must not change while the scores do not.
    #[test]
    fn the_serialised_form_keeps_its_names() {
        let estimator = |kind: &str| {
            json!({
                "kind": kind, "density": "empirical", "probes": 1, "bandwidth": 2.0, "sigma_cut": 0.0,
            })
        };
        let spec = "density = \"empirical\"\nbandwidth = 2.0";
        for (kind, options, name, json) in [
            (
                "influence",
                spec,
                "ours empirical-h2",
                estimator("influence"),
            ),
            (
                "principal",
                spec,
                "ours empirical-h2, principal",
                estimator("principal"),
            ),
            (
                "tangent",
                spec,
                "tangent empirical-h2",
                estimator("tangent"),
            ),
            (
                "weights",
                "iterations = 8",
                "ours weights-8",
                json!({
                    "kind": "weights", "draws": 1536, "image_draws": 64, "damping": 1e-3, "iterations": 8,
                }),
            ),
            (
                "weights",
                "preconditioner = \"kronecker\"\niterations = 8",
                "ours weights-8-kronecker",
                json!({
                    "kind": "weights", "draws": 1536, "image_draws": 64, "damping": 1e-3,
                    "preconditioner": "kronecker", "iterations": 8,
                }),
            ),
            (
                "weights",
                "damping = \"training\"\niterations = 8",
                "ours weights-8-training",
                json!({
                    "kind": "weights", "draws": 1536, "image_draws": 64, "damping": "training", "iterations": 8,
                }),
            ),
            (
                "weights-principal",
                "samples = 2\nline = { density = \"empirical\", bandwidth = 2.0 }\nweights = { iterations = 8 }",
                "ours weights-8, principal",
                json!({
                    "kind": "weights-principal",
                    "samples": 2,
                    "line": {"density": "empirical", "probes": 1, "bandwidth": 2.0, "sigma_cut": 0.0},
                    "weights": {"draws": 1536, "image_draws": 64, "damping": 1e-3, "iterations": 8},
                }),
            ),
            (
                "mean-shift",
                "",
                "mean shift",
                json!({"kind": "mean-shift"}),
            ),
            ("pixels", "", "raw pixels", json!({"kind": "pixels"})),
            (
                "nearest",
                "count = 3",
                "nearest 3",
                json!({"kind": "nearest", "count": 3}),
            ),
            (
                "patches",
                "sigma = 0.34",
                "patches σ 0.34",
                json!({
                    "kind": "patches", "sigma": 0.34, "fine": 5, "coarse": 10, "weight": 0.5, "stride": 2,
                }),
            ),
            (
                "gradients",
                "of = \"squared-output\"\nridges = [0.1]",
                "D-TRAK",
                json!({
                    "kind": "gradients", "of": "squared-output", "dimensions": 1024, "levels": 10, "ridges": [0.1],
                }),
            ),
        ] {
            let text = format!("kind = \"{kind}\"\n{options}");
            let method: Method = toml::from_str(&text).expect("a method");
            method.check().expect("options in their ranges");
            assert_eq!(method.name(), name);
            assert_eq!(serde_json::to_value(&method).expect("JSON"), json, "{kind}");
        }
    }
}
