#![doc = include_str!("../README.md")]

pub mod check;
pub mod coverage;
pub mod dual;
mod dyn_tensor;
mod error;
mod function;
mod graph;
mod interpreter;
mod parameters;
mod placeholder;
pub mod rule;
mod rules;

pub use dual::{Dual, RawTensor};
pub use dyn_tensor::DynTensor;
pub use error::JvpError;
pub use function::{Jvp, jvp};
pub use rule::{CustomRule, Refusal};
