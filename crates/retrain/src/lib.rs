//! Proof by retraining: how well predicted sensitivities agree with what samples do when the model is
//! really trained again, or fine-tuned, on the changed data.

pub mod baseline;
pub mod statistics;
