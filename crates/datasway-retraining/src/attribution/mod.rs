//! A benchmark of attribution: which training images made a sample, and what is the answer worth?
//!
//! Models are trained on random parts of the training data. A method scores every training image for a functional of the model
//! trained on all of them; the sum of the scores of a part predicts the functional of the part's model. The linear datamodeling score (LDS; Park
//! et al., arXiv 2303.14186) is Spearman's correlation of predicted and real values over the parts.
//!
//! A new method is one file here and one line in [`Method`].

pub mod counterfactual;
pub mod evaluation;
pub mod functional;
pub mod subsets;
pub mod table;

mod gradients;
mod influence;
mod mean_shift;
mod patches;
mod principal;
mod ridge;
mod similarity;
mod tangent;

use burn::tensor::Tensor;
use datasway_data::Selection;
use datasway_diffusion::checkpoint::Checkpoint;
use datasway_diffusion::network::NetworkDenoiser;
use serde::{Deserialize, Serialize};

use self::counterfactual::Counterfactual;
use self::functional::{Draws, Functional};
use crate::RetrainError;
use crate::experiment::{Variant, distinct};
use crate::prepared::PreparedExperiment;
use crate::range::{SEED, within};
use crate::store::Array;

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
        distinct("methods", self.methods.iter().map(Method::name))
    }
}

/// What methods may look at.
pub struct Scene<'a> {
    /// The experiment with its data.
    pub setup: &'a PreparedExperiment,
    /// The benchmark.
    pub benchmark: &'a Benchmark,
    /// The model that is attributed.
    pub checkpoint: &'a Checkpoint,
    /// The same, as a denoiser.
    pub model: &'a NetworkDenoiser,
    /// Its samples, `[n, d]`.
    pub samples: Tensor<2>,
    /// The held-out images, `[h, d]`.
    pub held_out: Tensor<2>,
    /// The training images as training shows them, `[m, d]`, or `[2m, d]` with their mirror images at the end.
    pub images: Tensor<2>,
}

impl Scene<'_> {
    /// The directions of the linear functionals, `[n, K, d]`.
    pub fn directions(&self) -> Tensor<3> {
        functional::directions(self.benchmark, &self.samples)
    }

    /// The noise of losses.
    pub fn draws(&self) -> Draws {
        Draws::new(self.benchmark, &self.setup.config.noise)
    }

    /// The points at which the losses of a kind are taken, `[n, d]`; none for functionals that are no loss.
    pub fn points(&self, functional: Functional) -> Option<&Tensor<2>> {
        match functional {
            Functional::Sample | Functional::Principal => None,
            Functional::SampleLoss => Some(&self.samples),
            Functional::HeldOutLoss => Some(&self.held_out),
        }
    }
}

/// What a method says of one kind of functional.
#[derive(Debug, Clone)]
pub struct Scores {
    /// Name of the row in the tables.
    pub name: String,
    /// The functional.
    pub functional: Functional,
    /// What the columns are.
    pub of: Columns,
    /// One row a functional (those of one sample beside each other), one column an image or a part: how much more of it
    /// adds to the functional. Only the order within a row counts.
    pub rows: Tensor<2>,
}

/// What scores belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Columns {
    /// The points of [`Scene::images`].
    ImagePoints,
    /// The random parts.
    Subsets,
}

impl Scores {
    /// With the mean of the scores of an image and of its mirror image in place of both.
    pub(crate) fn fold(self, scene: &Scene<'_>) -> Self {
        let m = scene.setup.images.len();
        let [_, columns] = self.rows.dims();
        if self.of == Columns::Subsets || columns == m {
            return self;
        }
        let part = |start| self.rows.clone().slice_dim(1, start..start + m);
        let rows = (part(0) + part(m)) / 2.0;
        Self { rows, ..self }
    }

    /// Name and numbers for a result file.
    pub(crate) fn array(self) -> (String, Array) {
        let columns = match self.of {
            Columns::ImagePoints => "images",
            Columns::Subsets => "subsets",
        };
        let name = format!("{columns}/{}/{}", self.functional.name(), self.name);
        let shape = self.rows.dims().to_vec();
        let values = self.rows.into_data().iter::<f32>().collect();
        (name, Array { shape, values })
    }
}

/// A method of attribution.
pub trait Attributor {
    /// Name in files and tables.
    fn name(&self) -> String;

    /// Scores of every kind of functional that the method has something to say of, in one form or several.
    ///
    /// # Errors
    /// If a model fails.
    fn attribute(&self, scene: &Scene<'_>) -> Result<Vec<Scores>, RetrainError>;

    /// Checks that every number is in its range.
    ///
    /// # Errors
    /// A sentence that names the first that is not.
    fn check(&self) -> Result<(), RetrainError> {
        Ok(())
    }

    /// The forms of its scores that can choose images for counterfactuals: those of the loss at samples, and of the principal line.
    fn choosing(&self) -> Vec<String> {
        vec![self.name()]
    }

    /// Whether it predicts parts instead of scoring images.
    fn needs_subsets(&self) -> bool {
        false
    }

    /// What most of its cost grows with.
    fn grows_with(&self) -> CostScaling {
        CostScaling::Points
    }
}

/// What a cost is proportional to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CostScaling {
    /// The points to attribute.
    Points,
    /// The training images, whatever the points.
    ImagePoints,
}

/// Which method.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Method {
    /// Ours, by the adjoint.
    Influence(influence::Influence),
    /// Ours, for counterfactuals.
    Principal(principal::Principal),
    /// Ours, one tangent a part.
    Tangent(tangent::Tangent),
    /// Samples move as the mean of the data does.
    MeanShift(mean_shift::MeanShift),
    /// Similarity of pixels.
    Pixels(similarity::Pixels),
    /// The nearest images.
    Nearest(similarity::Nearest),
    /// Similarity of patches on two scales.
    Patches(patches::Patches),
    /// Gradients of the weights.
    Gradients(gradients::Gradients),
}

impl Method {
    fn method(&self) -> &dyn Attributor {
        match self {
            Self::Influence(method) => method,
            Self::Principal(method) => method,
            Self::Tangent(method) => method,
            Self::MeanShift(method) => method,
            Self::Pixels(method) => method,
            Self::Nearest(method) => method,
            Self::Patches(method) => method,
            Self::Gradients(method) => method,
        }
    }
}

impl Attributor for Method {
    fn name(&self) -> String {
        self.method().name()
    }

    fn attribute(&self, scene: &Scene<'_>) -> Result<Vec<Scores>, RetrainError> {
        self.method().attribute(scene)
    }

    fn check(&self) -> Result<(), RetrainError> {
        self.method().check()
    }

    fn choosing(&self) -> Vec<String> {
        self.method().choosing()
    }

    fn needs_subsets(&self) -> bool {
        self.method().needs_subsets()
    }

    fn grows_with(&self) -> CostScaling {
        self.method().grows_with()
    }
}
