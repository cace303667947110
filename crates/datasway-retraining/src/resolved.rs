//! Directions and benchmarks with their images.

use datasway_data::{Dataset, LoadOptions, Selected, Selection};

use crate::RetrainError;
use crate::spec::{Benchmark, DirectionSpec, RemovalSpec, subsets};

/// A direction with its images.
pub struct ResolvedDirection {
    /// Entry of the experiment file.
    pub spec: DirectionSpec,
    /// The images of ν.
    pub images: Dataset,
    /// Their indices in the training images, ascending; empty if they come from elsewhere.
    pub indices: Vec<usize>,
}

/// An attribution benchmark with its images.
pub struct ResolvedBenchmark {
    /// Entry of the experiment file.
    pub spec: Benchmark,
    /// Indices of the training images of each random subset, ascending.
    pub subsets: Vec<Vec<usize>>,
    /// Indices of the training images of each group, ascending.
    pub groups: Vec<Vec<usize>>,
    /// Indices of the training images that are left without each group, ascending.
    pub complements: Vec<Vec<usize>>,
    /// The held-out images.
    pub held_out: Dataset,
    /// The forms that choose images for counterfactual models.
    pub removals: Vec<RemovalSpec>,
}

impl ResolvedDirection {
    pub(crate) fn resolve(
        spec: &DirectionSpec,
        images: &Dataset,
        options: &LoadOptions,
    ) -> Result<Self, RetrainError> {
        let selection = Selection::parse(spec.selection())?;
        let (images, indices) = match selection.resolve(images, options)? {
            Selected::Indices(indices) => (images.subset(&indices), indices),
            Selected::External(_) if spec.is_removal() => {
                return Err(RetrainError::Experiment(format!(
                    "{}: only images of the training set can be removed",
                    spec.name()
                )));
            }
            Selected::External(images) => (images, Vec::new()),
        };
        Ok(Self {
            spec: spec.clone(),
            images,
            indices,
        })
    }
}

impl ResolvedBenchmark {
    /// Splits the images into training images, which are returned, and held-out images, and resolves subsets and groups.
    pub(crate) fn resolve(
        spec: &Benchmark,
        images: &Dataset,
        options: &LoadOptions,
    ) -> Result<(Dataset, Self), RetrainError> {
        let training_count = images.len().saturating_sub(spec.held_out);
        let held_out: Vec<usize> = (training_count..images.len()).collect();
        if !held_out.is_empty() && is_sorted_by_class(images) {
            return Err(RetrainError::experiment(
                "attribution: held_out takes the last images, which in a folder of classes are all of the last ones; put \
                 the images into one folder without classes",
            ));
        }
        let training: Vec<usize> = (0..training_count).collect();
        let held_out = images.subset(&held_out);
        let images = images.subset(&training);
        let subsets = subsets::draw(spec, training_count)?;
        let groups = subsets::groups(spec, &images, options)?;
        let complements = groups
            .iter()
            .map(|group| complement(group, training_count))
            .collect();
        let removals = match &spec.counterfactual {
            Some(counterfactual) => counterfactual.removals(&spec.methods)?,
            None => Vec::new(),
        };
        let benchmark = Self {
            spec: spec.clone(),
            subsets,
            groups,
            complements,
            held_out,
            removals,
        };
        Ok((images, benchmark))
    }
}

/// The indices below `count` that are not among `indices`; both ascending.
pub(crate) fn complement(indices: &[usize], count: usize) -> Vec<usize> {
    let is_outside = |index: &usize| indices.binary_search(index).is_err();
    (0..count).filter(is_outside).collect()
}

/// True if images of several classes are sorted by class.
fn is_sorted_by_class(images: &Dataset) -> bool {
    let labels = images.classes.as_ref().map_or(&[][..], |c| &c.labels);
    labels.is_sorted() && labels.first() != labels.last()
}
