//! Counterfactual models: trained without the images that a method holds responsible for a sample.

use datasway_attribution::{AttributionTarget, Attributor, Method};
use datasway_diffusion::validate::{distinct, within};
use serde::{Deserialize, Serialize};

use crate::RetrainError;

/// The counterfactual models of a benchmark, as the experiment file states them.
///
/// For each of the first samples and each form a model is trained without the `remove` images that are most responsible.
/// The further the sample then moves, the better the images were chosen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CounterfactualSpec {
    /// Number of samples: the first ones.
    pub samples: usize,
    /// Number of images that are removed for each sample.
    pub remove: usize,
    /// Forms of the scores of the methods that choose the images, by their names in the tables.
    /// A form scores the loss at samples or their principal line.
    pub forms: Vec<String>,
}

/// A form of the scores of a method that chooses the images to remove.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemovalSpec {
    /// Name of the form in files and tables.
    pub form: String,
    /// The method, as an index in the methods of the benchmark.
    pub method: usize,
    /// The target of the scores.
    pub target: AttributionTarget,
}

impl CounterfactualSpec {
    /// Checks everything that does not depend on the data.
    pub(super) fn check(&self, methods: &[Method]) -> Result<(), RetrainError> {
        for (name, value, max) in [
            ("samples", self.samples, 1_000_000),
            ("remove", self.remove, 1_000_000_000),
            ("forms", self.forms.len(), 1_000),
        ] {
            within(
                &format!("attribution: counterfactual.{name}"),
                value,
                1..=max,
            )?;
        }
        distinct("counterfactual.forms", self.forms.iter().cloned())?;
        for removal in self.removals(methods)? {
            let scored = methods[removal.method].removal_samples();
            if let Some(scored) = scored.filter(|scored| *scored < self.samples) {
                return Err(RetrainError::experiment(format!(
                    "attribution: {} scores {scored} samples, but counterfactual.samples is {}",
                    removal.form, self.samples
                )));
            }
        }
        Ok(())
    }

    /// Checks the numbers against the numbers of samples and of training images.
    pub(crate) fn check_sizes(&self, samples: usize, images: usize) -> Result<(), RetrainError> {
        for (name, value, max) in [
            ("samples", self.samples, samples),
            ("remove", self.remove, images.saturating_sub(1)),
        ] {
            if !(1..=max).contains(&value) {
                return Err(RetrainError::experiment(format!(
                    "attribution: counterfactual.{name} must be from 1 to {max}, not {value}"
                )));
            }
        }
        Ok(())
    }

    /// The forms with their methods.
    ///
    /// # Errors
    /// If no method has a form of this name that can choose images.
    pub(crate) fn removals(&self, methods: &[Method]) -> Result<Vec<RemovalSpec>, RetrainError> {
        let removal = |form: &String| {
            let has_form = |method: &Method| method.removal_forms().contains(form);
            let method = methods.iter().position(has_form).ok_or_else(|| {
                let forms: Vec<String> = methods.iter().flat_map(Attributor::removal_forms).collect();
                RetrainError::experiment(format!(
                    "attribution: counterfactual.forms names {form}, but those that can choose images are: {}",
                    forms.join("; ")
                ))
            })?;
            Ok(RemovalSpec {
                form: form.clone(),
                method,
                target: methods[method].removal_target(),
            })
        };
        self.forms.iter().map(removal).collect()
    }
}
