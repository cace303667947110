//! Labels of a classifier: attributes and classes.

use std::collections::HashSet;
use std::ops::Range;

use burn::tensor::activation::log_softmax;
use burn::tensor::{Int, Tensor, TensorData};
use datasway_data::Dataset;
use datasway_diffusion::{DiffusionError, range};
use serde::{Deserialize, Serialize};

/// Largest number of labels. The odds of each class are taken against all others.
const MAX_LABELS: usize = 10_000;

/// The outputs of a classifier: first one for each attribute, then one for each class.
///
/// Attributes are independent of each other. An image has exactly one class.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Labels {
    /// Names of the attributes, A in all.
    pub attributes: Vec<String>,
    /// Names of the classes, C in all.
    pub classes: Vec<String>,
}

impl Labels {
    /// The labels of a data set.
    ///
    /// # Errors
    /// If there is nothing to distinguish.
    pub fn of(images: &Dataset) -> Result<Self, DiffusionError> {
        let mut labels = Self {
            attributes: (images.attributes.as_ref())
                .map_or_else(Vec::new, |attributes| attributes.names.clone()),
            classes: (images.classes.as_ref())
                .map_or_else(Vec::new, |classes| classes.names.clone()),
        };
        // A single class has no odds.
        if labels.classes.len() < 2 {
            labels.classes.clear();
        }
        if labels.is_empty() {
            return Err(DiffusionError::Invalid(format!(
                "{} has neither attributes nor two classes to tell apart",
                images.name
            )));
        }
        labels
            .validate()
            .map_err(|problem| DiffusionError::Invalid(format!("{}: {problem}", images.name)))?;
        Ok(labels)
    }

    /// Checks that there are labels to distinguish, and that no name occurs twice.
    pub(crate) fn validate(&self) -> Result<(), String> {
        if self.is_empty() || self.classes.len() == 1 {
            return Err("its labels are neither attributes nor two classes".to_owned());
        }
        range::check("the number of labels", self.len(), 1..=MAX_LABELS)
            .map_err(|error| error.to_string())?;
        let mut seen = HashSet::new();
        match self
            .names()
            .into_iter()
            .find(|name| !seen.insert(name.clone()))
        {
            None => Ok(()),
            Some(name) => Err(format!("the label {name:?} stands twice")),
        }
    }

    /// Number of outputs.
    pub fn len(&self) -> usize {
        self.attributes.len() + self.classes.len()
    }

    /// True if there is no output.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The labels as selections are written: `attr:NAME` and `class:NAME`.
    pub fn names(&self) -> Vec<String> {
        let attributes = self.attributes.iter().map(|name| format!("attr:{name}"));
        let classes = self.classes.iter().map(|name| format!("class:{name}"));
        attributes.chain(classes).collect()
    }

    /// The truth of each label for an image.
    pub fn truth(&self, images: &Dataset, i: usize) -> Vec<bool> {
        let attributes = images.attributes.iter();
        let mut truth: Vec<bool> = attributes.flat_map(|a| a.values[i].clone()).collect();
        if let Some(classes) = &images.classes {
            truth.extend((0..self.classes.len()).map(|class| class == classes.labels[i]));
        }
        truth
    }

    /// The log-odds `ln p/(1 − p)` of every label from the outputs z, `[n, A + C]`: of an attribute z itself; of a class c
    /// `z_c − ln Σ_{b≠c} exp z_b`.
    pub fn log_odds(&self, outputs: Tensor<2>) -> Tensor<2> {
        let (attributes, classes) = (self.attributes.len(), self.classes.len());
        let columns = |range: Range<usize>| outputs.clone().slice_dim(1, range);
        let mut odds = Vec::new();
        if attributes > 0 {
            odds.push(columns(0..attributes));
        }
        for class in 0..classes {
            let others = (0..classes).filter(|other| *other != class);
            let others = others.map(|other| columns(attributes + other..attributes + other + 1));
            let others = Tensor::cat(others.collect(), 1);
            let top = others.clone().max_dim(1).detach();
            let log_sum = (others - top.clone()).exp().sum_dim(1).log() + top;
            odds.push(columns(attributes + class..attributes + class + 1) - log_sum);
        }
        Tensor::cat(odds, 1)
    }

    /// The negative log-likelihood of the truth, `[n, A + C]` of zeros and ones: the mean over the attributes of the binary one, and
    /// that of the class.
    pub fn loss(&self, outputs: Tensor<2>, truth: Vec<Vec<bool>>) -> Tensor<1> {
        let n = truth.len();
        let truth: Vec<i32> = truth.into_iter().flatten().map(i32::from).collect();
        let truth = TensorData::new(truth, [n, self.len()]);
        let truth = Tensor::<2, Int>::from_data(truth, &outputs.device()).float();
        let (a, width) = (self.attributes.len(), self.len());
        let columns = |tensor: &Tensor<2>, range: Range<usize>| tensor.clone().slice_dim(1, range);
        let binary = (a > 0).then(|| {
            let (z, y) = (columns(&outputs, 0..a), columns(&truth, 0..a));
            // ln(1 + eᶻ) − y·z, without overflow.
            let softplus = z.clone().clamp_min(0.0) + z.clone().abs().neg().exp().log1p();
            (softplus - y * z).mean()
        });
        let multinomial = (width > a).then(|| {
            let likelihood =
                log_softmax(columns(&outputs, a..width), 1) * columns(&truth, a..width);
            likelihood.sum_dim(1).mean().neg()
        });
        match (binary, multinomial) {
            (Some(binary), Some(multinomial)) => binary + multinomial,
            (Some(loss), None) | (None, Some(loss)) => loss,
            (None, None) => unreachable!("there are labels"),
        }
    }
}
