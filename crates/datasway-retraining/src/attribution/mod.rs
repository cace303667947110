//! The attribution benchmark: the linear datamodeling score and counterfactuals of attribution methods.
//!
//! Models are trained on random subsets of the training data.
//! A method scores every training image for a value of the model trained on all of them.
//! The sum of the scores of a subset predicts the value of the subset's model.
//! The linear datamodeling score (LDS; Park et al., arXiv 2303.14186) is Spearman's correlation of predicted and real values over
//! the subsets.

pub mod counterfactual;
pub mod evaluation;
pub mod subsets;
pub mod table;

use datasway_attribution::{Attributor, Method, TargetOptions};
use datasway_data::Selection;
use serde::{Deserialize, Serialize};

use self::counterfactual::Counterfactual;
use crate::RetrainError;
use crate::experiment::{Variant, distinct};
use crate::range::{SEED, within};

/// The benchmark, as the experiment file says it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Benchmark {
    /// How many random parts of the training data train models of their own, with every seed of the experiment.
    pub subsets: usize,
    /// Size of each part, as a part of the training data.
    #[serde(default = "half")]
    pub fraction: f64,
    /// How the models of the parts are trained: from scratch, or from the base model of the first seed on.
    #[serde(default)]
    pub variant: Variant,
    /// Seed of parts, functionals and the noise of losses.
    #[serde(default)]
    pub seed: u64,
    /// How many images, the last of the data, no model is trained on.
    pub held_out: usize,
    /// Random linear functionals of each sample.
    #[serde(default = "one")]
    pub functionals: usize,
    /// Noise levels, each with noise of its own, that a loss is averaged over.
    #[serde(default = "sixty_four")]
    pub draws: usize,
    /// Groups of training images, such as `class:8`, whose absence is predicted too: for each a model of all other images.
    #[serde(default)]
    pub groups: Vec<String>,
    /// Whether models are trained without the images that methods hold responsible for a sample.
    #[serde(default)]
    pub counterfactual: Option<Counterfactual>,
    /// The methods.
    pub methods: Vec<Method>,
}

fn half() -> f64 {
    0.5
}

fn one() -> usize {
    1
}

fn sixty_four() -> usize {
    64
}

impl Benchmark {
    /// Numbers that define the attribution targets.
    pub fn targets(&self) -> TargetOptions {
        TargetOptions {
            seed: self.seed,
            functionals: self.functionals,
            draws: self.draws,
        }
    }

    /// Checks the numbers that do not depend on the data.
    pub(crate) fn check(&self) -> Result<(), RetrainError> {
        for (name, value, least, most) in [
            ("subsets", self.subsets, 3, 100_000),
            ("held_out", self.held_out, 1, 1_000_000),
            ("functionals", self.functionals, 1, 10_000),
            ("draws", self.draws, 2, 100_000),
            ("methods", self.methods.len(), 1, 1_000),
        ] {
            within(&format!("attribution: {name}"), value, least..=most)?;
        }
        within("attribution: fraction", self.fraction, 1e-9..=1.0 - 1e-9)?;
        within("attribution: seed", self.seed, SEED)?;
        for method in &self.methods {
            method.check()?;
        }
        let groups = self.groups.iter().map(|group| Selection::parse(group));
        let groups: Vec<Selection> = groups.collect::<Result<_, _>>()?;
        if let 1..3 = self.groups.len() {
            return Err(RetrainError::experiment(
                "attribution: a correlation over groups needs at least 3 of them",
            ));
        }
        if let Some(counterfactual) = &self.counterfactual {
            within(
                "attribution: counterfactual.samples",
                counterfactual.samples,
                1..=1_000_000,
            )?;
            within(
                "attribution: counterfactual.remove",
                counterfactual.remove,
                1..=1_000_000_000,
            )?;
            within(
                "attribution: counterfactual.forms",
                counterfactual.forms.len(),
                1..=1_000,
            )?;
            distinct("counterfactual.forms", counterfactual.forms.iter().cloned())?;
            for form in 0..counterfactual.forms.len() {
                counterfactual.method(form, &self.methods)?;
            }
        }
        let canonical = |group: Selection| group.canonical().to_string();
        distinct("groups", groups.into_iter().map(canonical))?;
        distinct("methods", self.methods.iter().map(Attributor::name))
    }
}
