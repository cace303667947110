#![doc = include_str!("../README.md")]

mod capture;
pub mod check;
pub mod coverage;
pub mod dual;
mod dyn_tensor;
mod error;
mod function;
mod gradient;
mod graph;
mod hvp;
mod interpreter;
mod jacobian;
mod linearize;
mod outputs;
mod parameters;
mod placeholder;
pub mod rule;
mod rules;
mod second_derivative;
mod tangents;
mod vjp;

pub use dual::{Dual, RawTensor};
pub use dyn_tensor::DynTensor;
pub use error::JvpError;
pub use function::{Jvp, NoModule, jvp};
pub use hvp::{Hvp, SecondOrder};
pub use linearize::Linearized;
pub use outputs::{OutputTensor, Outputs};
pub use rule::{CustomRule, Refusal};
pub use tangents::{ParameterTangents, Tangents, Variables};
