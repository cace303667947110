//! Studies of the prediction on the problems, and the sections of their report.

pub mod agreement;
mod displacement_arrows;
pub mod learned_score;
pub mod mlp;
pub mod order;
pub mod order_report;
pub mod robustness;
pub mod robustness_report;
pub mod scaling;
pub mod scaling_report;
pub mod score_field;
pub mod score_field_report;
pub mod trace_estimators;
pub mod trace_estimators_report;
pub mod validity;
pub mod validity_report;
