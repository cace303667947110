//! Training of a score model, resumable bit for bit.

pub mod batches;
pub mod config;
pub mod room;
pub mod set;
pub mod trainer;
