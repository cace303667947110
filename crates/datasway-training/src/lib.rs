//! Training of a score model, resumable bit for bit.

pub mod batches;
pub mod config;
pub mod loss_log;
pub mod memory;
pub mod trainer;
pub mod training_loop;
pub mod training_set;
