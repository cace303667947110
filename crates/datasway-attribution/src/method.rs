//! The methods of this crate, as experiment files describe them.

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
            Self::MeanShift(method) => method,
            Self::Pixels(method) => method,
            Self::Nearest(method) => method,
            Self::Patches(method) => method,
            Self::Trak(method) => method,
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

    fn removal_forms(&self) -> Vec<String> {
        self.attributor().removal_forms()
    }

    fn needs_subsets(&self) -> bool {
        self.attributor().needs_subsets()
    }

    fn cost_scaling(&self) -> CostScaling {
        self.attributor().cost_scaling()
    }
}
