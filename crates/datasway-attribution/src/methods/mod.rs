//! The methods, one file each.

pub mod adjoint;
pub mod mean_shift;
pub mod patches;
pub mod principal;
mod ridge;
pub mod similarity;
pub mod tangent;
pub mod trak;
pub mod weights;
pub mod weights_principal;
