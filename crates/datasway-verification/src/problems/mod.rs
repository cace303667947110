//! Problems with known solutions.

pub mod point_clouds;
pub mod problem;
pub mod random_mixture;
