//! Data attribution for diffusion models: scores of training images for values of a model, behind the trait [`Attributor`].
//!
//! An [`AttributionTarget`] is a value of a trained model, such as the loss at an image.
//! A method scores every training image for it: a larger score means that more of the image increases the value.
//! The sum of the scores of a subset predicts the value of a model trained on that subset.
//! The rank correlation of predicted and real values over subsets is the linear datamodeling score (LDS; Park et al., arXiv
//! 2303.14186).
//!
//! [`Method`] lists the methods of this crate.
//! A new one is a file in `methods/` and a variant of [`Method`], or an implementation of [`Attributor`] in another crate.

pub mod attributor;
mod error;
pub mod method;
pub mod methods;
pub mod target;

pub use attributor::{AttributionContext, Attributor, CostScaling, ScoreColumns, Scores};
pub use error::AttributionError;
pub use method::Method;
pub use target::{AttributionTarget, LossNoise, TargetOptions};
