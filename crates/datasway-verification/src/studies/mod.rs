//! Studies of the prediction on these problems.

pub mod agreement;
pub mod field;
pub mod learned;
pub mod mlp;
pub mod order;
pub mod robustness;
pub mod scaling;
pub mod trace_estimators;
pub mod validity;
