//! The log-odds that a classifier gives a sample.

use burn::module::Module;
use burn::tensor::Tensor;
use datasway_classifier::{Classifier, ClassifierCheckpoint, Labels};
use datasway_data::Shape;
use datasway_diffusion::DiffusionError;

use super::functional::{Functional, FunctionalContext, ValueAndGradient};

/// `f(x) = ln p/(1 − p)`, the log-odds of one label under a classifier. The gradient is computed by autodiff.
#[derive(Debug, Clone)]
pub struct LogOdds {
    name: String,
    network: Classifier,
    shape: Shape,
    labels: Labels,
    label: usize,
}

impl LogOdds {
    /// The log-odds of a label, `attr:NAME` or `class:NAME`.
    ///
    /// # Errors
    /// If the classifier's training is not finished, its weights do not fit, or it has no such label.
    pub fn new(
        name: String,
        classifier: &ClassifierCheckpoint,
        label: &str,
        device: &burn::tensor::Device,
    ) -> Result<Self, DiffusionError> {
        let refuse = |message: String| Err(DiffusionError::Invalid(message));
        let header = &classifier.header;
        if classifier.optimizer.is_some() {
            return refuse(format!(
                "the classifier is only trained for {} of {} steps: finish its training",
                header.step, header.training.steps
            ));
        }
        let names = header.labels.names();
        let Some(label_index) = names.iter().position(|name| name == label) else {
            return refuse(format!(
                "the classifier has no label {label}; it has {}",
                names.join(", ")
            ));
        };
        Ok(Self {
            name,
            // Constants on the autodiff device.
            network: classifier.network(device)?.no_grad().train(),
            shape: header.shape,
            labels: header.labels.clone(),
            label: label_index,
        })
    }

    /// f, `[n]`, and ∇f, `[n, d]`, at samples `[n, d]`.
    ///
    /// # Errors
    /// If the samples have another number of pixel values than the classifier's images.
    pub fn evaluate(&self, samples: &Tensor<2>) -> Result<ValueAndGradient, DiffusionError> {
        let ([n, d], shape) = (samples.dims(), self.shape);
        if d != shape.dim() {
            return Err(DiffusionError::Invalid(format!(
                "the classifier is for images of {} pixel values, samples have {d}",
                shape.dim()
            )));
        }
        let x = samples.clone().autodiff().require_grad();
        let images = x
            .clone()
            .reshape([n, shape.channels, shape.height, shape.width]);
        let odds = self.labels.log_odds(self.network.forward(images));
        let odds = odds.slice_dim(1, self.label..self.label + 1);
        let gradients = odds.clone().sum().backward();
        Ok(ValueAndGradient {
            values: odds.inner().squeeze_dim::<1>(1),
            gradients: (x.grad(&gradients)).unwrap_or_else(|| samples.zeros_like()),
        })
    }
}

impl Functional for LogOdds {
    fn name(&self) -> &str {
        &self.name
    }

    fn value_and_gradient(
        &self,
        context: &FunctionalContext<'_>,
    ) -> Result<ValueAndGradient, DiffusionError> {
        self.evaluate(&context.trajectory.samples)
    }
}
