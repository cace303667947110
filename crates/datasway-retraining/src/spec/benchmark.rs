//! The benchmark of data-attribution methods.

use datasway_attribution::{Attributor, Method, TargetOptions};
use datasway_data::Selection;
use datasway_diffusion::validate::{distinct, within};
use serde::{Deserialize, Serialize};

use super::checks::SEED;
use super::counterfactual::CounterfactualSpec;
use super::variant::Variant;
use crate::RetrainError;

/// The benchmark of data-attribution methods, as the experiment file states it.
///
/// Models are trained on random subsets of the training data, and on all images but a group.
/// A method scores every training image for a target, which is a scalar function of the model of all images.
/// The sum of the scores of a subset predicts the target of the model of the subset.
/// The linear datamodeling score (LDS; Park et al., arXiv 2303.14186) is Spearman's correlation of predicted and real values over
/// the subsets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Benchmark {
    /// Number of random subsets of the training data. A model is trained on each with every seed of the experiment.
    pub subsets: usize,
    /// Size of each subset, as a fraction of the training data.
    #[serde(default = "default_fraction")]
    pub fraction: f64,
    /// Training of the models of the subsets: from scratch, or from the base model of the first seed.
    #[serde(default)]
    pub variant: Variant,
    /// Seed of subsets, targets and the noise of losses.
    #[serde(default)]
    pub seed: u64,
    /// Number of held-out images: the last of the data, on which no model is trained.
    pub held_out: usize,
    /// Random linear functionals of each sample.
    #[serde(default = "default_functionals")]
    pub functionals: usize,
    /// Noise levels over which a loss is averaged, each with its own noise.
    #[serde(default = "default_draws")]
    pub draws: usize,
    /// Selections of groups of training images, such as `class:8`. For each a model is trained on all other images.
    #[serde(default)]
    pub groups: Vec<String>,
    /// Models without the images that methods hold responsible for a sample.
    #[serde(default)]
    pub counterfactual: Option<CounterfactualSpec>,
    /// The attribution methods.
    pub methods: Vec<Method>,
    /// Sums of the predictions of two of them.
    #[serde(default)]
    pub sums: Vec<SumSpec>,
}

/// The sum of the predictions of two forms, each with mean 0 and standard deviation 1 over the parts, for each functional.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SumSpec {
    /// Names of two forms in the tables.
    pub forms: [String; 2],
}

impl SumSpec {
    /// Name in tables.
    pub fn name(&self) -> String {
        self.forms.join(" + ")
    }

    /// Checks that both forms are those of methods.
    fn check(&self, methods: &[Method]) -> Result<(), RetrainError> {
        let forms = |method: &Method| [vec![method.name()], method.removal_forms()].concat();
        let known: Vec<String> = methods.iter().flat_map(forms).collect();
        let mut unknown = self.forms.iter().filter(|form| !known.contains(form));
        match unknown.next() {
            None => Ok(()),
            Some(form) => Err(RetrainError::experiment(format!(
                "attribution: sums names {form}, but the methods have: {}",
                known.join("; ")
            ))),
        }
    }
}

fn default_fraction() -> f64 {
    0.5
}

fn default_functionals() -> usize {
    1
}

fn default_draws() -> usize {
    64
}

impl Benchmark {
    /// The numbers that define the attribution targets.
    pub fn targets(&self) -> TargetOptions {
        TargetOptions {
            seed: self.seed,
            functionals: self.functionals,
            draws: self.draws,
        }
    }

    /// Checks everything that does not depend on the data.
    pub(super) fn check(&self) -> Result<(), RetrainError> {
        for (name, value, min, max) in [
            ("subsets", self.subsets, 3, 100_000),
            ("held_out", self.held_out, 1, 1_000_000),
            ("functionals", self.functionals, 1, 10_000),
            ("draws", self.draws, 2, 100_000),
            ("methods", self.methods.len(), 1, 1_000),
        ] {
            within(&format!("attribution: {name}"), value, min..=max)?;
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
            counterfactual.check(&self.methods)?;
        }
        for sum in &self.sums {
            sum.check(&self.methods)?;
        }
        distinct("sums", self.sums.iter().map(SumSpec::name))?;
        let canonical = |group: Selection| group.canonical().to_string();
        distinct("groups", groups.into_iter().map(canonical))?;
        distinct("methods", self.methods.iter().map(Method::name))?;
        Ok(())
    }
}
